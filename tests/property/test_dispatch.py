"""Eq. (1)–(9) over random sites: optimal by its own conditions and by other solvers."""

import math
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from typing import Any

import clarabel  # type: ignore[import-untyped]  # no stubs
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from ems.dispatch import dispatch, highs, ipopt
from ems.dispatch.columns import Columns
from ems.dispatch.exclusion import solve_exclusive
from ems.dispatch.model import DispatchModel, IntervalData
from ems.dispatch.program import LinearProgram, Solution, kkt_residual
from ems.dispatch.rows import with_rows
from ems.dispatch.solver import solve
from ems.domain import (
    Bes,
    Der,
    DerReading,
    Dg,
    Forecast,
    Limits,
    LoadReading,
    NetworkRow,
    Pv,
    PvForecast,
    RowKind,
    Site,
    Snapshot,
    SolverStatus,
)

NOW = datetime(2024, 6, 3, 19, 0, tzinfo=UTC)
SOLVERS = pytest.mark.parametrize("solver", [ipopt, highs], ids=["ipopt", "highs"])
OPTIMAL = {SolverStatus.OPTIMAL, SolverStatus.ACCEPTABLE}
kw = st.floats(1.0, 20_000.0)
price = st.floats(-0.5, 1.0).map(lambda usd: round(usd, 6))
"""A millionth of a dollar is the least price: what is smaller is lost beside a penalty."""


@st.composite
def ders(draw: st.DrawFn) -> tuple[Der, ...]:
    found: list[Der] = []
    for i in range(draw(st.integers(0, 3))):
        rated = draw(kw)
        q_max = draw(st.floats(0, 1)) * rated
        found.append(Pv(name=f"pv{i}", bus="b", rated_kw=rated, q_max_kvar=q_max))
    for i in range(draw(st.integers(0, 3))):
        rated = draw(kw)
        found.append(
            Bes(
                name=f"bes{i}", bus="b", rated_kw=rated,
                capacity_kwh=rated * draw(st.floats(0.2, 8.0)),
                eta_charge=draw(st.floats(0.7, 1.0)), eta_discharge=draw(st.floats(0.7, 1.0)),
                weight_usd_per_kwh=draw(st.floats(0.0, 0.4)),
                q_max_kvar=draw(st.floats(0, 1)) * rated,
            )
        )  # fmt: skip
    for i in range(draw(st.integers(0, 3))):
        rated = draw(kw)
        found.append(
            Dg(
                name=f"dg{i}", bus="b", rated_kw=rated,
                cost_usd_per_kwh=draw(st.floats(0.02, 0.6)),
                min_kw=rated * draw(st.floats(0.0, 0.5)),
                ramp_up_kw_per_h=rated * draw(st.floats(0.1, 8.0)),
                ramp_down_kw_per_h=rated * draw(st.floats(0.1, 8.0)),
                q_max_kvar=draw(st.floats(0, 1)) * rated,
            )
        )  # fmt: skip
    return tuple(found)


@st.composite
def sites(draw: st.DrawFn) -> Site:
    return Site(
        name="random", latitude_deg=40.0, longitude_deg=-105.0,
        ders=draw(ders().filter(len)), limits=Limits(v_min_pu=0.9, v_max_pu=1.1),
        load_max_kw=50_000.0, load_min_kw=0.0, loss_factor=draw(st.floats(0.0, 0.1)),
    )  # fmt: skip


@st.composite
def sites_at_a_price(draw: st.DrawFn) -> Site:
    """Sites whose point of common coupling is priced and bounded."""
    bound = st.none() | st.floats(0.0, 30_000.0)
    return replace(
        draw(sites()),
        export_price_usd_per_kwh=draw(st.none() | st.floats(-0.2, 1.0)),
        import_limit_kw=draw(bound), export_limit_kw=draw(bound),
        demand_charge_usd_per_kw=draw(st.just(0.0) | st.floats(0.1, 20.0)),
        curtailment_usd_per_kwh=draw(st.just(0.0) | st.floats(0.01, 0.5)),
        power_factor_min=draw(st.none() | st.floats(0.5, 0.99)),
    )  # fmt: skip


@st.composite
def sites_with_inverters(draw: st.DrawFn) -> Site:
    """Sites of which every inverter has a capability that cuts the corners of P and Q."""
    site = draw(sites())
    ders = tuple(
        d if isinstance(d, Dg)
        else replace(d, s_max_kva=draw(st.floats(0.6, 1.1)) * d.rated_kw)
        for d in site.ders
    )  # fmt: skip
    return replace(site, ders=ders)


