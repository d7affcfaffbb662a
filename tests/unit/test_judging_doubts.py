"""What a reader of the scores is warned of: data that contradict what was said, or the sky."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from forecasting.judging.judged import Asked, Judged, judged
from tests.cloudy import ROOF, power_kw, write_csv

DAY = 96


def warned(path: Path, series: "pd.Series[float]", **changes: object) -> str:
    """The warnings on a file of the roof, whose orientation nobody gave."""
    return "\n".join(case(path, series, **changes).warnings)


def case(path: Path, series: "pd.Series[float]", **changes: object) -> Judged:
    usual = Asked(
        path=write_csv(path / "roof.csv", series),
        latitude_deg=ROOF.latitude_deg,
        longitude_deg=ROOF.longitude_deg,
        capacity_kw=ROOF.rated_kw,
        calibration_days=60,
    )
    return judged(replace(usual, **changes))  # type: ignore[arg-type]


def roof(days: int = 64) -> "pd.Series[float]":
    return power_kw(days, seed=4)


def scarred(rows: slice, value: float) -> "pd.Series[float]":
    series = roof().copy()
    series.iloc[rows] = value
    return series


def test_a_sound_file_and_true_numbers_warn_of_nothing(tmp_path: Path) -> None:
    assert warned(tmp_path, roof()) == ""


def test_a_fitted_orientation_contradicts_nobody(tmp_path: Path) -> None:
    assert warned(tmp_path, roof(), tilt_deg=None, azimuth_deg=None) == ""
    assert "seem to face" in warned(tmp_path, roof(), tilt_deg=30.0, azimuth_deg=270.0)


@pytest.mark.parametrize("times", [1000.0, 10.0])
def test_a_rating_far_too_high_is_warned_of(tmp_path: Path, times: float) -> None:
    told = warned(tmp_path, roof(), capacity_kw=times * ROOF.rated_kw)
    assert "times its rating: check rated_kw" in told


def test_power_above_the_rating_is_warned_of_with_its_share(tmp_path: Path) -> None:
    told = warned(tmp_path, roof(), capacity_kw=0.6 * ROOF.rated_kw)
    assert "% of power lies above the rating of 12 kW" in told


def test_a_spike_says_nothing_of_the_rating_and_is_counted(tmp_path: Path) -> None:
    told = warned(tmp_path, scarred(slice(48, 49), 50.0))
    assert "above the rating" not in told
    assert "1 value(s) lie beyond 1.25 times the rating, up to 50 kW" in told


def test_watts_are_told_once(tmp_path: Path) -> None:
    told = warned(tmp_path, 1000.0 * roof())
    assert "if it is in watts" in told
    assert "check" not in told


def test_times_that_run_against_the_sun_are_warned_of(tmp_path: Path) -> None:
    told = warned(tmp_path, roof(), longitude_deg=-ROOF.longitude_deg - 60.0)
    assert "check the time zone" in told
    assert "sign of --lat" not in told


@pytest.mark.parametrize("given", [{}, {"tilt_deg": 30.0, "azimuth_deg": 0.0}])
def test_the_wrong_hemisphere_shows_in_the_length_of_the_days(
    tmp_path: Path, given: dict[str, float]
) -> None:
    winter = power_kw(64, seed=4, first="2022-12-01")
    told = warned(tmp_path, winter, latitude_deg=-ROOF.latitude_deg, **given)
    assert "as long as at a latitude of 48.1°, not -48.1°: check the sign of --lat" in told
    assert "sign of --lat" not in warned(tmp_path, winter)


# --- what is not the sky's -----------------------------------------------------------


def test_an_outage_is_told_with_its_share_and_scored_all_the_same(tmp_path: Path) -> None:
    # In June no snow lies.
    series = power_kw(64, seed=4, first="2023-05-20").copy()
    series.iloc[20 * DAY : 24 * DAY] = 0.0
    told = warned(tmp_path, series)
    assert "% of the daylight intervals look unlike the sky" in told
    assert "% an outage" in told


def test_a_meter_that_stands_still_is_told(tmp_path: Path) -> None:
    told = warned(tmp_path, scarred(slice(20 * DAY, 24 * DAY), 6.0))
    assert "a meter that stands still" in told


def test_an_hour_of_it_in_two_months_is_not_told(tmp_path: Path) -> None:
    assert warned(tmp_path, scarred(slice(20 * DAY + 46, 20 * DAY + 51), 0.0)) == ""


@pytest.mark.parametrize(("value", "what"), [(0.0, "every value is 0"), (7.0, "every value is 7")])
def test_a_file_without_sun_is_said_to_be_one(tmp_path: Path, value: float, what: str) -> None:
    told = warned(tmp_path, scarred(slice(None), value))
    assert f"no sun in this file: {what}" in told


def test_a_file_of_own_consumption_alone_has_no_sun(tmp_path: Path) -> None:
    series = scarred(slice(None), 0.0)
    series.iloc[::7] = -0.01
    assert "no sun in this file: no value is above 0" in warned(tmp_path, series)


@pytest.mark.parametrize(("factor", "doubtful"), [(45.0, False), (1.0, True), (1000.0, True)])
def test_irradiance_that_no_sky_gives_is_warned_of(
    tmp_path: Path, factor: float, *, doubtful: bool
) -> None:
    told = warned(tmp_path, factor * roof(), kind="ghi")
    assert ("check unit and column" in told) is doubtful


# --- what a series is that judges no model of all plants ------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"capacity_kw": 10.0 * ROOF.rated_kw},
        {"capacity_kw": 0.6 * ROOF.rated_kw},
        {"longitude_deg": -ROOF.longitude_deg - 60.0},
        {"tilt_deg": 30.0, "azimuth_deg": 270.0},
    ],
)
def test_what_contradicts_what_was_said_is_a_misfit(
    tmp_path: Path, changes: dict[str, float]
) -> None:
    found = case(tmp_path, roof(), **changes)
    assert found.misfits
    assert set(found.misfits) <= set(found.warnings)


def test_what_the_meter_does_is_none(tmp_path: Path) -> None:
    stood_still = scarred(slice(20 * DAY, 24 * DAY), 6.0)
    stood_still.iloc[48] = 50.0
    found = case(tmp_path, stood_still)
    assert any("times the rating" in told for told in found.warnings)
    assert any("stands still" in told for told in found.warnings)
    assert found.misfits == ()


def test_a_file_without_sun_or_of_another_unit_is_one(tmp_path: Path) -> None:
    for series in (scarred(slice(None), 0.0), 1000.0 * roof()):
        found = case(tmp_path, series)
        assert found.misfits == found.warnings != ()
