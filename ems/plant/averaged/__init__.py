"""The averaged inverter: three-phase, grid-following, with DC link and cascaded PI loops.

For what happens within a tenth of a second of a step; the plant's own 1-s time series takes
its inverters from `ems.plant.devices` and OpenDER. See docs/inverter_model.md.
"""

from ems.plant.averaged.parameters import InverterParameters
from ems.plant.averaged.simulation import (
    Exporting,
    Grid,
    Ordered,
    References,
    Response,
    Signal,
    Unstable,
    constant,
    simulate,
    step,
)
from ems.plant.averaged.step_figures import StepFigures, step_figures
from ems.plant.averaged.tuning import PiGains, symmetrical_optimum, technical_optimum

__all__ = [
    "Exporting",
    "Grid",
    "InverterParameters",
    "Ordered",
    "PiGains",
    "References",
    "Response",
    "Signal",
    "StepFigures",
    "Unstable",
    "constant",
    "simulate",
    "step",
    "step_figures",
    "symmetrical_optimum",
    "technical_optimum",
]
