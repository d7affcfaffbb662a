"""Clear sky, baselines and features: the numbers every forecast stands on."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pvlib.location import Location
from pvlib.solarposition import get_solarposition

from forecasting.baselines import (
    fading_persistence_kw,
)
from forecasting.clearsky import (
    PvGeometry,
    brightest_power_kw,
    clear_sky,
    clear_sky_kw,
    clear_sky_mean_kw,
    sun_at,
)
from forecasting.data.irradiance import nominal_geometry, power_from_ghi_kw
from forecasting.paper.features import lagged_kw, make_samples, paper_features

GOLDEN = PvGeometry(
    latitude_deg=39.74, longitude_deg=-105.18, tilt_deg=30.0, azimuth_deg=180.0, rated_kw=100.0
)
YEAR = pd.date_range("2026-01-01", "2027-01-01", freq="15min", tz="UTC", inclusive="left")
# 19:00 UTC is local noon at 105° west.
NOON = pd.DatetimeIndex(["2026-06-21T19:00Z"])


def test_the_sun_stands_where_the_nrel_algorithm_puts_it() -> None:
    times = YEAR[::7]
    mine = sun_at(39.74, -105.18, times)
    nrel = get_solarposition(times, 39.74, -105.18)
    up = nrel["zenith"].to_numpy() < 89
    zenith = np.abs(mine.apparent_zenith_deg - nrel["apparent_zenith"].to_numpy())
    turn = mine.azimuth_deg - nrel["azimuth"].to_numpy()
    assert zenith[up].max() < 0.1
    assert np.abs((turn + 180) % 360 - 180)[up].max() < 0.1


def test_clear_sky_irradiance_is_that_of_pvlibs_own_chain() -> None:
    times = YEAR[5000:5096]
    place = Location(39.74, -105.18)  # looks its own altitude up
    theirs = place.get_clearsky(times)["ghi"].to_numpy()
    assert clear_sky(39.74, -105.18, times).ghi_wm2 == pytest.approx(theirs, abs=4.0)


def test_clear_sky_power_stays_within_the_rating_and_is_zero_at_night() -> None:
    power = clear_sky_mean_kw(GOLDEN, YEAR)
    assert power.shape == YEAR.shape
    assert np.isfinite(power).all()
    assert power.min() == 0.0
    assert power.max() == 100.0
    night = sun_at(39.74, -105.18, YEAR).apparent_zenith_deg > 95
    assert (power[night] == 0.0).all()


def test_times_are_utc_and_another_zone_means_the_same_instant() -> None:
    denver = NOON.tz_convert("America/Denver")
    assert clear_sky_kw(GOLDEN, denver) == pytest.approx(clear_sky_kw(GOLDEN, NOON))
    with pytest.raises(ValueError, match="zone"):
        clear_sky_kw(GOLDEN, NOON.tz_localize(None))


def test_modules_facing_east_give_more_in_the_morning() -> None:
    morning = NOON - pd.Timedelta(hours=4)
    east, west = replace(GOLDEN, azimuth_deg=90.0), replace(GOLDEN, azimuth_deg=270.0)
    assert clear_sky_kw(east, morning)[0] > 1.5 * clear_sky_kw(west, morning)[0]


def test_the_mean_of_an_interval_agrees_with_minute_steps() -> None:
    starts = YEAR[16000:16096]
    minutes = pd.date_range(starts[0], periods=96 * 15, freq="1min") + pd.Timedelta(seconds=30)
    fine = clear_sky_kw(GOLDEN, minutes).reshape(96, 15).mean(axis=1)
    assert clear_sky_mean_kw(GOLDEN, starts) == pytest.approx(fine, abs=0.5)


def test_the_brightest_sky_counts_diffuse_light_while_the_sun_is_behind_the_modules() -> None:
    steep = replace(GOLDEN, tilt_deg=60.0)
    evening = pd.DatetimeIndex(["2026-06-22T01:00Z"])
    sky = clear_sky(39.74, -105.18, evening)
    assert brightest_power_kw(steep, sky)[0] > 2 * clear_sky_kw(steep, evening)[0]


def test_power_from_ghi_of_a_clear_sky_is_near_the_clear_sky_power() -> None:
    plant = nominal_geometry(39.74, -105.18)
    assert (plant.tilt_deg, plant.azimuth_deg) == (35.0, 180.0)
    starts = YEAR[16000:16096]
    middles = starts + pd.Timedelta(minutes=7.5)
    ghi = pd.Series(clear_sky(39.74, -105.18, middles).ghi_wm2, index=starts)
    ghi.iloc[50] = np.nan
    power = power_from_ghi_kw(plant, ghi)
    assert np.isnan(power.iloc[50])
    known = power.drop(power.index[50])
    clear = pd.Series(clear_sky_mean_kw(plant, starts), index=starts).drop(power.index[50])
    assert np.abs(known - clear).mean() < 0.02
    assert known.between(0.0, 1.0).all()


def test_southern_plants_face_north() -> None:
    assert nominal_geometry(-20.0, 30.0).azimuth_deg == 0.0
    assert nominal_geometry(-20.0, 30.0).tilt_deg == 20.0


# --- baselines -----------------------------------------------------------------------


def fading(measured: float, clear: float, target: float, index: float = 0.6) -> float:
    answer = fading_persistence_kw(
        measured_kw=np.array([measured]),
        clear_measured_kw=np.array([clear]),
        clear_target_kw=np.array([target]),
        rated_kw=100.0,
        index=index,
    )
    return float(answer[0])


def test_fading_persistence_keeps_the_clear_sky_index() -> None:
    assert fading(measured=30.0, clear=60.0, target=50.0) == pytest.approx(25.0)


def test_fading_persistence_bounds_the_index_and_the_power() -> None:
    assert fading(measured=90.0, clear=50.0, target=50.0) == pytest.approx(60.0)
    assert fading(measured=100.0, clear=100.0, target=100.0) == pytest.approx(100.0)
    assert fading(measured=-2.0, clear=50.0, target=50.0) == 0.0
    assert fading(measured=110.0, clear=95.0, target=99.0) == 100.0


def test_fading_persistence_before_sunrise_uses_the_climatological_index() -> None:
    assert fading(measured=0.0, clear=0.0, target=20.0) == pytest.approx(12.0)


def test_fading_persistence_fades_into_the_measured_index_as_the_sun_rises() -> None:
    # Half of the threshold of 5 kW: half of each index.
    assert fading(measured=0.5, clear=2.5, target=10.0) == pytest.approx(10 * (0.1 + 0.3))


def test_fading_persistence_of_an_unknown_measurement_is_unknown() -> None:
    assert np.isnan(fading(measured=np.nan, clear=50.0, target=50.0))


# --- features ------------------------------------------------------------------------


def test_features_are_the_nine_numbers_with_the_five_days_as_time_axis() -> None:
    lags = np.array([[10.0, 20.0, 30.0, 40.0, 50.0]])
    x = paper_features(lags, NOON, GOLDEN)
    assert x.shape == (1, 5, 5)
    assert x[0, :, 0] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert (x[0, :, 1:] == x[0, 0, 1:]).all(), "the calendar is the target's, beside each day"
    assert x[0, 0, 1:3] == pytest.approx([np.sin(2 * np.pi * 5 / 12), np.cos(2 * np.pi * 5 / 12)])
    # Solar noon within the interval: half a turn.
    assert x[0, 0, 3:] == pytest.approx([0.0, -1.0], abs=0.05)


def test_time_of_day_is_solar_time_so_that_noon_looks_alike_everywhere() -> None:
    lags = np.zeros((1, 5))
    east = replace(GOLDEN, longitude_deg=GOLDEN.longitude_deg + 90.0)
    here = paper_features(lags, NOON, GOLDEN)
    there = paper_features(lags, NOON - pd.Timedelta(hours=6), east)
    np.testing.assert_allclose(here, there, atol=1e-6)


def test_southern_summer_looks_like_northern_summer() -> None:
    lags = np.zeros((1, 5))
    south = replace(GOLDEN, latitude_deg=-39.74)
    december = pd.DatetimeIndex(["2026-12-21T19:00Z"])
    np.testing.assert_allclose(
        paper_features(lags, NOON, GOLDEN), paper_features(lags, december, south), atol=1e-6
    )


def test_lags_are_the_same_utc_time_of_the_five_previous_days_oldest_first() -> None:
    series = pd.Series(np.arange(len(YEAR), dtype=float), index=YEAR)
    target = YEAR[[1000]]
    assert lagged_kw(series, target)[0].tolist() == [1000 - 96 * d for d in (5, 4, 3, 2, 1)]
    holed = series.drop(YEAR[1000 - 96 * 2])
    np.testing.assert_array_equal(np.isnan(lagged_kw(holed, target)[0]), [0, 0, 0, 1, 0])


def test_samples_need_daylight_and_all_five_lags_and_nothing_is_imputed() -> None:
    starts = YEAR[15000 : 15000 + 96 * 10]
    power = pd.Series(0.8 * clear_sky_mean_kw(GOLDEN, starts), index=starts)
    whole, with_lags = make_samples(power, GOLDEN)
    assert whole.starts[0] >= starts[0] + pd.Timedelta(days=5)
    assert with_lags == pytest.approx(0.5, abs=0.05)
    assert (whole.clear >= 0.01).all()
    assert whole.x.shape == (len(whole), 5, 5)
    gone = whole.starts[10] - pd.Timedelta(days=3)
    holed, _ = make_samples(power.where(power.index != gone), GOLDEN)
    assert whole.starts[10] not in holed.starts
    assert np.isfinite(holed.x).all()


def test_samples_do_not_see_their_own_or_later_power() -> None:
    starts = YEAR[15000 : 15000 + 96 * 8]
    power = pd.Series(0.8 * clear_sky_mean_kw(GOLDEN, starts), index=starts)
    before, _ = make_samples(power, GOLDEN)
    changed = power.copy()
    cut = starts[96 * 7]
    changed[changed.index >= cut] *= 0.1
    after, _ = make_samples(changed, GOLDEN)
    early = before.starts <= cut
    np.testing.assert_array_equal(before.x[early], after.x[early])
