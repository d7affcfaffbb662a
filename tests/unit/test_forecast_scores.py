"""What the scores mean, by cases that can be worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from forecasting.clearsky import Floats
from forecasting.record import LEVELS, QuantileForecast
from forecasting.scores import pinball, reliability, rmse, score

EVERY = np.array([True, True])


def forecast(mean_kw: list[float], quantiles_kw: Floats) -> QuantileForecast:
    starts = pd.date_range("2023-06-01", periods=len(mean_kw), freq="15min", tz="UTC")
    return QuantileForecast(starts=starts, mean_kw=np.array(mean_kw), quantiles_kw=quantiles_kw)


def flat(low: float, high: float) -> Floats:
    return np.tile(np.linspace(low, high, len(LEVELS)), (2, 1))


def test_errors_are_shares_of_the_rating() -> None:
    found = score(
        forecast([13.0, 6.0], flat(0.0, 20.0)),
        np.array([10.0, 10.0]),
        EVERY,
        rated_kw=20.0,
        reference_rmse_kw=5.0,
    )
    assert found.nrmse_pct == pytest.approx(100 * np.sqrt((9 + 16) / 2) / 20)
    assert found.nmae_pct == pytest.approx(100 * 3.5 / 20)
    assert found.mbe_pct == pytest.approx(100 * -0.5 / 20)
    assert found.skill_pct == pytest.approx(100 * (1 - np.sqrt(12.5) / 5))


def test_a_band_holds_its_edges() -> None:
    quantiles = np.array([[0.0, 2.0, 4.0, 5.0, 6.0, 8.0, 10.0]] * 2)
    found = score(
        forecast([5.0, 5.0], quantiles),
        np.array([8.0, 4.0]),
        EVERY,
        rated_kw=10.0,
        reference_rmse_kw=1.0,
    )
    inside = (found.coverage50_pct, found.coverage80_pct, found.coverage90_pct)
    assert inside == (50.0, 100.0, 100.0)


def test_pinball_of_a_point_is_half_the_absolute_error_on_the_mean_over_symmetric_levels() -> None:
    point = np.full((3, len(LEVELS)), 4.0)
    assert pinball(point, np.array([6.0, 2.0, 4.0])) == pytest.approx((2 + 2 + 0) / 3 / 2)


def test_pinball_is_least_at_the_true_quantiles() -> None:
    truth = np.random.default_rng(1).normal(0.0, 1.0, 20_000)
    best = np.tile(np.quantile(truth, LEVELS), (len(truth), 1))
    assert pinball(best, truth) < pinball(best + 0.1, truth)
    assert pinball(best, truth) < pinball(1.2 * best, truth)
    assert pinball(best, truth) < pinball(0.8 * best, truth)


def test_reliability_of_true_quantiles_is_their_levels() -> None:
    truth = np.random.default_rng(1).uniform(0.0, 1.0, 20_000)
    starts = pd.date_range("2023-06-01", periods=len(truth), freq="15min", tz="UTC")
    perfect = QuantileForecast(
        starts=starts, mean_kw=0 * truth, quantiles_kw=np.tile(LEVELS, (len(truth), 1))
    )
    every = np.ones(len(truth), dtype=np.bool_)
    assert reliability(perfect, truth, every) == pytest.approx(LEVELS, abs=0.01)


def test_only_the_intervals_that_count_are_scored() -> None:
    first = np.array([True, False])
    found = forecast([12.0, np.nan], flat(0.0, 20.0))
    assert rmse(found, np.array([10.0, 10.0]), first) == pytest.approx(2.0)


@pytest.mark.parametrize("mean", [[np.nan, 1.0], [1.0, np.inf]])
def test_a_method_that_is_silent_where_others_answer_is_not_scored(mean: list[float]) -> None:
    with pytest.raises(ValueError, match="needs a truth, a mean and quantiles"):
        score(
            forecast(mean, flat(0.0, 2.0)),
            np.array([1.0, 1.0]),
            EVERY,
            rated_kw=2.0,
            reference_rmse_kw=1.0,
        )


def test_nothing_to_score_is_said_so() -> None:
    with pytest.raises(ValueError, match="every scored interval"):
        score(
            forecast([1.0, 1.0], flat(0.0, 2.0)),
            np.array([1.0, 1.0]),
            ~EVERY,
            rated_kw=2.0,
            reference_rmse_kw=1.0,
        )
