"""A measured series of PV power or irradiance, played on the plant."""

import csv
import gzip
import zlib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ems.domain import Pv, Site
from ems.errors import BadInput, Fault
from ems.plant.profile import Profile

Floats = NDArray[np.float64]
TIME_COLUMNS = ("time_utc", "utc_start")
"""Names of the time column, best first; else the first column."""
VALUE_COLUMNS = ("value", "p_ac_w", "ghi_wm2")
"""Names of the value column, best first; else the only other column."""
LONGEST_GAP = timedelta(hours=1)
"""Gaps up to here are interpolated; in longer ones the series is zero."""
FULL_SCALE_PERCENTILE = 99.9
"""This percentile of the file counts as the rating: the single highest value may be a
spike at a cloud's edge."""
FAULTS_SHOWN = 20
"""Faulty lines told one by one."""


class MeasuredProfile:
    """PV power from a file, load from another profile.

    The values may be power or irradiance in any unit: the 99.9th percentile of the whole
    file is mapped onto each PV plant's rating, and what lies above is clipped. Times are
    played as they stand, in UTC; a file from another longitude has its noon elsewhere.
    """

    def __init__(self, series: "pd.Series[float]", base: Profile) -> None:
        """Play a series.

        Args:
            series: share of the rating, 0…1, by UTC time at the middle of each interval;
                NaN, and instants further apart than an hour, are gaps.
            base: gives the load.
        """
        known = series.dropna()
        self._times = pd.DatetimeIndex(known.index).as_unit("ns").asi8.astype(np.float64)
        self._shares = known.to_numpy(dtype=np.float64)
        self._base = base

    @classmethod
    def from_csv(cls, path: Path, day: date, site: Site, base: Profile) -> "MeasuredProfile":
        """Read a CSV file (also `.gz`): a UTC time column and a value column.

        Args:
            path: the file; intervals of 15, 5 or 1 minutes, labelled by their start.
            day: UTC day that must be there.
            site: its PV plants are what the series is scaled to.
            base: gives the load.

        Raises:
            BadInput: all that is wrong with the file, with line, column and mend.
        """
        if not site.pvs:
            raise BadInput.at(str(path), f"site '{site.name}' has no PV plant to play it on")
        table = _table(path)
        time_column, value_column = _columns(path, list(table.columns))
        series = _series(path, table, time_column, value_column)
        _check_day(path, series, day)
        full_scale = float(np.percentile(series.dropna(), FULL_SCALE_PERCENTILE))
        if full_scale <= 0:
            raise BadInput.at(
                f"{path}: column {value_column}",
                f"its {FULL_SCALE_PERCENTILE} percentile is {full_scale:g}; there is no sun "
                "in this file, give one with positive values",
            )
        step = series.index.to_series().diff().median()
        middle = series.copy()
        middle.index = series.index + step / 2
        return cls((middle / full_scale).clip(0.0, 1.0), base)

    def pv_available_kw(self, pv: Pv, times: pd.DatetimeIndex) -> Floats:
        """Power the sun offers a PV plant, shape (time,) [kW]; zero where the file has a gap."""
        at = times.as_unit("ns").asi8.astype(np.float64)
        share = np.interp(at, self._times, self._shares, left=0.0, right=0.0)
        after = np.clip(np.searchsorted(self._times, at), 0, len(self._times) - 1)
        before = np.clip(np.searchsorted(self._times, at, side="right") - 1, 0, None)
        gap = self._times[after] - self._times[before] > LONGEST_GAP.total_seconds() * 1e9
        share[gap] = 0.0
        power: Floats = share * pv.rated_kw
        return power

    def load_kw(self, times: pd.DatetimeIndex) -> Floats:
        """Consumption, from the base profile, shape (time,) [kW]."""
        return self._base.load_kw(times)


