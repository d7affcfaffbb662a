"""The series a model is trained on: what they are, where they stand, who may use them.

A sources file is TOML, one `[[source]]` table per series:

    [[source]]
    name = "roof"                  # shown in the card
    file = "roof.csv.gz"           # looked up in the data folder
    quantity = "power_w"           # power_kw, power_w or ghi_wm2
    latitude_deg = 39.74
    longitude_deg = -105.18
    tilt_deg = 45.0                # power only
    azimuth_deg = 158.0            # power only
    rated_kw = 3.4                 # power only
    licence = "CC-BY 4.0"
    origin = "who measured it"
    column = "p_ac_w"              # may be left out, see forecasting.series
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forecasting.clearsky import PvGeometry
from forecasting.data.irradiance import nominal_geometry, power_from_ghi_kw
from forecasting.record import PlantRecord, plant_record
from forecasting.series import PowerSeries, SeriesFault, means, read_rows

Quantity = Literal["power_kw", "power_w", "ghi_wm2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSource:
    """One measured series and the plant behind it."""

    name: str
    path: Path
    quantity: Quantity
    geometry: PvGeometry
    """For GHI the plant it is turned into, see `irradiance.nominal_geometry`."""
    licence: str
    origin: str = ""
    """Who measured it and where it was published."""
    column: str | None = None
    """Value column; None: the first known one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRows:
    """A source as it was measured."""

    source: TrainingSource
    measured: PowerSeries
    """In the source's own quantity, index UTC start of each row; NaN for gaps."""
    minutes: int
    """Distance of the rows [min]."""

    def record(self, geometry: PvGeometry | None = None, *, late_rows: int = 0) -> PlantRecord:
        """What the plant would have measured; irradiance may be turned into another plant's.

        Args:
            geometry: The plant that irradiance is turned into; the source's when not given.
            late_rows: By how many rows the intervals begin after the grid, although they are
                labelled as on it.
        """
        plant = geometry or self.source.geometry
        power = _as_power_kw(self.measured, self.source, plant, self.minutes).iloc[late_rows:]
        labels = pd.DatetimeIndex(power.index) - pd.Timedelta(minutes=self.minutes * late_rows)
        return plant_record(pd.Series(power.to_numpy(), index=labels), self.minutes)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSeries:
    """A source with its power read."""

    source: TrainingSource
    power_kw: PowerSeries
    """15-minute means, UTC; NaN for gaps [kW]."""


class _Source(BaseModel):
    """One table of the file."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    file: Annotated[str, Field(min_length=1)]
    quantity: Quantity
    latitude_deg: Annotated[float, Field(ge=-90, le=90)]
    longitude_deg: Annotated[float, Field(ge=-180, le=180)]
    tilt_deg: Annotated[float, Field(ge=0, le=90)] | None = None
    azimuth_deg: Annotated[float, Field(ge=0, le=360)] | None = None
    rated_kw: Annotated[float, Field(gt=0)] | None = None
    licence: Annotated[str, Field(min_length=1)]
    origin: str = ""
    column: str | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    source: Annotated[list[_Source], Field(min_length=1)]


def load_sources(path: Path, data_dir: Path) -> tuple[TrainingSource, ...]:
    """Read a sources file; the series themselves are not opened.

    Raises:
        SeriesFault: the file is missing or wrong; carries all faults.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise SeriesFault((f"{path.name}: not a TOML file that can be read: {fault}",)) from fault
    try:
        tables = _File.model_validate(content).source
    except ValidationError as fault:
        raise SeriesFault(
            tuple(
                f"{path.name}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in fault.errors()
            )
        ) from fault
    faults: list[str] = []
    sources = tuple(_source(t, data_dir, f"{path.name}: '{t.name}'", faults) for t in tables)
    if faults:
        raise SeriesFault(tuple(faults))
    return sources


def _source(table: _Source, data_dir: Path, place: str, faults: list[str]) -> TrainingSource:
    plane = {k: getattr(table, k) for k in ("tilt_deg", "azimuth_deg", "rated_kw")}
    geometry = nominal_geometry(table.latitude_deg, table.longitude_deg)
    if table.quantity == "ghi_wm2":
        given = [k for k, v in plane.items() if v is not None]
        if given:
            faults.append(
                f"{place}: {', '.join(given)} given, but GHI is turned into a nominal "
                f"plant facing the equator; leave them out"
            )
    elif None in plane.values():
        missing = [k for k, v in plane.items() if v is None]
        faults.append(f"{place}: {', '.join(missing)} missing; a power series needs them")
    else:
        geometry = PvGeometry(
            latitude_deg=table.latitude_deg, longitude_deg=table.longitude_deg, **plane
        )
    return TrainingSource(
        name=table.name,
        path=data_dir / table.file,
        quantity=table.quantity,
        geometry=geometry,
        licence=table.licence,
        origin=table.origin,
        column=table.column,
    )


def read_source_rows(sources: tuple[TrainingSource, ...]) -> tuple[SourceRows, ...]:
    """Read all series as they were measured.

    Raises:
        SeriesFault: some file is wrong; carries the faults of ALL files.
    """
    faults: list[str] = []
    read: list[SourceRows] = []
    for source in sources:
        try:
            values, minutes = read_rows(source.path, column=source.column)
        except SeriesFault as fault:
            faults.extend(fault.faults)
        else:
            read.append(SourceRows(source=source, measured=values, minutes=minutes))
    if faults:
        raise SeriesFault(tuple(faults))
    return tuple(read)


def read_sources(sources: tuple[TrainingSource, ...]) -> tuple[SourceSeries, ...]:
    """Read all series as 15-minute means of power.

    Raises:
        SeriesFault: some file is wrong; carries the faults of ALL files.
    """
    return tuple(
        SourceSeries(
            source=rows.source,
            power_kw=_as_power_kw(
                means(rows.measured, rows.minutes), rows.source, rows.source.geometry, 15
            ),
        )
        for rows in read_source_rows(sources)
    )


def _as_power_kw(
    values: PowerSeries, source: TrainingSource, geometry: PvGeometry, minutes: int
) -> PowerSeries:
    if source.quantity == "ghi_wm2":
        return power_from_ghi_kw(geometry, values, minutes=minutes)
    return values / 1000.0 if source.quantity == "power_w" else values
