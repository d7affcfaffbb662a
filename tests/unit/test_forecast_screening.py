"""What the sky does not explain is recognised and censored, and little else."""

import numpy as np
import pandas as pd
import pytest

from forecasting.clearsky import Floats, PvGeometry, clear_sky_mean_kw
from forecasting.data.screening import CENSORED, Reason, Screened, screened
from forecasting.record import PlantRecord, is_daylight, plant_record
from tests.cloudy import ROOF, changed, power_kw, sky_index

SUMMER, WINTER = "2023-06-01", "2023-01-10"
NOON = 44  # of the first day, in Munich: 11 UTC


def roof(first: str = SUMMER, days: int = 10) -> Floats:
    return np.array(power_kw(days, first=first), dtype=np.float64)


def record(power: Floats, first: str = SUMMER) -> PlantRecord:
    starts = pd.date_range(first, periods=len(power), freq="15min", tz="UTC")
    return plant_record(pd.Series(power, index=starts), 15)


def reasons(
    power: Floats, *, first: str = SUMMER, causal: bool = False, geometry: PvGeometry = ROOF
) -> Screened:
    return screened(record(power, first), geometry, causal=causal)


@pytest.mark.parametrize("first", [SUMMER, WINTER])
@pytest.mark.parametrize("causal", [False, True])
def test_a_plant_that_works_is_hardly_ever_flagged(first: str, *, causal: bool) -> None:
    found = reasons(roof(first, days=120), first=first, causal=causal)
    day = is_daylight(ROOF, found.record.starts)
    wrong = np.isin(found.reason, [int(r) for r in CENSORED]) & day
    assert wrong.sum() / day.sum() < 0.005


def test_an_hour_at_nothing_under_a_high_sun_is_an_outage() -> None:
    power = roof()
    power[NOON : NOON + 8] = 0.0
    found = reasons(power)
    assert set(found.reason[NOON : NOON + 8]) == {Reason.OUTAGE}
    assert np.isnan(found.record.parts_kw[NOON : NOON + 8]).all()
    assert (found.record.floor_kw[NOON : NOON + 8] == 0).all()
    assert found.counts[Reason.OUTAGE] == 8


def test_half_an_hour_at_nothing_is_none() -> None:
    power = roof()
    power[NOON : NOON + 2] = 0.0
    assert Reason.OUTAGE not in reasons(power).counts


def test_a_day_without_power_is_one_outage_from_sunrise_to_sunset() -> None:
    power = roof()
    power[96:192] = 0.0
    found = reasons(power)
    day = is_daylight(ROOF, found.record.starts)[96:192]
    assert (found.reason[96:192][day] == Reason.OUTAGE).all()
    assert (found.reason[192:] != Reason.OUTAGE).all()


def test_causal_screening_needs_the_hour_to_pass_and_uses_nothing_later() -> None:
    power = roof()
    power[NOON : NOON + 8] = 0.0
    found = reasons(power, causal=True)
    assert (found.reason[NOON : NOON + 3] == Reason.FINE).all()
    assert (found.reason[NOON + 3 : NOON + 8] == Reason.OUTAGE).all()


@pytest.mark.parametrize("begin", [NOON + 5, 300, 700])
def test_what_comes_later_changes_no_causal_verdict(begin: int) -> None:
    power = roof(WINTER)
    power[NOON : NOON + 8] = 0.0
    power[96:160] *= 0.02
    power[300:320] = np.minimum(power[300:320], 5.0)
    whole = record(power, WINTER)
    before = screened(whole, ROOF, causal=True).reason[:begin]
    after = screened(changed(whole, begin), ROOF, causal=True).reason[:begin]
    np.testing.assert_array_equal(before, after)


def snowed(first: str) -> Screened:
    power = roof(first)
    power[96:192] = 0.03 * clear(first)[96:192]
    return reasons(power, first=first)


def clear(first: str, days: int = 10) -> Floats:
    starts = pd.date_range(first, periods=96 * days, freq="15min", tz="UTC")
    return clear_sky_mean_kw(ROOF, starts)