@st.composite
def states(draw: st.DrawFn, site: Site) -> tuple[Snapshot, Forecast]:
    readings = {
        d.name: DerReading(
            der=d.name, time=NOW, q_kvar=0.0,
            p_kw=draw(st.floats(0.0, 1.0)) * d.rated_kw,
            soc_pct=draw(st.floats(0.0, 100.0)) if isinstance(d, Bes) else None,
        )
        for d in site.ders
    }  # fmt: skip
    load_kw = draw(st.floats(0.0, 50_000.0))
    skies = {}
    for pv in site.pvs:
        upper = pv.rated_kw * draw(st.floats(0.0, 1.0))
        expected = upper * draw(st.floats(0.0, 1.0))
        skies[pv.name] = PvForecast(
            expected_kw=expected, lower_kw=0.0, upper_kw=upper, method="given"
        )
    snapshot = Snapshot(time=NOW, ders=readings, load=LoadReading(time=NOW, p_kw=load_kw))
    return snapshot, Forecast(start=NOW, pv=skies, load_kw=load_kw)


@st.composite
def network_rows(draw: st.DrawFn, site: Site) -> list[NetworkRow]:
    """Rows like a feeder's: sensitivities of 1e-7 … 1e-4 pu per kW, limits near and far."""
    small = st.floats(-1e-5, 1e-4).map(lambda x: 0.0 if abs(x) < 1e-7 else x)
    return [
        NetworkRow(
            kind=RowKind.V_MAX, place=f"n{i}.1", limit=1.1, bound=draw(st.floats(-0.05, 0.2)),
            c_p={n: draw(small) for n in site.names}, c_q={n: draw(small) for n in site.names},
        )
        for i in range(draw(st.integers(0, 6)))
    ]  # fmt: skip


Ors = tuple[list[tuple[int, int]], list[tuple[int, float]]]
"""Columns of two powers of which one is 0; power columns of generators with their least power."""


def programs(
    site: Site, snapshot: Snapshot, forecast: Forecast, price: float, rows: list[NetworkRow]
) -> tuple[LinearProgram, Ors, Columns]:
    data = IntervalData(
        price_usd_per_kwh=price,
        load_kw=forecast.load_kw,
        pv_expected_kw={n: f.expected_kw for n, f in forecast.pv.items()},
        pv_upper_kw={n: f.upper_kw for n, f in forecast.pv.items()},
        soc_pct={n: r.soc_pct for n, r in snapshot.ders.items()},
        dg_kw={n: r.p_kw for n, r in snapshot.ders.items()},
        peak_kw=5000.0,
    )
    program, columns = DispatchModel(site).extract(data)
    program, _ = with_rows(program, columns, site, rows, price)
    pairs = [(columns["p_ch", b.name], columns["p_dis", b.name]) for b in site.bess]
    if ("p_import", "") in columns:
        pairs.append((columns["p_import", ""], columns["p_export", ""]))
    least = [(columns["p_dg", d.name], d.min_kw) for d in site.dgs if d.min_kw > 0.0]
    return program, (pairs, least), columns


def by_another_solver(program: LinearProgram) -> float:
    """The same linear program by HiGHS, whose simplex shares nothing with Ipopt.

    Infinite where no point is feasible. Tolerances are tight, because a broken row costs a
    thousand times the energy price.
    """
    upper, lower = np.isfinite(program.row_hi), np.isfinite(program.row_lo)
    a = program.a.csr.toarray()
    tight: Any = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    for method in ("highs-ds", "highs-ipm"):  # the second where the first gives up
        found = linprog(
            program.c,
            A_ub=np.vstack([a[upper], -a[lower]]),
            b_ub=np.concatenate([program.row_hi[upper], -program.row_lo[lower]]),
            bounds=list(zip(program.x_lo.tolist(), program.x_hi.tolist(), strict=True)),
            method=method,
            options=tight,
        )
        if found.status in {0, 2}:
            break
    assert found.status in {0, 2}, found.message
    return math.inf if found.fun is None else float(found.fun)


def by_trying_everything(program: LinearProgram, ors: Ors) -> float:
    """Every battery charging or discharging, every generator off or above its least power."""
    pairs, least = ors
    best = math.inf
    for closed, running in product(product(*pairs), product(*[(False, True) for _ in least])):
        x_lo, x_hi = program.x_lo.copy(), program.x_hi.copy()
        for column in closed:
            x_lo[column] = x_hi[column] = 0.0
        for (column, least_kw), on in zip(least, running, strict=True):
            x_lo[column] = max(x_lo[column], least_kw) if on else x_lo[column]
            x_hi[column] = x_hi[column] if on else 0.0
        if np.all(x_lo <= x_hi):
            best = min(best, by_another_solver(replace(program, x_lo=x_lo, x_hi=x_hi)))
    return best