def _table(path: Path) -> pd.DataFrame:
    """The file as text, indexed by line, so that faults can be told by line."""
    try:
        # A spreadsheet may have put a byte order mark in front.
        with (
            gzip.open(path, "rt", encoding="utf-8-sig", newline="")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8-sig", newline="")
        ) as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, row) for row in reader if any(row)]
    except FileNotFoundError as fault:
        raise BadInput.at(str(path), "no such file; check the path") from fault
    except (OSError, UnicodeError, EOFError, csv.Error, zlib.error) as fault:
        raise BadInput.at(str(path), f"cannot be read as CSV ({fault})") from fault
    if not lines:
        raise BadInput.at(str(path), "is empty; expected a header and lines")
    header, rows = [name.strip() for name in lines[0][1]], dict(lines[1:])
    if len(set(header)) != len(header):
        raise BadInput.at(f"{path}: line 1", "two columns have the same name; rename one")
    ragged = [line for line, row in rows.items() if len(row) != len(header)]
    if ragged:
        raise BadInput(
            _first_faults(
                str(path),
                [
                    Fault(
                        place=f"{path}: line {line}",
                        problem=f"has {len(rows[line])} fields, the header {len(header)}",
                    )
                    for line in ragged
                ],
            )
        )
    return pd.DataFrame(list(rows.values()), index=list(rows), columns=header, dtype=str)


def _columns(path: Path, columns: list[str]) -> tuple[str, str]:
    """Which column holds the time, and which the value."""
    time_column = next((c for c in TIME_COLUMNS if c in columns), columns[0])
    others = [c for c in columns if c != time_column]
    value_column = next((c for c in VALUE_COLUMNS if c in others), None)
    if value_column is None and len(others) == 1:
        value_column = others[0]
    if value_column is None:
        raise BadInput.at(
            str(path),
            f"no value column among {', '.join(columns)}; name it `value`, beside `time_utc`",
        )
    return time_column, value_column


def _series(
    path: Path, table: pd.DataFrame, time_column: str, value_column: str
) -> "pd.Series[float]":
    """Values by UTC time, sorted; all faulty lines at once."""
    times = pd.to_datetime(table[time_column], errors="coerce", utc=True, format="ISO8601")
    text = table[value_column].str.strip()
    absent = text.str.lower().isin(["", "nan", "na", "null"])
    values = pd.to_numeric(text.mask(absent), errors="coerce")
    not_finite = np.isinf(values)
    bad_time, bad_value = times.isna(), (values.isna() & ~absent) | not_finite
    repeated = times.duplicated() & ~bad_time
    faults = [
        *_line_faults(path, table[time_column], bad_time, "is no time; write 2024-06-01T12:00Z"),
        *_line_faults(path, table[value_column], bad_value, "is no finite number"),
        *_line_faults(path, table[time_column], repeated, "stands twice; keep one line of each"),
    ]
    if not faults and len(values.dropna()) < 2:
        faults = [Fault(place=str(path), problem="holds fewer than two values")]
    if faults:
        raise BadInput(faults)
    index = pd.DatetimeIndex(times)
    return pd.Series(values.to_numpy(dtype=np.float64), index=index).sort_index()


def _line_faults(
    path: Path, column: "pd.Series[str]", bad: "pd.Series[bool]", problem: str
) -> list[Fault]:
    """One fault per bad line."""
    place = f"column {column.name}"
    faults = [
        Fault(place=f"{path}: line {line}, {place}", problem=f"{text!r} {problem}")
        for line, text in column[bad].items()
    ]
    return _first_faults(f"{path}: {place}", faults)


def _first_faults(place: str, faults: list[Fault]) -> list[Fault]:
    """The first few faults, the rest counted."""
    rest = len(faults) - FAULTS_SHOWN
    if rest <= 0:
        return faults
    return [*faults[:FAULTS_SHOWN], Fault(place=place, problem=f"{rest} more lines like these")]


def _check_day(path: Path, series: "pd.Series[float]", day: date) -> None:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    known = series.dropna()
    of_day = known[(known.index >= start) & (known.index < start + timedelta(days=1))]
    if of_day.empty:
        first, last = known.index[0].date(), known.index[-1].date()
        raise BadInput.at(
            str(path),
            f"has no values on {day}; it reaches from {first} to {last}, choose a day there",
        )
