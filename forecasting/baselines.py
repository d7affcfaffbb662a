"""Forecasts that need no network: the references a better method must beat, and the fallback.

Each method here answers for every interval of a record, from what was measured before it. What a
method needs may be missing; then it takes the next of

1. its own rule;
2. for the methods that repeat past days, the days that there are;
3. the usual sky: the clear-sky index of the 30 days before (0.7 where little is known) times the
   clear sky of the interval.

So every method answers for the same intervals, and none gains by being silent.

Smart persistence, which skill is measured against, keeps the last index as it is, over the next
interval and over the day ahead alike. *Fading persistence* is what a service falls back on: a
measurement older than one hour says nothing of the present sky, one of low sun says little, and
the usual sky takes their place. That serves a little better, and is nobody's definition but ours.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from forecasting.calibration.residuals import with_residual_quantiles
from forecasting.clearsky import Floats, PvGeometry
from forecasting.paper.features import LAG_DAYS, paper_features
from forecasting.record import PlantRecord, QuantileForecast
from forecasting.runtime import PaperLstm
from forecasting.sky import (
    INDEX_MAX,
    LOW_SUN_SHARE,
    Ints,
    SkySeen,
    sky_seen,
)

__all__ = [
    "Method",
    "climatology",
    "climatology_share",
    "fading_persistence",
    "fading_persistence_kw",
    "fading_persistence_share",
    "five_day_mean",
    "kept_index",
    "lag_shares",
    "newest_before",
    "paper_lstm",
    "persistence",
    "persistence_share",
    "smart_persistence",
    "smart_persistence_share",
    "yesterday",
    "yesterday_share",
]

Method = Callable[[PlantRecord, PvGeometry], QuantileForecast]
"""A forecast of every interval of a record, each from what was known at its start."""

_DAY = 96  # intervals


def fading_persistence_kw(
    *,
    measured_kw: Floats,
    clear_measured_kw: Floats,
    clear_target_kw: Floats,
    rated_kw: float,
    index: float | Floats,
) -> Floats:
    """The clear-sky index of the last measurement stays, unless it was one of low sun [kW].

    Near sunrise, where the clear sky of the measurement is under 5 % of the rating, the
    measured index fades into the climatological one, so nothing is divided by almost zero.

    Args:
        measured_kw: Last measured, uncapped power, shape (sample,) [kW].
        clear_measured_kw: Clear-sky power where that was measured, shape (sample,) [kW].
        clear_target_kw: Clear-sky power of the target interval, shape (sample,) [kW].
        rated_kw: Rating of the plant [kW].
        index: Climatological clear-sky index, one or shape (sample,) [1].

    Returns:
        Shape (sample,), within [0, rated]; NaN where `measured_kw` is.
    """
    low = LOW_SUN_SHARE * rated_kw
    measured_index = np.clip(measured_kw / np.maximum(clear_measured_kw, low), 0.0, INDEX_MAX)
    trusted = np.clip(clear_measured_kw / low, 0.0, 1.0)
    # Below the threshold the quotient above already carries the factor `trusted`.
    blended = measured_index + (1.0 - trusted) * index
    return np.clip(np.minimum(blended, INDEX_MAX) * clear_target_kw, 0.0, rated_kw)


def persistence_share(sky: SkySeen) -> Floats:
    """The last measured power of the hour before stays, shape (interval,) [1]."""
    measured = np.where(sky.recent, sky.power[sky.last], np.nan)
    return _or_usual(np.clip(measured, 0.0, 1.0), sky)


def fading_persistence_share(sky: SkySeen) -> Floats:
    """The index of the last measurement of the hour before stays, that of low sun fades [1]."""
    found = fading_persistence_kw(
        measured_kw=np.where(sky.recent, sky.power[sky.last], np.nan),
        clear_measured_kw=sky.clear[sky.last],
        clear_target_kw=sky.clear,
        rated_kw=1.0,
        index=sky.usual,
    )
    return _or_usual(found, sky)


def kept_index(sky: SkySeen, rows: Ints) -> Floats:
    """Clear-sky index of the last measured interval before each of some rows.

    Intervals whose clear sky is under 5 % of the rating are passed over: their quotient is noise.
    So a morning begins with the index of the evening before.

    Args:
        sky: What was known before each interval.
        rows: Of intervals that are forecast or issued, shape (row,).

    Returns:
        Within [0, 1.2], shape (row,); the usual index where nothing was measured yet [1].
    """
    trusted = np.isfinite(sky.power) & (sky.clear >= LOW_SUN_SHARE)
    last = newest_before(trusted, rows)
    index = sky.power[last] / np.maximum(sky.clear[last], LOW_SUN_SHARE)
    return np.where(last >= 0, np.clip(index, 0.0, INDEX_MAX), sky.usual[rows])


def newest_before(among: NDArray[np.bool_], rows: Ints) -> Ints:
    """The newest of some intervals before each row; −1 where there is none, shape (row,)."""
    newest = np.maximum.accumulate(np.where(among, np.arange(len(among)), -1))
    return np.where(rows > 0, newest[rows - 1], -1)


def smart_persistence_share(sky: SkySeen) -> Floats:
    """The last clear-sky index stays, shape (interval,) [1]."""
    return np.clip(kept_index(sky, np.arange(len(sky))) * sky.clear, 0.0, 1.0)


def climatology_share(sky: SkySeen) -> Floats:
    """The usual sky, shape (interval,) [1]."""
    return np.clip(sky.usual * sky.clear, 0.0, 1.0)


def persistence(record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
    """The last measured power stays."""
    sky = sky_seen(record, geometry)
    return with_residual_quantiles(persistence_share(sky), record, sky, geometry.rated_kw)


def smart_persistence(record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
    """The last clear-sky index stays: what skill is measured against."""
    sky = sky_seen(record, geometry)
    return with_residual_quantiles(smart_persistence_share(sky), record, sky, geometry.rated_kw)


def fading_persistence(record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
    """The last clear-sky index stays while it says something: what a service falls back on."""
    sky = sky_seen(record, geometry)
    return with_residual_quantiles(fading_persistence_share(sky), record, sky, geometry.rated_kw)


def yesterday_share(sky: SkySeen) -> Floats:
    """The power of the same UTC time of the last day that measured it, five days back at most [1].

    Shape (interval,).
    """
    lags = lag_shares(sky)
    days = np.isfinite(lags)
    newest = lags.shape[1] - 1 - np.argmax(days[:, ::-1], axis=1)
    return _or_usual(lags[np.arange(len(sky)), newest], sky)


def yesterday(record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
    """The power of the same UTC time of the last day that measured it, five days back at most."""
    sky = sky_seen(record, geometry)
    return with_residual_quantiles(yesterday_share(sky), record, sky, geometry.rated_kw)


def five_day_mean(record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
    """The mean power at the same UTC time of the five days before, of those that measured it."""
    sky = sky_seen(record, geometry)
    mean = _or_usual(_mean_of_known(lag_shares(sky)), sky)
    return with_residual_quantiles(mean, record, sky, geometry.rated_kw)


def climatology(record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
    """The usual sky, the last rung of the ladder."""
    sky = sky_seen(record, geometry)
    return with_residual_quantiles(climatology_share(sky), record, sky, geometry.rated_kw)


def paper_lstm(model: PaperLstm) -> Method:
    """The published model as a method.

    It knows no mask: a day that was not measured takes the mean of those that were.
    """

    def method(record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
        sky = sky_seen(record, geometry)
        lags = lag_shares(sky)
        mean = _mean_of_known(lags)
        filled = np.where(np.isfinite(lags), lags, mean[:, None])
        # Only the light hours: at night it is 0 without asking.
        asked = np.isfinite(mean) & (sky.clear > 0.0)
        answer = np.full(len(sky), np.nan)
        if asked.any():
            x = paper_features(filled[asked] * geometry.rated_kw, record.starts[asked], geometry)
            answer[asked] = model.predict_kw(x, sky.clear[asked], 1.0)
        return with_residual_quantiles(_or_usual(answer, sky), record, sky, geometry.rated_kw)

    return method


def lag_shares(sky: SkySeen) -> Floats:
    """Power at the same UTC time of the five days before, oldest first, NaN where unknown.

    Returns:
        Shape (interval, 5), shares of the rating.
    """
    n = len(sky)
    lags = np.full((n, LAG_DAYS), np.nan)
    for column, days in enumerate(range(LAG_DAYS, 0, -1)):
        back = days * _DAY
        lags[back:, column] = sky.power[: max(n - back, 0)]
    return lags


def _mean_of_known(lags: Floats) -> Floats:
    """Mean of each row without its NaN; NaN where nothing else is, shape (interval,)."""
    known = np.isfinite(lags)
    count = known.sum(axis=1)
    total = np.where(known, lags, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _or_usual(share: Floats, sky: SkySeen) -> Floats:
    """A forecast where there is one, the usual sky elsewhere, and 0 at night."""
    found = np.where(np.isfinite(share), np.clip(share, 0.0, 1.0), climatology_share(sky))
    return np.where(sky.clear > 0.0, found, 0.0)
