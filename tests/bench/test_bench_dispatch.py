"""Time of one dispatch against DERs and rows, by HiGHS and by Ipopt, from values to setpoints."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import pytest

from ems.dispatch import dispatch
from ems.dispatch.model import DispatchModel, IntervalData
from ems.domain import (
    DerReading,
    Dispatch,
    Forecast,
    Limits,
    LoadReading,
    Pv,
    PvForecast,
    RowBlock,
    RowKind,
    Site,
    Snapshot,
)
from tests.bench.table import median_ms, tell

NOW = datetime(2024, 6, 3, 19, 0, tzinfo=UTC)
DERS = (3, 85, 1000)
ROWS = (0, 20, 60)
Solver = Literal["highs", "ipopt", "auto"]
RUNS: dict[Solver, int] = {"highs": 20, "ipopt": 3, "auto": 20}
PRICE_USD_PER_KWH = 0.3


def plants(count: int) -> Site:
    """PV plants of 20 to 80 kW that can absorb and inject."""
    rng = np.random.default_rng(1)
    return Site(
        name="plants", latitude_deg=40.0, longitude_deg=-105.0,
        limits=Limits(v_min_pu=0.95, v_max_pu=1.05), load_max_kw=1e5, load_min_kw=0.0,
        ders=tuple(
            Pv(name=f"pv{i}", bus="b", rated_kw=kw, q_max_kvar=25.0)
            for i, kw in enumerate(rng.uniform(20.0, 80.0, count).tolist())
        ),
    )  # fmt: skip


def state(site: Site) -> tuple[Snapshot, Forecast]:
    """Nine tenths of every rating expected, all of it possible."""
    load_kw = 16.0 * len(site.ders)
    ders = {n: DerReading(der=n, time=NOW, p_kw=0.0, q_kvar=0.0) for n in site.names}
    sky = {
        p.name: PvForecast(
            expected_kw=0.9 * p.rated_kw, lower_kw=0.0, upper_kw=p.rated_kw, method="given"
        )
        for p in site.pvs
    }
    snapshot = Snapshot(time=NOW, ders=ders, load=LoadReading(time=NOW, p_kw=load_kw))
    return snapshot, Forecast(start=NOW, pv=sky, load_kw=load_kw)


def rows_of(site: Site, count: int) -> RowBlock:
    """Rows as an over-voltage makes them: every DER in every row, 45 to 80 % of P allowed."""
    rng = np.random.default_rng(2)
    n = len(site.ders)
    c_p = rng.uniform(0.2, 1.0, (count, n)) * 2e-5 * 85 / n
    c_q = c_p * rng.uniform(0.5, 1.5, (count, n))
    rated = np.array([d.rated_kw for d in site.ders])
    return RowBlock(
        ders=site.names, c_p=c_p, c_q=c_q,
        bound=rng.uniform(0.45, 0.8, count) * (c_p @ rated) - 12.5 * c_q.sum(axis=1),
        kind=(RowKind.V_MAX,) * count, place=tuple(f"n{i}.1" for i in range(count)),
        limit=np.full(count, 1.05),
    )  # fmt: skip


def built_and_extracted_ms(site: Site) -> tuple[float, float]:
    """Once per site, and once per interval."""
    snapshot, forecast = state(site)
    started = time.perf_counter()
    model = DispatchModel(site)
    built = time.perf_counter()
    spent = []
    for price in (0.1, 0.2, 0.3):  # another interval each time: the last one is kept
        again = time.perf_counter()
        model.extract(
            IntervalData(
                price_usd_per_kwh=price, load_kw=forecast.load_kw, soc_pct={}, dg_kw={},
                pv_expected_kw={n: f.expected_kw for n, f in forecast.pv.items()},
                pv_upper_kw={n: f.upper_kw for n, f in forecast.pv.items()},
            )
        )  # fmt: skip
        spent.append(time.perf_counter() - again)
    assert set(snapshot.ders) == set(site.names)
    return 1e3 * (built - started), median_ms(spent)


def timed(site: Site, rows: RowBlock, solver: Solver) -> tuple[Dispatch, float]:
    named = replace(site, solver=solver)
    at = state(named)
    decided = dispatch(named, *at, PRICE_USD_PER_KWH, rows)  # builds, and starts what is started
    spent = []
    for _ in range(RUNS[solver]):
        started = time.perf_counter()
        decided = dispatch(named, *at, PRICE_USD_PER_KWH, rows)
        spent.append(time.perf_counter() - started)
    return decided, median_ms(spent)


def test_bench_dispatch_with_circles_by_tangents_and_by_ipopt() -> None:
    """Every inverter carries four fifths of its rating, so that its circle cuts P and Q."""
    table: list[dict[str, object]] = []
    for ders in DERS[:2]:
        plain = plants(ders)
        cut = tuple(replace(p, s_max_kva=0.8 * p.rated_kw) for p in plain.pvs)
        site = replace(plain, ders=cut)
        for count in ROWS[1:]:
            rows = rows_of(site, count)
            by_tangents, tangents_ms = timed(site, rows, "auto")
            by_ipopt, ipopt_ms = timed(site, rows, "ipopt")
            assert by_tangents.solver == "highs"
            assert by_tangents.kkt_residual < 1e-6
            cost = by_ipopt.objective_usd_per_h
            apart = abs(by_tangents.objective_usd_per_h - cost)
            assert apart <= 1e-6 * max(1.0, abs(cost))
            table.append(
                {
                    "DERs": ders, "rows": count, "binding": len(by_tangents.binding),
                    "tangents ms": tangents_ms, "ipopt ms": ipopt_ms,
                    "ipopt takes": ipopt_ms / tangents_ms, "cost apart": f"{apart:.1e}",
                }
            )  # fmt: skip
    tell("dispatch_circles", table)


def test_bench_dispatch_against_ders_and_rows() -> None:
    table: list[dict[str, object]] = []
    for ders in DERS:
        site = plants(ders)
        build_ms, extract_ms = built_and_extracted_ms(site)
        for count in ROWS:
            rows = rows_of(site, count)
            by_highs, highs_ms = timed(site, rows, "highs")
            by_ipopt, ipopt_ms = timed(site, rows, "ipopt")
            assert by_highs.kkt_residual < 1e-6
            assert by_ipopt.kkt_residual < 1e-6
            cost = by_ipopt.objective_usd_per_h
            assert by_highs.objective_usd_per_h == pytest.approx(cost, abs=1e-6 * max(1, abs(cost)))
            table.append(
                {
                    "DERs": ders, "rows": count, "binding": len(by_highs.binding),
                    "build ms": build_ms, "extract ms": extract_ms,
                    "highs solve ms": 1e3 * by_highs.solve_s, "highs dispatch ms": highs_ms,
                    "ipopt solve ms": 1e3 * by_ipopt.solve_s, "ipopt dispatch ms": ipopt_ms,
                    "cost apart": f"{abs(by_highs.objective_usd_per_h - cost):.1e}",
                }
            )  # fmt: skip
    tell("dispatch", table)
