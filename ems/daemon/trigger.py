"""When a cycle is due on a clock that is not the machine's."""

from datetime import datetime, timedelta

from apscheduler.triggers.base import BaseTrigger

from ems.clock import INTERVAL, Clock, interval_start


class SimulatedQuarterHour(BaseTrigger):  # type: ignore[misc]  # apscheduler has no types
    """Fires when a clock of another time or speed passes a quarter of an hour.

    A function of the machine's time it is asked for, so that a scheduler that comes late to ask
    gets no run too early, and none twice.
    """

    LAG = timedelta(milliseconds=2)
    """Real time after the quarter hour: firing early would decide for the interval before."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:  # noqa: ARG002  apscheduler's signature
        """The next quarter of an hour after `now`, in the machine's time."""
        simulated = self.clock.at(now)
        ahead = interval_start(simulated) + INTERVAL - simulated
        return now + ahead / self.clock.speed + self.LAG
