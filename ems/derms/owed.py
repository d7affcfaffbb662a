"""What could not be kept is kept with what comes next: memory and disk agree again by themselves.

Whoever made a change is told that it could not be kept. It stands in memory all the same, and is
served; a restart must not take it back.

One batch is on its way to the disk at a time, and all that comes meanwhile waits behind it. So what
failed is tried again before anything newer is written: no change takes a newer one back, and the
entries of the audit stay in their order.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from ems.derms.keeping import Change, Entry
from ems.store import StoreFault

_log = logging.getLogger(__name__)
_MOST_ENTRIES = 20_000
"""Entries that wait: some tens of megabytes, hours of a thousand devices' readings."""
_DROPPED_FIRST = frozenset({"reading", "log"})
"""Kinds that are many, and of which one more or less does no harm. What else happened (the audit,
which is a chain, and the devices' responses) waits however long it takes."""

Items = Sequence[Change | Entry]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """What is kept together, or not at all."""

    items: Items
    asked: "Sequence[Future[None]]"
    """Of those who handed it over; not of what was owed."""


class Owed:
    """Hands changes over, and what failed before ahead of them. Thread-safe."""

    def __init__(self, keep: Callable[[Items], "Future[None]"]) -> None:
        """Nothing is owed.

        Args:
            keep: keeps all of it or nothing.
        """
        self._keep = keep
        self._turn = threading.Lock()
        self._waiting: list[Change | Entry] = []
        """What failed, then what has come since; oldest first."""
        self._asked: list[Future[None]] = []
        """Of those who handed over what has come since."""
        self._under_way = False
        self._last: Future[None] = Future()
        self._last.set_result(None)
        self._dropped = 0
        """Entries that were given up since all was kept."""
        self.why = ""
        """Why something is not on the disk; empty: everything is. Any thread may read it."""

    def hand_over(self, what: Items) -> "Future[None]":
        """Keep this, after what is owed."""
        asked: Future[None] = Future()
        # Whoever gives up waiting must not take back what is already under way.
        asked.set_running_or_notify_cancel()
        with self._turn:
            self._waiting += what
            self._asked.append(asked)
            self._last = asked
        self._send()
        return asked

    def again(self) -> None:
        """Try what is owed, where something is."""
        if self.why:
            self._send()

    def settle(self) -> None:
        """Wait for what was handed over; that it failed is for whoever handed it over."""
        self._last.exception()

    def _send(self) -> None:
        """Send all that waits, unless a batch is under way: its end sends the next."""
        with self._turn:
            if self._under_way:
                return
            batch = _Batch(items=self._waiting, asked=self._asked)
            self._waiting, self._asked = [], []
            self._under_way = True
        self._keep(batch.items).add_done_callback(partial(self._ended, batch))

    def _ended(self, batch: _Batch, done: "Future[None]") -> None:
        """Take note of how it ended, send what has come meanwhile, and tell those who asked."""
        fault = done.exception()
        with self._turn:
            self._under_way = False
            if isinstance(fault, StoreFault):
                self._failed(batch.items, fault)
            elif fault is not None:
                # It lies in what was handed over: again, it would fail again.
                _log.error("changes cannot be kept, and are not tried again: %r", fault)
                self.why = ""
            elif self.why:
                self._kept_again()
            more = bool(self._asked)
        if more:
            self._send()
        for asked in batch.asked:
            if fault is None:
                asked.set_result(None)
            else:
                asked.set_exception(fault)

    def _failed(self, what: Items, fault: StoreFault) -> None:
        entries = [one for one in what if isinstance(one, Entry)]
        documents = {(one.kind, one.key): one for one in what if isinstance(one, Change)}
        # What has come meanwhile is newer, and stays behind.
        self._waiting = [*self._bounded(entries), *documents.values(), *self._waiting]
        if not self.why:
            _log.error("changes could not be kept; they are served, and tried again: %s", fault)
        self.why = str(fault)

    def _bounded(self, entries: Sequence[Entry]) -> list[Entry]:
        """Without the oldest readings and logs, where too many entries wait."""
        over = max(0, len(entries) - _MOST_ENTRIES)
        given_up = [n for n, one in enumerate(entries) if one.kind in _DROPPED_FIRST][:over]
        if given_up and not self._dropped:
            _log.error("more than %d entries wait: the oldest readings and logs go", _MOST_ENTRIES)
        self._dropped += len(given_up)
        gone = frozenset(given_up)
        return [one for n, one in enumerate(entries) if n not in gone]

    def _kept_again(self) -> None:
        _log.warning("changes are kept again; readings and logs that are lost: %d", self._dropped)
        self._dropped = 0
        self.why = ""
