"""What is remembered of the sky over a record: newest, usual and best clear-sky index.

Each function answers for all targets `at`, from the intervals before them.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.clearsky import Floats
from forecasting.pooled.observed import HISTORY
from forecasting.pooled.sky import DAY_INTERVALS
from forecasting.sky import INDEX_MAX, INDEX_UNKNOWN

# Indices that tell what the sky was like before a gap or a cap: one hour.
_NEWEST = 4

# Intervals under high sun that the best index needs: two hours.
_TOP_NEEDS = 8

_HIGH_SUN = 0.2

# Sum of the clear sky of a day, in intervals at the full rating.
_CLEAR_DAY = 25.0


def last_known(k: Floats, at: NDArray[np.int64]) -> tuple[Floats, Floats, Floats, Floats]:
    """What the sky was like when it was last seen, however many intervals lie between.

    Returns:
        Newest index of the last day, NaN where none; its age, 0 for the interval before the
        target and 1 for a day; mean and standard deviation of the newest four; (target,) each.
    """
    known = np.isfinite(k)
    places = np.concatenate([np.zeros(_NEWEST, dtype=np.int64), np.flatnonzero(known)])
    # Number of known intervals before each target: the newest stands at its end.
    count = np.concatenate([[0], np.cumsum(known)])[at]
    newest = places[count[:, None] + np.arange(_NEWEST)]
    usable = (newest >= (at - DAY_INTERVALS)[:, None]) & known[newest]
    values = np.where(usable, k[newest], 0.0)
    found = usable[:, -1]
    age = np.where(found, (at - 1 - newest[:, -1]) / DAY_INTERVALS, 1.0)
    total = np.maximum(usable.sum(axis=1), 1)
    mean = values.sum(axis=1) / total
    std = np.sqrt((usable * (values - mean[:, None]) ** 2).sum(axis=1) / total)
    return np.where(found, values[:, -1], np.nan), age, mean, std


def usual_index(power: Floats, clear: Floats, at: NDArray[np.int64]) -> list[tuple[Floats, Floats]]:
    """Energy-weighted index of the last day and the last five, and how much sun each rests on."""
    known = np.isfinite(power)
    made = np.concatenate([[0.0], np.cumsum(np.where(known, power, 0.0))])
    sun = np.concatenate([[0.0], np.cumsum(np.where(known, clear[: len(power)], 0.0))])
    found: list[tuple[Floats, Floats]] = []
    for days in (1, 5):
        before = at - days * DAY_INTERVALS
        energy, sunny = made[at] - made[before], sun[at] - sun[before]
        # One interval of full sun at the unknown index keeps a dark morning harmless.
        index = np.minimum((energy + INDEX_UNKNOWN) / (sunny + 1.0), INDEX_MAX)
        found.append((index, np.minimum(sunny / (_CLEAR_DAY * days), 1.0)))
    return found


def top_index(k: Floats, clear: Floats, at: NDArray[np.int64]) -> Floats:
    """90 % quantile of the index under high sun in the last five days; 1 when unknown.

    What a clear sky gives at this plant, whose clear-sky model, losses and rating all err.
    """
    high = np.where(clear[: len(k)] > _HIGH_SUN, k, np.nan)
    if len(at) == 1:
        seen = high[at[0] - (HISTORY - 1) : at[0]]
        return np.array([_quantile_90(seen[np.isfinite(seen)])])
    rolled = pd.Series(high).rolling(HISTORY - 1, min_periods=_TOP_NEEDS).quantile(0.9)
    return np.asarray(rolled.fillna(1.0), dtype=np.float64)[at - 1]


def _quantile_90(values: Floats) -> float:
    """As pandas does for a rolling window, but ten times as fast for one."""
    if len(values) < _TOP_NEEDS:
        return 1.0
    place = 0.9 * (len(values) - 1)
    below = int(place)
    above = min(below + 1, len(values) - 1)
    ordered = np.partition(values, (below, above))
    return float(ordered[below] + (place - below) * (ordered[above] - ordered[below]))


def spread(k: Floats, known: Floats) -> Floats:
    """Standard deviation of the known indices of each row, shape (target,) [1].

    Args:
        k: Index, 0 where unknown, shape (target, step).
        known: 1 where known, else 0, shape (target, step).
    """
    count = np.maximum(known.sum(axis=1), 1.0)
    mean = k.sum(axis=1) / count
    return np.asarray(np.sqrt((known * (k - mean[:, None]) ** 2).sum(axis=1) / count))
