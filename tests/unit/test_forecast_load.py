"""The load of the day ahead: habits by the local clock, and what is left of today's error."""

from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from forecasting.day_ahead.load import DAY, load_ahead
from forecasting.record import LEVELS, QuantileForecast
from tests.households import HOLIDAY, ZONE, habit_kw, is_holiday, load_kw

NONE = pd.Series(np.empty(0), index=pd.DatetimeIndex([], tz="UTC"))


def exact(first: str, days: int, zone: ZoneInfo = ZONE) -> "pd.Series[float]":
    """A household that never departs from its habits."""
    index = pd.date_range(first, periods=days * DAY, freq="15min", tz="UTC")
    return pd.Series(habit_kw(index, zone), index=index)


def at(time: str) -> pd.Timestamp:
    return pd.Timestamp(time, tz="UTC")


def rmse(forecast: QuantileForecast, truth: "pd.Series[float]") -> float:
    return float(np.sqrt(np.mean((forecast.mean_kw - truth.loc[forecast.starts].to_numpy()) ** 2)))


@pytest.mark.parametrize("kind", ["feeder", "house"])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_beats_yesterday_and_persistence_and_its_bands_keep_their_word(
    kind: str, seed: int
) -> None:
    load = load_kw(kind, seed)
    values = load.to_numpy()
    own, yesterday, persistence, inside = [], [], [], []
    for i in range(30 * DAY, 83 * DAY, 149):
        found = load_ahead(load.iloc[:i], load.index[i], ZONE, is_holiday)
        truth = values[i : i + DAY]
        own.append((found.mean_kw - truth) ** 2)
        yesterday.append((values[i - DAY : i] - truth) ** 2)
        persistence.append((values[i - 1] - truth) ** 2)
        low, high = found.quantiles_kw[:, 1], found.quantiles_kw[:, 5]
        inside.append((low <= truth) & (truth <= high))
    assert np.sqrt(np.mean(own)) < 0.75 * np.sqrt(np.mean(yesterday))
    assert np.sqrt(np.mean(own)) < 0.4 * np.sqrt(np.mean(persistence))
    first = np.sqrt(np.mean([o[0] for o in own]) / np.mean([p[0] for p in persistence]))
    assert first < 1.05, "the next interval is no worse than the present load"
    assert 0.74 < np.mean(inside) < 0.86


def test_weekdays_and_days_off_have_profiles_of_their_own() -> None:
    load = exact("2025-01-20", 38)
    for midnight in ("2025-02-21T07:00", "2025-02-22T07:00", "2025-02-23T07:00"):
        found = load_ahead(load[: at(midnight)][:-1], at(midnight), ZONE)
        assert rmse(found, load) < 0.03


def test_a_holiday_is_a_day_off() -> None:
    load = exact("2025-03-10", 60)
    start = pd.Timestamp(HOLIDAY).tz_localize(ZONE).tz_convert("UTC")
    past = load[:start][:-1]
    known = load_ahead(past, start, ZONE, is_holiday)
    unknown = load_ahead(past, start, ZONE)
    assert rmse(known, load) < 0.3 * rmse(unknown, load)


@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("America/Denver", "2025-03-09T07:00"),  # spring: the day has 92 quarters
        ("America/Denver", "2025-11-02T06:00"),  # autumn: 100
        ("Europe/Berlin", "2025-03-29T23:00"),
        ("Europe/Berlin", "2025-10-25T22:00"),
        ("Australia/Lord_Howe", "2025-04-05T13:00"),  # half an hour
        ("America/Denver", "2024-02-29T07:00"),  # a leap day
    ],
)
def test_breakfast_stays_at_seven_when_the_clock_changes_and_on_leap_day(
    zone: str, start: str
) -> None:
    first = at(start) - pd.Timedelta(days=35)
    load = exact(str(first.tz_localize(None)), 38, ZoneInfo(zone))
    found = load_ahead(load[: at(start)][:-1], at(start), ZoneInfo(zone))
    assert rmse(found, load) < 0.04
    # In UTC, without the local clock, breakfast would come at another hour.
    if "2024" not in start:
        assert rmse(found, load) < 0.5 * rmse(
            load_ahead(load[: at(start)][:-1], at(start), ZoneInfo("UTC")), load
        )


