"""The economic dispatch: eq. (1)–(9) as one Pyomo model, rows of eq. (10) handed in.

`dispatch` is the stage. A linear program is extracted from the site's model, rows and pinned
DERs are laid on the matrices, and Ipopt solves it; where a battery would charge and discharge
at once, both branches are solved.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from ems.dispatch.exclusion import solve_exclusive
from ems.dispatch.model import Column, DispatchModel, IntervalData, cap_worth
from ems.dispatch.program import Floats, LinearProgram, Solution, kkt_residual
from ems.dispatch.rows import Elastic, pinned, with_rows
from ems.domain import (
    Bes,
    Der,
    Dg,
    Dispatch,
    Forecast,
    NetworkRow,
    Pv,
    RowPrice,
    Setpoint,
    Site,
    Snapshot,
    SolverStatus,
)
from ems.errors import SolverFault

__all__ = ["dispatch"]

BINDING = 1e-6
"""Multiplier above which a row counts as binding [$/kWh]."""
SNAP_KW = 1e-5
"""Distance within which a power is put onto its bound [kW]: what an interior point leaves."""
NO_PINS: Mapping[str, Setpoint] = MappingProxyType({})


@lru_cache(maxsize=16)
def _model(site: Site) -> DispatchModel:
    """Built once per site: building costs three times as much as extracting."""
    return DispatchModel(site)


def dispatch(
    site: Site,
    snapshot: Snapshot,
    forecast: Forecast,
    price_usd_per_kwh: float,
    rows: Sequence[NetworkRow] = (),
    pins: Mapping[str, Setpoint] = NO_PINS,
    *,
    generators_may_fall: bool = True,
) -> Dispatch:
    """Least-cost setpoints of one interval.

    Args:
        site: what is installed.
        snapshot: present SOC and DG power.
        forecast: expected PV, upper bound of PV, load.
        price_usd_per_kwh: grid energy [$/kWh].
        rows: network rows of eq. (10), elastic; none for the unconstrained dispatch.
        pins: DERs that cannot be moved, held at these setpoints.
        generators_may_fall: whether a DG may go below its present power.

    Raises:
        SolverFault: Ipopt gave no optimal point.
    """
    data = _interval(
        snapshot, forecast, price_usd_per_kwh,
        may_fall=generators_may_fall, pinned=frozenset(pins),
    )  # fmt: skip
    program, columns = _model(site).extract(data)
    program = pinned(program, columns, site, pins)
    program, elastic = with_rows(program, columns, site, rows, price_usd_per_kwh)
    pairs = [(columns["p_ch", b.name], columns["p_dis", b.name]) for b in site.bess]
    least = [
        (columns["p_dg", d.name], d.min_kw)
        for d in site.dgs
        if d.min_kw > 0.0 and d.name not in pins
    ]
    solution, program = solve_exclusive(program, pairs, least)
    if solution.status not in {SolverStatus.OPTIMAL, SolverStatus.ACCEPTABLE}:
        raise SolverFault(f"dispatch: Ipopt ended with {solution.status.value}")
    demand_kw = (1.0 + site.loss_factor) * forecast.load_kw
    return _answer(
        site, program, columns, solution, rows, elastic, price_usd_per_kwh,
        demand_kw=demand_kw, pins=pins,
    )  # fmt: skip


def _interval(
    snapshot: Snapshot,
    forecast: Forecast,
    price: float,
    *,
    may_fall: bool,
    pinned: frozenset[str],
) -> IntervalData:
    ders = snapshot.ders
    return IntervalData(
        price_usd_per_kwh=price,
        load_kw=forecast.load_kw,
        pv_expected_kw={n: f.expected_kw for n, f in forecast.pv.items()},
        pv_upper_kw={n: f.upper_kw for n, f in forecast.pv.items()},
        soc_pct={n: r.soc_pct for n, r in ders.items()},
        dg_kw={n: r.p_kw for n, r in ders.items()},
        dg_may_fall=may_fall,
        pinned=pinned,
    )


def _answer(
    site: Site,
    program: LinearProgram,
    columns: Mapping[Column, int],
    solution: Solution,
    rows: Sequence[NetworkRow],
    elastic: Elastic,
    price: float,
    *,
    demand_kw: float,
    pins: Mapping[str, Setpoint],
) -> Dispatch:
    x = _snapped(program, solution)
    setpoints = {d.name: _setpoint(d, columns, x, program, pins.get(d.name)) for d in site.ders}
    # (2), without the round-off that snapping to bounds leaves
    grid_kw = demand_kw - sum(s.p_kw for s in setpoints.values())
    fuel = sum(d.cost_usd_per_kwh * setpoints[d.name].p_kw for d in site.dgs)
    slack = x[elastic.first_slack :]
    caps = sum(float(x[columns["cap", d.name]]) for d in site.pvs)
    penalty = float(program.c[elastic.first_slack :] @ slack)
    return Dispatch(
        setpoints=setpoints,
        grid_kw=grid_kw,
        price_usd_per_kwh=price,
        cost_usd_per_h=price * grid_kw + fuel,
        objective_usd_per_h=float(program.c @ x) - penalty + cap_worth(price) * caps,
        status=solution.status,
        binding=_binding(rows, solution, slack, elastic),
        solve_s=solution.wall_s,
        kkt_residual=kkt_residual(program, solution),
    )


def _snapped(program: LinearProgram, solution: Solution) -> Floats:
    x = solution.x.copy()
    for bound in (program.x_lo, program.x_hi):
        near = np.abs(x - bound) < SNAP_KW
        x[near] = bound[near]
    return x


def _setpoint(
    der: Der, columns: Mapping[Column, int], x: Floats, program: LinearProgram, pin: Setpoint | None
) -> Setpoint:
    name = der.name
    q_kvar = float(x[columns["q_inj", name]] - x[columns["q_abs", name]])
    match der:
        case Pv():
            i = columns["cap", name]
            # What an uncapped plant can make, it makes: at a price of zero the optimiser
            # would not mind less.
            p_kw = float(min(program.x_hi[columns["p_pv", name]], x[i]))
            cap_kw = float(x[i]) if x[i] < program.x_hi[i] else None
            if pin is not None:
                cap_kw = pin.cap_kw
            return Setpoint(der=name, p_kw=p_kw, q_kvar=q_kvar, cap_kw=cap_kw)
        case Bes():
            p_kw = float(x[columns["p_dis", name]] - x[columns["p_ch", name]])
        case Dg():
            p_kw = float(x[columns["p_dg", name]])
    return Setpoint(der=name, p_kw=p_kw, q_kvar=q_kvar)


def _binding(
    rows: Sequence[NetworkRow], solution: Solution, slack: Floats, elastic: Elastic
) -> tuple[RowPrice, ...]:
    duals = -solution.row_dual[elastic.first_row :]
    found = [
        RowPrice(row=row, price=float(dual / scale), slack=float(over * scale))
        for row, dual, over, scale in zip(rows, duals, slack, elastic.scale, strict=True)
        if dual > BINDING
    ]
    return tuple(sorted(found, key=lambda r: -r.price))