def by_a_conic_solver(program: LinearProgram, site: Site, columns: Columns) -> float:
    """The same program with its circles by Clarabel: cones written from the site, not from it."""
    n = len(program.c)
    unit = sp.eye_array(n, format="csr")
    sides = [
        (program.a.csr, program.row_hi, 1.0), (program.a.csr, program.row_lo, -1.0),
        (unit, program.x_hi, 1.0), (unit, program.x_lo, -1.0),
    ]  # fmt: skip
    blocks, rights = [], []
    for a, bound, sign in sides:
        some = np.flatnonzero(np.isfinite(bound))
        blocks.append(sign * a[some])
        rights.append(sign * bound[some])
    cones: list[Any] = [clarabel.NonnegativeConeT(sum(len(b) for b in rights))]
    for der in site.ders:
        if isinstance(der, Dg) or der.s_max_kva is None:
            continue
        if math.hypot(der.rated_kw, der.q_max_kvar) <= der.s_max_kva:
            assert der.name not in columns.circles  # never left, so not in the program
            continue
        p = ("p_pv", "room") if isinstance(der, Pv) else ("p_dis", "p_ch")
        cone = np.zeros((3, n))
        cone[1, [columns[p[0], der.name], columns[p[1], der.name]]] = -1.0
        cone[2, [columns["q_inj", der.name], columns["q_abs", der.name]]] = -1.0
        blocks.append(sp.csr_array(cone))
        rights.append(np.array([der.s_max_kva, 0.0, 0.0]))
        cones.append(clarabel.SecondOrderConeT(3))
    told = clarabel.DefaultSettings()
    told.verbose = False
    told.tol_gap_abs = told.tol_gap_rel = told.tol_feas = 1e-10
    solver = clarabel.DefaultSolver(
        sp.csc_matrix((n, n)), program.c, sp.csc_matrix(sp.vstack(blocks)),
        np.concatenate(rights), cones, told,
    )  # fmt: skip
    return float(solver.solve().obj_val)


@SOLVERS
@settings(max_examples=100)
@given(data=st.data(), price=price)
def test_every_solution_meets_the_optimality_conditions_and_the_cost_of_another_solver(
    solver: Any, data: st.DataObject, price: float
) -> None:
    site = data.draw(sites())
    snapshot, forecast = data.draw(states(site))
    program, _, _ = programs(site, snapshot, forecast, price, data.draw(network_rows(site)))
    solution = solver.solve(program)
    assert solution.status in OPTIMAL
    assert kkt_residual(program, solution) <= 1e-6
    other = by_another_solver(program)
    assert program.c @ solution.x == pytest.approx(other, abs=1e-6 * max(1.0, abs(other)))


@SOLVERS
@settings(max_examples=60)
@given(data=st.data(), price=price)
def test_with_prices_and_limits_at_the_head_the_optimum_is_that_of_another_solver(
    solver: Any, data: st.DataObject, price: float
) -> None:
    site = data.draw(sites_at_a_price())
    snapshot, forecast = data.draw(states(site))
    program, _, _ = programs(site, snapshot, forecast, price, data.draw(network_rows(site)))
    solution = solver.solve(program)
    assert solution.status in OPTIMAL
    assert kkt_residual(program, solution) <= 1e-6
    other = by_another_solver(program)
    assert program.c @ solution.x == pytest.approx(other, abs=1e-6 * max(1.0, abs(other)))


# Not at prices near 0: the conic solver's accuracy is relative to the penalties.
@pytest.mark.parametrize("name", ["auto", "ipopt"])
@settings(max_examples=60)
@given(data=st.data(), price=st.sampled_from([-0.4, -0.1, 0.08, 0.3, 0.9]))
def test_within_the_circles_of_inverters_the_optimum_is_that_of_a_conic_solver(
    name: Any, data: st.DataObject, price: float
) -> None:
    site = data.draw(sites_with_inverters())
    snapshot, forecast = data.draw(states(site))
    program, _, columns = programs(site, snapshot, forecast, price, data.draw(network_rows(site)))
    solution = solve(program, name)
    assert solution.status in OPTIMAL
    assert kkt_residual(program, solution) <= 1e-6
    other = by_a_conic_solver(program, site, columns)
    assert program.c @ solution.x == pytest.approx(other, abs=1e-6 * max(1.0, abs(other)))


@settings(max_examples=100)
@given(data=st.data(), price=price)
def test_by_tangents_in_highs_circles_cost_what_they_cost_in_ipopt(
    data: st.DataObject, price: float
) -> None:
    site = data.draw(sites_with_inverters())
    snapshot, forecast = data.draw(states(site))
    program, _, _ = programs(site, snapshot, forecast, price, data.draw(network_rows(site)))
    by_tangents, by_ipopt = solve(program, "auto"), ipopt.solve(program)
    assert by_tangents.solver == "highs"
    assert kkt_residual(program, by_tangents) <= 1e-6
    cost = float(program.c @ by_ipopt.x)
    assert program.c @ by_tangents.x == pytest.approx(cost, abs=1e-6 * max(1.0, abs(cost)))


