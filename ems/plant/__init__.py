"""The simulated plant: feeder, devices and their servers.

Each name is loaded with its first use: a backtest takes the truth's feeder and the clouds, and
neither servers nor their protocols.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ems.plant.measured import MeasuredProfile
    from ems.plant.misbehaviour import Misbehaviour
    from ems.plant.plant import LOAD, Plant
    from ems.plant.profile import GeneratedProfile, Profile
    from ems.plant.service import FASTEST, run_plant, serve_plant
    from ems.plant.truth import Excursion, PlantTruth

__all__ = [
    "FASTEST",
    "LOAD",
    "Excursion",
    "GeneratedProfile",
    "MeasuredProfile",
    "Misbehaviour",
    "Plant",
    "PlantTruth",
    "Profile",
    "run_plant",
    "serve_plant",
]

_IN = {
    "FASTEST": "service", "LOAD": "plant", "Excursion": "truth", "GeneratedProfile": "profile",
    "MeasuredProfile": "measured", "Misbehaviour": "misbehaviour", "Plant": "plant",
    "PlantTruth": "truth", "Profile": "profile", "run_plant": "service", "serve_plant": "service",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"ems.plant.{_IN[name]}"), name)
