"""What a model answers, and whether that can be used."""

from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from forecasting.clearsky import Floats, PvGeometry
from forecasting.record import LEVELS, PlantRecord, QuantileForecast

LOOKS_BACK: Final = 16
"""Intervals before the one forecast in which something must have been measured, capped or not, for
a model to tell anything: four hours."""

# Single precision may put a quantile this much out of order or range, as a share of the rating.
_SLACK = 1e-4


class Model(Protocol):
    """What the first rung asks of a model."""

    def series(self, record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
        """Forecast every interval of a record, each from the rows before it."""

    def next(self, record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
        """Forecast the interval after the record's last."""


def asked(
    model: Model | None,
    how: Literal["series", "next"],
    record: PlantRecord,
    geometry: PvGeometry,
    n: int,
) -> tuple[Floats, str]:
    """Mean and quantiles of a model, and why there are none; never raises.

    Returns:
        Shape (n, 1 + level), shares of the rating as the model gave them: see `usable`.
    """
    both = np.full((n, 1 + len(LEVELS)), np.nan)
    if model is None:
        return both, "there is no model"
    try:
        answer = getattr(model, how)(record, geometry)
        mean = np.asarray(answer.mean_kw, dtype=np.float64)
        raw = np.asarray(answer.quantiles_kw, dtype=np.float64)
        if mean.shape != (n,) or raw.shape != (n, len(LEVELS)):
            return both, f"the model answered with {mean.shape} means, {raw.shape} quantiles"
    except Exception as fault:  # noqa: BLE001  whatever ails the model, the next rung answers
        return both, f"the model failed: {type(fault).__name__}: {fault}"
    both[:, 0], both[:, 1:] = mean / geometry.rated_kw, raw / geometry.rated_kw
    return both, ""


def usable(both: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """What can be used of a model's answers.

    Args:
        both: Mean and quantiles of each interval, shape (interval, 1 + level), shares of the
            rating.

    Returns:
        The same within [0, 1], NaN where they cannot be used; and where they can, (interval,).
    """
    with np.errstate(invalid="ignore"):
        sound = np.asarray(
            np.isfinite(both).all(axis=1)
            & ((both >= -_SLACK) & (both <= 1.0 + _SLACK)).all(axis=1)
            & (np.diff(both[:, 1:], axis=1) >= -_SLACK).all(axis=1)
        )
    return np.clip(np.where(sound[:, None], both, np.nan), 0.0, 1.0), sound


def unusable(sound: NDArray[np.bool_], record: PlantRecord) -> str:
    """Says in how many intervals of a record a model failed; empty where it did in none.

    An interval before which nothing was measured is no failure: there is nothing to go by.

    Args:
        sound: Where its answers can be used, shape (interval,).
        record: That was forecast.
    """
    count = np.concatenate([[0], np.cumsum(_told(record))])
    at = np.arange(len(record))
    asked = count[at] > count[np.maximum(at - LOOKS_BACK, 0)]
    failed = int((asked & ~sound).sum())
    if not failed:
        return ""
    return (
        f"the model gave no usable answer in {failed} of {int(asked.sum())} intervals; the next "
        f"rung did"
    )


def unusable_next(record: PlantRecord) -> str:
    """Why a model gives no usable answer for the interval after a record's last."""
    if not _told(record.part(max(len(record) - LOOKS_BACK, 0), len(record))).any():
        return "no measurement of the last four hours that can be used"
    return "the model gave no usable answer"


def _told(record: PlantRecord) -> NDArray[np.bool_]:
    """Intervals in which something was measured that a model can use, shape (interval,)."""
    capped = ~np.isposinf(record.cap_kw)
    return np.isfinite(record.available_kw) | (capped & np.isfinite(record.floor_kw))
