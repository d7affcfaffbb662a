"""Quantiles around a mean: the errors of the past in situations like this one."""

import json
from itertools import pairwise

import numpy as np
import pytest

from forecasting.baselines import climatology_share, fading_persistence_share
from forecasting.calibration.residuals import KEPT, ResidualBins, residual_run
from forecasting.record import LEVELS
from forecasting.sky import GROUPS, sky_seen
from tests.cloudy import ROOF, cloudy


def fed(errors: "list[float]", group: int = 3, clear: float = 0.5) -> ResidualBins:
    state = ResidualBins()
    for error in errors:
        state.learn(error, group, clear)
    return state


def test_quantiles_are_those_of_the_errors_of_the_group() -> None:
    errors = np.random.default_rng(1).normal(0.0, 0.05, 300)
    found = fed(errors.tolist()).around(0.5, 3, 0.5)
    assert found == pytest.approx(0.5 + np.quantile(errors, LEVELS))


def test_only_the_newest_errors_of_a_group_count() -> None:
    errors = np.linspace(-0.2, 0.2, 3 * KEPT)
    assert fed(errors.tolist()).around(0.5, 3, 0.5) == pytest.approx(
        0.5 + np.quantile(errors[-KEPT:], LEVELS)
    )


def test_a_group_never_met_takes_the_errors_of_all_scaled_by_the_sun() -> None:
    errors = np.random.default_rng(1).normal(0.0, 0.05, 300)
    found = fed(errors.tolist(), group=3, clear=0.5).around(0.2, 9, 0.25)
    assert found == pytest.approx(np.clip(0.2 + np.quantile(errors, LEVELS) / 2, 0.0, 1.0))


def test_the_first_day_has_bands_already() -> None:
    found = ResidualBins().around(0.5, 0, 0.8)
    assert all(low < high for low, high in pairwise(found))
    assert found[3] == 0.5


def test_quantiles_stay_within_the_rating() -> None:
    state = fed([-0.9] * 50 + [0.9] * 50)
    assert min(state.around(0.1, 3, 0.5)) == 0.0
    assert max(state.around(0.9, 3, 0.5)) == 1.0


def test_a_state_stored_and_read_back_goes_on_as_if_it_had_not_stopped() -> None:
    errors = np.round(np.random.default_rng(2).normal(0.0, 0.05, 700), 5).tolist()
    whole = fed(errors)
    stored = json.loads(json.dumps(fed(errors[:650]).to_json()))
    restored = ResidualBins.from_json(stored)
    for error in errors[650:]:
        restored.learn(error, 3, 0.5)
    assert restored.around(0.5, 3, 0.5) == pytest.approx(whole.around(0.5, 3, 0.5))


@pytest.mark.parametrize(
    "document",
    [
        {"groups": [[]], "all": []},
        {"groups": [[float("nan")], *([[]] * (GROUPS - 1))], "all": []},
        {"groups": [[]] * GROUPS, "all": [0.0] * (KEPT + 1)},
    ],
)
def test_a_state_of_another_form_is_refused(document: "dict[str, list[object]]") -> None:
    with pytest.raises(ValueError, match="start afresh"):
        ResidualBins.from_json(document)


@pytest.mark.parametrize("share", [fading_persistence_share, climatology_share])
def test_bands_hold_what_they_say_over_a_season(share: object) -> None:
    sky = sky_seen(cloudy(150), ROOF)
    assert callable(share)
    quantiles, _ = residual_run(share(sky), sky, ResidualBins())
    scored = sky.daylight & (np.arange(len(sky)) > 60 * 96)
    for low, high, wanted in ((1, 5, 0.8), (0, 6, 0.9)):
        inside = (quantiles[:, low] <= sky.power) & (sky.power <= quantiles[:, high])
        assert inside[scored].mean() == pytest.approx(wanted, abs=0.05)
