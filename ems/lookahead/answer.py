"""From a solved horizon to what is sent, and what is shown."""

from collections.abc import Iterator, Mapping

import numpy as np

from ems.domain import Dispatch, NetworkRow, RowKind, RowPrice, Setpoint
from ems.domain.ahead import Plan, StoragePlan
from ems.lookahead.exclusion import Decided
from ems.lookahead.model import HOURS, Frame
from ems.lookahead.numbers import (
    TERMINAL_FACTOR,
    Given,
    State,
    cap_worth,
    dearest,
    demand_kw,
)
from ems.lookahead.program import Floats, kkt_residual
from ems.lookahead.rows import Elastic

BINDING = 1e-6
"""Multiplier above which a row counts as binding [$/kWh]."""
SNAP_KW = 1e-7
"""Distance within which a power is put onto its bound [kW]."""


def first_interval(
    frame: Frame,
    given: Given,
    decided: Decided,
    elastic: Mapping[int, Elastic],
    powers: Mapping[str, Floats],
    wall_s: float,
) -> Dispatch:
    """The interval that is sent, as the single-interval dispatch tells it."""
    site, x = frame.site, decided.point.x
    q_kvar = _reactive(frame, given, x, elastic.get(0))
    caps = _caps(frame, decided)
    setpoints = {}
    for der in site.ders:
        pin = given.pins.get(der.name)
        cap_kw = caps.get(der.name) if pin is None else pin.cap_kw
        setpoints[der.name] = Setpoint(
            der=der.name,
            p_kw=float(powers[der.name][0]),
            q_kvar=q_kvar[der.name],
            cap_kw=cap_kw,
        )
    grid_kw, cost_usd = _grid_and_cost(frame, given, powers)
    binding = (*_network(decided, elastic.get(0)), *_head(frame, given, decided))
    return Dispatch(
        setpoints=setpoints,
        grid_kw=float(grid_kw[0]),
        price_usd_per_kwh=given.horizon.price_usd_per_kwh[0],
        cost_usd_per_h=float(cost_usd[0]) / HOURS,
        objective_usd_per_h=_objective_usd(frame, given, decided, elastic) / HOURS,
        status=decided.status,
        binding=binding,
        solve_s=wall_s,
        kkt_residual=kkt_residual(decided.program, decided.point),
        solver="highs",
        loss_factor=given.loss_factor,
        peak_kw=given.peak_kw,
        demand_usd_per_kwh=_demand(frame, given, decided),
    )


def plan_of(
    frame: Frame,
    given: Given,
    decided: Decided,
    state: State,
    powers: Mapping[str, Floats],
    elastic: Mapping[int, Elastic],
    wall_s: float,
) -> Plan:
    """The whole horizon."""
    horizon = given.horizon
    grid_kw, cost_usd = _grid_and_cost(frame, given, powers)
    load_kw = demand_kw(given) / (1.0 + given.loss_factor)
    return Plan(
        starts=horizon.starts,
        price_usd_per_kwh=horizon.price_usd_per_kwh,
        load_kw=_series(load_kw),
        p_kw={name: _series(p) for name, p in powers.items()},
        storage=_storage(frame, given, decided, state),
        grid_kw=_series(grid_kw),
        cost_usd=_series(cost_usd),
        status=decided.status,
        gap_usd=decided.gap_usd,
        either_or=decided.binaries,
        wall_s=wall_s,
        q_kvar=_reactive_plan(frame, given, decided, elastic),
    )


