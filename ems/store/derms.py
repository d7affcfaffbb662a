"""Keeping the state of the IEEE 2030.5 server.

One thread writes. What is handed to it while it is at work is committed together next time (group
commit), so that a thousand devices that report at once wait for a few syncs of the disk and not
for a thousand.
"""

import fcntl
import os
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, Engine, bindparam, delete, insert, select
from sqlalchemy.dialects.sqlite import Insert
from sqlalchemy.dialects.sqlite import insert as upsert

from ems.errors import LeaseHeld
from ems.store.derms_records import DermsRecords, Document, Happening
from ems.store.engine import faults_named, open_engine, writing
from ems.store.schema import DermsDocumentRow, DermsEntryRow
from ems.store.values import StoreFault

MOST_AT_ONCE = 10_000
"""Items of one transaction: a few megabytes, and some tenths of a second."""


Item = Document | Happening


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keeping:
    """Kept together, or not at all."""

    what: Sequence[Item]
    done: "Future[None]"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pruning:
    """What happened before an instant is to go."""

    kinds: Sequence[str]
    before: int
    most: int
    done: "Future[int]"


_Job = _Keeping | _Pruning


class DermsStore(DermsRecords):
    """Thread-safe. What is read holds all that was handed over before."""

    def __init__(self, engine: Engine, lock: IO[bytes]) -> None:
        """Use `open`."""
        super().__init__(engine)
        self._writing_engine = writing(engine)
        self._lock = lock
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._turn = threading.Lock()
        """Between closing and handing over: nothing is queued behind the end."""
        self._last: Future[None] = Future()
        self._last.set_result(None)
        self._closed = False
        self._writer = threading.Thread(target=self._write, name="ieee2030_5-store", daemon=True)
        self._writer.start()

    @classmethod
    def open(cls, path_or_url: str | Path, *, busy_timeout_s: float = 5.0) -> "DermsStore":
        """Open or create the database and migrate it to this version.

        Args:
            path_or_url: path of the file, or `sqlite:///PATH`.
            busy_timeout_s: how long to wait for another program's lock [s].

        Raises:
            BadInput: not a path of a database of this or an older version of GEEMS.
            LeaseHeld: another server keeps its state there.
            StoreFault: the file cannot be read or written.
        """
        engine = open_engine(path_or_url, busy_timeout_s)
        try:
            lock = locked(Path(str(engine.url.database)))
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, lock)

    def close(self) -> None:
        """Write what was handed over, and end. May be called twice."""
        with self._turn:
            if self._closed:
                return
            self._closed = True
            self._jobs.put(None)
        self._writer.join()
        super().close()
        self._lock.close()

    def keep(self, *what: Item) -> "Future[None]":
        """Keep all of it or nothing.

        Returns:
            Done when it is on the disk, and after all that was handed over before; raises
            `StoreFault` where it could not be written.
        """
        done: Future[None] = Future()
        # A client that gives up waiting must not take back what is already under way.
        done.set_running_or_notify_cancel()
        with self._turn:
            if self._closed:
                done.set_exception(StoreFault(f"{self.path}: is closed"))
                return done
            self._jobs.put(_Keeping(what=what, done=done))
            self._last = done
        return done

    def prune(self, kinds: Sequence[str], *, before: int, most: int) -> "Future[int]":
        """Drop what happened before an instant, the oldest first.

        Args:
            kinds: of what happened; all others stay.
            before: what was told earlier goes [s since 1970, UTC].
            most: so many of each kind at once: whoever has something kept meanwhile waits for them.

        Returns:
            How many went; raises `StoreFault` where they could not be dropped.
        """
        done: Future[int] = Future()
        done.set_running_or_notify_cancel()
        with self._turn:
            if self._closed:
                done.set_exception(StoreFault(f"{self.path}: is closed"))
                return done
            self._jobs.put(_Pruning(kinds=tuple(kinds), before=before, most=most, done=done))
        return done

    # --- the writer ------------------------------------------------------------------

    def _settle(self) -> None:
        """Wait for what was handed over; that it failed is for whoever handed it over."""
        self._last.exception()

    def _write(self) -> None:
        ended = False
        while not ended:
            jobs: list[_Keeping] = []
            prunings: list[_Pruning] = []
            size = 0
            job = self._jobs.get()
            while True:
                if job is None:
                    ended = True
                    break
                if isinstance(job, _Pruning):
                    prunings.append(job)
                else:
                    jobs.append(job)
                    size += len(job.what)
                if size >= MOST_AT_ONCE:
                    break
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
            self._commit(jobs)
            for pruning in prunings:
                self._drop_old(pruning)

    def _drop_old(self, pruning: _Pruning) -> None:
        """In a transaction of its own: nobody's change fails with it."""
        gone = 0
        try:
            with faults_named(str(self.path)), self._writing_engine.begin() as connection:
                for kind in pruning.kinds:
                    old = {"k": kind, "until": pruning.before, "most": pruning.most}
                    gone += connection.execute(_OUTDATED, old).rowcount
        except Exception as fault:  # noqa: BLE001 - whatever it is, whoever waits must be told
            pruning.done.set_exception(fault)
        else:
            pruning.done.set_result(gone)

    def _commit(self, jobs: Sequence[_Keeping]) -> None:
        """All jobs in one transaction, then tell each."""
        failed: BaseException | None = None
        try:
            with faults_named(str(self.path)), self._writing_engine.begin() as connection:
                _put(connection, [item for job in jobs for item in job.what])
        except Exception as fault:  # noqa: BLE001 - whatever it is, those who wait must be told
            failed = fault
        for job in jobs:
            if failed is None:
                job.done.set_result(None)
            else:
                job.done.set_exception(failed)


