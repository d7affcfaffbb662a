"""A file of measured series: read, and judged whole before anything is simulated.

A table with a time column, a column for each PV plant and one for the load. Whatever is wrong with
it is told at once, each fault with its line and its mend.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import gcd
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv, parquet

from ems.backtest.case import STEPS_USUAL, Profiles
from ems.backtest.period import Period
from ems.backtest.profiles import HISTORY, INTERVAL_MIN, averaged, has_daylight
from ems.backtest.series_columns import (
    LOAD,
    SHARE,
    TIME_NAMES,
    TIME_UTC,
    below_zero,
    column_faults,
    columns_of,
    numbers,
    unit_faults,
)
from ems.backtest.series_notes import assumed
from ems.backtest.series_sky import SkySeries, above_the_sky, sky_faults
from ems.backtest.series_times import Times, gap_faults, read_times, shown
from ems.clock import INTERVAL
from ems.domain import Site
from ems.errors import BadInput, Fault

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

PARQUET = (".parquet", ".pq")
SHOWN = 3
"""Values of a column that are told one by one; of the others their number is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProfiles:
    """What a file gives, and what is worth knowing of it."""

    profiles: Profiles
    sha256: str
    """Of the file."""
    file: str
    """Its name."""
    assumed: tuple[str, ...]
    """What was made of its values, and what it lacks; does not name the file, which may move."""

    @property
    def notes(self) -> tuple[str, ...]:
        """The same, with the file's name."""
        return tuple(f"{self.file}: {line}" for line in self.assumed)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    """Columns of a file in the order of time."""

    file: str
    times: Times
    values: Mapping[str, Floats]
    """By column, shape (time,)."""
    used: Mapping[str, str]
    """Column of each plant and of the load."""

    @property
    def told(self) -> int:
        """Values in an interval."""
        return INTERVAL_MIN * 60 // self.times.every_s

    def row(self, when: datetime) -> int:
        """First row that is not before an instant."""
        return int(np.searchsorted(self.times.at, _np(when)))


def profiles_of_file(
    path: Path, site: Site, period: Period, steps: int | None = None
) -> FileProfiles:
    """Profiles of a period, and of as much as the file holds of the month before it.

    Args:
        path: `.parquet`, or CSV of any other ending.
        site: names the plants.
        period: local days.
        steps: in an interval; None: five minutes each, or as short as the file tells.

    Raises:
        BadInput: everything that is wrong with the file.
    """
    table = _table(path)
    names = table.column_names
    faults = list(column_faults(path.name, names, site))
    used = {who: name for who, name in columns_of(names, site).items() if names.count(name) == 1}
    columns = {name: numbers(table[name]) for name in sorted(set(used.values()))}
    times = _times(path, table, period)
    rows = np.arange(len(table))
    if times is not None:
        faults += times.faults
    if times is not None and len(times.at):
        faults += _period_faults(path.name, times, period, steps)
        low, high = np.searchsorted(times.at, [_np(period.begin), _np(period.end)])
        rows = times.row[low:high]
    daylight = has_daylight(site, period.begin, period.end)
    for name, values in columns.items():
        faults += _value_faults(path, name, values, rows, below_zero(name, site, used))
        faults += unit_faults(path.name, name, values[rows], site, used, daylight=daylight)
    if faults or times is None:
        raise BadInput(faults)
    series = _Series(
        file=path.name,
        times=times,
        values={
            name: _raised(values[times.row], below_zero(name, site, used))
            for name, values in columns.items()
        },
        used=used,
    )
    sky = _sky(series, site, period)
    faults += sky_faults(path.name, sky)
    if faults:
        raise BadInput(faults)
    profiles = _profiles(series, site, period, steps)
    return FileProfiles(
        profiles=profiles,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        file=path.name,
        assumed=(
            *assumed(
                {name: values[rows] for name, values in columns.items()},
                used,
                site,
                every_s=times.every_s,
                history=period.begin - profiles.first,
                daylight=daylight,
            ),
            *above_the_sky(sky),
        ),
    )


def _table(path: Path) -> pa.Table:
    """All columns; times as they are written."""
    kind = "Parquet" if path.suffix.lower() in PARQUET else "CSV"
    try:
        if kind == "Parquet":
            return parquet.read_table(path)
        _by_commas(path)
        texts = dict.fromkeys(TIME_NAMES, pa.string())
        table = csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=texts))
        _ = table.column_names  # its text is decoded only now
    except UnicodeDecodeError:
        raise BadInput.at(str(path), "its first line is no UTF-8; save it as UTF-8") from None
    except FileNotFoundError:
        raise BadInput.at(str(path), "no such file") from None
    except OSError as fault:
        raise BadInput.at(str(path), f"cannot be read: {fault}") from None
    except pa.ArrowInvalid as fault:
        raise BadInput.at(str(path), f"is no {kind}: {str(fault).splitlines()[0]}") from None
    return table


