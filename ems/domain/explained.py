"""What the network cost, and why."""

from dataclasses import dataclass

from ems.domain.costs import HOURS
from ems.domain.decided import Dispatch, RowKind


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitPrice:
    """A limit that binds, by all its rows together."""

    kind: RowKind
    place: str
    """In an engineer's words: `B13 phase 1`, `B13` where its phases are one limit, `line l1`."""
    limit: float
    """[pu, %, or kW at the grid; of a power factor 1]."""
    price: float
    """Cost saved per unit of relief [$/h per pu, per %, per kW or per kvar]."""
    slack: float
    """How far it could not be kept: its price is then a penalty, not a worth [pu, %, kW, kvar]."""
    relief_usd_per_h: float
    """What all DERs moved for it together, at its price [$/h]."""
    case: str = ""
    """Of the interval, in which it binds most dearly; empty for a limit of no case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What one more kWh, and one more kvarh, of a DER costs through one limit.

    Negative where it relieves the limit.
    """

    place: str
    """Of the limit, as in `LimitPrice`."""
    usd_per_kwh: float
    usd_per_kvarh: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """How far the network moved one DER, which limit did it, and what it comes to.

    `cost = relief − device + unattributed`, each in $/h.
    """

    der: str
    moved_kw: float
    """Constrained minus unconstrained active power [kW]."""
    moved_kvar: float
    limits: tuple[str, ...]
    """Places that bind and that this DER bears on, dearest first, three at most."""
    worth: tuple[Worth, ...] = ()
    """Of these places, in the same order."""
    limits_usd_per_kwh: float = 0.0
    """What one more kWh costs through all limits together [$/kWh]."""
    limits_usd_per_kvarh: float = 0.0
    energy_usd_per_kwh: float = 0.0
    """What one more kWh saves, were there no limit: energy from the grid less fuel or the
    worth of what is stored [$/kWh]."""
    cost_usd_per_h: float = 0.0
    """What its move costs by itself [$/h]."""
    relief_usd_per_h: float = 0.0
    """What its move relieves the limits, at their prices [$/h]."""
    device_usd_per_h: float = 0.0
    """Relief beyond its cost, ≥ 0: what the device's own limits take up (rating, ramp, charge,
    reactive power); of a PV plant also the optimiser's small worth of a cap [$/h]."""
    unattributed_usd_per_h: float = 0.0
    """Cost that no price explains, ≥ 0: caps held back after the optimum, a generator switched
    on or off, a rule that ties DERs together [$/h]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterfactual:
    """What another limit, or another device, would have saved: solved again, not estimated."""

    what: str
    """`voltage allowed up to 1.11 instead of 1.10 pu`, `4400 kvar of pv instead of none`."""
    saves_usd_per_h: float
    """Of what was minimised [$/h]."""
    price_usd_per_h_per_unit: float
    """What the price at the present dispatch promises; the saving is never more than this
    times the step on the linear problem [$/h per unit]."""
    step: float
    """How much was changed, in `unit`."""
    unit: str
    """`pu`, `%` or `kvar`."""
    verified: bool = False
    """Whether load flows proved the other dispatch; else the present rows were solved again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Why the dispatch is what it is.

    It closes: `objective = relief − device + unattributed`, each over ALL DERs, in $/h.
    """

    sentence: str
    compliance_usd_per_h: float
    """Cost of the secure dispatch less that of the free one: energy and fuel [$/h]."""
    demand_usd: float = 0.0
    """What the secure dispatch lifts the month's peak by, at its price; paid once [$]."""
    compliance_demand_usd: float = 0.0
    """Of it, what the free dispatch would not have paid [$]."""
    entries: tuple[LedgerEntry, ...] = ()
    """Of the DERs that moved, or whose cap stands, in site order."""
    limits: tuple[LimitPrice, ...] = ()
    """That bind, dearest first."""
    objective_usd_per_h: float = 0.0
    """Like `compliance_usd_per_h`, of what was minimised: with the worth of what is stored, the
    price on reactive power, and a new peak as a rate [$/h]."""
    relief_usd_per_h: float = 0.0
    device_usd_per_h: float = 0.0
    unattributed_usd_per_h: float = 0.0
    """Also what the objective holds beyond the DERs' own terms, e.g. an export price."""
    counterfactuals: tuple[Counterfactual, ...] = ()

    def energy_usd_per_h(self, sent: Dispatch) -> float:
        """Grid energy and fuel of the secure dispatch, without what a new peak costs [$/h]."""
        return sent.cost_usd_per_h - self.demand_usd / HOURS

    @property
    def compliance_usd(self) -> float:
        """What keeping the limits costs in this interval [$]."""
        return self.compliance_usd_per_h * HOURS + self.compliance_demand_usd
