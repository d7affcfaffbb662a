"""Read a measured series from CSV, and say everything that is wrong with it at once.

A file has a header, a time column (`time_utc` or `utc_start`) and a value column. Times are
UTC and label the start of their interval; rows are 15, 5 or 1 minutes apart.
"""

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

PowerSeries: TypeAlias = "pd.Series[float]"

TIME_COLUMNS = ("time_utc", "utc_start")
VALUE_COLUMNS = ("value", "p_kw", "p_ac_kw", "p_ac_w", "ghi_wm2")
RESOLUTIONS_MIN = (1, 5, 15)
INTERVAL = pd.Timedelta(minutes=15)

# A 15-minute mean needs two thirds of its rows: ten of fifteen minutes, or two of three
# rows of five minutes. With fewer, one passing cloud could stand for the whole interval.
_NEEDED_SHARE = 2 / 3
_SHOWN_LINES = 5


class SeriesFault(Exception):
    """A series file cannot be used. Holds every fault found, not only the first."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        self.faults = faults
        """One line each: the file, what is wrong, how to mend it."""
        super().__init__("\n".join(faults))


@dataclass(slots=True, kw_only=True)
class _Check:
    """Collects faults, each with the file's name in front."""

    file: str
    faults: list[str] = field(default_factory=list)

    def add(self, problem: str) -> None:
        self.faults.append(f"{self.file}: {problem}")

    def rows(self, wrong: "pd.Series[bool]", cells: "pd.Series[str]", what: str, mend: str) -> None:
        """Add one fault for all `wrong` rows, with the first line numbers and the first cell."""
        at = np.flatnonzero(wrong.to_numpy())
        if at.size == 0:
            return
        # Line 1 is the header.
        lines = ", ".join(str(int(cells.index[i]) + 2) for i in at[:_SHOWN_LINES])
        more = f" and {at.size - _SHOWN_LINES} more" if at.size > _SHOWN_LINES else ""
        first = str(cells.iloc[at[0]])[:40]
        word = "line" if at.size == 1 else "lines"
        self.add(f"{word} {lines}{more}: {what} ('{first}'); {mend}")


def read_series(
    path: Path, *, column: str | None = None, minutes: int | None = None
) -> PowerSeries:
    """Read one measured series as 15-minute means.

    Args:
        path: CSV or CSV.gz.
        column: Value column; the first known one (`VALUE_COLUMNS`) when not given.
        minutes: Distance of the rows, 1, 5 or 15 [min]; detected when not given.

    Returns:
        Means in the file's own unit, named after the value column. Index: UTC interval
        start, every 15 minutes from the first to the last row; NaN for gaps and for
        intervals that hold less than two thirds of their rows.

    Raises:
        SeriesFault: the file is missing, unreadable, empty or wrong; carries all faults.
        ValueError: `minutes` is none of 1, 5 and 15.
    """
    if minutes is not None and minutes not in RESOLUTIONS_MIN:
        raise ValueError(f"minutes is {minutes}; expected one of {RESOLUTIONS_MIN}")
    check = _Check(file=path.name)
    table = _read_table(path, check)
    names = _columns(table, column, check)
    if table is None or names is None:
        raise SeriesFault(tuple(check.faults))
    times = _times(table[names[0]], check)
    values = _values(table[names[1]], check)
    _check_duplicates(times, table[names[0]], check)
    step = _resolution(times, minutes, check)
    if check.faults:
        raise SeriesFault(tuple(check.faults))
    return _means(pd.Series(values.to_numpy(), index=pd.DatetimeIndex(times), name=names[1]), step)


def _read_table(path: Path, check: _Check) -> pd.DataFrame | None:
    try:
        table = pd.read_csv(
            path,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,  # else line numbers would not be the file's
            encoding="utf-8-sig",
            index_col=False,
        )
    except pd.errors.EmptyDataError:
        check.add("the file is empty; expected a header line and rows of time_utc,value")
        return None
    except FileNotFoundError:
        check.add(f"no such file in {path.parent}; check the path")
        return None
    except (OSError, EOFError, zlib.error) as fault:
        check.add(f"cannot be read ({fault}); a name ending in .gz must hold whole gzip data")
        return None
    except (UnicodeDecodeError, pd.errors.ParserError) as fault:
        check.add(
            f"is not comma-separated UTF-8 text ({' '.join(str(fault).split())}); export it as CSV"
        )
        return None
    table.columns = pd.Index([str(c).strip() for c in table.columns])
    blank = (table.fillna("") == "").all(axis=1)
    table = table.fillna("").loc[~blank]
    if table.empty:
        check.add("holds a header but no rows; expected rows of time_utc,value")
        # The header is still worth checking.
    return table


