"""Sweeps: studies along one quantity, and the largest PV at a bus."""

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ems.backtest import running
from ems.backtest.case import Case, DayInput, DayResult, DayState
from ems.backtest.period import Period, intervals_of, midnight
from ems.backtest.running import Told
from ems.backtest.study import Chain, Study
from ems.backtest.sweeps import (
    BatteryPoint,
    ErrorPoint,
    Hosting,
    Tried,
    battery_plot,
    battery_size,
    error_plot,
    forecast_error,
    hosting,
    hosting_capacity,
    hosting_plot,
    the_battery,
)
from ems.backtest.sweeps.hosting import with_plant
from ems.backtest.working import Answer, Task, work
from ems.domain import Bes, Injections, Pv, Site
from ems.errors import BadInput
from feeders import Feeder
from tests.backtest_days import failing_day, rows, study
from tests.backtests import ZONE, case, given
from tests.sites import segment

DAYS = Period(first=date(2019, 7, 1), last=date(2019, 7, 2), zone=ZONE)


class InProcess:
    """Workers that are this process."""

    slots = 1

    def __init__(self) -> None:
        self.opened = self.closed = 0

    def __call__(self) -> "InProcess":
        self.opened += 1
        return self

    def submit(self, task: Task) -> "Future[Answer | None]":
        future: Future[Answer | None] = Future()
        future.set_result(work(task))
        return future

    def answer(self, future: "Future[Answer | None]") -> Answer | None:
        return future.result()

    def close(self) -> None:
        self.closed += 1


class _Load:
    """Days of a steady load and no sun; in the place of profiles and forecasts."""

    def __init__(self, _study: Study) -> None:
        pass

    def day(self, chain: Chain, day: date, _live: int) -> DayInput:
        count = intervals_of(day, chain.case.zone)
        start = midnight(day, chain.case.zone).replace(tzinfo=None).isoformat()
        return replace(given(case("none"), 0.0, intervals=count, start=start), day=day)

    def feeder(self, _chain: Chain) -> None:
        return None


@pytest.fixture(autouse=True)
def _steady_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_Given", _Load)


def made(case: Case, given: DayInput, state: DayState, **told: Any) -> DayResult:
    table: pa.Table = rows(case, given, **told)
    return DayResult(rows=table, state=state, seconds=0.0)


# --- the forecast's error ------------------------------------------------------------------


def dearer_day(case: Case, given: DayInput, state: DayState) -> DayResult:
    """Costs a dollar an interval more with each whole error."""
    return made(case, given, state, cost_usd=10.0 + case.forecast_error, pv_available_kw=100.0,
                pv_expected_kw=100.0 + 50.0 * case.forecast_error)  # fmt: skip


def test_each_share_of_the_error_is_a_study_of_its_own_and_cost_is_told_against_the_least(
    tmp_path: Path,
) -> None:
    here = InProcess()
    points, ran = forecast_error(
        study(2, "geems"), tmp_path, (1.0, 0.0, 2.0, 1.0), workers=here, simulate=dearer_day
    )
    assert [p.error for p in points] == [0.0, 1.0, 2.0]
    assert [p.more_usd for p in points] == pytest.approx([0.0, 192.0, 384.0])
    assert points[0].nrmse_pct == 0.0
    assert points[2].nrmse_pct == pytest.approx(100.0 * 100.0 / 10_000.0)
    assert [r.failed for r in ran] == [(), (), ()]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["error_0", "error_1", "error_2"]
    assert (here.opened, here.closed) == (1, 1), "workers serve all studies"


def test_points_that_are_next_to_each_other_have_a_folder_each(tmp_path: Path) -> None:
    sizes = (1e6, 1e6 + 1.0)
    battery_size(study(1), tmp_path, sizes, workers=InProcess(), simulate=dearer_day)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["battery_0", "battery_1000000", "battery_1000001"]


def test_a_sweep_goes_on_where_it_stopped_and_tells_days_of_all_studies(tmp_path: Path) -> None:
    forecast_error(study(2), tmp_path, (0.0,), workers=InProcess(), simulate=dearer_day)
    told: list[Told] = []
    here = InProcess()
    forecast_error(
        study(2), tmp_path, (0.0, 1.0), workers=here, simulate=dearer_day, tell=told.append
    )
    assert [(t.over, t.days) for t in told] == [(2, 4), (2, 4), (3, 4), (4, 4)]


