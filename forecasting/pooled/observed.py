"""A plant's record as the pooled model reads it: shares of the rating, unknown intervals first."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forecasting.clearsky import Floats
from forecasting.pooled.sky import DAY_INTERVALS

LAGS = 12
"""Steps of the LSTM: three hours."""

HISTORY = 5 * DAY_INTERVALS + 1
"""Intervals before the target that a forecast may depend on."""

RECENT = 16
"""A forecast is made when something was measured in this many intervals: four hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A record in shares of the rating, with unknown intervals in front."""

    front: int
    """How many there are: the first target needs `HISTORY` intervals before it."""

    available: Floats
    """Mean available power; NaN where unknown, shape (interval,) [1]."""
    thirds: Floats
    """The same of each third; under a cap what was made in it, shape (interval, 3) [1]."""
    floor: Floats
    """Power made under a cap; NaN where no cap was or nothing was measured, (interval,) [1]."""
    cap: Floats
    """Cap in force; infinity where none, shape (interval,) [1]."""


def observed(
    parts_kw: Floats,
    floor_kw: Floats,
    cap_kw: Floats,
    rated_kw: float,
    *,
    made_kw: Floats | None = None,
    front: int = HISTORY,
    one: bool = False,
) -> Observed:
    """Fields of a `PlantRecord` as the features want them.

    With `front` unknown intervals before them; `one`: only the interval after them is forecast.
    Whatever is not finite becomes unknown; what is negative, as a meter at night, becomes 0.
    """
    filled, known = _known(parts_kw, rated_kw)
    total = known.sum(axis=1)
    mean = filled.sum(axis=1) / np.maximum(total, 1)
    enough = total * 3 >= parts_kw.shape[1] * 2
    # Thirds are wanted of the steps alone.
    late = slice(max(len(parts_kw) - LAGS, 0) if one else 0, None)
    capped = ~np.isposinf(cap_kw)
    thirds = np.full((len(parts_kw), 3), np.nan)
    thirds[late] = np.where(capped[late, None], np.nan, _thirds(filled[late], known[late]))
    if made_kw is not None and capped[late].any():
        made = _thirds(*_known(made_kw[late], rated_kw))
        thirds[late] = np.where(capped[late, None], made, thirds[late])
    floor = np.clip(floor_kw / rated_kw, 0.0, 2.0)
    floor = np.where(capped & np.isfinite(floor), floor, np.nan)
    cap = np.clip(cap_kw / rated_kw, 0.0, None)
    return Observed(
        front=front,
        available=_after(front, np.where(enough & ~capped, mean, np.nan)),
        thirds=_after(front, thirds),
        floor=_after(front, floor),
        # A cap of unknown height may bind at whatever was made.
        cap=_after(front, np.where(np.isnan(cap), np.nan_to_num(floor), cap), np.inf),
    )


def _known(power_kw: Floats, rated_kw: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Shares of the rating, 0 where unknown, and where they are known; both as `power_kw`."""
    raw = power_kw / rated_kw
    known = np.isfinite(raw)
    return np.clip(np.where(known, raw, 0.0), 0.0, 2.0), known


def _thirds(filled: Floats, known: NDArray[np.bool_]) -> Floats:
    """Means of each third that has two thirds of its parts, shape (interval, 3)."""
    n, count = filled.shape
    if count == 1:
        return np.full((n, 3), np.nan)
    total = known.reshape(n, 3, -1).sum(axis=2)
    sums = filled.reshape(n, 3, -1).sum(axis=2)
    return np.where(total * 3 >= count // 3 * 2, sums / np.maximum(total, 1), np.nan)


def _after(front: int, values: Floats, nothing: float = np.nan) -> Floats:
    if front == 0:
        return values
    return np.concatenate([np.full((front, *values.shape[1:]), nothing), values])


def answerable(seen: Observed, targets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether anything was measured within `RECENT` before each target, shape (target,)."""
    told = np.isfinite(seen.available) | np.isfinite(seen.floor)
    count = np.concatenate([[0], np.cumsum(told)])
    at = targets + seen.front
    return np.asarray(count[at] > count[at - RECENT])
