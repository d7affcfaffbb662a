"""The feeders as data, and the only code that speaks OpenDSS."""

from feeders.catalogue import FeederCard, shipped
from feeders.engine import Feeder, FeederLoad
from feeders.errors import FeederFault
from feeders.values import (
    DerPlacement,
    Injections,
    InverterCurves,
    Linearisation,
    LoadFlow,
    Regulation,
)

__all__ = [
    "DerPlacement",
    "Feeder",
    "FeederCard",
    "FeederFault",
    "FeederLoad",
    "Injections",
    "InverterCurves",
    "Linearisation",
    "LoadFlow",
    "Regulation",
    "shipped",
]
