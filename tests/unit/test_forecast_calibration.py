"""Calibration on line: whatever a model was taught, its quantiles keep their word here."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from forecasting.baselines import fading_persistence_share
from forecasting.calibration.bands import calibrated
from forecasting.calibration.conformal import Calibration
from forecasting.clearsky import Floats
from forecasting.record import LEVELS, QuantileForecast
from forecasting.scores import pinball
from forecasting.sky import GROUPS, SkySeen, sky_seen
from tests.calibrating import calibration_run
from tests.cloudy import ROOF, changed, cloudy

# Standard normal quantiles at `LEVELS`.
NORMAL = np.array([-1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645])


def guessed(sky: SkySeen, *, width: float = 1.0, shift: float = 0.0) -> Floats:
    """A model's quantiles: normal about smart persistence, wide where the sky was changeable."""
    spread = width * (0.01 + 0.8 * np.nan_to_num(sky.variability, nan=0.1)) * sky.clear
    mean = fading_persistence_share(sky) + shift * sky.clear
    return np.where(
        sky.clear[:, None] > 0.0, np.clip(mean[:, None] + spread[:, None] * NORMAL, 0, 1), 0.0
    )


def covered(quantiles: Floats, sky: SkySeen, low: int, high: int) -> float:
    late = sky.daylight & np.isfinite(sky.power) & (np.arange(len(sky)) >= 2 * len(sky) // 3)
    inside = (quantiles[:, low] <= sky.power) & (sky.power <= quantiles[:, high])
    return 100.0 * float(inside[late].mean())


@pytest.mark.parametrize("width", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("shift", [-0.03, 0.0, 0.03])
def test_bands_hold_what_they_say_whatever_the_model_was_taught(width: float, shift: float) -> None:
    sky = sky_seen(cloudy(150, seed=3), ROOF)
    quantiles, _ = calibration_run(guessed(sky, width=width, shift=shift), sky, Calibration())
    assert 76.0 <= covered(quantiles, sky, 1, 5) <= 84.0
    assert 86.0 <= covered(quantiles, sky, 0, 6) <= 94.0


def test_calibration_costs_a_good_model_next_to_nothing() -> None:
    sky = sky_seen(cloudy(150, seed=3), ROOF)
    good = calibration_run(guessed(sky), sky, Calibration())[0]
    again = calibration_run(good, sky, Calibration())[0]
    light = sky.daylight
    assert pinball(again[light], sky.power[light]) < 1.02 * pinball(good[light], sky.power[light])


def test_it_follows_a_plant_that_changes() -> None:
    sky = sky_seen(cloudy(150, seed=3), ROOF)
    quantiles = guessed(sky)
    quantiles[75 * 96 :] = guessed(sky, width=0.5, shift=-0.05)[75 * 96 :]
    found, _ = calibration_run(quantiles, sky, Calibration())
    assert 76.0 <= covered(found, sky, 1, 5) <= 84.0


def test_nothing_learnt_leaves_a_model_as_it_is() -> None:
    raw = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    assert Calibration().calibrated(raw, 5) == raw


def test_quantiles_stay_in_order_and_within_the_rating_whatever_is_measured() -> None:
    rng = np.random.default_rng(5)
    state = Calibration()
    for _ in range(3000):
        raw = np.sort(rng.uniform(0.0, 1.0, len(LEVELS))).tolist()
        group = int(rng.integers(GROUPS))
        found = state.calibrated(raw, group)
        assert found == sorted(found)
        assert found[0] >= 0.0
        assert found[-1] <= 1.0
        state.learn(raw, group, float(rng.choice([0.0, 1.0, rng.uniform(-0.2, 1.3)])))


def test_hours_at_the_rating_teach_the_upper_quantiles_nothing() -> None:
    state = Calibration()
    raw = [0.5, 0.6, 0.8, 1.0, 1.0, 1.0, 1.0]
    for _ in range(500):
        state.learn(raw, 2, 1.0)
    assert state.calibrated(raw, 2)[3:] == [1.0] * 4
    assert state.to_json()["common"][3:] == [0.0] * 4


def test_no_interval_is_calibrated_by_itself_or_a_later_one() -> None:
    record, row = cloudy(30), 20 * 96 + 46
    sky = sky_seen(record, ROOF)
    raw = QuantileForecast(
        starts=record.starts,
        mean_kw=np.zeros(len(record)),
        quantiles_kw=guessed(sky) * ROOF.rated_kw,
    )
    before = calibrated(raw, record, ROOF).quantiles_kw
    after = calibrated(raw, changed(record, row), ROOF).quantiles_kw
    assert (before[: row + 1] == after[: row + 1]).all()
    assert (before[row + 1 :] != after[row + 1 :]).any()


def test_intervals_without_a_truth_or_an_answer_leave_the_state_alone() -> None:
    record = cloudy(5)
    sky = sky_seen(replace(record, parts_kw=np.nan * record.parts_kw), ROOF)
    raw = guessed(sky)
    raw[200:300] = np.nan
    found, state = calibration_run(raw, sky, Calibration())
    assert state.to_json() == Calibration().to_json()
    assert np.isnan(found[200:300]).all()
    assert np.isfinite(found[:200]).all()


def test_a_state_stored_and_read_back_goes_on_as_if_it_had_not_stopped() -> None:
    sky = sky_seen(cloudy(20), ROOF)
    raw = guessed(sky, width=0.5)
    _, state = calibration_run(raw, sky, Calibration())
    restored = Calibration.from_json(json.loads(json.dumps(state.to_json())))
    assert restored.calibrated(raw[46].tolist(), 7) == state.calibrated(raw[46].tolist(), 7)
    assert restored.to_json() == state.to_json()


def broken(**changes: Any) -> dict[str, Any]:
    return {**Calibration().to_json(), **changes}


@pytest.mark.parametrize(
    "document",
    [
        broken(common=[0.0]),
        broken(own=[[0.0] * len(LEVELS)]),
        broken(met=[-1] * GROUPS),
        broken(common=[float("nan")] * len(LEVELS)),
    ],
)
def test_a_state_of_another_form_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="start afresh"):
        Calibration.from_json(document)
