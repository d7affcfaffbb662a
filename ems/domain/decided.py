"""What is decided, and what a load flow says of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from feeders.values import LoadFlow

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setpoint:
    """What one DER is asked to hold until the next interval."""

    der: str
    """Name in the site file."""
    p_kw: float
    """Active power at the bus, generation and discharge positive; of a PV plant the
    production expected under its cap [kW]."""
    q_kvar: float
    """Reactive power at the bus, injection positive [kvar]."""
    cap_kw: float | None = None
    """PV only: largest active power allowed; None lifts the cap [kW]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmoved:
    """A DER that cannot be commanded now, and the range of what it may be doing.

    Every proof takes the end of the range that hurts.
    """

    expected: Setpoint
    """What it most likely holds."""
    high: Setpoint
    """The most it may inject, of P and of Q; of a PV plant its widest cap."""
    low: Setpoint
    """The least it may inject."""


class RowKind(StrEnum):
    """Which limit a network row keeps."""

    V_MAX = "v_max"
    V_MIN = "v_min"
    LOADING = "loading"
    IMPORT = "import"
    """Power taken at the point of common coupling [kW]."""
    EXPORT = "export"
    """Power given there, every PV plant at its cap [kW]."""
    GENERATION = "generation"
    """What all DERs inject together, every PV plant at its cap [kW]."""
    POWER_FACTOR = "power_factor"
    """Reactive power there, of either sign, against active power [kvar]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRow:
    """One linear row of eq. (10):  Σ c_p·P + Σ c_q·Q ≤ bound.

    P of a PV plant is its cap (what it is expected to make, in a row of `IMPORT` or
    `POWER_FACTOR`). A lower voltage limit is written with its signs turned, so that every row
    reads ≤. Rows at the point of common coupling are in kW and kvar.
    """

    kind: RowKind
    place: str
    """Node (`B13.1`) or element (`line.l1`)."""
    limit: float
    """The limit kept, without margin [pu or %]."""
    c_p: Mapping[str, float]
    """Per kW of each DER [pu/kW or %/kW]."""
    c_q: Mapping[str, float]
    """Per kvar of each DER [pu/kvar or %/kvar]."""
    bound: float
    """Right-hand side, margin taken off [pu or %]."""
    case: str = ""
    """Of the interval, which it is linear around; empty for a row of no case, or not told."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowBlock:
    """Rows of eq. (10) side by side, as the dispatch takes them; `NetworkRow` is one of them.

    DERs of the site that are not in `ders` move none of the rows. Nothing here is recorded: what
    binds is (`RowPrice`).
    """

    ders: tuple[str, ...]
    """The columns of `c_p` and `c_q`, each once."""
    c_p: Floats
    """Per kW of each DER, shape (row, der) [pu/kW or %/kW]."""
    c_q: Floats
    """Per kvar of each DER, shape (row, der) [pu/kvar or %/kvar]."""
    bound: Floats
    """Right-hand sides, margin taken off, shape (row,) [pu or %]."""
    kind: tuple[RowKind, ...]
    place: tuple[str, ...]
    """Nodes (`B13.1`) or elements (`line.l1`)."""
    limit: Floats
    """The limits kept, without margin, shape (row,) [pu or %]."""
    case: tuple[str, ...] = ()
    """Cases of the interval, one for each row; empty where they are not told."""

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.bound)

    def row(self, i: int) -> NetworkRow:
        """One row by itself, its coefficients by name of the DER."""
        return NetworkRow(
            kind=self.kind[i],
            place=self.place[i],
            limit=float(self.limit[i]),
            c_p=dict(zip(self.ders, self.c_p[i].tolist(), strict=True)),
            c_q=dict(zip(self.ders, self.c_q[i].tolist(), strict=True)),
            bound=float(self.bound[i]),
            case=self.case[i] if self.case else "",
        )

    @classmethod
    def of(cls, rows: Sequence[NetworkRow], ders: tuple[str, ...]) -> "RowBlock":
        """Rows given one by one; `ders` holds at least every DER they name."""
        shape = (len(rows), len(ders))
        return cls(
            ders=ders,
            c_p=np.array([[r.c_p.get(n, 0.0) for n in ders] for r in rows]).reshape(shape),
            c_q=np.array([[r.c_q.get(n, 0.0) for n in ders] for r in rows]).reshape(shape),
            bound=np.array([r.bound for r in rows], dtype=float),
            kind=tuple(r.kind for r in rows),
            place=tuple(r.place for r in rows),
            limit=np.array([r.limit for r in rows], dtype=float),
            case=tuple(r.case for r in rows),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPrice:
    """A row that binds, and what it costs."""

    row: NetworkRow
    price: float
    """Cost saved per unit of relief, ≥ 0 [$/h per pu, or $/h per %]."""
    slack: float
    """How far the row could not be kept, 0 where it was [pu or %]."""


class SolverStatus(StrEnum):
    """How an optimisation ended."""

    OPTIMAL = "optimal"
    ACCEPTABLE = "acceptable"
    INFEASIBLE = "infeasible"
    UNBOUNDED = "unbounded"
    TIME_LIMIT = "time_limit"
    ITERATION_LIMIT = "iteration_limit"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """One solution of eq. (1)–(9), with rows of eq. (10) or without."""

    setpoints: Mapping[str, Setpoint]
    grid_kw: float
    """Import expected by eq. (2) [kW]."""
    price_usd_per_kwh: float
    """Grid energy price in this interval [$/kWh]."""
    cost_usd_per_h: float
    """Grid energy, fuel and demand charge, with neither storage weight nor penalties [$/h]."""
    objective_usd_per_h: float
    """What was minimised, eq. (1), penalties apart [$/h]."""
    status: SolverStatus
    binding: tuple[RowPrice, ...] = ()
    solve_s: float = 0.0
    """Wall time in the solver [s]."""
    kkt_residual: float = 0.0
    """Largest scaled residual of the optimality conditions [1]."""
    solver: str = ""
    """Who solved it: `ipopt` or `highs`; empty where nobody did."""
    loss_factor: float | None = None
    """K of eq. (2) it was solved with; None: the site's [1]."""
    peak_kw: float | None = None
    """The month's highest import before this interval; None: no demand charge applied [kW]."""
    demand_usd_per_kwh: float | None = None
    """What one more kWh from the grid in this interval adds to the demand charge by the plan:
    nothing where a later one sets the peak. None: no plan; all above `peak_kw` [$/kWh]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A limit that a load flow shows broken."""

    kind: RowKind
    place: str
    value: float
    """Voltage [pu] or loading [%]."""
    limit: float
    case: str
    """Which case of the interval it was found in."""

    def __str__(self) -> str:
        if not math.isfinite(self.value):  # the load flow had no solution: its place says so
            return f"{self.place} ({self.case})"
        unit = "%" if self.kind is RowKind.LOADING else "pu"
        side = "below" if self.kind is RowKind.V_MIN else "above"
        by = abs(self.value - self.limit)
        return (
            f"{self.place} at {self.value:.4f} {unit}, {by:.4f} {unit} {side} "
            f"{self.limit:g} {unit} ({self.case})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A dispatch that a converged load flow shows to keep every limit."""

    dispatch: Dispatch
    load_flow: LoadFlow
    """Load flow at the expected operating point."""
    free_load_flow: LoadFlow | None = None
    """Load flow of the unconstrained dispatch, where it was solved."""
    linearisations: int = 0
    caution_usd_per_h: float = 0.0
    """Cost of holding for the whole band of the forecast and not only for what is expected
    [$/h]."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Degraded:
    """Verified, but on a lower rung of the ladder than wanted; says which and why."""

    dispatch: Dispatch
    load_flow: LoadFlow
    reason: str
    free_load_flow: LoadFlow | None = None
    linearisations: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Infeasible:
    """No dispatch was found that a load flow verifies: the reversion set goes out."""

    dispatch: Dispatch
    """The reversion set, priced."""
    load_flow: LoadFlow
    """Load flow of the reversion set."""
    reason: str
    violations: tuple[Violation, ...]
    """What remains broken, worst first."""
    free_load_flow: LoadFlow | None = None
    linearisations: int = 0
    notes: tuple[str, ...] = ()


Secured = Verified | Degraded | Infeasible
