"""A season of one roof: broken clouds, an outage, a logger off at night, caps at noon."""

from functools import lru_cache

import numpy as np
import pandas as pd
import pytest

from forecasting.calibration.bands import calibrated
from forecasting.clearsky import Floats, PvGeometry
from forecasting.ladder import LadderForecast, ladder_series
from forecasting.record import LEVELS, PlantRecord, QuantileForecast, plant_record
from forecasting.sky import sky_seen
from tests.cloudy import ROOF, power_kw

DAYS, DAY = 180, 96
OUTAGE = slice(120 * DAY, 123 * DAY)
CAP_KW = 0.45 * ROOF.rated_kw
# The normal distribution's quantiles at `LEVELS`.
NORMAL = np.array([-1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645])


@lru_cache
def truth_kw() -> "pd.Series[float]":
    """What the sun offered, over leap day and the night the clocks go forward."""
    return power_kw(DAYS, seed=8, first="2024-02-10")


@lru_cache
def record() -> PlantRecord:
    """What was measured of it."""
    offered = truth_kw()
    hour = pd.DatetimeIndex(offered.index).hour.to_numpy()
    capped_day = np.arange(len(offered)) // DAY % 5 < 2
    cap_kw = np.where(capped_day & (hour >= 9) & (hour < 14), CAP_KW, np.inf)
    made = offered.clip(upper=cap_kw)
    made.iloc[OUTAGE] = np.nan
    made[(hour >= 22) | (hour < 2)] = np.nan
    return plant_record(made, 15, cap_kw=cap_kw)


class Taught:
    """Stands for a pooled model: too sure of itself, and silent for four hours after an outage."""

    def series(self, record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
        sky = sky_seen(record, geometry)
        index = np.where(
            sky.last >= 0, sky.power[sky.last] / np.maximum(sky.clear[sky.last], 0.05), 0
        )
        mean = np.clip(0.8 * np.clip(index, 0.0, 1.1) + 0.2 * sky.usual, 0.0, 1.1) * sky.clear
        known = (sky.last >= 0) & (np.arange(len(sky)) - sky.last <= 16)
        mean = np.where(known, np.clip(mean, 0.0, 1.0), np.nan)
        spread = (0.01 + 0.5 * np.nan_to_num(sky.variability, nan=0.1)) * sky.clear
        quantiles = np.clip(mean[:, None] + spread[:, None] * NORMAL, 0.0, 1.0)
        return QuantileForecast(
            starts=record.starts,
            mean_kw=geometry.rated_kw * mean,
            quantiles_kw=geometry.rated_kw * quantiles,
        )

    def next(self, record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
        raise NotImplementedError


@lru_cache
def forecast() -> LadderForecast:
    return ladder_series(Taught(), record(), ROOF)


def inside(quantiles_kw: Floats, low: int, high: int) -> Floats:
    truth = truth_kw().to_numpy()
    return np.asarray((quantiles_kw[:, low] <= truth) & (truth <= quantiles_kw[:, high]))


def test_no_interval_of_the_season_is_without_a_forecast() -> None:
    found = forecast().forecast
    assert len(found.mean_kw) == DAYS * DAY
    assert np.isfinite(found.mean_kw).all()
    assert np.isfinite(found.quantiles_kw).all()


def test_in_the_outage_the_usual_sky_answers_and_the_model_again_once_it_is_over() -> None:
    branch, light = forecast().branch, sky_seen(record(), ROOF).clear > 0.0
    rows = np.arange(len(branch))
    outage = light & (rows >= OUTAGE.start + 16) & (rows < OUTAGE.stop)
    assert set(branch[outage]) == {"clear_sky"}
    after = light & (rows >= OUTAGE.stop + DAY // 3)
    assert (branch[after] == "lstm").mean() > 0.8


@pytest.mark.parametrize(("low", "high", "least", "most"), [(1, 5, 76, 84), (0, 6, 86, 94)])
def test_the_bands_hold_what_they_say_in_the_last_third(
    low: int, high: int, least: float, most: float
) -> None:
    sky = sky_seen(record(), ROOF)
    late = np.arange(len(sky)) >= 2 * len(sky) // 3
    scored = sky.daylight & late & np.isfinite(sky.power)
    share = 100.0 * inside(forecast().forecast.quantiles_kw, low, high)[scored].mean()
    assert least <= share <= most


def test_the_model_alone_was_too_sure_of_itself() -> None:
    sky = sky_seen(record(), ROOF)
    raw = Taught().series(record(), ROOF).quantiles_kw
    scored = sky.daylight & np.isfinite(sky.power) & np.isfinite(raw).all(axis=1)
    assert inside(raw, 1, 5)[scored].mean() < 0.76


def test_calibrating_the_model_alone_and_within_the_ladder_is_the_same() -> None:
    alone = calibrated(Taught().series(record(), ROOF), record(), ROOF).quantiles_kw
    used = forecast().branch == "lstm"
    assert forecast().forecast.quantiles_kw[used] == pytest.approx(alone[used], abs=1e-6)


def test_a_cap_hides_what_was_available_and_teaches_nothing() -> None:
    sky = sky_seen(record(), ROOF)
    capped = np.isfinite(record().cap_kw)
    assert np.isnan(sky.power[capped]).all()
    made = np.nan_to_num(record().floor_kw[capped])
    assert made.max() <= CAP_KW + 1e-9


def test_the_sun_rises_in_the_forecast_when_it_rises_whatever_the_clocks_do() -> None:
    light = (forecast().forecast.mean_kw > 0.0).reshape(DAYS, DAY)
    first = light[:110].argmax(axis=1)
    assert len(LEVELS) == forecast().forecast.quantiles_kw.shape[1]
    assert np.abs(np.diff(first)).max() <= 1
