"""What grid energy costs, at any instant.

A tariff is a zone, a set of periods with windows in local time, and perhaps a season.
Exactly one period has no windows: it holds whatever the others leave, so every instant
falls into exactly one period, on days of 23, 24 and 25 hours alike.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from ems.errors import BadInput

Days = Literal["weekdays", "days_off", "all"]
Calendar = Literal["pge", "none"]

OUTSIDE_SEASON = "outside_season"
"""Name of the period outside a seasonal tariff's season."""

_SHIPPED = Path(__file__).with_name("tariffs.toml")

# PG&E observes eight of the federal holidays, on the dates on which they are legally
# observed (electric rule of its time-of-use schedules).
_PGE_HOLIDAYS = (
    "New Year's Day",
    "Washington's Birthday",
    "Memorial Day",
    "Independence Day",
    "Labor Day",
    "Veterans Day",
    "Thanksgiving Day",
    "Christmas Day",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Part of a day, in local time."""

    days: Days
    """`weekdays`: Monday to Friday without holidays; `days_off`: the others; `all`."""
    start_min: int
    """First minute of the day it holds."""
    end_min: int
    """First minute it no longer holds; 1440 is midnight."""

    def holds(self, *, day_off: bool, minute: int) -> bool:
        """True when a minute of such a day lies in the window."""
        if self.days != "all" and (self.days == "days_off") != day_off:
            return False
        return self.start_min <= minute < self.end_min


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Instants that share a price."""

    name: str
    usd_per_kwh: float
    """Price of grid energy [$/kWh]."""
    windows: tuple[Window, ...] = ()
    """Empty: whatever the other periods leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Season:
    """The part of the year a tariff is published for; both days belong to it."""

    start: tuple[int, int]
    """Month and day."""
    end: tuple[int, int]

    def holds(self, day: date) -> bool:
        """True when the day lies in the season, which may run over New Year."""
        at = (day.month, day.day)
        if self.start <= self.end:
            return self.start <= at <= self.end
        return at >= self.start or at <= self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """The price of grid energy over time."""

    name: str
    zone: ZoneInfo
    """Local zone of the windows."""
    periods: tuple[Period, ...]
    """Exactly one of them without windows."""
    holidays: Calendar = "none"
    season: Season | None = None
    """None: all year."""
    outside_season_usd_per_kwh: float | None = None
    """Price outside the season; needed when there is one [$/kWh]."""

    def __post_init__(self) -> None:
        """Refuse a tariff that leaves an instant without a price, or gives it two."""
        faults = window_faults(self.periods)
        if self.season is not None and self.outside_season_usd_per_kwh is None:
            faults.append("has a season, and no outside_season_usd_per_kwh")
        if faults:
            raise ValueError(f"tariff {self.name}: " + "; ".join(faults))

    def price(self, when: datetime) -> float:
        """Price of grid energy at an instant [$/kWh].

        Args:
            when: An aware time.

        Raises:
            ValueError: `when` has no zone.
        """
        found = self._find(when)
        if found is not None:
            return found.usd_per_kwh
        # __post_init__ refuses a season without this price.
        return float(self.outside_season_usd_per_kwh or 0.0)

    def period(self, when: datetime) -> str:
        """Name of the period that holds an instant; `outside_season` outside the season.

        Raises:
            ValueError: `when` has no zone.
        """
        found = self._find(when)
        return OUTSIDE_SEASON if found is None else found.name

    def _find(self, when: datetime) -> Period | None:
        if when.tzinfo is None:
            raise ValueError(f"{when} has no zone; give an aware time")
        local = when.astimezone(self.zone)
        if self.season is not None and not self.season.holds(local.date()):
            return None
        off = is_day_off(local.date(), self.holidays)
        minute = 60 * local.hour + local.minute
        rest = None
        for period in self.periods:
            if not period.windows:
                rest = period
            elif any(w.holds(day_off=off, minute=minute) for w in period.windows):
                return period
        return rest


def is_day_off(day: date, calendar: Calendar) -> bool:
    """True on Saturdays, Sundays and the calendar's holidays."""
    return day.weekday() >= 5 or (calendar == "pge" and day in _pge_holidays(day.year))


@lru_cache(maxsize=16)
def _pge_holidays(year: int) -> frozenset[date]:
    import holidays  # noqa: PLC0415 - 0.1 s that a flat price need not pay

    federal = holidays.country_holidays("US", years=year)
    return frozenset(
        day
        for day, names in federal.items()
        if any(name.removesuffix(" (observed)") in _PGE_HOLIDAYS for name in names.split("; "))
    )


def flat(usd_per_kwh: float) -> Tariff:
    """One price at all times [$/kWh]."""
    period = Period(name="flat", usd_per_kwh=usd_per_kwh)
    return Tariff(name="flat", zone=ZoneInfo("UTC"), periods=(period,))


@cache
def _shipped() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads(_SHIPPED.read_text(encoding="utf-8"))


def names() -> tuple[str, ...]:
    """Names of the tariffs that ship with GEEMS."""
    return tuple(_shipped())


def is_seasonal(name: str) -> bool:
    """True when a shipped tariff is published for a part of the year only."""
    return "season" in _shipped()[name]


def named(name: str, *, outside_season_usd_per_kwh: float | None = None) -> Tariff:
    """A tariff that ships with GEEMS.

    Args:
        name: One of `names()`.
        outside_season_usd_per_kwh: Price outside the tariff's season [$/kWh].

    Raises:
        BadInput: No tariff of that name ships, or its season leaves times without a price.
    """
    if name not in _shipped():
        raise BadInput.at("tariff.name", f'"{name}" does not ship; known: {", ".join(names())}')
    if is_seasonal(name) and outside_season_usd_per_kwh is None:
        raise BadInput.at("tariff.outside_season_usd_per_kwh", f"missing: {name} is seasonal")
    return from_table(name, _shipped()[name], outside_season_usd_per_kwh=outside_season_usd_per_kwh)


def from_table(
    name: str, table: Mapping[str, Any], *, outside_season_usd_per_kwh: float | None = None
) -> Tariff:
    """A tariff from a table laid out as in `tariffs.toml`.

    Args:
        name: Name of the tariff.
        table: Keys `zone`, `holidays`, `season`, `period`, of checked form.
        outside_season_usd_per_kwh: Price outside the table's season [$/kWh].
    """
    season = table.get("season")
    return Tariff(
        name=name,
        zone=ZoneInfo(table["zone"]),
        holidays=table.get("holidays") or "none",
        season=season
        and Season(start=month_and_day(season["start"]), end=month_and_day(season["end"])),
        outside_season_usd_per_kwh=outside_season_usd_per_kwh,
        periods=periods_of(table["period"]),
    )


def periods_of(tables: Iterable[Mapping[str, Any]]) -> tuple[Period, ...]:
    """Periods from tables of checked form: `name`, `usd_per_kwh`, `windows`."""
    return tuple(
        Period(
            name=period["name"],
            usd_per_kwh=period["usd_per_kwh"],
            windows=tuple(
                Window(
                    days=w["days"],
                    start_min=minute_of_day(w["start"]),
                    end_min=minute_of_day(w["end"]),
                )
                for w in period.get("windows", ())
            ),
        )
        for period in tables
    )


def month_and_day(text: str) -> tuple[int, int]:
    """Month and day of `MM-DD`.

    Raises:
        ValueError: There is no such day.
    """
    month, day = (int(part) for part in text.split("-"))
    date(2024, month, day)  # a leap year, so that 02-29 is a day
    return month, day


def minute_of_day(text: str) -> int:
    """Minute of the day of `HH:MM`; 24:00 is the end of the day."""
    hour, minute = (int(part) for part in text.split(":"))
    return 60 * hour + minute


def window_faults(periods: Sequence[Period]) -> list[str]:
    """Why these periods do not give every instant exactly one price; empty when they do."""
    faults = []
    rest = [p.name for p in periods if not p.windows]
    if len(rest) != 1:
        faults.append(
            "exactly one period must have no windows, to hold whatever the others leave; "
            f"{len(rest)} have none" + (f": {', '.join(rest)}" if rest else "")
        )
    doubled = sorted({p.name for p in periods if [q.name for q in periods].count(p.name) > 1})
    faults += [f"two periods are called {name}" for name in doubled]
    timed = [(p.name, w) for p in periods for w in p.windows]
    faults += [f"a window of {name} ends before it starts" for name, w in timed if _empty(w)]
    for i, (name, window) in enumerate(timed):
        for other, rival in timed[i + 1 :]:
            if _overlap(window, rival):
                faults.append(f"windows of {name} and {other} overlap")
    return faults


def _empty(window: Window) -> bool:
    return window.end_min <= window.start_min


def _overlap(a: Window, b: Window) -> bool:
    apart = {a.days, b.days} == {"weekdays", "days_off"}
    return not apart and a.start_min < b.end_min and b.start_min < a.end_min
