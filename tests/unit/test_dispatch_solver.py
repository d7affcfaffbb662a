"""Who solves a program, and what is said when nobody can."""

import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from ems.dispatch import dispatch, highs, ipopt, tangents
from ems.dispatch.columns import Columns
from ems.dispatch.exclusion import solve_exclusive
from ems.dispatch.model import DispatchModel, IntervalData
from ems.dispatch.program import LinearProgram, Quadratic, Solution, Sparse, kkt_residual
from ems.dispatch.solver import Name, conflicts, solve
from ems.domain import (
    Bes,
    DerReading,
    Forecast,
    Limits,
    LoadReading,
    NetworkRow,
    Pv,
    PvForecast,
    RowBlock,
    RowKind,
    Site,
    Snapshot,
    SolverStatus,
)
from ems.errors import SolverFault

NOW = datetime(2024, 6, 3, 19, 0, tzinfo=UTC)
BES = Bes(name="bes", bus="b", rated_kw=100.0, capacity_kwh=400.0)


def plants(count: int, solver: str = "auto") -> Site:
    """PV plants of 10, 11, 12 … kW."""
    return Site(
        name="plants", latitude_deg=40.0, longitude_deg=-105.0, load_max_kw=1e3, load_min_kw=0.0,
        limits=Limits(v_min_pu=0.9, v_max_pu=1.1), solver=solver,  # type: ignore[arg-type]
        ders=tuple(
            Pv(name=f"pv{i}", bus="b", rated_kw=10.0 + i, q_max_kvar=4.0) for i in range(count)
        ),
    )  # fmt: skip


def state(site: Site, load_kw: float = 100.0) -> tuple[Snapshot, Forecast]:
    """Clear sky: every plant may make its rating."""
    ders = {
        d.name: DerReading(der=d.name, time=NOW, p_kw=0.0, q_kvar=0.0, soc_pct=50.0)
        for d in site.ders
    }
    sky = {
        p.name: PvForecast(
            expected_kw=p.rated_kw, lower_kw=0.0, upper_kw=p.rated_kw, method="given"
        )
        for p in site.pvs
    }
    snapshot = Snapshot(time=NOW, ders=ders, load=LoadReading(time=NOW, p_kw=load_kw))
    return snapshot, Forecast(start=NOW, pv=sky, load_kw=load_kw)


def tight(site: Site, rows: int) -> RowBlock:
    """Rows that leave about half of all power."""
    c_p = 1e-4 * (1.0 + np.random.default_rng(5).random((rows, len(site.ders))))
    rated = np.array([d.rated_kw for d in site.ders])
    return RowBlock(
        ders=site.names, c_p=c_p, c_q=0.3 * c_p, bound=0.5 * (c_p @ rated),
        kind=(RowKind.V_MAX,) * rows, place=tuple(f"n{i}.1" for i in range(rows)),
        limit=np.full(rows, 1.1),
    )  # fmt: skip


def battery_program() -> tuple[LinearProgram, Columns]:
    data = IntervalData(
        price_usd_per_kwh=0.3, load_kw=100.0, pv_expected_kw={}, pv_upper_kw={},
        soc_pct={"bes": 50.0}, dg_kw={},
    )  # fmt: skip
    site = replace(plants(0), ders=(BES,))
    return DispatchModel(site).extract(data)


# --- rows ----------------------------------------------------------------------------


def test_a_block_of_rows_and_the_same_rows_one_by_one_give_the_same_dispatch() -> None:
    site = plants(6)
    block = tight(site, 4)
    one_by_one = [block.row(i) for i in range(len(block))]
    together = dispatch(site, *state(site), 0.3, block)
    assert together.binding
    apart = dispatch(site, *state(site), 0.3, one_by_one)
    assert replace(apart, solve_s=0.0) == replace(together, solve_s=0.0)


