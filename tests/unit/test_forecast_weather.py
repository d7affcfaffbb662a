"""A weather forecast from outside: what a file may look like, and what a day ahead makes of it."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecasting.clearsky import Floats, clear_sky, clear_sky_mean_kw
from forecasting.day_ahead.features import DAY
from forecasting.day_ahead.horizon import DayAhead, ahead
from forecasting.day_ahead.weather import STALE, WeatherForecast, open_weather, weather_weight
from forecasting.day_ahead.weather_file import WeatherTable, read_weather
from forecasting.series import INTERVAL, SeriesFault
from tests.cloudy import ROOF, cloudy

RECORD = cloudy(60)
START = RECORD.starts[40 * DAY + 20]  # 05:00 UTC, an April morning
CLEAR = clear_sky_mean_kw(ROOF, pd.date_range(START, periods=DAY, freq=INTERVAL))


BRIGHT = 0.3 * ROOF.rated_kw < CLEAR


def table(
    kind: str, index: float, *, step: str = "1h", first: str = "0h", last: str = "24h", **more: str
) -> pd.DataFrame:
    """A forecast of a sky of one index, issued an hour before the day begins."""
    width = pd.Timedelta(step)
    times = pd.date_range(
        START + pd.Timedelta(first), START + pd.Timedelta(last), freq=step, inclusive="left"
    )
    fine = pd.date_range(
        times[0], periods=len(times) * int(width / pd.Timedelta("5min")), freq="5min"
    )
    sky = clear_sky(ROOF.latitude_deg, ROOF.longitude_deg, fine + pd.Timedelta("150s"))
    mean = sky.ghi_wm2.reshape(len(times), -1).mean(axis=1)
    quarter = clear_sky_mean_kw(ROOF, fine).reshape(len(times), -1).mean(axis=1)
    values = {
        "ghi_wm2": index * mean,
        "power_kw": index * quarter,
        "cloud_cover_pct": np.full(len(times), 100.0 * index),
    }[kind]
    issued = START - pd.Timedelta(more.get("before", "1h"))
    return pd.DataFrame({"issued_utc": issued, "time_utc": times, kind: values})


def forecast_of(frame: pd.DataFrame, folder: Path, name: str = "weather.csv") -> WeatherForecast:
    path = folder / name
    if name.endswith(".parquet"):
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return WeatherForecast(read_weather(path))


def sunny(values: Floats) -> Floats:
    return values[BRIGHT]


@pytest.mark.parametrize("step", ["5min", "15min", "30min", "1h", "3h"])
@pytest.mark.parametrize("kind", ["ghi_wm2", "power_kw"])
def test_a_sky_of_one_index_comes_back_as_that_index_at_every_step(
    tmp_path: Path, kind: str, step: str
) -> None:
    found = forecast_of(table(kind, 0.9, step=step), tmp_path).ahead(RECORD, ROOF, START)
    np.testing.assert_allclose(sunny(found.index), 0.9, atol=0.06)
    assert found.notes == ()


def test_clouds_become_an_index_by_kasten_and_czeplak(tmp_path: Path) -> None:
    clear = forecast_of(table("cloud_cover_pct", 0.0), tmp_path).ahead(RECORD, ROOF, START)
    np.testing.assert_allclose(sunny(clear.index), 1.0, atol=0.06)
    grey = forecast_of(table("cloud_cover_pct", 1.0), tmp_path).ahead(RECORD, ROOF, START)
    # A quarter of the irradiance, all of it diffuse: of that a tilted plant gets less.
    np.testing.assert_allclose(sunny(grey.index), 0.19, atol=0.03)


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    frame = table("ghi_wm2", 0.7)
    csv = forecast_of(frame, tmp_path).ahead(RECORD, ROOF, START)
    parquet = forecast_of(frame, tmp_path, "weather.parquet").ahead(RECORD, ROOF, START)
    np.testing.assert_allclose(csv.index, parquet.index)


def test_diffuse_or_direct_beside_ghi_is_used(tmp_path: Path) -> None:
    frame = table("ghi_wm2", 0.6)
    erbs = forecast_of(frame, tmp_path).ahead(RECORD, ROOF, START).index
    grey = forecast_of(frame.assign(dhi_wm2=frame["ghi_wm2"]), tmp_path).ahead(RECORD, ROOF, START)
    blue = forecast_of(frame.assign(dni_wm2=0.0), tmp_path).ahead(RECORD, ROOF, START)
    np.testing.assert_allclose(grey.index, blue.index, atol=1e-6)
    assert (sunny(grey.index) < sunny(erbs)).all()


def test_the_weather_counts_for_nothing_at_first_and_for_most_after_six_hours(
    tmp_path: Path,
) -> None:
    weight = weather_weight()
    assert weight[0] < 0.05
    assert (np.diff(weight) >= 0.0).all()
    assert weight[24] == pytest.approx(0.8)
    weather = forecast_of(table("power_kw", 0.1), tmp_path)
    alone = ahead(RECORD, ROOF, START).mean_kw
    found = ahead(RECORD, ROOF, START, weather=weather).mean_kw
    late = (BRIGHT) & (np.arange(DAY) >= 24)
    expected = alone[late] + 0.8 * (0.1 * CLEAR[late] - alone[late])
    np.testing.assert_allclose(found[late], expected, atol=0.5)


def test_the_bands_follow_the_weather(tmp_path: Path) -> None:
    dark = ahead(RECORD, ROOF, START, weather=forecast_of(table("power_kw", 0.1), tmp_path))
    bright = ahead(RECORD, ROOF, START, weather=forecast_of(table("power_kw", 1.0), tmp_path))
    late = (BRIGHT) & (np.arange(DAY) >= 24)
    assert (dark.quantiles_kw[late, 5] < bright.quantiles_kw[late, 5]).all()
    assert (dark.quantiles_kw[late, 1] < bright.quantiles_kw[late, 1]).all()


def test_what_is_issued_later_than_the_start_is_not_seen(tmp_path: Path) -> None:
    now, later = table("ghi_wm2", 0.9), table("ghi_wm2", 0.1, before="-1h")
    both = forecast_of(pd.concat([now, later]), tmp_path).ahead(RECORD, ROOF, START)
    alone = forecast_of(now, tmp_path).ahead(RECORD, ROOF, START)
    np.testing.assert_array_equal(both.index, alone.index)
    none = forecast_of(later, tmp_path).ahead(RECORD, ROOF, START)
    assert np.isnan(none.index).all()
    assert "nothing was issued" in none.notes[0]


def test_of_each_step_the_newest_issue_counts(tmp_path: Path) -> None:
    old, new = table("ghi_wm2", 0.1, before="7h"), table("ghi_wm2", 0.9, last="12h")
    found = forecast_of(pd.concat([old, new]), tmp_path).ahead(RECORD, ROOF, START).index
    morning = (BRIGHT) & (np.arange(DAY) < 44)
    np.testing.assert_allclose(found[morning], 0.9, atol=0.06)


def test_without_issue_times_the_file_s_own_time_is_that_of_the_issue(tmp_path: Path) -> None:
    frame = table("ghi_wm2", 0.9).drop(columns="issued_utc")
    path = tmp_path / "weather.csv"
    frame.to_csv(path, index=False)
    for age, known in ((pd.Timedelta("1h"), True), (pd.Timedelta("-1h"), False)):
        written = (START - age).timestamp()
        os.utime(path, (written, written))
        found = WeatherForecast(read_weather(path)).ahead(RECORD, ROOF, START)
        assert np.isfinite(found.index).any() == known


def test_a_stale_forecast_is_a_note_and_changes_nothing(tmp_path: Path) -> None:
    stale = forecast_of(table("ghi_wm2", 0.1, before=str(STALE + pd.Timedelta("1h"))), tmp_path)
    path = DayAhead.load().path(RECORD, ROOF, START, weather=stale)
    assert "31.0 hours old" in path.notes[0]
    np.testing.assert_array_equal(path.forecast.mean_kw, ahead(RECORD, ROOF, START).mean_kw)


def test_what_a_short_file_does_not_cover_stays_as_it_is_without(tmp_path: Path) -> None:
    short = forecast_of(table("power_kw", 0.1, last="8h"), tmp_path)
    path = DayAhead.load().path(RECORD, ROOF, START, weather=short)
    alone = ahead(RECORD, ROOF, START).mean_kw
    np.testing.assert_array_equal(path.forecast.mean_kw[32:], alone[32:])
    assert (path.forecast.mean_kw[24:32] < alone[24:32]).all()
    assert "are not covered" in path.notes[0]


def test_a_forecast_that_was_too_bright_of_late_is_taken_down(tmp_path: Path) -> None:
    """Ten days of forecasts, each issued a day before, twice what was then measured."""
    past = []
    for d in range(10, 0, -1):
        rows = RECORD.available_kw[(40 - d) * DAY + 20 : (41 - d) * DAY + 20]
        times = pd.date_range(START - d * pd.Timedelta("1D"), periods=DAY, freq=INTERVAL)
        issued = times[0] - pd.Timedelta("1D")
        past.append(pd.DataFrame({"issued_utc": issued, "time_utc": times, "power_kw": 1.3 * rows}))
    now = table("power_kw", 0.8, step="15min")
    fair = forecast_of(now, tmp_path).ahead(RECORD, ROOF, START)
    found = forecast_of(pd.concat([*past, now]), tmp_path).ahead(RECORD, ROOF, START)
    ratio = sunny(found.index) / sunny(fair.index)
    assert (ratio < 0.9).all()
    assert (ratio > 1.0 / 1.3 - 0.01).all()


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "weather.csv"
    path.write_text(
        "time_utc,issued_utc,ghi_wm2,dhi_wm2\n"
        "2023-04-10T00:00Z,2023-04-09T18:00Z,5000,1\n"
        "soon,2023-04-09T18:00Z,1,1\n"
        "2023-04-10T02:00Z,2023-04-09T18:00Z,many,1\n"
        "2023-04-10T02:00Z,2023-04-09T18:00Z,3,-400\n"
    )
    with pytest.raises(SeriesFault) as caught:
        read_weather(path)
    told = "\n".join(caught.value.faults)
    for part in ("line 2: ghi_wm2 outside", "line 3: not a time", "line 4: ghi_wm2 is not a number",
                 "line 5: dhi_wm2 outside", "line 5: time stamp occurs before"):  # fmt: skip
        assert part in told


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "empty"),
        ("time_utc,ghi_wm2\n", "no rows"),
        ("when,ghi_wm2\n2023-04-10T00:00Z,1\n", "no column time_utc"),
        ("time_utc,rain_mm\n2023-04-10T00:00Z,1\n", "nothing forecast"),
        ("time_utc,ghi_wm2\n2023-04-10T00:00Z,1\n", "step cannot be seen"),
        ("time_utc,ghi_wm2\n2023-04-10T00:00Z,1\n2023-04-10T06:00Z,1\n", "360 minutes"),
        (
            "time_utc,ghi_wm2\n2023-04-10T00Z,1\n2023-04-10T01Z,1\n2023-04-10T02Z,1\n2023-04-10T02:40Z,1\n",
            "no multiple of 60 minutes",
        ),
    ],
)
def test_each_way_a_file_can_be_wrong_is_named(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "weather.csv"
    path.write_text(text)
    with pytest.raises(SeriesFault) as caught:
        read_weather(path)
    assert what in str(caught.value)


def test_a_file_that_cannot_be_used_is_a_note_for_the_service(tmp_path: Path) -> None:
    for name in ("none.csv", "none.parquet"):
        weather, notes = open_weather(tmp_path / name)
        assert weather is None
        assert "weather forecast not used" in notes[0]
    weather, notes = open_weather(_written(tmp_path))
    assert weather is not None
    assert notes == ()


def test_an_empty_cell_is_a_gap(tmp_path: Path) -> None:
    frame = table("ghi_wm2", 0.9)
    frame.loc[3, "ghi_wm2"] = np.nan
    found = forecast_of(frame, tmp_path).ahead(RECORD, ROOF, START)
    assert np.isnan(found.index[12:16]).all()
    assert np.isfinite(found.index[20:30]).all()


def test_a_table_without_rows_says_nothing() -> None:
    none = pd.DatetimeIndex([], tz="UTC")
    empty = WeatherTable(
        name="w", step=pd.Timedelta("1h"), times=none, issued=none, quantity="ghi_wm2",
        numbers=np.empty(0),
    )  # fmt: skip
    assert np.isnan(WeatherForecast(empty).ahead(RECORD, ROOF, START).index).all()


def _written(folder: Path) -> Path:
    path = folder / "whole.csv"
    table("ghi_wm2", 0.9).to_csv(path, index=False)
    return path
