"""Training plants: measured skies seen by plants of many orientations, losses, gaps and caps.

A handful of measured series would teach their own orientation, rating and tidy record. Each is
therefore seen several times: irradiance by virtual plants that face elsewhere, power with
another rating, and every record once more with gaps and synthetic caps. Under a synthetic cap
the features are censored as under a real one, but the target is still known.
"""

from dataclasses import replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from forecasting.clearsky import Floats, PvGeometry
from forecasting.pooled.sky import DAY_INTERVALS
from forecasting.record import PlantRecord

# Roofs and fields; steeper ones are rare.
_STEEPEST_DEG = 45.0
_AROUND_DEG = 90.0

# Ratio of modules to inverter that the configuration knows.
_SCALES = (0.8, 1.3)

# A ratio taken from a data sheet, or fitted to the best days.
_MISTAKEN_SCALES = (0.65, 1.2)

# What the configuration does not know: soiling, wiring, a wrong rating.
_ERRORS = (0.7, 1.1)

# Share of the power that modules at 1000 W/m² lose by heat: 0.4 %/K over about 30 K.
_HOTTEST_LOSS = 0.12

# Caps begin by day, on most days: they are rare in service, but must be learned well.
_CAPPED_DAYS = 0.8
_CAPPED_INTERVALS = (4, 36)
_CAP_SHARES = (0.1, 0.8)
_LIGHT = 0.02
_BEFORE_LIGHT = 4
_GAPPY_DAYS = 0.1
_LOST_INTERVALS = 0.01
_UNKNOWN_HEIGHT = 0.1


def other_orientation(geometry: PvGeometry, rng: Generator) -> PvGeometry:
    """A plant at the same place that faces elsewhere and has another inverter."""
    return replace(
        geometry,
        tilt_deg=float(rng.uniform(0.0, _STEEPEST_DEG)),
        azimuth_deg=float((geometry.azimuth_deg + rng.uniform(-_AROUND_DEG, _AROUND_DEG)) % 360.0),
        scale=float(rng.uniform(*_SCALES)),
    )


def other_scale(geometry: PvGeometry, rng: Generator) -> PvGeometry:
    """The same plant, configured with another ratio of modules to inverter than it has."""
    return replace(geometry, scale=float(geometry.scale * rng.uniform(*_MISTAKEN_SCALES)))


def other_losses(record: PlantRecord, rated_kw: float, rng: Generator) -> PlantRecord:
    """The same sky on a plant that gives less, or more, than the configuration says."""
    factor, heat = rng.uniform(*_ERRORS), rng.uniform(0.0, _HOTTEST_LOSS)

    def lost(power_kw: Floats) -> Floats:
        changed = power_kw * factor * (1.0 - heat * np.clip(power_kw / rated_kw, 0.0, 1.0))
        return np.minimum(changed, rated_kw)

    return replace(
        record,
        parts_kw=lost(record.parts_kw),
        floor_kw=lost(record.floor_kw),
        made_kw=None if record.made_kw is None else lost(record.made_kw),
    )


def capped(record: PlantRecord, rated_kw: float, rng: Generator) -> PlantRecord:
    """The record as it would be had a cap been in force for some hours of most days."""
    n = len(record)
    cap = np.full(n, np.inf)
    unknown = np.zeros(n, dtype=np.bool_)
    light = record.floor_kw > _LIGHT * rated_kw
    for day in range(0, n, DAY_INTERVALS):
        hours = np.flatnonzero(light[day : day + DAY_INTERVALS])
        if len(hours) and rng.uniform() < _CAPPED_DAYS:
            begin = day + int(rng.choice(hours)) - _BEFORE_LIGHT
            cut = slice(max(begin, 0), begin + int(rng.integers(*_CAPPED_INTERVALS)))
            cap[cut] = rng.uniform(*_CAP_SHARES)
            unknown[cut] = rng.uniform() < _UNKNOWN_HEIGHT
    return with_cap(record, np.where(unknown, np.nan, cap) * rated_kw, cap * rated_kw)


def with_cap(record: PlantRecord, told_kw: Floats, acting_kw: Floats) -> PlantRecord:
    """The record under caps: intervals with any are censored, the power made is kept.

    Args:
        record: What was available.
        told_kw: Cap the record tells, infinity where none, NaN where its height is unknown,
            shape (interval,) [kW].
        acting_kw: Cap that acted, shape (interval,) [kW].
    """
    made = np.minimum(record.parts_kw, acting_kw[:, None])
    known = np.isfinite(made)
    mean = np.where(known, made, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    free = np.isposinf(told_kw)
    return replace(
        record,
        parts_kw=np.where(free[:, None], record.parts_kw, np.nan),
        floor_kw=np.where(free, record.floor_kw, np.where(known.any(axis=1), mean, np.nan)),
        cap_kw=np.where(free, record.cap_kw, told_kw),
        made_kw=made,
    )


def gappy(record: PlantRecord, rng: Generator) -> PlantRecord:
    """The record with single intervals and hours missing."""
    n = len(record)
    lost: NDArray[np.bool_] = rng.uniform(size=n) < _LOST_INTERVALS
    for day in range(0, n, DAY_INTERVALS):
        if rng.uniform() < _GAPPY_DAYS:
            begin = day + int(rng.integers(DAY_INTERVALS))
            lost[begin : begin + int(rng.integers(1, 24))] = True
    return replace(
        record,
        parts_kw=np.where(lost[:, None], np.nan, record.parts_kw),
        floor_kw=np.where(lost, np.nan, record.floor_kw),
        made_kw=None if record.made_kw is None else np.where(lost[:, None], np.nan, record.made_kw),
    )
