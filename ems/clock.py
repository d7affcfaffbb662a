"""Time, as an argument.

Stages are handed `now`; only the shell owns a clock. All times are aware and UTC.
"""

import time
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


class WallClock:
    """The machine's clock."""

    speed = 1.0

    def now(self) -> datetime:
        """The present, aware, UTC."""
        return datetime.now(UTC)


class ScaledClock:
    """A clock that started at `start` and runs `speed` times as fast as the machine's."""

    def __init__(self, start: datetime, speed: float) -> None:
        self.start = start.astimezone(UTC)
        self.speed = speed
        self._t0 = time.monotonic()

    def now(self) -> datetime:
        """The simulated present, aware, UTC."""
        return self.start + timedelta(seconds=(time.monotonic() - self._t0) * self.speed)


class SteppedClock:
    """A clock that stands still until it is moved: backtests, tests, `--speed max`."""

    speed = 1.0

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
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
