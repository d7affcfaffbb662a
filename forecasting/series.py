"""Read a measured series from CSV or Parquet, and say everything that is wrong with it at once.

- `read_rows(path, *, column=None, minutes=None) -> (PowerSeries, minutes)`: as it was measured
- `read_series(path, *, column=None, minutes=None) -> PowerSeries`: 15-minute means
- `means(rows, minutes) -> PowerSeries`: 15-minute means of such rows

A file has a time column (`time_utc` or `utc_start`) and a value column. Times are UTC and label
the start of their interval; rows are 15, 5 or 1 minutes apart. CSV may be packed by gzip.
"""

from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from forecasting.tables import Faults, SeriesFault, read_table

__all__ = [
    "INTERVAL",
    "RESOLUTIONS_MIN",
    "TIME_COLUMNS",
    "VALUE_COLUMNS",
    "PowerSeries",
    "SeriesFault",
    "means",
    "on_grid",
    "read_rows",
    "read_series",
]

PowerSeries: TypeAlias = "pd.Series[float]"

TIME_COLUMNS = ("time_utc", "utc_start")
VALUE_COLUMNS = ("value", "p_kw", "p_ac_kw", "p_ac_w", "ghi_wm2")
RESOLUTIONS_MIN = (1, 5, 15)
INTERVAL = pd.Timedelta(minutes=15)

# A 15-minute mean needs two thirds of its rows: ten of fifteen minutes, or two of three
# rows of five minutes. With fewer, one passing cloud could stand for the whole interval.
_NEEDED_SHARE = 2 / 3

_TIME_MEND = "write ISO 8601 in UTC, such as 2018-06-21T12:15:00Z"

# No plant is older; a file that spans more holds a wrong year, and filling the gap between
# two rows of it would take all memory.
_LONGEST = pd.Timedelta(days=50 * 366)


def read_rows(
    path: Path, *, column: str | None = None, minutes: int | None = None
) -> tuple[PowerSeries, int]:
    """Read one measured series at its own resolution.

    Args:
        path: CSV, CSV.gz or Parquet.
        column: Value column; the first known one (`VALUE_COLUMNS`) when not given.
        minutes: Distance of the rows, 1, 5 or 15 [min]; detected when not given.

    Returns:
        Values in the file's own unit, named after the value column, and the distance of the
        rows [min]. Index: UTC interval start, ascending, unique. A gap is a row that is
        missing or NaN.

    Raises:
        SeriesFault: the file is missing, unreadable, empty or wrong; carries all faults.
        ValueError: `minutes` is none of 1, 5 and 15.
    """
    if minutes is not None and minutes not in RESOLUTIONS_MIN:
        raise ValueError(f"minutes is {minutes}; expected one of {RESOLUTIONS_MIN}")
    faults = Faults(file=path.name)
    table = read_table(path, faults)
    names = _columns(table, column, faults)
    if table is None or names is None:
        raise SeriesFault(tuple(faults.found))
    times = _times(table[names[0]], faults)
    values = _values(table[names[1]], faults)
    return on_grid(times, values, table[names[0]], faults, minutes=minutes, name=names[1])


def read_series(
    path: Path, *, column: str | None = None, minutes: int | None = None
) -> PowerSeries:
    """Read one measured series as 15-minute means; arguments and faults as of `read_rows`.

    Returns:
        Means in the file's own unit, named after the value column. Index: UTC interval
        start, every 15 minutes from the first to the last row; NaN for gaps and for
        intervals that hold less than two thirds of their rows.
    """
    return means(*read_rows(path, column=column, minutes=minutes))


def on_grid(
    times: "pd.Series[pd.Timestamp]",
    values: PowerSeries,
    cells: "pd.Series[str]",
    faults: Faults,
    *,
    minutes: int | None,
    name: str,
) -> tuple[PowerSeries, int]:
    """The rows in order, once they are known to lie on a grid of 1, 5 or 15 minutes.

    Args:
        times: Interval starts, UTC, in the order of the file; NaT where there is none.
        values: Of each row.
        cells: The times as written, indexed by line, to quote from.
        faults: What was found so far.
        minutes: Distance of the rows; detected when None [min].
        name: Of the series.

    Raises:
        SeriesFault: anything was wrong, here or before.
    """
    if not faults.found:
        faults.rows(times.isna(), cells, "not a time", _TIME_MEND)
    faults.rows(
        times.duplicated() & times.notna(),
        cells,
        "time stamp occurs before",
        "keep one row per time (local time repeats an hour in autumn: export UTC)",
    )
    step = _resolution(times, minutes, faults)
    faults.raise_if_any()
    index = pd.DatetimeIndex(times, name="time_utc")
    return pd.Series(values.to_numpy(), index=index, name=name).sort_index(), step