def test_a_present_load_above_the_habit_lifts_the_next_hours_more_than_tomorrow() -> None:
    load = load_kw("house", 0)
    past, start = load.iloc[: 50 * DAY], load.index[50 * DAY]
    lifted = load_ahead(past, start, ZONE, now_kw=float(past.iloc[-1]) + 1.0).mean_kw
    more = lifted - load_ahead(past, start, ZONE).mean_kw
    assert more[0] > 0.3
    assert more[0] > 2.0 * more[16]
    assert abs(more[95]) < 0.5 * more[0]


def test_nothing_from_the_start_on_is_looked_at() -> None:
    load = load_kw("house", 0)
    start = load.index[50 * DAY + 33]
    later = load.copy()
    later[start:] = 99.0
    one, other = load_ahead(load, start, ZONE), load_ahead(later, start, ZONE)
    np.testing.assert_array_equal(one.mean_kw, other.mean_kw)
    np.testing.assert_array_equal(one.quantiles_kw, other.quantiles_kw)


def test_without_history_the_present_load_stays_with_a_band_that_widens() -> None:
    found = load_ahead(NONE, at("2025-06-01T12:00"), ZONE, now_kw=3.0)
    assert (found.mean_kw == 3.0).all()
    width = found.quantiles_kw[:, 5] - found.quantiles_kw[:, 1]
    assert (np.diff(width) >= 0.0).all()
    assert width[-1] > 3.0 > width[0] > 0.3


def test_with_nothing_known_at_all_it_says_so() -> None:
    found = load_ahead(NONE, at("2025-06-01T12:00"), ZONE)
    assert np.isnan(found.mean_kw).all()
    assert found.quantiles_kw.shape == (DAY, len(LEVELS))


def test_after_one_day_it_is_yesterday() -> None:
    load = exact("2025-06-02T06:00", 2)
    start = load.index[DAY]
    found = load_ahead(load.iloc[:DAY], start, ZONE)
    np.testing.assert_allclose(found.mean_kw, load.iloc[:DAY], atol=1e-9)
    assert ((found.quantiles_kw[:, 5] - found.quantiles_kw[:, 1]) > 0.1).all()


def test_gaps_are_bridged() -> None:
    load = load_kw("house", 0).iloc[: 40 * DAY].copy()
    load.iloc[20 * DAY : 27 * DAY] = np.nan
    load = load.drop(load.index[30 * DAY + 5 : 31 * DAY])
    found = load_ahead(load, load.index[-1] + pd.Timedelta(minutes=15), ZONE)
    assert np.isfinite(found.mean_kw).all()
    assert np.isfinite(found.quantiles_kw).all()


def test_fewer_intervals_are_the_first_of_the_day() -> None:
    load = load_kw("house", 0)
    start = load.index[50 * DAY]
    short, day = load_ahead(load, start, ZONE, intervals=8), load_ahead(load, start, ZONE)
    np.testing.assert_array_equal(short.mean_kw, day.mean_kw[:8])
    assert len(short.starts) == len(short.quantiles_kw) == 8


@pytest.mark.parametrize(
    ("start", "intervals"), [("2025-06-01T12:03Z", 96), ("2025-06-01T12:00Z", 0)]
)
def test_a_start_off_the_grid_or_no_intervals_are_refused(start: str, intervals: int) -> None:
    with pytest.raises(ValueError, match=r"quarter of an hour|expected 1 to 96"):
        load_ahead(NONE, pd.Timestamp(start), ZONE, now_kw=1.0, intervals=intervals)