def test_a_day_that_fails_is_told_of_the_study_it_is_part_of(tmp_path: Path) -> None:
    _, ran = forecast_error(
        study(4), tmp_path, (0.0, 1.0), workers=InProcess(), simulate=failing_day
    )
    assert [f.day for r in ran for f in r.failed] == [date(2019, 6, 3)] * 2


def test_costs_are_told_against_the_least_share_only_over_the_same_days(tmp_path: Path) -> None:
    def missing_day(case: Case, given: DayInput, state: DayState) -> DayResult:
        if case.forecast_error == 1.0 and given.day == date(2019, 6, 2):
            raise RuntimeError("no sun")
        return dearer_day(case, given, state)

    points, ran = forecast_error(
        study(2, "geems"), tmp_path, (0.0, 1.0, 2.0), workers=InProcess(), simulate=missing_day
    )
    assert len(ran[1].failed) == 1
    assert [p.more_usd for p in points] == [0.0, None, pytest.approx(384.0)]


def test_without_the_least_share_nothing_is_told_against_it(tmp_path: Path) -> None:
    def missing_day(case: Case, given: DayInput, state: DayState) -> DayResult:
        if case.forecast_error == 0.0:
            raise RuntimeError("no sun")
        return dearer_day(case, given, state)

    points, _ = forecast_error(
        study(2, "geems"), tmp_path, (0.0, 1.0, 2.0), workers=InProcess(), simulate=missing_day
    )
    assert [(p.error, p.more_usd) for p in points] == [(1.0, None), (2.0, None)]
    error_plot(tmp_path, points)


# --- the battery ---------------------------------------------------------------------------


def saving_day(case: Case, given: DayInput, state: DayState) -> DayResult:
    """The square root of its capacity is what a battery saves in an interval."""
    kwh = sum(b.capacity_kwh for b in case.site.bess)
    assert case.end_soc == "start"
    return made(case, given, state, cost_usd=100.0 - kwh**0.5)


def test_a_battery_is_worth_what_it_saves_against_none_and_less_the_larger_it_is(
    tmp_path: Path,
) -> None:
    points, _ = battery_size(
        study(2, "geems"), tmp_path, (400.0, 1600.0), workers=InProcess(), simulate=saving_day
    )
    year = 365 * 96
    assert [p.capacity_kwh for p in points] == [0.0, 400.0, 1600.0]
    assert [p.saved_usd_per_year for p in points] == pytest.approx([0.0, 20 * year, 40 * year])
    assert points[0].marginal_usd_per_kwh_year is None
    assert [p.marginal_usd_per_kwh_year for p in points[1:]] == pytest.approx(
        [20 * year / 400, 20 * year / 1200]
    )
    assert points[0].cycles_per_year is None, "there is no battery"


def test_what_cannot_be_set_beside_no_battery_saves_nothing_that_is_known(tmp_path: Path) -> None:
    def missing_day(case: Case, given: DayInput, state: DayState) -> DayResult:
        if not case.site.bess:
            raise RuntimeError("no sun")
        return saving_day(case, given, state)

    points, _ = battery_size(
        study(2, "geems"), tmp_path, (400.0, 1600.0), workers=InProcess(), simulate=missing_day
    )
    assert [p.saved_usd_per_year for p in points] == [None, None]
    assert points[1].marginal_usd_per_kwh_year == pytest.approx(20 * 365 * 96 / 1200)
    battery_plot(tmp_path, points)


@pytest.mark.filterwarnings("error")
def test_a_sweep_of_which_every_day_failed_is_drawn_empty(tmp_path: Path) -> None:
    error_plot(tmp_path, [])
    battery_plot(tmp_path, [])
    assert "cost [$]" in texts(tmp_path, "forecast_error")
    assert "saved a year [$]" in texts(tmp_path, "battery")


def test_a_demand_charge_of_a_few_days_is_that_of_twelve_months_a_year(tmp_path: Path) -> None:
    def peaking_day(case: Case, given: DayInput, state: DayState) -> DayResult:
        return made(case, given, state, cost_usd=0.0, grid_kw=100.0 if case.site.bess else 300.0)

    of = study(2, "geems")
    site = replace(of.sites[0].site, demand_charge_usd_per_kw=10.0)
    charged = replace(of, sites=(replace(of.sites[0], site=site),))
    points, _ = battery_size(charged, tmp_path, (400.0,), workers=InProcess(), simulate=peaking_day)
    assert points[1].cost_usd == 1000.0
    assert points[1].saved_usd_per_year == pytest.approx(12 * 10.0 * 200.0)


