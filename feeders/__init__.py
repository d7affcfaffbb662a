"""The feeders as data, and the only code that speaks OpenDSS."""

from feeders.astray import LineErrors
from feeders.catalogue import FeederCard, shipped
from feeders.engine import Feeder, FeederLoad
from feeders.errors import FeederFault
from feeders.fingerprint import fingerprint
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
    "LineErrors",
    "Linearisation",
    "LoadFlow",
    "Regulation",
    "fingerprint",
    "shipped",
]
