"""Whether a model still earns its place at a plant: its losses beside those of something simple.

A model may meet what it was never taught: polls of another kind, a plant half in the shade or on a
tracker, a sensor that drifts. It then answers, finite and in order, and is wrong. So the losses of
both are followed, and a model that has clearly lost is passed over until it has caught up. Its mean
meets fading persistence in squared errors; its bands meet those of its own past errors in pinball
loss.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

MEMORY = 400
"""Light intervals that count, by fading: about ten days."""

LEAST = 150
"""Intervals to have met before anything is judged: four days; one bad day is no verdict."""

MEAN_LOST = 1.25**2
"""Squared error over that of fading persistence from which the mean has lost [1]. At four plants,
also at such as it was not trained on, a sound model stayed under 1.22², and under 1.07² for 95 % of
time."""

BANDS_LOST = 1.1
"""Pinball loss over that of past errors from which the bands have lost [1]. At the same plants
sound bands stayed under 1.02."""


class Contest:
    """Losses of a model and of another at one plant, advanced one interval at a time."""

    __slots__ = ("_met", "_model", "_most", "_other")

    def __init__(self, most: float) -> None:
        """Nothing met.

        Args:
            most: ratio of the losses from which the model has lost [1].
        """
        self._most = most
        self._model = 0.0
        self._other = 0.0
        self._met = 0

    @property
    def lost(self) -> bool:
        """Whether the other should serve now."""
        return self._met >= LEAST and self._model > self._most * self._other

    def learn(self, model: float, other: float) -> None:
        """Take in the losses of both in one interval."""
        self._met += 1
        new = max(1.0 / self._met, 1.0 / MEMORY)
        self._model += new * (model - self._model)
        self._other += new * (other - self._other)

    def to_json(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON holds it."""
        return {"model": self._model, "other": self._other, "met": self._met}

    @classmethod
    def from_json(cls, document: Mapping[str, Any], most: float) -> "Contest":
        """The state that `to_json` wrote.

        Raises:
            ValueError: it holds what is no finite number, or a negative one.
        """
        state = cls(most)
        state._model, state._other = float(document["model"]), float(document["other"])
        state._met = int(document["met"])
        found = (state._model, state._other, state._met)
        if not (np.isfinite(found).all() and min(found) >= 0):
            raise ValueError(f"stored losses {found} are none: start afresh")
        return state
