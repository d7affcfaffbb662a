"""The load ahead of a day's intervals at once: as one by one, and knowing no more."""

from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from forecasting.day_ahead.load import load_ahead, load_ahead_batch
from forecasting.record import LEVELS
from forecasting.series import INTERVAL

ZONE = ZoneInfo("America/Los_Angeles")
START = pd.Timestamp("2019-03-09T08:00Z")
"""Local midnight of the day before clocks change."""


def measured(days: int, after: int = 192, seed: int = 0) -> "pd.Series[float]":
    """A load with a daily and a weekly swing, from so many days before `START`."""
    index = pd.date_range(START - days * pd.Timedelta(days=1), START + after * INTERVAL,
                          freq=INTERVAL, inclusive="left")  # fmt: skip
    local = index.tz_convert(ZONE)
    hour = local.hour + local.minute / 60
    swing = 1000 + 300 * np.sin(2 * np.pi * hour / 24) - 150 * (local.day_of_week >= 5)
    noise = np.random.default_rng(seed).normal(0, 15, len(index))
    return pd.Series(np.asarray(swing) + noise, index=index)


def one_by_one(load: "pd.Series[float]", issue: int, intervals: int) -> tuple[object, object]:
    start = START + issue * INTERVAL
    found = load_ahead(load[load.index < start], start, ZONE, intervals=intervals)
    return found.mean_kw, found.quantiles_kw


@pytest.mark.parametrize("days", [8, 30, 90])
def test_the_first_issue_is_what_one_forecast_would_be(days: int) -> None:
    load = measured(days)
    found = load_ahead_batch(load, START, ZONE, issues=96)
    assert found is not None
    mean, quantiles = found
    assert mean.shape == (96, 96)
    assert quantiles.shape == (96, 96, len(LEVELS))
    alone = one_by_one(load, 0, 96)
    assert mean[0] == pytest.approx(alone[0], abs=1e-9)
    assert quantiles[0] == pytest.approx(alone[1], abs=1e-9)


@pytest.mark.parametrize("issue", [1, 40, 99])
def test_later_ones_differ_by_what_a_day_adds_to_what_was_learnt(issue: int) -> None:
    load = measured(60)
    found = load_ahead_batch(load, START, ZONE, issues=100, intervals=4)
    assert found is not None
    alone = one_by_one(load, issue, 4)
    assert found[0][issue] == pytest.approx(alone[0], abs=6.0)
    assert found[1][issue] == pytest.approx(alone[1], abs=12.0)


def test_no_issue_knows_what_comes_after_it() -> None:
    load = measured(30)
    other = load.copy()
    other.iloc[len(load) - 192 + 50 :] *= 2.0
    one, two = (load_ahead_batch(x, START, ZONE) for x in (load, other))
    assert one is not None
    assert two is not None
    assert np.array_equal(one[0][:51], two[0][:51])
    assert np.array_equal(one[1][:51], two[1][:51])
    assert (one[0][51:, 0] != two[0][51:, 0]).all()


def test_one_issue_and_one_interval_are_enough() -> None:
    load = measured(30, after=0)
    found = load_ahead_batch(load, START, ZONE, issues=1, intervals=1)
    assert found is not None
    assert found[0].shape == (1, 1)
    assert found[0][0] == pytest.approx(one_by_one(load, 0, 1)[0], abs=1e-9)


def test_without_a_habit_there_is_no_answer() -> None:
    assert load_ahead_batch(measured(0, after=0), START, ZONE) is None
    assert load_ahead_batch(measured(30).iloc[:0], START, ZONE) is None


def test_gaps_are_no_zeros() -> None:
    load = measured(30)
    load.iloc[-192 + 10 : -192 + 20] = np.nan
    found = load_ahead_batch(load, START, ZONE, intervals=1)
    assert found is not None
    assert np.isfinite(found[0]).all()
    assert found[0].min() > 500.0
