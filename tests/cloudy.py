"""Plants under skies made up: clear sky times a seeded index that wanders, jumps and rests."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from forecasting.clearsky import Floats, PvGeometry, clear_sky_kw
from forecasting.record import PlantRecord, plant_record

ROOF = PvGeometry(
    latitude_deg=48.1, longitude_deg=11.6, tilt_deg=30.0, azimuth_deg=180.0, rated_kw=20.0
)


def sky_index(count: int, minutes: int, seed: int) -> Floats:
    """Clear-sky index: clear, broken and overcast spells, shape (count,) [1]."""
    rng = np.random.default_rng(seed)
    scale = np.sqrt(minutes / 15.0)
    index = np.empty(count)
    level, target, rough = 0.9, 0.9, 0.02
    change = rng.uniform(size=count) < 0.03 * minutes / 15.0
    noise = rng.normal(size=count)
    for i in range(count):
        if change[i]:
            target, rough = [(1.0, 0.004), (0.65, 0.16), (0.25, 0.05)][rng.integers(3)]
        level = float(
            np.clip(level + 0.3 * scale * (target - level) + rough * scale * noise[i], 0.05, 1.1)
        )
        index[i] = level
    return index


@lru_cache(maxsize=16)
def power_kw(
    days: int, *, minutes: int = 15, seed: int = 1, first: str = "2023-03-01"
) -> "pd.Series[float]":
    """Measured power of the roof; do not change it, it is kept [kW]."""
    count = days * 24 * 60 // minutes
    starts = pd.date_range(first, periods=count, freq=f"{minutes}min", tz="UTC", name="time_utc")
    clear = clear_sky_kw(ROOF, starts + pd.Timedelta(minutes=minutes) / 2)
    values = np.clip(clear * sky_index(count, minutes, seed), 0.0, ROOF.rated_kw)
    return pd.Series(values, index=starts, name="value")


@lru_cache(maxsize=16)
def cloudy(
    days: int, *, minutes: int = 15, seed: int = 1, first: str = "2023-03-01"
) -> PlantRecord:
    """The record of the roof."""
    return plant_record(power_kw(days, minutes=minutes, seed=seed, first=first), minutes)


def changed(record: PlantRecord, begin: int, seed: int = 99) -> PlantRecord:
    """The same record with everything measured from row `begin` on replaced by noise and gaps."""
    rng = np.random.default_rng(seed)
    parts = record.parts_kw.copy()
    parts[begin:] = rng.uniform(0.0, ROOF.rated_kw, parts[begin:].shape)
    parts[begin::7] = np.nan
    floor = record.floor_kw.copy()
    floor[begin:] = rng.uniform(0.0, ROOF.rated_kw, len(floor) - begin)
    return PlantRecord(starts=record.starts, parts_kw=parts, floor_kw=floor, cap_kw=record.cap_kw)


def holed(record: PlantRecord, begin: int, end: int) -> PlantRecord:
    """The same record with nothing measured in the rows `begin` up to just before `end`."""
    parts, floor = record.parts_kw.copy(), record.floor_kw.copy()
    parts[begin:end] = np.nan
    floor[begin:end] = np.nan
    return PlantRecord(starts=record.starts, parts_kw=parts, floor_kw=floor, cap_kw=record.cap_kw)


def write_csv(path: Path, series: "pd.Series[float]", column: str = "value") -> Path:
    """A file as people export it: interval starts in UTC and a value."""
    times = pd.DatetimeIndex(series.index).strftime("%Y-%m-%dT%H:%M:%SZ")
    pd.DataFrame({"time_utc": times, column: series.round(4).to_numpy()}).to_csv(path, index=False)
    return path
