"""Inverters that behave as IEEE Std 1547-2018 asks: settings, and EPRI's OpenDER behind them."""

from ems.plant.inverter.adjustable import NotConform
from ems.plant.inverter.behaviour import BesInverter, PvInverter, State, TripCauses
from ems.plant.inverter.model import STEP_S, apparent_kva
from ems.plant.inverter.settings import (
    DEFAULTS,
    EnterService,
    FrequencyDroop,
    InverterSettings,
    Trip,
    TripStep,
    VoltVar,
    VoltWatt,
    WattVar,
)

__all__ = [
    "DEFAULTS",
    "STEP_S",
    "BesInverter",
    "EnterService",
    "FrequencyDroop",
    "InverterSettings",
    "NotConform",
    "PvInverter",
    "State",
    "Trip",
    "TripCauses",
    "TripStep",
    "VoltVar",
    "VoltWatt",
    "WattVar",
    "apparent_kva",
]
