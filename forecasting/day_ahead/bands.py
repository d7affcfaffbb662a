"""Bands of the day ahead that keep their word at this plant: moved by what those of late missed.

Quantiles that were fitted over several plants and years are too narrow at one plant and in one
season, too wide at another. So the days ahead of the past 45 days are forecast again, each from
what was known then, and held against what was measured since: a quantile moves to where the wanted
share of truths would have lain below it, in units of half the 80 % band. Days that are not over yet
tell nothing. A few days say little, so only a share of the way is gone, more with every day.

Nothing is kept from one issue to the next: the same record gives the same bands, whoever asks.

Source: split conformal quantile regression, Romano, Patterson and Candès (2019), DOI
10.48550/arXiv.1905.03222, on the newest days; the share of the way is ours.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from forecasting.clearsky import Floats, PvGeometry
from forecasting.day_ahead.features import DAY, Features, Ints, timeline
from forecasting.record import LEVELS, PlantRecord
from forecasting.series import INTERVAL
from forecasting.sky import INDEX_MAX, LOW_SUN_SHARE

LevelsOf = Callable[[Features, Ints], Floats]
"""Features and rows of issues → quantiles of the index as fitted, shape (issue, 96, level) [1]."""

LOOK_BACK = 45 * DAY
"""Days ahead that ended within this time are looked at [intervals]."""

_STEP = (
    20  # intervals from one of them to the next: in a day and a quarter all times of day come up
)
_HALF_WAY = 6.0  # days after which half of the way is gone
_LEAST_WIDTH = 0.02  # of half a band, as an index: where nothing was ever seen but clear sky
_CHUNK = 256  # issues worked out at a time


def shifts_before(
    levels_of: LevelsOf, record: PlantRecord, geometry: PvGeometry, starts: pd.DatetimeIndex
) -> Floats:
    """How far the quantiles of some issues are to be moved.

    Args:
        levels_of: What forecasts them.
        record: The plant; nothing from an issue on decides its own shifts.
        geometry: The plant.
        starts: Start of the first interval of each issue, ascending, any zone, shape (issue,).

    Returns:
        Shape (issue, level), in half widths of the 80 % band [1].
    """
    shifts = np.zeros((len(starts), len(LEVELS)))
    if not len(record):
        return shifts
    starts = starts.tz_convert("UTC")  # days of one length, whatever the clocks do
    issued = _issued(max(record.starts[0], starts[0] - (LOOK_BACK + DAY) * INTERVAL), starts[-1])
    if not len(issued):
        return shifts
    missed = _missed(levels_of, record, geometry, issued)
    over = issued + DAY * INTERVAL
    ends = over.searchsorted(starts, side="right")
    begins = issued.searchsorted(starts - (LOOK_BACK + DAY) * INTERVAL)
    windows, which = np.unique(np.stack([begins, ends], axis=1), axis=0, return_inverse=True)
    found = np.array([_shift(missed[begin:end]) for begin, end in windows])
    return found[which.ravel()]


def moved(levels: Floats, shifts: Floats) -> Floats:
    """Quantiles of the index, moved: ascending, within [0, 1.2].

    Args:
        levels: As fitted, shape (issue, interval, level) [1].
        shifts: Of `shifts_before`, shape (issue, level) [1].
    """
    found = levels + shifts[:, None] * _half_width(levels)[..., None]
    return np.sort(np.clip(found, 0.0, INDEX_MAX), axis=-1)


def _issued(first: pd.Timestamp, last: pd.Timestamp) -> pd.DatetimeIndex:
    """Issues of the past that are looked at: the same ones, whoever asks and when."""
    return pd.date_range(first.ceil(_STEP * INTERVAL), last - DAY * INTERVAL, freq=_STEP * INTERVAL)


def _missed(
    levels_of: LevelsOf, record: PlantRecord, geometry: PvGeometry, issued: pd.DatetimeIndex
) -> Floats:
    """Truth minus quantile, in half widths; NaN where nothing is told, shape (issue, 96, level)."""
    line = timeline(record, geometry, issued[0], issued[-1])
    features = Features(line)
    rows = line.issues[::_STEP]
    found = np.empty((len(rows), DAY, len(LEVELS)))
    for first in range(0, len(rows), _CHUNK):
        part = slice(first, first + _CHUNK)
        at = rows[part, None] + np.arange(DAY)
        clear = line.clear[at]
        told = line.daylight[at] & (clear >= LOW_SUN_SHARE)
        truth = np.where(told, line.power[at] / np.maximum(clear, LOW_SUN_SHARE), np.nan)
        levels = levels_of(features, rows[part])
        # Where both are at the rating, the rating decided and not the quantile.
        highest = 1.0 / np.maximum(clear, LOW_SUN_SHARE)
        apart = np.clip(truth, 0.0, highest)[..., None] - np.minimum(levels, highest[..., None])
        found[part] = apart / _half_width(levels)[..., None]
    return found


def _shift(missed: Floats) -> Floats:
    """Shape (level,): where the wanted share of truths lies below, and not all the way there."""
    told = np.isfinite(missed[..., 0])
    days = np.count_nonzero(told.any(axis=1)) * _STEP / DAY
    if not days:
        return np.zeros(len(LEVELS))
    known = missed[told]
    there = [np.quantile(known[:, k], level) for k, level in enumerate(LEVELS)]
    return days / (days + _HALF_WAY) * np.array(there)


def _half_width(levels: Floats) -> Floats:
    """Half of the 80 % band, shape (issue, interval) [1]."""
    return np.maximum(0.5 * (levels[..., -2] - levels[..., 1]), _LEAST_WIDTH)
