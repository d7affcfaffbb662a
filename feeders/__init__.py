"""The feeders as data, and the only code that speaks OpenDSS.

The engine (OpenDSS, SciPy: 90 MB) is loaded with the first use of `Feeder` or `FeederLoad`; the
values that load flows are made of cost nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from feeders.astray import LineErrors
from feeders.catalogue import FeederCard, shipped
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

if TYPE_CHECKING:
    from feeders.engine import Feeder, FeederLoad

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

_OF_THE_ENGINE = frozenset({"Feeder", "FeederLoad"})


def __getattr__(name: str) -> Any:
    if name not in _OF_THE_ENGINE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("feeders.engine"), name)
