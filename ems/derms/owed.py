"""What could not be kept is kept with what comes next: memory and disk agree again by themselves.

Whoever made a change is told that it could not be kept. It stands in memory all the same, and is
served; a restart must not take it back.

One batch is on its way to the disk at a time, and all that comes meanwhile waits behind it. So what
failed is tried again before anything newer is written: no change takes a newer one back, and the
entries of the audit stay in their order. Where something was handed over that no disk would keep,
the batch is halved until that is alone: nobody else's change is lost with it.
"""

import logging
import threading
from collections import deque
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
class _Handed:
    """What one of those who have something kept handed over."""

    items: Items
    asked: "Future[None] | None"
    """Who waits for it; None: nobody any more, it is owed."""


_Batch = Sequence[_Handed]
"""What is kept together, or not at all; oldest first."""


class Owed:
    """Hands changes over, and what failed before ahead of them. Thread-safe."""

    def __init__(self, keep: Callable[[Items], "Future[None]"]) -> None:
        """Nothing is owed.

        Args:
            keep: keeps all of it or nothing.
        """
        self._keep = keep
        self._turn = threading.Lock()
        self._waiting: list[_Handed] = []
        """What failed, then what has come since; oldest first."""
        self._parts: deque[_Batch] = deque()
        """Parts of a batch in which there is something that cannot be kept; ahead of all others."""
        self._under_way = False
        self._last: Future[None] = Future()
        self._last.set_result(None)
        self._dropped = 0
        """Entries that were given up since all was kept."""
        self.why = ""
        """Why something is owed; empty: nothing is."""
        self.given_up = 0
        """How often somebody handed over what no disk would keep."""

    def hand_over(self, what: Items) -> "Future[None]":
        """Keep this, after what is owed."""
        asked: Future[None] = Future()
        # Whoever gives up waiting must not take back what is already under way.
        asked.set_running_or_notify_cancel()
        with self._turn:
            self._waiting.append(_Handed(items=tuple(what), asked=asked))
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
            if self._under_way or not (self._parts or self._waiting):
                return
            if self._parts:
                batch = self._parts.popleft()
            else:
                batch, self._waiting = self._waiting, []
            self._under_way = True
        try:
            sent = self._keep([one for handed in batch for one in handed.items])
        except Exception as fault:  # noqa: BLE001  else all that comes would wait for ever
            sent = Future()
            sent.set_exception(fault)
        sent.add_done_callback(partial(self._ended, batch))

    def _ended(self, batch: _Batch, done: "Future[None]") -> None:
        """Take note of how it ended, send what has come meanwhile, and tell those who asked."""
        fault = done.exception()
        with self._turn:
            self._under_way = False
            parts: Sequence[_Batch] = ()
            if isinstance(fault, StoreFault):
                # So would the other parts: else they would be halved again and again meanwhile.
                batch = [*batch, *(handed for part in self._parts for handed in part)]
                self._parts.clear()
                self._failed(batch, fault)
            elif fault is not None:
                # It lies in what was handed over: the rest of it is kept without that.
                parts = _parted(batch)
                self._parts.extendleft(reversed(parts))
                if not parts:
                    self.given_up += 1
                    _log.error("a change cannot be kept, and is not tried again: %r", fault)
            if not isinstance(fault, StoreFault) and self.why and not self._parts:
                self._kept_again()
            more = self._parts or any(handed.asked for handed in self._waiting)
        if more:
            self._send()
        for asked in () if parts else [handed.asked for handed in batch if handed.asked]:
            if fault is None:
                asked.set_result(None)
            else:
                asked.set_exception(fault)

    def _failed(self, batch: _Batch, fault: StoreFault) -> None:
        owed = self._bounded(_without_replaced(batch))
        # What has come meanwhile is newer, and stays behind.
        self._waiting = [*owed, *self._waiting]
        if not self.why:
            _log.error("changes could not be kept; they are served, and tried again: %s", fault)
        self.why = str(fault)

    def _bounded(self, owed: _Batch) -> _Batch:
        """Without the oldest readings and logs, where too many entries wait."""
        entries = [one for handed in owed for one in handed.items if isinstance(one, Entry)]
        over = max(0, len(entries) - _MOST_ENTRIES)
        gone = frozenset([id(one) for one in entries if one.kind in _DROPPED_FIRST][:over])
        if not gone:
            return owed
        if not self._dropped:
            _log.error("more than %d entries wait: the oldest readings and logs go", _MOST_ENTRIES)
        self._dropped += len(gone)
        return _owed([[one for one in handed.items if id(one) not in gone] for handed in owed])

    def _kept_again(self) -> None:
        _log.warning("changes are kept again; readings and logs that are lost: %d", self._dropped)
        self._dropped = 0
        self.why = ""


def _parted(batch: _Batch) -> Sequence[_Batch]:
    """Two halves; none of what one handed over, which is kept whole or not at all."""
    half = len(batch) // 2
    return (batch[:half], batch[half:]) if half else ()


def _without_replaced(batch: _Batch) -> _Batch:
    """As it is owed: without the documents in whose place there are newer ones."""
    newer: set[tuple[str, str]] = set()
    left = []
    for handed in reversed(batch):
        items = [
            one
            for one in handed.items
            if not isinstance(one, Change) or (one.kind, one.key) not in newer
        ]
        newer.update((one.kind, one.key) for one in items if isinstance(one, Change))
        left.append(items)
    return _owed(left[::-1])


def _owed(left: Sequence[Items]) -> _Batch:
    """Nobody waits for it any more; what somebody handed over stays together."""
    return [_Handed(items=tuple(items), asked=None) for items in left if items]
