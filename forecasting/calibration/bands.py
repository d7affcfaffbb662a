"""The bands of a model at one plant: its own, calibrated, or those of its past errors.

Where the plant is not what the model takes it for, its bands may be many times too narrow, and
what is learnt in units of their width does not mend that. Those of its past errors then serve,
which know nothing of the model.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from forecasting.calibration.conformal import Calibration
from forecasting.calibration.contest import BANDS_LOST, Contest
from forecasting.calibration.correction import Correction, correction_run
from forecasting.calibration.residuals import ResidualBins, pinball
from forecasting.clearsky import Floats, PvGeometry
from forecasting.record import LEVELS, PlantRecord, QuantileForecast
from forecasting.sky import SkySeen, sky_seen


class Bands:
    """Both kinds of one model at one plant, advanced one interval at a time."""

    __slots__ = ("_calibration", "_contest", "_errors")

    def __init__(self) -> None:
        self._calibration = Calibration()
        self._errors = ResidualBins()
        self._contest = Contest(BANDS_LOST)

    @property
    def lost(self) -> bool:
        """Whether the model's own have lost, and those of its past errors serve."""
        return self._contest.lost

    def around(self, raw: Sequence[float], mean: float, group: int, clear: float) -> list[float]:
        """Mean and quantiles at `LEVELS`, ascending, within [0, 1], shares of the rating.

        Args:
            raw: Quantiles of the model as it gave them, shares of the rating.
            mean: Of the model, corrected; kept within its own 90 % band where that serves.
            group: Kind of situation, see `sky.group_of`.
            clear: Clear sky, share of the rating.
        """
        if self._contest.lost:
            mean = _share(mean)
            return [mean, *self._errors.around(mean, group, clear)]
        quantiles = self._calibration.calibrated(raw, group)
        return [min(max(mean, quantiles[0]), quantiles[-1]), *quantiles]

    def learn(
        self, raw: Sequence[float], mean: float, group: int, clear: float, truth: float
    ) -> None:
        """Take in what a daylight interval measured, as a share of the rating; see `around`."""
        mean = _share(mean)
        errors = pinball(self._errors.around(mean, group, clear), truth)
        self._contest.learn(self._calibration.learn(raw, group, truth), errors)
        self._errors.learn(truth - mean, group, clear)

    def to_json(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON holds it."""
        return {
            "calibration": self._calibration.to_json(),
            "errors": self._errors.to_json(),
            "contest": self._contest.to_json(),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Bands":
        """The state that `to_json` wrote.

        Raises:
            ValueError: it is of another form, or holds what is no finite number.
        """
        state = cls()
        state._calibration = Calibration.from_json(document["calibration"])
        state._errors = ResidualBins.from_json(document["errors"])
        state._contest = Contest.from_json(document["contest"], BANDS_LOST)
        return state


def calibrated(
    forecast: QuantileForecast, record: PlantRecord, geometry: PvGeometry
) -> QuantileForecast:
    """A model's forecast of a record as in service, each interval by what was learnt before it.

    The mean is corrected (`correction`), the quantiles are those of `Bands`.
    """
    sky, rated_kw = sky_seen(record, geometry), geometry.rated_kw
    raw = forecast.quantiles_kw / rated_kw
    mean, _ = correction_run(forecast.mean_kw / rated_kw, sky, Correction())
    found = _run(raw, mean, sky) * rated_kw
    return QuantileForecast(starts=forecast.starts, mean_kw=found[:, 0], quantiles_kw=found[:, 1:])


def _run(raw: Floats, mean: Floats, sky: SkySeen) -> Floats:
    """Mean and quantiles of every interval, shape (interval, 1 + level): NaN where `raw` is."""
    sound = np.isfinite(raw).all(axis=1) & np.isfinite(mean)
    found = np.where(sound[:, None], np.zeros((1, 1 + len(LEVELS))), np.nan)
    learnt = (sky.daylight & np.isfinite(sky.power)).tolist()
    rows, means, power = raw.tolist(), mean.tolist(), sky.power.tolist()
    group, clear = sky.group.tolist(), sky.clear.tolist()
    bands = Bands()
    for i in np.flatnonzero(sound & (sky.clear > 0.0)).tolist():
        found[i] = bands.around(rows[i], means[i], group[i], clear[i])
        if learnt[i]:
            bands.learn(rows[i], means[i], group[i], clear[i], power[i])
    return found


def _share(mean: float) -> float:
    return min(max(mean, 0.0), 1.0)
