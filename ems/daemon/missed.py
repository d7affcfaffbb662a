"""Intervals for which no cycle ran: noticed once each, whoever notices first.

Which a clock was set beyond is believed while it stands there: set back, they are yet to come.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from ems.clock import INTERVAL, interval_start

log = logging.getLogger(__name__)

ASLEEP = "the machine was asleep or overloaded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Intervals in a row that had no cycle, as far as the clock can be believed."""

    start: datetime
    intervals: int
    counted: bool = True
    """Whether they count as missed by this service; else it was not running."""


class MissedIntervals:
    """Knows which intervals had their try; safe from several threads."""

    def __init__(
        self,
        tell: Callable[[datetime, str, int], object],
        take_back: Callable[[Run, int], object],
    ) -> None:
        """Nothing was tried yet.

        Args:
            tell: told the first interval of a run that was missed, why, and how many they are.
            take_back: told a run that was told before, and how many of it were missed after all.
        """
        self._tell = tell
        self._take_back = take_back
        self._beyond: list[Run] = []
        """What the clock was set beyond, or shows to have passed before the service started."""
        self._furthest: datetime | None = None
        """The last interval that had its try, or its record, before the clock was set back."""
        self._guard = threading.Lock()
        self._last_due: datetime | None = None
        self._already: set[datetime] = set()

    def note(self, due: datetime, reason: str, intervals: int = 1) -> None:
        """No cycle ran for `intervals` intervals from `due` on; told once."""
        with self._guard:
            if due in self._already:
                return
            self._already = {d for d in self._already if d > due - 96 * INTERVAL}
            self._already.add(due)
        log.warning("no cycle for %s: %s", due, reason)
        self._tell(due, reason, intervals)

    def tried(self, due: datetime) -> None:
        """The cycle of an interval begins: those since the one before had not even a try."""
        self._pass_over(due, ASLEEP)
        with self._guard:
            self._last_due = due

    def not_running(self, last: datetime, start: datetime, intervals: int) -> None:
        """The service starts: by the clock, none ran for `intervals` intervals from `start` on.

        Args:
            last: the last interval on record, ahead of the clock or not.
            start: the first without.
            intervals: how many; told by the caller.
        """
        with self._guard:
            self._furthest = max(last, start + (intervals - 1) * INTERVAL)
            if intervals > 0:
                self._beyond.append(Run(start=start, intervals=intervals, counted=False))

    def clock_set(self, now: datetime, reason: str) -> None:
        """The clock shows `now`: intervals it was set beyond had no cycle, others come again."""
        due = interval_start(now)
        with self._guard:
            tried = [t for t in (self._furthest, self._last_due) if t is not None]
            back = [r for r in self._beyond if _before(r, due) < r.intervals]
            if back:  # what was tried since was tried by a clock that was wrong
                self._furthest, self._last_due = min(r.start for r in back) - INTERVAL, None
            elif self._last_due is not None and due < self._last_due:
                self._furthest, self._last_due = max(tried), None
            else:  # what came before it was set back has its records
                self._last_due = max(tried, default=None)
            self._already = {d for d in self._already if d < due}
            self._beyond = [
                replace(r, intervals=left) for r in self._beyond if (left := _before(r, due)) > 0
            ]
        for run in back:
            self._take_back(run, _before(run, due))
        if passed := self._pass_over(due, reason):
            with self._guard:
                self._beyond.append(passed)

    def _pass_over(self, due: datetime, reason: str) -> Run | None:
        """Those since the last one, up to the one before `due`, had no cycle."""
        with self._guard:
            if self._last_due is None:
                return None
            start = self._last_due + INTERVAL
            while start < due and start in self._already:
                start += INTERVAL
            self._last_due = max(self._last_due, due - INTERVAL)
        if start >= due:
            return None
        run = Run(start=start, intervals=(due - start) // INTERVAL)
        self.note(run.start, reason, run.intervals)
        return run


def _before(run: Run, due: datetime) -> int:
    """How many intervals of a run lie before the one that is due."""
    return max(0, min(run.intervals, (due - run.start) // INTERVAL))
