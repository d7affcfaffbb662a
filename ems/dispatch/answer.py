"""From the solver's point to setpoints, their cost, and the rows that bind."""

from collections.abc import Iterator, Mapping

import numpy as np

from ems.dispatch.columns import Columns
from ems.dispatch.grid import HOURS, tangent
from ems.dispatch.model import IntervalData
from ems.dispatch.program import Floats, LinearProgram, Solution, kkt_residual
from ems.dispatch.rows import Elastic
from ems.domain import (
    Dispatch,
    Forecast,
    NetworkRow,
    RowKind,
    RowPrice,
    Setpoint,
    Site,
    cost,
)

BINDING = 1e-6
"""Multiplier above which a row counts as binding [$/kWh]."""
SNAP_KW = 1e-5
"""Distance within which a power is put onto its bound [kW]: what an interior point leaves."""
GRID = "grid"
"""Place of rows at the point of common coupling."""


def answer(
    site: Site,
    data: IntervalData,
    forecast: Forecast,
    program: LinearProgram,
    columns: Columns,
    solution: Solution,
    elastic: Elastic,
    pins: Mapping[str, Setpoint],
    widest: Floats,
) -> Dispatch:
    """What a solution says, in the vocabulary of the stages.

    `widest` holds the upper bounds before room was taken away: a cap that stands at less is one.
    """
    x = snapped(program, solution)
    setpoints = _setpoints(x, program, columns, pins, widest)
    price = data.price_usd_per_kwh
    found = cost(
        site, setpoints, forecast, price, HOURS,
        loss_factor=data.loss_factor, peak_kw=data.peak_kw,
    )  # fmt: skip
    binding = (*_network(solution, x, elastic), *_head(site, data, columns, solution, x))
    return Dispatch(
        setpoints=setpoints,
        grid_kw=found.grid_kw,
        price_usd_per_kwh=price,
        cost_usd_per_h=found.bill_usd_per_h,
        objective_usd_per_h=found.objective_usd_per_h,
        status=solution.status,
        binding=binding,
        solve_s=solution.wall_s,
        kkt_residual=(
            kkt_residual(program, solution) if solution.residual is None else solution.residual
        ),
        solver=solution.solver,
        loss_factor=data.loss_factor,
        peak_kw=data.peak_kw,
    )


def snapped(program: LinearProgram, solution: Solution) -> Floats:
    """The point, with powers that are all but on a bound put onto it."""
    x = solution.x.copy()
    for bound in (program.x_lo, program.x_hi):
        near = np.abs(x - bound) < SNAP_KW
        x[near] = bound[near]
    return x


def _setpoints(
    x: Floats,
    program: LinearProgram,
    columns: Columns,
    pins: Mapping[str, Setpoint],
    widest: Floats,
) -> dict[str, Setpoint]:
    q = x[columns.inject] - x[columns.absorb]
    beside = np.where(columns.beside >= 0, x[columns.beside], 0.0)
    towards = x[columns.power] + columns.sign * beside
    # What a plant can make under its cap, it makes: at a price of zero the optimiser would not
    # mind less.
    is_pv = columns.room >= 0
    expected = program.x_hi[columns.power]
    full = is_pv & (x[columns.power] >= expected) & (beside >= widest[columns.room])
    p = np.where(is_pv, np.minimum(expected, towards), towards)
    setpoints = {
        name: Setpoint(der=name, p_kw=p_kw, q_kvar=q_kvar, cap_kw=cap if capped else None)
        for name, p_kw, q_kvar, cap, capped in zip(
            columns.ders, p.tolist(), q.tolist(), towards.tolist(), (is_pv & ~full).tolist(),
            strict=True,
        )
    }  # fmt: skip
    for name, pin in pins.items():
        at = setpoints[name]
        setpoints[name] = Setpoint(
            der=name,
            p_kw=at.p_kw,
            q_kvar=at.q_kvar,
            cap_kw=pin.cap_kw if at_pv(columns, name) else None,
        )
    return setpoints


def at_pv(columns: Columns, name: str) -> bool:
    """Whether a DER is a PV plant."""
    return ("room", name) in columns


def _network(solution: Solution, x: Floats, elastic: Elastic) -> Iterator[RowPrice]:
    """The network rows that bind, dearest first."""
    count = len(elastic.rows)
    duals = -solution.row_dual[elastic.first_row : elastic.first_row + count]
    price = duals / elastic.scale
    over = x[elastic.first_slack : elastic.first_slack + count] * elastic.scale
    binding = np.flatnonzero(duals > BINDING)
    for i in binding[np.argsort(-price[binding], kind="stable")].tolist():
        yield RowPrice(row=elastic.rows.row(i), price=float(price[i]), slack=float(over[i]))


def _head(
    site: Site, data: IntervalData, columns: Columns, solution: Solution, x: Floats
) -> Iterator[RowPrice]:
    """The limits at the point of common coupling that bind, as rows like the others."""
    for constraint, slack in HEAD:
        i = columns.rows.get((constraint, ""))
        if i is None or -solution.row_dual[i] <= BINDING:
            continue
        exporting = ("p_export", "") in columns and x[columns["p_export", ""]] > SNAP_KW
        yield RowPrice(
            row=_head_row(site, data, constraint, exporting=exporting),
            price=float(-solution.row_dual[i]),
            slack=float(x[columns[slack, ""]]),
        )


HEAD = (
    ("import_limit", "import_over"),
    ("export_limit", "export_over"),
    ("generation_limit", "generation_over"),
    ("power_factor_lagging", "power_factor_over"),
    ("power_factor_leading", "power_factor_over"),
)
"""Constraints of the site as a whole, and their slacks."""


def _head_row(site: Site, data: IntervalData, constraint: str, *, exporting: bool) -> NetworkRow:
    """A limit of the grid's power, written in what the DERs inject."""
    loss = site.loss_factor if data.loss_factor is None else data.loss_factor
    demand_kw = (1.0 + loss) * data.load_kw
    if constraint == "import_limit":
        kind, limit, c_p, c_q = RowKind.IMPORT, site.import_limit_kw or 0.0, -1.0, 0.0
        bound = limit - demand_kw
    elif constraint == "export_limit":
        kind, limit, c_p, c_q = RowKind.EXPORT, site.export_limit_kw or 0.0, 1.0, 0.0
        bound = limit + demand_kw
    elif constraint == "generation_limit":
        kind, limit, c_p, c_q = RowKind.GENERATION, site.generation_limit_kw or 0.0, 1.0, 0.0
        bound = limit
    else:
        kind, limit = RowKind.POWER_FACTOR, site.power_factor_min or 1.0
        load_kvar = data.load_kvar
        if load_kvar is None:
            load_kvar = demand_kw * tangent(site.load_power_factor)
        side = 1.0 if constraint == "power_factor_lagging" else -1.0
        c_p, c_q = (-1.0 if exporting else 1.0) * tangent(limit), -side
        bound = c_p * demand_kw - side * load_kvar
    return NetworkRow(
        kind=kind,
        place=GRID,
        limit=limit,
        c_p=dict.fromkeys(site.names, c_p),
        c_q=dict.fromkeys(site.names, c_q),
        bound=bound,
    )
