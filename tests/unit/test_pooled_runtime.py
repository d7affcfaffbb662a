"""The pooled model that ships, in service: bounds, causality, one forecast as many."""

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forecasting.clearsky import clear_sky_mean_kw
from forecasting.pooled import PooledLstm
from forecasting.pooled.augment import with_cap
from forecasting.record import LEVELS, PlantRecord, QuantileForecast
from forecasting.runtime import ParityFault
from models import Artefact, artefact
from tests.pooled_skies import FIELD, ROOF, roof_record, without

SHIPPED = artefact("pv_pooled")
MODEL = PooledLstm(SHIPPED)
NOON = 7 * 96 + 44
RECORD = roof_record()
SERIES = MODEL.series(RECORD, ROOF)


def assert_sound(forecast: QuantileForecast, rated_kw: float) -> None:
    answered = np.isfinite(forecast.mean_kw)
    for power in (forecast.mean_kw[answered, None], forecast.quantiles_kw[answered]):
        assert np.isfinite(power).all()
        assert (power >= 0.0).all()
        assert (power <= rated_kw).all()
    assert (np.diff(forecast.quantiles_kw[answered], axis=1) >= 0.0).all()
    assert np.isnan(forecast.quantiles_kw[~answered]).all()


def test_the_shipped_model_answers_as_keras_did_within_1e_5() -> None:
    assert MODEL.parity_error < 1e-5


def test_every_daylight_interval_after_the_first_measurement_has_an_answer() -> None:
    assert_sound(SERIES, ROOF.rated_kw)
    assert SERIES.quantiles_kw.shape == (len(RECORD), len(LEVELS))
    assert np.isfinite(SERIES.mean_kw[1:]).all()


def test_night_is_exactly_zero() -> None:
    dark = clear_sky_mean_kw(ROOF, RECORD.starts) <= 0.0
    assert dark.any()
    assert (SERIES.mean_kw[dark] == 0.0).all()
    assert (SERIES.quantiles_kw[dark] == 0.0).all()


def test_one_forecast_is_that_of_the_series() -> None:
    for at in (1, 30, NOON - 1, NOON, len(RECORD) - 20):
        one = MODEL.next(RECORD.part(0, at), ROOF)
        assert one.starts[0] == RECORD.starts[at]
        np.testing.assert_allclose(one.mean_kw, SERIES.mean_kw[[at]], atol=1e-5)
        np.testing.assert_allclose(one.quantiles_kw, SERIES.quantiles_kw[[at]], atol=1e-5)


def test_one_forecast_needs_the_last_five_days_only() -> None:
    whole = MODEL.next(RECORD.part(0, NOON), ROOF)
    recent = MODEL.next(RECORD.part(NOON - 481, NOON), ROOF)
    np.testing.assert_allclose(whole.quantiles_kw, recent.quantiles_kw, atol=1e-5)


def test_the_future_changes_nothing() -> None:
    later = np.arange(len(RECORD)) >= NOON
    other = replace(
        RECORD,
        parts_kw=np.where(later[:, None], 0.0, RECORD.parts_kw),
        floor_kw=np.where(later, 4.0, RECORD.floor_kw),
        cap_kw=np.where(later, 1.0, RECORD.cap_kw),
    )
    changed = MODEL.series(other, ROOF)
    np.testing.assert_array_equal(changed.mean_kw[: NOON + 1], SERIES.mean_kw[: NOON + 1])
    assert not np.allclose(changed.mean_kw[NOON + 1 :], SERIES.mean_kw[NOON + 1 :])


def test_power_and_rating_in_another_unit_give_the_same_shares() -> None:
    large = replace(RECORD, parts_kw=RECORD.parts_kw * 1000, floor_kw=RECORD.floor_kw * 1000)
    answer = MODEL.series(large, replace(ROOF, rated_kw=ROOF.rated_kw * 1000))
    np.testing.assert_allclose(answer.mean_kw, SERIES.mean_kw * 1000, atol=0.01)


def test_telemetry_of_minutes_answers_as_its_five_minute_means_do() -> None:
    minutes = replace(RECORD, parts_kw=np.repeat(RECORD.parts_kw, 5, axis=1))
    answer = MODEL.series(minutes, ROOF)
    assert_sound(answer, ROOF.rated_kw)
    np.testing.assert_allclose(answer.mean_kw, SERIES.mean_kw, atol=1e-5 * ROOF.rated_kw)


def test_without_a_measurement_for_four_hours_there_is_no_answer_by_day() -> None:
    gone = MODEL.series(without(RECORD, slice(NOON, None)), ROOF)
    assert np.isfinite(gone.mean_kw[NOON : NOON + 16]).all()
    clear = clear_sky_mean_kw(ROOF, RECORD.starts[NOON + 16 :])
    np.testing.assert_array_equal(np.isnan(gone.mean_kw[NOON + 16 :]), clear > 0.0)


def hostile(seed: int) -> PlantRecord:
    """A record of what meters and databases come up with."""
    rng = np.random.default_rng(seed)
    n, parts = 200, int(rng.choice([1, 3, 15]))

    def spoilt(shape: tuple[int, ...]) -> Any:
        values = rng.normal(0.0, 10.0, shape)
        return np.where(
            rng.uniform(size=shape) < 0.3,
            rng.choice([np.nan, np.inf, -np.inf, 1e300, -1e300, 0.0], shape),
            values,
        )

    return PlantRecord(
        starts=pd.date_range("2028-02-28 03:00", periods=n, freq="15min", tz="UTC"),
        parts_kw=spoilt((n, parts)),
        floor_kw=spoilt((n,)),
        cap_kw=spoilt((n,)),
        made_kw=spoilt((n, parts)),
    )


