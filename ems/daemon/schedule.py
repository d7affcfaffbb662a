"""When cycles and polls run, and what happens when the machine's clock is set.

The scheduler goes by the machine's clock: set back, it would do nothing until that has caught up.
So a thread of its own, which goes by the time that passes, looks whether the clock was set; then
everything is planned anew.
"""

import logging
import os
import select
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED
from apscheduler.schedulers.background import BackgroundScheduler

from ems.clock import Clock, interval_start
from ems.daemon.trigger import Every, QuarterHour

log = logging.getLogger(__name__)

MISFIRE_GRACE_S = 600
"""How late a cycle may still start: the setpoints hold for the rest of the interval [s]."""
SHORTEST_POLL_S = 0.2
"""A faster simulated clock polls no faster than this in real time [s]."""
LOOK_S = 1.0
"""How often it is looked whether the clock was set: well within the shortest poll of a site [s]."""
RENEW_S = 20.0
"""How often it is looked whether the lease is to be renewed: a third of it [s]."""
STEP = timedelta(seconds=3)
"""From where on a clock counts as set: less changes no decision, and a time service that has lost
its source for hours corrects as much; it adds up, and is then followed."""


class Schedule:
    """The jobs of one service, from `start` to `stop`."""

    def __init__(
        self,
        clock: Clock,
        poll_s: float,
        *,
        cycle: Callable[[], object],
        poll: Callable[[], object],
        missed: Callable[[datetime, str], object],
        clock_set: Callable[[], object],
        renew: Callable[[], object] = lambda: None,
    ) -> None:
        """Plan nothing yet.

        Args:
            clock: tells the intervals.
            poll_s: time between polls, on that clock [s].
            cycle: run at once, and on every quarter of an hour; meets an interval that has had
                its cycle where it comes late.
            poll: run in between.
            missed: told an interval whose cycle did not start, and why.
            clock_set: called when the machine's clock was set; follows it. A poll comes next.
            renew: called besides, also while a poll waits for devices.
        """
        self._clock = clock
        self._cycle, self._poll = cycle, poll
        self._poll_s = max(poll_s / clock.speed, SHORTEST_POLL_S)
        self._missed = missed
        self._clock_set = clock_set
        self._renew = renew
        self._scheduler: BackgroundScheduler | None = None
        self._looking: threading.Thread | None = None
        self._stop: tuple[int, int] = (-1, -1)
        """A pipe: waiting on it goes by the time that passes on every build of Python, waiting
        on a lock does not on one for an old C library."""

    @property
    def next_run(self) -> datetime | None:
        """When the next cycle is due, in the machine's time; None where none is planned."""
        job = self._scheduler.get_job("cycle") if self._scheduler else None
        return job.next_run_time if job else None

    def start(self) -> None:
        """One cycle at once, then one every quarter of an hour, and polls."""
        logging.getLogger("apscheduler").setLevel(logging.ERROR)  # its warnings are noted below
        scheduler = BackgroundScheduler(timezone=UTC, job_defaults={"coalesce": True})
        scheduler.add_listener(self._on_missed, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)
        # Each an own job: where the first cycle reaches into the next interval, that one waits.
        now = datetime.now(UTC)
        scheduler.add_job(self._cycle, id="first", next_run_time=now, misfire_grace_time=None)
        scheduler.add_job(
            self._cycle,
            QuarterHour(self._clock),
            id="cycle",
            max_instances=1,
            misfire_grace_time=MISFIRE_GRACE_S,
        )
        scheduler.add_job(
            self._poll,
            Every(self._poll_s),
            id="poll",
            next_run_time=now,
            max_instances=1,
            misfire_grace_time=None,
        )
        scheduler.add_job(
            self._renew, Every(RENEW_S), id="renew", max_instances=1, misfire_grace_time=None
        )
        self._scheduler = scheduler
        scheduler.start()
        self._stop = os.pipe()
        self._looking = threading.Thread(target=self._look_on, name="clock", daemon=True)
        self._looking.start()

    def stop(self) -> None:
        """Wait for what runs; nothing is begun any more."""
        if self._looking is not None:
            os.write(self._stop[1], b".")
            self._looking.join()
            self._looking = None
            for end in self._stop:
                os.close(end)
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=True)
            self._scheduler = None

    def look(self) -> None:
        """See whether the machine's clock was set; then have it followed, and plan anew."""
        if abs(self._clock.astray()) >= STEP:
            try:
                self._clock_set()
            except Exception:
                log.exception("the machine's clock could not be followed")
            self._plan_anew()

    def _look_on(self) -> None:
        """Until `stop`."""
        while not select.select([self._stop[0]], [], [], LOOK_S)[0]:
            self.look()

    def _plan_anew(self) -> None:
        """From now on, whatever was planned by the clock as it was."""
        if self._scheduler is not None:
            self._scheduler.reschedule_job("cycle", trigger=QuarterHour(self._clock))
            for job in ("poll", "renew"):
                self._scheduler.modify_job(job, next_run_time=datetime.now(UTC))

    def _on_missed(self, event: Any) -> None:
        """A cycle did not start: too late for its interval, or the one before still runs."""
        if event.job_id != "cycle" or abs(self._clock.astray()) >= STEP:
            return  # a poll that takes longer than its pause; or it was planned by a wrong clock
        late = event.code == EVENT_JOB_MISSED
        times = [event.scheduled_run_time] if late else event.scheduled_run_times
        reason = "the machine was asleep or overloaded" if late else "the cycle before still runs"
        for real in times:
            self._missed(interval_start(on_clock(self._clock, real)), reason)


def on_clock(clock: Clock, real: datetime) -> datetime:
    """A time of the machine on a service's clock, to the second."""
    return (clock.at(real) + timedelta(seconds=0.5)).replace(microsecond=0)
