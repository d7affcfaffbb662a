"""Quantiles around any mean forecast: what its errors were in situations like this one.

The errors of the past are sorted by clear-sky power and recent variability (`sky.SkySeen.group`),
the newest few hundred of each group are kept, and their quantiles are laid around the mean. This
is the uncertainty of every method that has none of its own, and the reference a better one must
beat.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forecasting.clearsky import Floats
from forecasting.record import LEVELS, PlantRecord, QuantileForecast
from forecasting.sky import GROUPS, SkySeen

KEPT = 500
"""Errors kept for each group: a 5 % quantile then rests on 25 of them, and about a season."""

# With fewer errors than this in its group a quantile of 5 % is a guess; those of all groups,
# scaled by the sun, serve until then.
_ENOUGH = 40

# Keeps the ratio of an error to a clear sky that gives almost nothing in bounds.
_LEAST_CLEAR = 1e-3

START_ERRORS = (-0.17, -0.11, -0.04, 0.0, 0.04, 0.11, 0.17)
"""Quantiles of the error before anything was measured, as shares of the clear-sky power [1].

Rounded from smart persistence at four places: what a first day should look like, no more."""


class ResidualBins:
    """Errors of one method at one plant, advanced one interval at a time."""

    def __init__(self) -> None:
        self._newest: list[deque[float]] = [deque() for _ in range(GROUPS)]
        self._sorted: list[list[float]] = [[] for _ in range(GROUPS)]
        # Of all groups, as shares of the clear sky: for groups not met yet.
        self._all_newest: deque[float] = deque()
        self._all_sorted: list[float] = []

    def around(self, mean: float, group: int, clear: float) -> tuple[float, ...]:
        """Quantiles at `LEVELS` around a mean, ascending, within [0, 1], shares of the rating."""
        errors = self._sorted[group]
        if len(errors) >= _ENOUGH:
            found = _quantiles(errors)
        elif len(self._all_sorted) >= _ENOUGH:
            found = tuple(e * clear for e in _quantiles(self._all_sorted))
        else:
            found = tuple(e * clear for e in START_ERRORS)
        return tuple(min(max(mean + e, 0.0), 1.0) for e in found)

    def learn(self, error: float, group: int, clear: float) -> None:
        """Take in what a daylight interval measured: truth − mean, as a share of the rating."""
        _push(self._newest[group], self._sorted[group], error)
        _push(self._all_newest, self._all_sorted, error / max(clear, _LEAST_CLEAR))

    def learn_all(self, errors: Floats, groups: NDArray[np.int64], clear: Floats) -> None:
        """Take in many daylight intervals, oldest first, as `learn` does one after the other.

        Args:
            errors: Truth − mean of each, finite, shape (interval,), shares of the rating.
            groups: Kind of situation of each.
            clear: Clear sky of each, shares of the rating.
        """
        for group in np.unique(groups).tolist():
            newest = _newest([*self._newest[group], *errors[groups == group].tolist()])
            self._newest[group], self._sorted[group] = newest, sorted(newest)
        scaled = (errors / np.maximum(clear, _LEAST_CLEAR)).tolist()
        self._all_newest = _newest([*self._all_newest, *scaled])
        self._all_sorted = sorted(self._all_newest)

    def to_json(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON holds it."""
        return {
            "groups": [[round(e, 5) for e in newest] for newest in self._newest],
            "all": [round(e, 5) for e in self._all_newest],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "ResidualBins":
        """The state that `to_json` wrote.

        Raises:
            ValueError: it holds another number of groups, or what is no finite number.
        """
        groups = document["groups"]
        if len(groups) != GROUPS:
            raise ValueError(f"errors of {len(groups)} groups; expected {GROUPS}: start afresh")
        state = cls()
        for group, newest in enumerate(groups):
            state._newest[group] = _checked(newest)
            state._sorted[group] = sorted(state._newest[group])
        state._all_newest = _checked(document["all"])
        state._all_sorted = sorted(state._all_newest)
        return state


def with_residual_quantiles(
    mean: Floats, record: PlantRecord, sky: SkySeen, rated_kw: float
) -> QuantileForecast:
    """Quantiles from the errors before each interval, around a mean forecast.

    Args:
        mean: Forecast mean of every interval, shape (interval,), shares of the rating.
        record: The plant.
        sky: What was known before each interval of it.
        rated_kw: Rating of the plant [kW].
    """
    quantiles, _ = residual_run(mean, sky, ResidualBins())
    mean = np.where(sky.clear > 0.0, np.clip(mean, 0.0, 1.0), 0.0)
    return QuantileForecast(
        starts=record.starts, mean_kw=mean * rated_kw, quantiles_kw=quantiles * rated_kw
    )


def residual_run(mean: Floats, sky: SkySeen, state: ResidualBins) -> tuple[Floats, ResidualBins]:
    """Quantiles of every interval, shape (interval, level), and the state after the last."""
    quantiles = np.zeros((len(sky), len(LEVELS)))
    learnt = sky.daylight & np.isfinite(sky.power) & np.isfinite(mean)
    clear, group, power = sky.clear.tolist(), sky.group.tolist(), sky.power.tolist()
    means = mean.tolist()
    for i in np.flatnonzero(sky.clear > 0.0).tolist():
        quantiles[i] = state.around(means[i], group[i], clear[i])
        if learnt[i]:
            state.learn(power[i] - means[i], group[i], clear[i])
    return quantiles, state


def pinball(quantiles: Sequence[float], truth: float) -> float:
    """Pinball loss of quantiles at `LEVELS`, their sum, in the unit of the truth."""
    levels = zip(LEVELS, quantiles, strict=True)
    return sum((level if truth > q else level - 1.0) * (truth - q) for level, q in levels)


def _quantiles(ascending: Sequence[float]) -> tuple[float, ...]:
    """Quantiles at `LEVELS` of sorted numbers, between neighbours in proportion."""
    last = len(ascending) - 1
    found = []
    for level in LEVELS:
        at = level * last
        low = int(at)
        high = min(low + 1, last)
        found.append(ascending[low] + (at - low) * (ascending[high] - ascending[low]))
    return tuple(found)


def _push(newest: deque[float], ascending: list[float], value: float) -> None:
    newest.append(value)
    insort(ascending, value)
    if len(newest) > KEPT:
        del ascending[bisect_left(ascending, newest.popleft())]


def _newest(values: list[float]) -> deque[float]:
    return deque(values[-KEPT:])


def _checked(values: Sequence[float]) -> deque[float]:
    found = deque(float(v) for v in values)
    if not np.isfinite(np.array(found)).all() or len(found) > KEPT:
        raise ValueError("stored errors are no finite numbers, or too many: start afresh")
    return found
