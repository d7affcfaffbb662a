"""Correction on line of a mean: a model taught elsewhere learns this plant, within reason."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from forecasting.baselines import climatology_share, fading_persistence_share
from forecasting.calibration.bands import calibrated
from forecasting.calibration.correction import INPUTS, Correction, correction_inputs, correction_run
from forecasting.clearsky import Floats
from forecasting.record import LEVELS, QuantileForecast
from forecasting.sky import SkySeen, sky_seen
from tests.cloudy import ROOF, changed, cloudy, holed

DAY = 96


def taught_elsewhere(sky: SkySeen) -> Floats:
    """A mean that trusts the usual sky far too much, and is too bright."""
    share = 0.4 * fading_persistence_share(sky) + 0.6 * climatology_share(sky)
    return np.clip(share + 0.05 * sky.clear, 0.0, 1.0)


def rmse(share: Floats, sky: SkySeen, begin: int, end: int) -> float:
    rows = np.arange(len(sky))
    scored = sky.daylight & np.isfinite(sky.power) & (rows >= begin * DAY) & (rows < end * DAY)
    return float(np.sqrt(np.mean((share - sky.power)[scored] ** 2)))


def test_a_model_taught_elsewhere_becomes_as_good_as_what_it_should_have_trusted() -> None:
    sky = sky_seen(cloudy(90), ROOF)
    raw = taught_elsewhere(sky)
    found, _ = correction_run(raw, sky, Correction())
    assert rmse(found, sky, 60, 90) < 0.8 * rmse(raw, sky, 60, 90)
    assert rmse(found, sky, 60, 90) < 1.02 * rmse(fading_persistence_share(sky), sky, 60, 90)


def test_a_model_that_needs_none_is_left_in_peace_from_the_first_day_on() -> None:
    sky = sky_seen(cloudy(90), ROOF)
    noise = np.random.default_rng(3).normal(0.0, 0.05, len(sky))
    raw = np.clip(sky.power + noise * sky.clear, 0.0, 1.0)
    found, _ = correction_run(raw, sky, Correction())
    for begin, end in ((0, 10), (10, 40), (40, 90)):
        assert rmse(found, sky, begin, end) < 1.02 * rmse(raw, sky, begin, end)


def test_nothing_learnt_corrects_nothing() -> None:
    assert Correction().of(np.ones(len(INPUTS))) == 0.0


def test_it_acts_only_where_the_interval_before_was_measured() -> None:
    noon = 50 * DAY + 44
    sky = sky_seen(holed(cloudy(60), noon - 6, noon), ROOF)
    raw = taught_elsewhere(sky)
    found, _ = correction_run(raw, sky, Correction())
    assert (found[noon - 5 : noon + 1] == raw[noon - 5 : noon + 1]).all()
    assert found[noon - 6] != raw[noon - 6]
    assert found[noon + 1] != raw[noon + 1]


def test_no_interval_is_corrected_by_itself_or_a_later_one() -> None:
    record, row = cloudy(30), 20 * DAY + 46
    raw = taught_elsewhere(sky_seen(record, ROOF))
    before, _ = correction_run(raw, sky_seen(record, ROOF), Correction())
    after, _ = correction_run(raw, sky_seen(changed(record, row), ROOF), Correction())
    assert (before[: row + 1] == after[: row + 1]).all()
    assert (before[row + 1 :] != after[row + 1 :]).any()


def test_a_silent_model_stays_silent_and_night_stays_dark() -> None:
    sky = sky_seen(cloudy(10), ROOF)
    raw = np.where(np.arange(len(sky)) < 5 * DAY, taught_elsewhere(sky), np.nan)
    found, _ = correction_run(raw, sky, Correction())
    assert np.isnan(found[5 * DAY :]).all()
    assert (found[: 5 * DAY][sky.clear[: 5 * DAY] <= 0.0] == 0.0).all()


def test_a_plant_that_measures_nonsense_moves_no_forecast_beyond_bounds() -> None:
    record = cloudy(20)
    rng = np.random.default_rng(1)
    wild = replace(record, parts_kw=rng.normal(0.0, 1e4, record.parts_kw.shape))
    sky = sky_seen(wild, ROOF)
    raw = taught_elsewhere(sky_seen(record, ROOF))
    found, _ = correction_run(raw, sky, Correction())
    assert np.isfinite(found).all()
    assert (found >= 0.0).all()
    assert (found <= 1.0).all()
    assert np.abs(found - raw).max() <= 0.5 + 1e-12


def test_the_mean_stays_within_the_outermost_quantiles() -> None:
    record = cloudy(40)
    sky = sky_seen(record, ROOF)
    mean = taught_elsewhere(sky)
    narrow = np.clip(
        mean[:, None] + 0.01 * np.linspace(-1, 1, len(LEVELS)) * sky.clear[:, None], 0, 1
    )
    given = QuantileForecast(
        starts=record.starts, mean_kw=mean * ROOF.rated_kw, quantiles_kw=narrow * ROOF.rated_kw
    )
    found = calibrated(given, record, ROOF)
    assert (found.mean_kw >= found.quantiles_kw[:, 0]).all()
    assert (found.mean_kw <= found.quantiles_kw[:, -1]).all()


def test_polls_of_five_minutes_tell_what_the_last_of_them_was() -> None:
    fine, coarse = sky_seen(cloudy(5, minutes=5), ROOF), sky_seen(cloudy(5), ROOF)
    assert fine.late == pytest.approx(cloudy(5, minutes=5).parts_kw[:, 2] / ROOF.rated_kw)
    assert np.isnan(coarse.late).all()
    late = INPUTS.index("smart_late")
    inputs = correction_inputs(coarse, taught_elsewhere(coarse))
    assert (inputs[np.isfinite(inputs[:, 0]), late] == 0.0).all()


def test_a_state_stored_and_read_back_goes_on_as_if_it_had_not_stopped() -> None:
    sky = sky_seen(cloudy(20), ROOF)
    _, state = correction_run(taught_elsewhere(sky), sky, Correction())
    restored = Correction.from_json(json.loads(json.dumps(state.to_json())))
    some = np.linspace(-0.1, 0.1, len(INPUTS))
    assert restored.of(some) == pytest.approx(state.of(some))
    assert restored.to_json() == state.to_json()


def broken(**changes: Any) -> dict[str, Any]:
    return {**Correction().to_json(), **changes}


@pytest.mark.parametrize(
    "document",
    [
        broken(inputs=["clear"]),
        broken(explained=[0.0]),
        broken(explained=[float("inf")] * len(INPUTS)),
    ],
)
def test_a_state_of_another_form_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="start afresh"):
        Correction.from_json(document)