def test_power_grows_with_capacity_as_the_sites_or_as_told(tmp_path: Path) -> None:
    seen: dict[float, Bes] = {}

    def looking_day(case: Case, given: DayInput, state: DayState) -> DayResult:
        seen.update({b.capacity_kwh: b for b in case.site.bess})
        return made(case, given, state)

    of = study(1).sites[0].site.bess[0]
    for hours, folder in ((None, "own"), (2.0, "told")):
        points, _ = battery_size(
            study(1), tmp_path / folder, (500.0,), hours=hours, workers=InProcess(),
            simulate=looking_day,
        )  # fmt: skip
        power = 250.0 if hours else 500.0 * of.rated_kw / of.capacity_kwh
        assert points[1].rated_kw == seen[500.0].rated_kw == pytest.approx(power)
        assert seen[500.0].bus == of.bus


def test_a_battery_that_is_not_there_is_refused() -> None:
    site = segment()
    with pytest.raises(BadInput, match="no battery is called bess; the site has bes"):
        the_battery(site, "bess")
    none = replace(site, ders=tuple(d for d in site.ders if not isinstance(d, Bes)))
    with pytest.raises(BadInput, match="the site has no battery"):
        the_battery(none, None)
    two = replace(site, ders=(*site.ders, replace(site.bess[0], name="other")))
    with pytest.raises(BadInput, match=r"several \(bes, other\)"):
        the_battery(two, None)


# --- hosting capacity ----------------------------------------------------------------------


def test_a_plant_takes_the_place_of_all_pv_at_its_bus() -> None:
    site = replace(segment(pv_q_max_kvar=4400.0))
    (pv,) = site.pvs
    (found,) = with_plant(site, "b13", 5000.0).pvs
    assert (found.name, found.rated_kw, found.bus) == (pv.name, 5000.0, "b13")
    assert found.q_max_kvar == pytest.approx(4400.0 * 5000.0 / pv.rated_kw)
    assert with_plant(site, "B13", 0.0).pvs == ()


def test_a_plant_at_another_bus_is_one_more() -> None:
    pvs = with_plant(segment(), "B7", 500.0).pvs
    assert [(pv.name, pv.bus) for pv in pvs] == [("pv", "B13"), ("pv_b7", "B7")]
    bare = replace(segment(), ders=())
    (only,) = with_plant(bare, "B7", 500.0).pvs
    assert only.q_max_kvar == pytest.approx(220.0), "IEEE 1547-2018, category B"


def test_at_the_worst_hours_the_answer_holds_and_one_per_cent_more_does_not() -> None:
    of = study(1).sites[0]
    found = hosting_capacity(of, "B13", with_geems=False, most_kw=4000.0)
    assert not found.at_least
    assert found.limited_at.startswith("B13.")
    assert found.limited_by.startswith(f"{found.limited_at} at 1.1")
    highest = {}
    for factor in (1.0, 1.01):
        kw = factor * found.rated_kw
        feeder = Feeder.open(of.feeder, of.site.placements)
        flow = feeder.load_flow(
            Injections(p_kw={"pv": kw}, q_kvar={"pv": 0.0}, load_kw=of.site.load_min_kw)
        )
        highest[factor] = float(flow.v_pu.max())
        feeder.close()
    assert highest[1.0] <= 1.1 < highest[1.01]


def test_what_nothing_speaks_against_is_told_as_at_least() -> None:
    found = hosting_capacity(study(1).sites[0], "B13", with_geems=False, most_kw=100.0)
    assert found.at_least
    assert (found.rated_kw, found.limited_by) == (100.0, "")
    assert [t.rated_kw for t in found.tried] == [0.0, 100.0]


def test_a_feeder_that_breaks_limits_already_hosts_nothing() -> None:
    found = hosting_capacity(study(1).sites[0], "B7", with_geems=False)
    assert found.rated_kw == 0.0
    assert not found.at_least
    assert found.limited_at == "B13.3"
    assert found.limited_by.startswith("without PV there already, by pv: B13.3 at 1.1893 pu, ")


