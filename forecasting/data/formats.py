"""One front door to measured series, whatever file they are in.

- `load(path, *, kind, column, minutes, zone, longitude_deg, form) -> Measured`
- `tells_place(path) -> bool`: whether files of its form may say where they were measured
- `as_power(measured, geometry) -> PowerSeries`: kW at the rows' own resolution
- `as_record(measured, geometry) -> PlantRecord`: irradiance turned into power where it is that
- `unit_doubt(power_kw, rated_kw) -> str | None`: whether power looks like watts

`path` is a file, or a folder of files of one form (the archives publish a file per day).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pandas as pd

from forecasting.clearsky import PvGeometry
from forecasting.data.archives import Rows, read_midc, read_pvdaq, read_surfrad
from forecasting.data.irradiance import power_from_ghi_kw
from forecasting.record import PlantRecord, plant_record
from forecasting.series import RESOLUTIONS_MIN, PowerSeries, on_grid, read_rows
from forecasting.tables import Faults, SeriesFault, is_parquet, open_text, read_table

Kind = Literal["power", "ghi"]
Form = Literal["plain", "midc", "surfrad", "pvdaq"]

_POWER_COLUMNS = ("value", "p_kw", "p_ac_kw", "p_ac_w")
_GHI_COLUMNS = ("value", "ghi_wm2")

# Rated power is passed by 20 % at most; a thousand times as much is watts. What 1 % of the rows
# with power lie above is meant: a spike of the meter, or some, are no unit.
_WATTS_FROM, _WATTS_QUANTILE = 20.0, 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A measured series as its file holds it, and what the file says of the place."""

    rows: PowerSeries
    """Index: UTC interval start, ascending, unique, gaps missing or NaN; kW or W/m²."""
    minutes: int
    """Distance of the rows: 1, 5 or 15 [min]."""
    kind: Kind
    """Power [kW], or global horizontal irradiance [W/m²]."""
    form: Form
    """Which form the file has."""
    name: str
    """Of the site; the file's name where it does not tell."""
    latitude_deg: float | None = None
    """None where the file does not tell, as all below [°]."""
    longitude_deg: float | None = None
    tilt_deg: float | None = None
    azimuth_deg: float | None = None
    notes: tuple[str, ...] = ()
    """What was assumed, to be shown."""


def load(
    path: Path,
    *,
    kind: Kind | None = None,
    column: str | None = None,
    minutes: int | None = None,
    zone: str | None = None,
    longitude_deg: float | None = None,
    form: Form | None = None,
) -> Measured:
    """Read a measured series.

    Args:
        path: File (CSV, CSV.gz, Parquet, MIDC, SURFRAD, PVDAQ), or a folder of such files.
        kind: What is measured; by the column where not given, power for a column `value`.
        column: Column to read; the known one of the form when not given.
        minutes: Distance of the rows, 1, 5 or 15; detected when not given [min].
        zone: Time zone of a local clock (PVDAQ), such as Etc/GMT+7.
        longitude_deg: Where it was measured, whose standard time such a clock shows when nothing
            else is known; the file's when not given [°].
        form: Form of the file; detected when not given.

    Raises:
        SeriesFault: something is wrong with the file, or with one of the folder; carries all.
        ValueError: `minutes` is none of 1, 5 and 15.
    """
    if minutes is not None and minutes not in RESOLUTIONS_MIN:
        raise ValueError(f"minutes is {minutes}; expected one of {RESOLUTIONS_MIN}")
    files = _files(path)
    form = form or _form(files[0])
    if form == "plain":
        return _plain(files, path, kind=kind, column=column, minutes=minutes)
    parts, faults = _archive(files, form, column=column, zone=zone, longitude_deg=longitude_deg)
    told = Faults(file=path.name)
    is_power = bool(parts) and parts[0].is_power
    if kind is not None and parts and (kind == "power") != is_power:
        told.add(
            f"{form.upper()} files hold {'power' if is_power else 'irradiance'}, not {kind}; "
            f"ask for {'power' if is_power else 'ghi'}"
        )
    if faults or told.found:
        raise SeriesFault((*faults, *told.found))
    values = pd.concat([p.rows for p in parts])
    if len(files) > 1:  # neighbouring days may both hold midnight
        values = values[~values.index.duplicated()]
    stamps = pd.Series(values.index, index=pd.RangeIndex(2, 2 + len(values)))  # after a header
    rows, step = on_grid(
        stamps, values, stamps.astype(str), told, minutes=minutes, name=str(values.name)
    )
    first = parts[0]
    return Measured(
        rows=rows,
        minutes=step,
        kind="power" if is_power else "ghi",
        form=form,
        name=first.name or path.stem,
        latitude_deg=first.latitude_deg,
        longitude_deg=first.longitude_deg,
        tilt_deg=first.tilt_deg,
        azimuth_deg=first.azimuth_deg,
        notes=tuple(_folded(n for p in parts for n in p.notes)),
    )


def tells_place(path: Path) -> bool:
    """Whether files of the form of this one may say where they were measured; never raises."""
    try:
        return _form(_files(path)[0]) in {"surfrad", "pvdaq"}
    except (SeriesFault, OSError):
        return False


def as_power(measured: Measured, geometry: PvGeometry) -> PowerSeries:
    """Power at the resolution of the rows; irradiance goes through the model chain [kW]."""
    if measured.kind == "ghi":
        return power_from_ghi_kw(geometry, measured.rows, minutes=measured.minutes)
    return measured.rows


def as_record(measured: Measured, geometry: PvGeometry) -> PlantRecord:
    """The record of the plant that was measured, or would stand where irradiance was."""
    return plant_record(as_power(measured, geometry), measured.minutes)


