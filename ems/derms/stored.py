"""The server's state in the database."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

from ems.derms.keeping import Change, Entry
from ems.derms.owed import Items, Owed
from ems.store import DermsRecords, DermsStore, Document, Happening


class StoreReader:
    """`Kept` in the database, read beside whoever keeps it there."""

    def __init__(self, records: DermsRecords) -> None:
        self._records = records

    def documents(self, kind: str) -> Iterator[Change]:
        """See `Kept`."""
        for d in self._records.documents(kind):
            yield Change(kind=d.kind, key=d.key, owner=d.owner, body=d.body, time=d.time)

    def entries(
        self,
        kind: str,
        *,
        owner: str | None = None,
        key: str | None = None,
        since: int = 0,
        newest: int | None = None,
    ) -> Iterator[Entry]:
        """See `Kept`."""
        found = self._records.happenings(kind, owner=owner, key=key, since=since, newest=newest)
        for h in found:
            yield _entry(h)


class StoreKeeper(StoreReader):
    """A `Keeper` whose state outlives a kill and a power cut."""

    def __init__(self, store: DermsStore) -> None:
        super().__init__(store)
        self._store = store
        self.owed = Owed(self._kept)
        """What could not be kept yet."""
        self._held: list[Change | Entry] | None = None
        """What is handed over within `together`; None: not within."""
        self._together: Future[None] = Future()

    def documents(self, kind: str) -> Iterator[Change]:
        """See `Kept`."""
        self.owed.settle()
        yield from super().documents(kind)

    def entries(
        self,
        kind: str,
        *,
        owner: str | None = None,
        key: str | None = None,
        since: int = 0,
        newest: int | None = None,
    ) -> Iterator[Entry]:
        """See `Kept`."""
        self.owed.settle()
        yield from super().entries(kind, owner=owner, key=key, since=since, newest=newest)

    def keep(self, *what: Change | Entry) -> "Future[None]":
        """See `Keeper`."""
        if self._held is None:
            return self.owed.hand_over(what)
        self._held += what
        return self._together

    def prune(self, kinds: Sequence[str], *, before: int, most: int) -> "Future[int]":
        """See `Keeper`."""
        return self._store.prune(kinds, before=before, most=most)

    @contextmanager
    def together(self) -> Iterator[None]:
        """All that is kept within is kept, or nothing of it: a change, and who made it."""
        self._held = []
        self._together = Future()
        self._together.set_running_or_notify_cancel()
        together, held = self._together, self._held
        try:
            yield
        finally:
            # Also after a fault: memory holds what was changed before it.
            self._held = None
            kept = self.owed.hand_over(held)
            kept.add_done_callback(lambda done: _settle(together, done))

    def _kept(self, what: Items) -> "Future[None]":
        return self._store.keep(*(_item(one) for one in what))


def _settle(waited: "Future[None]", done: "Future[None]") -> None:
    fault = done.exception()
    if fault is None:
        waited.set_result(None)
    else:
        waited.set_exception(fault)


def _entry(h: Happening) -> Entry:
    return Entry(kind=h.kind, owner=h.owner, key=h.key, body=h.body, time=h.time)


def _item(one: Change | Entry) -> Document | Happening:
    if isinstance(one, Change):
        return Document(kind=one.kind, key=one.key, owner=one.owner, body=one.body, time=one.time)
    return Happening(kind=one.kind, owner=one.owner, key=one.key, body=one.body, time=one.time)