class _Seen:
    def day(self, case: Case, day: date) -> DayInput:
        return replace(given(case, start=f"{day}T17:00"), day=day)  # 10:00 in the site's zone


def _stubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosting, "_foreseen", lambda *_: _Seen())


def hosted(pv_kw: float, **more: Any) -> Hosting:
    """Capacity where all above `pv_kw` is given up, and policy none breaks a limit there."""

    def limited_day(case: Case, given: DayInput, state: DayState) -> DayResult:
        rated = sum(pv.rated_kw for pv in case.site.pvs)
        lost = max(rated - pv_kw, 0.0) if case.method == "geems" else 0.0
        over = rated > pv_kw and case.method == "none"
        return made(case, given, state, pv_available_kw=rated, curtailed_kw=lost,
                    nodes_above=int(over), v_max_pu=1.11 if over else 1.09)  # fmt: skip

    values: dict[str, Any] = {
        "with_geems": True, "period": DAYS, "most_kw": 8192.0, "simulate": limited_day,
    } | more  # fmt: skip
    return hosting_capacity(study(1).sites[0], "B13", **values)


def test_with_geems_a_bus_hosts_pv_until_a_share_of_its_energy_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _stubbed(monkeypatch)
    with_geems, without = hosted(950.0), hosted(950.0, with_geems=False)
    # 5 % of x is given up where x − 950 = 0.05 x.
    assert with_geems.rated_kw == pytest.approx(1000.0, abs=8.0)
    assert "of its energy is given up" in with_geems.limited_by
    assert without.rated_kw == pytest.approx(950.0, abs=8.0)
    why = "2019-07-01 10:00: B1.1 at 1.1100 pu, 0.0100 pu above 1.1 pu"
    assert (without.limited_by, without.limited_at) == (why, "B1.1")
    assert with_geems.limited_at == ""
    shares = [t.given_up for t in with_geems.tried]
    assert shares == sorted(shares, key=lambda s: s or 0.0)


@pytest.mark.parametrize(
    ("broken", "why", "at"),
    [
        (
            {"nodes_below": 3, "v_min_pu": 0.85},
            "B7.2 at 0.8500 pu, 0.0300 pu below 0.88 pu",
            "B7.2",
        ),
        (
            {"elements_over": 1, "loading_max_pct": 112.0},
            "a line or transformer at 112.0 %, above 100 %",
            "",
        ),
        ({"converged": False, "v_max_pu": None}, "the load flow has no solution", ""),
    ],
)
def test_the_limit_that_is_told_is_the_one_that_is_broken_first(
    monkeypatch: pytest.MonkeyPatch, broken: dict[str, Any], why: str, at: str
) -> None:
    """It is broken at 10:30; at 11:15 a voltage lies further beyond its own."""
    _stubbed(monkeypatch)
    usual = {"nodes_below": 0, "v_min_pu": 1.0, "elements_over": 0, "loading_max_pct": 50.0,
             "converged": True, "v_max_pu": 1.0, "nodes_above": 0}  # fmt: skip

    def bad_day(case: Case, given: DayInput, state: DayState) -> DayResult:
        if sum(pv.rated_kw for pv in case.site.pvs) <= 950.0:
            return made(case, given, state)
        intervals = [usual] * len(given)
        intervals[2], intervals[5] = usual | broken, usual | {"v_max_pu": 1.3, "nodes_above": 1}
        columns: dict[str, Any] = {name: [i[name] for i in intervals] for name in usual}
        return made(case, given, state, v_min_node="B7.2", **columns)

    found = hosted(950.0, with_geems=False, simulate=bad_day)
    assert (found.limited_by, found.limited_at) == (f"2019-07-01 10:30: {why}", at)


def test_an_export_limit_is_broken_by_five_minutes_that_the_mean_does_not_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _stubbed(monkeypatch)

    def gusty_day(case: Case, given: DayInput, state: DayState) -> DayResult:
        rated = sum(pv.rated_kw for pv in case.site.pvs)
        over = max(rated - 950.0, 0.0)
        return made(case, given, state, grid_kw=0.0, export_over_kw=over)

    of = study(1).sites[0]
    limited = replace(of, site=replace(of.site, export_limit_kw=500.0))
    found = hosting_capacity(
        limited, "B13", with_geems=False, period=DAYS, most_kw=8192.0, simulate=gusty_day
    )
    assert found.rated_kw == pytest.approx(950.0, abs=8.0)
    assert "kW exported" in found.limited_by
    assert "more than allowed" in found.limited_by