def unit_doubt(power_kw: PowerSeries, rated_kw: float) -> str | None:
    """A sentence when power is so far above the rating that it must be watts, else None."""
    lit = power_kw[power_kw > 0]
    # `lower`: of few rows, the highest does not count either.
    most = float(lit.quantile(_WATTS_QUANTILE, interpolation="lower")) if len(lit) else 0.0
    if most <= _WATTS_FROM * rated_kw:
        return None
    return (
        f"power reaches {most:.4g}, {most / rated_kw:.0f} times the rating of {rated_kw:g} kW; if "
        f"it is in watts, name the column p_ac_w"
    )


def _files(path: Path) -> list[Path]:
    """The file, or those of a folder in the order of their names."""
    if not path.is_dir():
        return [path]
    found = sorted(
        f
        for f in path.iterdir()
        if f.is_file() and not f.name.startswith(".") and f.suffix.lower() not in {".json", ".md"}
    )
    if not found:
        raise SeriesFault((f"{path.name}: an empty folder; expected files of one form",))
    return found


def _form(path: Path) -> Form:
    """Which form a file has, by its first two lines; plain where nothing tells."""
    unseen = Faults(file=path.name)
    if is_parquet(path):
        table = read_table(path, unseen)
        return "pvdaq" if table is not None and "measured_on" in table.columns else "plain"
    text = open_text(path, unseen)
    lines = [] if text is None else text[:20_000].splitlines()[:2]
    head = [c.strip().strip('"') for c in lines[0].split(",")] if lines else []
    if "DATE (MM/DD/YYYY)" in head or {"Year", "DOY"} <= set(head):
        return "midc"
    if "measured_on" in head or {"SiteID", "Date-Time"} <= set(head):
        return "pvdaq"
    if len(lines) > 1 and re.match(r"\s*-?\d+\.?\d*\s+-?\d+\.?\d*\s+-?\d+\.?\d*\s+m\b", lines[1]):
        return "surfrad"
    return "plain"


def _archive(
    files: list[Path],
    form: Form,
    *,
    column: str | None,
    zone: str | None,
    longitude_deg: float | None,
) -> tuple[list[Rows], list[str]]:
    """Rows of each file, and the faults of all."""
    parts: list[Rows] = []
    found: list[str] = []
    for file in files:
        faults = Faults(file=file.name)
        if form == "midc":
            rows = read_midc(file, faults, column=column)
        elif form == "surfrad":
            rows = read_surfrad(file, faults, column=column)
        else:
            rows = read_pvdaq(file, faults, column=column, zone=zone, longitude_deg=longitude_deg)
        if rows is not None:
            parts.append(rows)
        found.extend(faults.found)
    if len({p.is_power for p in parts}) > 1 or (not parts and not found):
        found.append(f"{files[0].parent.name}: holds nothing that can be read as one {form} series")
    return parts, _folded(found)


def _folded(lines: Iterable[str]) -> list[str]:
    """Lines `FILE: PROBLEM`; what is so in many files is told of the first, with their number."""
    files: dict[str, list[str]] = {}
    for line in lines:
        file, _, problem = line.partition(": ")
        files.setdefault(problem, []).append(file)
    told = []
    for problem, names in files.items():
        more = f" (so in {len(names)} files)" if len(names) > 1 else ""
        told.append(f"{names[0]}: {problem}{more}")
    return told


def _plain(
    files: list[Path],
    path: Path,
    *,
    kind: Kind | None,
    column: str | None,
    minutes: int | None,
) -> Measured:
    """CSV or Parquet of our own form."""
    found: list[str] = []
    parts: list[Measured] = []
    for file in files:
        try:
            parts.append(_plain_file(file, kind=kind, column=column, minutes=minutes))
        except SeriesFault as fault:
            found.extend(fault.faults)
    if len({(p.minutes, p.kind) for p in parts}) > 1:
        found.append(f"{path.name}: files of different resolution or kind; load them one by one")
    if found:
        raise SeriesFault(tuple(found))
    values = pd.concat([p.rows for p in parts]).sort_index()
    twice = values.index.duplicated()
    if twice.any():
        raise SeriesFault(
            (f"{path.name}: {int(twice.sum())} times stand in two files; remove one of them",)
        )
    return replace(parts[0], rows=values, name=path.name.split(".")[0])


def _plain_file(
    file: Path, *, kind: Kind | None, column: str | None, minutes: int | None
) -> Measured:
    faults = Faults(file=file.name)
    table = read_table(file, faults)
    names = set() if table is None else set(map(str, table.columns))
    wanted = _GHI_COLUMNS if kind == "ghi" else _POWER_COLUMNS
    known = next((c for c in (*wanted, *_GHI_COLUMNS, *_POWER_COLUMNS) if c in names), None)
    chosen = column or known
    if chosen is not None and kind is not None and chosen in _only(kind):
        other = "irradiance" if kind == "power" else "power"
        raise SeriesFault(
            (f"{file.name}: column {chosen} is {other}, not {kind}; say which column to use",)
        )
    rows, step = read_rows(file, column=chosen, minutes=minutes)
    is_ghi = kind == "ghi" or (kind is None and str(chosen) in _GHI_COLUMNS[1:])
    watts = not is_ghi and re.search(r"_w$", str(chosen)) is not None
    return Measured(
        rows=rows / 1000.0 if watts else rows,
        minutes=step,
        kind="ghi" if is_ghi else "power",
        form="plain",
        name=file.name.split(".")[0],
    )


def _only(kind: Kind) -> tuple[str, ...]:
    """Columns that can only be the other kind."""
    return _GHI_COLUMNS[1:] if kind == "power" else _POWER_COLUMNS[1:]