def powers_kw(frame: Frame, given: Given, decided: Decided) -> dict[str, Floats]:
    """Active power of each DER, shape (interval,), in site order."""
    program, cols, site = decided.program, frame.columns, frame.site
    x = decided.point.x.copy()
    for bound in (program.x_lo, program.x_hi):
        near = np.abs(x - bound) < SNAP_KW
        x[near] = bound[near]
    found: dict[str, Floats] = {}
    for i, pv in enumerate(site.pvs):
        found[pv.name] = x[cols.pv[:, i]]
        # What a plant can make under its cap, it makes: at a price of zero the optimiser would
        # not mind less.
        found[pv.name][0] += min(program.x_hi[cols.pv[0, i]] - found[pv.name][0], x[cols.room[i]])
    for i, bes in enumerate(site.bess):
        found[bes.name] = x[cols.discharge[:, i]] - x[cols.charge[:, i]]
    for i, dg in enumerate(site.dgs):
        found[dg.name] = x[cols.dg[:, i]]
        if (pin := given.pins.get(dg.name)) is not None:
            found[dg.name][0] = pin.p_kw
    return {name: found[name] for name in site.names}


def _series(values: Floats) -> tuple[float, ...]:
    return tuple(values.tolist())


def _grid_and_cost(
    frame: Frame, given: Given, powers: Mapping[str, Floats]
) -> tuple[Floats, Floats]:
    """(2) without the round-off of the solver, and energy and fuel [kW], [$]."""
    grid_kw = demand_kw(given) - sum(powers.values(), start=np.zeros(1))
    price = np.where(grid_kw >= 0.0, given.price, given.selling)
    fuel = sum((d.cost_usd_per_kwh * powers[d.name] for d in frame.site.dgs), start=np.zeros(1))
    cost_usd = HOURS * (price * grid_kw + fuel)
    if given.peak_kw is not None:  # a new peak is paid for in the interval that makes it
        peaks = np.maximum.accumulate(np.maximum(grid_kw, given.peak_kw))
        cost_usd += frame.site.demand_charge_usd_per_kw * np.diff(peaks, prepend=given.peak_kw)
    return grid_kw, cost_usd


def _reactive(
    frame: Frame, given: Given, x: Floats, elastic: Elastic | None
) -> Mapping[str, float]:
    """Reactive power of the first interval; without rows nothing asks for any [kvar]."""
    names = frame.site.names
    if elastic is None:
        return {n: given.pins[n].q_kvar if n in given.pins else 0.0 for n in names}
    net = x[elastic.q_inject] - x[elastic.q_absorb]
    return dict(zip(names, net.tolist(), strict=True))


def _reactive_plan(
    frame: Frame, given: Given, decided: Decided, elastic: Mapping[int, Elastic]
) -> dict[str, tuple[float, ...]]:
    """Reactive power of each DER over the horizon, in site order [kvar]."""
    first = _reactive(frame, given, decided.point.x, elastic.get(0))
    found = {name: np.zeros(len(given.horizon)) for name in frame.site.names}
    for t, at in elastic.items():
        net = decided.point.x[at.q_inject] - decided.point.x[at.q_absorb]
        for name, q_kvar in zip(frame.site.names, net.tolist(), strict=True):
            found[name][t] = q_kvar
    for name, q_kvar in first.items():
        found[name][0] = q_kvar
    return {name: _series(q_kvar) for name, q_kvar in found.items()}


def _caps(frame: Frame, decided: Decided) -> Mapping[str, float | None]:
    """PV caps of the first interval; None where nothing holds a plant [kW]."""
    x, cols, program = decided.point.x, frame.columns, decided.program
    found: dict[str, float | None] = {}
    for i, pv in enumerate(frame.site.pvs):
        at = [cols.pv[0, i], cols.room[i]]
        cap = float(x[at].sum())
        found[pv.name] = cap if cap < float(program.x_hi[at].sum()) - SNAP_KW else None
    return found


