"""What is installed on a segment, and how it is run."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from ems.domain.ahead import TerminalSoc
from ems.domain.mismatch import Feedback
from feeders.values import DerPlacement

RUNNING_SHARE = 0.1
"""Share of its rating from which a generator without a least power gives all its Q [1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pv:
    """A photovoltaic plant."""

    name: str
    bus: str
    rated_kw: float
    """Active power at unity power factor [kW]."""
    q_max_kvar: float = 0.0
    """Reactive power it may inject or absorb at any active power [kvar]."""
    s_max_kva: float | None = None
    """Capability of the inverter, P² + Q² ≤ S²; None: P and Q each to its own limit [kVA]."""
    reversion_kw: float = 0.0
    """Cap the device falls back to by itself when GEEMS is silent [kW]."""
    tilt_deg: float = 20.0
    """Tilt of the modules from horizontal [°]."""
    azimuth_deg: float = 180.0
    """Direction the modules face, clockwise from north [°]."""
    phases: int = 3
    group: str = ""
    """Plants that bear curtailment alike under `equal_share`: a service transformer, or any name;
    empty for the group of all that name none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bes:
    """A battery energy storage."""

    name: str
    bus: str
    rated_kw: float
    """Largest charge and discharge power at the bus [kW]."""
    capacity_kwh: float
    """Usable energy from 0 to 100 % state of charge [kWh]."""
    soc_min_pct: float = 20.0
    soc_max_pct: float = 100.0
    eta_charge: float = 0.92
    """Energy stored per energy taken at the bus [1]."""
    eta_discharge: float = 0.92
    """Energy delivered at the bus per energy drawn from storage [1]."""
    weight_usd_per_kwh: float = 0.16
    """w_es of eq. (1): worth of one kWh that storage can deliver at the bus [$/kWh]."""
    q_max_kvar: float = 0.0
    s_max_kva: float | None = None
    """Capability of the inverter, P² + Q² ≤ S²; None: P and Q each to its own limit [kVA]."""
    phases: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Dg:
    """A dispatchable generator (diesel)."""

    name: str
    bus: str
    rated_kw: float
    cost_usd_per_kwh: float
    """Fuel and wear per energy delivered [$/kWh]."""
    min_kw: float = 0.0
    """Least power while it runs [kW]."""
    ramp_up_kw_per_h: float = float("inf")
    """R^U [kW/h]."""
    ramp_down_kw_per_h: float = float("inf")
    """R^D [kW/h]."""
    q_max_kvar: float = 0.0
    reversion_kw: float = 0.0
    """Power the device falls back to by itself when GEEMS is silent [kW]."""
    phases: int = 3

    @property
    def full_q_kw(self) -> float:
        """Power from which all its reactive power is counted on [kW]."""
        return max(self.min_kw, RUNNING_SHARE * self.rated_kw)

    def towards(self, from_kw: float, to_kw: float, seconds: float) -> float:
        """The furthest setpoint on the way that its ramp reaches in some seconds [kW].

        Between off and its least power it cannot stay: that part of the way is a step of its own.
        """
        if to_kw >= from_kw:
            return min(to_kw, max(from_kw + self.ramp_up_kw_per_h * seconds / 3600.0, self.min_kw))
        if from_kw <= self.min_kw:
            return to_kw
        return max(to_kw, self.min_kw, from_kw - self.ramp_down_kw_per_h * seconds / 3600.0)


Der = Pv | Bes | Dg


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the grid code asks of the feeder."""

    v_min_pu: float
    v_max_pu: float
    loading_max_pct: float | None = 100.0
    """Largest loading of a line or transformer; None leaves loading unwatched [%]."""
    load_band_pct: float = 2.0
    """How far the load may move within an interval; every setpoint is verified at
    both ends [% of the measured load]."""
    momentary_v_min_pu: float | None = None
    """Lowest voltage until regulators that are about to act have done so; None: as at any time
    [pu]."""
    momentary_v_max_pu: float | None = None
    """Likewise the highest [pu]."""

    def momentarily(self) -> "Limits":
        """What is asked until regulators and capacitor controls have acted."""
        return replace(
            self,
            v_min_pu=self.v_min_pu if self.momentary_v_min_pu is None else self.momentary_v_min_pu,
            v_max_pu=self.v_max_pu if self.momentary_v_max_pu is None else self.momentary_v_max_pu,
        )


@dataclass(frozen=True, kw_only=True)
class Site:
    """What is installed on one feeder segment, and what it must keep.

    Without slots: DERs by kind are picked out once, and a cycle asks for them a hundred times.
    """

    name: str
    latitude_deg: float
    longitude_deg: float
    ders: tuple[Der, ...]
    limits: Limits
    load_max_kw: float
    """Largest load of the segment [kW]."""
    load_min_kw: float
    """Lowest load of the segment; reversion values are verified at it [kW]."""
    loss_factor: float = 0.0
    """K of eq. (2): losses as a fraction of the load [1]."""
    q_cost_usd_per_kvarh: float = 1e-4
    """Small price on |Q| that makes the reactive setpoints unique [$/kvarh]."""
    curtailment_usd_per_kwh: float = 0.0
    """Price of PV energy that is available and not used [$/kWh]."""
    export_price_usd_per_kwh: float | None = None
    """What exported energy earns; None: as much as imported energy costs [$/kWh]."""
    import_limit_kw: float | None = None
    """Most power the segment takes from the grid [kW]."""
    export_limit_kw: float | None = None
    """Most power it gives to the grid, with every PV plant at its cap [kW]."""
    generation_limit_kw: float | None = None
    """Most that all DERs inject together, likewise, whatever the load takes of it [kW]."""
    demand_charge_usd_per_kw: float = 0.0
    """Price of raising the month's highest import [$/kW]."""
    power_factor_min: float | None = None
    """Least |cos φ| at the point of common coupling, leading or lagging [1]."""
    load_power_factor: float = 0.95
    """Of the load, lagging, where its reactive power is not known [1]."""
    fairness: Literal["least_cost", "equal_share", "proportional"] = "least_cost"
    """Who bears curtailment: whoever is cheapest; all of a group at the same fraction; or each by
    proportional fairness."""
    solver: Literal["auto", "ipopt", "highs"] = "auto"
    """Who solves: `auto` gives linear problems to HiGHS and quadratic ones to Ipopt."""
    zone: str = "UTC"
    """Time zone whose calendar months the demand charge is of."""

    @cached_property
    def pvs(self) -> tuple[Pv, ...]:
        """The PV plants, in site order."""
        return tuple(d for d in self.ders if isinstance(d, Pv))

    @cached_property
    def bess(self) -> tuple[Bes, ...]:
        """The batteries, in site order."""
        return tuple(d for d in self.ders if isinstance(d, Bes))

    @cached_property
    def dgs(self) -> tuple[Dg, ...]:
        """The generators, in site order."""
        return tuple(d for d in self.ders if isinstance(d, Dg))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all DERs, in site order."""
        return tuple(d.name for d in self.ders)

    @cached_property
    def placements(self) -> tuple[DerPlacement, ...]:
        """Where the DERs stand, for the feeder model."""
        return tuple(DerPlacement(name=d.name, bus=d.bus, phases=d.phases) for d in self.ders)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How the site is run."""

    mode: Literal["geems", "paper"] = "geems"
    """`paper`: one shot, rows at violating nodes, active power only."""
    control: Literal["advisory", "auto"] = "advisory"
    """`advisory` never writes."""
    reversion_s: int = 1800
    """After how long without a refresh a device falls back [s]."""
    keep_alive_s: float | None = None
    """How often commands in force are refreshed between cycles; None: nobody does [s]."""
    response_s: float = 30.0
    """How long a device may take until its measurement follows; a generator besides what its ramp
    takes [s]."""
    deadband_pct: float = 0.0
    """A setpoint nearer than this to what the device holds is left as it is [% of its rating]."""
    stale_after_s: float = 120.0
    """Age from which a measurement counts as stale [s]."""
    fit_losses: bool = False
    """K of eq. (2) is taken from the load flow of the cycle before, not from the site."""
    feedback: Feedback = field(default_factory=Feedback)
    """How far measured voltages correct the modelled ones."""
    solver_limit_s: float = 20.0
    """Wall time one dispatch may take in the solver, and all planning of one cycle together [s]."""
    look_ahead: bool = False
    """Plan the day ahead and send its first interval, in place of deciding by the weight w_es."""
    terminal_soc: TerminalSoc = "keep"
    """What batteries must hold when the plan ends."""
    reasons: bool = True
    """Whether a decision also tells what caution and its dearest limit cost: linear optimums beside
    the decision's own, of which nothing is sent. Without them both stand at nothing."""
