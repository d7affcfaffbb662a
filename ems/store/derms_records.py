"""What the IEEE 2030.5 server keeps: documents, which are replaced; what happened, which is not."""

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sqlalchemy import Connection, Engine, func, inspect, select

from ems.errors import BadInput
from ems.store.engine import faults_named, open_reading
from ems.store.schema import DermsDocumentRow, DermsEntryRow

ROWS_AT_ONCE = 1000
"""Entries read at once: a megabyte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document takes the place of what stood under its kind and key, or drops it."""

    kind: str
    key: str
    """Unique within its kind."""
    owner: str
    """Whose it is."""
    body: str | None
    """None drops it."""
    time: int
    """When it was made [s since 1970, UTC]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something that happened; it is only ever added."""

    kind: str
    owner: str
    """Who said or did it."""
    key: str
    """What it is about."""
    body: str
    time: int
    """When it was told [s since 1970, UTC]."""


class DermsRecords:
    """The state as it was kept. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        """Use `read`."""
        self._engine = engine
        self.path = Path(str(engine.url.database))
        """The database file."""

    @classmethod
    def read(cls, path: Path) -> "DermsRecords":
        """Read a database beside whoever keeps its state there.

        Raises:
            BadInput: no database of GEEMS, or of another version.
            StoreFault: it cannot be read.
        """
        engine = open_reading(path)
        if not inspect(engine).has_table(DermsEntryRow.__tablename__):
            engine.dispose()
            raise BadInput.at(
                str(path),
                "was written by an older version of GEEMS, which kept nothing of an IEEE 2030.5 "
                "server; `geems serve` brings it up to date",
            )
        return DermsRecords(engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def documents(self, kind: str) -> list[Document]:
        """The documents of a kind, in the order in which they were first kept."""
        row = DermsDocumentRow
        query = select(row.key, row.owner, row.body, row.time).where(row.kind == kind)
        self._settle()
        with self._reading() as connection:
            return [
                Document(kind=kind, key=r.key, owner=r.owner, body=r.body, time=r.time)
                for r in connection.execute(query.order_by(row.id))
            ]

    def happenings(
        self,
        kind: str,
        *,
        owner: str | None = None,
        key: str | None = None,
        since: int = 0,
        newest: int | None = None,
    ) -> Iterator[Happening]:
        """What happened of a kind, oldest first; of one owner or key, told from `since` on.

        Read bit by bit: there may be millions, and they may go on being added meanwhile. With
        `newest` not many more than the last so many are read.
        """
        row = DermsEntryRow
        query = select(row.id).where(row.kind == kind, row.time >= since)
        if owner is not None:
            query = query.where(row.owner == owner)
        if key is not None:
            query = query.where(row.key == key)
        self._settle()
        if newest is not None:
            # By time, as the index has them: where a clock was set back, a few more come.
            last = query.order_by(row.time.desc()).limit(newest)
            query = query.where(row.id >= select(func.min(last.subquery().c.id)).scalar_subquery())
        # Their numbers first, which the index alone knows, in 8 bytes each: asked for the next
        # ones in order, the database would look at all of them each time.
        with self._reading() as connection:
            numbers = array("q", connection.scalars(query))
        ordered = array("q", sorted(numbers))
        for first in range(0, len(ordered), ROWS_AT_ONCE):
            some = ordered[first : first + ROWS_AT_ONCE]
            with self._reading() as connection:
                found = connection.execute(
                    select(row.owner, row.key, row.body, row.time)
                    .where(row.id.in_(some.tolist()))
                    .order_by(row.id)
                ).all()
            for r in found:
                yield Happening(kind=kind, owner=r.owner, key=r.key, body=r.body, time=r.time)

    def _settle(self) -> None:
        """Nothing was handed over that is not written."""

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with faults_named(str(self.path)), self._engine.begin() as connection:
            yield connection