def _columns(
    table: pd.DataFrame | None, column: str | None, check: _Check
) -> tuple[str, str] | None:
    """Names of the time and value columns; None when one is missing."""
    if table is None:
        return None
    found = ", ".join(map(str, table.columns))
    time = next((c for c in TIME_COLUMNS if c in table.columns), None)
    wanted = VALUE_COLUMNS if column is None else (column,)
    value = next((c for c in wanted if c in table.columns), None)
    if time is None:
        check.add(
            f"no time column; found: {found}; name the interval start in UTC "
            f"{' or '.join(TIME_COLUMNS)}"
        )
    if value is None:
        check.add(
            f"no value column; found: {found}; name it {' or '.join(wanted)}"
            + (", or say which column to use" if column is None else "")
        )
    return None if time is None or value is None or table.empty else (time, value)


def _times(cells: "pd.Series[str]", check: _Check) -> "pd.Series[pd.Timestamp]":
    """Aware UTC times; NaT where unparseable. A time without zone is taken as UTC."""
    times = pd.to_datetime(cells.str.strip(), utc=True, errors="coerce", format="ISO8601")
    check.rows(
        times.isna(), cells, "not a time", "write ISO 8601 in UTC, such as 2018-06-21T12:15:00Z"
    )
    return times


def _values(cells: "pd.Series[str]", check: _Check) -> PowerSeries:
    """Numbers; NaN for an empty cell, which is a gap and no fault."""
    text = cells.str.strip()
    gap = text.str.lower().isin(["", "nan", "na", "null"])
    values = pd.to_numeric(text.mask(gap), errors="coerce").astype("float64")
    wrong = ~gap & ~pd.Series(np.isfinite(values), index=values.index)
    check.rows(
        wrong, cells, "not a number", "write a finite number, or leave the cell empty for a gap"
    )
    return values


def _check_duplicates(
    times: "pd.Series[pd.Timestamp]", cells: "pd.Series[str]", check: _Check
) -> None:
    check.rows(
        times.duplicated() & times.notna(),
        cells,
        "time stamp occurs before",
        "keep one row per time (local time repeats an hour in autumn: export UTC)",
    )


def _resolution(times: "pd.Series[pd.Timestamp]", minutes: int | None, check: _Check) -> int:
    """Distance of the rows [min]; the given one, or the commonest distance found."""
    known = pd.DatetimeIndex(times.dropna().unique()).sort_values()
    allowed = "1, 5 or 15 minutes"
    if len(known) < 2:
        if minutes is None and len(known) == 1:
            check.add(f"one row does not show the resolution; give it ({allowed})")
        return minutes or RESOLUTIONS_MIN[-1]
    step = pd.Series(known[1:] - known[:-1]).mode().iloc[0] / pd.Timedelta(minutes=1)
    if step not in RESOLUTIONS_MIN:
        check.add(f"rows are {step:g} minutes apart; expected {allowed}: resample the file")
        return RESOLUTIONS_MIN[-1]
    if minutes is not None and step != minutes:
        check.add(f"rows are {step:g} minutes apart, not {minutes} as given; correct the one given")
    off = known != known.floor(f"{int(step)}min")
    if off.any():
        check.add(
            f"{int(off.sum())} times do not start a {step:g}-minute interval (first: "
            f"{known[off][0].isoformat()}); label rows by the start of their interval"
        )
    return int(step)


def _means(values: PowerSeries, step_min: int) -> PowerSeries:
    """15-minute means on a gapless index."""
    values = values.sort_index()
    bins = values.resample(INTERVAL)
    enough = bins.count() >= np.ceil(_NEEDED_SHARE * (15 // step_min))
    means = bins.mean().where(enough)
    means.index.name = "time_utc"
    return means
