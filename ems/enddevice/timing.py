"""The server's time, and how long to wait before the next try."""

import asyncio
import random
from collections.abc import Iterator

from ems.clock import Clock

FIRST_S, LONGEST_S = 1.0, 60.0
"""A server that restarts is back in seconds; one that is down is asked once a minute [s]."""
MOST_S = 86_400
"""A rate that a server tells is a day at most: whoever asks for less often is not heard of [s]."""
MOST_APART_S = 31 * 86_400.0
"""How far a server's clock may be from the own one. Wrong zones and forgotten summer time make a
day, rehearsals of another day days; a clock further off was never set, and by it all events would
begin or be over at once [s]."""
SET_FROM_S, SET_TO_S = 1_735_689_600.0, 4_102_444_800.0
"""2025 and 2100: an own clock outside was never set itself, and takes any server's time that is
inside [s since 1970]."""


class ServerTime:
    """The server's time by the own clock: events run by the server's, clause 11.1.

    A server tells whole seconds, and the answer takes a while: each reading says between what the
    offset lies. It moves only as far as the reading asks, so that equal clocks stay equal.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.offset_s = 0.0
        """By how much the server's clock is ahead [s]."""
        self.doubt = ""
        """Why the last reading is not believed; empty: it is."""

    def own(self) -> float:
        """What the own clock shows [s since 1970]."""
        return self._clock.now().timestamp()

    def now(self) -> float:
        """What the server's clock shows [s since 1970]."""
        return self.own() + self.offset_s

    def read(self, told: int, asked_at: float, answered_at: float) -> bool:
        """Take over a reading, unless it is absurd: then the last one that was believed stands.

        Args:
            told: currentTime [s].
            asked_at: own time when it was asked for [s].
            answered_at: own time when the answer was there [s].

        Returns:
            Whether it moved the server's time: whoever waits for an instant of it must look anew.
        """
        self.doubt = _doubt(told, answered_at)
        if self.doubt:
            return False
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


def sooner(server_s: int, own_s: int | None) -> int:
    """How often to do what the server wants seldom, and the device maybe more often [s]."""
    return min(server_s, MOST_S if own_s is None else own_s)


def _doubt(told: int, own: float) -> str:
    """Why a server's time is not believed; empty: it is."""
    if SET_FROM_S <= own < SET_TO_S:
        if abs(told - own) <= MOST_APART_S:
            return ""
        why = f"more than {MOST_APART_S / 86_400:.0f} days from the own clock"
    else:
        if SET_FROM_S <= told < SET_TO_S:
            return ""
        why = "no present time"
    return f"the server's time {told} is {why}, and is not believed"


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
