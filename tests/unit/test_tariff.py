"""The price of grid energy at any instant."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from ems import tariff
from ems.errors import BadInput
from ems.tariff import Period, Season, Tariff, Window

PACIFIC = ZoneInfo("America/Los_Angeles")
A6 = tariff.named("pge_a6_2019_summer", outside_season_usd_per_kwh=0.2)


def at(text: str) -> datetime:
    """A Pacific local time, given in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=PACIFIC).astimezone(UTC)


@pytest.mark.parametrize(
    ("local", "period", "usd_per_kwh"),
    [
        ("2020-07-15T00:00", "off_peak", 0.20555),
        ("2020-07-15T08:29", "off_peak", 0.20555),
        ("2020-07-15T08:30", "partial_peak", 0.27715),
        ("2020-07-15T11:59:59", "partial_peak", 0.27715),
        ("2020-07-15T12:00", "peak", 0.57397),
        ("2020-07-15T14:00", "peak", 0.57397),
        ("2020-07-15T17:59:59", "peak", 0.57397),
        ("2020-07-15T18:00", "partial_peak", 0.27715),
        ("2020-07-15T21:30", "off_peak", 0.20555),
        ("2020-07-18T14:00", "off_peak", 0.20555),  # a Saturday
        ("2020-05-01T14:00", "peak", 0.57397),  # first day of the season
        ("2020-04-30T23:59", "outside_season", 0.2),
        ("2020-10-30T14:00", "peak", 0.57397),
        ("2020-10-31T14:00", "off_peak", 0.20555),  # last day, a Saturday
        ("2020-11-01T00:00", "outside_season", 0.2),
    ],
)
def test_a6_follows_the_published_summer_hours(local: str, period: str, usd_per_kwh: float) -> None:
    assert A6.period(at(local)) == period
    assert A6.price(at(local)) == usd_per_kwh


@pytest.mark.parametrize(
    "day",
    [
        "2020-05-25",  # Memorial Day
        "2021-07-05",  # Independence Day fell on a Sunday: observed on Monday
        "2020-07-03",  # and on a Saturday: observed on Friday
        "2020-09-07",  # Labor Day
    ],
)
def test_observed_holidays_are_off_peak_all_day(day: str) -> None:
    assert A6.period(at(f"{day}T14:00")) == "off_peak"


@pytest.mark.parametrize(
    "day",
    [
        "2021-06-18",  # Juneteenth, observed by others
        "2020-10-12",  # Columbus Day
    ],
)
def test_federal_holidays_that_pge_does_not_observe_are_working_days(day: str) -> None:
    assert A6.period(at(f"{day}T14:00")) == "peak"


def test_winter_holidays_and_those_observed_in_the_year_before_are_days_off() -> None:
    new_year, veterans, presidents, king = (
        datetime.fromisoformat(d).date()
        for d in ("2021-12-31", "2020-11-11", "2021-02-15", "2021-01-18")
    )
    assert tariff.is_day_off(new_year, "pge")
    assert tariff.is_day_off(veterans, "pge")
    assert tariff.is_day_off(presidents, "pge")
    assert not tariff.is_day_off(king, "pge")


def test_all_published_tariffs_ship_with_the_published_peak_prices() -> None:
    peaks = {
        name: tariff.named(name, outside_season_usd_per_kwh=0.1).price(at("2019-08-01T14:00"))
        for name in tariff.names()
    }
    assert peaks == {
        "pge_a6_2019_summer": 0.57397,
        "pge_a10_2019_summer": 0.22980,
        "pge_e19_secondary_2019_summer": 0.16483,
        "pge_e20_primary_2019_summer": 0.15608,
    }


def test_a_flat_tariff_has_one_price() -> None:
    assert tariff.flat(0.31).price(at("2020-01-01T00:00")) == 0.31
    assert tariff.flat(0.31).period(at("2020-01-01T00:00")) == "flat"


def test_an_unknown_tariff_names_the_known_ones() -> None:
    with pytest.raises(BadInput, match="pge_a6_2019_summer"):
        tariff.named("pge_b6")


def test_a_seasonal_tariff_needs_a_price_for_the_rest_of_the_year() -> None:
    with pytest.raises(BadInput, match="outside_season_usd_per_kwh"):
        tariff.named("pge_a6_2019_summer")


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no zone"):
        A6.price(datetime(2020, 7, 15, 14))  # noqa: DTZ001 - that is what is refused


def test_a_season_may_run_over_new_year() -> None:
    winter = Season(start=(11, 1), end=(4, 30))
    inside = [datetime.fromisoformat(d).date() for d in ("2020-11-01", "2021-01-01", "2021-04-30")]
    outside = [datetime.fromisoformat(d).date() for d in ("2020-10-31", "2021-05-01")]
    assert all(winter.holds(day) for day in inside)
    assert not any(winter.holds(day) for day in outside)


def test_windows_that_leave_or_double_an_instant_are_refused() -> None:
    noon = Window(days="all", start_min=600, end_min=900)
    late = Window(days="weekdays", start_min=840, end_min=960)
    backwards = Window(days="days_off", start_min=600, end_min=600)
    periods = (
        Period(name="a", usd_per_kwh=1.0, windows=(noon,)),
        Period(name="a", usd_per_kwh=1.0, windows=(late,)),
        Period(name="b", usd_per_kwh=1.0, windows=(backwards,)),
    )
    with pytest.raises(ValueError, match="tariff x") as refused:
        Tariff(name="x", zone=PACIFIC, periods=periods)
    text = str(refused.value)
    assert "exactly one period must have no windows" in text
    assert "two periods are called a" in text
    assert "a window of b ends before it starts" in text
    assert "windows of a and a overlap" in text


def test_a_seasonal_tariff_without_an_outside_price_is_refused() -> None:
    with pytest.raises(ValueError, match="outside_season_usd_per_kwh"):
        Tariff(
            name="x",
            zone=PACIFIC,
            periods=(Period(name="a", usd_per_kwh=1.0),),
            season=Season(start=(5, 1), end=(10, 31)),
        )