def test_a_block_may_name_its_ders_in_any_order_and_leave_some_out() -> None:
    site = plants(4)
    part = ("pv3", "pv0")
    c = np.array([[1e-3, 1e-3]])
    block = RowBlock(
        ders=part, c_p=c, c_q=0.0 * c, bound=np.array([0.01]), kind=(RowKind.V_MAX,),
        place=("n.1",), limit=np.array([1.1]),
    )  # fmt: skip
    decided = dispatch(site, *state(site), 0.3, block)
    assert sum(decided.setpoints[n].p_kw for n in part) == pytest.approx(10.0)
    assert decided.setpoints["pv1"].cap_kw is None
    assert decided.binding[0].row == NetworkRow(
        kind=RowKind.V_MAX, place="n.1", limit=1.1, bound=0.01,
        c_p={"pv3": 1e-3, "pv0": 1e-3}, c_q={"pv3": 0.0, "pv0": 0.0},
    )  # fmt: skip


# --- who solves ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "linear", "quadratic"),
    [("auto", "highs", "highs"), ("highs", "highs", "highs"), ("ipopt", "ipopt", "ipopt")],
)
def test_programs_go_to_whom_the_site_names_with_circles_too(
    named: str, linear: str, quadratic: str
) -> None:
    site = plants(3, named)
    rows = tight(site, 2)
    assert dispatch(site, *state(site), 0.3, rows).solver == linear
    cut = tuple(replace(p, s_max_kva=p.rated_kw) for p in site.pvs)
    assert dispatch(replace(site, ders=cut), *state(site), 0.3, rows).solver == quadratic


def test_both_solvers_find_the_same_cost_and_the_same_prices_of_rows() -> None:
    by = {
        name: dispatch(site, *state(site), 0.3, tight(site, 5))
        for name in ("ipopt", "highs")
        if (site := plants(12, name))
    }
    here, there = by["ipopt"], by["highs"]
    assert here.objective_usd_per_h == pytest.approx(there.objective_usd_per_h, rel=1e-7)
    assert [b.row.place for b in here.binding] == [b.row.place for b in there.binding]
    prices = [b.price for b in there.binding]
    assert [b.price for b in here.binding] == pytest.approx(prices, rel=1e-5)


@pytest.mark.parametrize("named", ["ipopt", "highs"])
def test_the_same_question_gets_the_same_answer(named: str) -> None:
    site = plants(12, named)
    first, second = (dispatch(site, *state(site), 0.3, tight(site, 5)) for _ in range(2))
    assert replace(first, solve_s=0.0) == replace(second, solve_s=0.0)


