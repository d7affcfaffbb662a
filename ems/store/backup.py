"""A copy of the database as it is at one moment, made while others write; and its way back.

Copies are made by SQLite's online backup (https://www.sqlite.org/backup.html), out of one reading
transaction: what is written meanwhile neither comes with it nor makes it begin anew. They have
their name once they are proved to be sound, so that nothing half made is ever found under it.
"""

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, delete, func, inspect, select

from ems.errors import BadInput, LeaseHeld
from ems.store.derms import lock_of, locked
from ems.store.engine import connect_reading, damages, faults_named, open_reading
from ems.store.lease import Holder
from ems.store.opened import opened_by
from ems.store.schema import Base, CycleRow, DermsEntryRow, LeaseRow
from ems.store.store import Store
from ems.store.values import Damaged, StoreFault

Progress = Callable[[int, int], None]
"""Told how many pages are copied, of how many."""

PAGES_AT_ONCE = 2000
"""8 MB, between two words of progress."""
_LEASE_S = 60.0
"""Longer than the last steps of any restoring take [s]."""
_TRIES = 20
"""Quarters of a second for which another program may hold the database locked."""


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

    The right to write to the site is not in it.

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
    with _files_named(file):
        if os.path.lexists(file):
            raise BadInput.at(str(file), "is there already; give another name, it is left as it is")
        if beside := _beside(file):
            problem = f"stands there without its database; give another name than {file.name}"
            raise BadInput.at(str(beside[0]), problem)
        _check_folder(file)
        with _copy(database, file.parent, progress) as part:
            held = examine(part)
            _named(part, file)
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
        database: of the site; nobody may have it open.
        site: its name.
        progress: told how far it is.

    Raises:
        BadInput: the copy is none of GEEMS, of a newer version, of other sites, or the database
            itself.
        LeaseHeld: a service, an IEEE 2030.5 server or another program has the database open.
        Damaged: the copy is.
        StoreFault: the copy cannot be read, or the database not written.
    """
    held = examine(file)
    if held.sites and site not in held.sites:
        theirs = ", ".join(held.sites)
        raise BadInput.at(str(file), f"holds records of {theirs}, none of {site}")
    database = database.resolve()
    with _files_named(database):
        _check_folder(database)
        if os.path.lexists(database) and file.samefile(database):
            raise BadInput.at(str(file), "is the database itself; give a copy of it")
        with _ours(database, site):
            pass  # told before the work; asked again behind it, for that may take minutes
        with (
            _copy(file, database.parent, progress, like=database) as part,
            _ours(database, site),
        ):
            aside = _exchanged(part, database)
    Store.open(database).close()  # as the service opens it: one of an older version is migrated
    return Restored(held=held, aside=aside)


@contextmanager
def _ours(database: Path, site: str) -> Iterator[None]:
    """Nobody else writes there, or begins to.

    Raises:
        LeaseHeld: somebody does, or has it open.
    """
    holder = str(Holder.this_process())
    with ExitStack() as then:
        if lock_of(database).exists():
            then.callback(locked(database).close)
        if os.path.lexists(database):
            then.callback(_give_back, database, site, holder)
            with suppress(Damaged), closing(Store.open(database)) as store:
                store.take_lease(site, holder, _LEASE_S, datetime.now(UTC))
        # A service goes on while its database is damaged: it is known by its open files.
        if who := opened_by(database):
            raise LeaseHeld(f"{database}: process {who} has it open; end that one first")
        yield


def _give_back(database: Path, site: str, holder: str) -> None:
    if not os.path.lexists(database):  # opened, it would begin to be
        return
    with suppress(StoreFault, BadInput), closing(Store.open(database)) as store:
        store.release(site, holder)


def _exchanged(part: Path, database: Path) -> Path | None:
    """Put a copy in the place of a database that nobody has open; where that is now.

    What stood beside it goes with it, also where it is gone itself: SQLite would take a log for
    that of the copy.
    """
    now = datetime.now(UTC)
    aside = database.with_name(f"{database.stem}-before-{now:%Y%m%dT%H%M%SZ}{database.suffix}")
    stood = os.path.lexists(database)
    if stood:  # opened and closed, a sound one has nothing beside it
        with suppress(Damaged):
            Store.open(database).close()
    for beside in _beside(database):
        beside.rename(f"{aside}{beside.name.removeprefix(database.name)}")
    if not stood:
        _named(part, database)
        return None
    try:
        aside.hardlink_to(database)  # so that there is a database under its name all the time
    except FileExistsError:
        raise
    except OSError:  # no file system of that kind
        database.rename(aside)
    part.replace(database)
    _on_the_disk(database.parent)
    return aside


def _beside(database: Path) -> list[Path]:
    """Logs and journals of a database that are there."""
    names = (Path(f"{database}{suffix}") for suffix in ("-wal", "-shm", "-journal"))
    return [path for path in names if os.path.lexists(path)]


@contextmanager
def _copy(
    source: Path, folder: Path, progress: Progress, *, like: Path | None = None
) -> Iterator[Path]:
    """A copy of a database in a folder, under a name of its own; gone where it got no other.

    Args:
        source: the database.
        folder: where.
        progress: told how far it is.
        like: made by root, the copy belongs to whom this file belongs to, or its folder.
    """
    number, name = tempfile.mkstemp(prefix=".geems-", suffix=".part", dir=folder)
    part = Path(name)
    try:
        if like is not None and os.geteuid() == 0:
            owner = (like if like.exists() else folder).stat()
            os.fchown(number, owner.st_uid, owner.st_gid)
        os.close(number)
        _fill(part, source, progress)
        yield part
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _fill(part: Path, source: Path, progress: Progress) -> None:
    tries = _TRIES

    def told(status: int, left: int, pages: int) -> None:
        nonlocal tries
        tries = tries - 1 if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) else _TRIES
        if not tries:  # it would be tried for ever
            raise StoreFault(f"{source}: another program holds it locked; close that program")
        progress(pages - left, pages)

    with (
        faults_named(str(part)),
        closing(sqlite3.connect(part.absolute(), isolation_level=None)) as copy,
        closing(connect_reading(source)) as reading,
    ):
        copy.execute("PRAGMA journal_mode=MEMORY")  # it is nobody's yet: nothing beside it
        with faults_named(str(source)):
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from here on
        try:
            reading.backup(copy, pages=PAGES_AT_ONCE, progress=told)
        except sqlite3.Error as fault:
            with faults_named(str(source if damages(fault) else part)):
                raise
        copy.execute("PRAGMA journal_mode=DELETE")  # one file
        copy.execute("PRAGMA synchronous=FULL")
        copy.execute(str(delete(LeaseRow)))
    with part.open("rb") as written:
        os.fsync(written.fileno())


def _named(part: Path, file: Path) -> None:
    """Give a file its name, if nobody has it."""
    try:
        file.hardlink_to(part)
    except FileExistsError:
        raise BadInput.at(
            str(file), "is there already; give another name, it is left as it is"
        ) from None
    except OSError:  # no file system of that kind
        part.rename(file)
    _on_the_disk(file.parent)


def _check_folder(file: Path) -> None:
    if not file.parent.is_dir():
        problem = f"the folder {file.parent} does not exist; create it first"
        raise BadInput.at(str(file), problem)


@contextmanager
def _files_named(file: Path) -> Iterator[None]:
    """Turn what the system says of a file into one clear fault."""
    try:
        yield
    except OSError as fault:
        raise BadInput.at(str(file), f"cannot be written: {fault.strerror}") from fault


def _on_the_disk(folder: Path) -> None:
    """A name in it outlives a power cut (fsync(2) of the folder), where one may ask for that."""
    with suppress(OSError):
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
