"""What a backtest leaves on disk: one Parquet file per day, whole or not there at all.

```
OUT/study.json                                   what was asked, and with which versions
OUT/rows/site=…/policy=…/seed=…/day=2019-06-01.parquet
OUT/failed.json                                  days that could not be simulated
```

A day's file also holds the states it began with and ended in, so that rows and states can never
part; a run that is started again goes on from there.
"""

import base64
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from ems.backtest.case import DayState
from ems.errors import BadInput, Fault

STUDY = "study.json"
_PART = ".{}.part"
"""Name of a file while it is written."""
FAILED = "failed.json"
ROWS = "rows"
LOCK = ".lock"
TIMING = "s."
"""How names of columns begin that tell wall time, which no two runs share."""
NODES_NAMED = 20
"""Nodes that a row names, those furthest beyond a limit."""
_OF_STUDY, _START, _END = b"geems.study", b"geems.start", b"geems.end"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ChainKey:
    """Names one chain of days."""

    site: str
    policy: str
    seed: int

    @property
    def folder(self) -> str:
        """Where its days lie below `rows`, as Hive names partitions."""
        return f"site={self.site}/policy={self.policy}/seed={self.seed}"

    def __str__(self) -> str:
        return f"{self.site}, {self.policy}, seed {self.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A day that could not be simulated."""

    chain: ChainKey
    day: date
    why: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeptDay:
    """The two ends of a day that is kept."""

    start: DayState
    """Without the record of the cycle before."""
    end: bytes
    """State it left, as `DayState.to_bytes` writes it."""


def packed(rows: pa.Table, study: str, start: DayState, end: bytes) -> bytes:
    """A day as the bytes of its file.

    Args:
        rows: one per interval.
        study: digest of the study it is part of.
        start: what the day began with.
        end: what it left, as `DayState.to_bytes` writes it.
    """
    told = {
        _OF_STUDY: study.encode(),
        _START: base64.b64encode(replace(start, previous=None).to_bytes()),
        _END: base64.b64encode(end),
    }
    sink = pa.BufferOutputStream()
    table = rows.replace_schema_metadata({**(rows.schema.metadata or {}), **told})
    # So few rows are smaller, and read twice as fast, without dictionaries; and nobody skips any.
    parquet.write_table(
        table, sink, compression="zstd", use_dictionary=False, write_statistics=False
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data


def unpacked(path: Path, study: str) -> KeptDay | None:
    """The ends of a kept day; None where the file is none of this study, or damaged."""
    try:
        told = parquet.read_schema(path).metadata or {}
        if told.get(_OF_STUDY) != study.encode():
            return None
        start = DayState.from_bytes(base64.b64decode(told[_START]))
        return KeptDay(start=start, end=base64.b64decode(told[_END]))
    except (OSError, pa.ArrowInvalid, KeyError, ValueError):
        return None


def rows_of(path: Path, wanted: Callable[[str], bool]) -> pa.Table:
    """Rows of a kept day, of the columns that are wanted.

    Raises:
        BadInput: the file is damaged.
    """
    try:
        with parquet.ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if wanted(name)]
            # A day is read before threads have begun.
            return file.read(columns=names, use_threads=False)
    except (OSError, pa.ArrowInvalid) as fault:
        problem = f"cannot be read ({str(fault).splitlines()[0]}); delete it, and start the same "
        raise BadInput.at(str(path), problem + "backtest again, which simulates it anew") from None


class Results:
    """The folder of one study, and its only writer."""

    def __init__(self, folder: Path, digest: str) -> None:
        self.folder = folder
        self.digest = digest

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, asked: Mapping[str, Any]) -> Iterator[Self]:
        """Begin a study in an empty folder, or go on with the same one.

        Args:
            folder: made where it is not there.
            asked: the study, as JSON holds it.

        Raises:
            BadInput: it holds another study, or other files; or another process writes into it.
        """
        document = json.loads(json.dumps(asked))
        digest = digest_of(document)
        made = not folder.exists()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            there = {path.name for path in folder.iterdir()}
            lock = (folder / LOCK).open("a")  # it may be another program's
        except OSError as fault:
            raise BadInput.at(str(folder), f"cannot be written: {fault.strerror}") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                problem = "another backtest writes into this folder; wait for it, or give another"
                raise BadInput.at(str(folder), problem) from None
            try:
                _same_study(folder, document)
            except BadInput:
                if not there & {LOCK, STUDY}:
                    (folder / LOCK).unlink(missing_ok=True)
                raise
            _remove_torn(folder)
            write_whole(folder / STUDY, json.dumps(document, indent=2).encode())
            try:
                yield cls(folder, digest)
            except Exception:
                if not there:
                    _begun_in_vain(folder, made=made)
                raise

    def path(self, chain: ChainKey, day: date) -> Path:
        """File of a day."""
        return self.folder / ROWS / chain.folder / f"day={day}.parquet"

    def read(self, chain: ChainKey, day: date) -> KeptDay | None:
        """The two ends of a day; None where it is not kept."""
        path = self.path(chain, day)
        return unpacked(path, self.digest) if path.is_file() else None

    def keep(self, chain: ChainKey, day: date, data: bytes) -> None:
        """Write a day, whole or not at all."""
        path = self.path(chain, day)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)

    def drop(self, chain: ChainKey, day: date) -> None:
        """Keep a day no longer: what it followed from has changed, and it failed."""
        self.path(chain, day).unlink(missing_ok=True)

    def tell_failed(self, failed: Sequence[Failed]) -> None:
        """List days that failed; none: no list."""
        path = self.folder / FAILED
        if not failed:
            path.unlink(missing_ok=True)
            return
        told = [asdict(f) for f in sorted(failed, key=lambda f: (f.chain, f.day))]
        write_whole(path, json.dumps(told, indent=2, default=str).encode())


