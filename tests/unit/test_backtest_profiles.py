"""Sun and load of a backtest: made up like the plant's, or as a file tells them."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ems.backtest.period import Period, intervals_of
from ems.backtest.profiles import HISTORY, averaged, generated
from ems.backtest.series_file import profiles_of_file
from ems.backtest.study import Study, StudySite
from ems.domain import Pv, Site
from ems.errors import BadInput
from ems.plant import GeneratedProfile
from ems.plant.profile import clear_sky_poa
from ems.settings import TEMPLATE, load_settings

ZONE = "America/Los_Angeles"
TWO_DAYS = Period(first=date(2019, 6, 2), last=date(2019, 6, 3), zone=ZONE)


@pytest.fixture(scope="module")
def site() -> Site:
    return load_settings(TEMPLATE, {}).to_site()


def told(start: str, end: str, every: str = "15min", zone: str = "UTC") -> pd.DataFrame:
    times = pd.date_range(start, end, freq=every, inclusive="left", tz=zone)
    return pd.DataFrame({
        "time": times.map(lambda t: t.isoformat()),
        "pv": by_day(times, np.arange(len(times)) % 97 * 50.0),
        "load": 9000.0 + np.arange(len(times)) % 89,
    })  # fmt: skip


def by_day(times: Any, values: Any) -> Any:
    """Values while the sun stands high over California, 0 at other hours."""
    hour = pd.DatetimeIndex(pd.to_datetime(times, utc=True)).hour
    return np.where(hour >= 18, values, 0.0)


def written(path: Path, frame: pd.DataFrame) -> Path:
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return path


# --- days ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "zone", "count"),
    [
        (date(2019, 6, 2), ZONE, 96),
        (date(2019, 3, 10), ZONE, 92),
        (date(2019, 11, 3), ZONE, 100),
        (date(2020, 2, 29), ZONE, 96),
        (date(2018, 11, 4), "America/Sao_Paulo", 92),  # midnight itself is left out
        (date(2019, 4, 7), "Australia/Lord_Howe", 98),  # half an hour
        (date(2011, 12, 30), "Pacific/Apia", 0),  # left out as a whole
    ],
)
def test_a_local_day_has_the_intervals_its_clock_says(day: date, zone: str, count: int) -> None:
    assert intervals_of(day, zone) == count


def test_a_year_of_local_days_has_no_gap_and_no_overlap() -> None:
    year = Period(first=date(2019, 1, 1), last=date(2019, 12, 31), zone=ZONE)
    assert year.intervals == 35_040
    assert sum(intervals_of(day, ZONE) for day in year.days) == 35_040
    leap = Period(first=date(2020, 1, 1), last=date(2020, 12, 31), zone=ZONE)
    assert leap.intervals == 35_136


def test_a_day_that_a_change_of_zone_left_out_is_no_day() -> None:
    week = Period(first=date(2011, 12, 29), last=date(2011, 12, 31), zone="Pacific/Apia")
    assert week.days == (date(2011, 12, 29), date(2011, 12, 31))


# --- made up ---------------------------------------------------------------------------


def test_the_made_up_sun_and_load_are_those_of_the_simulated_plant(site: Site) -> None:
    made = generated(site, TWO_DAYS, seed=3, steps=3)
    plant = GeneratedProfile(site, 3, date(1, 1, 1))
    minutes = pd.date_range(TWO_DAYS.begin, TWO_DAYS.end, freq="1min", inclusive="left")
    (pv,) = site.pvs
    sun = averaged(plant.pv_available_kw(pv, minutes) / pv.rated_kw, 15, 3)
    load = averaged(plant.load_kw(minutes), 15, 3)
    history = HISTORY // timedelta(minutes=15)
    assert sun.max() > 0.5
    np.testing.assert_allclose(made.pv_share["pv"][history:], sun, atol=1e-12)
    np.testing.assert_allclose(made.load_kw[history:], load, rtol=1e-12)


def test_a_seed_gives_an_instant_the_same_weather_whatever_the_period(site: Site) -> None:
    both = generated(site, TWO_DAYS, seed=1)
    second = generated(site, replace(TWO_DAYS, first=TWO_DAYS.last), seed=1)
    other = generated(site, TWO_DAYS, seed=2)
    later = (second.first - both.first) // timedelta(minutes=15)
    np.testing.assert_array_equal(both.pv_share["pv"][later:], second.pv_share["pv"])
    np.testing.assert_array_equal(both.load_kw[later:], second.load_kw)
    assert not np.array_equal(both.pv_share["pv"], other.pv_share["pv"])


def test_plants_that_face_alike_share_one_series(site: Site) -> None:
    (pv,) = site.pvs
    twin = replace(pv, name="twin", rated_kw=5.0)
    west = replace(pv, name="west", azimuth_deg=270.0)
    made = generated(replace(site, ders=(pv, twin, west)), TWO_DAYS, seed=1)
    assert made.pv_share["pv"] is made.pv_share["twin"]
    assert not np.array_equal(made.pv_share["pv"], made.pv_share["west"])


def test_steps_are_means_of_minutes(site: Site) -> None:
    fine = generated(site, TWO_DAYS, seed=1, steps=15)
    coarse = generated(site, TWO_DAYS, seed=1, steps=1)
    np.testing.assert_allclose(fine.load_kw.mean(axis=1), coarse.load_kw[:, 0])
    np.testing.assert_allclose(fine.pv_share["pv"].mean(axis=1), coarse.pv_share["pv"][:, 0])


# --- of a file -------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize(("every", "steps"), [("15min", 1), ("5min", 3), ("1min", 3)])
def test_a_file_gives_what_stands_in_it(
    tmp_path: Path, site: Site, ending: str, every: str, steps: int
) -> None:
    frame = told("2019-05-20", "2019-06-05", every)
    found = profiles_of_file(written(tmp_path / f"a.{ending}", frame), site, TWO_DAYS).profiles
    assert found.steps == steps
    assert found.first == datetime(2019, 5, 20, tzinfo=UTC)
    until = (TWO_DAYS.end - found.first) // timedelta(minutes=15)
    assert len(found) == until
    rated_kw = site.pvs[0].rated_kw
    per_interval = len(frame) // (16 * 96)
    sun = frame["pv"].to_numpy()[: until * per_interval] / rated_kw
    np.testing.assert_allclose(found.pv_share["pv"], averaged(sun, per_interval, steps))
    load = frame["load"].to_numpy()[: until * per_interval]
    np.testing.assert_allclose(found.load_kw, averaged(load, per_interval, steps))


def test_times_of_the_site_s_own_zone_change_their_offset_and_stay_in_order(
    tmp_path: Path, site: Site
) -> None:
    autumn = Period(first=date(2019, 11, 2), last=date(2019, 11, 4), zone=ZONE)
    frame = told("2019-11-01", "2019-11-06", zone=ZONE)
    found = profiles_of_file(written(tmp_path / "a.csv", frame), site, autumn).profiles
    assert found.first == datetime(2019, 11, 1, 7, tzinfo=UTC)
    assert len(found) == 96 + autumn.intervals
    np.testing.assert_array_equal(found.load_kw[:, 0], frame["load"][: len(found)])


@pytest.mark.parametrize("name", ["time_utc", "time"])
def test_instants_of_a_parquet_file_are_read_as_they_are(
    tmp_path: Path, site: Site, name: str
) -> None:
    frame = told("2019-05-20", "2019-06-05")
    times = pd.to_datetime(frame.pop("time"), utc=True)
    frame[name] = times.dt.tz_localize(None) if name == "time_utc" else times
    found = profiles_of_file(written(tmp_path / "a.parquet", frame), site, TWO_DAYS).profiles
    assert found.first == datetime(2019, 5, 20, tzinfo=UTC)


def test_instants_far_from_the_period_are_read_as_all_others(tmp_path: Path, site: Site) -> None:
    frame = told("2019-05-20", "2019-06-05")
    times = pd.to_datetime(frame.pop("time"), utc=True).dt.as_unit("us")
    frame["time"] = [*times[:-1], pd.Timestamp("9999-12-31", tz="UTC").as_unit("us")]
    frame["time"] = frame["time"].astype("datetime64[us, UTC]")
    found = profiles_of_file(written(tmp_path / "a.parquet", frame), site, TWO_DAYS).profiles
    assert found.first == datetime(2019, 5, 20, tzinfo=UTC)


def test_times_of_a_column_called_utc_need_no_zone(tmp_path: Path, site: Site) -> None:
    frame = told("2019-05-20", "2019-06-05").rename(columns={"time": "time_utc"})
    frame["time_utc"] = frame["time_utc"].str.removesuffix("+00:00")
    found = profiles_of_file(written(tmp_path / "a.csv", frame), site, TWO_DAYS).profiles
    assert found.first == datetime(2019, 5, 20, tzinfo=UTC)


def test_one_column_may_serve_all_plants_as_a_share_of_their_rating(
    tmp_path: Path, site: Site
) -> None:
    (pv,) = site.pvs
    of_two = replace(site, ders=(pv, replace(pv, name="own"), replace(pv, name="other")))
    frame = told("2019-05-20", "2019-06-05").rename(columns={"pv": "own_kw"})
    frame["available_pu"] = by_day(frame["time"], 0.25)
    found = profiles_of_file(written(tmp_path / "a.csv", frame), of_two, TWO_DAYS).profiles
    assert found.pv_share["pv"] is found.pv_share["other"]
    np.testing.assert_array_equal(found.pv_share["pv"][:, 0], frame["available_pu"][: len(found)])
    assert found.pv_share["own"].max() == frame["own_kw"].max() / pv.rated_kw


def test_modules_larger_than_their_inverter_stop_at_its_rating(tmp_path: Path, site: Site) -> None:
    frame = told("2019-05-20", "2019-06-05")
    frame["pv"] *= 2.4
    found = profiles_of_file(written(tmp_path / "a.csv", frame), site, TWO_DAYS).profiles
    assert found.pv_share["pv"].max() == 1.0


def test_history_begins_after_the_last_thing_missing_before_the_period(
    tmp_path: Path, site: Site
) -> None:
    frame = told("2019-05-20", "2019-06-05")
    frame.loc[7 * 96 + 5, "load"] = np.nan
    cut = frame.drop(index=range(8 * 96, 8 * 96 + 3))
    whole = profiles_of_file(written(tmp_path / "a.csv", frame), site, TWO_DAYS)
    assert whole.profiles.first == datetime(2019, 5, 27, 1, 30, tzinfo=UTC)
    gap = profiles_of_file(written(tmp_path / "b.csv", cut), site, TWO_DAYS)
    assert gap.profiles.first == datetime(2019, 5, 28, 0, 45, tzinfo=UTC)
    assert gap.notes[0] == (
        "b.csv: only the last 5.26 days before the period can be used: there are no values before, "
        "or a gap; the forecast of the load learns from 7 days, and knows less at first"
    )


def test_history_is_a_month_at_most(tmp_path: Path, site: Site) -> None:
    frame = told("2019-03-01", "2019-06-05")
    found = profiles_of_file(written(tmp_path / "a.csv", frame), site, TWO_DAYS)
    assert found.profiles.first == TWO_DAYS.begin - HISTORY
    assert found.notes == ()


def test_what_a_file_lacks_before_the_period_is_told_in_plain_words(
    tmp_path: Path, site: Site
) -> None:
    late = told("2019-06-02 07:00", "2019-06-05")
    (note,) = profiles_of_file(written(tmp_path / "a.csv", late), site, TWO_DAYS).notes
    assert note.startswith("a.csv: nothing before the period can be used: ")


def test_sun_beyond_the_rating_is_cut_off_and_told_with_what_is_lost(
    tmp_path: Path, site: Site
) -> None:
    (pv,) = site.pvs
    frame = told("2019-05-20", "2019-06-05", "5min")
    frame["pv"] = by_day(frame["time"], 5000.0)
    frame.loc[13 * 288 + 239 : 13 * 288 + 242, "pv"] = 1.2 * pv.rated_kw  # of two intervals
    found = profiles_of_file(written(tmp_path / "a.csv", frame), site, TWO_DAYS)
    lost_kwh = 4 * 0.2 * pv.rated_kw / 12
    cut = f"sun beyond the rating is cut off there: pv in 2 intervals, {lost_kwh:,.1f} kWh"
    assert found.assumed == (cut,)
    assert found.notes == (f"a.csv: {cut}",)


def test_of_many_plants_that_are_cut_off_three_are_named(tmp_path: Path, site: Site) -> None:
    (pv,) = site.pvs
    of_five = replace(site, ders=tuple(replace(pv, name=f"pv{k}") for k in range(5)))
    frame = told("2019-05-20", "2019-06-05").drop(columns="pv")
    frame["available_pu"] = by_day(frame["time"], 0.2)
    frame.loc[13 * 96 + 80, "available_pu"] = 1.1
    (note,) = profiles_of_file(written(tmp_path / "a.csv", frame), of_five, TWO_DAYS).notes
    each = 0.1 * pv.rated_kw / 4
    assert note.count("in 1 intervals") == 3
    assert note.endswith(f"; 2 more plants, {2 * each:,.1f} kWh")


def test_loads_beyond_the_bounds_of_the_site_file_are_told(tmp_path: Path, site: Site) -> None:
    frame = told("2019-05-20", "2019-06-05")
    frame.loc[13 * 96 + 80, "load"] = site.load_min_kw - 500.0
    frame.loc[13 * 96 + 81 : 13 * 96 + 83, "load"] = site.load_max_kw + 500.0
    low, high = profiles_of_file(written(tmp_path / "a.csv", frame), site, TWO_DAYS).assumed
    least, most = site.load_min_kw, site.load_max_kw
    assert low.startswith(
        f"1 of 192 values of the load lie below load.min_kw = {least:g}, down to {least - 500:g} kW"
    )
    assert high.startswith(
        f"3 of 192 values of the load lie above load.max_kw = {most:g}, up to {most + 500:g} kW"
    )


def test_a_plant_without_any_sun_by_day_is_told(tmp_path: Path, site: Site) -> None:
    frame = told("2019-05-20", "2019-06-05")
    frame["pv"] = 0.0
    (note,) = profiles_of_file(written(tmp_path / "a.csv", frame), site, TWO_DAYS).notes
    assert note == "a.csv: pv: no sun in the whole period, taken for a plant that is down"


def test_what_inverters_use_at_night_is_taken_for_no_sun(tmp_path: Path, site: Site) -> None:
    (pv,) = site.pvs
    frame = told("2019-05-20", "2019-06-05")
    night = by_day(frame["time"], 1.0) == 0.0
    frame.loc[night, "pv"] = -0.003 * pv.rated_kw
    found = profiles_of_file(written(tmp_path / "a.csv", frame), site, TWO_DAYS)
    assert found.profiles.pv_share["pv"].min() == 0.0
    assert found.profiles.first == datetime(2019, 5, 20, tzinfo=UTC), "the history is whole"
    assert found.assumed == ("144 values of PV lie a little below zero, and are taken for 0",)
    frame.loc[13 * 96 + 40, "pv"] = -0.02 * pv.rated_kw
    with pytest.raises(BadInput, match=r"line 1290, column pv: -200 is below zero"):
        profiles_of_file(written(tmp_path / "b.csv", frame), site, TWO_DAYS)


# --- held against the sky --------------------------------------------------------------


def sunny(site: Site, every: str = "15min", shift_h: float = 0.0) -> pd.DataFrame:
    """Two cloudless weeks; its times are off by so many hours."""
    frame = told("2019-05-20", "2019-06-05", every)
    (pv,) = site.pvs
    times = pd.DatetimeIndex(pd.to_datetime(frame["time"], utc=True))
    then = times + pd.Timedelta(every) / 2 - pd.Timedelta(hours=shift_h)
    frame["pv"] = 0.9 * clear_sky_poa(site.latitude_deg, site.longitude_deg, pv, then) / 1000
    frame["pv"] *= pv.rated_kw
    return frame


@pytest.mark.parametrize(
    ("shift_h", "said"),
    [
        (-7.0, "the times seem 7 h too early, as local times of America/Los_Angeles are"),
        (-8.0, "the times seem 8 h too early; write them as UTC"),
        (7.0, "the times seem 7 h too late;"),
        (1.5, "the times seem 1.5 h too late;"),
        (11.0, "the times seem 11 h too late, or 13 h too early;"),
    ],
)
def test_times_that_are_off_are_refused_with_the_hours_they_are_off_by(
    tmp_path: Path, site: Site, shift_h: float, said: str
) -> None:
    week = replace(TWO_DAYS, first=date(2019, 5, 28))
    file = written(tmp_path / "a.csv", sunny(site, shift_h=shift_h))
    with pytest.raises(BadInput) as bad:
        profiles_of_file(file, site, week)
    (fault,) = bad.value.faults
    assert fault.place == "a.csv: column pv"
    assert "intervals with the sun below the horizon, first 2019-05-2" in fault.problem
    assert said in fault.problem


def test_two_days_are_too_few_to_rule_out_the_clock_of_the_site(tmp_path: Path, site: Site) -> None:
    file = written(tmp_path / "a.csv", sunny(site, shift_h=-8.0))
    with pytest.raises(BadInput) as bad:
        profiles_of_file(file, site, TWO_DAYS)
    said = "8 h too early, or 7 h too early as local times of America/Los_Angeles are;"
    assert said in bad.value.faults[0].problem


def test_times_that_are_right_need_no_words(tmp_path: Path, site: Site) -> None:
    for every in ("15min", "5min"):
        file = written(tmp_path / f"{every}.csv", sunny(site, every))
        assert profiles_of_file(file, site, TWO_DAYS).notes == ()


def test_the_first_of_so_many_in_the_dark_is_told(tmp_path: Path, site: Site) -> None:
    (pv,) = site.pvs
    frame = sunny(site)
    dark = frame.index[13 * 96 + 28 : 13 * 96 + 34]  # 07:00 to 08:30 UTC: after midnight
    frame.loc[dark[:5], "pv"] = 0.3 * pv.rated_kw
    few = profiles_of_file(written(tmp_path / "a.csv", frame), site, TWO_DAYS)
    (note,) = few.notes
    assert note == (
        "a.csv: more sun than any sky gives: pv in 5 intervals, by up to 3,000 kW; limits are "
        "proved up to what the sky gives, and may be broken there: check the times, and tilt, "
        "azimuth and place in the site file"
    )
    frame.loc[dark, "pv"] = 0.3 * pv.rated_kw
    with pytest.raises(BadInput) as bad:
        profiles_of_file(written(tmp_path / "a.csv", frame), site, TWO_DAYS)
    (fault,) = bad.value.faults
    assert fault.problem == (
        "gives up to 30 % of the rating in 6 of 70 intervals with the sun below the horizon, "
        "first 2019-06-02T07:00Z: by day it follows the sun; set to 0 what is measured in the dark"
    )


def test_a_series_that_never_follows_the_sun_is_told_as_such(tmp_path: Path, site: Site) -> None:
    frame = told("2019-05-20", "2019-06-05")
    frame["pv"] = 3000.0 + np.arange(len(frame)) % 7
    with pytest.raises(BadInput, match="does not follow the sun at any hour; mend the column"):
        profiles_of_file(written(tmp_path / "a.csv", frame), site, TWO_DAYS)


def test_an_hour_that_brings_no_sun_into_the_night_is_told_at_least(
    tmp_path: Path, site: Site
) -> None:
    (note,) = profiles_of_file(
        written(tmp_path / "a.csv", sunny(site, shift_h=-1.0)), site, TWO_DAYS
    ).notes
    assert note.startswith("a.csv: more sun than any sky gives: pv in ")


def test_noise_at_night_is_no_sun(tmp_path: Path, site: Site, rng: np.random.Generator) -> None:
    (pv,) = site.pvs
    frame = sunny(site)
    noise = rng.uniform(-0.003, 0.005, len(frame)) * pv.rated_kw
    frame["pv"] = np.where(frame["pv"] <= 0.0, noise, frame["pv"])
    (note,) = profiles_of_file(written(tmp_path / "a.csv", frame), site, TWO_DAYS).notes
    assert "a little below zero" in note


def test_modules_that_face_elsewhere_are_told_as_more_than_the_sky_gives(
    tmp_path: Path, site: Site
) -> None:
    west = replace(
        site,
        ders=tuple(
            replace(d, tilt_deg=60.0, azimuth_deg=270.0) if isinstance(d, Pv) else d
            for d in site.ders
        ),
    )
    (pv,) = site.pvs
    east = replace(site, ders=(replace(pv, tilt_deg=60.0, azimuth_deg=90.0),))
    (note,) = profiles_of_file(written(tmp_path / "a.csv", sunny(east)), west, TWO_DAYS).notes
    assert note.startswith("a.csv: more sun than any sky gives: pv in ")


def test_in_the_polar_night_next_to_no_sun_is_no_slip_of_a_unit(tmp_path: Path, site: Site) -> None:
    north = replace(site, latitude_deg=69.6, longitude_deg=18.9)
    winter = Period(first=date(2019, 12, 20), last=date(2019, 12, 21), zone="Europe/Oslo")
    frame = told("2019-12-01", "2019-12-23")
    frame["pv"] = 0.1
    assert profiles_of_file(written(tmp_path / "a.csv", frame), north, winter).notes == ()
    with pytest.raises(BadInput, match="are these MW"):
        profiles_of_file(tmp_path / "a.csv", site, winter)


def test_notes_go_with_the_study_whatever_the_file_is_called(tmp_path: Path, site: Site) -> None:
    settings = load_settings(TEMPLATE, {})
    frame = told("2019-06-01", "2019-06-05")
    asked = []
    for name in ("a.csv", "b.csv"):
        found = profiles_of_file(written(tmp_path / name, frame), site, TWO_DAYS)
        study = Study(
            sites=(StudySite.of(settings, found),),
            first=TWO_DAYS.first,
            last=TWO_DAYS.last,
            policies=("none",),
        )
        asked.append(study.asked())
    assert asked[0] == asked[1]
    (of,) = asked[0]["sites"].values()
    assert of["assumed"][0].startswith("only the last 1.29 days before the period can be used")


def test_files_are_told_apart_by_what_they_hold(tmp_path: Path, site: Site) -> None:
    frame = told("2019-05-20", "2019-06-05")
    one = profiles_of_file(written(tmp_path / "a.csv", frame), site, TWO_DAYS)
    same = profiles_of_file(written(tmp_path / "b.csv", frame), site, TWO_DAYS)
    frame.loc[0, "pv"] = 1.0
    other = profiles_of_file(written(tmp_path / "c.csv", frame), site, TWO_DAYS)
    assert one.sha256 == same.sha256 != other.sha256


def test_a_site_without_pv_needs_a_load_alone(tmp_path: Path, site: Site) -> None:
    bare = replace(site, ders=tuple(d for d in site.ders if not isinstance(d, Pv)))
    frame = told("2019-05-20", "2019-06-05").drop(columns="pv")
    found = profiles_of_file(written(tmp_path / "a.csv", frame), bare, TWO_DAYS).profiles
    assert found.pv_share == {}
