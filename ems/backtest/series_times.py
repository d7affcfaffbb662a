"""The time column of a file of series: instants in order, at even distances, without a gap."""

from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ems.errors import Fault

Times64 = NDArray[np.datetime64]

DISTANCES_S = (60, 300, 900)
"""1, 5 or 15 minutes: what a quarter of an hour is cut into [s]."""
SHOWN = 5
"""Gaps and overlaps that are told one by one; of the others their number is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """A time column."""

    at: Times64
    """UTC, to the second, in order, each once; empty where they cannot be read, shape (time,)."""
    row: NDArray[np.int64]
    """Where in the file each stands, shape (time,)."""
    every_s: int
    """How far apart they are [s]."""
    faults: tuple[Fault, ...]


def read_times(
    file: str, column: pa.ChunkedArray, *, line: int | None, zone: str, utc: bool
) -> Times:
    """Read a time column and judge it.

    Args:
        file: its name, for faults.
        column: times as text, or as instants.
        line: of the first value; None: a file without lines.
        zone: of the site; its own change of offset mixes no zones.
        utc: what names no zone is UTC.
    """
    said = _Said(file, line)
    if pa.types.is_timestamp(column.type):
        if column.type.tz is None and not utc:
            return _hopeless(
                said.column(
                    "has no time zone; give it one, or call it time_utc where it is UTC, not local"
                )
            )
        # In their own unit: nanoseconds hold no year beyond 2262.
        at = column.cast(pa.timestamp(column.type.unit, "UTC")) if column.type.tz else column
        stamps = pd.Series(at.to_pandas())
        faults: list[Fault] = []
    elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        text = column.to_pandas().astype("str")
        stamps = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
        faults = list(_zone_faults(said, text, stamps, zone, utc))
    else:
        return _hopeless(said.column("is no time; write it as 2019-06-01T00:00Z"))
    lost = np.flatnonzero(stamps.isna())
    faults += said.some(lost, "no time; write it as 2019-06-01T00:00Z")
    if len(stamps) - len(lost) < 2:
        return _hopeless(*faults, Fault(place=file, problem="has no rows to go by"))
    if faults:
        return _hopeless(*faults)
    at64 = stamps.dt.tz_localize(None) if stamps.dt.tz is not None else stamps
    return _judged(said, at64.to_numpy().astype("datetime64[s]"))


def gap_faults(
    file: str, times: Times, begin: np.datetime64, end: np.datetime64
) -> Iterator[Fault]:
    """Where values are missing in a span that the file covers."""
    step = np.timedelta64(times.every_s, "s")
    since, before = np.searchsorted(times.at, [begin, end])
    at = times.at
    edges = np.concatenate([[begin - step], at[since:before], [end]])
    apart = np.diff(edges)
    holes = np.flatnonzero(apart > step)
    for i in holes[:SHOWN]:
        missing = int(apart[i] // step) - 1
        first, last = edges[i] + step, edges[i + 1] - step
        yield Fault(
            place=f"{file}: {shown(first)}",
            problem=(
                f"gap: {missing} values missing, up to {shown(last)}"
                if missing > 1
                else "gap: a value is missing"
            )
            + "; fill it, or choose days without it",
        )
    if len(holes) > SHOWN:
        yield Fault(place=file, problem=f"{len(holes) - SHOWN} more gaps in the period")


def shown(at: np.datetime64) -> str:
    """An instant as it is written in a file."""
    return f"{at.astype('datetime64[s]')}Z".replace(":00Z", "Z")


class _Said:
    """Faults with the place they are at."""

    def __init__(self, file: str, line: int | None) -> None:
        self.file = file
        self._first = line

    def place(self, row: int) -> str:
        at = f"row {row + 1}" if self._first is None else f"line {row + self._first}"
        return f"{self.file}: {at}"

    def at(self, row: int, problem: str) -> Fault:
        return Fault(place=self.place(row), problem=problem)

    def column(self, problem: str) -> Fault:
        return Fault(place=f"{self.file}: time column", problem=problem)

    def some(self, rows: NDArray[np.int64], problem: str) -> Iterator[Fault]:
        """The first of a kind, and how many more there are."""
        if len(rows):
            more = f" ({len(rows) - 1} more like that)" if len(rows) > 1 else ""
            yield self.at(int(rows[0]), problem + more)


def _hopeless(*faults: Fault) -> Times:
    none = np.array([], dtype="datetime64[s]")
    return Times(at=none, row=none.astype(np.int64), every_s=DISTANCES_S[-1], faults=faults)


def _zone_faults(
    said: _Said, text: "pd.Series[str]", stamps: "pd.Series[pd.Timestamp]", zone: str, utc: bool
) -> Iterator[Fault]:
    """Times without a zone, or of several."""
    offset = text.str.extract(r"(Z|[+-]\d\d(?::?\d\d)?)$", expand=False)
    # The day of a date without a time is no offset: 2019-06-01.
    offset = offset.where(text.str.contains(":", regex=False), None)
    naive = np.flatnonzero(offset.isna() & stamps.notna())
    aware = np.flatnonzero(offset.notna() & stamps.notna())
    if len(naive) and len(aware):
        fewer = min(naive, aware, key=len)
        yield said.at(
            int(fewer[0]),
            f"mixed time zones: {len(naive)} times name none, {len(aware)} do; write all as UTC, "
            "with Z",
        )
        return
    if len(naive) and not utc:
        yield said.at(
            int(naive[0]),
            f"{text.iloc[int(naive[0])]} has no time zone, and in autumn an hour comes twice; "
            "write Z or an offset; time_utc is the name of a column whose times are UTC, not local",
        )
        return
    kinds = [str(k) for k in offset.dropna().unique()]
    if len(kinds) > 1:
        local = stamps.dt.tz_convert(ZoneInfo(zone))
        own = (local.dt.tz_localize(None) - stamps.dt.tz_localize(None)).dt.total_seconds()
        told = offset.map({k: _seconds(k) for k in kinds}).astype(float)
        sound = stamps.notna() & offset.notna()
        if (sound & (told != own)).any():
            # The site's own offsets change in spring and autumn: they count as one.
            kind = offset.where(told != own, f"that of {zone}").where(sound)
            counts = kind.value_counts()
            each = ", ".join(f"{count} times {name}" for name, count in counts.items())
            yield said.at(
                int(np.flatnonzero(kind == counts.index[-1])[0]),
                f"mixed time zones: {each}; write all as UTC, with Z",
            )


def _seconds(offset: str) -> float:
    if offset == "Z":
        return 0.0
    digits = offset[1:].replace(":", "").ljust(4, "0")
    size = 3600.0 * int(digits[:2]) + 60.0 * int(digits[2:])
    return -size if offset[0] == "-" else size


def _judged(said: _Said, at: Times64) -> Times:
    """Order, distances and grid of readable instants."""
    faults = list(_order_faults(said, at))
    alone, row = np.unique(at, return_index=True)
    apart = np.diff(alone).astype(np.int64)
    if not len(apart):
        return _hopeless(*faults, Fault(place=said.file, problem="has no rows to go by"))
    every = int(np.bincount(np.minimum(apart, 86_400)).argmax())
    if every not in DISTANCES_S:
        distance = f"values are {every / 60:g} minutes apart; give one every 1, 5 or 15 minutes"
        return _hopeless(*faults, said.column(distance))
    off = np.flatnonzero(at.astype(np.int64) % every)
    faults += said.some(off, f"is not on a full {every // 60} minutes of the hour")
    on = alone.astype(np.int64) % every == 0
    return Times(at=alone[on], row=row[on].astype(np.int64), every_s=every, faults=tuple(faults))


def _order_faults(said: _Said, at: Times64) -> Iterator[Fault]:
    """Instants that are there twice, or go back."""
    _, first, count = np.unique(at, return_index=True, return_counts=True)
    twice = np.flatnonzero(count > 1)
    if len(twice):
        again = at[np.sort(first[twice])]
        yield Fault(
            place=f"{said.file}: {shown(again.min())}",
            problem=f"overlap: {len(again)} times are there more than once, up to "
            f"{shown(again.max())}; keep one row for each, and write times as UTC",
        )
    back = np.flatnonzero(np.diff(at).astype(np.int64) < 0)
    if len(back) and not len(twice):
        row = int(back[0]) + 1
        more = f", and {len(back) - 1} more go back" if len(back) > 1 else ""
        yield said.at(
            row, f"{shown(at[row])} comes after {shown(at[row - 1])}{more}; sort the rows by time"
        )
