"""Read a weather forecast somebody else made, and say everything that is wrong with it at once.

A table, CSV (packed by gzip or not) or Parquet, one row per step of the forecast:

time_utc          start of the step; the values are means over it
issued_utc        when the row was issued; the file's own time where there is no such column
ghi_wm2           global horizontal irradiance; beside it, if known, dni_wm2 or dhi_wm2
cloud_cover_pct   or the cover of clouds
power_kw          or the power of the plant itself

Steps are of one length, from 5 minutes to 3 hours. A file may hold many issues: those of the past
days show how far it tends to be off.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from forecasting.clearsky import Floats
from forecasting.tables import Faults, read_table

Quantity = Literal["ghi_wm2", "cloud_cover_pct", "power_kw"]

QUANTITIES: tuple[Quantity, ...] = ("power_kw", "ghi_wm2", "cloud_cover_pct")
"""What a file may forecast; of several in one file the first of these is taken."""

# Instruments and models differ by a few W/m² about 0 at night; nothing on earth exceeds these.
_BOUNDS = {
    "ghi_wm2": (-20.0, 1700.0),
    "dni_wm2": (-20.0, 1500.0),
    "dhi_wm2": (-20.0, 1000.0),
    "cloud_cover_pct": (0.0, 100.0),
    "power_kw": (-1e6, 1e6),  # an inverter draws a little at night
}
_SHORTEST = pd.Timedelta(minutes=5)
_LONGEST = pd.Timedelta(hours=3)
_GAPS = ("", "nan", "na", "null")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeatherTable:
    """A weather forecast as it was written; arrays of shape (row,), ascending in time and issue."""

    name: str
    """Name of the file, for notes."""
    step: pd.Timedelta
    """Length of each step."""
    times: pd.DatetimeIndex
    """Start of each step, UTC."""
    issued: pd.DatetimeIndex
    """When each row was issued, UTC."""
    quantity: Quantity
    numbers: Floats
    """The quantity, NaN where the cell was empty [its unit]."""
    dni_wm2: Floats | None = None
    """Direct, normal to the sun, where the file has it beside GHI [W/m²]."""
    dhi_wm2: Floats | None = None
    """Diffuse on the horizontal, where the file has it beside GHI [W/m²]."""


def read_weather(path: Path) -> WeatherTable:
    """Read a weather forecast.

    Raises:
        SeriesFault: the file is missing, unreadable or wrong; carries all faults.
    """
    faults = Faults(file=path.name)
    table = read_table(path, faults)
    if table is not None:
        _check_columns(table, faults)
    if table is None or "time_utc" not in table.columns or table.empty:
        faults.raise_if_any()
        raise AssertionError("an empty table is a fault")  # read_table has told it
    times = _times(table["time_utc"], faults)
    if "issued_utc" in table.columns:
        issued = _times(table["issued_utc"], faults)
    else:
        written = pd.Timestamp(path.stat().st_mtime, unit="s", tz="UTC")
        issued = pd.Series(written, index=table.index)
    numbers = {c: _numbers(table[c], c, faults) for c in _BOUNDS if c in table.columns}
    order = pd.DataFrame({"time": times, "issued": issued})
    faults.rows(
        order.duplicated() & times.notna(),
        table["time_utc"],
        "time stamp occurs before in the same issue",
        "keep one row per time and issue",
    )
    step = _step(order, faults)
    faults.raise_if_any()
    at = order.reset_index(drop=True).sort_values(["time", "issued"]).index.to_numpy()
    quantity = next(q for q in QUANTITIES if q in numbers)
    beside = numbers if quantity == "ghi_wm2" else {}
    return WeatherTable(
        name=path.name,
        step=step,
        times=pd.DatetimeIndex(times.iloc[at]),
        issued=pd.DatetimeIndex(issued.iloc[at]),
        quantity=quantity,
        numbers=numbers[quantity][at],
        dni_wm2=beside["dni_wm2"][at] if "dni_wm2" in beside else None,
        dhi_wm2=beside["dhi_wm2"][at] if "dhi_wm2" in beside else None,
    )


def _check_columns(table: pd.DataFrame, faults: Faults) -> None:
    found = ", ".join(map(str, table.columns))
    if "time_utc" not in table.columns:
        faults.add(f"no column time_utc; found: {found}; name the start of each step so, in UTC")
    if not any(q in table.columns for q in QUANTITIES):
        faults.add(
            f"nothing forecast; found: {found}; name a column one of {', '.join(QUANTITIES)}"
        )


def _times(cells: "pd.Series[str]", faults: Faults) -> "pd.Series[pd.Timestamp]":
    """Aware UTC times; a time without zone is taken as UTC."""
    if cells.dtype.kind == "M" or isinstance(cells.dtype, pd.DatetimeTZDtype):
        times = pd.to_datetime(cells, utc=True)
    else:
        text = cells.astype(str).str.strip()
        times = pd.to_datetime(text, utc=True, errors="coerce", format="ISO8601")
    faults.rows(
        times.isna(), cells, "not a time", "write ISO 8601 in UTC, such as 2018-06-21T12:00:00Z"
    )
    return times


def _numbers(cells: "pd.Series[str]", column: str, faults: Faults) -> Floats:
    """Numbers within their bounds; NaN for an empty cell."""
    text = cells.astype(object).where(cells.notna(), "").astype(str).str.strip()
    gap = text.str.lower().isin(_GAPS)
    values = pd.to_numeric(text.mask(gap), errors="coerce").astype("float64")
    finite = pd.Series(np.isfinite(values), index=values.index)
    mend = "write a finite number, or leave the cell empty for a gap"
    faults.rows(~gap & ~finite, cells, f"{column} is not a number", mend)
    low, high = _BOUNDS[column]
    wrong = finite & ~values.between(low, high)
    faults.rows(wrong, cells, f"{column} outside {low:g} to {high:g}", "check the unit")
    return np.asarray(values.to_numpy(), dtype=np.float64)


def _step(order: pd.DataFrame, faults: Faults) -> pd.Timedelta:
    """Length of the steps: the commonest distance of rows of one issue."""
    known = order.dropna().sort_values(["issued", "time"])
    apart = known.groupby("issued")["time"].diff().dropna()
    apart = apart[apart > pd.Timedelta(0)]
    if apart.empty:
        if len(known):
            faults.add("no two rows of one issue: the step cannot be seen; give a whole forecast")
        return _LONGEST
    step = pd.Timedelta(apart.mode().iloc[0])
    if not _SHORTEST <= step <= _LONGEST:
        minutes = step / pd.Timedelta(minutes=1)
        faults.add(f"steps of {minutes:g} minutes; expected 5 to 180: resample the file")
    elif off := sum(t % step != pd.Timedelta(0) for t in apart.unique()):
        minutes = step / pd.Timedelta(minutes=1)
        faults.add(
            f"{off} distances are no multiple of {minutes:g} minutes; use one step throughout"
        )
    return step
