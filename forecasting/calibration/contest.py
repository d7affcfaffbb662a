"""Whether a model still earns its place at a plant: its errors beside fading persistence's.

A model may meet what it was never taught: polls of another kind, a plant half in the shade, a
sensor that drifts. It then answers, finite and in order, and is wrong. So the squared errors of
both are followed, and a model that has clearly lost is not asked until it has caught up.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

MEMORY = 400
"""Light intervals that count, by fading: about ten days."""

LEAST = 150
"""Intervals to have met before anything is judged: four days; one bad day is no verdict."""

LOST = 1.25
"""RMSE over that of fading persistence from which the model has lost [1]. At four plants, also at
such as it was not trained on, a sound model stayed under 1.22, and under 1.07 for 95 % of time."""


class Contest:
    """Errors of a model and of fading persistence at one plant, advanced one interval at a time."""

    __slots__ = ("_met", "_model", "_smart")

    def __init__(self) -> None:
        self._model = 0.0
        self._smart = 0.0
        self._met = 0

    @property
    def lost(self) -> bool:
        """Whether the model should not be asked now."""
        return self._met >= LEAST and self._model > LOST**2 * self._smart

    def learn(self, model_error: float, smart_error: float) -> None:
        """Take in the errors of both in one interval, shares of the rating."""
        self._met += 1
        new = max(1.0 / self._met, 1.0 / MEMORY)
        self._model += new * (model_error**2 - self._model)
        self._smart += new * (smart_error**2 - self._smart)

    def to_json(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON holds it."""
        return {"model": self._model, "smart": self._smart, "met": self._met}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Contest":
        """The state that `to_json` wrote.

        Raises:
            ValueError: it holds what is no finite number, or a negative one.
        """
        state = cls()
        state._model, state._smart = float(document["model"]), float(document["smart"])
        state._met = int(document["met"])
        found = (state._model, state._smart, state._met)
        if not (np.isfinite(found).all() and min(found) >= 0):
            raise ValueError(f"stored errors {found} are none: start afresh")
        return state
