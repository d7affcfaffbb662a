"""The simulated plant: feeder, devices and their servers."""

from ems.plant.measured import MeasuredProfile
from ems.plant.misbehaviour import Misbehaviour
from ems.plant.plant import LOAD, Plant
from ems.plant.profile import GeneratedProfile, Profile
from ems.plant.service import run_plant, serve_plant
from ems.plant.truth import Excursion, PlantTruth

__all__ = [
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