@SOLVERS
@settings(max_examples=40)
@given(data=st.data(), price=price)
def test_no_pair_of_powers_is_used_at_once_no_generator_lies_below_its_least_and_the_choice_is_best(
    solver: Any, data: st.DataObject, price: float
) -> None:
    either = st.one_of(sites(), sites_at_a_price())
    site = data.draw(either.filter(lambda s: s.bess or any(d.min_kw for d in s.dgs)))
    snapshot, forecast = data.draw(states(site))
    program, ors, _ = programs(site, snapshot, forecast, price, data.draw(network_rows(site)))

    def by(program: LinearProgram, limit_s: float) -> Solution:
        return solver.solve(program, wall_limit_s=limit_s)  # type: ignore[no-any-return]

    solution, solved = solve_exclusive(program, *ors, solve=by)
    for one, other in ors[0]:
        assert min(solution.x[one], solution.x[other]) <= 1e-5
    for power, least_kw in ors[1]:
        assert not 2e-5 < solution.x[power] < least_kw - 2e-5
    assert kkt_residual(solved, solution) <= 1e-6
    best = by_trying_everything(program, ors)
    assert program.c @ solution.x == pytest.approx(best, abs=1e-5 * max(1.0, abs(best)))


@settings(max_examples=60)
@given(data=st.data(), price=price)
def test_setpoints_keep_balance_ratings_ramps_and_state_of_charge(
    data: st.DataObject, price: float
) -> None:
    site = data.draw(st.one_of(sites(), sites_at_a_price(), sites_with_inverters()))
    snapshot, forecast = data.draw(states(site))
    decided = dispatch(site, snapshot, forecast, price, data.draw(network_rows(site)))
    total = decided.grid_kw + sum(s.p_kw for s in decided.setpoints.values())
    assert total == pytest.approx((1 + site.loss_factor) * forecast.load_kw, abs=1e-6)
    for der in site.ders:
        at, before = decided.setpoints[der.name], snapshot.ders[der.name]
        assert abs(at.q_kvar) <= der.q_max_kvar
        s_max = math.inf if isinstance(der, Dg) or der.s_max_kva is None else der.s_max_kva
        p_most = at.p_kw if at.cap_kw is None else at.cap_kw
        assert math.hypot(p_most, at.q_kvar) <= s_max + 1e-4
        match der:
            case Pv():
                sky = forecast.pv[der.name]
                cap = sky.upper_kw if at.cap_kw is None else at.cap_kw
                assert 0.0 <= at.p_kw <= min(sky.expected_kw, cap)
                assert cap <= sky.upper_kw
            case Bes():
                assert abs(at.p_kw) <= der.rated_kw
                drawn = at.p_kw / der.eta_discharge if at.p_kw > 0 else at.p_kw * der.eta_charge
                assert before.soc_pct is not None
                after = before.soc_pct - 100.0 * 0.25 * drawn / der.capacity_kwh
                assert after >= min(der.soc_min_pct, before.soc_pct) - 1e-6
                assert after <= max(der.soc_max_pct, before.soc_pct) + 1e-6
            case Dg():
                assert 0.0 <= at.p_kw <= der.rated_kw
                up = before.p_kw + 0.25 * der.ramp_up_kw_per_h
                assert at.p_kw <= max(up, der.min_kw) + 1e-6  # it starts at its least power
                ramped = before.p_kw - 0.25 * der.ramp_down_kw_per_h
                stopped = at.p_kw == 0.0 and ramped <= der.min_kw
                assert stopped or at.p_kw >= min(ramped, der.rated_kw) - 1e-6
                assert at.p_kw > 0.0 or abs(at.q_kvar) < 1e-6


@settings(max_examples=30)
@given(data=st.data(), price=st.floats(0.01, 1.0))
def test_the_order_of_the_ders_in_the_site_file_does_not_change_the_cost(
    data: st.DataObject, price: float
) -> None:
    site = data.draw(sites())
    snapshot, forecast = data.draw(states(site))
    order = data.draw(st.permutations(site.ders))
    turned = Site(
        name=site.name, latitude_deg=site.latitude_deg, longitude_deg=site.longitude_deg,
        ders=tuple(order), limits=site.limits, load_max_kw=site.load_max_kw,
        load_min_kw=site.load_min_kw, loss_factor=site.loss_factor,
    )  # fmt: skip
    here = dispatch(site, snapshot, forecast, price)
    there = dispatch(turned, snapshot, forecast, price)
    scale = max(1.0, abs(here.objective_usd_per_h))
    assert here.objective_usd_per_h == pytest.approx(there.objective_usd_per_h, abs=1e-6 * scale)
