"""The days of a backtest: local, from midnight to midnight, of 92, 96 or 100 intervals."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from ems.clock import INTERVAL, interval_start
from ems.errors import Fault

ONE_DAY = timedelta(days=1)
EARLIEST = date(1971, 1, 1)
"""Random streams of skies and loads are numbered from 1970 on, anywhere on Earth."""
LATEST = date(2199, 12, 31)
"""Instants are told in nanoseconds, and end in 2262."""
LONGEST_DAYS = 3660
"""Ten years; beyond that a date is a slip of the pen."""
UNDATED = date.min
"""First and last day of a study that needs none, as of the worst hours alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Local days, both ends included."""

    first: date
    last: date
    zone: str
    """Whose midnights they begin at."""

    @property
    def begin(self) -> datetime:
        """Start of its first interval, UTC."""
        return midnight(self.first, self.zone)

    @property
    def end(self) -> datetime:
        """End of its last interval, UTC."""
        return midnight(self.last + ONE_DAY, self.zone)

    @property
    def intervals(self) -> int:
        """How many it holds."""
        return (self.end - self.begin) // INTERVAL

    @property
    def days(self) -> tuple[date, ...]:
        """All of them, in order; a day that a change of zone left out is none."""
        count = (self.last - self.first).days + 1
        every = (self.first + i * ONE_DAY for i in range(count))
        return tuple(d for d in every if intervals_of(d, self.zone))


def day_faults(place: str, day: date) -> list[Fault]:
    """A day that cannot be simulated.

    Args:
        place: option that names it.
        day: local.
    """
    if EARLIEST <= day <= LATEST:
        return []
    problem = f"{day} is out of reach; give a day from {EARLIEST} to {LATEST}"
    return [Fault(place=place, problem=problem)]


def period_faults(first: date, last: date) -> list[Fault]:
    """Days that are no period."""
    if first == last == UNDATED:
        return []
    beyond = [*day_faults("--from", first), *day_faults("--to", last)]
    if beyond:
        return beyond
    if last < first:
        problem = f"{last} lies before --from {first}; the period is empty"
        return [Fault(place="--to", problem=problem)]
    if (last - first).days >= LONGEST_DAYS:
        problem = f"{(last - first).days + 1} days are more than ten years; check the dates"
        return [Fault(place="--to", problem=problem)]
    return []


def parts_of_months(first: date, last: date) -> tuple[str, ...]:
    """Calendar months that a period holds in part only, as `5 of 30 days of June 2019`.

    Args:
        first: local day.
        last: local day, included.
    """
    found, month = [], first.replace(day=1)
    while month <= last:
        following = (month + 31 * ONE_DAY).replace(day=1)
        held = (min(last + ONE_DAY, following) - max(first, month)).days
        whole = (following - month).days
        if held < whole:
            found.append(f"{held} of {whole} days of {month:%B %Y}")
        month = following
    return tuple(found)


def midnight(day: date, zone: str) -> datetime:
    """When a local day begins, UTC; where the clock leaps over midnight, when it leaps."""
    local = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    return interval_start(local.astimezone(UTC))


def intervals_of(day: date, zone: str) -> int:
    """How many intervals a local day has: 92 or 100 when clocks change, otherwise 96."""
    return (midnight(day + ONE_DAY, zone) - midnight(day, zone)) // INTERVAL
