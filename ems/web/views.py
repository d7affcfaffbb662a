"""What the REST interface answers, as pydantic models: units in the names."""

import math
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _finite(value: Any) -> Any:
    """JSON has no NaN: what is not a finite number is null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]


class View(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(use_attribute_docstrings=True, frozen=True)


class DerView(View):
    """One DER in one cycle: asked, measured, read back."""

    der: str
    """Name in the site file."""
    kind: str
    """`pv`, `bes` or `dg`; empty for a DER the site no longer has."""
    bus: str
    setpoint_kw: Number
    """Active power asked for; of a PV plant the production expected under its cap [kW]."""
    setpoint_kvar: Number
    """Reactive power asked for, injection positive [kvar]."""
    cap_kw: Number
    """PV only: largest active power allowed; null: no cap [kW]."""
    free_kw: Number
    """Active power without network limits [kW]."""
    free_kvar: Number
    available_kw: Number
    """PV only: power expected to be available, were there no cap [kW]."""
    available_method: str
    """How that was forecast; empty for anything that is not PV."""
    available_notes: tuple[str, ...]
    """Why not by a better method, and what is odd about the plant; empty where nothing is."""
    available_quantiles_kw: dict[str, Number]
    """Its quantiles by level (`0.05`); empty where there are none [kW]."""
    measured_kw: Number
    """Active power measured when the cycle began [kW]."""
    measured_kvar: Number
    measured_v_pu: Number
    measured_available_kw: Number
    """PV only: power the device says it could make; null where it does not say [kW]."""
    soc_pct: Number
    """State of charge; null for anything that is not a battery [%]."""
    quality: str
    """Of the measurement: `good`, `stale` or `assumed`."""
    outcome: str
    """`sent`, `partial`, `refused`, `advised`, or `none` where nothing was commanded."""
    reason: str
    """Why the command is neither sent nor advised; else empty."""
    readback_kw: Number
    """Setpoint in the device's registers after the write; of a generator that is led to its
    setpoint, the first step [kW]."""
    readback_kvar: Number
    readback_cap_kw: Number
    first_step_kw: Number
    """Of a generator that is led to its setpoint along its ramp: what it was sent when the cycle
    ended; null where it was asked for all of it [kW]."""
    kept: bool
    """Whether it was left at what it held, being within the deadband of what was decided."""
    limits: tuple[str, ...]
    """Places that bind and that this DER bears on, dearest first, three at most."""
    energy_usd_per_kwh: Number
    """What one more kWh of it saves, were there no limit; null where it was not moved [$/kWh]."""
    limits_usd_per_kwh: Number
    """What one more kWh of it costs through all limits that bind [$/kWh]."""
    moved_usd_per_h: Number
    """What the limits' move of it costs by itself [$/h]."""


class LimitCostView(View):
    """A limit that binds."""

    what: str
    """`B13 phase 1 at its 1.05 pu limit`."""
    relief_usd_per_h: Number
    """What all DERs moved for it together, at its price [$/h]."""


class CounterfactualView(View):
    """What another limit or device would have saved, by solving again."""

    what: str
    """`voltage allowed up to 1.11 instead of 1.10 pu`."""
    saves_usd_per_h: Number
    verified: bool
    """Whether load flows proved it."""


class VoltageView(View):
    """Voltage of one node."""

    node: str
    """`BUS.phase`."""
    bus: str
    v_pu: Number
    """With the dispatch sent [pu]."""
    free_v_pu: Number
    """With the dispatch that minds no network limit [pu]."""


class PlanIntervalView(View):
    """One interval of a plan."""

    start: datetime
    """Start of the interval, UTC."""
    price_usd_per_kwh: Number
    load_kw: Number
    grid_kw: Number
    """Import [kW]."""
    cost_usd: Number
    """Grid energy and fuel in the interval [$]."""
    setpoints_kw: dict[str, Number]
    """Active power of each DER [kW]."""
    soc_pct: dict[str, Number]
    """State of charge of each battery when the interval ends [%]."""


class PlanView(View):
    """The day ahead, planned: its first interval was sent, the rest is what is meant."""

    status: str
    """`optimal`, or `acceptable` where another plan could be cheaper by `gap_usd`."""
    gap_usd: Number
    """How much cheaper another plan could be at most [$]."""
    total_cost_usd: Number
    """Grid energy and fuel over all intervals [$]."""
    stored_usd_per_kwh: dict[str, Number]
    """Worth of one more kWh in each battery when the first interval ends [$/kWh]."""
    shortfall_kwh: dict[str, Number]
    """What each battery will lack of what it must hold at the end [kWh]."""
    intervals: tuple[PlanIntervalView, ...]
    """In order, the first one that of the dispatch."""


class LimitsView(View):
    """What the grid code asks of the feeder."""

    v_min_pu: float
    v_max_pu: float
    loading_max_pct: float | None


