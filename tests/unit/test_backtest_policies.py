"""What each policy does, and that every battery ends the period as it began."""

from dataclasses import replace
from typing import get_args

import pytest

from ems.backtest import POLICIES, Errors, PolicyName
from ems.backtest.devices import power_to, soc_after
from ems.backtest.policies import (
    Funnel,
    funnel,
    funnels,
    planned_to_end,
    policy_of,
    site_of,
    turned_back,
)
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


def test_rules_bring_a_large_battery_back_at_no_more_than_is_safe() -> None:
    site = segment()
    large = replace(BES, rated_kw=16_000.0, capacity_kwh=64_000.0)
    ders = tuple(large if d.name == "bes" else d for d in site.ders)
    of = case("rules", end_soc="start", site=replace(site, ders=ders))
    # At this load a line is at its rating before the battery is at half of its own.
    rows, _ = ran(of, given(of, share=0.0, load_kw=13_000.0, intervals=16))
    assert rows["soc_pct.bes"].min() < 59.0
    assert rows["soc_pct.bes"].iloc[-1] == pytest.approx(60.0, abs=1e-6)
    assert rows["elements_over"].sum() == rows["nodes_below"].sum() == 0


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
