"""Calibration on line: quantiles that keep their word at this plant, whatever they were taught.

A pooled model's quantiles are right over all plants it was trained on, not at each one. So each
quantile is moved until, over time, the wanted share of truths lies at or below it: up a little
after every truth above it, down a little after every truth below it, in the proportion that
balances at its level. One shift is common to all situations, one belongs to each group of
situations (`sky.group_of`), and both are in units of the model's own width, so that wide forecasts
move far and narrow ones little.

Source: quantile tracking of Angelopoulos, Candès and Tibshirani (2023), DOI
10.48550/arXiv.2307.16895, after Gibbs and Candès (2021), DOI 10.48550/arXiv.2106.00170. The
long-run share holds for any sequence of truths; the groups and the shrinking steps are ours.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from forecasting.record import LEVELS
from forecasting.sky import GROUPS

COMMON_STEP = 0.01
"""Step of the common shifts, in widths [1]: a change of the plant is followed in about a week of
light hours, and chance moves a quantile by some hundredths of a width."""

GROUP_STEP = 0.02
"""Smallest step of a group's shifts, in widths [1]. A group is met far less often."""

_FIRST_STEP = 0.10
_SETTLES = 60.0
# A group's step is _FIRST_STEP when first met and falls as 1 / √(1 + met / _SETTLES), so that the
# first days count and later chance does not.

_WIDEST = 3.0
# No shift moves a quantile by more widths than this: a fault of the plant must not make the bands
# useless for weeks after it.

_LEAST_WIDTH = 0.004
# Least width, as a share of the rating: a model that is sure under a clear sky must be movable.


class Calibration:
    """Shifts of the quantiles of one model at one plant, advanced one interval at a time."""

    __slots__ = ("_common", "_met", "_own")

    def __init__(self) -> None:
        n = len(LEVELS)
        self._common = [0.0] * n
        self._own = [[0.0] * n for _ in range(GROUPS)]
        self._met = [0] * GROUPS

    def calibrated(self, raw: Sequence[float], group: int) -> list[float]:
        """Quantiles a model gave, moved: ascending and within [0, 1].

        Args:
            raw: Its quantiles at `LEVELS`, shares of the rating.
            group: Kind of situation, see `sky.group_of`.
        """
        moved = sorted(self._moved(raw, group))
        return [min(max(q, 0.0), 1.0) for q in moved]

    def learn(self, raw: Sequence[float], group: int, truth: float) -> float:
        """Take in what a daylight interval measured, as a share of the rating.

        A quantile that lies with the truth at 0 or at the rating is left alone: there the bound
        decided, not the quantile.

        Returns:
            Pinball loss of the quantiles as they were, sum over `LEVELS`, shares of the rating.
        """
        loss = 0.0
        common, own, met = self._common, self._own[group], self._met[group]
        step = max(GROUP_STEP, _FIRST_STEP / (1.0 + met / _SETTLES) ** 0.5)
        # A replay comes here thousands of times for each plant, so nothing is called.
        for k, q in enumerate(self._moved(raw, group)):
            if (truth >= 1.0 and q >= 1.0) or (truth <= 0.0 and q <= 0.0):
                continue
            push = LEVELS[k] if truth > q else LEVELS[k] - 1.0
            loss += push * (truth - min(max(q, 0.0), 1.0))
            shift, shift_own = common[k] + COMMON_STEP * push, own[k] + step * push
            common[k] = shift if -_WIDEST < shift < _WIDEST else _bounded(shift)
            own[k] = shift_own if -_WIDEST < shift_own < _WIDEST else _bounded(shift_own)
        self._met[group] = met + 1
        return loss

    def _moved(self, raw: Sequence[float], group: int) -> list[float]:
        width = max(0.5 * (raw[-2] - raw[1]), _LEAST_WIDTH)
        shifts = zip(raw, self._common, self._own[group], strict=True)
        return [q + (common + own) * width for q, common, own in shifts]

    def to_json(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON holds it."""
        return {"common": self._common, "own": self._own, "met": self._met}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Calibration":
        """The state that `to_json` wrote.

        Raises:
            ValueError: it is of another form, or holds what is no finite number.
        """
        common = np.array(document["common"], dtype=np.float64)
        own = np.array(document["own"], dtype=np.float64)
        met = [int(m) for m in document["met"]]
        shapes = (common.shape, own.shape, len(met))
        if shapes != ((len(LEVELS),), (GROUPS, len(LEVELS)), GROUPS):
            raise ValueError(f"stored calibration has the form {shapes}: start afresh")
        if not (np.isfinite(common).all() and np.isfinite(own).all() and min(met) >= 0):
            raise ValueError("stored calibration holds what is no number: start afresh")
        state = cls()
        state._common, state._own, state._met = common.tolist(), own.tolist(), met
        return state


def _bounded(shift: float) -> float:
    return min(max(shift, -_WIDEST), _WIDEST)
