"""Where a plant faces is found in what it measured, and a wrong configuration is told."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pvlib import irradiance

from forecasting.clearsky import PvGeometry, clear_sky, clear_sky_mean_kw, plane_of_array_wm2
from forecasting.data.orientation import PlantFit, fit_plant
from forecasting.data.screening import screened
from forecasting.record import PlantRecord, plant_record
from tests.cloudy import holed, sky_index

DAYS = 60


def plant(tilt: float, azimuth: float, *, scale: float = 1.0, latitude: float = 48.1) -> PvGeometry:
    return PvGeometry(
        latitude_deg=latitude,
        longitude_deg=11.6,
        tilt_deg=tilt,
        azimuth_deg=azimuth,
        rated_kw=20.0,
        scale=scale,
    )


def measured(
    geometry: PvGeometry, *, days: int = DAYS, first: str = "2023-03-01", seed: int = 3
) -> PlantRecord:
    starts = pd.date_range(first, periods=96 * days, freq="15min", tz="UTC")
    whole = clear_sky_mean_kw(geometry, starts) * sky_index(len(starts), 15, seed)
    return plant_record(pd.Series(np.clip(whole, 0.0, 20.0), index=starts), 15)


def moved(record: PlantRecord, hours: float) -> PlantRecord:
    return PlantRecord(
        starts=record.starts + pd.Timedelta(hours=hours),
        parts_kw=record.parts_kw,
        floor_kw=record.floor_kw,
        cap_kw=record.cap_kw,
    )


def turn(a: float, b: float) -> float:
    return abs((a - b + 180.0) % 360.0 - 180.0)


@pytest.mark.parametrize(
    ("tilt", "azimuth", "scale", "latitude"),
    [
        (30.0, 180.0, 0.8, 48.1),
        (45.0, 110.0, 1.0, 48.1),
        (20.0, 250.0, 1.25, 48.1),
        (60.0, 200.0, 0.9, 35.0),
        (35.0, 20.0, 0.7, -30.0),
    ],
)
def test_tilt_azimuth_and_scale_are_found_whatever_the_guess(
    tilt: float, azimuth: float, scale: float, latitude: float
) -> None:
    true = plant(tilt, azimuth, scale=scale, latitude=latitude)
    fit = fit_plant(measured(true), replace(true, tilt_deg=10.0, azimuth_deg=300.0, scale=1.0))
    assert fit.enough
    assert not fit.agrees_with_guess
    assert fit.geometry == fit.fitted
    assert fit.geometry.tilt_deg == pytest.approx(tilt, abs=5.0)
    assert turn(fit.geometry.azimuth_deg, azimuth) < 7.0
    assert fit.geometry.scale == pytest.approx(scale, rel=0.05)
    assert fit.uncertainty is not None
    assert fit.uncertainty.azimuth_deg < 10.0


def test_a_right_configuration_is_kept_and_only_the_scale_is_fitted() -> None:
    true = plant(30.0, 180.0, scale=0.8)
    fit = fit_plant(measured(true), replace(true, scale=1.0))
    assert fit.agrees_with_guess
    assert (fit.geometry.tilt_deg, fit.geometry.azimuth_deg) == (30.0, 180.0)
    assert fit.geometry.scale == pytest.approx(0.8, rel=0.05)
    assert "agrees" in fit.note


def test_each_contradiction_is_told_with_its_setting() -> None:
    true = plant(40.0, 150.0, scale=0.4)
    note = fit_plant(measured(true), replace(true, tilt_deg=10.0, azimuth_deg=250.0)).note
    assert "check azimuth_deg" in note
    assert "check tilt_deg" in note
    assert "check rated_kw" in note


def test_watts_taken_for_kilowatts_are_told() -> None:
    true = plant(30.0, 180.0)
    record = measured(true, days=20)
    fit = fit_plant(replace_parts(record, 1000.0 * record.parts_kw), true)
    assert "power is in kW" in fit.note
    assert not fit.agrees_with_guess
    assert fit.geometry == true


def test_modules_that_lie_almost_flat_may_be_configured_to_face_anywhere() -> None:
    true = plant(3.0, 180.0)
    fit = fit_plant(measured(true), replace(true, azimuth_deg=90.0))
    assert fit.agrees_with_guess


def test_a_plant_that_loses_power_as_it_warms_is_not_taken_for_a_tilted_one() -> None:
    true = plant(30.0, 190.0, scale=0.9)
    cool = measured(true)
    share = cool.parts_kw / true.rated_kw
    warm = replace_parts(cool, cool.parts_kw * (1 - 0.18 * share))
    fit = fit_plant(warm, replace(true, tilt_deg=10.0, azimuth_deg=90.0))
    assert fit.geometry.tilt_deg == pytest.approx(30.0, abs=8.0)
    assert turn(fit.geometry.azimuth_deg, 190.0) < 8.0


def replace_parts(
    record: PlantRecord, parts: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]"
) -> PlantRecord:
    return PlantRecord(
        starts=record.starts, parts_kw=parts, floor_kw=record.floor_kw, cap_kw=record.cap_kw
    )


@pytest.mark.parametrize(("hours", "word"), [(1, "1 h late"), (-2, "2 h early"), (7, "7 h late")])
def test_a_wrong_time_zone_is_told_and_nothing_is_fitted(hours: float, word: str) -> None:
    true = plant(30.0, 150.0)
    fit = fit_plant(moved(measured(true), hours), true)
    assert word in fit.note
    assert "time zone" in fit.note
    assert not fit.agrees_with_guess
    assert fit.geometry == true
    assert fit.shift_min == pytest.approx(60.0 * hours, abs=20.0)


def test_a_longitude_of_the_wrong_sign_is_told() -> None:
    true = replace(plant(30.0, 180.0), longitude_deg=-105.0)
    fit = fit_plant(measured(true), replace(true, longitude_deg=105.0))
    assert "sign of the longitude" in fit.note


def test_a_longitude_of_the_wrong_sign_is_told_although_screening_took_away_what_shows_it() -> None:
    true = replace(plant(30.0, 180.0), longitude_deg=-105.0)
    wrong, raw = replace(true, longitude_deg=105.0), measured(true)
    record = screened(raw, wrong).record
    assert fit_plant(record, wrong).shift_min == 0.0
    fit = fit_plant(record, wrong, raw=raw)
    assert "sign of the longitude" in fit.note
    assert not fit.agrees_with_guess


def test_a_meter_that_shows_a_little_in_the_dark_or_stands_still_is_no_wrong_time_zone() -> None:
    true = plant(30.0, 180.0)
    raw = measured(true)
    parts = raw.parts_kw + 0.03 * true.rated_kw
    parts[96 * 20 + 40 : 96 * 30] = 0.5 * true.rated_kw
    raw = replace_parts(raw, parts)
    assert fit_plant(screened(raw, true).record, true, raw=raw).shift_min == 0.0


@pytest.mark.parametrize("azimuth", [60.0, 300.0])
def test_modules_facing_east_or_west_are_no_wrong_time_zone(azimuth: float) -> None:
    true = plant(50.0, azimuth)
    assert fit_plant(measured(true), true).shift_min == 0.0


def test_a_few_days_are_not_enough_and_leave_the_configuration() -> None:
    guess = plant(30.0, 270.0)
    fit = fit_plant(measured(plant(30.0, 180.0), days=5), guess)
    assert not fit.enough
    assert fit.geometry == guess
    assert "12 needed" in fit.note


@pytest.mark.parametrize("parts", [np.nan, 0.0])
def test_nothing_measured_leaves_the_configuration(parts: float) -> None:
    record = measured(plant(30.0, 180.0), days=20)
    guess = plant(30.0, 270.0)
    fit = fit_plant(replace_parts(record, np.full_like(record.parts_kw, parts)), guess)
    assert fit.geometry == guess
    assert not fit.enough


def test_a_cloudy_month_of_gaps_does_not_break_the_fit() -> None:
    true = plant(30.0, 180.0)
    record = holed(measured(true), 96 * 20, 96 * 30)
    assert fit_plant(record, true).agrees_with_guess


def test_the_same_record_gives_the_same_fit() -> None:
    true = plant(30.0, 180.0)
    first: PlantFit = fit_plant(measured(true), true)
    assert fit_plant(measured(true), true) == first


# --- right, although clear-sky model and fit err ---------------------------------------


def warm(geometry: PvGeometry, *, days: int = 120, first: str = "2023-05-01") -> PlantRecord:
    """Power of warm modules, under a sky whose direct and diffuse are split by Boland's model."""
    starts = pd.date_range(first, periods=96 * days, freq="15min", tz="UTC")
    middle = starts + pd.Timedelta(minutes=7.5)
    sky = clear_sky(geometry.latitude_deg, geometry.longitude_deg, middle)
    ghi = sky.ghi_wm2 * sky_index(len(starts), 15, 3)
    parts = irradiance.boland(ghi, sky.sun.apparent_zenith_deg, sky.sun.day_of_year)
    plane = plane_of_array_wm2(
        geometry, sky.sun, dni_wm2=parts["dni"], ghi_wm2=ghi, dhi_wm2=parts["dhi"]
    )
    air_c = 14.0 - 12.0 * np.cos(2 * np.pi * (sky.sun.day_of_year - 20) / 365)
    cell_c = air_c + 0.03 * plane
    power = geometry.scale * plane / 1000.0 * (1.0 - 0.004 * (cell_c - 25.0))
    kw = geometry.rated_kw * np.clip(power, 0.0, 1.0)
    return plant_record(pd.Series(np.nan_to_num(kw), index=starts), 15)


