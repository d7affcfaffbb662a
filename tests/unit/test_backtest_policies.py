"""What each policy does, and that every battery ends the period as it began."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from ems.backtest import POLICIES, DayState, Errors, PolicyName, simulate_day
from ems.backtest.devices import power_to, soc_after
from ems.backtest.fixed_caps import FixedCaps
from ems.backtest.keeping import packed
from ems.backtest.policies import (
    Felt,
    Funnel,
    Rules,
    funnel,
    funnels,
    planned_to_end,
    policy_of,
    rules_of,
    site_of,
    turned_back,
)
from ems.domain import Bes, Dg, Injections, Pv
from ems.tariff import flat
from feeders import Feeder
from tests.backtests import case, given, ran, two_prices
from tests.sites import AUTO, segment

BES = next(iter(segment().bess))


@pytest.fixture(scope="module")
def feeder() -> Feeder:
    return Feeder.open("segment13", segment().placements)


def test_the_policies_are_those_of_the_vocabulary() -> None:
    assert get_args(PolicyName) == POLICIES


def test_none_leaves_pv_at_the_sun_generators_off_and_batteries_idle() -> None:
    of = case("none")
    rows, _ = ran(of, given(of, share=[0.1, 0.9, 0.3], intervals=3))
    assert rows["p_kw.pv"].tolist() == pytest.approx([1000.0, 9000.0, 3000.0])
    assert (rows[["p_kw.dg", "p_kw.bes", "q_kvar.pv", "curtailed_kw"]] == 0.0).all(axis=None)
    assert (rows["soc_pct.bes"] == 60.0).all()
    assert rows["cap_kw.pv"].isna().all()


def test_only_a_cycle_makes_the_modes_and_plans() -> None:
    modes = {name: policy_of(case(name)) for name in POLICIES}
    assert {name for name, p in modes.items() if p.mode == "paper"} == {"paper"}
    planned = {name for name, p in modes.items() if p.look_ahead}
    assert planned == {"geems_lookahead", "oracle"}
    assert all(p.control == "auto" and p.keep_alive_s is None for p in modes.values())
    assert all(p.reversion_s >= 1800 for p in modes.values())


def test_the_oracle_keeps_a_band_for_where_the_load_lies_and_for_nothing_else(
    feeder: Feeder,
) -> None:
    def band_pct(method: PolicyName, noise: float) -> float:
        of = case(method, errors=Errors(load_noise=noise))
        return site_of(of, feeder.loads).limits.load_band_pct

    assert band_pct("oracle", 0.0) == 0.0
    assert 0.0 < band_pct("oracle", 0.005) == band_pct("oracle", 0.01) / 2
    assert band_pct("oracle", 0.01) < 3.0 * 1.0, "errors of buses cancel in part"
    assert band_pct("oracle", 0.5) == band_pct("geems", 0.0) == 2.0


def test_the_oracle_keeps_its_limits_where_the_load_lies_differently() -> None:
    of = case("oracle", errors=Errors(load_noise=0.02), intervals_ahead=2)
    rows, _ = ran(of, given(of, share=0.8, load_kw=8000.0, intervals=12))
    assert (rows["curtailed_kw"] > 100.0).all(), "limits bind"
    assert rows["nodes_above"].sum() == 0


def test_the_oracle_wastes_no_sun_that_the_limits_allow() -> None:
    """What is uncertain for others is not for it: PV up to the very limit."""
    made = {}
    for name in ("geems", "oracle"):
        of = case(name, intervals_ahead=2)
        rows, _ = ran(of, given(of, share=0.7, load_kw=8000.0, intervals=2))
        made[name] = rows["pv_kw"].iloc[-1]
        assert (rows["nodes_above"] == 0).all()
    assert made["oracle"] > made["geems"] + 100.0


def test_looking_ahead_keeps_the_battery_for_the_dear_hours() -> None:
    rows, free = {}, replace(AUTO, terminal_soc="free")
    for name in ("geems", "geems_lookahead"):
        # 16:30 local on: half an hour cheap, then dear.
        of = case(
            name, policy=free, tariff=two_prices(0.2, 0.6), intervals_ahead=4, soc_start_pct=40.0
        )
        day = given(of, share=0.1, intervals=3, start="2019-07-15T23:30")
        rows[name], _ = ran(of, day)
    dear = rows["geems"]["price_usd_per_kwh"] == 0.6
    assert dear.tolist() == [False, False, True]
    by_worth, by_plan = rows["geems"]["bes_kw"], rows["geems_lookahead"]["bes_kw"]
    assert (by_worth[~dear] > 199.0).all()
    assert (by_plan[~dear] < 1.0).all()


# --- the end of the period ---------------------------------------------------------------


@pytest.mark.parametrize("method", POLICIES)
@pytest.mark.parametrize("start_pct", [60.0, 95.0])
def test_every_battery_ends_as_it_began(method: PolicyName, start_pct: float) -> None:
    of = case(method, end_soc="start", soc_start_pct=start_pct, intervals_ahead=8)
    rows, _ = ran(of, given(of, share=0.1, intervals=4))
    assert rows["soc_pct.bes"].iloc[-1] == pytest.approx(start_pct, abs=1e-6)
    assert rows["model_violations"].sum() == 0


def test_it_ends_free_where_that_is_asked() -> None:
    of = case("geems")
    rows, _ = ran(of, given(of, share=0.1, intervals=8))
    assert rows["soc_pct.bes"].iloc[-1] == pytest.approx(20.0, abs=1e-6)


def test_the_battery_is_used_until_it_must_turn_back() -> None:
    of = case("geems", end_soc="start")
    rows, _ = ran(of, given(of, share=0.1, intervals=8))
    assert rows["soc_pct.bes"].min() < 50.0
    assert rows["bes_kw"].iloc[0] == pytest.approx(200.0, abs=1.0)
    assert rows["bes_kw"].iloc[-1] < -100.0


def test_a_funnel_narrows_to_the_start() -> None:
    of = case("geems", end_soc="start")
    widths = []
    for after in range(24, -1, -1):
        bounds = funnel(of, BES, after, 160.0)
        assert BES.soc_min_pct <= bounds.lowest_pct <= 60.0 <= bounds.highest_pct <= 100.0
        widths.append(bounds.highest_pct - bounds.lowest_pct)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == 0.0
    assert funnels(of, 96) == {}
    assert funnels(replace(of, end_soc="free"), 0) == {}


def test_what_is_out_of_its_funnel_is_worth_moving_and_no_further() -> None:
    site, bounds = segment(), {"bes": Funnel(lowest_pct=50.0, highest_pct=70.0)}
    low, inside, high = (
        turned_back(site, bounds, {"bes": soc}, 0.3).bess[0] for soc in (45.0, 60.0, 75.0)
    )
    assert (low.soc_min_pct, low.soc_max_pct) == (45.0, 50.0)
    assert low.weight_usd_per_kwh * low.eta_charge * low.eta_discharge > 0.3
    assert (inside.soc_min_pct, inside.soc_max_pct) == (50.0, 70.0)
    assert inside.weight_usd_per_kwh == BES.weight_usd_per_kwh
    assert (high.soc_min_pct, high.soc_max_pct) == (70.0, 75.0)
    assert high.weight_usd_per_kwh == 0.0


def test_a_plan_that_reaches_the_end_must_bring_the_charge_back() -> None:
    of = case("geems_lookahead", end_soc="start", intervals_ahead=8)
    policy = policy_of(of)
    assert planned_to_end(of, policy, 9) == policy
    assert planned_to_end(of, policy, 8).terminal_soc == 60.0
    assert planned_to_end(replace(of, end_soc="free"), policy, 1) == policy


def test_power_to_a_charge_is_the_inverse_of_the_charge_after_a_power() -> None:
    for p_kw in (-150.0, 0.0, 80.0):
        there = soc_after(BES, 60.0, p_kw, 0.25)
        assert power_to(BES, 60.0, there, 0.25) == pytest.approx(p_kw, abs=1e-9)


# --- rules -------------------------------------------------------------------------------


def test_the_static_cap_is_the_largest_that_is_safe_at_the_worst(feeder: Feeder) -> None:
    site = segment()
    rules = rules_of(site, feeder)
    assert rules.other_share == 1.0

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
    assert rules.other_share < 1.0
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


def test_a_generator_runs_where_the_grid_costs_more() -> None:
    for price, p_kw in ((0.25, 3000.0), (0.05, 0.0)):
        of = case("rules", tariff=flat(price))
        rows, _ = ran(of, given(of, share=0.0, intervals=5))
        assert rows["p_kw.dg"].iloc[-1] == pytest.approx(p_kw)


def felt(pv_kw: float, sun_kw: float | None = None, *, generating: bool = False) -> Felt:
    return Felt(pv_kw=pv_kw, sun_kw=pv_kw if sun_kw is None else sun_kw, generating=generating)


def test_a_generator_gives_way_to_sun_that_is_worth_more() -> None:
    site, rules = segment(), Rules(pv_share=0.5, beside_share=0.1, other_share=1.0)
    (dg,) = site.dgs

    def asked(sun_kw: float, price: float) -> float | None:
        told = rules.commands(site, felt(1000.0, sun_kw), 9000.0, price)
        return next(c.p_kw for c in told if c.der == "dg")

    # Beside it PV loses what is above 1000 kW, and 4000 kW at most.
    dear, cheap = 4.0 * dg.cost_usd_per_kwh, 1.1 * dg.cost_usd_per_kwh
    assert [asked(sun_kw, dear) for sun_kw in (0.0, 1000.0, 9000.0)] == [3000.0, 3000.0, 0.0]
    assert [asked(sun_kw, cheap) for sun_kw in (0.0, 1000.0, 2000.0)] == [3000.0, 3000.0, 0.0]


def test_the_cap_stays_narrow_until_every_generator_stands_still() -> None:
    site, rules = segment(), Rules(pv_share=0.5, beside_share=0.1, other_share=1.0)

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
    rules = Rules(pv_share=0.5, beside_share=0.1, other_share=1.0)
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
    rules = Rules(pv_share=1.0, beside_share=1.0, other_share=1.0)
    told = {c.der: c.p_kw for c in rules.commands(twice, felt(0.0), 700.0, 0.3)}
    assert (told["dg"], told["small"], told["large"]) == pytest.approx((500.0, 50.0, 150.0))
    held = Rules(pv_share=1.0, beside_share=1.0, other_share=0.5)
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
    told, _ = ran(of, replace(day, lowest_load_kw=8600.0))
    assert told["nodes_above"].sum() == told["elements_over"].sum() == 0
    assert told["pv_kw"].mean() > 1.5 * blind["pv_kw"].mean()
    assert told["cap_kw.pv"].nunique() <= 2


def test_the_caps_of_rules_go_with_the_rows_of_each_day(tmp_path: Path) -> None:
    of = case("rules")
    told = {}
    for method in ("rules", "none"):
        day = replace(given(of, intervals=1), lowest_load_kw=8600.0)
        alike = replace(of, method=method)
        start = DayState.at_start(alike)
        result = simulate_day(alike, day, start)
        path = tmp_path / f"{method}.parquet"
        path.write_bytes(packed(result.rows, "digest", start, start.to_bytes()))
        told[method] = FixedCaps.of_day(path)
    assert told["none"] is None
    assert told["rules"] is not None
    assert told["rules"].lowest_load_kw == 8600.0
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