def _by_commas(path: Path) -> None:
    """Refuse a file as some spreadsheets write it, whose commas are those of decimals.

    Raises:
        BadInput: its first line says so.
    """
    with path.open(encoding="utf-8", errors="replace") as file:
        head = file.readline()
    if ";" in head and "," not in head:
        problem = "columns are parted by semicolons; part them by commas, and write decimal points"
        raise BadInput.at(path.name, problem)


def _times(path: Path, table: pa.Table, period: Period) -> Times | None:
    """The one time column."""
    stamps = [n for n in table.column_names if n in TIME_NAMES]
    if len(stamps) != 1:
        return None
    line = None if path.suffix.lower() in PARQUET else 2
    column = table[stamps[0]]
    return read_times(path.name, column, line=line, zone=period.zone, utc=stamps[0] == TIME_UTC)


def _period_faults(file: str, times: Times, period: Period, steps: int | None) -> Iterator[Fault]:
    """The file does not cover the period, has gaps in it, or tells too little of it."""
    begin, end = _np(period.begin), _np(period.end)
    first, last = times.at[0], times.at[-1] + np.timedelta64(times.every_s, "s")
    if first > begin or last < end:
        yield Fault(
            place=file,
            problem=f"holds {shown(first)} to {shown(last)}; {period.first} to {period.last} in "
            f"{period.zone} is {shown(begin)} to {shown(end)}: choose days that it covers",
        )
    yield from gap_faults(file, times, max(begin, first), min(end, last))
    told = INTERVAL_MIN * 60 // times.every_s
    if steps is not None and told % steps:
        problem = f"{steps} steps are asked of an interval, and it tells {told} values of each: "
        yield Fault(place=file, problem=problem + "leave --steps out")


def _value_faults(
    path: Path, name: str, values: Floats, rows: Rows, below: float
) -> Iterator[Fault]:
    """No number, or below zero by more than what is taken for it."""
    part = values[rows]
    for bad, problem in (
        (~np.isfinite(part), "is no number; fill it in, or choose days without it"),
        (part < -below, "is below zero; it is what the sun offers, or what is consumed"),
    ):
        at = np.flatnonzero(bad)
        for i in at[:SHOWN]:
            row = int(rows[i])
            line = f"row {row + 1}" if path.suffix.lower() in PARQUET else f"line {row + 2}"
            value = f"{part[i]:g} " if np.isfinite(part[i]) else ""
            yield Fault(place=f"{path.name}: {line}, column {name}", problem=value + problem)
        if len(at) > SHOWN:
            more = f"{len(at) - SHOWN} more of which that holds"
            yield Fault(place=f"{path.name}: column {name}", problem=more)


def _profiles(series: _Series, site: Site, period: Period, steps: int | None) -> Profiles:
    """Series from as far back as they are whole, at most a month, to the period's end."""
    begin, end = series.row(period.begin), series.row(period.end)
    history = _history(series, period)
    part = slice(begin - history * series.told, end)
    count = gcd(series.told, STEPS_USUAL) if steps is None else steps
    means: dict[tuple[str, float], Floats] = {}
    share = {}
    for pv in site.pvs:
        column = series.used[pv.name]
        rating = 1.0 if column == SHARE else pv.rated_kw
        if (column, rating) not in means:
            of_rating = np.minimum(series.values[column][part] / rating, 1.0)
            means[column, rating] = averaged(of_rating, series.told, count)
        share[pv.name] = means[column, rating]
    return Profiles(
        first=period.begin - history * INTERVAL,
        pv_share=share,
        load_kw=averaged(series.values[series.used[LOAD]][part], series.told, count),
    )


def _raised(values: Floats, below: float) -> Floats:
    """Zero in place of what is a little below it."""
    return np.where((values < 0.0) & (values >= -below), 0.0, values)


def _sky(series: _Series, site: Site, period: Period) -> SkySeries:
    """PV of the period, as means of intervals."""
    part = slice(series.row(period.begin), series.row(period.end))
    plants = {pv.name: series.used[pv.name] for pv in site.pvs}
    return SkySeries(
        site=site,
        zone=period.zone,
        first=period.begin,
        used=plants,
        means={
            name: averaged(series.values[name][part], series.told, 1)[:, 0]
            for name in set(plants.values())
        },
    )


def _history(series: _Series, period: Period) -> int:
    """Intervals before the period in which nothing is missing, at most a month."""
    since, begin = series.row(period.begin - HISTORY), series.row(period.begin)
    sound = np.ones(begin - since, dtype=np.bool_)
    for values in series.values.values():
        before = values[since:begin]
        sound &= np.isfinite(before) & (before >= 0)
    apart = np.diff(series.times.at[since : begin + 1])
    sound &= apart == np.timedelta64(series.times.every_s, "s")
    broken = np.flatnonzero(~sound)
    first = since + int(broken[-1]) + 1 if len(broken) else since
    return (begin - first) // series.told


def _np(when: datetime) -> np.datetime64:
    return np.datetime64(when.replace(tzinfo=None), "s")
