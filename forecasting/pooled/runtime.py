"""The pooled model in service: LiteRT and NumPy, no TensorFlow.

    model = PooledLstm(artefact("pv_pooled"))
    model.series(record, geometry)   every interval of the record, each from the rows before it
    model.next(record, geometry)     the one interval after the record's end

Both answer 0 where the clear sky gives nothing, and NaN where nothing was measured in the four
hours before: then a simpler method should be asked. Quantiles are the network's own, to be
calibrated on line (`forecasting.calibration.conformal`).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.clearsky import Floats, PvGeometry
from forecasting.pooled.features import WIDTH, Float32s, rows
from forecasting.pooled.observed import HISTORY, answerable, observed
from forecasting.pooled.sky import PlantSky, SkyDays, interval_number, plant_sky
from forecasting.record import LEVELS, PlantRecord, QuantileForecast
from forecasting.runtime import LiteModel, check_parity, stored_parity
from forecasting.series import INTERVAL
from models import Artefact

INPUT_SHAPE = (WIDTH,)
OUTPUTS = 1 + len(LEVELS)
"""The mean, then the quantiles."""

# Rows run at once: large enough to be fast, small enough to need 10 MB.
_CHUNK = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """Rows of the network, and where in the answer they belong."""

    x: Float32s
    at: NDArray[np.int64]
    clear: Floats
    """Clear-sky power of every target, share of the rating, shape (target,) [1]."""


class PooledLstm:
    """The pooled model from an artefact. Safe to call from several threads."""

    def __init__(self, artefact: Artefact) -> None:
        """Load and check an artefact.

        Raises:
            ParityFault: the runtime does not answer what Keras answered.
            ValueError: the artefact holds no usable model or parity vectors.
            RuntimeError: the runtime lacks an operation of the model.
        """
        # Two, because changing the size of a batch takes longer than one forecast.
        self._one = LiteModel(artefact.content, INPUT_SHAPE)
        self._many = LiteModel(artefact.content, INPUT_SHAPE)
        self._skies = SkyDays()
        self.parity_error = check_parity(self._many, stored_parity(artefact), INPUT_SHAPE)

    def series(self, record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
        """Forecast every interval of a record, each from the rows before it."""
        n = len(record)
        if n == 0:
            return _forecast(record.starts, np.empty((0, OUTPUTS)), geometry)
        sky = plant_sky(geometry, interval_number(record.starts[0]) - HISTORY, n + HISTORY + 1)
        asked = _asked(record, geometry, sky, np.arange(n), n)
        answers = [self._many(asked.x[i : i + _CHUNK]) for i in range(0, len(asked.x), _CHUNK)] or [
            np.empty((0, OUTPUTS), dtype=np.float32)
        ]
        shares = _placed(asked, np.concatenate(answers))
        return _forecast(record.starts, shares, geometry)

    def next(self, record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
        """Forecast the interval after the record's end, from its last five days.

        Raises:
            ValueError: the record is empty, so there is no such interval.
        """
        if len(record) == 0:
            raise ValueError("an empty record has no end to forecast from: pass unknown intervals")
        start = record.starts[-1] + INTERVAL
        used = min(len(record), HISTORY)
        sky = self._skies.of(geometry, interval_number(start) - HISTORY, HISTORY + 1)
        asked = _asked(record, geometry, sky, np.array([used]), used)
        answer = self._one(asked.x) if len(asked.x) else np.empty((0, OUTPUTS), dtype=np.float32)
        return _forecast(pd.DatetimeIndex([start]), _placed(asked, answer), geometry)


def _asked(
    record: PlantRecord, geometry: PvGeometry, sky: PlantSky, targets: NDArray[np.int64], used: int
) -> _Asked:
    """Rows of the targets that the network can and must answer.

    Targets count from the first of the `used` last intervals of the record.
    """
    cut = slice(len(record) - used, None)
    front = len(sky.elevation_deg) - 1 - used
    seen = observed(
        record.parts_kw[cut],
        record.floor_kw[cut],
        record.cap_kw[cut],
        geometry.rated_kw,
        made_kw=None if record.made_kw is None else record.made_kw[cut],
        front=front,
        one=len(targets) == 1,
    )
    clear = sky.mean[targets + front]
    at = np.flatnonzero((clear > 0.0) & answerable(seen, targets))
    if not len(at):
        return _Asked(x=np.empty((0, WIDTH), dtype=np.float32), at=at, clear=clear)
    return _Asked(x=rows(seen, sky, geometry.azimuth_deg, targets[at]), at=at, clear=clear)


def _placed(asked: _Asked, answers: Float32s) -> Floats:
    """Answers of all targets, shape (target, `OUTPUTS`), within [0, 1]; NaN where none."""
    shares = np.full((len(asked.clear), OUTPUTS), np.nan)
    shares[asked.at] = np.clip(answers, 0.0, 1.0)
    # Whatever was measured, no sun gives no power.
    shares[asked.clear <= 0.0] = 0.0
    return shares


def _forecast(starts: pd.DatetimeIndex, shares: Floats, geometry: PvGeometry) -> QuantileForecast:
    power = shares * geometry.rated_kw
    return QuantileForecast(starts=starts, mean_kw=power[:, 0], quantiles_kw=power[:, 1:])