@pytest.mark.parametrize("seed", range(6))
def test_whatever_was_recorded_the_answer_is_within_zero_and_rating(seed: int) -> None:
    record = hostile(seed)
    assert_sound(MODEL.series(record, ROOF), ROOF.rated_kw)
    assert_sound(MODEL.next(record, ROOF), ROOF.rated_kw)


@pytest.mark.parametrize(
    ("first", "days"),
    [("2026-03-27", 4), ("2026-10-23", 4), ("2028-02-27", 4), ("2026-12-30", 3)],
)
def test_changes_of_clock_leap_day_and_new_year_are_days_like_others(first: str, days: int) -> None:
    record = roof_record(first, days)
    answer = MODEL.series(record, ROOF)
    assert_sound(answer, ROOF.rated_kw)
    assert np.isfinite(answer.mean_kw[1:]).all()
    error = (answer.mean_kw - record.available_kw)[1:] / ROOF.rated_kw
    assert np.sqrt(np.mean(error**2)) < 0.1


def test_a_plant_in_the_far_north_is_forecast_by_midnight_sun() -> None:
    north = replace(ROOF, latitude_deg=69.6, longitude_deg=18.9)
    record = roof_record("2026-06-18", 5)
    answer = MODEL.series(record, north)
    assert_sound(answer, north.rated_kw)
    assert (answer.mean_kw[96:] > 0.0).any()


def test_an_empty_record_has_no_series_and_no_next() -> None:
    empty = RECORD.part(0, 0)
    assert len(MODEL.series(empty, ROOF).mean_kw) == 0
    with pytest.raises(ValueError, match="empty"):
        MODEL.next(empty, ROOF)


def test_a_cap_that_binds_raises_what_is_expected_above_it() -> None:
    cap_kw = 1.0
    held = slice(NOON - 8, NOON)
    parts, floor, cap = RECORD.parts_kw.copy(), RECORD.floor_kw.copy(), RECORD.cap_kw.copy()
    parts[held], floor[held], cap[held] = np.nan, cap_kw, cap_kw
    answer = MODEL.next(
        replace(RECORD, parts_kw=parts, floor_kw=floor, cap_kw=cap).part(0, NOON), ROOF
    )
    assert answer.mean_kw[0] > 1.5 * cap_kw


def test_under_a_cap_the_parts_of_the_record_count_alike_alone_and_in_a_series() -> None:
    cap_kw = np.where(np.arange(len(RECORD)) >= NOON - 8, 1.5, np.inf)
    held = with_cap(RECORD, cap_kw, cap_kw)
    series = MODEL.series(held, ROOF)
    coarse = MODEL.series(replace(held, made_kw=None), ROOF)
    assert not np.allclose(series.mean_kw[NOON : NOON + 8], coarse.mean_kw[NOON : NOON + 8])
    for at in (NOON, NOON + 3):
        one = MODEL.next(held.part(0, at), ROOF)
        np.testing.assert_allclose(one.mean_kw[0], series.mean_kw[at], atol=1e-4)


def bare(**manifest: Any) -> Artefact:
    return Artefact(id="bare", path=SHIPPED.path, manifest=manifest, content=SHIPPED.content)


def test_an_artefact_without_parity_vectors_or_with_others_is_refused() -> None:
    parity = SHIPPED.manifest["parity"]
    with pytest.raises(ParityFault, match="no parity vectors"):
        PooledLstm(bare())
    wrong = [[v + 1e-4 for v in row] for row in parity["outputs"]]
    with pytest.raises(ParityFault, match="off by"):
        PooledLstm(bare(parity=parity | {"outputs": wrong}))
    with pytest.raises(ParityFault, match="shape"):
        PooledLstm(bare(parity=parity | {"inputs": [row[:-1] for row in parity["inputs"]]}))


def test_the_published_model_is_not_taken_for_the_pooled_one() -> None:
    published = artefact("paper_lstm")
    with pytest.raises(ValueError, match="input"):
        PooledLstm(published)


def test_the_card_tells_the_left_out_figures_the_manifest_holds() -> None:
    manifest = SHIPPED.manifest
    assert manifest["kind"] == "pv_pooled"
    assert set(manifest["left_out"]) == set(manifest["metrics"]) == set(manifest["training_window"])
    card = SHIPPED.card.read_text(encoding="utf-8")
    for site, found in manifest["left_out"].items():
        for scores in found.values():
            assert scores["skill_pct"] > 0.0
            assert f"| {site} |" in card
            assert f"{scores['skill_pct']:.1f} %" in card


def test_forecasting_needs_no_tensorflow() -> None:
    code = (
        "import sys, json\n"
        "from forecasting.pooled import PooledLstm\n"
        "from models import artefact\n"
        "PooledLstm(artefact('pv_pooled'))\n"
        "print(json.dumps([m for m in ('tensorflow', 'keras') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_a_plant_south_of_the_equator_is_forecast_like_one_north_of_it() -> None:
    record = replace(
        RECORD, parts_kw=RECORD.parts_kw / ROOF.rated_kw, floor_kw=RECORD.floor_kw / ROOF.rated_kw
    )
    assert_sound(MODEL.series(record, FIELD), FIELD.rated_kw)