def test_where_highs_gives_no_optimum_auto_asks_ipopt(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(program: LinearProgram, *, wall_limit_s: float) -> Solution:
        return replace(highs_solve(program, wall_limit_s=wall_limit_s), status=SolverStatus.FAILED)

    highs_solve = highs.solve
    monkeypatch.setattr(highs, "solve", lost)
    site = plants(3)
    decided = dispatch(site, *state(site), 0.3, tight(site, 2))
    assert (decided.solver, decided.status) == ("ipopt", SolverStatus.OPTIMAL)


# --- when nobody can -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["auto", "ipopt", "highs"])
def test_an_infeasible_program_is_called_so_and_what_conflicts_is_named(name: str) -> None:
    program, columns = battery_program()
    program.row_hi[columns.rows["soc_max", "bes"]] -= 60.0  # out of reach within the interval
    solution = solve(program, name)  # type: ignore[arg-type]
    assert solution.status is SolverStatus.INFEASIBLE
    (named,) = conflicts(program, columns)
    assert named.startswith("highest state of charge of bes (by ")


def test_bounds_that_cross_are_named_too() -> None:
    program, columns = battery_program()
    program.x_lo[columns["p_dis", "bes"]] = 120.0
    assert ipopt.solve(program).status is SolverStatus.INFEASIBLE
    assert conflicts(program, columns) == ("discharge of bes (by 20)",)


def test_a_feasible_program_has_no_conflict() -> None:
    assert conflicts(*battery_program()) == ()


def test_a_number_that_is_none_is_a_fault_of_the_solver_and_ends_nothing_else() -> None:
    site = plants(2)
    with pytest.raises(SolverFault, match="dispatch: "):
        dispatch(site, *state(site, math.nan), 0.3, tight(site, 1))


def test_running_out_of_time_is_told_with_the_key_that_may_be_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def late(program: LinearProgram, *, wall_limit_s: float) -> Solution:
        found = highs_solve(program, wall_limit_s=wall_limit_s)
        return replace(found, status=SolverStatus.TIME_LIMIT)

    highs_solve = highs.solve
    monkeypatch.setattr(highs, "solve", late)
    site = plants(3)
    with pytest.raises(SolverFault, match=r"within 2 s; control.solver_limit_s may be raised"):
        dispatch(site, *state(site), 0.3, tight(site, 2), wall_limit_s=2.0)


def test_where_ipopt_finds_no_point_and_there_is_one_highs_gives_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lost(program: LinearProgram, *, wall_limit_s: float) -> Solution:
        found = ipopt_solve(program, wall_limit_s=wall_limit_s)
        return replace(found, status=SolverStatus.INFEASIBLE)

    ipopt_solve = ipopt.solve
    monkeypatch.setattr(ipopt, "solve", lost)
    site = plants(3, "ipopt")
    decided = dispatch(site, *state(site), 0.3, tight(site, 2))
    assert (decided.solver, decided.status) == ("highs", SolverStatus.OPTIMAL)
    cut = round_plants(3, "ipopt")
    with pytest.raises(SolverFault, match="ipopt ended with failed"):
        dispatch(cut, *state(cut), 0.3, tight(cut, 2))


def test_what_conflicts_is_named_in_the_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_room(self: DispatchModel, data: IntervalData) -> tuple[LinearProgram, Columns]:
        program, columns = extract(self, data)
        row_hi = program.row_hi.copy()
        row_hi[columns.rows["soc_max", "bes"]] -= 60.0
        return replace(program, row_hi=row_hi), columns

    extract = DispatchModel.extract
    monkeypatch.setattr(DispatchModel, "extract", without_room)
    site = replace(plants(0), ders=(BES,))
    with pytest.raises(SolverFault, match="in conflict: highest state of charge of bes"):
        dispatch(site, *state(site), 0.3)


def test_out_of_time_between_branches_the_best_exclusive_point_so_far_is_acceptable() -> None:
    # min −x −y, x + y ≤ 1.6, both in [0, 1], one of the two 0; and again for u, v
    a = Sparse.of(np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]))
    program = LinearProgram(
        c=-np.ones(4), a=a, row_lo=np.full(2, -np.inf), row_hi=np.full(2, 1.6),
        x_lo=np.zeros(4), x_hi=np.ones(4),
    )  # fmt: skip
    pairs = [(0, 1), (2, 3)]
    whole, _ = solve_exclusive(program, pairs, solve=lambda p, s: highs.solve(p, wall_limit_s=s))
    assert whole.status is SolverStatus.OPTIMAL
    assert program.c @ whole.x == pytest.approx(-2.0)
    late, _ = solve_exclusive(
        program, pairs, solve=lambda p, s: highs.solve(p, wall_limit_s=s + 1.0), wall_limit_s=0.0
    )
    assert late.status is SolverStatus.TIME_LIMIT


def test_a_branch_that_its_solver_loses_leaves_the_best_of_the_others_acceptable() -> None:
    # max 0.9 x + y, x + y ≤ 1, y ≤ 0.6; x is 0 or at least 0.8, and there lies the best
    program = LinearProgram(
        c=np.array([-0.9, -1.0]), a=Sparse.of(np.array([[1.0, 1.0]])), row_lo=np.full(1, -np.inf),
        row_hi=np.ones(1), x_lo=np.zeros(2), x_hi=np.array([1.0, 0.6]),
    )  # fmt: skip

    def losing(program: LinearProgram, wall_s: float) -> Solution:
        found = highs.solve(program, wall_limit_s=wall_s)
        return replace(found, status=SolverStatus.FAILED) if program.x_lo[0] > 0.0 else found

    found, _ = solve_exclusive(program, [], [(0, 0.8)], solve=losing)
    assert (found.status, found.x.tolist()) == (SolverStatus.ACCEPTABLE, [0.0, 0.6])


# --- circles -------------------------------------------------------------------------

BY: dict[Name, str] = {"auto": "highs", "ipopt": "ipopt"}
"""Who solves what, where there are circles."""


