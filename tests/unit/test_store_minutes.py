"""Minutes in the database: what was measured, what was available, and how it is told."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ems.clock import INTERVAL
from ems.domain import DerReading
from ems.errors import BadInput
from ems.store import MinuteMean, MinuteMeans, MissedRun, Store

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
FAR = datetime(2100, 1, 1, tzinfo=UTC)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "geems.sqlite")
    yield opened
    opened.close()


def mean(minute: int, p_kw: float, *, device: str = "pv", **known: Any) -> MinuteMean:
    return MinuteMean(device=device, time=NOON + timedelta(minutes=minute), p_kw=p_kw, **known)


# --- measurements --------------------------------------------------------------------


def test_interval_means_are_of_the_minutes_measured(store: Store) -> None:
    store.add_minute(*(mean(i, 100.0 + i) for i in range(15)))
    store.add_minute(mean(15, 7.0), mean(17, 9.0))
    series = store.mean_kw("pv", NOON, NOON + 3 * INTERVAL)
    assert list(series.index) == [NOON + i * INTERVAL for i in range(3)]
    assert isinstance(series.index, pd.DatetimeIndex)
    assert str(series.index.tz) == "UTC"
    np.testing.assert_array_equal(series, [107.0, 8.0, np.nan])


def test_an_interval_with_one_capped_minute_tells_nothing_of_what_was_available(
    store: Store,
) -> None:
    store.add_minute(mean(0, 100.0), mean(1, 50.0, capped=True), mean(15, 80.0))
    found = store.pv_record("pv", NOON, NOON + 2 * INTERVAL)
    assert np.isnan(found.parts_kw[0]).all()
    assert found.parts_kw[1, 0] == 80.0
    np.testing.assert_array_equal(found.floor_kw, [75.0, 80.0])
    np.testing.assert_array_equal(store.mean_kw("pv", NOON, NOON + 2 * INTERVAL), [75.0, 80.0])


def test_history_asked_from_within_an_interval_starts_at_its_start(store: Store) -> None:
    store.add_minute(mean(0, 100.0))
    series = store.mean_kw("pv", NOON + timedelta(minutes=7), NOON + timedelta(minutes=16))
    assert list(series.index) == [NOON, NOON + INTERVAL]
    assert series.iloc[0] == 100.0


def test_history_ends_just_before_its_end(store: Store) -> None:
    store.add_minute(mean(0, 1.0), mean(15, 2.0))
    assert list(store.mean_kw("pv", NOON, NOON + INTERVAL)) == [1.0]


def test_a_plant_never_measured_has_a_history_of_nan(store: Store) -> None:
    series = store.mean_kw("pv", NOON, NOON + 4 * INTERVAL)
    assert series.isna().all()
    assert series.dtype == np.float64
    found = store.pv_record("pv", NOON, NOON + 4 * INTERVAL)
    assert len(found) == 4
    assert np.isnan(found.available_kw).all()
    assert np.isnan(found.floor_kw).all()
    assert np.isposinf(found.cap_kw).all()


def test_a_later_mean_of_a_minute_replaces_the_first(store: Store) -> None:
    store.add_minute(mean(0, 1.0))
    store.add_minute(mean(0, 2.0))
    assert [m.p_kw for m in store.measurements(LONG_AGO, FAR, "pv")] == [2.0]


def test_measurements_come_back_by_device_and_time(store: Store) -> None:
    full = MinuteMean(
        device="bes",
        time=NOON,
        p_kw=-5.0,
        q_kvar=1.0,
        v_pu=1.01,
        soc_pct=55.5,
        polls=6,
    )
    store.add_minute(full, mean(0, 1.0), mean(1, 2.0))
    assert store.measurements(NOON, NOON + timedelta(minutes=1)) == [full, mean(0, 1.0)]
    assert store.measurements(LONG_AGO, FAR, "bes") == [full]


def test_a_mean_that_is_no_number_is_not_kept(store: Store) -> None:
    store.add_minute(mean(0, float("nan")), mean(1, 3.0))
    assert [m.p_kw for m in store.measurements(LONG_AGO, FAR)] == [3.0]


def test_earlier_history_is_kept_and_found_like_measured_minutes(store: Store) -> None:
    index = pd.date_range(NOON - timedelta(days=5), NOON, freq="15min", inclusive="left")
    values = np.arange(len(index), dtype=float)
    values[7] = np.nan
    store.add_history("pv", pd.Series(values, index=index))
    found = store.pv_record("pv", NOON - timedelta(days=5), NOON)
    assert found.parts_kw.shape == (480, 1)
    np.testing.assert_array_equal(found.available_kw, values)


@pytest.mark.parametrize(("minutes", "parts"), [(1, 15), (5, 3), (15, 1)])
def test_an_interval_is_told_in_as_many_parts_as_were_measured(
    store: Store, minutes: int, parts: int
) -> None:
    count = 4 * 15 // minutes
    index = pd.date_range(NOON, periods=count, freq=f"{minutes}min")
    values = np.arange(float(count))
    store.add_history("pv", pd.Series(values, index=index))
    found = store.pv_record("pv", NOON, NOON + 4 * INTERVAL)
    np.testing.assert_array_equal(found.parts_kw, values.reshape(4, parts))


def test_a_device_polled_every_five_minutes_tells_three_parts(store: Store) -> None:
    store.add_minute(*(mean(i, float(i)) for i in range(0, 30, 5)))
    found = store.pv_record("pv", NOON, NOON + 2 * INTERVAL)
    np.testing.assert_array_equal(found.parts_kw, [[0.0, 5.0, 10.0], [15.0, 20.0, 25.0]])


def test_an_imported_quarter_hour_stands_for_each_of_its_minutes(store: Store) -> None:
    store.add_history("pv", pd.Series([7.0], index=pd.DatetimeIndex([NOON])))
    store.add_minute(*(mean(i, 1.0) for i in range(15, 45)))
    found = store.pv_record("pv", NOON, NOON + 3 * INTERVAL)
    np.testing.assert_array_equal(found.parts_kw, [[7.0] * 15, [1.0] * 15, [1.0] * 15])


def test_a_month_of_quarter_hours_with_one_of_minutes_is_told_in_quarter_hours(
    store: Store,
) -> None:
    index = pd.date_range(NOON - 10 * INTERVAL, NOON, freq="15min", inclusive="left")
    store.add_history("pv", pd.Series(7.0, index=index))
    store.add_minute(*(mean(i, float(i)) for i in range(15)))
    found = store.pv_record("pv", NOON - 10 * INTERVAL, NOON + INTERVAL)
    np.testing.assert_array_equal(found.parts_kw, [[7.0]] * 11)


def test_the_lowest_cap_of_an_interval_is_kept_and_one_of_unknown_height_is_unknown(
    store: Store,
) -> None:
    store.add_minute(
        mean(0, 100.0, capped=True, cap_kw=90.0),
        mean(1, 100.0, capped=True, cap_kw=80.0),
        mean(2, 100.0),
        mean(15, 100.0, capped=True),
        mean(16, 100.0, capped=True, cap_kw=80.0),
        mean(30, 100.0),
    )
    found = store.pv_record("pv", NOON, NOON + 3 * INTERVAL)
    np.testing.assert_array_equal(found.cap_kw, [80.0, np.nan, np.inf])


def test_what_a_device_says_it_could_make_is_available_also_under_a_cap(store: Store) -> None:
    store.add_minute(
        *(mean(i, 60.0, capped=True, cap_kw=60.0, available_kw=95.0) for i in range(15)),
        *(mean(i, 90.0, available_kw=91.0) for i in range(15, 30)),
    )
    found = store.pv_record("pv", NOON, NOON + 2 * INTERVAL)
    np.testing.assert_array_equal(found.available_kw, [95.0, 91.0])
    np.testing.assert_array_equal(found.floor_kw, [60.0, 90.0])
    assert np.isposinf(found.cap_kw).all()


@pytest.mark.parametrize("said", [0.0, 1000.0])
def test_available_power_that_contradicts_what_is_made_uncapped_is_not_believed(
    store: Store, said: float
) -> None:
    store.add_minute(
        *(mean(i, 60.0, capped=True, cap_kw=60.0, available_kw=said) for i in range(15)),
        *(mean(i, 90.0, available_kw=said) for i in range(15, 30)),
    )
    found = store.pv_record("pv", NOON, NOON + 2 * INTERVAL)
    np.testing.assert_array_equal(found.available_kw, [np.nan, 90.0])
    np.testing.assert_array_equal(found.cap_kw, [60.0, np.inf])


def test_a_device_never_says_it_could_make_less_than_it_makes(store: Store) -> None:
    store.add_minute(*(mean(i, 90.0, available_kw=89.0) for i in range(15)))
    assert store.pv_record("pv", NOON, NOON + INTERVAL).available_kw[0] == 90.0


def test_history_of_a_local_zone_is_kept_in_utc(store: Store) -> None:
    index = pd.date_range("2026-07-01 14:00", periods=2, freq="15min", tz="Europe/Zurich")
    store.add_history("pv", pd.Series([1.0, 2.0], index=index))
    np.testing.assert_array_equal(store.mean_kw("pv", NOON, NOON + 2 * INTERVAL), [1.0, 2.0])


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (["2026-07-01 12:00", "2026-07-01 12:15"], "times with a zone"),
        (["2026-07-01 12:00Z", "2026-07-01 12:00Z"], "appears more than once"),
        (["2026-07-01 12:15Z", "2026-07-01 12:00Z"], "do not ascend"),
        (["2026-07-01 12:00Z", "2026-07-01 13:00Z"], "one value every 0 days 01:00:00"),
    ],
)
def test_unsound_history_is_refused(store: Store, times: list[str], said: str) -> None:
    series = pd.Series([1.0] * len(times), index=pd.DatetimeIndex(times))
    with pytest.raises(BadInput, match=said):
        store.add_history("pv", series)
    assert store.measurements(LONG_AGO, FAR) == []


def test_all_faults_of_a_history_are_told_at_once(store: Store) -> None:
    times = ["2026-07-01 12:15Z", "2026-07-01 12:00Z", "2026-07-01 12:00Z"]
    with pytest.raises(BadInput) as caught:
        store.add_history("pv", pd.Series([1.0] * 3, index=pd.DatetimeIndex(times)))
    assert len(caught.value.faults) == 2


def test_missed_runs_are_kept(store: Store) -> None:
    store.add_missed(NOON, "the cycle before was still running")
    store.add_missed(NOON - INTERVAL, "not running", intervals=4)
    assert store.missed(LONG_AGO, FAR) == [
        MissedRun(start=NOON - INTERVAL, intervals=4, reason="not running"),
        MissedRun(start=NOON, intervals=1, reason="the cycle before was still running"),
    ]


def test_of_a_missed_run_that_is_taken_back_only_what_stands_is_kept(store: Store) -> None:
    store.add_missed(NOON, "the clock was set forward", intervals=12)
    store.add_missed(NOON, "the cycle failed")
    store.take_back_missed(NOON, 12, left=5)
    assert [m.intervals for m in store.missed(LONG_AGO, FAR)] == [5, 1]
    store.take_back_missed(NOON, 5, left=0)
    assert [m.reason for m in store.missed(LONG_AGO, FAR)] == ["the cycle failed"]


# --- polls to minutes ----------------------------------------------------------------


def polled(second: int, **reading: Any) -> DerReading:
    now = NOON + timedelta(seconds=second)
    given: dict[str, Any] = {"p_kw": 60.0, "q_kvar": 0.0, "rated_kw": 100.0}
    return DerReading(der="pv", time=now, **(given | reading))


def minute_of(*readings: DerReading) -> MinuteMean:
    means = MinuteMeans()
    for reading in readings:
        means.add(reading.time, [reading])
    (found,) = means.close()
    return found


def test_a_minute_keeps_its_lowest_cap_and_its_mean_available_power() -> None:
    found = minute_of(
        polled(0, cap_kw=80.0, available_kw=90.0),
        polled(10, cap_kw=70.0, available_kw=96.0),
        polled(20),
    )
    assert (found.capped, found.cap_kw, found.available_kw) == (True, 70.0, 93.0)


def test_a_cap_at_the_rating_is_none() -> None:
    assert not minute_of(polled(0, cap_kw=100.0)).capped
    assert minute_of(polled(0, cap_kw=100.0, rated_kw=None)).capped


def test_a_minute_without_cap_or_available_power_says_so() -> None:
    found = minute_of(polled(0))
    assert (found.capped, found.cap_kw, found.available_kw) == (False, None, None)
