"""What a model answers, and whether that can be used."""

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from forecasting.clearsky import Floats, PvGeometry
from forecasting.record import LEVELS, PlantRecord, QuantileForecast

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


def unusable(failed: int, n: int) -> str:
    """Says so; empty where nothing failed."""
    if not failed:
        return ""
    return f"the model gave no usable answer in {failed} of {n} intervals; the next rung did"