def _put(connection: Connection, items: Sequence[Item]) -> None:
    """Write all; documents in the order in which they came, neighbours in one statement."""
    happened = [_row(item) for item in items if isinstance(item, Happening)]
    if happened:
        connection.execute(_ADDED, happened)
    documents = (item for item in items if isinstance(item, Document))
    for dropped, some in groupby(documents, key=lambda document: document.body is None):
        if dropped:
            connection.execute(_DROPPED, [{"k": d.kind, "which": d.key} for d in some])
        else:
            connection.execute(_REPLACED, [_row(document) for document in some])


def _row(item: Item) -> dict[str, Any]:
    return {
        "kind": item.kind, "key": item.key, "owner": item.owner, "body": item.body,
        "time": item.time,
    }  # fmt: skip


def _replacing() -> Insert:
    new = upsert(DermsDocumentRow)
    replaced = {name: new.excluded[name] for name in ("owner", "body", "time")}
    return new.on_conflict_do_update(index_elements=["kind", "key"], set_=replaced)


_ADDED = insert(DermsEntryRow)
_REPLACED = _replacing()
_DROPPED = delete(DermsDocumentRow).where(
    DermsDocumentRow.kind == bindparam("k"), DermsDocumentRow.key == bindparam("which")
)
_OUTDATED = delete(DermsEntryRow).where(
    DermsEntryRow.id.in_(
        select(DermsEntryRow.id)
        .where(DermsEntryRow.kind == bindparam("k"), DermsEntryRow.time < bindparam("until"))
        .order_by(DermsEntryRow.time)
        .limit(bindparam("most"))
        .scalar_subquery()
    )
)


def lock_of(database: Path) -> Path:
    """The file that the server of a database locks."""
    return database.with_name(f"{database.name}-ieee2030_5")


def locked(database: Path) -> IO[bytes]:
    """One server per database, for as long as its process lives: the kernel frees the lock."""
    path = lock_of(database)
    try:
        # The owner's alone, as the database is.
        lock = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb")
    except OSError as fault:
        raise StoreFault(f"{path}: cannot be made: {fault.strerror}") from fault
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise LeaseHeld(
            f"{database}: another IEEE 2030.5 server keeps its state there; stop that one first, "
            "or give this one another store.path"
        ) from None
    return lock