class DispatchSummary(View):
    """One cycle in a line."""

    start: datetime
    """Start of the interval, UTC."""
    status: str
    """`verified`, `degraded` or `infeasible`."""
    reason: str
    """Why the dispatch is what it is, in one sentence."""
    price_usd_per_kwh: Number
    cost_usd_per_h: Number
    """Grid energy and fuel [$/h]."""
    demand_usd: Number
    """What a new peak of the month adds to the demand charge, once [$]."""
    compliance_usd_per_h: Number
    """What keeping the network limits costs in energy and fuel [$/h]."""
    compliance_demand_usd: Number
    """Of `demand_usd`, what keeping the network limits adds [$]."""
    grid_kw: Number
    """Import expected [kW]."""
    load_kw: Number
    """Load expected [kW]."""
    v_max_pu: Number
    """Highest voltage [pu]."""
    v_max_node: str
    v_min_pu: Number
    """Lowest voltage [pu]."""
    v_min_node: str
    pv_available_kw: Number
    """Power all PV plants together were expected to have available [kW]."""
    pv_available_low_kw: Number
    """Where each of them has the power it exceeds in 9 of 10 intervals; null: not known [kW]."""
    pv_available_high_kw: Number
    """Where each of them has the power it exceeds in 1 of 10 intervals; null: not known [kW]."""
    setpoints_kw: dict[str, Number]
    """Active power asked of each DER [kW]."""
    measured_kw: dict[str, Number]
    """Mean over the interval of each DER and of the `load`; null where unknown [kW]."""
    alarms: tuple[str, ...]


class DispatchView(DispatchSummary):
    """One cycle in full."""

    end: datetime
    """End of the interval, UTC."""
    site: str
    decided_at: datetime
    """When the state it started from was measured, UTC."""
    head_kw: Number
    """Active power at the feeder head by the load flow, import positive [kW]."""
    head_kvar: Number
    losses_kw: Number
    free_cost_usd_per_h: Number
    """Grid energy and fuel without network limits [$/h]."""
    compliance_usd: Number
    """What keeping the network limits costs in this interval [$]."""
    binding: tuple[LimitCostView, ...]
    """Limits that bind, dearest first."""
    counterfactuals: tuple[CounterfactualView, ...]
    """What another limit or device would have saved."""
    free_v_max_pu: Number
    """Highest voltage without network limits [pu]."""
    loading_max_pct: Number
    """Largest loading of a line or transformer [% of its rating]."""
    loading_max_element: str
    linearisations: int
    """Rounds of load flow and re-solve."""
    limits: LimitsView
    ders: tuple[DerView, ...]
    voltages: tuple[VoltageView, ...]
    violations: tuple[str, ...]
    """Limits that remain broken, worst first."""
    notes: tuple[str, ...]
    plan: PlanView | None
    """The day ahead; null where the interval was decided alone."""
    stage_s: dict[str, Number]
    """Wall time per stage [s]."""
    versions: dict[str, str]


class ForecastView(View):
    """What one cycle expected of one PV plant, or of the load."""

    start: datetime
    device: str
    """Name of the PV plant, or `load`."""
    expected_kw: Number
    lower_kw: Number
    """Lower bound that the proofs reckon with [kW]."""
    upper_kw: Number
    """Upper bound; caps are verified up to here [kW]."""
    method: str
    notes: tuple[str, ...]
    """Why not a better method, and what is odd about the plant; of cycles that an older version
    kept, none."""
    quantiles_kw: dict[str, Number]
    """Quantiles of its mean over the interval, by level (`0.05`); empty: none [kW]."""


class SetpointView(View):
    """What one DER was asked in one cycle, and what became of it."""

    start: datetime
    der: str
    p_kw: Number
    """Active power asked for, generation and discharge positive [kW]."""
    q_kvar: Number
    """Reactive power asked for, injection positive [kvar]."""
    cap_kw: Number
    """PV only; null: no cap [kW]."""
    outcome: str
    """`sent`, `partial`, `refused`, `advised`, or `none` where nothing was commanded."""
    reason: str
    readback_p_kw: Number
    """Active-power setpoint in the device's registers after the write [kW]."""
    readback_q_kvar: Number
    readback_cap_kw: Number


class MeasurementView(View):
    """Mean of one device's polls over one minute."""

    time: datetime
    """Start of the minute, UTC."""
    device: str
    """Name of the DER, or `load`."""
    p_kw: Number
    """A DER's injection, or the load's consumption [kW]."""
    q_kvar: Number
    v_pu: Number
    soc_pct: Number
    capped: bool
    """Whether a cap was in force at any poll, binding or not."""
    cap_kw: Number
    """Lowest of these caps; null where none was, or its height is not known [kW]."""
    available_kw: Number
    """PV only: what the device says it could make, were it not capped [kW]."""
    polls: int
    minutes: int
    """Time the mean covers; more than 1 for imported history [min]."""


class InstalledDer(View):
    """One DER of the site."""

    der: str
    kind: str
    """`pv`, `bes` or `dg`."""
    bus: str
    rated_kw: float
    q_max_kvar: float
    capacity_kwh: float | None
    """Batteries only [kWh]."""


class SiteView(View):
    """What is installed."""

    name: str
    latitude_deg: float
    longitude_deg: float
    load_max_kw: float
    limits: LimitsView
    ders: tuple[InstalledDer, ...]


class ReadyView(View):
    """Whether the service can be relied on."""

    ready: bool
    why: str
    """What it waits for; empty when ready."""
