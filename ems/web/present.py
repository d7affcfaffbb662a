"""From a cycle record to what the REST interface answers."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ems.clock import INTERVAL
from ems.domain import (
    Bes,
    CycleRecord,
    Dispatch,
    Forecast,
    Infeasible,
    LedgerEntry,
    LoadFlow,
    Outcome,
    Partial,
    Plan,
    PvForecast,
    Refused,
    Sent,
    Site,
    first_step_kw,
)
from ems.explain import limit_words
from ems.web.views import (
    CounterfactualView,
    DerView,
    DispatchSummary,
    DispatchView,
    InstalledDer,
    LimitCostView,
    LimitsView,
    PlanIntervalView,
    PlanView,
    SiteView,
    VoltageView,
)

LOW, HIGH = 0.10, 0.90
"""Levels of the band that is shown."""

Means = Mapping[str, float]
"""Mean power of each device over an interval [kW]."""


def summary(record: CycleRecord, measured_kw: Means) -> DispatchSummary:
    """One cycle in a line."""
    return DispatchSummary(**_line(record, measured_kw))


def dispatch(record: CycleRecord, site: Site, measured_kw: Means) -> DispatchView:
    """One cycle in full."""
    secured, flow = record.secured, record.secured.load_flow
    element, loading = _extreme(flow.elements, flow.loading_pct, largest=True)
    free_flow = secured.free_load_flow
    violations = secured.violations if isinstance(secured, Infeasible) else ()
    moved = {entry.der: entry for entry in record.ledger.entries}
    notes_of = record.forecast.notes_by_plant()
    return DispatchView(
        **_line(record, measured_kw),
        end=record.start + INTERVAL,
        site=record.site,
        decided_at=record.snapshot.time,
        head_kw=flow.head_kw,
        head_kvar=flow.head_kvar,
        losses_kw=flow.losses_kw,
        free_cost_usd_per_h=record.ledger.energy_usd_per_h(secured.dispatch)
        - record.ledger.compliance_usd_per_h,
        compliance_usd=record.ledger.compliance_usd,
        binding=tuple(
            LimitCostView(what=limit_words(limit), relief_usd_per_h=limit.relief_usd_per_h)
            for limit in record.ledger.limits
        ),
        counterfactuals=tuple(
            CounterfactualView(what=c.what, saves_usd_per_h=c.saves_usd_per_h, verified=c.verified)
            for c in record.ledger.counterfactuals
        ),
        free_v_max_pu=_extreme(free_flow.nodes, free_flow.v_pu, largest=True)[1]
        if free_flow
        else None,
        loading_max_pct=loading,
        loading_max_element=element,
        linearisations=secured.linearisations,
        limits=_limits(site),
        ders=tuple(
            _der(record, site, name, moved.get(name), notes_of.get(name, ()))
            for name in secured.dispatch.setpoints
        ),
        voltages=_voltages(flow, free_flow),
        violations=tuple(str(v) for v in violations),
        notes=secured.notes + record.forecast.notes,
        plan=None if record.plan is None else plan(record.plan),
        stage_s=dict(record.stage_s),
        versions=dict(record.versions),
    )


def plan(made: Plan) -> PlanView:
    """The day ahead, interval by interval."""
    return PlanView(
        status=made.status.value,
        gap_usd=made.gap_usd,
        total_cost_usd=made.total_cost_usd,
        stored_usd_per_kwh={n: s.marginal_usd_per_kwh for n, s in made.storage.items()},
        shortfall_kwh={n: s.shortfall_kwh for n, s in made.storage.items()},
        intervals=tuple(
            PlanIntervalView(
                start=start,
                price_usd_per_kwh=made.price_usd_per_kwh[t],
                load_kw=made.load_kw[t],
                grid_kw=made.grid_kw[t],
                cost_usd=made.cost_usd[t],
                setpoints_kw={n: p_kw[t] for n, p_kw in made.p_kw.items()},
                soc_pct={n: s.soc_pct[t] for n, s in made.storage.items()},
            )
            for t, start in enumerate(made.starts)
        ),
    )


def installed(site: Site) -> SiteView:
    """The site as it is run."""
    return SiteView(
        name=site.name,
        latitude_deg=site.latitude_deg,
        longitude_deg=site.longitude_deg,
        load_max_kw=site.load_max_kw,
        limits=_limits(site),
        ders=tuple(
            InstalledDer(
                der=d.name,
                kind=type(d).__name__.lower(),
                bus=d.bus,
                rated_kw=d.rated_kw,
                q_max_kvar=d.q_max_kvar,
                capacity_kwh=d.capacity_kwh if isinstance(d, Bes) else None,
            )
            for d in site.ders
        ),
    )


def _line(record: CycleRecord, measured_kw: Means) -> dict[str, Any]:
    """Fields of `DispatchSummary`."""
    sent: Dispatch = record.secured.dispatch
    flow = record.secured.load_flow
    v_max_node, v_max = _extreme(flow.nodes, flow.v_pu, largest=True)
    v_min_node, v_min = _extreme(flow.nodes, flow.v_pu, largest=False)
    return {
        "start": record.start,
        "status": record.status,
        "reason": record.ledger.sentence,
        "price_usd_per_kwh": sent.price_usd_per_kwh,
        "cost_usd_per_h": record.ledger.energy_usd_per_h(sent),
        "demand_usd": record.ledger.demand_usd,
        "compliance_usd_per_h": record.ledger.compliance_usd_per_h,
        "compliance_demand_usd": record.ledger.compliance_demand_usd,
        "grid_kw": sent.grid_kw,
        "load_kw": record.forecast.load_kw,
        "v_max_pu": v_max,
        "v_max_node": v_max_node,
        "v_min_pu": v_min,
        "v_min_node": v_min_node,
        "pv_available_kw": sum(pv.expected_kw for pv in record.forecast.pv.values()),
        "pv_available_low_kw": _available_at(record.forecast, LOW),
        "pv_available_high_kw": _available_at(record.forecast, HIGH),
        "setpoints_kw": {der: s.p_kw for der, s in sent.setpoints.items()},
        "measured_kw": dict(measured_kw),
        "alarms": record.alarms,
    }


def _available_at(forecast: Forecast, level: float) -> float | None:
    """A quantile of every plant, added up; None where a plant has none [kW].

    The plants of one feeder lie under the same clouds, so theirs go up and down together.
    """
    plants = forecast.pv.values()
    if level not in forecast.levels or not all(pv.quantiles_kw for pv in plants):
        return None
    return sum(pv.quantiles_kw[forecast.levels.index(level)] for pv in plants)


def _quantiles(forecast: Forecast, pv: PvForecast | None) -> dict[str, float]:
    if pv is None or not pv.quantiles_kw:
        return {}
    return {f"{q:g}": kw for q, kw in zip(forecast.levels, pv.quantiles_kw, strict=True)}


def _der(
    record: CycleRecord, site: Site, name: str, moved: LedgerEntry | None, notes: tuple[str, ...]
) -> DerView:
    setpoint = record.secured.dispatch.setpoints[name]
    free = record.free.setpoints.get(name)
    reading = record.snapshot.ders.get(name)
    forecast = record.forecast.pv.get(name)
    device = next((d for d in site.ders if d.name == name), None)
    return DerView(
        der=name,
        kind=type(device).__name__.lower() if device else "",
        bus=device.bus if device else "",
        setpoint_kw=setpoint.p_kw,
        setpoint_kvar=setpoint.q_kvar,
        cap_kw=setpoint.cap_kw,
        free_kw=free.p_kw if free else None,
        free_kvar=free.q_kvar if free else None,
        available_kw=forecast.expected_kw if forecast else None,
        available_method=forecast.method if forecast else "",
        available_notes=notes,
        available_quantiles_kw=_quantiles(record.forecast, forecast),
        measured_kw=reading.p_kw if reading else None,
        measured_kvar=reading.q_kvar if reading else None,
        measured_v_pu=reading.v_pu if reading else None,
        measured_available_kw=reading.available_kw if reading else None,
        soc_pct=reading.soc_pct if reading else None,
        quality=reading.quality if reading else "assumed",
        first_step_kw=first_step_kw(setpoint, record.outcomes.get(name)),
        kept=name in record.kept,
        limits=moved.limits if moved else (),
        energy_usd_per_kwh=moved.energy_usd_per_kwh if moved else None,
        limits_usd_per_kwh=moved.limits_usd_per_kwh if moved else None,
        moved_usd_per_h=moved.cost_usd_per_h if moved else None,
        **_outcome(record.outcomes.get(name)),
    )


def _outcome(outcome: Outcome | None) -> dict[str, Any]:
    readback = outcome.readback if isinstance(outcome, Sent | Partial) else None
    return {
        "outcome": "none" if outcome is None else type(outcome).__name__.lower(),
        "reason": outcome.reason if isinstance(outcome, Partial | Refused) else "",
        "readback_kw": readback.p_kw if readback else None,
        "readback_kvar": readback.q_kvar if readback else None,
        "readback_cap_kw": readback.cap_kw if readback else None,
    }


def _voltages(flow: LoadFlow, free: LoadFlow | None) -> tuple[VoltageView, ...]:
    free_v_pu = dict(zip(free.nodes, free.v_pu.tolist(), strict=True)) if free else {}
    return tuple(
        VoltageView(
            node=node, bus=node.rpartition(".")[0] or node, v_pu=v, free_v_pu=free_v_pu.get(node)
        )
        for node, v in zip(flow.nodes, flow.v_pu.tolist(), strict=True)
    )


def _extreme(names: tuple[str, ...], values: Any, *, largest: bool) -> tuple[str, float | None]:
    """Name and value of the largest or smallest of the finite values."""
    finite = np.where(np.isfinite(values), values, -np.inf if largest else np.inf)
    if not np.isfinite(finite).any():
        return "", None
    i = int(np.argmax(finite) if largest else np.argmin(finite))
    return names[i], float(finite[i])


def _limits(site: Site) -> LimitsView:
    limits = site.limits
    return LimitsView(
        v_min_pu=limits.v_min_pu,
        v_max_pu=limits.v_max_pu,
        loading_max_pct=limits.loading_max_pct,
    )
