"""The database file of one site, and taking turns at it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from sqlalchemy import Connection, Engine

from ems.store.engine import faults_named, open_engine, writing


class Database:
    """Thread-safe. Every method raises `StoreFault` when the database fails."""

    def __init__(self, engine: Engine) -> None:
        """Use `open`."""
        self._engine = engine
        self._writing_engine = writing(engine)
        # Threads of one process take turns here: SQLite's own waiting is by polling, unfair.
        self._turn = threading.Lock()
        self.path = Path(str(engine.url.database))
        """The database file."""

    @classmethod
    def open(cls, path_or_url: str | Path, *, busy_timeout_s: float = 5.0) -> Self:
        """Open or create the database and migrate it to this version.

        Args:
            path_or_url: path of the file, or `sqlite:///PATH`.
            busy_timeout_s: how long to wait for another program's lock [s].

        Raises:
            BadInput: not a path of a database of this or an older version of GEEMS.
            StoreFault: the file cannot be read or written.
        """
        return cls(open_engine(path_or_url, busy_timeout_s))

    def close(self) -> None:
        """Close all connections; the last one of all processes folds the log into the file."""
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the database."""
        with faults_named(str(self.path)), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A connection whose changes are on the disk, all of them, when it is left."""
        with (
            self._turn,
            faults_named(str(self.path)),
            self._writing_engine.begin() as connection,
        ):
            yield connection
