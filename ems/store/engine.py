"""Opening the database: one SQLite file, write-ahead log, migrated to this version.

Durability: `journal_mode=WAL` with `synchronous=FULL` syncs the log at every commit, so
what `append` returned from outlives a kill and a power cut.
https://www.sqlite.org/pragma.html#pragma_synchronous
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from ems.errors import BadInput
from ems.store.values import Damaged, StoreFault

_SCRIPTS = Path(__file__).parent / "migrations"

_MENDS = {
    "SQLITE_FULL": "the disk is full; free some space",
    "SQLITE_BUSY": "another program holds it locked; close that program",
    "SQLITE_LOCKED": "another program holds it locked; close that program",
    "SQLITE_READONLY": "it cannot be written; check the permissions of the file and its folder",
    "SQLITE_CANTOPEN": "it cannot be opened; check the path and its permissions",
    "SQLITE_IOERR": "the disk reports an input/output error; check the disk",
    "SQLITE_CORRUPT": "it is damaged; restore a backup, or move it away to start a new one",
    "SQLITE_NOTADB": "it is no SQLite database; give another path",
}
"""What to do, by the name of SQLite's primary result code."""
_OF_THE_PATH = ("SQLITE_CANTOPEN", "SQLITE_READONLY")
"""Codes that say, of a file that is being opened, that its path was chosen badly."""
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


def open_engine(path_or_url: str | Path, busy_timeout_s: float) -> Engine:
    """Open or create the database file and migrate it to this version.

    Raises:
        BadInput: no SQLite file path or URL, the folder is missing, the file cannot be
            opened or written there, is no database of GEEMS, or a newer version of GEEMS
            wrote it.
        StoreFault: the file cannot be read or written.
    """
    url = _file_url(path_or_url)
    place = str(url.database)
    _own(Path(place))
    engine = create_engine(url, connect_args={"timeout": busy_timeout_s})
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    try:
        with faults_named(place), writing(engine).begin() as connection:
            _migrate(connection, place)
    except BaseException as fault:
        engine.dispose()
        if isinstance(fault, StoreFault) and _code(fault.__cause__).startswith(_OF_THE_PATH):
            problem = str(fault).removeprefix(f"{place}: ")
            raise BadInput.at(place, problem) from fault
        raise
    return engine


def open_reading(path: Path) -> Engine:
    """Open a database file that is there; nothing is written, one of an older version stays so.

    Raises:
        BadInput: there is no such file, or it is no database of GEEMS, or of a newer version.
        StoreFault: the file cannot be read.
    """
    place = str(path)
    if not os.path.isfile(path):  # noqa: PTH113 - a name may be too long to be asked for
        raise BadInput.at(place, "no such file")

    def connected() -> sqlite3.Connection:
        return connect_reading(path)

    engine = create_engine(URL.create("sqlite", database=place), creator=connected)
    event.listen(engine, "begin", _begin)
    try:
        with faults_named(place), engine.begin() as connection:
            _revisions(connection, place, empty=False)
    except BaseException:
        engine.dispose()
        raise
    return engine


def connect_reading(path: Path) -> sqlite3.Connection:
    """A connection of SQLite's own that can change nothing; transactions begin where one says."""
    address = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)


def writing(engine: Engine) -> Engine:
    """The same engine; its transactions take the write lock at once (BEGIN IMMEDIATE).

    A transaction that reads first and writes later would fail at once, whatever the
    timeout, when another writer came in between.
    """
    return engine.execution_options(geems_begin="BEGIN IMMEDIATE")


@contextmanager
def faults_named(place: str) -> Iterator[None]:
    """Turn the driver's errors into one `StoreFault` with its mend; `Damaged` where that is why."""
    try:
        yield
    except DBAPIError as error:
        raise _kind(error)(f"{place}: {_mend(error)} ({error.orig})") from error
    except (SQLAlchemyError, sqlite3.Error) as error:  # a pool run dry; raised in `_prepare`
        raise _kind(error)(f"{place}: {_mend(error)} ({error})") from error


def _code(error: BaseException | None) -> str:
    """SQLite's name for what went wrong; empty where it was not SQLite."""
    driver = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(driver, "sqlite_errorname", ""))


def damages(error: BaseException) -> bool:
    """Whether an error of the driver says that what the file holds is no sound database."""
    return _code(error).startswith(_DAMAGED)


def _kind(error: BaseException) -> type[StoreFault]:
    return Damaged if damages(error) else StoreFault


def _mend(error: BaseException) -> str:
    code = _code(error)
    for name, mend in _MENDS.items():
        if code.startswith(name):  # extended codes append to the primary one's name
            return mend
    return "the database failed"


def _file_url(path_or_url: str | Path) -> URL:
    text = str(path_or_url)
    try:
        url = make_url(text) if "://" in text else URL.create("sqlite", database=text)
    except ArgumentError as error:
        raise BadInput.at(text, f"not a database address: {error}") from error
    if url.get_backend_name() != "sqlite" or not url.database or ":memory:" in url.database:
        raise BadInput.at(text, "records are kept in an SQLite file; give the path of one")
    path = Path(url.database)
    if not path.parent.is_dir():
        raise BadInput.at(text, f"the folder {path.parent} does not exist; create it first")
    if path.is_dir():
        raise BadInput.at(text, "is a folder; give the path of a file in it")
    return url.set(database=str(path.absolute()))


def _own(path: Path) -> None:
    """Make a new file its owner's alone; SQLite gives its log and index the rights of the file."""
    # Where it exists it keeps its rights; what else is wrong SQLite tells when it opens it.
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _prepare(connection: Any, _: Any) -> None:
    """Settings of every new connection."""
    connection.isolation_level = None  # transactions begin where `_begin` says, not before DML
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    connection.exec_driver_sql(str(options.get("geems_begin", "BEGIN")))


def _migrate(connection: Connection, place: str) -> None:
    """Bring the tables to this version, inside the transaction that holds the write lock."""
    present, newest = _revisions(connection, place)
    if present != newest:
        command.upgrade(_config(connection), "head")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _revisions(
    connection: Connection, place: str, *, empty: bool = True
) -> tuple[str | None, str | None]:
    """Schema of a database, and of this version.

    Raises:
        BadInput: another program, or a newer version of GEEMS, wrote it; or it is empty and may
            not be.
    """
    scripts = ScriptDirectory.from_config(_config(connection))
    newest = scripts.get_current_head()
    present = MigrationContext.configure(connection).get_current_revision()
    if present is None and inspect(connection).get_table_names():
        raise BadInput.at(place, "is a database of another program; give another path")
    if present is None and not empty:
        raise BadInput.at(place, "is empty, and no database of GEEMS; give another path")
    if present is not None and present not in {s.revision for s in scripts.walk_revisions()}:
        raise BadInput.at(
            place,
            f"was written by a newer version of GEEMS (schema {present}, this version knows "
            f"{newest}); install that version, or give another path",
        )
    return present, newest
