"""One day of a backtest: what its rows tell, what passes to the next, days of 92 and 100."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ems.backtest import TIMING, Case, DayState, DeviceState, Profiles, foresee, simulate_day
from ems.backtest.case import utc
from ems.backtest.devices import Devices
from ems.backtest.keeping import packed, unpacked
from ems.backtest.lived import Lived
from ems.backtest.period import Period
from ems.backtest.rows import schema_of
from ems.backtest.truth import feeder_of
from ems.cli.examples import EXAMPLES
from ems.cycle import gathered
from ems.domain import Dg, Injections, Regulation, Setup
from ems.pace import Pace
from ems.ports import Ports
from ems.settings import load_settings
from tests.backtests import NO_ERRORS, SUMMER, ZONE, case, given, part, ran
from tests.sites import NOW


def test_a_row_tells_what_the_truth_made_of_an_interval() -> None:
    of = case("none")
    rows, _ = ran(of, given(of, share=0.2, load_kw=9000.0, intervals=2))
    row = rows.iloc[0]
    assert row["pv_kw"] == row["pv_available_kw"] == row["p_kw.pv"] == pytest.approx(2000.0)
    assert row["grid_kw"] == pytest.approx(9000.0 + row["losses_kw"] - 2000.0, abs=1e-3)
    assert row["cost_usd"] == pytest.approx(0.25 * row["grid_kw"] / 4)
    assert row["dg_cost_usd"] == 0.0
    assert (row["status"], row["policy"], row["day"]) == ("none", "none", SUMMER.isoformat())
    assert row["converged"]


def test_the_columns_are_those_of_the_site_in_the_one_order() -> None:
    of = case("geems")
    table = simulate_day(of, given(of, intervals=1), DayState.at_start(of)).rows
    assert table.schema == schema_of(of.site)
    assert {"p_kw.dg", "cap_kw.pv", "soc_pct.bes", "s.truth", "s.total"} <= set(table.schema.names)
    assert table.schema.field("start").type == pa.timestamp("us", tz="UTC")


def test_a_cycle_of_the_service_decides_and_tells_why() -> None:
    of = case("geems")
    rows, state = ran(of, given(of, share=0.9, upper=1.0, load_kw=8000.0, intervals=2))
    assert (rows["status"] == "verified").all()
    assert (rows["curtailed_kw"] > 100.0).all()
    assert (rows["compliance_usd_per_h"] > 0.0).all()
    assert "pv" in rows["why"].iloc[0]
    assert state.previous is not None
    assert state.devices["pv"].cap_kw == pytest.approx(rows["cap_kw.pv"].iloc[-1])


def test_the_next_day_goes_on_where_the_last_one_ended() -> None:
    of = case("geems")
    whole = given(of, share=np.linspace(0.2, 0.9, 6), intervals=6)
    together, end = ran(of, whole)
    first, state = ran(of, part(whole, 0, 3))
    second, there = ran(of, part(whole, 3, 6), DayState.from_bytes(state.to_bytes()))
    for name in ("grid_kw", "p_kw.bes", "soc_pct.bes", "cap_kw.pv"):
        assert [*first[name], *second[name]] == list(together[name]), name
    assert there.agrees(end)


def test_the_same_state_gives_the_same_bytes_and_comes_back_equal() -> None:
    of = case("geems")
    _, state = ran(of, given(of, intervals=1))
    data = state.to_bytes()
    back = DayState.from_bytes(data)
    assert back.to_bytes() == data
    assert back.devices == state.devices
    assert back.agrees(state)
    tapped = replace(
        state,
        previous=None,
        regulation=Regulation(taps={"transformer.a": (1.0, 1.05)}, capacitors={"c": (1,)}),
    )
    assert DayState.from_bytes(tapped.to_bytes()) == tapped


def test_states_that_know_another_peak_of_the_month_agree_only_where_it_is_charged() -> None:
    plain = case("geems")
    charged = replace(plain, site=replace(plain.site, demand_charge_usd_per_kw=15.0))
    for of, alike in ((plain, True), (charged, False)):
        _, high = ran(of, given(of, share=0.0, load_kw=[9000.0, 6000.0], intervals=2))
        _, low = ran(of, given(of, share=0.0, load_kw=[7000.0, 6000.0], intervals=2))
        assert high.agrees(replace(low, devices=high.devices)) == alike


def test_a_kept_day_remembers_the_peak_that_it_began_with(tmp_path: Path) -> None:
    plain = case("geems")
    of = replace(plain, site=replace(plain.site, demand_charge_usd_per_kw=15.0))
    result = simulate_day(
        of, given(of, share=0.0, load_kw=9000.0, intervals=1), DayState.at_start(of)
    )
    state = result.state
    assert state.peak_kw > 5000.0
    kept = tmp_path / "day.parquet"
    kept.write_bytes(packed(result.rows, "study", state, state.to_bytes()))
    found = unpacked(kept, "study")
    assert found is not None
    assert found.start.previous is None
    assert found.start.agrees(state)
    assert not found.start.agrees(replace(state, peak_kw=0.0))


def test_the_last_day_of_a_month_leaves_no_peak() -> None:
    plain = case("geems")
    of = replace(plain, site=replace(plain.site, demand_charge_usd_per_kw=15.0))
    _, state = ran(of, given(of, share=0.0, load_kw=9000.0, intervals=1, start="2019-07-01T06:45"))
    assert state.peak_kw == 0.0


def test_states_that_differ_in_charge_power_cap_or_taps_do_not_agree() -> None:
    of = case("none")
    state = DayState.at_start(of)
    for name, changed in (
        ("bes", DeviceState(soc_pct=60.0 + 1e-5)),
        ("dg", DeviceState(p_kw=1e-5)),
        ("pv", DeviceState(cap_kw=1.0)),
    ):
        assert not state.agrees(replace(state, devices={**state.devices, name: changed}))
    assert not state.agrees(replace(state, regulation=Regulation(taps={"t": (1.0, 1.0)})))
    near = DeviceState(soc_pct=60.0 + 1e-8)
    assert state.agrees(replace(state, devices={**state.devices, "bes": near}))


def test_batteries_begin_within_their_own_bounds() -> None:
    assert DayState.at_start(case(soc_start_pct=5.0)).devices["bes"].soc_pct == 20.0
    assert DayState.at_start(case()).devices["bes"].soc_pct == 60.0


def test_two_runs_differ_in_wall_times_alone() -> None:
    of = case("geems")
    day = given(of, intervals=2)
    one, other = (ran(of, day)[0] for _ in range(2))
    same = [name for name in one if not str(name).startswith(TIMING)]
    assert one[same].equals(other[same])


@pytest.mark.parametrize(
    ("day", "intervals"),
    [(date(2019, 3, 10), 92), (date(2019, 11, 3), 100), (date(2020, 2, 29), 96)],
)
def test_a_day_on_which_clocks_change_has_the_intervals_it_has(day: date, intervals: int) -> None:
    of = replace(case("none"), forecast="perfect")
    period = Period(first=day, last=day, zone=ZONE)
    seen = foresee(of, _level(of, period), period)
    today = seen.day(of, day)
    assert len(today) == intervals == today.intervals_left
    rows, _ = ran(of, today)
    assert len(rows) == intervals
    assert rows["start"].dt.tz_convert(ZONE).dt.date.unique().tolist() == [day]
    assert utc(today.starts[0]) == period.begin


def test_steps_of_an_interval_are_averaged_and_their_worst_is_kept() -> None:
    of = case("none")
    day = given(of, share=0.1, load_kw=9000.0, intervals=1, steps=3)
    share = np.array([0.1, 0.9, 0.2]).reshape(1, 3, 1)
    rows, _ = ran(of, replace(day, pv_share=share))
    alone, _ = ran(of, given(of, share=0.9, load_kw=9000.0, intervals=1))
    row = rows.iloc[0]
    assert row["pv_kw"] == pytest.approx(4000.0)
    assert row["v_max_pu"] == pytest.approx(alone["v_max_pu"].iloc[0], abs=1e-9)
    assert row["nodes_above"] == alone["nodes_above"].iloc[0] > 0
    assert row["depth_pu"] == pytest.approx(row["v_max_pu"] - 1.10)
    assert row["v_max_node"] in row["nodes_violated"].split(",")


def test_a_generator_takes_its_ramp_and_its_mean_is_paid() -> None:
    of = case("rules")
    rows, _ = ran(of, given(of, share=0.0, load_kw=9000.0, intervals=2))
    dg = next(d for d in of.site.ders if isinstance(d, Dg))
    assert rows["p_kw.dg"].tolist() == pytest.approx([375.0, 1125.0])
    assert rows["dg_cost_usd"].tolist() == pytest.approx(
        [0.25 * dg.cost_usd_per_kwh * p for p in (375.0, 1125.0)]
    )


def test_where_nothing_is_solved_the_grid_is_without_losses_and_none_are_told() -> None:
    of = case("none")
    devices = Devices(of.site, DayState.at_start(of).devices)
    devices.offer([0.2])
    devices.step(0.25)
    flow = feeder_of(of, "model").load_flow(
        Injections(p_kw=devices.p_kw, q_kvar=devices.q_kvar, load_kw=9000.0)
    )
    lived = Lived(of.site, 0.25, 0.25)
    # An engine that gave up tells what its last step came to.
    lived.add(devices, 9000.0, replace(flow, converged=False, losses_kw=7.4e6))
    row = lived.columns(devices, 2000.0)
    assert (row["converged"], row["losses_kw"]) == (False, 0.0)
    assert row["grid_kw"] == pytest.approx(7000.0)


def test_exported_energy_earns_its_own_price() -> None:
    plain = case("none")
    sold = replace(plain, site=replace(plain.site, export_price_usd_per_kwh=0.05))
    day = given(plain, share=0.9, load_kw=6000.0, intervals=1)
    for of, price in ((plain, 0.25), (sold, 0.05)):
        row = ran(of, day)[0].iloc[0]
        assert row["grid_kw"] < 0.0
        assert row["cost_usd"] == pytest.approx(price * row["grid_kw"] / 4)


def _level(of: Case, period: Period) -> Profiles:
    """A load and a sun that stay, from a day before."""
    first = period.begin - timedelta(days=1)
    count = period.intervals + 96
    return Profiles(
        first=first,
        pv_share=dict.fromkeys((pv.name for pv in of.site.pvs), np.full((count, 1), 0.1)),
        load_kw=np.full((count, 1), 9000.0),
    )


def test_no_errors_means_that_truth_and_model_agree() -> None:
    of = case("geems", errors=NO_ERRORS)
    rows, _ = ran(of, given(of, share=0.3, load_kw=9000.0, intervals=1))
    row = rows.iloc[0]
    # The generator is on its way, so the two see another power of it.
    assert row["v_max_pu"] == pytest.approx(row["model_v_max_pu"], abs=5e-3)
    assert row["model_violations"] == row["nodes_above"] == 0


@pytest.mark.parametrize("method", ["none", "rules"])
def test_limits_of_the_grid_connection_are_judged_in_the_truth_and_in_the_model(
    method: str,
) -> None:
    plain = case(method)
    site = replace(plain.site, import_limit_kw=500.0, export_limit_kw=10.0, power_factor_min=0.9999)
    of = replace(plain, site=site)
    day = given(of, share=[0.0, 0.3], load_kw=9000.0, intervals=2, steps=1)
    rows, _ = ran(of, day)
    assert rows["import_over_kw"].tolist() == pytest.approx((rows["grid_kw"] - 500.0).tolist())
    assert (rows["export_over_kw"] == 0.0).all()
    assert (rows["power_factor_over_kvar"] > 10.0).all()
    assert (rows["model_violations"] >= 2).all()
    assert rows["nodes_above"].sum() == rows["nodes_below"].sum() == 0


def test_the_worst_step_counts_at_the_grid_connection_and_not_the_mean() -> None:
    plain = case("none")
    of = replace(plain, site=replace(plain.site, export_limit_kw=0.0))
    day = given(of, share=0.1, load_kw=9000.0, intervals=1, steps=3)
    share = np.array([0.1, 1.0, 0.1]).reshape(1, 3, 1)
    row = ran(of, replace(day, pv_share=share))[0].iloc[0]
    assert row["grid_kw"] > 0.0
    assert row["export_over_kw"] > 400.0
    assert np.isnan(row["power_factor_over_kvar"] or np.nan)


def test_a_new_peak_is_paid_for_once_and_is_no_cost_per_hour() -> None:
    plain = case("geems")
    of = replace(plain, site=replace(plain.site, demand_charge_usd_per_kw=15.0))
    rows, _ = ran(of, given(of, share=0.0, load_kw=[6000.0, 6000.0, 9000.0], intervals=3))
    assert rows["model_demand_usd"].iloc[2] > 15.0 * 1000.0
    assert (rows["model_cost_usd_per_h"] < 0.5 * 9000.0).all()


def test_the_first_interval_pays_for_its_peak_as_any_other() -> None:
    plain = case("geems")
    of = replace(plain, site=replace(plain.site, demand_charge_usd_per_kw=15.0))
    rows, _ = ran(of, given(of, share=0.0, load_kw=9000.0, intervals=1))
    assert rows["model_demand_usd"].iloc[0] > 15.0 * 5000.0


def test_the_peak_is_the_truth_s_and_goes_on_with_the_next_day() -> None:
    plain = case("geems")
    of = replace(plain, site=replace(plain.site, demand_charge_usd_per_kw=15.0))
    whole = given(of, share=0.1, load_kw=9000.0, intervals=2)
    # The clouds that were expected do not come: what is drawn is less than the decision has it.
    sunny = replace(whole, pv_share=np.full_like(whole.pv_share, 0.3))
    first, state = ran(of, part(sunny, 0, 1))
    _, end = ran(of, part(sunny, 1, 2), DayState.from_bytes(state.to_bytes()))
    assert state.previous is not None
    assert state.previous.secured.dispatch.grid_kw > first["grid_kw"].iloc[0] + 500.0
    assert end.previous is not None
    assert end.previous.before is not None
    assert end.previous.before.peak_kw == first["grid_kw"].iloc[0]


def test_the_month_is_that_of_the_site_s_zone() -> None:
    plain = case("geems")
    of = replace(plain, site=replace(plain.site, demand_charge_usd_per_kw=15.0))
    evening = given(of, share=0.0, load_kw=9000.0, intervals=2, start="2019-05-31T23:45")
    midnight = given(of, share=0.0, load_kw=9000.0, intervals=2, start="2019-06-01T06:45")
    paid = [ran(of, day)[0]["model_demand_usd"] for day in (evening, midnight)]
    # The generator still comes up its ramp: a peak that was paid is not reached again.
    assert paid[0].iloc[1] == 0.0
    assert paid[1].iloc[1] > 15.0 * 5000.0


def test_where_taps_rest_is_known_to_the_first_cycle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site.toml").write_text(EXAMPLES["ieee123"](), encoding="utf-8")
    site = load_settings(tmp_path / "site.toml", {}).to_site()
    of = case("geems", site=site, feeder="ieee123")
    asked: list[Ports] = []

    def cycle(*given: Any) -> None:
        asked.append(given[3])
        raise InterruptedError("it is enough to know what it would have been told")

    monkeypatch.setattr("ems.backtest.day.run_cycle", cycle)
    with pytest.raises(InterruptedError):
        ran(of, given(of, share=0.0, load_kw=2000.0, intervals=1))
    idle = dict.fromkeys(site.names, 0.0)
    rested = feeder_of(of, "model").load_flow(
        Injections(p_kw=idle, q_kvar=idle, load_kw=2000.0), controls=True
    )
    assert asked[0].regulation() == rested.regulation
    setup = Setup(site=site, policy=of.policy)
    seen = gathered(setup, 0.25, asked[0], NOW, None, None, Pace()).snapshot
    assert seen.regulation == rested.regulation


def test_alarms_are_told_and_not_only_counted() -> None:
    of = case("geems")
    tight = replace(of.site, limits=replace(of.site.limits, v_min_pu=1.09))
    rows, _ = ran(replace(of, site=tight), given(of, share=0.0, load_kw=14000.0, intervals=1))
    lines = rows["alarms_told"].iloc[0].splitlines()
    assert len(lines) == rows["alarms"].iloc[0] > 0
    assert ran(case("none"), given(of, intervals=1))[0]["alarms_told"].tolist() == [""]


def test_what_limits_cost_is_told_of_verified_optima_alone() -> None:
    of = case("geems")
    tight = replace(of.site, limits=replace(of.site.limits, v_min_pu=1.09))
    rows, _ = ran(replace(of, site=tight), given(of, share=0.0, load_kw=14000.0, intervals=2))
    lower = rows["status"] != "verified"
    assert lower.any()
    told = rows[["compliance_usd_per_h", "compliance_demand_usd", "caution_usd_per_h"]]
    assert told[lower].isna().all(axis=None)
    assert rows["model_cost_usd_per_h"].notna().all()
