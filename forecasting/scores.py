"""How good a forecast was: errors in percent of the rating, and whether its bands kept their word.

Definitions (n scored intervals, truth y, mean m, quantile q of level τ, rating P):

- nRMSE = √(Σ(m − y)² / n) / P, nMAE = Σ|m − y| / n / P, MBE = Σ(m − y) / n / P
- skill = 1 − RMSE / RMSE of smart persistence
- pinball = mean over intervals and `LEVELS` of max(τ·(y − q), (τ − 1)·(y − q)) / P
- coverage of a band = share of truths in it, its edges included
- reliability = share of truths at or below each quantile

Source: Yang et al. (2020), DOI 10.1016/j.solener.2020.04.019.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forecasting.clearsky import Floats
from forecasting.record import LEVELS, QuantileForecast

BANDS = {50: (2, 4), 80: (1, 5), 90: (0, 6)}
"""Central bands: percent → columns of their edges in `LEVELS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Scores of one method over one set of intervals."""

    nrmse_pct: float
    """Root mean square error [% of the rating]."""
    nmae_pct: float
    """Mean absolute error [% of the rating]."""
    mbe_pct: float
    """Mean of forecast − truth [% of the rating]."""
    skill_pct: float | None
    """How much smaller the RMSE is than that of smart persistence; None where that erred by nothing
    and left nothing to be better at [%]."""
    pinball_pct: float
    """Mean pinball loss over `LEVELS` [% of the rating]."""
    coverage50_pct: float
    """Truths within the band from 25 to 75 % [%]."""
    coverage80_pct: float
    """Truths within the band from 10 to 90 % [%]."""
    coverage90_pct: float
    """Truths within the band from 5 to 95 % [%]."""


def score(
    forecast: QuantileForecast,
    truth_kw: Floats,
    scored: NDArray[np.bool_],
    *,
    rated_kw: float,
    reference_rmse_kw: float,
) -> Score:
    """Score a forecast.

    Args:
        forecast: One method's answers.
        truth_kw: Measured available power, shape (interval,) [kW].
        scored: The intervals that count, shape (interval,).
        rated_kw: Rating of the plant [kW].
        reference_rmse_kw: RMSE of smart persistence on the same intervals [kW].

    Raises:
        ValueError: no interval is scored, or one of them lacks an answer or a truth.
    """
    mean, truth = forecast.mean_kw[scored], truth_kw[scored]
    quantiles = forecast.quantiles_kw[scored]
    complete = all(np.isfinite(a).all() for a in (mean, truth, quantiles))
    if not scored.any() or not complete:
        raise ValueError("every scored interval needs a truth, a mean and quantiles")
    error = mean - truth
    rmse = float(np.sqrt(np.mean(error**2)))
    inside = {
        percent: 100.0 * float(np.mean((quantiles[:, a] <= truth) & (truth <= quantiles[:, b])))
        for percent, (a, b) in BANDS.items()
    }
    share = 100.0 / rated_kw
    return Score(
        nrmse_pct=share * rmse,
        nmae_pct=share * float(np.mean(np.abs(error))),
        mbe_pct=share * float(np.mean(error)),
        skill_pct=100.0 * (1.0 - rmse / reference_rmse_kw) if reference_rmse_kw > 0.0 else None,
        pinball_pct=share * pinball(quantiles, truth),
        coverage50_pct=inside[50],
        coverage80_pct=inside[80],
        coverage90_pct=inside[90],
    )


def rmse(forecast: QuantileForecast, truth_kw: Floats, scored: NDArray[np.bool_]) -> float:
    """Root mean square error of the mean over the scored intervals [kW]."""
    return float(np.sqrt(np.mean((forecast.mean_kw[scored] - truth_kw[scored]) ** 2)))


def pinball(quantiles: Floats, truth: Floats) -> float:
    """Mean pinball loss over rows and `LEVELS`, in the unit of the arguments.

    Args:
        quantiles: Shape (interval, level).
        truth: Shape (interval,).
    """
    levels = np.array(LEVELS)
    above = truth[:, None] - quantiles
    return float(np.mean(np.maximum(levels * above, (levels - 1.0) * above)))


def reliability(
    forecast: QuantileForecast, truth_kw: Floats, scored: NDArray[np.bool_]
) -> tuple[float, ...]:
    """Share of truths at or below the quantile of each of `LEVELS` [1]."""
    below = truth_kw[scored][:, None] <= forecast.quantiles_kw[scored]
    return tuple(map(float, below.mean(axis=0)))
