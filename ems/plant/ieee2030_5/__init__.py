"""Simulated inverters behind clients of IEEE 2030.5."""

from ems.plant.ieee2030_5.der import SimulatedDer

__all__ = ["SimulatedDer"]
