"""Whatever is measured and wherever, a day ahead stays within its bounds."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.clearsky import PvGeometry, clear_sky_mean_kw
from forecasting.day_ahead.horizon import DayAhead
from forecasting.day_ahead.load import load_ahead
from forecasting.record import LEVELS, PlantRecord, QuantileForecast

FORECASTERS = (DayAhead.load(), DayAhead(None))

any_power = st.floats(-1e5, 1e5) | st.sampled_from([float("nan"), float("inf"), -float("inf")])
moments = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  hypothesis adds the zone
# Changes of the clock of both hemispheres, a leap day, the end of a year.
edges = st.sampled_from(
    [
        datetime(2024, 3, 31, 0, 45, tzinfo=UTC),
        datetime(2024, 10, 27, 0, 45, tzinfo=UTC),
        datetime(2024, 3, 10, 8, 45, tzinfo=UTC),
        datetime(2024, 11, 3, 7, 45, tzinfo=UTC),
        datetime(2024, 4, 6, 15, 30, tzinfo=UTC),
        datetime(2024, 2, 28, 23, 45, tzinfo=UTC),
        datetime(2024, 2, 29, 12, 0, tzinfo=UTC),
        datetime(2024, 12, 31, 23, 45, tzinfo=UTC),
    ]
)
zones = st.sampled_from(["UTC", "America/Denver", "Europe/Berlin", "Australia/Lord_Howe"])


def record_of(pattern: list[float], until: pd.Timestamp, rows: int) -> PlantRecord:
    starts = pd.date_range(end=until, periods=rows + 1, freq="15min")[:-1]
    power = np.resize(np.array(pattern), rows)
    return PlantRecord(
        starts=starts, parts_kw=power[:, None], floor_kw=power, cap_kw=np.full(rows, np.inf)
    )


@settings(max_examples=60)
@given(
    forecaster=st.sampled_from(FORECASTERS),
    now=moments | edges,
    place=st.tuples(st.floats(-65, 65), st.floats(-180, 180)),
    tilt=st.floats(0, 90),
    azimuth=st.floats(0, 360),
    rated=st.floats(0.5, 50_000),
    pattern=st.lists(any_power, min_size=1, max_size=12),
    rows=st.sampled_from([1, 50, 400]),
    next_share=st.none() | st.floats(-1, 2),
)
def test_a_day_ahead_is_never_negative_never_above_the_rating_and_zero_at_night(
    forecaster: DayAhead,
    now: datetime,
    place: tuple[float, float],
    tilt: float,
    azimuth: float,
    rated: float,
    pattern: list[float],
    rows: int,
    next_share: float | None,
) -> None:
    geometry = PvGeometry(
        latitude_deg=place[0],
        longitude_deg=place[1],
        tilt_deg=tilt,
        azimuth_deg=azimuth,
        rated_kw=rated,
    )
    start = pd.Timestamp(now).floor("15min")
    given_one = None
    if next_share is not None:
        level = np.full((1, len(LEVELS)), next_share * rated)
        given_one = QuantileForecast(
            starts=pd.DatetimeIndex([start]), mean_kw=level[:, 0], quantiles_kw=level
        )
    record = record_of(pattern, start, rows)
    found = forecaster.path(record, geometry, start, next_interval=given_one).forecast
    both = np.concatenate([found.mean_kw[:, None], found.quantiles_kw], axis=1)
    assert np.isfinite(both).all()
    assert (both >= 0.0).all()
    assert (both <= rated).all()
    assert (np.diff(found.quantiles_kw, axis=1) >= 0.0).all()
    assert (both[clear_sky_mean_kw(geometry, found.starts) == 0.0] == 0.0).all()
    assert (np.diff(found.starts) == np.timedelta64(15, "m")).all()


@settings(max_examples=60)
@given(
    now=moments | edges,
    zone=zones,
    pattern=st.lists(any_power, min_size=1, max_size=12),
    rows=st.sampled_from([0, 1, 95, 96, 97, 700]),
    now_kw=st.none() | any_power,
    free=st.booleans(),
)
def test_a_load_ahead_is_never_negative_and_answers_as_soon_as_anything_is_known(
    now: datetime, zone: str, pattern: list[float], rows: int, now_kw: float | None, free: bool
) -> None:
    start = pd.Timestamp(now).floor("15min")
    index = pd.date_range(end=start, periods=rows + 1, freq="15min")[:-1]
    history = pd.Series(np.resize(np.array(pattern), rows), index=index, dtype=float)
    found = load_ahead(history, start, ZoneInfo(zone), lambda _day: free, now_kw)
    known = np.isfinite(history).any() or (now_kw is not None and np.isfinite(now_kw))
    assert np.isfinite(found.mean_kw).all() == known
    if known:
        assert (found.mean_kw >= 0.0).all()
        assert (found.quantiles_kw >= 0.0).all()
        assert (np.diff(found.quantiles_kw, axis=1) >= 0.0).all()


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), start=edges)
def test_the_order_in_which_a_load_history_is_handed_in_does_not_matter(
    seed: int, start: datetime
) -> None:
    rng = np.random.default_rng(seed)
    index = pd.date_range(end=pd.Timestamp(start), periods=1001, freq="15min")[:-1]
    history = pd.Series(rng.uniform(0.0, 5.0, 1000), index=index)
    shuffled = history.iloc[rng.permutation(1000)]
    zone = ZoneInfo("Europe/Berlin")
    one = load_ahead(history, pd.Timestamp(start), zone)
    other = load_ahead(shuffled, pd.Timestamp(start), zone)
    np.testing.assert_array_equal(one.mean_kw, other.mean_kw)
    np.testing.assert_array_equal(one.quantiles_kw, other.quantiles_kw)
