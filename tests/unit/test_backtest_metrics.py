"""What a policy came to, from rows whose sums are known."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ems.backtest.case import DayState
from ems.backtest.comparing import measured
from ems.backtest.keeping import ChainKey, Results, packed
from ems.backtest.metrics import jain, longest_run
from ems.backtest.period import parts_of_months
from ems.backtest.seeds import summed_up
from ems.domain import Site
from tests.backtest_days import rows
from tests.backtests import case, given
from tests.sites import segment


def keep(folder: Path, policy: Any = "geems", *, site: Site | None = None, seed: int = 0,
         days: int = 1, **told: Any) -> None:  # fmt: skip
    """Days of eight intervals, two hours each."""
    of = case(policy, site=site, seed=seed)
    key = ChainKey(site=of.name, policy=policy, seed=seed)
    with Results.opened(folder, {}) as results:
        for i in range(days):
            day = date(2019, 7, 31 + i) if i == 0 else date(2019, 8, i)
            input_ = replace(given(of), day=day)
            state = DayState.at_start(of)
            data = packed(rows(of, input_, **told), results.digest, state, state.to_bytes())
            results.keep(key, day, data)


def only(folder: Path, site: Site | None = None) -> Any:
    site = site or segment()
    (found,) = measured(folder, {site.name: site})
    return found


def test_energy_is_power_times_a_quarter_of_an_hour(tmp_path: Path) -> None:
    keep(
        tmp_path, days=2, cost_usd=10.0, dg_cost_usd=3.0, pv_kw=600.0, pv_available_kw=800.0,
        grid_kw=[100.0] * 6 + [-40.0] * 2, losses_kw=5.0, dg_kw=20.0, compliance_usd_per_h=2.0,
    )  # fmt: skip
    found = only(tmp_path)
    assert (found.days, found.intervals) == (2, 16)
    assert found.cost_usd == 160.0
    assert found.dg_cost_usd == 48.0
    assert found.pv_kwh == 2400.0
    assert found.curtailed_kwh == 800.0
    assert found.curtailed_pct == 25.0
    assert found.imported_kwh == 300.0
    assert found.exported_kwh == 40.0
    assert found.losses_kwh == 20.0
    assert found.dg_kwh == 80.0
    assert found.load_kwh == 2 * 2 * 9000.0
    assert found.compliance_usd == 8.0


def test_what_no_cycle_told_is_nothing_and_not_zero(tmp_path: Path) -> None:
    keep(tmp_path, "none", compliance_usd_per_h=None, caution_usd_per_h=None)
    found = only(tmp_path)
    assert found.compliance_usd is None
    assert found.caution_usd is None
    assert found.regret_usd is None


def test_violations_are_counted_and_their_longest_stretch_runs_over_midnight(
    tmp_path: Path,
) -> None:
    keep(
        tmp_path, days=2,
        nodes_above=[2, 0, 0, 0, 0, 1, 1, 0], nodes_below=[0, 0, 0, 0, 0, 0, 0, 3],
        nodes_violated=["a.1,b.2", "", "", "", "", "a.1", "a.1", "c.1,c.2,c.3"],
        elements_over=[0, 1, 0, 0, 0, 0, 0, 0],
        converged=[True, True, False, True, True, True, True, True],
        depth_pu=[0.01, 0.0, 0.0, 0.0, 0.0, 0.002, 0.03, 0.001],
        model_violations=[1, 0, 0, 0, 0, 0, 0, 0],
        status=["verified"] * 6 + ["degraded", "infeasible"],
    )  # fmt: skip
    found = only(tmp_path)
    assert found.violated == 2 * 6
    assert found.nodes_violated == 5
    assert found.nodes_at_once == 3
    assert found.depth_pu == 0.03
    assert found.overloaded == 2
    assert found.unsolved == 2
    assert found.model_violated == 2
    assert found.unverified == 4
    assert found.longest_h == 6 * 0.25  # the last three of a day, the first three of the next


@pytest.mark.parametrize(
    ("flags", "longest"),
    [([], 0), ([0, 0], 0), ([1], 1), ([1, 1, 0, 1], 2), ([0, 1, 1, 1], 3), ([1, 0, 1, 0], 1)],
)
def test_the_longest_run_is_found_wherever_it_is(flags: list[int], longest: int) -> None:
    assert longest_run(np.array(flags, dtype=np.bool_)) == longest


def test_a_full_cycle_draws_the_capacity_once(tmp_path: Path) -> None:
    site = segment()
    (bes,) = site.bess
    drawn_kwh = 184.0 * bes.eta_discharge
    told: dict[str, Any] = {"p_kw.bes": [drawn_kwh] * 4 + [-50.0] * 4}  # an hour each
    keep(tmp_path, **told)
    found = only(tmp_path)
    assert found.cycles == pytest.approx(184.0 / bes.capacity_kwh)
    assert found.discharged_kwh == pytest.approx(drawn_kwh)
    assert found.charged_kwh == pytest.approx(50.0)
    assert found.soc_end_pct == {"bes": 50.0}


def test_the_forecast_s_error_is_taken_by_day_over_all_ratings(tmp_path: Path) -> None:
    site = segment()
    rated_kw = sum(pv.rated_kw for pv in site.pvs)
    keep(tmp_path, pv_expected_kw=[0.0] * 4 + [100.0] * 4, pv_available_kw=[0.0] * 4 + [400.0] * 4)
    assert only(tmp_path).forecast_nrmse_pct == pytest.approx(100 * 300.0 / rated_kw)


def test_regret_is_the_cost_above_the_oracle_s_on_days_that_all_have(tmp_path: Path) -> None:
    keep(tmp_path, "geems", cost_usd=3.0)
    keep(tmp_path, "oracle", cost_usd=2.0)
    keep(tmp_path, "none", cost_usd=9.0, days=2)
    keep(tmp_path, "geems", cost_usd=3.0, seed=1)
    site = segment()
    found = {(m.chain.policy, m.chain.seed): m for m in measured(tmp_path, {site.name: site})}
    assert found["geems", 0].regret_usd == 8.0
    assert found["oracle", 0].regret_usd == 0.0
    assert found["none", 0].regret_usd == 56.0  # its second day is nobody else's
    assert found["none", 0].cost_usd == 144.0
    assert [found["none", 0].compared_days, found["none", 0].compared_usd] == [1, 72.0]
    assert found["geems", 1].regret_usd is None  # another seed
    assert found["geems", 1].compared_usd == 24.0


def test_as_many_days_are_not_the_same_days(tmp_path: Path) -> None:
    keep(tmp_path, "geems", cost_usd=3.0, days=2)
    keep(tmp_path, "oracle", cost_usd=2.0, days=2)
    (july,) = tmp_path.glob("rows/*/policy=geems/*/day=2019-07-31.parquet")
    (august,) = tmp_path.glob("rows/*/policy=oracle/*/day=2019-08-01.parquet")
    july.unlink()
    august.unlink()
    site = segment()
    for m in measured(tmp_path, {site.name: site}):
        assert (m.days, m.compared_days, m.compared_usd, m.regret_usd) == (1, 0, None, None)


def test_nothing_is_measured_from_an_oracle_that_broke_limits(tmp_path: Path) -> None:
    keep(tmp_path, "geems", cost_usd=3.0)
    keep(tmp_path, "oracle", cost_usd=2.0, nodes_above=[1] + [0] * 7)
    site = segment()
    found = measured(tmp_path, {site.name: site})
    assert [m.regret_usd for m in found] == [None, None]
    assert {m.compared_usd for m in found} == {24.0, 16.0}


def test_a_policy_that_broke_limits_is_not_measured_from_the_oracle(tmp_path: Path) -> None:
    keep(tmp_path, "none", cost_usd=3.0, nodes_above=[1] + [0] * 7)
    keep(tmp_path, "none", cost_usd=3.0, seed=1)
    for seed in (0, 1):
        keep(tmp_path, "oracle", cost_usd=2.0, seed=seed)
    site = segment()
    found = measured(tmp_path, {site.name: site})
    told = {(m.chain.policy, m.chain.seed): m.regret_usd for m in found}
    assert told == {("none", 0): None, ("none", 1): 8.0, ("oracle", 0): 0.0, ("oracle", 1): 0.0}
    together = {row["policy"]: row["regret_usd"] for row in summed_up(found)}
    assert together == {"none": None, "oracle": 0.0}


def test_what_one_seed_alone_costs_above_the_oracle_is_no_mean(tmp_path: Path) -> None:
    keep(tmp_path, "oracle", cost_usd=2.0, nodes_above=[1] + [0] * 7)
    keep(tmp_path, "oracle", cost_usd=2.0, seed=1)
    for seed in (0, 1):
        keep(tmp_path, "geems", cost_usd=3.0, seed=seed)
    site = segment()
    rows = summed_up(measured(tmp_path, {site.name: site}))
    assert {row["policy"]: row["regret_usd"] for row in rows} == {"geems": None, "oracle": None}


def test_costs_are_held_against_each_other_over_seeds_that_all_policies_have(
    tmp_path: Path,
) -> None:
    for seed, (oracle, rules) in enumerate([(2.0, 3.0), (2.0, 9.0)]):
        keep(tmp_path, "oracle", cost_usd=oracle, seed=seed)
        keep(tmp_path, "rules", cost_usd=rules, seed=seed)
    keep(tmp_path, "geems", cost_usd=4.0)  # of seed 1 every day failed
    site = segment()
    rows = {row["policy"]: row for row in summed_up(measured(tmp_path, {site.name: site}))}
    compared = {name: row["compared_usd"] for name, row in rows.items()}
    assert compared == {"oracle": 16.0, "rules": 24.0, "geems": 32.0}, "seed 0, which all have"
    assert {row["compared_days"] for row in rows.values()} == {1}
    assert rows["rules"]["cost_usd"] == 48.0, "what is there is summed up all the same"
    assert {row["regret_usd"] for row in rows.values()} == {None}, "it is no mean over all seeds"


def test_policies_without_a_seed_in_common_are_not_compared(tmp_path: Path) -> None:
    keep(tmp_path, "oracle", cost_usd=2.0)
    keep(tmp_path, "geems", cost_usd=3.0, seed=1)
    site = segment()
    for row in summed_up(measured(tmp_path, {site.name: site})):
        assert (row["compared_days"], row["compared_usd"], row["regret_usd"]) == (0, None, None)


def test_a_seed_that_one_site_lacks_is_no_matter_to_another(tmp_path: Path) -> None:
    one, two = segment(), replace(segment(), name="two")
    for policy, cost in (("oracle", 2.0), ("geems", 3.0)):
        keep(tmp_path, policy, site=one, cost_usd=cost)
        for seed in (0, 1):
            keep(tmp_path, policy, site=two, seed=seed, cost_usd=cost)
    keep(tmp_path, "oracle", site=one, seed=1, cost_usd=2.0)
    rows = summed_up(measured(tmp_path, {one.name: one, "two": two}))
    regret = {(row["site"], row["policy"]): row["regret_usd"] for row in rows}
    assert regret[one.name, "geems"] is None
    assert regret["two", "geems"] == 8.0


def test_limits_of_the_grid_connection_count_as_those_of_the_feeder(tmp_path: Path) -> None:
    keep(
        tmp_path, import_over_kw=[0.0] * 6 + [30.0, 0.0], export_over_kw=[0.0] * 6 + [0.0, 5e-4],
        power_factor_over_kvar=[8.0] + [0.0] * 7,
    )  # fmt: skip
    found = only(tmp_path)
    assert (found.violated, found.grid_over) == (2, 2)  # half a watt is round-off
    assert found.import_over_kw == 30.0
    assert found.power_factor_over_kvar == 8.0


def test_a_limit_that_a_site_does_not_have_is_not_told_as_kept(tmp_path: Path) -> None:
    keep(tmp_path, import_over_kw=None, export_over_kw=None, power_factor_over_kvar=None)
    assert (only(tmp_path).import_over_kw, only(tmp_path).violated) == (None, 0)
    site = segment()
    (row,) = summed_up(measured(tmp_path, {site.name: site}))
    assert row["export_over_kw"] is None


def test_a_demand_charge_is_that_of_each_month_s_highest_import(tmp_path: Path) -> None:
    site = replace(segment(), demand_charge_usd_per_kw=2.0)
    keep(tmp_path, site=site, days=2, grid_kw=[100.0, 700.0] * 4)  # the last of July, August 1
    found = only(tmp_path, site)
    assert (found.demand_usd, found.months) == (2 * 2.0 * 700.0, 2)
    assert found.told()["total_usd"] == found.cost_usd + found.demand_usd


def test_months_that_a_period_holds_in_part_are_named() -> None:
    june = date(2019, 6, 1), date(2019, 6, 30)
    assert parts_of_months(*june) == ()
    assert parts_of_months(date(2019, 6, 1), date(2019, 6, 5)) == ("5 of 30 days of June 2019",)
    assert parts_of_months(date(2019, 12, 30), date(2020, 2, 28)) == (
        "2 of 31 days of December 2019",
        "28 of 29 days of February 2020",
    )


def test_fairness_is_jain_s_index_of_what_plants_may_keep(tmp_path: Path) -> None:
    (pv,) = segment().pvs
    others = tuple(d for d in segment().ders if d is not pv)
    site = replace(segment(), ders=(pv, replace(pv, name="two"), *others))
    told: dict[str, Any] = {
        "available_kw.pv": 100.0, "p_kw.pv": 100.0, "available_kw.two": 50.0, "p_kw.two": 0.0,
    }  # fmt: skip
    keep(tmp_path, site=site, **told)
    assert only(tmp_path, site).fairness == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("shares", "index"), [((1, 1, 1), 1.0), ((1, 0, 0, 0), 0.25), ((0, 0), 1.0), ((4, 2), 0.9)]
)
def test_jain_s_index(shares: tuple[float, ...], index: float) -> None:
    assert jain(shares) == pytest.approx(index)


def test_seeds_come_together_as_means_sums_and_worst(tmp_path: Path) -> None:
    for seed, cost in enumerate((1.0, 3.0)):
        keep(tmp_path, cost_usd=cost, seed=seed, nodes_above=seed, depth_pu=0.01 * seed)
    site = segment()
    (row,) = summed_up(measured(tmp_path, {site.name: site}))
    assert (row["seeds"], row["cost_usd"], row["violated"], row["depth_pu"]) == (2, 16.0, 8, 0.01)
    assert row["soc_end_pct"] == {"bes": 50.0}
