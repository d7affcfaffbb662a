"""A ladder of methods that know a mean alone, each with binned residuals around it.

The published model, fading persistence and the usual sky, where one of them is asked for rather
than the pooled model: nothing is corrected or calibrated, so that each stays what its name says.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pandas as pd

from forecasting.baselines import climatology_share, fading_persistence_share, lag_shares
from forecasting.calibration.residuals import ResidualBins
from forecasting.clearsky import Floats, PvGeometry
from forecasting.ladder import LadderForecast
from forecasting.paper.features import LAG_DAYS, paper_features
from forecasting.record import LEVELS, PlantRecord, QuantileForecast
from forecasting.runtime import PaperLstm
from forecasting.series import INTERVAL
from forecasting.sky import Newest, SkySeen, skies_next, sky_seen

DAY = 96
"""Intervals of a day."""


class Mean(Protocol):
    """A method that knows a mean alone."""

    def __call__(
        self, sky: SkySeen, lags: Floats, starts: pd.DatetimeIndex, geometry: PvGeometry
    ) -> Floats:
        """Power of each interval, NaN where there is no answer, shape (interval,) [1].

        Args:
            sky: What was known before each interval.
            lags: Power at the same UTC time of the five days before, shape (interval, 5) [1].
            starts: Of the intervals.
            geometry: Of the plant.
        """


class MeanLadder:
    """Methods of one plant, best first, one interval at a time; the last must always answer."""

    def __init__(self, rungs: Sequence[tuple[str, Mean]], geometry: PvGeometry) -> None:
        """Nothing learnt yet.

        Args:
            rungs: name and method, best first.
            geometry: of the plant.
        """
        self._rungs = tuple(rungs)
        self._geometry = geometry
        self._bins = [ResidualBins() for _ in rungs]
        self._pending: tuple[pd.Timestamp, int, float, list[float]] | None = None

    def replay(self, record: PlantRecord) -> None:
        """Learn from a history, as if it had been forecast interval by interval."""
        sky = sky_seen(record, self._geometry)
        lags = lag_shares(sky)
        for (_, mean), bins in zip(self._rungs, self._bins, strict=True):
            answer = mean(sky, lags, record.starts, self._geometry)
            rows = sky.daylight & np.isfinite(sky.power) & np.isfinite(answer)
            bins.learn_all((sky.power - answer)[rows], sky.group[rows], sky.clear[rows])
        self._pending = None

    def next(self, record: PlantRecord) -> LadderForecast:
        """Forecast the interval after the record's last, once its last is learnt from."""
        start = record.starts[-1] + INTERVAL
        power_kw = record.available_kw
        newest = Newest(record=record, available_kw=power_kw, geometry=self._geometry)
        sky = skies_next([newest])
        self._learn_from(newest, start)
        starts, last = pd.date_range(end=start, periods=len(sky), freq=INTERVAL), len(sky) - 1
        lags = np.full((len(sky), LAG_DAYS), np.nan)
        lags[last] = self._lags_next(power_kw)
        means = [float(mean(sky, lags, starts, self._geometry)[last]) for _, mean in self._rungs]
        clear, group = float(sky.clear[last]), int(sky.group[last])
        used = next((i for i, m in enumerate(means) if np.isfinite(m)), len(means) - 1)
        shares = np.zeros(1 + len(LEVELS))
        if clear > 0.0:
            shares[0] = means[used]
            shares[1:] = self._bins[used].around(means[used], group, clear)
            self._pending = (start, group, clear, means) if sky.daylight[last] else None
        kw = shares[None, :] * self._geometry.rated_kw
        return LadderForecast(
            forecast=QuantileForecast(
                starts=pd.DatetimeIndex([start]), mean_kw=kw[:, 0], quantiles_kw=kw[:, 1:]
            ),
            branch=np.array([self._rungs[used][0]]),
            notes=() if used == 0 else (_NO_ANSWER.get(self._rungs[0][0], "it had no answer"),),
        )

    def _lags_next(self, power_kw: Floats) -> Floats:
        """Power five to one days before the interval after a record's last, shape (5,) [1]."""
        rows = len(power_kw) - DAY * np.arange(LAG_DAYS, 0, -1)
        power = power_kw / self._geometry.rated_kw
        return np.where(rows >= 0, power[np.maximum(rows, 0)], np.nan)

    def _learn_from(self, newest: Newest, start: pd.Timestamp) -> None:
        """Learn from the interval forecast last, once it is over."""
        if self._pending is None:
            return
        then, group, clear, means = self._pending
        back = (start - then) // INTERVAL
        if not 0 < back <= min(len(newest.record), LAG_DAYS * DAY):
            return
        self._pending = None
        truth = newest.power_before(back)
        for mean, bins in zip(means, self._bins, strict=True):
            if np.isfinite(mean) and np.isfinite(truth):
                bins.learn(truth - mean, group, clear)


_NO_ANSWER = {
    "paper_lstm": "not all of the five previous days were measured at this time, uncapped",
    "smart_persistence": "no uncapped measurement of the last hour",
}


def usual_sky(
    sky: SkySeen,
    lags: Floats,  # noqa: ARG001 - the protocol's
    starts: pd.DatetimeIndex,  # noqa: ARG001
    geometry: PvGeometry,  # noqa: ARG001
) -> Floats:
    """The usual share of the clear sky; always answers."""
    return climatology_share(sky)


def fading_index(
    sky: SkySeen,
    lags: Floats,  # noqa: ARG001 - the protocol's
    starts: pd.DatetimeIndex,  # noqa: ARG001
    geometry: PvGeometry,  # noqa: ARG001
) -> Floats:
    """The index of a measurement of the hour before stays, that of low sun fades; else NaN."""
    return np.where(sky.recent, fading_persistence_share(sky), np.nan)


def published(model: PaperLstm) -> Mean:
    """The published nine-feature model: answers where all five previous days were measured."""

    def mean(sky: SkySeen, lags: Floats, starts: pd.DatetimeIndex, geometry: PvGeometry) -> Floats:
        known = np.flatnonzero(np.isfinite(lags).all(axis=1))
        answer = np.full(len(sky), np.nan)
        if len(known):
            x = paper_features(lags[known] * geometry.rated_kw, starts[known], geometry)
            answer[known] = model.predict_kw(x, sky.clear[known], 1.0)
        return answer

    return mean
