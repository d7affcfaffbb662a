"""The economic dispatch: eq. (1)–(9) as one Pyomo model, rows of eq. (10) handed in.

`dispatch` is the stage. A program is extracted from the site's model, rows and pinned DERs are
laid on the matrices, and HiGHS or Ipopt solves it; where a battery would charge and discharge at
once, both branches are solved.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from types import MappingProxyType

import numpy as np

from ems.dispatch.answer import SNAP_KW, answer
from ems.dispatch.columns import Columns
from ems.dispatch.exclusion import Least, Pair, solve_exclusive
from ems.dispatch.fairness import refined, with_fairness
from ems.dispatch.model import DispatchModel, IntervalData
from ems.dispatch.program import Ints, LinearProgram, Solution
from ems.dispatch.rows import pinned, with_rows
from ems.dispatch.solver import conflicts, solve
from ems.domain import (
    Dispatch,
    Forecast,
    LoadFlow,
    NetworkRow,
    RowBlock,
    Setpoint,
    Site,
    Snapshot,
)
from ems.domain import SolverStatus as Status
from ems.errors import SolverFault

__all__ = ["dispatch", "fitted_loss_factor"]

NO_PINS: Mapping[str, Setpoint] = MappingProxyType({})
CAP_PASSES = 3
"""Further solves in which plants that are better held back lose the room above their power."""

_last_model: tuple[Site, DispatchModel] | None = None


def _model(site: Site) -> DispatchModel:
    """Built once per site: building costs three times as much as extracting."""
    global _last_model  # noqa: PLW0603 - hashing a site of 1000 DERs takes longer than solving it
    known = _last_model
    if known is None or known[0] is not site:
        _last_model = known = site, _built(site)
    return known[1]


@lru_cache(maxsize=16)
def _built(site: Site) -> DispatchModel:
    return DispatchModel(site)


def dispatch(
    site: Site,
    snapshot: Snapshot,
    forecast: Forecast,
    price_usd_per_kwh: float,
    rows: Sequence[NetworkRow] | RowBlock = (),
    pins: Mapping[str, Setpoint] = NO_PINS,
    *,
    generators_may_fall: bool = True,
    loss_factor: float | None = None,
    peak_kw: float | None = None,
    load_kvar: float | None = None,
    wall_limit_s: float = 20.0,
) -> Dispatch:
    """Least-cost setpoints of one interval.

    Args:
        site: what is installed.
        snapshot: present SOC and DG power.
        forecast: expected PV, upper bound of PV, load.
        price_usd_per_kwh: imported energy [$/kWh].
        rows: network rows of eq. (10), elastic; none for the unconstrained dispatch.
        pins: DERs that cannot be moved, held at these setpoints.
        generators_may_fall: whether a DG may go below its present power.
        loss_factor: K of eq. (2) as a load flow has it (`fitted_loss_factor`), in place of the
            site's [1].
        peak_kw: the month's highest import so far; None: no demand charge is counted [kW].
        load_kvar: reactive power the head would carry with no DER giving any, in place of the
            forecast's; only a power-factor limit asks for it [kvar].
        wall_limit_s: wall time of the solver [s].

    Raises:
        SolverFault: no optimal point; the message says how it ended, and where constraints
            conflict, which.
    """
    forecast = forecast.unkept(pins)
    data = IntervalData(
        price_usd_per_kwh=price_usd_per_kwh,
        load_kw=forecast.load_kw,
        pv_expected_kw={n: f.expected_kw for n, f in forecast.pv.items()},
        pv_upper_kw={n: f.upper_kw for n, f in forecast.pv.items()},
        soc_pct={b.name: snapshot.ders[b.name].soc_pct for b in site.bess},
        dg_kw={d.name: snapshot.ders[d.name].p_kw for d in site.dgs},
        dg_may_fall=generators_may_fall,
        pinned=frozenset(pins),
        loss_factor=loss_factor,
        peak_kw=peak_kw,
        load_kvar=forecast.load_kvar if load_kvar is None else load_kvar,
    )
    program, columns = _model(site).extract(data)
    program = pinned(program, columns, pins)
    program, pieces = with_fairness(program, columns, site, price_usd_per_kwh, pins)
    program, elastic = with_rows(program, columns, site, rows, price_usd_per_kwh)
    solved = partial(_solved, site, columns, pins)
    widest = program.x_hi
    solution, program = refined(program, pieces, solved, wall_limit_s)
    return answer(site, data, forecast, program, columns, solution, elastic, pins, widest)


def fitted_loss_factor(flow: LoadFlow, setpoints: Mapping[str, Setpoint], load_kw: float) -> float:
    """K with which eq. (2) closes at a load flow, in place of a guess [1].

    Losses, and what the voltage adds to or takes from the load, as a fraction of it.

    Args:
        flow: the load flow of these setpoints; converged.
        setpoints: what the DERs do in it.
        load_kw: the load as the forecast has it; 0 gives K = 0 [kW].
    """
    made_kw = flow.head_kw + sum(s.p_kw for s in setpoints.values())
    return made_kw / load_kw - 1.0 if load_kw > 0.0 else 0.0


def _solved(
    site: Site,
    columns: Columns,
    pins: Mapping[str, Setpoint],
    program: LinearProgram,
    wall_limit_s: float,
) -> tuple[Solution, LinearProgram]:
    """The solution, every either-or decided and every cap meant, and the program it is of."""
    pairs: list[Pair] = [(columns["p_ch", b.name], columns["p_dis", b.name]) for b in site.bess]
    if ("p_import", "") in columns:
        pairs.append((columns["p_import", ""], columns["p_export", ""]))
    least: list[Least] = [
        (columns["p_dg", d.name], d.min_kw)
        for d in site.dgs
        if d.min_kw > 0.0 and d.name not in pins
    ]
    by = partial(_by, site)
    left_s = wall_limit_s
    spent_s = 0.0
    for _ in range(1 + CAP_PASSES):
        solution, taken = solve_exclusive(program, pairs, least, solve=by, wall_limit_s=left_s)
        spent_s += solution.wall_s
        left_s = max(wall_limit_s - spent_s, 0.05)
        if solution.status not in {Status.OPTIMAL, Status.ACCEPTABLE}:
            raise SolverFault(_reason(program, columns, solution, wall_limit_s))
        idle = _room_above_idle_power(program, columns, solution)
        if not len(idle):
            break
        # A plant makes all its cap allows: one that is to make less has no room above.
        x_hi = program.x_hi.copy()
        x_hi[idle] = 0.0
        program = replace(program, x_hi=x_hi)
    return solution if solution.wall_s == spent_s else replace(solution, wall_s=spent_s), taken


def _by(site: Site, program: LinearProgram, wall_limit_s: float) -> Solution:
    return solve(program, site.solver, wall_limit_s)


def _room_above_idle_power(program: LinearProgram, columns: Columns, solution: Solution) -> Ints:
    """Columns of caps that lie above a power which the optimum holds below what is expected."""
    power, room = columns.power[columns.pv], columns.room[columns.pv]
    held = solution.x[power] < program.x_hi[power] - SNAP_KW
    raised = (solution.x[room] > SNAP_KW) & (program.x_lo[room] <= 0.0)
    return np.asarray(room[held & raised])


def _reason(
    program: LinearProgram, columns: Columns, solution: Solution, wall_limit_s: float
) -> str:
    """Why there is no answer, for the operator."""
    if solution.status is Status.TIME_LIMIT:
        return (
            f"dispatch: {solution.solver} found no optimum within {wall_limit_s:g} s; "
            "control.solver_limit_s may be raised"
        )
    if solution.status is Status.INFEASIBLE:
        named = conflicts(program, columns)
        if named:
            return f"dispatch: no setpoints keep all limits; in conflict: {', '.join(named)}"
        return (
            f"dispatch: {solution.solver} found no feasible point, and a linear check found no "
            "conflict: the numbers are too far apart"
        )
    return f"dispatch: {solution.solver} ended with {solution.status.value}"