def test_what_other_plants_give_up_anyway_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    _stubbed(monkeypatch)

    def busy_day(case: Case, given: DayInput, state: DayState) -> DayResult:
        rated = sum(pv.rated_kw for pv in case.site.pvs)
        return made(case, given, state, pv_available_kw=rated + 1000.0, curtailed_kw=900.0)

    found = hosted(0.0, simulate=busy_day)
    assert found.at_least
    assert [t.given_up for t in found.tried] == [0.0, 0.0]


def test_a_rating_is_given_up_on_the_first_day_that_breaks_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _stubbed(monkeypatch)
    told: list[Told] = []
    found = hosted(950.0, with_geems=False, tell=told.append)
    broken = [t for t in found.tried if t.why_not]
    assert all(t.why_not.startswith("2019-07-01 10:00: ") for t in broken)
    assert len(told) == 2 * len(found.tried) - len(broken)
    assert all(t.over <= t.days for t in told)


def test_geems_without_days_is_refused() -> None:
    with pytest.raises(BadInput, match="takes days to tell"):
        hosting_capacity(study(1).sites[0], "B13", with_geems=True)


# --- figures -------------------------------------------------------------------------------


def texts(folder: Path, name: str) -> str:
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    return (folder / f"{name}.svg").read_text()


def test_the_figures_of_sweeps_say_what_they_show_and_in_which_unit(tmp_path: Path) -> None:
    common: Mapping[str, Any] = {
        "site": "s", "policy": "geems", "cost_usd": 1.0, "curtailed_pct": 2.0, "violated": 0,
        "days": 2,
    }  # fmt: skip
    error_plot(tmp_path, [
        ErrorPoint(error=e, nrmse_pct=e, more_usd=e, model_violated=0, caution_usd=0.0, **common)
        for e in (0.0, 1.0)
    ])  # fmt: skip
    for words in ("cost [$]", "share [%]", "share of the forecast's error that is left [1]"):
        assert words.replace("'", "&#x27;") in texts(tmp_path, "forecast_error").replace(
            "'s", "&#x27;s"
        )
    battery_plot(tmp_path, [
        BatteryPoint(capacity_kwh=c, rated_kw=c, saved_usd_per_year=c, cost_usd_per_year=c,
                     marginal_usd_per_kwh_year=None if c == 0 else 1.0, cycles_per_year=1.0,
                     **common)
        for c in (0.0, 400.0, 800.0)
    ])  # fmt: skip
    for words in ("saved a year [$]", "a year [$/kWh]", "capacity [kWh]"):
        assert words in texts(tmp_path, "battery")
    tried = tuple(
        Tried(rated_kw=kw, why_not="", v_max_pu=1.0, given_up=kw / 1e5) for kw in (0.0, 10.0, 20.0)
    )
    hosting_plot(tmp_path, [
        *(Hosting(bus="B7", with_geems=g, over="period", rated_kw=20.0, at_least=True,
                  limited_by="", limited_at="", tried=tried)
          for g in (False, True)),
        Hosting(bus="B7", with_geems=False, over="worst hours", rated_kw=7.0, at_least=False,
                limited_by="B13.3 at 1.1001 pu (worst hours)", limited_at="B13.3", tried=tried),
    ], 0.05)  # fmt: skip
    for words in (
        "7, B13.3",
        "B7, at the worst hours: B13.3 at 1.1001 pu (worst hours)",
        "rating [kW]",
        "PV energy not used [%]",
        "≥ 20",
        "with GEEMS, over the period",
    ):
        assert words in texts(tmp_path, "hosting")


def test_a_site_keeps_its_other_plants() -> None:
    site: Site = replace(
        segment(), ders=(*segment().ders, Pv(name="roof", bus="B7", rated_kw=50.0))
    )
    assert [pv.name for pv in with_plant(site, "B13", 10.0).pvs] == ["roof", "pv"]
    assert np.isclose(sum(pv.rated_kw for pv in with_plant(site, "B13", 10.0).pvs), 60.0)