WARM = [(10.0, 180.0, 40.0), (25.0, 180.0, 36.6), (35.0, 200.0, 40.0), (30.0, 180.0, 40.4)]


@pytest.mark.parametrize(("tilt", "azimuth", "latitude"), WARM)
def test_warm_modules_under_another_sky_do_not_contradict_a_right_configuration(
    tilt: float, azimuth: float, latitude: float
) -> None:
    true = plant(tilt, azimuth, latitude=latitude)
    for first in ("2023-03-01", "2023-05-01", "2023-07-01"):
        fit = fit_plant(warm(true, first=first), true)
        assert fit.enough
        assert fit.agrees_with_guess, fit.note


@pytest.mark.parametrize(("tilt", "azimuth", "latitude"), WARM)
@pytest.mark.parametrize("turned", [90.0, -90.0])
def test_modules_a_quarter_turned_are_told_under_any_sky(
    tilt: float, azimuth: float, latitude: float, turned: float
) -> None:
    true = plant(tilt, azimuth, latitude=latitude)
    note = fit_plant(warm(true), replace(true, azimuth_deg=(azimuth + turned) % 360.0)).note
    assert "check azimuth_deg" in note


@pytest.mark.parametrize(("tilt", "azimuth", "latitude"), WARM)
def test_modules_tilted_25_degrees_less_are_told_under_any_sky(
    tilt: float, azimuth: float, latitude: float
) -> None:
    true = plant(tilt, azimuth, latitude=latitude)
    assert "check tilt_deg" in fit_plant(warm(true), replace(true, tilt_deg=tilt + 25.0)).note


def test_no_direction_is_named_for_a_plane_that_lies_flat() -> None:
    true = plant(2.0, 160.0)
    note = fit_plant(measured(true), replace(true, tilt_deg=30.0, azimuth_deg=90.0)).note
    assert "seem to lie almost flat, not to face 90°" in note
    assert "seem to face" not in note
    assert "tilted by 0°, not 30°" in note


@pytest.mark.parametrize("ratio", [1.5, 1.7])
def test_more_modules_than_the_inverter_takes_are_usual(ratio: float) -> None:
    true = plant(30.0, 180.0, scale=ratio)
    fit = fit_plant(measured(true), replace(true, scale=1.0))
    assert fit.agrees_with_guess, fit.note
    assert fit.lasting == ""
    assert fit.geometry.scale == pytest.approx(ratio, rel=0.05)


def test_a_rating_of_half_or_twice_is_told() -> None:
    true = plant(30.0, 180.0, scale=0.9)
    for rated in (10.0, 40.0):
        fit = fit_plant(measured(true), replace(true, rated_kw=rated, scale=1.0))
        assert "check rated_kw" in fit.note
        assert fit.lasting in fit.note
        assert fit.lasting
