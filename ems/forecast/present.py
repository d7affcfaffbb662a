"""The present reading of a plant: whether it counts, and where it stands in for the history."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pandas as pd

from ems.domain import DerReading, Quality
from forecasting.clearsky import PvGeometry, clear_sky_kw, clear_sky_mean_kw
from forecasting.record import PlantRecord
from forecasting.series import INTERVAL
from forecasting.sky import INDEX_MAX, LOW_SUN_SHARE

RECENT: Final = timedelta(hours=1)
"""Oldest measurement that still tells the present sky."""

# Readings are stamped when they arrive, which may be shortly after the snapshot's own time.
_STAMP_TOLERANCE = timedelta(minutes=1)


def is_present(reading: DerReading, now: datetime) -> bool:
    """Whether a reading was truly measured, and within the last hour."""
    return (
        reading.quality is not Quality.ASSUMED
        and np.isfinite(reading.p_kw)
        and -_STAMP_TOLERANCE <= now - reading.time <= RECENT
    )


def available_kw(reading: DerReading, rated_kw: float) -> float | None:
    """Available power a reading tells; None where a cap hides it [kW].

    Any cap below the rating hides it, also one that does not bind: keeping only the readings
    under it would learn from the dull hours alone.
    """
    if reading.available_kw is not None:
        return max(reading.available_kw, reading.p_kw)
    return None if reading.cap_kw is not None and reading.cap_kw < rated_kw else reading.p_kw


def with_reading(
    record: PlantRecord, reading: DerReading | None, now: datetime, geometry: PvGeometry
) -> PlantRecord:
    """A record whose newest interval, where nothing was measured in it, shows the present reading.

    The clear-sky index of the reading stands for the interval's.
    """
    if reading is None or not is_present(reading, now):
        return record
    time = pd.Timestamp(reading.time).tz_convert("UTC")
    start = min(time.floor(INTERVAL), record.starts[-1])
    row = (start - record.starts[0]) // INTERVAL
    if row < 0 or np.isfinite(record.floor_kw[row]):
        return record
    parts_kw, floor_kw, cap_kw = (
        a.copy() for a in (record.parts_kw, record.floor_kw, record.cap_kw)
    )
    said = available_kw(reading, geometry.rated_kw)
    if said is None:
        floor_kw[row] = reading.p_kw
        cap_kw[row] = np.nan if reading.cap_kw is None else reading.cap_kw
    else:
        parts_kw[row] = floor_kw[row] = _mean_kw(said, time, start, geometry)
    return replace(record, parts_kw=parts_kw, floor_kw=floor_kw, cap_kw=cap_kw)


def _mean_kw(p_kw: float, at: pd.Timestamp, start: pd.Timestamp, geometry: PvGeometry) -> float:
    """Mean of an interval whose sky was that of an instant [kW]."""
    clear = float(clear_sky_kw(geometry, pd.DatetimeIndex([at]))[0])
    if clear < LOW_SUN_SHARE * geometry.rated_kw:
        return p_kw
    mean = float(clear_sky_mean_kw(geometry, pd.DatetimeIndex([start]))[0])
    return min(p_kw / clear, INDEX_MAX) * mean
