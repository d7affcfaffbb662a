"""The trained blend of the day ahead: weights by horizon, read from an artefact that was checked.

The weights lie at a few horizons, denser near the issue, and are straight lines between: smooth
over the day, and small enough to read. An index comes out, times the clear sky it is a power.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from forecasting.clearsky import Floats
from forecasting.day_ahead.features import DAY, FEATURES, SPREAD_FEATURES, Features, Ints
from forecasting.record import LEVELS
from forecasting.sky import INDEX_MAX
from models import Artefact
from models.manifest import parse

ARTEFACT = "pv_day_ahead"
COEFFICIENTS = "coefficients.json"

# A weight beyond this is no blend of indices any more: a damaged or foreign file.
_LARGEST_WEIGHT = 100.0


@dataclass(frozen=True, kw_only=True)
class Blend:
    """Weights of the features at some horizons."""

    knots: tuple[float, ...]
    """Horizons of `mean` and `lasting`, ascending from 0 to 95 [intervals]."""
    mean: Floats
    """Weights of `FEATURES`, shape (knot, feature)."""
    lasting: Floats
    """What is left of an error of the first interval, 1 at horizon 0, shape (knot,)."""
    spread_knots: tuple[float, ...]
    """Horizons of `spread` [intervals]."""
    spread: Floats
    """Weights of `SPREAD_FEATURES` for each quantile, shape (level, knot, feature)."""

    @cached_property
    def _mean_by_interval(self) -> Floats:
        return np.asarray(between(self.knots) @ self.mean)

    @cached_property
    def _spread_by_interval(self) -> Floats:
        """Shape (interval, feature, level)."""
        return np.asarray(np.einsum("ik,lkf->ifl", between(self.spread_knots), self.spread))

    @cached_property
    def lasting_by_interval(self) -> Floats:
        """What is left of an error of the first interval, shape (interval,) [1]."""
        return np.asarray(between(self.knots) @ self.lasting)

    def mean_index(self, features: Features, issues: Ints) -> Floats:
        """Expected clear-sky index, within [0, 1.2], shape (issue, interval) [1]."""
        found = np.einsum("nif,if->ni", features.mean(issues), self._mean_by_interval)
        return np.asarray(np.clip(found, 0.0, INDEX_MAX))

    def index_levels(self, features: Features, issues: Ints, mean: Floats) -> Floats:
        """Quantiles of the index, ascending, within [0, 1.2], shape (issue, interval, level) [1].

        Args:
            features: What is known.
            issues: Rows of the issues, shape (issue,).
            mean: Expected index, shape (issue, interval) [1].
        """
        found = np.einsum("nif,ifl->nil", features.spread(issues, mean), self._spread_by_interval)
        # Each level was fitted alone: sorting undoes crossings, and only ever improves them.
        return np.sort(np.clip(found, 0.0, INDEX_MAX), axis=-1)

    def to_json(self) -> dict[str, Any]:
        """As the artefact holds it; six digits move no forecast by a thousandth of a per cent."""
        return {
            "features": FEATURES,
            "spread_features": SPREAD_FEATURES,
            "levels": LEVELS,
            "knots": self.knots,
            "mean": self.mean.round(6).tolist(),
            "lasting": self.lasting.round(6).tolist(),
            "spread_knots": self.spread_knots,
            "spread": self.spread.round(6).tolist(),
        }

    @classmethod
    def from_artefact(cls, artefact: Artefact) -> "Blend":
        """The blend in an artefact, whose checksum the register has proved.

        Raises:
            ValueError: it is made for other features or levels, or holds no weights.
        """
        document = parse(artefact.content)
        return cls.from_json(document if isinstance(document, dict) else {})

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Blend":
        """The blend that `to_json` wrote.

        Raises:
            ValueError: it is made for other features or levels, or holds no weights.
        """
        expected = {"features": FEATURES, "spread_features": SPREAD_FEATURES, "levels": LEVELS}
        for key, value in expected.items():
            if _listed(document, key) != value:
                raise ValueError(f"'{key}' are not those of this version: train it again")
        knots, spread_knots = _knots(document, "knots"), _knots(document, "spread_knots")
        lasting = _weights(document, "lasting", (len(knots),))
        if not ((lasting >= 0.0) & (lasting <= 1.0)).all():
            raise ValueError("'lasting' are not shares from 0 to 1: train it again")
        return cls(
            knots=knots,
            mean=_weights(document, "mean", (len(knots), len(FEATURES))),
            lasting=lasting,
            spread_knots=spread_knots,
            spread=_weights(
                document, "spread", (len(LEVELS), len(spread_knots), len(SPREAD_FEATURES))
            ),
        )


def between(knots: tuple[float, ...]) -> Floats:
    """Share of each knot in each interval, shape (interval, knot)."""
    corners = np.eye(len(knots))
    at = np.arange(DAY)
    return np.stack([np.interp(at, knots, corner) for corner in corners], axis=1)


def _listed(document: Mapping[str, Any], key: str) -> tuple[Any, ...]:
    found = document.get(key)
    return tuple(found) if isinstance(found, list | tuple) else ()


def _knots(document: Mapping[str, Any], key: str) -> tuple[float, ...]:
    listed = _listed(document, key)
    if len(listed) > DAY or not all(_is_number(k) for k in listed):
        raise ValueError(f"'{key}' are not numbers, {DAY} at most: train it again")
    knots = tuple(map(float, listed))
    ascending = all(a < b for a, b in pairwise(knots))
    if len(knots) < 2 or not ascending or knots[0] != 0.0 or knots[-1] != DAY - 1:
        raise ValueError(f"'{key}' do not ascend from 0 to {DAY - 1}: train it again")
    return knots


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _weights(document: Mapping[str, Any], key: str, shape: tuple[int, ...]) -> Floats:
    try:
        given = np.asarray(document.get(key))
        found = given.astype(np.float64)
    except (TypeError, ValueError) as fault:
        raise ValueError(f"'{key}' are no numbers: train it again") from fault
    if given.dtype.kind not in "if":  # text and truth values, which numpy would take for numbers
        raise ValueError(f"'{key}' are no numbers: train it again")
    if found.shape != shape or not (np.abs(found) <= _LARGEST_WEIGHT).all():
        raise ValueError(f"'{key}' are not {shape} weights: train it again")
    return found
