"""Time, as an argument.

Stages are handed `now`; only the shell owns a clock. All times are aware and UTC.
"""

from datetime import UTC, datetime, timedelta
from typing import Protocol

INTERVAL = timedelta(minutes=15)
"""Length of a dispatch interval."""


class Clock(Protocol):
    """Where the shell takes the time from."""

    speed: float
    """Simulated seconds per real second; 1.0 for the wall clock."""

    def now(self) -> datetime:
        """The present, aware, UTC."""
        ...

    def at(self, machine: datetime) -> datetime:
        """What this clock shows when the machine's shows `machine`; aware, UTC."""
        ...


class WallClock:
    """The machine's clock."""

    speed = 1.0

    def now(self) -> datetime:
        """The present, aware, UTC."""
        return datetime.now(UTC)

    def at(self, machine: datetime) -> datetime:
        """The same instant, UTC."""
        return machine.astimezone(UTC)


class ScaledClock:
    """A clock that started at `start` and runs `speed` times as fast as the machine's.

    It is a function of the machine's clock and of nothing else, so that what a scheduler plans
    on the one holds on the other, however late a thread comes to read either.
    """

    def __init__(self, start: datetime, speed: float) -> None:
        self.start = start.astimezone(UTC)
        self.speed = speed
        self._began = datetime.now(UTC)

    def now(self) -> datetime:
        """The simulated present, aware, UTC."""
        return self.at(datetime.now(UTC))

    def at(self, machine: datetime) -> datetime:
        """The simulated instant at an instant of the machine, aware, UTC."""
        return self.start + (machine - self._began) * self.speed


class SteppedClock:
    """A clock that stands still until it is moved: backtests, tests, `--speed max`."""

    speed = 1.0

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        """The instant it was last moved to, aware, UTC."""
        return self._now

    def at(self, machine: datetime) -> datetime:  # noqa: ARG002  it does not follow the machine
        """The instant it was last moved to, aware, UTC."""
        return self._now

    def move_to(self, when: datetime) -> None:
        """Set the present; it never goes back.

        Raises:
            ValueError: `when` lies before the present.
        """
        if when < self._now:
            raise ValueError(f"time cannot go back from {self._now} to {when}")
        self._now = when.astimezone(UTC)


def interval_start(when: datetime) -> datetime:
    """Start of the dispatch interval that holds `when`; intervals are labelled by it."""
    t = when.astimezone(UTC)
    return t.replace(minute=t.minute - t.minute % 15, second=0, microsecond=0)
