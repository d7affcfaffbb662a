"""Whatever is measured, a forecast stays within its bounds."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from ems.domain import DerReading, Limits, LoadReading, Pv, Quality, Site, Snapshot
from ems.forecast import METHODS, LadderForecaster
from forecasting.baselines import fading_persistence_kw
from forecasting.clearsky import PvGeometry
from forecasting.paper.features import paper_features
from forecasting.record import PlantRecord, plant_record
from forecasting.runtime import LiteModel, power_from_share_kw
from forecasting.sky import INDEX_MAX
from models import artefact

MODEL = LiteModel(artefact("paper_lstm").content)

any_power = st.floats(-1e5, 1e5) | st.sampled_from([float("nan"), float("inf"), -float("inf")])
moments = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  hypothesis adds the zone
places = st.tuples(st.floats(-65, 65), st.floats(-180, 180))


class Kept:
    """A history that hands out what it was given, the present interval too."""

    def __init__(self, values: list[float], caps_kw: list[float], now: datetime) -> None:
        end = pd.Timestamp(now).floor("15min")
        index = pd.date_range(end=end, periods=len(values), freq="15min", inclusive="both")
        self.series = pd.Series(values, index=index, dtype=float)
        self.caps_kw = np.resize(caps_kw, len(values))

    def pv_record(self, der: str, since: datetime, until: datetime) -> PlantRecord:
        del der, since, until
        return plant_record(self.series, 15, cap_kw=self.caps_kw)

    def load_kw(self, since: datetime, until: datetime) -> Any:
        del since, until
        return self.series


@settings(max_examples=150, deadline=None)
@given(
    method=st.sampled_from(METHODS),
    now=moments,
    place=places,
    tilt=st.floats(0, 90),
    azimuth=st.floats(0, 360),
    rated=st.floats(0.5, 50_000),
    reading=any_power,
    age_s=st.floats(-300, 7200),
    cap=st.none() | st.floats(0, 60_000),
    quality=st.sampled_from(Quality),
    available=st.none() | any_power,
    pattern=st.lists(any_power, min_size=1, max_size=12),
    caps=st.lists(st.just(float("inf")) | any_power, min_size=1, max_size=7),
    confidence=st.sampled_from([0.6, 0.95, 1.0]),
)
def test_a_forecast_is_never_negative_and_never_above_its_upper_bound(
    method: Any,
    now: datetime,
    place: tuple[float, float],
    tilt: float,
    azimuth: float,
    rated: float,
    reading: float,
    age_s: float,
    cap: float | None,
    quality: Quality,
    available: float | None,
    pattern: list[float],
    caps: list[float],
    confidence: float,
) -> None:
    pv = Pv(name="pv", bus="b", rated_kw=rated, tilt_deg=tilt, azimuth_deg=azimuth)
    site = Site(
        name="s",
        latitude_deg=place[0],
        longitude_deg=place[1],
        ders=(pv,),
        limits=Limits(v_min_pu=0.9, v_max_pu=1.1),
        load_max_kw=1.0,
        load_min_kw=0.0,
    )
    measured = DerReading(
        der="pv",
        time=now - timedelta(seconds=age_s),
        p_kw=reading,
        q_kvar=0.0,
        cap_kw=cap,
        available_kw=available,
        quality=quality,
    )
    snapshot = Snapshot(time=now, ders={"pv": measured}, load=LoadReading(time=now, p_kw=1.0))
    history = Kept((pattern * 200)[:200], caps, now)
    forecaster = LadderForecaster(method, confidence=confidence)
    found = forecaster.predict(site, snapshot, history).pv["pv"]
    assert 0.0 <= found.lower_kw <= found.expected_kw <= found.upper_kw <= rated
    assert list(found.quantiles_kw) == sorted(found.quantiles_kw)
    assert 0.0 <= found.quantiles_kw[0] <= found.quantiles_kw[-1] <= found.upper_kw
    assert found.method in METHODS[METHODS.index(method) :]


@given(
    measured=st.floats(-1e4, 1e4),
    clear=st.floats(0, 100),
    target=st.floats(0, 100),
    index=st.floats(0, INDEX_MAX),
)
def test_fading_persistence_stays_within_the_bounded_index(
    measured: float, clear: float, target: float, index: float
) -> None:
    found = fading_persistence_kw(
        measured_kw=np.array([measured]),
        clear_measured_kw=np.array([clear]),
        clear_target_kw=np.array([target]),
        rated_kw=100.0,
        index=index,
    )[0]
    assert 0.0 <= found <= min(100.0, INDEX_MAX * target + 1e-9)


@given(
    lags=st.lists(st.floats(-1e4, 1e4), min_size=5, max_size=5),
    now=moments,
    place=places,
    clear=st.floats(0, 1),
)
def test_the_lstm_answers_within_the_rating_and_zero_at_night(
    lags: list[float], now: datetime, place: tuple[float, float], clear: float
) -> None:
    plant = PvGeometry(
        latitude_deg=place[0],
        longitude_deg=place[1],
        tilt_deg=20.0,
        azimuth_deg=180.0,
        rated_kw=100.0,
    )
    x = paper_features(np.array([lags]), pd.DatetimeIndex([now]), plant)
    assert np.abs(x).max() <= 1.0
    power = power_from_share_kw(MODEL(x), np.array([clear]), 100.0)[0]
    assert 0.0 <= power <= (100.0 if clear > 0 else 0.0)
