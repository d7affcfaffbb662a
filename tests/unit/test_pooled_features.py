"""What the pooled network sees, and what it must not see."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from forecasting.baselines import fading_persistence_kw
from forecasting.clearsky import clear_sky_mean_kw
from forecasting.pooled.features import LAG_FEATURES, TARGET_FEATURES, WIDTH, Float32s, rows
from forecasting.pooled.observed import HISTORY, LAGS, answerable, observed
from forecasting.pooled.sky import SkyDays, interval_number, plant_sky
from forecasting.record import PlantRecord
from forecasting.sky import INDEX_UNKNOWN
from tests.pooled_skies import FIELD, ROOF, roof_record, without

NOON = 7 * 96 + 44


def features(record: PlantRecord, *targets: int) -> Float32s:
    sky = plant_sky(ROOF, interval_number(record.starts[0]) - HISTORY, len(record) + HISTORY + 1)
    seen = observed(
        record.parts_kw, record.floor_kw, record.cap_kw, ROOF.rated_kw, made_kw=record.made_kw
    )
    return rows(seen, sky, ROOF.azimuth_deg, np.array(targets))


def step(x: Float32s, name: str, back: int = 1) -> float:
    """A feature of the step so many intervals before the target."""
    return float(x[0, (LAGS - back) * len(LAG_FEATURES) + LAG_FEATURES.index(name)])


def target(x: Float32s, name: str) -> float:
    return float(x[0, LAGS * len(LAG_FEATURES) + TARGET_FEATURES.index(name)])


RECORD = roof_record()


def test_a_row_is_finite_and_as_wide_as_its_names() -> None:
    x = features(RECORD, *range(len(RECORD) + 1))
    assert x.shape == (len(RECORD) + 1, WIDTH)
    assert np.isfinite(x).all()


def test_nothing_in_or_after_the_target_interval_changes_its_row() -> None:
    parts = RECORD.parts_kw.copy()
    parts[NOON:] = 0.123
    other = replace(
        RECORD,
        parts_kw=parts,
        floor_kw=np.where(np.arange(len(RECORD)) >= NOON, 9.0, RECORD.floor_kw),
        cap_kw=np.where(np.arange(len(RECORD)) >= NOON, 1.0, RECORD.cap_kw),
    )
    np.testing.assert_array_equal(features(RECORD, NOON), features(other, NOON))


def test_nothing_older_than_the_history_changes_a_row() -> None:
    recent = RECORD.part(NOON - HISTORY, NOON)
    np.testing.assert_allclose(features(recent, HISTORY), features(RECORD, NOON), atol=1e-6)


def test_rows_do_not_depend_on_which_others_are_asked_for() -> None:
    many = features(RECORD, NOON - 50, NOON - 3, NOON)
    for i, at in enumerate((NOON - 50, NOON - 3, NOON)):
        np.testing.assert_allclose(features(RECORD, at)[0], many[i], atol=1e-6)


def test_the_base_is_fading_persistence_of_the_last_interval() -> None:
    x = features(RECORD, NOON)
    clear = clear_sky_mean_kw(ROOF, RECORD.starts[NOON - 1 : NOON + 1])
    base = fading_persistence_kw(
        measured_kw=RECORD.available_kw[NOON - 1 : NOON],
        clear_measured_kw=clear[:1],
        clear_target_kw=clear[1:],
        rated_kw=ROOF.rated_kw,
        index=INDEX_UNKNOWN,
    )
    assert target(x, "base") == pytest.approx(base[0] / ROOF.rated_kw, abs=1e-6)


def test_an_interval_that_was_not_measured_is_masked() -> None:
    x = features(without(RECORD, slice(NOON - 2, NOON - 1)), NOON)
    assert step(x, "known", 1) == 1.0
    for name in ("known", "k", "thirds_known", "k_last_third", "capped", "k_floor"):
        assert step(x, name, 2) == 0.0


def test_fifteen_minute_data_have_no_thirds() -> None:
    coarse = replace(RECORD, parts_kw=RECORD.available_kw[:, None])
    assert step(features(coarse, NOON), "thirds_known") == 0.0
    assert step(features(RECORD, NOON), "thirds_known") == 1.0


def test_telemetry_of_minutes_is_seen_as_its_five_minute_means() -> None:
    minutes = replace(RECORD, parts_kw=np.repeat(RECORD.parts_kw, 5, axis=1))
    np.testing.assert_allclose(features(minutes, NOON), features(RECORD, NOON), atol=1e-6)


def test_the_thirds_are_differences_from_the_whole() -> None:
    x = features(RECORD, NOON)
    thirds = [step(x, f"k_{which}_third") for which in ("first", "middle", "last")]
    assert sum(thirds) == pytest.approx(0.0, abs=0.01)
    assert target(x, "last_third") == thirds[2]


def capped(cap_kw: float, made_kw: float) -> PlantRecord:
    """The interval before noon under a cap."""
    parts, floor, cap = RECORD.parts_kw.copy(), RECORD.floor_kw.copy(), RECORD.cap_kw.copy()
    parts[NOON - 1], floor[NOON - 1], cap[NOON - 1] = np.nan, made_kw, cap_kw
    return replace(RECORD, parts_kw=parts, floor_kw=floor, cap_kw=cap)


def test_a_capped_interval_shows_floor_and_cap_but_no_available_power() -> None:
    x = features(capped(2.0, 2.0), NOON)
    assert step(x, "known") == 0.0
    assert step(x, "capped") == 1.0
    assert step(x, "below_cap") == 0.0
    assert step(x, "k_floor") > 0.0
    assert step(x, "k_floor") == pytest.approx(step(x, "k_cap"))


def test_a_plant_below_its_cap_is_told_from_one_that_is_held_down() -> None:
    assert step(features(capped(3.0, 1.0), NOON), "below_cap") == 1.0


def test_a_cap_of_unknown_height_may_bind_at_what_was_made() -> None:
    x = features(capped(np.nan, 1.0), NOON)
    assert step(x, "capped") == 1.0
    assert step(x, "below_cap") == 0.0


def under_a_cap_of_two(*thirds_kw: float) -> PlantRecord:
    """The interval before noon, in which clouds came or went below the cap."""
    made = RECORD.parts_kw.copy()
    made[NOON - 1] = thirds_kw
    return replace(capped(2.0, float(np.mean(thirds_kw))), made_kw=made)


def test_under_a_cap_the_thirds_show_what_was_made() -> None:
    x = features(under_a_cap_of_two(2.0, 2.0, 0.5), NOON)
    assert step(x, "known") == 0.0
    assert step(x, "thirds_known") == 1.0
    assert step(x, "k_first_third") > 0.0 > step(x, "k_last_third")
    assert target(x, "last_third") == step(x, "k_last_third")
    assert step(features(capped(2.0, 1.5), NOON), "thirds_known") == 0.0


def test_a_last_third_below_the_cap_shows_what_is_available() -> None:
    assert target(features(under_a_cap_of_two(2.0, 2.0, 0.5), NOON), "last_below_cap") == 1.0
    assert target(features(under_a_cap_of_two(0.5, 2.0, 2.0), NOON), "last_below_cap") == 0.0
    assert target(features(RECORD, NOON), "last_below_cap") == 0.0


def test_power_made_where_no_cap_was_says_nothing_more() -> None:
    other = replace(RECORD, floor_kw=np.zeros(len(RECORD)))
    np.testing.assert_array_equal(features(RECORD, NOON), features(other, NOON))


@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
def test_a_measurement_that_is_no_number_is_unknown(wrong: float) -> None:
    parts = RECORD.parts_kw.copy()
    parts[NOON - 1] = wrong
    x = features(replace(RECORD, parts_kw=parts), NOON)
    assert np.isfinite(x).all()
    assert step(x, "known") == 0.0


def test_the_same_clouds_a_day_later_give_nearly_the_same_row() -> None:
    shifted = replace(RECORD, starts=RECORD.starts + pd.Timedelta(days=1))
    np.testing.assert_allclose(features(RECORD, NOON), features(shifted, NOON), atol=0.03)


def test_a_row_is_answerable_for_four_hours_after_the_last_measurement() -> None:
    gone = without(RECORD, slice(NOON, None))
    seen = observed(gone.parts_kw, gone.floor_kw, gone.cap_kw, ROOF.rated_kw)
    told = answerable(seen, np.array([NOON, NOON + 15, NOON + 16]))
    assert told.tolist() == [True, True, False]


def test_a_floor_alone_keeps_a_row_answerable() -> None:
    nothing = np.full(len(RECORD), np.nan)
    seen = observed(nothing[:, None], RECORD.floor_kw, np.full(len(RECORD), 1.0), ROOF.rated_kw)
    assert answerable(seen, np.array([NOON])).all()


# --- the clear sky, kept by day ------------------------------------------------------


def test_the_clear_sky_is_that_of_the_mean_of_the_interval() -> None:
    sky = plant_sky(ROOF, interval_number(RECORD.starts[0]), 96)
    clear = clear_sky_mean_kw(ROOF, RECORD.starts[:96]) / ROOF.rated_kw
    np.testing.assert_allclose(sky.mean, clear, atol=1e-12)


@pytest.mark.parametrize("first", ["2028-02-27 05:00", "2026-12-30 17:15", "2026-03-28 22:00"])
def test_kept_days_are_those_computed_at_once_over_leap_day_and_new_year(first: str) -> None:
    number = interval_number(pd.Timestamp(first, tz="UTC"))
    days = SkyDays()
    for geometry in (ROOF, FIELD, ROOF):
        kept, anew = days.of(geometry, number, 300), plant_sky(geometry, number, 300)
        np.testing.assert_allclose(kept.thirds, anew.thirds, atol=1e-12)
        np.testing.assert_allclose(kept.elevation_deg, anew.elevation_deg, atol=1e-12)
        np.testing.assert_allclose(kept.azimuth_deg, anew.azimuth_deg, atol=1e-12)


def test_a_new_day_is_added_to_those_kept() -> None:
    days = SkyDays()
    number = interval_number(RECORD.starts[0])
    days.of(ROOF, number, 480)
    kept, anew = days.of(ROOF, number + 96, 480), plant_sky(ROOF, number + 96, 480)
    np.testing.assert_allclose(kept.thirds, anew.thirds, atol=1e-12)
    np.testing.assert_allclose(kept.mean, anew.mean, atol=1e-12)
    assert len(days._plants[replace(ROOF, rated_kw=1.0)][1].mean) <= 7 * 96


def test_plants_that_are_no_longer_asked_for_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forecasting.pooled.sky._KEPT_PLANTS", 3)
    days = SkyDays()
    for azimuth in range(5):
        days.of(replace(ROOF, azimuth_deg=float(azimuth)), interval_number(RECORD.starts[0]), 9)
    assert [g.azimuth_deg for g in days._plants] == [2.0, 3.0, 4.0]


# --- what is remembered of the sky before a gap or a cap -------------------------------


def test_after_a_gap_the_sky_before_it_is_remembered_for_a_day() -> None:
    gone = without(RECORD, slice(NOON - 20, NOON))
    x, before = features(gone, NOON), features(RECORD, NOON - 20)
    assert target(x, "age") == pytest.approx(20 / 96)
    for name in ("k_before_gap", "std_before_gap", "k_recent"):
        assert target(x, name) == pytest.approx(target(before, name))
    assert target(features(without(RECORD, slice(NOON - 97, NOON)), NOON), "age") == 1.0


def test_the_sky_of_sunrise_is_not_remembered() -> None:
    """Under low sun the ratio to the clear sky is mostly error."""
    light = int(np.flatnonzero(RECORD.available_kw[7 * 96 :] > 0.0)[0]) + 7 * 96 + 1
    x = features(without(RECORD, slice(light, light + 30)), light + 30)
    assert target(x, "age") > 0.3
