"""What is simulated: a chain of days of one site under one policy, and what passes between days.

A case and what a day is given are plain values, small enough to be sent to another process; what a
day leaves behind can be kept in a file, and the chain goes on from there.
"""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ems.domain import CycleRecord, Policy, Pv, Regulation, Site
from ems.record import from_json, to_json
from ems.tariff import Tariff

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PolicyName = Literal["none", "rules", "paper", "geems", "geems_lookahead", "oracle"]
ForecastName = Literal["lstm", "smart_persistence", "clear_sky", "perfect"]

STEPS = (1, 3, 5, 15)
"""Steps an interval may be cut into: each is of whole minutes."""
STEPS_USUAL = 3
"""Of 5 minutes: short enough for a cloud to pass, long enough for a year to be quick."""

SAME_SOC_PCT = 1e-6
"""Batteries nearer than this hold the same: rounding of a day's sums stays far below [%]."""
SAME_KW = 1e-6
"""Powers nearer than this are the same: solvers answer to about 1e-7 [kW]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """In what the truth differs from the EMS's model of it."""

    load_noise: float = 0.02
    """Standard deviation of each bus' share of the load, of itself; drawn anew in each step [1]."""
    parameter_error: float = 0.0
    """Standard deviation of each line's impedance, of itself; drawn once per seed [1]."""
    head_v_pu: float | None = None
    """Voltage behind the source impedance; None: the feeder file's [pu]."""
    reactive_share: float = 1.0
    """Of the loads' nominal reactive power, what they really take [1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One chain of days: a site under one policy, with one seed."""

    name: str
    """Of the site file."""
    site: Site
    policy: Policy
    """How the site is run; `method` sets its mode and whether it looks ahead."""
    tariff: Tariff
    feeder: str
    """Name of a shipped feeder, or path of an OpenDSS file."""
    zone: str
    """Local time zone; days begin at its midnight."""
    method: PolicyName
    seed: int = 0
    errors: Errors = field(default_factory=Errors)
    forecast: ForecastName = "lstm"
    """Best rung of the sun's forecast; `perfect` knows sun and load."""
    forecast_error: float = 1.0
    """Share of the forecast's error that is left; 0 is perfect [1]."""
    confidence: float = 1.0
    """Share of intervals whose sun stays above the lower bound [1]."""
    end_soc: Literal["free", "start"] = "free"
    """`start`: each battery ends the period as it began."""
    soc_start_pct: float = 60.0
    """Charge of every battery when the period begins, within its own bounds [%]."""
    reasons: bool = True
    """Whether each interval is explained: counterfactuals, and what caution costs."""
    intervals_ahead: int = 96
    """How far a policy that looks ahead plans, 1 to 96."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiles:
    """Sun and load of a period, and of what is known before it, without a gap."""

    first: datetime
    """Start of the first interval, UTC, on the quarter of an hour."""
    pv_share: Mapping[str, Floats]
    """What the sun offers each PV plant over its rating, shape (interval, step) [1]. Plants that
    share a series may share the array."""
    load_kw: Floats
    """Consumption of the whole segment, shape (interval, step) [kW]."""

    @property
    def steps(self) -> int:
        """Steps in an interval."""
        return int(self.load_kw.shape[1])

    def __len__(self) -> int:
        """Number of intervals."""
        return len(self.load_kw)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ahead:
    """What each interval of a day expects of the intervals from it on."""

    pv_share: Floats
    """Of each kind of plant, shape (interval, ahead, kind) [1]."""
    load_kw: Floats
    """Shape (interval, ahead) [kW]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DayInput:
    """One local day of 92, 96 or 100 intervals, as arrays.

    PV is told by kind of plant, in shares of the rating: plants that face alike under the same sky
    are of one kind.
    """

    day: date
    """Local."""
    starts: NDArray[np.datetime64]
    """UTC, shape (interval,)."""
    kind: Mapping[str, int]
    """Kind of each PV plant."""
    pv_share: Floats
    """What the sun offers, shape (interval, step, kind) [1]."""
    load_kw: Floats
    """Shape (interval, step) [kW]."""
    before_share: Floats
    """What the sun offered in the step before each interval, shape (interval, kind) [1]."""
    before_kw: Floats
    """The load in the step before each interval: what a meter shows when it begins, shape
    (interval,) [kW]."""
    levels: tuple[float, ...]
    """Of the quantiles of sun and load (`forecasting.record.LEVELS`), shape (level,) [1]."""
    expected_share: Floats
    """Mean of the interval, as forecast when it begins, shape (interval, kind) [1]."""
    lower_share: Floats
    upper_share: Floats
    """What no sky exceeds."""
    quantiles_share: Floats
    """At `levels`, shape (interval, kind, level); no levels: none known [1]."""
    method: NDArray[np.str_]
    """Who forecast, shape (interval, kind)."""
    load_expected_kw: Floats
    """Shape (interval,) [kW]."""
    load_quantiles_kw: Floats
    """Shape (interval, level), NaN where not known [kW]."""
    load_lower_kw: Floats
    """Least load, shape (interval,), NaN where only the meter's band is known [kW]."""
    load_upper_kw: Floats
    ahead: Ahead | None = None
    """None: the policy does not look ahead."""
    intervals_left: int = 0
    """From this day's first interval to the end of the period, for `end_soc`."""
    lowest_load_kw: float | None = None
    """Of any step of the period, for caps that are set up once; None: the site's [kW]."""
    highest_load_kw: float | None = None
    """Likewise."""

    def __len__(self) -> int:
        """Number of intervals."""
        return len(self.starts)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceState:
    """What one device does and holds."""

    p_kw: float = 0.0
    q_kvar: float = 0.0
    cap_kw: float | None = None
    """PV: cap in force; None: none [kW]."""
    soc_pct: float | None = None
    """Battery: state of charge [%]."""
    v_pu: float | None = None
    """Voltage it measures; None: nothing was solved yet [pu]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayState:
    """What a day leaves to the next."""

    devices: Mapping[str, DeviceState]
    regulation: Regulation | None = None
    """Where taps and capacitors of the truth stand; None: at rest before the first interval."""
    previous: CycleRecord | None = None
    """The last cycle; None: there was none."""
    imported_kw: float = 0.0
    """Mean import of its interval, in the truth [kW]."""
    peak_kw: float = 0.0
    """Highest import of the month that the next interval counts, 0 where it begins a month, or none
    is charged [kW]."""

    @classmethod
    def at_start(cls, case: Case) -> Self:
        """Nothing commanded, nothing generated, batteries as the case has them."""
        devices = {d.name: DeviceState() for d in case.site.ders}
        for bes in case.site.bess:
            devices[bes.name] = DeviceState(
                soc_pct=min(max(case.soc_start_pct, bes.soc_min_pct), bes.soc_max_pct)
            )
        return cls(devices=devices)

    def agrees(self, other: "DayState") -> bool:
        """Whether the next day goes alike from both, as far as devices, taps and a peak tell.

        What feedback remembers of measured voltages is not compared.
        """
        if self.devices.keys() != other.devices.keys():
            return False
        pairs = [(d, other.devices[name]) for name, d in self.devices.items()]
        return (
            self.regulation == other.regulation
            and abs(self.peak_kw - other.peak_kw) <= SAME_KW
            and all(_alike(a, b) for a, b in pairs)
        )

    def to_bytes(self) -> bytes:
        """As compressed JSON; the same state gives the same bytes."""
        document = {
            "devices": {
                name: {key: getattr(d, key) for key in DeviceState.__slots__}
                for name, d in self.devices.items()
            },
            "regulation": self.regulation
            and {
                "taps": {k: list(v) for k, v in self.regulation.taps.items()},
                "capacitors": {k: list(v) for k, v in self.regulation.capacitors.items()},
            },
            "previous": self.previous and json.loads(to_json(self.previous)),
            "imported_kw": self.imported_kw,
            "peak_kw": self.peak_kw,
        }
        return gzip.compress(json.dumps(document).encode(), compresslevel=1, mtime=0)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """What `to_bytes` wrote.

        Raises:
            OSError, ValueError, KeyError: it is no such file.
        """
        document: dict[str, Any] = json.loads(gzip.decompress(data))
        stood, last = document["regulation"], document["previous"]
        return cls(
            devices={name: DeviceState(**d) for name, d in document["devices"].items()},
            regulation=stood
            and Regulation(
                taps={k: tuple(v) for k, v in stood["taps"].items()},
                capacitors={k: tuple(v) for k, v in stood["capacitors"].items()},
            ),
            previous=last and from_json(json.dumps(last)),
            imported_kw=document["imported_kw"],
            peak_kw=document["peak_kw"],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DayResult:
    """One day simulated."""

    rows: pa.Table
    """One per interval, in the columns of `ems.backtest.rows`."""
    state: DayState
    seconds: float
    """Wall time of it all [s]."""


def utc(start: np.datetime64) -> datetime:
    """An instant of `DayInput.starts`, aware."""
    return datetime.fromtimestamp(int(start.astype("datetime64[s]").astype(np.int64)), tz=UTC)


def kinds_of(day: DayInput, pvs: tuple[Pv, ...]) -> Ints:
    """Kind of each PV plant in the site's order, shape (plant,)."""
    return np.array([day.kind[pv.name] for pv in pvs], dtype=np.int64)


def _alike(a: DeviceState, b: DeviceState) -> bool:
    soc = abs((a.soc_pct or 0.0) - (b.soc_pct or 0.0)) <= SAME_SOC_PCT
    near = abs(a.p_kw - b.p_kw) <= SAME_KW and abs(a.q_kvar - b.q_kvar) <= SAME_KW
    return soc and near and a.cap_kw == b.cap_kw
