"""What a client does again and again, and what becomes of it when it fails."""

import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from ems.enddevice.session import Lost, Refused
from ems.enddevice.timing import ServerTime, backoff_s

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Duty:
    """Something to do again and again."""

    do: Callable[[], Awaitable[float]]
    """Does it, and returns how long until the next time [s]."""
    due: float = 0.0
    """Next time by the own clock, which no server moves [s since 1970]."""
    trouble: str = ""
    """Why it fails at present; empty: it does not."""
    pauses: Iterator[float] | None = None
    """After each failure in a row [s]; None: it did not fail."""

    async def done(self, time: ServerTime) -> None:
        """Do it; what it raises is raised."""
        pause_s = await self.do()
        self.due = time.own() + pause_s

    async def tried(self, lfdi: str, time: ServerTime) -> bool:
        """Do it; where it fails it is tried again later. Whether a server answered at all."""
        answered = True
        try:
            pause_s = await self.do()
        except (Lost, Refused) as error:
            why, answered = str(error), bool(error.status)
        except Exception as error:
            log.exception("%s: a fault of the client; it tries again", lfdi)
            why = f"a fault of the client: {error!r}"
        else:
            self.trouble, self.pauses = "", None
            self.due = time.own() + pause_s
            return True
        if not self.trouble:
            log.warning("%s: %s", lfdi, why)
        self.trouble = why
        self.pauses = self.pauses or backoff_s(lfdi)
        self.due = time.own() + next(self.pauses)
        return answered
