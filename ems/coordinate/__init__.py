"""The over-voltage coordinator: customers' PV held so that their feeder keeps its limits.

Who bears what is given up is for a policy to say. One moment is coordinated, not a day: PV at its
peak and loads scaled, or loads as measured. Unlike a linear programme for each area it takes the
whole feeder at once, with its taps where they stand and where they go, and a three-phase load flow
proves the setpoints before they are written.
"""

from ems.coordinate.case import Case, Plant, Scenario, feeder_case
from ems.coordinate.cim import cim_case
from ems.coordinate.decide import Coordination, PriceOfFairness, coordinate
from ems.coordinate.files import document, write

__all__ = [
    "Case",
    "Coordination",
    "Plant",
    "PriceOfFairness",
    "Scenario",
    "cim_case",
    "coordinate",
    "document",
    "feeder_case",
    "write",
]
