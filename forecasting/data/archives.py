"""Files of public measurement archives: NREL MIDC, NOAA SURFRAD and PVDAQ.

- `read_midc(path, faults, *, column) -> Rows | None`: irradiance
- `read_surfrad(path, faults, *, column) -> Rows | None`: irradiance
- `read_pvdaq(path, faults, *, column, zone, longitude_deg) -> Rows | None`: power

Each gives rows labelled by the START of their interval, UTC. The data loggers of MIDC and SURFRAD
stamp the end of the minute a row is the mean of, so their rows are moved back by one step.
"""

import json
import re
import warnings
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfoNotFoundError

import numpy as np
import pandas as pd
from pvlib import iotools
from pvlib.iotools.midc import MIDC_VARIABLE_MAP

from forecasting.data.zones import UnknownZone, zone_of
from forecasting.series import PowerSeries
from forecasting.tables import Faults, open_text, read_table

# MIDC's loggers write −6999, −7999 or −99999 for what is not a number; no night offset of a
# pyranometer comes near.
_MIDC_MISSING_WM2 = -999.0

_MIDC_GHI = tuple(
    dict.fromkeys(n for site in MIDC_VARIABLE_MAP.values() for n, v in site.items() if v == "ghi")
)

# What the readers of pvlib and pandas raise on a file that is not of the format.
_BROKEN = (ValueError, TypeError, LookupError, OverflowError, AttributeError, ZoneInfoNotFoundError)

_WHICH = "say which one to use (--column)"

