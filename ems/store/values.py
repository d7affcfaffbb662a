"""What the database keeps beside the cycle records, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ems.domain import Setpoint
from ems.errors import GeemsError

LOAD = "load"
"""Device name under which the aggregate load meter is kept."""


class StoreFault(GeemsError):
    """The database cannot be read or written: disk full, locked, read-only, damaged."""


class Damaged(StoreFault):
    """What the database file holds is no sound database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteMean:
    """Mean of one device's polls over one minute, or over a few where history was imported."""

    device: str
    """Name of the DER, or `load`."""
    time: datetime
    """Start of the minute, UTC."""
    p_kw: float
    """A DER's injection, or the load's consumption [kW]."""
    q_kvar: float | None = None
    v_pu: float | None = None
    soc_pct: float | None = None
    capped: bool = False
    """Whether an active-power cap was in force at any poll, binding or not."""
    cap_kw: float | None = None
    """Lowest of these caps; None where none was, or where its height was not kept [kW]."""
    available_kw: float | None = None
    """PV: mean of what the device says it could make, were it not capped [kW]."""
    polls: int = 1
    """Number of polls in the mean."""
    minutes: int = 1
    """Time the mean covers; more than 1 for imported history [min]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSetpoint:
    """What one DER was asked in one cycle, and what became of it."""

    start: datetime
    """Interval the cycle decided for, UTC."""
    setpoint: Setpoint
    outcome: str
    """`sent`, `partial`, `refused` or `advised`; `none` where nothing was commanded."""
    reason: str
    """Why it is neither sent nor advised; else empty."""
    readback_p_kw: float | None
    """Active-power setpoint in the device's registers after the write [kW]."""
    readback_q_kvar: float | None
    readback_cap_kw: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptForecast:
    """What one cycle expected of one PV plant, or of the load."""

    start: datetime
    """Interval it was made for, UTC."""
    device: str
    """Name of the PV plant, or `load`."""
    expected_kw: float
    lower_kw: float | None
    upper_kw: float | None
    method: str
    quantiles_kw: Mapping[str, float] = field(default_factory=dict)
    """Quantiles of its mean over the interval, by level (`0.05`); empty where there are none
    [kW]."""
    notes: tuple[str, ...] = ()
    """Why not by a better method, and what is odd about the plant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedRun:
    """One or several intervals in a row for which no cycle ran."""

    start: datetime
    """First interval missed, UTC."""
    intervals: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to write to the devices of one site."""

    site: str
    holder: str
    ends: datetime
    """From when it lapses unless renewed, UTC."""
