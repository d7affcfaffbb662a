"""Properties of every shipped tariff, over whole years, changes of the clock included."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ems import tariff
from ems.tariff import OUTSIDE_SEASON, Tariff

PACIFIC = ZoneInfo("America/Los_Angeles")
INSTANTS = st.datetimes(
    min_value=datetime(2015, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(2035, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def shipped() -> list[Tariff]:
    return [tariff.named(name, outside_season_usd_per_kwh=0.2) for name in tariff.names()]


def holders(subject: Tariff, when: datetime) -> list[str]:
    """Periods whose windows hold an instant, found without the tariff's own search."""
    local = when.astimezone(PACIFIC)
    minute = 60 * local.hour + local.minute
    off = tariff.is_day_off(local.date(), subject.holidays)
    return [
        p.name
        for p in subject.periods
        for w in p.windows
        if (w.days == "all" or (w.days == "days_off") == off) and w.start_min <= minute < w.end_min
    ]


@given(when=INSTANTS)
def test_every_instant_has_exactly_one_period_and_its_price(when: datetime) -> None:
    for subject in shipped():
        name = subject.period(when)
        if name == OUTSIDE_SEASON:
            assert when.astimezone(PACIFIC).month not in range(5, 11)
            assert subject.price(when) == 0.2
            continue
        assert when.astimezone(PACIFIC).month in range(5, 11)
        found = holders(subject, when)
        assert len(found) <= 1
        assert name == (found[0] if found else "off_peak")
        assert subject.price(when) == {p.name: p.usd_per_kwh for p in subject.periods}[name]


@given(when=INSTANTS, hours=st.integers(-12, 14))
def test_the_price_belongs_to_the_instant_not_to_the_zone_it_is_written_in(
    when: datetime, hours: int
) -> None:
    elsewhere = when.astimezone(ZoneInfo(f"Etc/GMT{-hours:+d}"))
    for subject in shipped():
        assert subject.price(when) == subject.price(elsewhere)


@pytest.mark.parametrize("year", [2019, 2026])
def test_a_whole_year_of_quarter_hours_sums_to_the_published_hours(year: int) -> None:
    subject = tariff.named("pge_a6_2019_summer", outside_season_usd_per_kwh=0.2)
    when, end = datetime(year, 1, 1, 8, tzinfo=UTC), datetime(year + 1, 1, 1, 8, tzinfo=UTC)
    hours: dict[str, float] = {}
    peak_days = set()
    while when < end:
        name = subject.period(when)
        hours[name] = hours.get(name, 0.0) + 0.25
        if name == "peak":
            peak_days.add(when.astimezone(PACIFIC).date())
        when += timedelta(minutes=15)
    assert sum(hours.values()) == 8760
    assert hours["peak"] == 6 * len(peak_days)
    assert hours["partial_peak"] == 7 * len(peak_days)
    # November to April, less the hour that March loses and plus the one November gains.
    assert hours[OUTSIDE_SEASON] == 24 * 181
    assert hours["off_peak"] == 24 * 184 - 13 * len(peak_days)


def test_an_own_tariff_is_whole_on_days_of_23_and_25_hours() -> None:
    night = {"days": "all", "start": "00:00", "end": "03:00"}
    table = {
        "zone": "America/Los_Angeles",
        "period": [
            {"name": "night", "usd_per_kwh": 0.1, "windows": [night]},
            {"name": "day", "usd_per_kwh": 0.3},
        ],
    }
    subject = tariff.from_table("own", table)
    for start, night_hours in ((datetime(2026, 3, 8, 8), 2), (datetime(2026, 11, 1, 7), 4)):  # noqa: DTZ001
        first = start.replace(tzinfo=UTC)
        names = [subject.period(first + timedelta(minutes=15 * i)) for i in range(16 * 4)]
        assert names.count("night") == 4 * night_hours
