"""The server's time, and how long to wait before the next try."""

import asyncio
import random
from collections.abc import Iterator

from ems.clock import Clock

FIRST_S, LONGEST_S = 1.0, 60.0
"""A server that restarts is back in seconds; one that is down is asked once a minute [s]."""


class ServerTime:
    """The server's time by the own clock: events run by the server's, clause 11.1.

    A server tells whole seconds, and the answer takes a while: each reading says between what the
    offset lies. It moves only as far as the reading asks, so that equal clocks stay equal.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.offset_s = 0.0
        """By how much the server's clock is ahead [s]."""

    def own(self) -> float:
        """What the own clock shows [s since 1970]."""
        return self._clock.now().timestamp()

    def now(self) -> float:
        """What the server's clock shows [s since 1970]."""
        return self.own() + self.offset_s

    def read(self, told: int, asked_at: float, answered_at: float) -> bool:
        """Take over a reading.

        Args:
            told: currentTime [s].
            asked_at: own time when it was asked for [s].
            answered_at: own time when the answer was there [s].

        Returns:
            Whether it moved the server's time: whoever waits for an instant of it must look anew.
        """
        before, low, high = self.offset_s, told - answered_at, told + 1.0 - asked_at
        self.offset_s = min(max(before, low), high)
        return self.offset_s != before

    async def until(self, when: float | None, wake: asyncio.Event | None = None) -> None:
        """Wait for an instant of the server's, or for `wake`; None: for that alone."""
        await self.until_own(None if when is None else when - self.offset_s, wake)

    async def until_own(self, when: float | None, wake: asyncio.Event | None = None) -> None:
        """The same of an instant of the own clock, which no server moves."""
        left_s = None if when is None else (when - self.own()) / self._clock.speed
        if left_s is not None and left_s <= 0.0:
            return
        if wake is None:
            await asyncio.sleep(left_s or 0.0)
            return
        try:
            async with asyncio.timeout(left_s):
                await wake.wait()
        except TimeoutError:
            pass


def backoff_s(seed: str) -> Iterator[float]:
    """How long to wait after each failure in a row: twice as long each time, and never alike.

    A thousand devices that lost one server must not all come back in the same second.

    Args:
        seed: of the device's own draws.
    """
    draw = random.Random(seed)  # noqa: S311 - it spreads load
    wait_s = FIRST_S
    while True:
        yield wait_s * draw.uniform(0.5, 1.0)
        wait_s = min(2.0 * wait_s, LONGEST_S)
