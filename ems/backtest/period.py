"""The days of a backtest: local, from midnight to midnight, of 92, 96 or 100 intervals."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from ems.clock import INTERVAL, interval_start

ONE_DAY = timedelta(days=1)


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
