"""What is judged: the record of one plant from a measured file, and the plant behind it.

Everything wrong with file and numbers is told at once. What is measured may be power, or global
horizontal irradiance, which then goes through the model chain of `irradiance`.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from forecasting.clearsky import PvGeometry
from forecasting.data.formats import Kind, Measured, as_power, load, tells_place
from forecasting.data.irradiance import nominal_geometry
from forecasting.data.orientation import fit_plant
from forecasting.data.zones import UnknownZone, zone_of
from forecasting.judging.doubts import (
    Doubts,
    ghi_doubts,
    place_doubts,
    power_doubts,
    screening_doubts,
    sunless,
)
from forecasting.record import PlantRecord, plant_record
from forecasting.series import PowerSeries, SeriesFault

DAY = 96
"""Intervals of a day."""

# As in `series`: with fewer rows, one passing cloud could stand for the whole part.
_NEEDED_SHARE = 2 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person says of a file to judge by."""

    path: Path
    latitude_deg: float | None
    """North positive; None: as the file says [°]."""
    longitude_deg: float | None
    """East positive; None likewise [°]."""
    capacity_kw: float | None
    """Rating of the plant; where irradiance was measured, of the one it is turned into [kW]."""
    tilt_deg: float | None = None
    """None: fitted for power, the nominal one for irradiance [°]."""
    azimuth_deg: float | None = None
    """Clockwise from north; None as `tilt_deg` [°]."""
    kind: Kind | None = None
    """None: by the file's column."""
    column: str | None = None
    """Column or sensor to read; None: the known one."""
    zone: str | None = None
    """Time zone of a file whose times are local; None: by the longitude."""
    minutes: int | None = None
    """Resolution to judge at: 1, 5 or 15; None: the file's [min]."""
    calibration_days: int = 60
    """Days at the start that nothing is scored on, and the plant is fitted to."""
    site: str | None = None
    """None: what the file says, or its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A plant and its record."""

    site: str
    minutes: int
    """Distance of the polls the forecasts may use [min]."""
    record: PlantRecord
    geometry: PvGeometry
    warnings: tuple[str, ...]
    """What a reader of the scores should know of the data."""
    misfits: tuple[str, ...] = ()
    """Those of `warnings` against unit, rating, place, times or orientation."""


def judged(asked: Asked) -> Judged:
    """Read and prepare what is to be judged.

    Raises:
        SeriesFault: something is wrong with the file or a number; carries all faults.
    """
    faults = _number_faults(asked)
    measured: Measured | None = None
    zone_fault = _zone_fault(asked.zone)
    try:
        measured = load(
            asked.path,
            kind=asked.kind,
            column=asked.column,
            # What else is wrong is told whatever the zone.
            zone="UTC" if zone_fault else asked.zone,
            longitude_deg=_within(asked.longitude_deg, 180.0),
        )
    except SeriesFault as fault:
        faults.extend(fault.faults)
    faults.extend(zone_fault)
    faults.extend(_place_faults(asked, measured))
    if measured is not None:
        faults.extend(_resolution_faults(asked, measured))
    if measured is None or faults:
        raise SeriesFault(tuple(faults))
    asked = _placed(asked, measured)
    nominal = _nominal(asked)
    minutes = asked.minutes or measured.minutes
    power = as_power(measured, nominal)
    record = plant_record(_coarser(power, measured.minutes, minutes), minutes)
    if not np.isfinite(record.available_kw).any():
        empty = f"{asked.path.name}: no row of it holds a value; check its column of values"
        raise SeriesFault((empty,))
    days = len(record) / DAY
    if days <= asked.calibration_days:
        short = (
            f"{asked.path.name}: holds {days:.0f} days, of which the first "
            f"{asked.calibration_days} only calibrate; give a longer file or fewer "
            f"--calibration-days"
        )
        raise SeriesFault((short,))
    geometry, doubts = _doubted(record, measured, nominal, asked)
    return Judged(
        site=asked.site or measured.name,
        minutes=minutes,
        record=record,
        geometry=geometry,
        warnings=(
            *measured.notes,
            *doubts.misfits,
            *doubts.others,
        ),
        misfits=doubts.misfits,
    )


def _number_faults(asked: Asked) -> list[str]:
    """What is wrong with the numbers, each by the option that gives it."""
    faults: list[str] = []

    def check(option: str, value: float | None, low: float, high: float) -> None:
        if value is not None and not (math.isfinite(value) and low <= value <= high):
            faults.append(f"{option}: {value:g} is not from {low:g} to {high:g}")

    check("--lat", asked.latitude_deg, -90.0, 90.0)
    check("--lon", asked.longitude_deg, -180.0, 180.0)
    check("--tilt", asked.tilt_deg, 0.0, 90.0)
    check("--azimuth", asked.azimuth_deg, 0.0, 360.0)
    capacity = asked.capacity_kw
    if capacity is None:
        faults.append("--capacity-kw: missing; give the rating of the plant in kW")
    elif not (math.isfinite(capacity) and capacity > 0.0):
        faults.append(f"--capacity-kw: {capacity:g} is not a rating; give kW above 0")
    if asked.calibration_days < 1:
        faults.append(f"--calibration-days: {asked.calibration_days} is not 1 or more")
    return faults


