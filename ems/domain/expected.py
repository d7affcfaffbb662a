"""What the coming interval is expected to bring."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PvForecast:
    """Power one PV plant could produce in the coming interval, were it not capped."""

    expected_kw: float
    lower_kw: float
    """Safe lower bound of the interval [kW]."""
    upper_kw: float
    """Safe upper bound of the interval; caps are verified up to here [kW]."""
    method: str
    """`lstm`, `smart_persistence`, `clear_sky` or `given`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What the coming interval is expected to bring."""

    start: datetime
    pv: Mapping[str, PvForecast]
    load_kw: float
    load_kvar: float | None = None
    """None: nominal power factors of the feeder's loads [kvar]."""
    notes: tuple[str, ...] = ()
    """Why a better method was not used, one line each."""