def means(rows: PowerSeries, minutes: int) -> PowerSeries:
    """15-minute means on a gapless index; NaN where less than two thirds of the rows are known."""
    bins = rows.resample(INTERVAL)
    enough = bins.count() >= np.ceil(_NEEDED_SHARE * (15 // minutes))
    mean = bins.mean().where(enough)
    mean.index.name = "time_utc"
    return mean


def _columns(
    table: pd.DataFrame | None, column: str | None, faults: Faults
) -> tuple[str, str] | None:
    """Names of the time and value columns; None when one is missing."""
    if table is None:
        return None
    found = ", ".join(map(str, table.columns))
    time = next((c for c in TIME_COLUMNS if c in table.columns), None)
    wanted = VALUE_COLUMNS if column is None else (column,)
    value = next((c for c in wanted if c in table.columns), None)
    if time is None:
        faults.add(
            f"no time column; found: {found}; name the interval start in UTC "
            f"{' or '.join(TIME_COLUMNS)}"
        )
    if value is None:
        faults.add(
            f"no value column{'' if column is None else f' {column}'}; found: {found}; name it "
            f"{' or '.join(wanted)}, or say which column to use"
        )
    return None if time is None or value is None or table.empty else (time, value)


def _times(cells: "pd.Series[str]", faults: Faults) -> "pd.Series[pd.Timestamp]":
    """Aware UTC times; NaT where unparseable. A time without zone is taken as UTC."""
    if isinstance(cells.dtype, pd.DatetimeTZDtype) or cells.dtype.kind == "M":
        times = pd.to_datetime(cells, utc=True)
    else:
        text = cells.astype(str).str.strip()
        times = pd.to_datetime(text, utc=True, errors="coerce", format="ISO8601")
    faults.rows(times.isna(), cells, "not a time", _TIME_MEND)
    return times


def _values(cells: "pd.Series[str]", faults: Faults) -> PowerSeries:
    """Numbers; NaN for an empty cell, which is a gap and no fault."""
    text = cells.astype(object).where(cells.notna(), "").astype(str).str.strip()
    gap = text.str.lower().isin(["", "nan", "na", "null"])
    values = pd.to_numeric(text.mask(gap), errors="coerce").astype("float64")
    wrong = ~gap & ~pd.Series(np.isfinite(values), index=values.index)
    faults.rows(
        wrong, cells, "not a number", "write a finite number, or leave the cell empty for a gap"
    )
    return values


def _resolution(times: "pd.Series[pd.Timestamp]", minutes: int | None, faults: Faults) -> int:
    """Distance of the rows [min]; the given one, or the commonest distance found."""
    known = pd.DatetimeIndex(times.dropna().unique()).sort_values()
    allowed = "1, 5 or 15 minutes"
    if len(known) < 2:
        if minutes is None and len(known) == 1:
            faults.add(f"one row does not show the resolution; give it ({allowed})")
        return minutes or RESOLUTIONS_MIN[-1]
    if known[-1] - known[0] > _LONGEST:
        faults.add(
            f"rows reach from {known[0].isoformat()} to {known[-1].isoformat()}, more than 50 "
            f"years; correct the year"
        )
    step = pd.Series(known[1:] - known[:-1]).mode().iloc[0] / pd.Timedelta(minutes=1)
    if step not in RESOLUTIONS_MIN:
        faults.add(f"rows are {step:g} minutes apart; expected {allowed}: resample the file")
        return RESOLUTIONS_MIN[-1]
    if minutes is not None and step != minutes:
        faults.add(
            f"rows are {step:g} minutes apart, not {minutes} as given; correct the one given"
        )
    off = known != known.floor(f"{int(step)}min")
    if off.any():
        faults.add(
            f"{int(off.sum())} times do not start a {step:g}-minute interval (first: "
            f"{known[off][0].isoformat()}); label rows by the start of their interval"
        )
    return int(step)
