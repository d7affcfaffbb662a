"""Correction on line of a model's mean: what a pooled model gets wrong at this one plant.

A model taught at other places weighs the last minutes against the last hour as was best there. Here
its error is explained, by least squares, from eight numbers: how far simple forecasts lie from the
model's, its last two errors, and the clear sky. Old intervals fade within a season, and a prior
holds all weights at zero until enough was seen, so that day one is the model as trained.

It acts only where the interval before was measured: elsewhere those numbers mean something else.
Method: recursive least squares with forgetting and a constant prior (Ljung 1999, System
Identification, §11.2).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from forecasting.baselines import climatology_share, fading_persistence_share, persistence_share
from forecasting.clearsky import Floats
from forecasting.sky import INDEX_MAX, LOW_SUN_SHARE, SkySeen

INPUTS = (
    "clear", "smart", "usual", "persistent", "smart_before", "smart_late", "error", "error_before",
)  # fmt: skip
"""Clear sky; differences of simple forecasts from the model; its errors of the last two
intervals. `smart_before` and `smart_late` are fading persistence from the interval before the last
and from the last five minutes."""

FORGETTING = 0.9998
"""Weight of an interval against the one before [1]: half after 3500 light intervals, a season."""

PRIOR = 10.0
"""Weight of the prior that all is zero, in squared shares of the rating: a week of broken clouds
outweighs it, the first day does not."""

_FADING = (1.0 - FORGETTING) * PRIOR * np.eye(len(INPUTS))

# Intervals learnt from in one step: fading within them stays near 1, and they take 0.3 MB.
_AT_ONCE = 512

# No correction moves a forecast by more, as a share of the rating: eight times the largest usual
# one, and what a plant needs that follows the sun; a fault must not be learnt into nonsense.
_MOST = 0.5


class Correction:
    """Weights of `INPUTS` for one model at one plant, advanced one interval at a time."""

    __slots__ = ("_covered", "_explained", "_weights")

    def __init__(self) -> None:
        n = len(INPUTS)
        self._covered: Floats = PRIOR * np.eye(n)
        self._explained: Floats = np.zeros(n)
        self._weights: Floats = np.zeros(n)

    def of(self, inputs: Floats) -> float:
        """What to add to the mean, share of the rating; 0 where an input is unknown."""
        found = float(self._weights @ inputs)
        return min(max(found, -_MOST), _MOST) if np.isfinite(found) else 0.0

    def learn(self, inputs: Floats, error: float) -> None:
        """Take in what a daylight interval measured.

        Args:
            inputs: As they were when it was forecast, shape (input,).
            error: Truth − the model's own mean, share of the rating.
        """
        if not (np.isfinite(inputs).all() and np.isfinite(error)):
            return
        covered = FORGETTING * self._covered + np.outer(inputs, inputs) + _FADING
        self._covered = np.asarray(covered, dtype=np.float64)
        self._explained = FORGETTING * self._explained + error * inputs
        self._weights = np.asarray(np.linalg.solve(self._covered, self._explained))

    def run(self, inputs: Floats, errors: Floats) -> Floats:
        """What to add to each mean; each is learnt from before the next, as `learn` does.

        Args:
            inputs: Of each interval, oldest first, shape (interval, input).
            errors: Truth − the model's own mean, shape (interval,), shares of the rating.

        Returns:
            Shape (interval,), shares of the rating; 0 where an input is unknown.
        """
        told = np.asarray(np.isfinite(inputs).all(axis=1))
        learnt = np.flatnonzero(told & np.isfinite(errors))
        # Weights after each interval that is learnt from, before them those of now.
        weights = [self._weights[None, :]]
        for begin in range(0, len(learnt), _AT_ONCE):
            rows = learnt[begin : begin + _AT_ONCE]
            weights.append(self._learn_some(inputs[rows], errors[rows]))
        before = np.searchsorted(learnt, np.arange(len(inputs)))
        used = np.concatenate(weights)[before]
        found = (used * np.where(told[:, None], inputs, 0.0)).sum(axis=1)
        return np.asarray(np.clip(found, -_MOST, _MOST), dtype=np.float64)

    def _learn_some(self, inputs: Floats, errors: Floats) -> Floats:
        """Weights after each of some intervals, all of them known, shape (interval, input).

        The sums that `learn` fades step by step, written as one: F^k (S + Σ F^-j x_j), j ≤ k.
        """
        fade = FORGETTING ** np.arange(1, len(inputs) + 1)
        outer = inputs[:, :, None] * inputs[:, None, :] + _FADING
        covered = np.cumsum(outer / fade[:, None, None], axis=0) + self._covered
        covered *= fade[:, None, None]
        explained = np.cumsum((errors / fade)[:, None] * inputs, axis=0) + self._explained
        explained *= fade[:, None]
        weights = np.linalg.solve(covered, explained[:, :, None])[:, :, 0]
        self._covered, self._explained, self._weights = covered[-1], explained[-1], weights[-1]
        return np.asarray(weights)

    def to_json(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON holds it."""
        return {
            "inputs": list(INPUTS),
            "covered": self._covered.tolist(),
            "explained": self._explained.tolist(),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Correction":
        """The state that `to_json` wrote.

        Raises:
            ValueError: it is of other inputs, or holds what is no finite number.
        """
        covered = np.array(document["covered"], dtype=np.float64)
        explained = np.array(document["explained"], dtype=np.float64)
        n = len(INPUTS)
        if tuple(document["inputs"]) != INPUTS or (covered.shape, explained.shape) != (
            (n, n),
            (n,),
        ):
            raise ValueError("stored correction is of other inputs: start afresh")
        if not (np.isfinite(covered).all() and np.isfinite(explained).all()):
            raise ValueError("stored correction holds what is no number: start afresh")
        state = cls()
        state._covered, state._explained = covered, explained
        state._weights = np.asarray(np.linalg.solve(covered, explained))
        return state


def correction_run(mean: Floats, sky: SkySeen, state: Correction) -> tuple[Floats, Correction]:
    """Corrected mean of every interval, and the state after the last.

    Args:
        mean: The model's own, NaN where it is silent, shape (interval,), shares of the rating.
        sky: What was known before each interval.
        state: Where to start from; it is advanced.

    Returns:
        Shape (interval,), within [0, 1]: NaN where `mean` is, 0 at night.
    """
    inputs = correction_inputs(sky, mean)
    found = np.where(sky.clear > 0.0, mean, 0.0 * mean)
    error = np.where(sky.daylight, sky.power - mean, np.nan)
    for i in np.flatnonzero((sky.clear > 0.0) & np.isfinite(inputs).all(axis=1)).tolist():
        found[i] += state.of(inputs[i])
        state.learn(inputs[i], float(error[i]))
    return np.clip(found, 0.0, 1.0), state


def correction_inputs(sky: SkySeen, mean: Floats) -> Floats:
    """`INPUTS` of every interval, shape (interval, input), shares of the rating.

    NaN in all of a row whose interval before was not measured, or where the model is silent.

    Args:
        sky: What was known before each interval.
        mean: The model's own mean, NaN where it is silent, shape (interval,).
    """
    n = len(sky)
    smart = fading_persistence_share(sky)
    error = np.where(sky.clear > LOW_SUN_SHARE, sky.power - mean, 0.0)
    before_kw, late = _back(sky.power, 2), _back(sky.late, 1)
    columns = (
        sky.clear,
        smart - mean,
        climatology_share(sky) - mean,
        persistence_share(sky) - mean,
        _or_zero(_kept_index(before_kw, _back(sky.clear, 2), sky) - smart),
        _or_zero(_kept_index(late, _clear_late(sky.clear), sky) - mean),
        _or_zero(_back(error, 1)),
        _or_zero(_back(error, 2)),
    )
    fresh = np.isfinite(mean) & (sky.last == np.arange(n) - 1) & (sky.last >= 0)
    return np.where(fresh[:, None], np.column_stack(columns), np.nan)


def _kept_index(power: Floats, clear: Floats, sky: SkySeen) -> Floats:
    """Fading persistence from another measurement, as `baselines.fading_persistence_kw`."""
    index = np.clip(power / np.maximum(clear, LOW_SUN_SHARE), 0.0, INDEX_MAX)
    blended = index + (1.0 - np.clip(clear / LOW_SUN_SHARE, 0.0, 1.0)) * sky.usual
    return np.clip(np.minimum(blended, INDEX_MAX) * sky.clear, 0.0, 1.0)


def _clear_late(clear: Floats) -> Floats:
    """Clear sky of the last third of the interval before, by a straight line between the means."""
    before = np.nan_to_num(_back(clear, 1))
    return before + (clear - before) / 3.0


def _back(values: Floats, rows: int) -> Floats:
    """What stood so many rows before; NaN before the first."""
    return np.concatenate([np.full(min(rows, len(values)), np.nan), values[:-rows]])


def _or_zero(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, 0.0)