def _objective_usd(
    frame: Frame, given: Given, decided: Decided, elastic: Mapping[int, Elastic]
) -> float:
    """What was minimised over the horizon, penalties and the small worth of caps apart [$]."""
    cols, x = frame.columns, decided.point.x
    slack = np.concatenate(
        [
            cols.import_over,
            cols.export_over,
            cols.generation_over,
            *(e.slack for e in elastic.values()),
        ]
    )
    paid = decided.program.c * x
    curtailed = frame.site.curtailment_usd_per_kwh
    worth = cap_worth(min(given.price[0], given.selling[0]) + curtailed)
    caps_usd = HOURS * worth * (x[cols.pv[0]].sum() + x[cols.room].sum())
    return float(paid.sum() - paid[slack].sum() + caps_usd)


def _network(decided: Decided, elastic: Elastic | None) -> tuple[RowPrice, ...]:
    if elastic is None:
        return ()
    duals = -decided.point.row_dual[elastic.rows] / HOURS
    slacks = decided.point.x[elastic.slack]
    found = [
        RowPrice(
            row=elastic.block.row(i),
            price=float(dual / elastic.scale[i]),
            slack=float(over * elastic.scale[i]),
        )
        for i, (dual, over) in enumerate(zip(duals, slacks, strict=True))
        if dual > BINDING
    ]
    return tuple(sorted(found, key=lambda r: -r.price))


def _demand(frame: Frame, given: Given, decided: Decided) -> float | None:
    """Multiplier of the month's peak in the first interval: a later one may be what sets it."""
    if given.peak_kw is None or not len(frame.at.peak):
        return None
    return -float(decided.point.row_dual[frame.at.peak[0]]) / HOURS


def _head(frame: Frame, given: Given, decided: Decided) -> Iterator[RowPrice]:
    """Limits at the point of common coupling that bind in the first interval."""
    site, at, cols = frame.site, frame.at, frame.columns
    demand = float(demand_kw(given)[0])
    for kind, sign, taken, limit, rows, over in (
        (RowKind.IMPORT, -1.0, demand, site.import_limit_kw, at.import_limit, cols.import_over),
        (RowKind.EXPORT, 1.0, demand, site.export_limit_kw, at.export_limit, cols.export_over),
        (RowKind.GENERATION, 1.0, 0.0, site.generation_limit_kw, at.generation_limit,
         cols.generation_over),
    ):  # fmt: skip
        if limit is None:
            continue
        price = -float(decided.point.row_dual[rows[0]]) / HOURS
        if price > BINDING:
            row = NetworkRow(
                kind=kind,
                place="grid",
                limit=limit,
                c_p=dict.fromkeys(site.names, sign),
                c_q=dict.fromkeys(site.names, 0.0),
                bound=limit + sign * taken,
            )
            yield RowPrice(row=row, price=price, slack=float(decided.point.x[over[0]]))


def _storage(
    frame: Frame, given: Given, decided: Decided, state: State
) -> Mapping[str, StoragePlan]:
    cols, point, site = frame.columns, decided.point, frame.site
    shortfall_price = TERMINAL_FACTOR * dearest(site, given)
    # What a kW leaving the battery is worth: all its column earns, without its own store's share.
    stored_dual = point.row_dual[frame.at.charge]
    a = decided.program.a
    found = {}
    for i, bes in enumerate(site.bess):
        leaving = a[:, cols.discharge[:, i]].T @ point.row_dual
        at_bus = (leaving - HOURS / bes.eta_discharge * stored_dual[:, i]) / HOURS
        kwh = np.clip(point.x[cols.stored[:, i]], state.low[i], state.high[i])
        found[bes.name] = StoragePlan(
            start_kwh=float(state.now[i]),
            kwh=_series(kwh),
            soc_pct=_series(100.0 / bes.capacity_kwh * kwh),
            lowest_kwh=float(state.low[i]),
            highest_kwh=float(state.high[i]),
            terminal_kwh=float(state.target[i]) if np.isfinite(state.target[i]) else None,
            shortfall_kwh=float(point.x[cols.short[i]]),
            shortfall_usd_per_kwh=shortfall_price,
            bus_usd_per_kwh=_series(at_bus),
            marginal_usd_per_kwh=float(-stored_dual[0, i]),
        )
    return found