_PVDAQ_TIMES = ("measured_on", "Date-Time", "utc_measured_on")
_PVDAQ_POWER = re.compile(r"(^|_)ac_power(_|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows of one file and what it says of the place."""

    rows: PowerSeries
    """Index: start of each row, UTC, in the order of the file; kW or W/m²."""
    is_power: bool
    """Whether it is power [kW]; else irradiance [W/m²]."""
    name: str = ""
    """Of the site, where the file tells it."""
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    tilt_deg: float | None = None
    azimuth_deg: float | None = None
    notes: tuple[str, ...] = ()
    """What was assumed."""


def read_midc(path: Path, faults: Faults, *, column: str | None = None) -> Rows | None:
    """A MIDC file, of the download page (`DATE (MM/DD/YYYY),MST,…`) or of the raw data API.

    Times are local standard time as named in the header.
    """
    text = open_text(path, faults)
    if text is None:
        return None
    try:
        head = [c.strip() for c in pd.read_csv(StringIO(text), nrows=0).columns]
        data = iotools.read_midc(
            StringIO(text), raw_data="DOY" in head, usecols=range(len(head)), skipinitialspace=True
        )
    except _BROKEN as fault:
        faults.add(f"is not a MIDC file ({_short(fault)}); download it again as ASCII text")
        return None
    data.columns = pd.Index([str(c).strip() for c in data.columns])
    wanted = (column,) if column else _MIDC_GHI
    found = next((c for c in wanted if c in data.columns), None)
    if found is None:
        choice = [c for c in data.columns if c.lower().startswith("global")]
        if column or len(choice) != 1:
            faults.add(
                f"no column {column or 'of global horizontal irradiance that is known'}; found: "
                f"{', '.join(choice or data.columns)[:300]}; {_WHICH}"
            )
            return None
        found = choice[0]
    values = _numbers(data[found], faults)
    values = values.where(values > _MIDC_MISSING_WM2)
    return Rows(rows=_by_start(values), is_power=False, name=path.stem)


def read_surfrad(path: Path, faults: Faults, *, column: str | None = None) -> Rows | None:
    """A daily SURFRAD file (sssyyddd.dat). Rows that failed its quality control are gaps."""
    text = open_text(path, faults)
    if text is None:
        return None
    try:
        # pvlib opens a name, and none that is packed; pandas 3 finds fault with its ways.
        with TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain = Path(folder) / "day.dat"
            plain.write_text(text, encoding="utf-8")
            data, place = iotools.read_surfrad(str(plain))
    except _BROKEN as fault:
        faults.add(f"is not a daily SURFRAD file ({_short(fault)}); download it again")
        return None
    name = column or "ghi"
    if name not in data.columns:
        faults.add(f"no column {name}; found: {', '.join(data.columns)[:300]}; {_WHICH}")
        return None
    values = _numbers(data[name], faults)
    if f"{name}_flag" in data.columns:
        values = values.where(data[f"{name}_flag"].to_numpy() == 0)
    latitude, longitude = float(place["latitude"]), float(place["longitude"])
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        faults.add(f"line 2: no place on earth ({latitude}, {longitude}); download it again")
        return None
    return Rows(
        rows=_by_start(values),
        is_power=False,
        name=str(place["name"])[:80],
        latitude_deg=latitude,
        # All stations lie in the west, and most files write no sign.
        longitude_deg=-abs(longitude),
    )


def read_pvdaq(
    path: Path,
    faults: Faults,
    *,
    column: str | None = None,
    zone: str | None = None,
    longitude_deg: float | None = None,
) -> Rows | None:
    """A PVDAQ file, CSV or Parquet, with its metadata (`…metadata.json` beside it) if there.

    Args:
        path: One column per sensor, named as `ac_power__315`, or one row per sensor and time
            (`metric_id`, `value`).
        faults: Where to add what is wrong.
        column: Sensor to read, with or without its number; the one AC power when not given.
        zone: Time zone of `measured_on`, such as Etc/GMT+7; when not given, standard time of the
            longitude.
        longitude_deg: Where the plant stands, east positive; that of the metadata when not
            given [°].

    Returns:
        Rows, labelled as they are; PVDAQ does not say which end of the interval a time is.
    """
    table = read_table(path, faults)
    if table is None or table.empty:
        return None
    place, notes = _metadata(path), []
    if "metric_id" in table.columns and "value" in table.columns:
        table = _one_sensor(table, column, faults)
        sensor: str | None = "value"
    else:
        sensor = _sensor(table, column, faults)
    if table is None or sensor is None:
        return None
    clock = next(
        (c for c in ("utc_measured_on", *_PVDAQ_TIMES) if c in table.columns), "measured_on"
    )
    if clock not in table.columns:
        faults.add(f"no time column; found: {', '.join(map(str, table.columns))[:300]}")
        return None
    longitude = place.get("longitude_deg") if longitude_deg is None else longitude_deg
    if clock == "utc_measured_on":
        if zone is not None:
            notes.append(f"{path.name}: read by its column utc_measured_on, not by the time zone")
        zone = "UTC"
    elif zone is None and longitude is not None:
        # Etc/GMT counts west positive.
        zone = f"Etc/GMT{-round(longitude / 15):+d}"
        notes.append(f"{path.name}: times taken as local standard time, {zone}, of its longitude")
    if zone is None:
        faults.add(
            "times are local and nothing says where; give the time zone, such as --zone "
            "Etc/GMT+7, or the longitude (--lon), or put the system's metadata.json beside the file"
        )
        return None
    times = _local_times(table[clock], zone, faults)
    values = _numbers(table[sensor], faults)
    per_kw = 1.0 if re.search(r"_kw(_|$)", sensor, re.IGNORECASE) else 1000.0
    if times is None:
        return None
    index = pd.DatetimeIndex(times)
    return Rows(
        rows=pd.Series(values.to_numpy() / per_kw, index=index, name="p_kw"),
        is_power=True,
        notes=tuple(notes),
        **place,
    )


def _short(fault: BaseException) -> str:
    return " ".join(str(fault).split())[:160]


def _by_start(values: PowerSeries) -> PowerSeries:
    """Rows stamped at their end, labelled by their start."""
    index = pd.DatetimeIndex(values.index).tz_convert("UTC")
    known = index.unique().sort_values()
    steps = known[1:] - known[:-1]
    step = pd.Series(steps).mode().iloc[0] if len(steps) else pd.Timedelta(minutes=1)
    return pd.Series(values.to_numpy(), index=index - step, name=values.name)


def _numbers(cells: "pd.Series[Any]", faults: Faults) -> PowerSeries:
    """Finite numbers; NaN for an empty cell. What is neither is told by its line."""
    text = cells.astype(object).where(cells.notna(), "").astype(str).str.strip()
    text.index = pd.RangeIndex(2, 2 + len(text))
    gap = text.str.lower().isin(["", "nan", "na", "null"])
    values = pd.to_numeric(text.mask(gap), errors="coerce").astype("float64")
    wrong = ~gap & ~pd.Series(np.isfinite(values.to_numpy()), index=values.index)
    faults.rows(wrong, text, "not a number", "leave the cell empty for a gap")
    return pd.Series(values.to_numpy(), index=cells.index, name=cells.name)


def _sensor(table: pd.DataFrame, column: str | None, faults: Faults) -> str | None:
    """The column asked for, or the only one of AC power."""
    names = [str(c) for c in table.columns]
    bare = {n: re.sub(r"__\d+$", "", n) for n in names}
    if column is not None:
        found = [n for n in names if column in (n, bare[n], n.rpartition("__")[2])]
    else:
        found = [n for n in names if bare[n].lower() in {"ac_power", "ac_power_kw"}]
        found = found or [n for n in names if _PVDAQ_POWER.search(bare[n])]
    if len(found) == 1:
        return found[0]
    what = f"column {column}" if column else "column of AC power"
    faults.add(
        f"{'no' if not found else 'more than one'} {what}; found: "
        f"{', '.join(found or names)[:300]}; {_WHICH}"
    )
    return None


def _one_sensor(table: pd.DataFrame, column: str | None, faults: Faults) -> pd.DataFrame | None:
    """The rows of one sensor of a table with a row per sensor and time."""
    sensors = table["metric_id"].astype(str).str.strip()
    if column is None and len(sensors.unique()) != 1:
        ids = ", ".join(sorted(sensors.unique()))[:200]
        faults.add(f"more than one sensor; found: {ids}; {_WHICH}")
        return None
    chosen = table if column is None else table[sensors == column.rpartition("__")[2]]
    if chosen.empty:
        ids = ", ".join(sorted(sensors.unique()))[:200]
        faults.add(f"no sensor {column}; found: {ids}; {_WHICH}")
        return None
    return chosen


def _local_times(
    cells: "pd.Series[Any]", zone: str, faults: Faults
) -> "pd.Series[pd.Timestamp] | None":
    """UTC times of a local clock; None where one cannot be read."""
    mend = "write times as 2018-06-21 12:15:00"
    if cells.dtype.kind == "M":
        naive = pd.to_datetime(cells)
    else:
        text = cells.astype(str).str.strip()
        naive = pd.to_datetime(text, errors="coerce", format="ISO8601")
    if isinstance(naive.dtype, pd.DatetimeTZDtype):
        return naive.dt.tz_convert("UTC")
    faults.rows(naive.isna(), cells, "not a time", mend)
    try:
        clock = zone_of(zone)
    except UnknownZone as fault:
        faults.add(str(fault))
        return None
    try:
        local = naive.dt.tz_localize(clock, ambiguous="infer", nonexistent="raise")
    except ValueError as fault:
        faults.add(
            f"times do not fit the clock of {zone} ({_short(fault)}); a logger that ignores "
            f"summer time needs a fixed zone such as Etc/GMT+7"
        )
        return None
    return local.dt.tz_convert("UTC")


def _metadata(path: Path) -> dict[str, Any]:
    """Place and orientation in the JSON beside a PVDAQ file; empty where there is none.

    An entry that is no number is left out: metadata is a convenience, never needed.
    """
    system = re.search(r"system_+(\d+)|^(\d+)_", path.name)
    ours = next((g for g in system.groups() if g), "") if system else ""
    own = re.compile(rf"(?<!\d){ours}(?!\d)" if ours else "")  # not 50 for 5
    files = [f for f in sorted(path.parent.glob("*metadata*.json")) if own.search(f.name)]
    try:
        content = json.loads(files[0].read_text(encoding="utf-8")) if files else {}
    except (OSError, ValueError):
        return {}
    content = content if isinstance(content, dict) else {}
    site, mount = content.get("Site"), content.get("Mount")
    mounts = list(mount.values()) if isinstance(mount, dict) else []
    plane = mounts[0] if len(mounts) == 1 and isinstance(mounts[0], dict) else {}
    site = site if isinstance(site, dict) else {}
    told: dict[str, Any] = {"name": str(site.get("public_name", ""))[:80]}
    for key, value, limit in (
        ("latitude_deg", site.get("latitude"), 90.0),
        ("longitude_deg", site.get("longitude"), 180.0),
        ("tilt_deg", plane.get("tilt"), 90.0),
        ("azimuth_deg", plane.get("azimuth"), 360.0),
    ):
        try:
            number = float(str(value))
        except ValueError:
            continue
        if abs(number) <= limit:
            told[key] = number
    return told
