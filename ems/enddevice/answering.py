"""Responses on their way to the server: each is tried again on its own, none holds up the others.

A server may fail for ever on one Response and take all others: so each has pauses of its own. It
may also be overloaded: so an address that fails several times in a row rests as a whole. What is
waiting survives a server that is lost, restarted or found anew.
"""

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from ems.enddevice.responses import Answer
from ems.enddevice.session import Lost, Refused, Session
from ems.enddevice.timing import backoff_s
from ems.protocols.ieee2030_5 import sep

log = logging.getLogger(__name__)

MOST_ANSWERS = 10_000
"""Responses kept while no server takes them; the oldest are given up then."""
MOST_TRIES = 1_500
"""A Response that a server fails on so often is given up: about a day, once a minute."""
IN_ORDER = 5
"""The Responses to one event are told in order, until the first has failed so often."""
IN_A_ROW = 3
"""So many failures in a row are the address's, not those of single Responses."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Waiting:
    answer: Answer
    tries: int = 0
    due: float = 0.0
    """By the own clock [s since 1970]."""
    pauses: Iterator[float] | None = None


@dataclass(slots=True, kw_only=True)
class _Address:
    failures: int = 0
    """In a row."""
    rests_until: float = 0.0
    pauses: Iterator[float] | None = None


class Answers:
    """The Responses of one device that no server has taken yet."""

    def __init__(self, session: Session, lfdi: str) -> None:
        """None is waiting."""
        self.trouble = ""
        """Why one cannot be told; empty: all can."""
        self._session, self._lfdi = session, lfdi
        self._waiting: deque[_Waiting] = deque(maxlen=MOST_ANSWERS)
        self._addresses: dict[str, _Address] = {}

    def add(self, *answers: Answer) -> None:
        """To be told as soon as possible."""
        self._waiting.extend(_Waiting(answer=answer) for answer in answers)

    def due(self) -> float | None:
        """When the next is to be told, by the own clock; None: there is none [s since 1970]."""
        return min(map(self._due, self._free()), default=None)

    async def post(self, now: float) -> None:
        """Tell those that are due.

        Args:
            now: by the own clock [s since 1970].

        Raises:
            Lost: there is no server.
        """
        # The ones that failed least go first: after a rest none may fail in front of all others.
        for waiting in sorted(self._free(), key=lambda w: w.tries):
            # It may have been given up meanwhile.
            if self._due(waiting) <= now and await self._told(waiting, now):
                with suppress(ValueError):
                    self._waiting.remove(waiting)
        failing = {w.answer.reply_to for w in self._waiting if w.tries}
        self._addresses = {at: a for at, a in self._addresses.items() if at in failing}
        if not failing:
            self.trouble = ""

    def _free(self) -> list[_Waiting]:
        """Those that wait for no other one of their event."""
        held: set[str] = set()
        found = []
        for waiting in self._waiting:
            if waiting.answer.subject not in held:
                found.append(waiting)
            if waiting.tries < IN_ORDER:
                held.add(waiting.answer.subject)
        return found

    def _due(self, waiting: _Waiting) -> float:
        address = self._addresses.get(waiting.answer.reply_to)
        return waiting.due if address is None else max(waiting.due, address.rests_until)

    async def _told(self, waiting: _Waiting, now: float) -> bool:
        """Whether it is done with: taken, or given up."""
        answer = waiting.answer
        try:
            response = sep.DERControlResponse(
                createdDateTime=answer.time,
                endDeviceLFDI=self._lfdi,
                status=answer.status,
                subject=answer.subject,
            )
            await self._session.post(answer.reply_to, response)
        except (Refused, ValueError) as error:  # also one that cannot be written
            log.warning("%s: response %d: %s", self._lfdi, answer.status, error)
        except Lost as error:
            if not error.status:
                raise
            return self._failed(waiting, now, error)
        else:
            self._addresses.pop(answer.reply_to, None)
        return True

    def _failed(self, waiting: _Waiting, now: float, error: Lost) -> bool:
        """The server cannot take it now; whether it is given up."""
        answer = waiting.answer
        if not self.trouble:
            log.warning("%s: response %d: %s", self._lfdi, answer.status, error)
        self.trouble = str(error)
        waiting.tries += 1
        waiting.pauses = waiting.pauses or backoff_s(f"{self._lfdi}{answer.subject}")
        waiting.due = now + next(waiting.pauses)
        address = self._addresses.setdefault(answer.reply_to, _Address())
        address.failures += 1
        if address.failures >= IN_A_ROW:
            address.pauses = address.pauses or backoff_s(f"{self._lfdi}{answer.reply_to}")
            address.rests_until = now + next(address.pauses)
        if waiting.tries < MOST_TRIES:
            return False
        log.warning("%s: response %d is given up: %s", self._lfdi, answer.status, error)
        return True
