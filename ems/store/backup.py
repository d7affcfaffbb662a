"""A copy of the database as it is at one moment, made while others write; and its way back.

Copies are made by SQLite's online backup (https://www.sqlite.org/backup.html), out of one reading
transaction: what is written meanwhile neither comes with it nor makes it begin anew.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, delete, func, inspect, select

from ems.errors import BadInput
from ems.store.derms import locked
from ems.store.engine import connect_reading, faults_named, open_reading
from ems.store.lease import Holder
from ems.store.schema import Base, CycleRow, DermsEntryRow, LeaseRow
from ems.store.store import Store
from ems.store.values import Damaged

Progress = Callable[[int, int], None]
"""Told how many pages are copied, of how many."""

PAGES_AT_ONCE = 2000
"""8 MB, between two words of progress."""
_LEASE_S = 600.0
"""Longer than any database takes to come back [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a database holds."""

    file: Path
    size_bytes: int
    cycles: int
    """Cycle records."""
    first: datetime | None
    """Start of the first interval that is recorded, UTC."""
    last: datetime | None
    """Start of the last one."""
    sites: tuple[str, ...]
    """Names of the sites they are of."""
    entries: int
    """Of the IEEE 2030.5 server: what happened there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A database that came back."""

    held: Held
    aside: Path | None
    """Where that is which stood there before; None: nothing did."""


def back_up(database: Path, file: Path, *, progress: Progress = lambda _done, _all: None) -> Held:
    """Copy a database into a file of its own, readable by its owner alone.

    The copy is proved to be sound before it has its name. The right to write to the site is not in
    it.

    Args:
        database: the file; its service may run.
        file: the copy; must not be there.
        progress: told how far it is.

    Raises:
        BadInput: there is no database, something stands where the copy should, or `database` is
            none of GEEMS, or of a newer version.
        Damaged: the database is.
        StoreFault: it cannot be read, or the copy not written.
    """
    open_reading(database).dispose()  # it is one, and of a version that is known here
    if file.exists():
        raise BadInput.at(str(file), "is there already; give another name, it is left as it is")
    if not file.parent.is_dir():
        raise BadInput.at(str(file), f"the folder {file.parent} does not exist; create it first")
    part = file.with_name(f"{file.name}.part")
    with _gone_unless_renamed(part):
        with faults_named(str(part)), closing(_made(part)) as copy:
            _copy(database, copy, progress)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, with nothing beside it
            copy.execute(str(delete(LeaseRow)))
        held = examine(part)
        part.rename(file)
        _on_the_disk(file.parent)
    return replace(held, file=file)


def examine(file: Path) -> Held:
    """What a database holds; nothing of it is changed.

    Raises:
        BadInput: no database of GEEMS, or one of a newer version.
        Damaged: it is.
        StoreFault: it cannot be read.
    """
    row = CycleRow
    told = select(func.count(), func.min(row.start), func.max(row.start)).select_from(row)
    engine = open_reading(file)
    try:
        with faults_named(str(file)), engine.begin() as connection:
            trouble = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one()
            if trouble != "ok":
                raise Damaged(f"{file}: it is damaged ({trouble})")
            cycles, first, last = connection.execute(told).one()
            sites = connection.scalars(select(row.site).distinct().order_by(row.site)).all()
            entries = _count(connection, DermsEntryRow)
    finally:
        engine.dispose()
    return Held(
        file=file, size_bytes=file.stat().st_size, cycles=cycles, first=first, last=last,
        sites=tuple(sites), entries=entries,
    )  # fmt: skip


def restore(
    file: Path, database: Path, site: str, *, progress: Progress = lambda _done, _all: None
) -> Restored:
    """Put a copy in the place of a database, all of it or nothing; what stood there is kept aside.

    Args:
        file: from `back_up`.
        database: of the site; nobody may write there.
        site: its name.
        progress: told how far it is.

    Raises:
        BadInput: the copy is none of GEEMS, of a newer version, or of other sites.
        LeaseHeld: a service or an IEEE 2030.5 server runs on the database.
        Damaged: the copy is.
        StoreFault: the copy cannot be read, or the database not written.
    """
    held = examine(file)
    if held.sites and site not in held.sites:
        theirs = ", ".join(held.sites)
        raise BadInput.at(str(file), f"holds records of {theirs}, none of {site}")
    if not database.parent.is_dir():
        problem = f"the folder {database.parent} does not exist; create it first"
        raise BadInput.at(str(database), problem)
    with ExitStack() as until_it_is_back:
        if database.exists():
            until_it_is_back.callback(locked(database).close)
            aside = _set_aside(database, site)
        else:
            aside = None
        with faults_named(str(database)), closing(_made(database)) as there:
            _copy(file, there, progress)
        Store.open(database).close()  # as the service opens it
        return Restored(held=held, aside=aside)


def _set_aside(database: Path, site: str) -> Path:
    """A copy of what stands there, which from now on is nobody else's to write.

    One that is damaged is moved: that is what restoring is for.
    """
    now = datetime.now(UTC)
    aside = database.with_name(f"{database.stem}-before-{now:%Y%m%dT%H%M%SZ}{database.suffix}")
    try:
        with closing(Store.open(database)) as store:
            store.take_lease(site, str(Holder.this_process()), _LEASE_S, now)
        back_up(database, aside)
    except Damaged:
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                Path(f"{database}{suffix}").rename(f"{aside}{suffix}")
    return aside


def _copy(source: Path, into: sqlite3.Connection, progress: Progress) -> None:
    def told(_status: int, left: int, pages: int) -> None:
        progress(pages - left, pages)

    with faults_named(str(source)), closing(connect_reading(source)) as reading:
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from here on
        reading.backup(into, pages=PAGES_AT_ONCE, progress=told)


def _made(file: Path) -> sqlite3.Connection:
    """Its owner's alone, where it is new; all that is committed is on the disk."""
    try:
        os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
    except OSError as fault:
        raise BadInput.at(str(file), f"cannot be written: {fault.strerror}") from fault
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")
    return connection


@contextmanager
def _gone_unless_renamed(part: Path) -> Iterator[None]:
    """What an earlier copy left half made goes too."""
    try:
        part.unlink(missing_ok=True)
        yield
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _on_the_disk(folder: Path) -> None:
    """A name in it outlives a power cut (fsync(2) of the folder)."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _count(connection: Connection, row: type[Base]) -> int:
    """Rows of a table; an older version may have had no such table."""
    if not inspect(connection).has_table(row.__tablename__):
        return 0
    return connection.scalar(select(func.count()).select_from(row)) or 0