def digest_of(document: Any) -> str:
    """SHA-256 of a JSON document, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that after a crash at any moment the old one or the new one is there."""
    torn = path.with_name(_PART.format(path.name))
    with torn.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    torn.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def days_of(folder: Path) -> dict[ChainKey, list[Path]]:
    """Files of all chains of a study's folder, in the order of their days."""
    found: dict[ChainKey, list[Path]] = {}
    for path in sorted((folder / ROWS).glob("site=*/policy=*/seed=*/day=*.parquet")):
        site, policy, seed = (part.partition("=")[2] for part in path.parts[-4:-1])
        found.setdefault(ChainKey(site=site, policy=policy, seed=int(seed)), []).append(path)
    return dict(sorted(found.items()))


def hash_of(folder: Path) -> str:
    """SHA-256 of all rows, in order, without the columns that tell wall time.

    Two runs of one study give the same, wherever and on however many processes they ran.
    """
    digest = hashlib.sha256()
    for chain, paths in days_of(folder).items():
        digest.update(f"{chain}\0".encode())
        for path in paths:
            table = rows_of(path, lambda name: not name.startswith(TIMING))
            for name in sorted(table.schema.names):
                digest.update(f"{name}\0".encode())
                digest.update(_bytes_of(table[name]))
    return digest.hexdigest()


def _bytes_of(column: pa.ChunkedArray) -> bytes:
    """Values of a column, alike for alike values."""
    if pa.types.is_floating(column.type):
        values = column.to_numpy().astype(np.float64)
        # Which of the many NaNs it is says nothing.
        return np.where(np.isnan(values), np.nan, values).tobytes()
    return json.dumps(column.to_pylist(), default=str).encode()


def _same_study(folder: Path, document: Any) -> None:
    """Refuse a folder that holds anything else; a study that keeps no day is nothing.

    Raises:
        BadInput: names what differs.
    """
    path = folder / STUDY
    if not path.exists():
        strange = sorted({p.name for p in folder.iterdir()} - {LOCK, _PART.format(STUDY)})
        if strange:
            problem = f"holds other files ({', '.join(strange[:3])}); give an empty folder"
            raise BadInput.at(str(folder), problem)
        return
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise BadInput.at(str(path), "cannot be read; give another folder") from None
    if _keeps_nothing(folder, there):
        return
    before, now = dict(_leaves(there)), dict(_leaves(document))
    differ = sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k))
    if differ:
        raise BadInput(
            Fault(
                place=f"{path}: {key}",
                problem=f"another study: it has {before.get(key, 'nothing')}, this one "
                f"{now.get(key, 'nothing')}; give another --out",
            )
            for key in differ
        )


def _keeps_nothing(folder: Path, there: Any) -> bool:
    """Whether a run that ended before its first day, however it did, left all that is there."""
    ours = {STUDY, _PART.format(STUDY), LOCK, FAILED, ROWS}
    strange = {p.name for p in folder.iterdir()} - ours
    a_study = isinstance(there, dict) and "versions" in there
    return a_study and not strange and not days_of(folder)


def _leaves(document: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a JSON document with the path of its keys."""
    if not isinstance(document, dict):
        yield above, document
        return
    for key, value in document.items():
        yield from _leaves(value, f"{above}.{key}" if above else key)


def _begun_in_vain(folder: Path, *, made: bool) -> None:
    """Take back what a run left that failed before it had simulated anything."""
    if {p.name for p in folder.iterdir()} == {STUDY, LOCK}:
        for name in (STUDY, LOCK):
            (folder / name).unlink()
        if made:
            folder.rmdir()


def _remove_torn(folder: Path) -> None:
    """What a run that was killed had begun to write."""
    for path in folder.rglob(".*.part"):
        if re.fullmatch(r"\.(day=.*\.parquet|study\.json|failed\.json)\.part", path.name):
            with suppress(OSError):
                path.unlink()
