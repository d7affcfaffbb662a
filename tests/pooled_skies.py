"""Made-up skies and plants for the tests of the pooled model: pvlib's clear sky, seeded clouds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from forecasting.clearsky import Floats, PvGeometry, clear_sky, clear_sky_kw
from forecasting.data.sources import TrainingSource
from forecasting.record import PlantRecord, plant_record

ROOF = PvGeometry(
    latitude_deg=48.1, longitude_deg=11.6, tilt_deg=30.0, azimuth_deg=190.0, rated_kw=5.0
)
FIELD = PvGeometry(
    latitude_deg=-33.9, longitude_deg=18.4, tilt_deg=33.9, azimuth_deg=0.0, rated_kw=1.0
)


def clouds(count: int, seed: int) -> Floats:
    """A clear-sky index that wanders: seeded, within 0.1…1.1."""
    steps = np.random.default_rng(seed).normal(0.0, 0.06, count)
    index = np.empty(count)
    level = 0.7
    for i, step in enumerate(steps):
        level = float(np.clip(level + step + 0.02 * (0.75 - level), 0.1, 1.1))
        index[i] = level
    return index


def plant_power_kw(first: str, days: int, minutes: int, seed: int = 1) -> "pd.Series[float]":
    """Power of `ROOF` under such clouds."""
    times = pd.date_range(first, periods=days * 1440 // minutes, freq=f"{minutes}min", tz="UTC")
    middle = times + pd.Timedelta(minutes=minutes) / 2
    power = clear_sky_kw(ROOF, middle) * clouds(len(times), seed)
    return pd.Series(np.minimum(power, ROOF.rated_kw), index=times)


def roof_record(
    first: str = "2026-05-01", days: int = 8, minutes: int = 5, seed: int = 1
) -> PlantRecord:
    """What `ROOF` measured."""
    return plant_record(plant_power_kw(first, days, minutes, seed), minutes)


def without(record: PlantRecord, rows: slice) -> PlantRecord:
    """The record with some intervals not measured."""
    parts, floor = record.parts_kw.copy(), record.floor_kw.copy()
    parts[rows], floor[rows] = np.nan, np.nan
    return replace(record, parts_kw=parts, floor_kw=floor)


def write_sources(folder: Path, days: int = 40) -> tuple[TrainingSource, ...]:
    """A roof measured in power every 15 minutes, and irradiance every 5 in the south."""
    roof = plant_power_kw("2026-04-01", days, 15)
    watts = np.asarray(1000.0 * roof, dtype=np.float64)
    _write(folder / "roof.csv", "p_ac_w", roof.index, watts)
    fine = pd.date_range("2026-10-01", periods=288 * days, freq="5min", tz="UTC")
    sky = clear_sky(FIELD.latitude_deg, FIELD.longitude_deg, fine + pd.Timedelta(minutes=2.5))
    _write(folder / "field.csv.gz", "ghi_wm2", fine, sky.ghi_wm2 * clouds(len(fine), seed=2))
    return (
        TrainingSource(
            name="Roof",
            path=folder / "roof.csv",
            quantity="power_w",
            geometry=ROOF,
            licence="CC0",
            origin="made up",
        ),
        TrainingSource(
            name="Field",
            path=folder / "field.csv.gz",
            quantity="ghi_wm2",
            geometry=FIELD,
            licence="CC0",
        ),
    )


def _write(path: Path, column: str, times: "pd.Index[pd.Timestamp]", values: Floats) -> None:
    stamps = pd.DatetimeIndex(times).strftime("%Y-%m-%dT%H:%M:%SZ")
    pd.DataFrame({"time_utc": stamps, column: values}).to_csv(path, index=False)