def test_hours_at_a_thirtieth_of_the_clear_sky_in_winter_are_snow() -> None:
    found = snowed(WINTER)
    assert found.counts[Reason.SNOW] > 20
    assert set(found.reason[:96]) <= {Reason.FINE}


def test_the_same_in_summer_is_weather() -> None:
    assert Reason.SNOW not in snowed(SUMMER).counts


def test_a_dull_winter_day_is_no_snow() -> None:
    power = roof(WINTER)
    power[96:192] = 0.10 * clear(WINTER)[96:192]
    assert Reason.SNOW not in reasons(power, first=WINTER).counts


def capped(level: float) -> Floats:
    power = clear(SUMMER) * sky_index(960, 15, 5) ** 0.1
    power[192:288] = np.minimum(clear(SUMMER)[192:288], level)
    return power


def test_a_plateau_below_the_limit_is_a_cap_nobody_told_of() -> None:
    found = reasons(capped(8.0))
    flat = np.flatnonzero(capped(8.0) == 8.0)
    assert (found.reason[flat] == Reason.CURTAILED).mean() > 0.9
    at = flat[len(flat) // 2]
    assert np.isnan(found.record.cap_kw[at])
    assert found.record.floor_kw[at] == pytest.approx(8.0), "the plant could do this at least"
    assert (found.reason[:192] != Reason.CURTAILED).all()


def test_a_plateau_at_the_rating_is_the_inverter_and_stays() -> None:
    geometry = PvGeometry(
        latitude_deg=48.1, longitude_deg=11.6, tilt_deg=30, azimuth_deg=180, rated_kw=20, scale=1.4
    )
    starts = pd.date_range(SUMMER, periods=960, freq="15min", tz="UTC")
    power = clear_sky_mean_kw(geometry, starts)
    found = reasons(power, geometry=geometry)
    assert found.counts[Reason.CLIPPED] > 100
    assert set(found.counts) == {Reason.FINE, Reason.CLIPPED}
    np.testing.assert_array_equal(found.record.available_kw, power)


def test_an_inverter_smaller_than_the_rating_is_a_limit_too() -> None:
    power = np.minimum(clear(SUMMER), 15.0)
    assert set(reasons(power).counts) == {Reason.FINE, Reason.CLIPPED}


def test_a_value_that_stays_where_the_sky_allows_less_is_a_meter_that_stands_still() -> None:
    power = roof()
    power[66:84] = 9.0  # on into the dark
    found = reasons(power)
    assert found.counts[Reason.FLAT] >= 6
    assert np.isnan(found.record.parts_kw[found.reason == Reason.FLAT]).all()
    assert np.isnan(found.record.floor_kw[found.reason == Reason.FLAT]).all()


def test_power_in_the_dark_is_an_offset() -> None:
    power = roof()
    dark = clear(SUMMER) == 0
    found = reasons(np.where(dark, -0.3, power))
    assert found.counts[Reason.NIGHT] > 50
    assert Reason.NIGHT not in reasons(np.where(dark, -0.05, power)).counts


def test_a_dark_winter_in_the_far_north_is_no_outage() -> None:
    north = PvGeometry(
        latitude_deg=69.6, longitude_deg=18.9, tilt_deg=40, azimuth_deg=180, rated_kw=20
    )
    assert set(reasons(np.zeros(960), first="2023-12-10", geometry=north).counts) == {Reason.FINE}


@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_a_record_too_short_to_judge_is_left_alone(count: int) -> None:
    short = record(roof()).part(0, count)
    assert (screened(short, ROOF).reason == Reason.FINE).all()
    assert len(screened(short, ROOF).record) == count


def test_unknown_intervals_stay_unknown_and_are_not_flagged() -> None:
    found = reasons(np.full(960, np.nan))
    assert set(found.counts) == {Reason.FINE}
    assert np.isnan(found.record.available_kw).all()
