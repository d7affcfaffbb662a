"""What was refused, counted, with the last ones: for health and administration."""

import logging
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

_log = logging.getLogger(__name__)
_LAST = 200
"""Refusals that are remembered one by one."""
_LOGGED_PER_MINUTE = 20
"""Lines in the log: ten thousand junk requests must not fill the disk."""
_MINUTE_S = 60
_USUAL = frozenset({"301", "404"})
"""Not worth a line in the log: devices look for what is not there yet."""
_MOST_REASON = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """One refusal."""

    time: int
    """[s since 1970, UTC]."""
    what: str
    """`handshake`, `http`, `connection`, or the status as text."""
    who: str
    """LFDI, or address, or nothing where it is not known."""
    where: str
    """Method and path, or nothing."""
    why: str
    """In words."""


class RefusedLog:
    """Counts refusals, and remembers the last ones."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self.counts: Counter[str] = Counter()
        """By `Refused.what`."""
        self.last: deque[Refused] = deque(maxlen=_LAST)
        """Oldest first."""
        self._minute = 0
        self._lines = 0

    def note(self, what: str, why: str, *, who: str = "", where: str = "") -> None:
        """Take down a refusal; may be called from any thread."""
        now = self._now()
        self.counts[what] += 1
        held = Refused(time=now, what=what, who=who, where=where[:200], why=why[:_MOST_REASON])
        self.last.append(held)
        if what in _USUAL:
            return
        if now // _MINUTE_S != self._minute:
            if self._lines > _LOGGED_PER_MINUTE:
                _log.warning("%d more refusals", self._lines - _LOGGED_PER_MINUTE)
            self._minute = now // _MINUTE_S
            self._lines = 0
        self._lines += 1
        if self._lines <= _LOGGED_PER_MINUTE:
            # What a stranger sends must not break the log's lines.
            _log.warning("refused (%s) %s %s: %r", what, who, held.where, held.why)
