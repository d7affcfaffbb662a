"""What `rules` sets up once, what it does in an interval, and which limits it keeps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ems.backtest import DayState, simulate_day
from ems.backtest.fixed_caps import FixedCaps
from ems.backtest.keeping import packed
from ems.backtest.rules import Felt, Rules, rules_of
from ems.domain import Bes, Dg, Injections, Pv
from ems.tariff import flat
from feeders import Feeder
from tests.backtests import case, given, ran
from tests.sites import segment


@pytest.fixture(scope="module")
def feeder() -> Feeder:
    return Feeder.open("segment13", segment().placements)


def test_the_static_cap_is_the_largest_that_is_safe_at_the_worst(feeder: Feeder) -> None:
    site = segment()
    rules = rules_of(site, feeder)
    assert (rules.dg_share, rules.bes_share) == (1.0, 1.0)

    def highest(share: float) -> float:
        at = Injections(
            p_kw={"pv": share * 10000.0, "dg": 3000.0, "bes": 200.0},
            q_kvar={},
            load_kw=site.load_min_kw,
        )
        return feeder.load_flow(at).highest()[1]

    assert highest(rules.beside_share) <= site.limits.v_max_pu < highest(rules.beside_share + 5e-4)


def test_a_wider_cap_stands_while_no_generator_runs(feeder: Feeder) -> None:
    site = segment()
    rules = rules_of(site, feeder)

    def highest(share: float, dg_kw: float) -> float:
        p_kw = {"pv": share * 10000.0, "dg": dg_kw, "bes": 200.0}
        at = Injections(p_kw=p_kw, q_kvar={}, load_kw=site.load_min_kw)
        return feeder.load_flow(at).highest()[1]

    assert rules.pv_share > 1.5 * rules.beside_share
    assert highest(rules.pv_share, 0.0) <= site.limits.v_max_pu < highest(rules.pv_share, 3000.0)


def test_where_nothing_is_safe_the_rules_hold_all_of_it_back(feeder: Feeder) -> None:
    site = segment()
    tight = replace(site, limits=replace(site.limits, v_max_pu=1.0775))
    rules = rules_of(tight, feeder)
    assert rules.dg_share < 1.0
    assert rules.beside_share < 0.02


def test_rules_break_nothing_further_that_is_broken_without_them(feeder: Feeder) -> None:
    site = segment()
    assert not rules_of(site, feeder).broken_idle
    light = replace(site, load_min_kw=2000.0)
    idle = Injections(p_kw={}, q_kvar={}, load_kw=2000.0)
    assert feeder.load_flow(idle).highest()[1] > site.limits.v_max_pu
    rules = rules_of(light, feeder)
    assert rules.broken_idle
    assert rules.pv_share < 0.01


def test_what_relieves_a_limit_that_is_broken_at_the_highest_load_is_let_do_so(
    feeder: Feeder,
) -> None:
    site = segment()
    imports = replace(site, import_limit_kw=12_000.0)
    loaded = replace(site, load_max_kw=16_500.0)
    low = replace(site, limits=replace(site.limits, v_min_pu=0.97))
    sure = rules_of(site, feeder)
    for broken in (imports, loaded, low):
        rules = rules_of(broken, feeder)
        assert rules.broken_idle
        assert (rules.dg_share, rules.bes_share) == (1.0, 1.0)
        assert rules.pv_share == pytest.approx(sure.pv_share, abs=1e-3)


def test_a_battery_that_may_come_back_from_the_grid_holds_no_generator_back(
    feeder: Feeder,
) -> None:
    site = segment()
    idle_kw = feeder.load_flow(
        Injections(p_kw={}, q_kvar={}, load_kw=site.load_max_kw), controls=feeder.regulated
    ).head_kw
    rules = rules_of(replace(site, import_limit_kw=idle_kw + 100.0), feeder)
    assert rules.dg_share == 1.0
    assert 0.4 < rules.bes_share < 0.6
    assert not rules.broken_idle


def test_rules_cost_no_more_than_nothing_where_the_highest_load_breaks_a_limit() -> None:
    cost = {}
    site = replace(segment(), import_limit_kw=12_000.0)
    for method in ("rules", "none"):
        of = replace(case(method, tariff=flat(0.3)), site=site)
        load_kw = [13_000.0, 14_500.0, 9_000.0, 8_600.0]
        rows, _ = ran(of, given(of, share=0.2, load_kw=load_kw, intervals=4))
        cost[method] = rows["cost_usd"].sum()
    assert cost["rules"] < cost["none"]


def test_a_generator_runs_where_the_grid_costs_more() -> None:
    for price, p_kw in ((0.25, 3000.0), (0.05, 0.0)):
        of = case("rules", tariff=flat(price))
        rows, _ = ran(of, given(of, share=0.0, intervals=5))
        assert rows["p_kw.dg"].iloc[-1] == pytest.approx(p_kw)


def felt(pv_kw: float, sun_kw: float | None = None, *, generating: bool = False) -> Felt:
    return Felt(pv_kw=pv_kw, sun_kw=pv_kw if sun_kw is None else sun_kw, generating=generating)


def test_a_generator_gives_way_to_sun_that_is_worth_more() -> None:
    site, rules = segment(), Rules(pv_share=0.5, beside_share=0.1)
    (dg,) = site.dgs

    def asked(sun_kw: float, price: float) -> float | None:
        told = rules.commands(site, felt(1000.0, sun_kw), 9000.0, price)
        return next(c.p_kw for c in told if c.der == "dg")

    # Beside it PV loses what is above 1000 kW, and 4000 kW at most.
    dear, cheap = 4.0 * dg.cost_usd_per_kwh, 1.1 * dg.cost_usd_per_kwh
    assert [asked(sun_kw, dear) for sun_kw in (0.0, 1000.0, 9000.0)] == [3000.0, 3000.0, 0.0]
    assert [asked(sun_kw, cheap) for sun_kw in (0.0, 1000.0, 2000.0)] == [3000.0, 3000.0, 0.0]


def test_the_cap_stays_narrow_until_every_generator_stands_still() -> None:
    site, rules = segment(), Rules(pv_share=0.5, beside_share=0.1)

    def cap_kw(*, generating: bool) -> float | None:
        told = rules.commands(site, felt(1000.0, 9000.0, generating=generating), 9000.0, 0.05)
        assert next(c.p_kw for c in told if c.der == "dg") == 0.0
        return next(c.cap_kw for c in told if c.der == "pv")

    assert (cap_kw(generating=True), cap_kw(generating=False)) == (1000.0, 5000.0)


@pytest.mark.parametrize(
    ("pv_kw", "load_kw", "bes_kw"),
    [(1e3, 900.0, -100.0), (1e3, 1150.0, 150.0), (5e3, 100.0, -200.0), (500.0, 500.0, 0.0)],
)
def test_a_battery_takes_what_pv_gives_beyond_the_load_and_returns_it(
    pv_kw: float, load_kw: float, bes_kw: float
) -> None:
    rules = Rules(pv_share=0.5, beside_share=0.1)
    told = {c.der: c for c in rules.commands(segment(), felt(pv_kw), load_kw, 0.05)}
    assert told["bes"].p_kw == pytest.approx(bes_kw)
    assert told["pv"].cap_kw == 5000.0
    assert all(c.q_kvar == 0.0 for c in told.values())


def test_batteries_share_by_size_and_generators_come_first() -> None:
    site = segment()
    twice = replace(
        site,
        ders=(
            Pv(name="pv", bus="B13", rated_kw=1000.0),
            Bes(name="small", bus="B11", rated_kw=100.0, capacity_kwh=400.0),
            Bes(name="large", bus="B11", rated_kw=300.0, capacity_kwh=900.0),
            Dg(name="dg", bus="B7", rated_kw=500.0, cost_usd_per_kwh=0.1),
        ),
    )
    rules = Rules(pv_share=1.0, beside_share=1.0)
    told = {c.der: c.p_kw for c in rules.commands(twice, felt(0.0), 700.0, 0.3)}
    assert (told["dg"], told["small"], told["large"]) == pytest.approx((500.0, 50.0, 150.0))
    held = Rules(pv_share=1.0, beside_share=1.0, dg_share=0.5, bes_share=0.5)
    told = {c.der: c.p_kw for c in held.commands(twice, felt(0.0), 700.0, 0.3)}
    assert (told["dg"], told["small"], told["large"]) == pytest.approx((250.0, 50.0, 150.0))


def test_rules_keep_their_limits_through_a_day_of_any_sun(rng: np.random.Generator) -> None:
    of = case("rules", end_soc="start")
    share, load = rng.uniform(0.0, 1.0, 48), rng.uniform(6000.0, 14500.0, 48)
    rows, _ = ran(of, given(of, share=share, load_kw=load, intervals=48))
    assert rows["nodes_above"].sum() == rows["elements_over"].sum() == 0
    assert rows["curtailed_kw"].max() > 0.0


def test_rules_are_told_the_lowest_load_of_their_period_and_keep_limits_at_it() -> None:
    of = case("rules")
    day = given(of, share=1.0, load_kw=[8600.0, 9000.0, 12000.0, 8600.0], intervals=4)
    blind, _ = ran(of, day)
    told, _ = ran(of, replace(day, lowest_load_kw=8600.0, highest_load_kw=12_000.0))
    assert told["nodes_above"].sum() == told["elements_over"].sum() == 0
    assert told["pv_kw"].mean() > 1.5 * blind["pv_kw"].mean()
    assert told["cap_kw.pv"].nunique() <= 2


def test_the_caps_of_rules_go_with_the_rows_of_each_day(tmp_path: Path) -> None:
    of = case("rules")
    told = {}
    for method in ("rules", "none"):
        day = replace(given(of, intervals=1), lowest_load_kw=8600.0, highest_load_kw=12e3)
        alike = replace(of, method=method)
        start = DayState.at_start(alike)
        result = simulate_day(alike, day, start)
        path = tmp_path / f"{method}.parquet"
        path.write_bytes(packed(result.rows, "digest", start, start.to_bytes()))
        told[method] = FixedCaps.of_day(path)
    assert told["none"] is None
    assert told["rules"] is not None
    assert (told["rules"].lowest_load_kw, told["rules"].highest_load_kw) == (8600.0, 12e3)
    assert told["rules"].beside_share < told["rules"].pv_share < 1.0


def test_rules_keep_the_limits_of_the_grid_connection_too(feeder: Feeder) -> None:
    site = segment()
    wide = replace(site.limits, v_max_pu=1.3, loading_max_pct=None)
    site = replace(site, limits=wide)
    plain = rules_of(site, feeder)
    held = rules_of(replace(site, export_limit_kw=0.0), feeder)
    steady = rules_of(replace(site, power_factor_min=0.8), feeder)
    assert 0.0 < held.pv_share < plain.pv_share
    assert steady.pv_share <= held.pv_share