def _zone_fault(zone: str | None) -> list[str]:
    if zone is None:
        return []
    try:
        zone_of(zone)
    except UnknownZone as fault:
        return [f"--zone: {fault}"]
    return []


def _within(value: float | None, limit: float) -> float | None:
    """The same where it can be; what cannot is told by `_number_faults`."""
    return value if value is not None and abs(value) <= limit else None


def _place_faults(asked: Asked, measured: Measured | None) -> list[str]:
    """What of the place is neither given nor told by the file; a zone that is of no use."""
    faults = []
    # A file that could not be read may yet tell it.
    if measured is not None or not tells_place(asked.path):
        lat = None if measured is None else measured.latitude_deg
        lon = None if measured is None else measured.longitude_deg
        for option, given, told, limit in (
            ("--lat", asked.latitude_deg, lat, 90),
            ("--lon", asked.longitude_deg, lon, 180),
        ):
            if given is None and told is None:
                faults.append(
                    f"{option}: missing, and the file does not tell it; give a number from "
                    f"-{limit} to {limit}"
                )
    if asked.zone is not None and measured is not None and measured.form != "pvdaq":
        faults.append(
            f"--zone: {asked.zone} is of no use: only PVDAQ files hold times of a zone that they "
            f"do not tell; leave it out"
        )
    return faults


def _placed(asked: Asked, measured: Measured) -> Asked:
    """What was asked, at the place of the file where none was given."""
    lat, lon = asked.latitude_deg, asked.longitude_deg
    return replace(
        asked,
        latitude_deg=measured.latitude_deg if lat is None else lat,
        longitude_deg=measured.longitude_deg if lon is None else lon,
    )


def _resolution_faults(asked: Asked, measured: Measured) -> list[str]:
    faults = []
    if asked.minutes is not None and asked.minutes < measured.minutes:
        faults.append(
            f"--resolution: {asked.minutes}min is finer than {asked.path.name}, whose rows are "
            f"{measured.minutes} minutes apart; ask for {measured.minutes}min or coarser"
        )
    one = (asked.tilt_deg is None) != (asked.azimuth_deg is None)
    if one and measured.kind == "power":
        given, other = (
            ("--tilt", "--azimuth") if asked.azimuth_deg is None else ("--azimuth", "--tilt")
        )
        faults.append(f"{other}: missing beside {given}; give both, or none to have them fitted")
    return faults


def _nominal(asked: Asked) -> PvGeometry:
    """The plant as given, and as is usual where nothing is."""
    if asked.latitude_deg is None or asked.longitude_deg is None or asked.capacity_kw is None:
        raise ValueError("checked before: place and capacity are given")
    usual = nominal_geometry(asked.latitude_deg, asked.longitude_deg)
    return replace(
        usual,
        rated_kw=asked.capacity_kw,
        tilt_deg=usual.tilt_deg if asked.tilt_deg is None else asked.tilt_deg,
        azimuth_deg=usual.azimuth_deg if asked.azimuth_deg is None else asked.azimuth_deg,
    )


def _coarser(power: PowerSeries, minutes: int, wanted: int) -> PowerSeries:
    """Means over `wanted` minutes of rows `minutes` apart; unknown with too few of them."""
    if wanted == minutes:
        return power
    bins = power.resample(pd.Timedelta(minutes=wanted))
    return bins.mean().where(bins.count() >= np.ceil(_NEEDED_SHARE * (wanted // minutes)))


def _doubted(
    record: PlantRecord, measured: Measured, nominal: PvGeometry, asked: Asked
) -> tuple[PvGeometry, Doubts]:
    """The plant to judge with, and what its record says against what was given.

    Power is fitted to the calibration days alone; an orientation that was given stays.
    """
    dark = sunless(measured.rows)
    if dark:
        return nominal, Doubts(misfits=(dark,))
    elsewhere = place_doubts(measured, nominal)
    if measured.kind == "ghi":
        minutes = asked.minutes or measured.minutes
        irradiance = plant_record(_coarser(measured.rows, measured.minutes, minutes), minutes)
        against = ghi_doubts(irradiance, measured.rows, nominal)
        others = screening_doubts(record, nominal)
        return nominal, Doubts(misfits=(*elsewhere, *against), others=tuple(others))
    fit = fit_plant(record.part(0, asked.calibration_days * DAY), nominal)
    given = asked.tilt_deg is not None
    geometry = replace(nominal, scale=fit.geometry.scale) if given else fit.geometry
    found = power_doubts(record, measured.rows, nominal, fit, is_orientation_given=given)
    return geometry, Doubts(
        misfits=(*elsewhere, *found.misfits),
        others=(*found.others, *screening_doubts(record, geometry)),
    )