def box_and_circle() -> tuple[LinearProgram, Quadratic]:
    """max x + y within x² + y² ≤ 2: at (1, 1), multiplier 1/2."""
    circles = Quadratic(
        row=np.array([0, 0]), i=np.array([0, 1]), j=np.array([0, 1]), coef=np.ones(2),
        hi=np.array([2.0]),
    )  # fmt: skip
    program = LinearProgram(
        c=-np.ones(2), a=Sparse.of(np.zeros((0, 2))), row_lo=np.empty(0), row_hi=np.empty(0),
        x_lo=np.zeros(2), x_hi=np.full(2, 5.0), circles=circles,
    )  # fmt: skip
    return program, circles


def test_a_circle_is_kept_and_its_multiplier_closes_the_optimality_conditions() -> None:
    program, _ = box_and_circle()
    for name, solver in BY.items():
        solution = solve(program, name)
        assert solution.x == pytest.approx([1.0, 1.0])
        assert solution.circle_dual == pytest.approx([-0.5])
        assert kkt_residual(program, solution) < 1e-8
        assert solution.solver == solver
    with pytest.raises(ValueError, match="tangents"):
        highs.solve(program)


def round_plants(count: int, solver: str = "auto") -> Site:
    """Plants whose inverters carry no more than four fifths of their rating."""
    site = plants(count, solver)
    return replace(site, ders=tuple(replace(p, s_max_kva=0.8 * p.rated_kw) for p in site.pvs))


def test_tangents_and_ipopt_find_the_same_cost_setpoints_and_prices_of_rows() -> None:
    by_tangents, by_ipopt = (
        dispatch(site, *state(site), 0.3, tight(site, 5))
        for site in (round_plants(12), round_plants(12, "ipopt"))
    )
    assert (by_tangents.solver, by_ipopt.solver) == ("highs", "ipopt")
    assert by_tangents.kkt_residual < 1e-9
    cost = by_ipopt.objective_usd_per_h
    assert by_tangents.objective_usd_per_h == pytest.approx(cost, rel=1e-8)
    for here, there in zip(by_tangents.binding, by_ipopt.binding, strict=True):
        assert here.row.place == there.row.place
        assert here.price == pytest.approx(there.price, rel=1e-5)
    for name, at in by_tangents.setpoints.items():
        other = by_ipopt.setpoints[name]
        assert [at.p_kw, at.q_kvar] == pytest.approx([other.p_kw, other.q_kvar], abs=1e-2)


def test_where_tangents_do_not_end_auto_asks_ipopt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tangents, "ROUNDS", 1)
    site = round_plants(3)
    decided = dispatch(site, *state(site), 0.3, tight(site, 2))
    assert (decided.solver, decided.status) == ("ipopt", SolverStatus.OPTIMAL)


def test_circles_in_a_program_that_nothing_satisfies_change_nothing_about_what_is_said() -> None:
    site = replace(round_plants(1), ders=(replace(BES, q_max_kvar=90.0, s_max_kva=95.0),))
    data = IntervalData(
        price_usd_per_kwh=0.3, load_kw=100.0, pv_expected_kw={}, pv_upper_kw={},
        soc_pct={"bes": 50.0}, dg_kw={},
    )  # fmt: skip
    program, columns = DispatchModel(site).extract(data)
    assert program.circles is not None
    program.row_hi[columns.rows["soc_max", "bes"]] -= 60.0
    assert solve(program).status is SolverStatus.INFEASIBLE
    program.x_lo[columns["p_dis", "bes"]] = 120.0
    assert solve(program).status is SolverStatus.INFEASIBLE
    assert solve(program, wall_limit_s=0.0).status is not SolverStatus.OPTIMAL


def test_out_of_time_tangents_say_so() -> None:
    program, circles = box_and_circle()
    assert tangents.solve(program, circles, wall_limit_s=0.0).status is SolverStatus.TIME_LIMIT


def test_a_circle_that_bounds_alone_do_not_let_pass_costs_nothing() -> None:
    program, circles = box_and_circle()
    inside = replace(program, x_hi=np.full(2, 0.5))
    solution = tangents.solve(inside, circles)
    assert solution.x == pytest.approx([0.5, 0.5])
    assert solution.circle_dual == pytest.approx([0.0])
    fixed = replace(program, x_lo=np.full(2, 0.5), x_hi=np.full(2, 0.5))
    assert tangents.solve(fixed, circles).x == pytest.approx([0.5, 0.5])
