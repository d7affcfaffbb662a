"""The month's highest import, as far as it is known when an interval is decided.

A demand charge is of calendar months where the site is, and of means over intervals. What was
measured counts. Where nobody measured the interval before, what was decided for it does: nobody
knows better, and to forget it would let the next interval set the month's peak for free.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from ems.clock import INTERVAL, interval_start
from ems.domain.sent import CycleRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthPeak:
    """What an interval's import is held against."""

    kw: float
    """Highest import of the month before the interval, 0 where none is known [kW]."""
    since: datetime | None
    """Since when no interval's import is missing, UTC; None: since the month began."""


def month_begin(now: datetime, zone: str) -> datetime:
    """When the calendar month of an instant began where the site is, UTC.

    Args:
        now: the instant, aware.
        zone: name of the site's time zone.
    """
    here = ZoneInfo(zone)
    local = now.astimezone(here)
    return datetime(local.year, local.month, 1, tzinfo=here).astimezone(UTC)


def unaccounted(previous: CycleRecord | None, zone: str, now: datetime) -> datetime:
    """From which interval on the month's import is not in what `previous` had yet, UTC.

    Args:
        previous: the cycle before; None: there was none.
        zone: of the site.
        now: in the interval that is decided.
    """
    begin = month_begin(now, zone)
    return begin if previous is None else max(interval_start(previous.start), begin)


def month_peak(
    previous: CycleRecord | None, imported_kw: Mapping[datetime, float], zone: str, now: datetime
) -> MonthPeak:
    """The peak that the interval of `now` begins with.

    Args:
        previous: the cycle before, whatever became of it; None: there was none.
        imported_kw: mean import of whole intervals since, as measured, by their starts [kW].
        zone: of the site: its months are charged.
        now: in the interval that is decided.
    """
    begin, start = month_begin(now, zone), interval_start(now)
    known = MonthPeak(kw=0.0, since=None)
    decided: dict[datetime, float] = {}
    if previous is not None and previous.start >= begin:
        known = _held(previous)
        decided = {interval_start(previous.start): previous.secured.dispatch.grid_kw}
    peak_kw, since = known.kw, known.since
    at = unaccounted(previous, zone, now)
    while at < start:
        import_kw = imported_kw.get(at, decided.get(at))
        at += INTERVAL
        if import_kw is None:
            since = at
        else:
            peak_kw = max(peak_kw, import_kw)
    return MonthPeak(kw=peak_kw, since=since)


def _held(previous: CycleRecord) -> MonthPeak:
    """What a cycle of this month was decided with."""
    before, last = previous.before, previous.secured.dispatch
    if before is not None and before.peak_kw is not None:
        return MonthPeak(kw=before.peak_kw, since=before.peak_since)
    if last.peak_kw is not None:
        return MonthPeak(kw=last.peak_kw, since=None)
    # It counted no demand charge: what came before it nobody kept.
    return MonthPeak(kw=0.0, since=interval_start(previous.start))
