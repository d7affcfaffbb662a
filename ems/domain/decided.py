"""What is decided, and what a load flow says of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from feeders.values import LoadFlow


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


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRow:
    """One linear row of eq. (10):  Σ c_p·P + Σ c_q·Q ≤ bound.

    P of a PV plant is its cap. A lower voltage limit is written with its signs
    turned, so that every row reads ≤.
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
    """Grid energy and fuel, with neither storage weight nor penalties [$/h]."""
    objective_usd_per_h: float
    """What was minimised, eq. (1), penalties apart [$/h]."""
    status: SolverStatus
    binding: tuple[RowPrice, ...] = ()
    solve_s: float = 0.0
    """Wall time in the solver [s]."""
    kkt_residual: float = 0.0
    """Largest scaled residual of the optimality conditions [1]."""


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
        unit = " %" if self.kind is RowKind.LOADING else " pu"
        side = "below" if self.kind is RowKind.V_MIN else "above"
        return f"{self.place} at {self.value:.4f}{unit}, {side} {self.limit:g}{unit} ({self.case})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A dispatch that a converged load flow shows to keep every limit."""

    dispatch: Dispatch
    load_flow: LoadFlow
    """Load flow at the expected operating point."""
    free_load_flow: LoadFlow | None = None
    """Load flow of the unconstrained dispatch, where it was solved."""
    linearisations: int = 0
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
