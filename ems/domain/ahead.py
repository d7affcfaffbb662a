"""What a horizon of intervals is expected to bring, and what is planned in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Literal

from ems.domain.decided import SolverStatus

TerminalSoc = Literal["keep", "free"] | float
"""What a battery must hold when the horizon ends: `keep`, no less than now; `free`, whatever pays;
or a least state of charge [%]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HorizonForecast:
    """What the caller expects of the intervals ahead, the first of them the one to decide."""

    load_kw: tuple[float, ...]
    """Consumption, shape (interval,) [kW]."""
    pv_kw: Mapping[str, tuple[float, ...]]
    """Power each PV plant could make, were it not capped, shape (interval,) [kW]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizon:
    """The intervals a plan is made for. Every series has shape (interval,)."""

    starts: tuple[datetime, ...]
    """Start of each interval, UTC."""
    price_usd_per_kwh: tuple[float, ...]
    """Price of energy from the grid [$/kWh]."""
    export_usd_per_kwh: tuple[float, ...] | None = None
    """What the grid pays for energy; None: its own price [$/kWh]."""
    load_kw: tuple[float, ...]
    """Consumption, losses not counted [kW]."""
    pv_kw: Mapping[str, tuple[float, ...]]
    """Power each PV plant could make, were it not capped [kW]."""
    terminal: TerminalSoc = "keep"
    notes: tuple[str, ...] = ()
    """What of the outlook was missing or not used, one line each."""
    faults: tuple[str, ...] = ()
    """As of `Forecast`: of the models of the day ahead."""

    def __post_init__(self) -> None:
        """Refuse series of unequal length, telling all of them."""
        series: dict[str, Sequence[object]] = {
            "price_usd_per_kwh": self.price_usd_per_kwh,
            "load_kw": self.load_kw,
            **{f"pv_kw[{name}]": values for name, values in self.pv_kw.items()},
        }
        if self.export_usd_per_kwh is not None:
            series["export_usd_per_kwh"] = self.export_usd_per_kwh
        n = len(self.starts)
        faults = [f"{k} has {len(v)} values" for k, v in series.items() if len(v) != n]
        if faults or n == 0:
            raise ValueError(f"a horizon of {n} intervals: {'; '.join(faults) or 'give one'}")

    def __len__(self) -> int:
        """Number of intervals."""
        return len(self.starts)

    @property
    def selling_usd_per_kwh(self) -> tuple[float, ...]:
        """What the grid pays in each interval [$/kWh]."""
        return (
            self.price_usd_per_kwh if self.export_usd_per_kwh is None else self.export_usd_per_kwh
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageValue:
    """What energy in one battery is worth when the first interval ends: concave, piecewise linear.

    Only differences count. Outside the breakpoints there is no value: the battery cannot, or
    must not, hold that much.
    """

    kwh: tuple[float, ...]
    """Breakpoints of the stored energy, ascending, shape (piece + 1,) [kWh]."""
    usd_per_kwh: tuple[float, ...]
    """Worth of one more stored kWh on each piece, descending, shape (piece,) [$/kWh]."""

    def worth_usd(self, kwh: float) -> float:
        """Worth of holding `kwh` rather than the first breakpoint [$].

        Raises:
            ValueError: `kwh` lies outside the breakpoints.
        """
        if not self.kwh[0] - 1e-6 <= kwh <= self.kwh[-1] + 1e-6:
            raise ValueError(f"{kwh:.3f} kWh lies outside {self.kwh[0]:.3f}–{self.kwh[-1]:.3f} kWh")
        pieces = zip(pairwise(self.kwh), self.usd_per_kwh, strict=True)
        return sum(slope * max(0.0, min(kwh, hi) - lo) for (lo, hi), slope in pieces)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoragePlan:
    """One battery over the horizon. Series have shape (interval,)."""

    start_kwh: float
    """Stored energy now [kWh]."""
    kwh: tuple[float, ...]
    """Stored energy at the END of each interval [kWh]."""
    soc_pct: tuple[float, ...]
    """The same as state of charge [%]."""
    lowest_kwh: float
    """Least energy it may hold in the plan [kWh]."""
    highest_kwh: float
    """Most energy it may hold in the plan [kWh]."""
    terminal_kwh: float | None
    """Least energy at the end of the horizon; None: free [kWh]."""
    shortfall_kwh: float
    """How far that is missed, because it cannot be reached in time [kWh]."""
    shortfall_usd_per_kwh: float
    """Price the plan puts on missing it [$/kWh]."""
    bus_usd_per_kwh: tuple[float, ...]
    """Worth of one more kWh delivered at its bus [$/kWh]: the energy price, less what rows of
    eq. (10) that bind make of it."""
    marginal_usd_per_kwh: float
    """Worth of one more kWh stored when the first interval ends: the multiplier of its charge
    balance [$/kWh]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A horizon decided: its first interval is sent, the rest is shown.

    Series have shape (interval,).
    """

    starts: tuple[datetime, ...]
    price_usd_per_kwh: tuple[float, ...]
    load_kw: tuple[float, ...]
    p_kw: Mapping[str, tuple[float, ...]]
    """Active power of each DER, injection positive [kW]."""
    storage: Mapping[str, StoragePlan]
    """Each battery's state, and what its energy is worth."""
    grid_kw: tuple[float, ...]
    """Import by eq. (2) [kW]."""
    cost_usd: tuple[float, ...]
    """Grid energy and fuel of each interval [$]."""
    status: SolverStatus
    """`OPTIMAL`: no plan costs less; `ACCEPTABLE`: none costs less by more than `gap_usd`."""
    gap_usd: float
    """How much cheaper another plan could be at most [$]."""
    either_or: int
    """Decisions between charge and discharge, off and running, that needed a binary."""
    wall_s: float
    """Wall time from the numbers to the plan [s]."""
    q_kvar: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Reactive power of each DER, injection positive; 0 in intervals without rows of eq. (10),
    where nothing asks for it [kvar]."""

    @property
    def total_cost_usd(self) -> float:
        """Grid energy and fuel over the horizon [$]."""
        return sum(self.cost_usd)

    def to_rows(self) -> list[dict[str, str | float]]:
        """One flat row per interval, fit for a table or JSON; `pv_kw`, `bes_soc_pct` by name."""
        rows: list[dict[str, str | float]] = []
        for t, start in enumerate(self.starts):
            row: dict[str, str | float] = {
                "start": start.isoformat(),
                "price_usd_per_kwh": self.price_usd_per_kwh[t],
                "load_kw": self.load_kw[t],
                "grid_kw": self.grid_kw[t],
                "cost_usd": self.cost_usd[t],
            }
            row |= {f"{name}_kw": series[t] for name, series in self.p_kw.items()}
            row |= {f"{name}_soc_pct": s.soc_pct[t] for name, s in self.storage.items()}
            rows.append(row)
        return rows
