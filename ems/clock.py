"""Time, as an argument.

Stages are handed `now`; only the shell owns a clock. All times are aware and UTC.

A clock of the shell goes by the time that passes, not by what the machine's is set to: when that
one is set, durations stay what they are, until whoever runs the site follows it, at a moment of
its choice.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

INTERVAL = timedelta(minutes=15)
"""Length of a dispatch interval."""
HELD_UP_S = 1e-3
"""Two clocks are read at once when no more has passed in between [s]."""
_PASSES = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""It goes on while the machine sleeps, as the devices' timers do; not every system has it."""


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

    def astray(self) -> timedelta:
        """How far the machine's clock was set since it was last followed; forward positive."""
        ...

    def follow(self) -> timedelta:
        """Go by what the machine's clock shows now; returns how far that sets this one."""
        ...


def _shown() -> datetime:
    return datetime.now(UTC)


def _since_boot_s() -> float:
    return time.clock_gettime(_PASSES)


class WallClock:
    """The machine's clock as it was when last followed, and the time that has passed since."""

    speed = 1.0

    def __init__(
        self,
        machine: Callable[[], datetime] = _shown,
        passed_s: Callable[[], float] = _since_boot_s,
    ) -> None:
        """Follow the machine's clock now.

        Args:
            machine: what the machine's clock shows; aware.
            passed_s: a count of seconds that nobody sets [s].
        """
        self._machine = machine
        self._passed_s = passed_s
        shown, passed = self._both()
        self._zero = shown - passed
        """What this clock would have shown when the count was 0."""

    def now(self) -> datetime:
        """The present, aware, UTC."""
        return self._zero + timedelta(seconds=self._passed_s())

    def at(self, machine: datetime) -> datetime:
        """The same instant, UTC; not the same time where the machine's clock was set since."""
        return machine.astimezone(UTC) - self.astray()

    def astray(self) -> timedelta:
        """How far the machine's clock was set since it was last followed; forward positive."""
        shown, passed = self._both()
        return shown - passed - self._zero

    def follow(self) -> timedelta:
        """Go by what the machine's clock shows now; returns how far that sets this one."""
        by = self.astray()
        self._zero += by
        return by

    def _both(self) -> tuple[datetime, timedelta]:
        """What the machine's clock shows and what has passed, at one instant."""
        while True:
            before = self._passed_s()
            shown = self._machine().astimezone(UTC)
            after = self._passed_s()
            if after - before <= HELD_UP_S:
                return shown, timedelta(seconds=after)


class ScaledClock:
    """A clock that started at `start` and runs `speed` times as fast as the machine's.

    Its own time is never set: when the machine's clock is, only what a scheduler planned by that
    one has to be planned anew.
    """

    def __init__(self, start: datetime, speed: float, machine: WallClock | None = None) -> None:
        """Start now.

        Args:
            start: what it shows first; aware.
            speed: simulated seconds per real second.
            machine: real time; nobody else may let it follow.
        """
        self.start = start.astimezone(UTC)
        self.speed = speed
        self._machine = machine or WallClock()
        self._began = self._machine.now()
        self._followed = timedelta()

    def now(self) -> datetime:
        """The simulated present, aware, UTC."""
        return self._simulated(self._machine.now())

    def at(self, machine: datetime) -> datetime:
        """The simulated instant at an instant of the machine, aware, UTC."""
        return self._simulated(self._machine.at(machine))

    def astray(self) -> timedelta:
        """How far the machine's clock was set since the start, or since it was followed."""
        return self._machine.astray() - self._followed

    def follow(self) -> timedelta:
        """Know what the machine's clock was set to; that does not set this one."""
        self._followed = self._machine.astray()
        return timedelta()

    def _simulated(self, real: datetime) -> datetime:
        return self.start + (real - self._began) * self.speed


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

    def astray(self) -> timedelta:
        """Nothing: it does not follow the machine."""
        return timedelta()

    def follow(self) -> timedelta:
        """Nothing: it does not follow the machine."""
        return timedelta()

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
