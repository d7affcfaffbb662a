"""When a job is due next, in the machine's time.

Both are functions of the time they are asked for and never of the run before, so that a scheduler
that comes late, or whose clock was set, gets one run and none of those in between.
"""

from datetime import datetime, timedelta

from apscheduler.triggers.base import BaseTrigger

from ems.clock import INTERVAL, Clock, interval_start


class QuarterHour(BaseTrigger):  # type: ignore[misc]  # apscheduler has no types
    """Fires when a clock passes a quarter of an hour."""

    LAG = timedelta(milliseconds=2)
    """Real time after the quarter hour: firing early would decide for the interval before."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:  # noqa: ARG002  apscheduler's signature
        """The next quarter of an hour after `now`, in the machine's time."""
        shown = self.clock.at(now)
        ahead = interval_start(shown) + INTERVAL - shown
        return now + ahead / self.clock.speed + self.LAG


class Every(BaseTrigger):  # type: ignore[misc]  # as above
    """Fires again so long after it was asked."""

    def __init__(self, seconds: float) -> None:
        self.pause = timedelta(seconds=seconds)

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:  # noqa: ARG002  as above
        """One pause after `now`."""
        return now + self.pause
