"""What the server asks of whatever keeps its state over a restart.

Documents are the present state: one body under one kind and key, replaced or dropped. Entries are
what happened: they are only ever added. Both are text, so that a keeper needs to know neither.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A document is put in the place of what stood under its kind and key, or dropped."""

    kind: str
    """`device`, `group`, `program`, `curve`, `control`, `rates`, `filed`, `mup`, `latest` …"""
    key: str
    """Unique within its kind."""
    owner: str
    """LFDI of the device it belongs to; empty: the server's own."""
    body: str | None
    """The document; None drops it."""
    time: int
    """When it was made [s since 1970, UTC]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Something that happened."""

    kind: str
    """`response`, `reading`, `log`, `audit` …"""
    owner: str
    """LFDI of the device that said it; for an audit entry, who did it."""
    key: str
    """What it is about: the event's mRID, the reading's mRID …"""
    body: str
    """What was said."""
    time: int
    """When it was received [s since 1970, UTC]."""


class Kept(Protocol):
    """The state as it was kept."""

    def documents(self, kind: str) -> Iterator[Change]:
        """The documents of a kind, as last kept, in the order in which they were first kept."""
        ...

    def entries(
        self,
        kind: str,
        *,
        owner: str | None = None,
        key: str | None = None,
        since: int = 0,
        newest: int | None = None,
    ) -> Iterator[Entry]:
        """The entries of a kind, oldest first; of one owner or key, received from `since` on.

        With `newest` hardly more than the last so many.
        """
        ...


class Keeper(Kept, Protocol):
    """Keeps the state. Called from the server's loop only, and never blocks it."""

    def keep(self, *what: Change | Entry) -> "Future[None]":
        """Keep all of it or nothing; done when it is durable, and after all that came before."""
        ...

    def prune(self, kinds: Sequence[str], *, before: int, most: int) -> "Future[int]":
        """Drop entries of some kinds received before then, at most so many of each; how many."""
        ...


class MemoryKeeper:
    """Keeps for as long as the process lives: for tests."""

    def __init__(self) -> None:
        self._documents: dict[str, dict[str, Change]] = {}
        self._entries: list[Entry] = []

    def documents(self, kind: str) -> Iterator[Change]:
        """See `Keeper`."""
        yield from tuple(self._documents.get(kind, {}).values())

    def entries(
        self,
        kind: str,
        *,
        owner: str | None = None,
        key: str | None = None,
        since: int = 0,
        newest: int | None = None,
    ) -> Iterator[Entry]:
        """See `Keeper`."""
        found = [
            entry
            for entry in self._entries
            if entry.kind == kind
            and owner in {None, entry.owner}
            and key in {None, entry.key}
            and entry.time >= since
        ]
        yield from found[max(0, len(found) - newest) :] if newest is not None else found

    def keep(self, *what: Change | Entry) -> "Future[None]":
        """See `Keeper`."""
        for item in what:
            if isinstance(item, Entry):
                self._entries.append(item)
            elif item.body is None:
                self._documents.get(item.kind, {}).pop(item.key, None)
            else:
                self._documents.setdefault(item.kind, {})[item.key] = item
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def prune(self, kinds: Sequence[str], *, before: int, most: int) -> "Future[int]":
        """See `Keeper`."""
        old = [
            id(entry)
            for kind in kinds
            for entry in [e for e in self._entries if e.kind == kind and e.time < before][:most]
        ]
        gone = frozenset(old)
        self._entries = [entry for entry in self._entries if id(entry) not in gone]
        done: Future[int] = Future()
        done.set_result(len(gone))
        return done
