"""Whether the next decision is brought forward: before its time, but not again and again."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from ems.clock import interval_start
from ems.daemon.standing import Answers
from ems.daemon.watch import Watch
from ems.domain import CycleRecord, Imposed, Policy, Quality, named
from ems.errors import DeviceError

log = logging.getLogger(__name__)

UNREFRESHED_S = 60.0
"""Where nothing is refreshed, time between decisions that are brought forward: as long as the
default of `keep_alive_s` [s]."""


class Sooner:
    """Knows what has happened since the last decision was begun.

    Not more often than commands are refreshed: a device that comes and goes costs a cycle each
    time, and its timer lasts for several refreshes. What must be answered at once (a device that is
    free, limits that became lower, a new time) is, but only once within that time.
    """

    def __init__(self, policy: Policy, watch: Watch) -> None:
        """Nothing was decided yet."""
        self._every_s = policy.keep_alive_s
        self._watch = watch
        self._tried: datetime | None = None
        """When a cycle was last begun."""
        self._hurried = False
        """Whether the last decision that was brought forward came sooner than they may."""
        self._followed: tuple[float | None, ...] = ()
        """Limits of the utility for which a decision was brought forward last."""
        self._clock_was_set = False
        """Whether what was decided was decided for another time."""
        self._heard: set[str] = set()
        """Devices that have answered since the start."""
        self._newcomers: set[str] = set()
        """Those that answer for the first time, and were not there when it was decided."""

    def begun(self, now: datetime) -> None:
        """A cycle begins: what it decides is of now, and of all who answer now."""
        self._tried, self._clock_was_set = now, False
        self._newcomers.clear()

    def clock_set(self, by: timedelta) -> None:
        """The clock was set: what was decided was decided for another time."""
        self._tried = self._tried and self._tried + by
        self._clock_was_set = True

    def answered(self, answers: Answers, last: CycleRecord | None) -> None:
        """Note who answers for the first time: the decision in force was made without it.

        Once for each: a device that comes and goes waits for the next interval.
        """
        good = {
            name
            for name, answer in answers.items()
            if not isinstance(answer, DeviceError) and answer.quality is Quality.GOOD
        }
        new = good - self._heard
        self._heard |= good
        if last is not None:
            missing = {n for n, r in last.snapshot.ders.items() if r.quality is not Quality.GOOD}
            self._newcomers |= new & missing

    def is_due(
        self,
        now: datetime,
        last: CycleRecord | None,
        imposed: Imposed | None,
        on_record: Callable[[datetime], bool],
    ) -> bool:
        """Whether to decide again at once; the log says why.

        Args:
            now: the time.
            last: the decision in force.
            imposed: what a utility limits the site to now.
            on_record: whether an interval has its decision, be it of a time before the clock was
                set.
        """
        if self._tried is None:
            return False
        since_s = (now - self._tried).total_seconds()
        early = since_s < (self._every_s or UNREFRESHED_S)
        return (
            self._must_follow(interval_start(now), on_record, early=early)
            or self._limited_otherwise(last, imposed, early=early)
            or self._has_newcomers(early=early)
            or self._has_lost_devices(early=early)
        )

    def _must_follow(
        self, due: datetime, on_record: Callable[[datetime], bool], *, early: bool
    ) -> bool:
        """Whether to decide by the time that the clock shows now, where it was set.

        At once where nothing was ever decided for it, but not again and again: a clock that goes
        to and fro costs no more decisions than a device that does.
        """
        if not self._clock_was_set:
            return False
        if early and (self._hurried or (self._every_s and on_record(due))):
            return False
        self._hurried = early
        log.warning("deciding again, by the time that the clock shows now")
        return True

    def _limited_otherwise(
        self, last: CycleRecord | None, imposed: Imposed | None, *, early: bool
    ) -> bool:
        """Whether a utility limits the site to something else than was decided with.

        Lower limits at once, however often: they hold from now on. Higher ones not again and
        again, as of a clock that was set.
        """
        asked = _limits(imposed)
        if last is None or asked == _limits(last.imposed):
            return False
        # Once for each: where its cycle fails, they wait as well.
        lower = _is_tightened(_limits(last.imposed), asked)
        if early and self._hurried and (not lower or asked == self._followed):
            return False
        self._hurried, self._followed = early, asked
        notes = imposed.notes if imposed is not None else ()
        told = "; ".join(notes) or "they are lifted"
        log.warning("deciding again, the utility's limits have changed: %s", told)
        return True

    def _has_newcomers(self, *, early: bool) -> bool:
        if not self._newcomers or (early and self._hurried):
            return False
        self._hurried = early
        log.info("deciding again, heard for the first time: %s", ", ".join(self._newcomers))
        return True

    def _has_lost_devices(self, *, early: bool) -> bool:
        """Whether the decision in force counts on a device that does not keep to it.

        One that restarted, or whose foreign limit was lifted, is free meanwhile: that is decided
        at once.
        """
        if not self._watch.lost or self._every_s is None:
            return False
        if early and (self._hurried or not self._watch.at_large):
            return False
        self._hurried = early
        lost = "; ".join(named(name, why) for name, why in self._watch.lost.items())
        log.warning("deciding again before it is time: %s", lost)
        return True


def _limits(imposed: Imposed | None) -> tuple[float | None, ...]:
    """What is limited, whoever says so."""
    if imposed is None:
        return (None, None, None)
    return (imposed.import_kw, imposed.export_kw, imposed.generation_kw)


def _is_tightened(before: tuple[float | None, ...], now: tuple[float | None, ...]) -> bool:
    """Whether any limit is lower than before."""
    return any(
        one is not None and (was is None or one < was) for was, one in zip(before, now, strict=True)
    )
