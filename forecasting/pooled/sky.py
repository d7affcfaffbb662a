"""The clear sky of a plant on the 15-minute grid, kept per plant and day.

A year in one call takes 0.2 s. One day takes pvlib 5 ms, most of it overhead, so a forecast of
one interval takes days that were computed before, and each day adds one.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from forecasting.clearsky import Floats, PvGeometry, clear_power_kw, clear_sky
from forecasting.series import INTERVAL

DAY_INTERVALS = 96

_INTERVAL_NS = int(INTERVAL.value)

# Middles of the thirds of an interval, as in `clearsky.clear_sky_mean_kw`.
_THIRDS_NS = np.array([150, 450, 750], dtype=np.int64) * 1_000_000_000

# Seven days of a plant are 32 kB.
_KEPT_PLANTS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantSky:
    """Clear sky of a plant in consecutive intervals."""

    thirds: Floats
    """Clear-sky power of each third of the interval, share of the rating, shape (interval, 3)."""
    elevation_deg: Floats
    """Height of the sun in the middle of the interval, with refraction, shape (interval,) [°]."""
    azimuth_deg: Floats
    """Azimuth of the sun in the middle of the interval, clockwise from north, (interval,) [°]."""

    mean: Floats
    """Mean clear-sky power of the interval, share of the rating, shape (interval,) [1]."""

    def part(self, cut: slice) -> "PlantSky":
        """Some of the intervals."""
        return PlantSky(
            thirds=self.thirds[cut],
            elevation_deg=self.elevation_deg[cut],
            azimuth_deg=self.azimuth_deg[cut],
            mean=self.mean[cut],
        )


def interval_number(start: pd.Timestamp) -> int:
    """Number of an interval since 1970-01-01 UTC."""
    return int(start.as_unit("ns").value // _INTERVAL_NS)


def plant_sky(geometry: PvGeometry, first: int, count: int, *, late_min: int = 0) -> PlantSky:
    """Clear sky of `count` intervals from number `first` on, computed anew.

    Args:
        geometry: The plant.
        first: Number of the first interval.
        count: Number of intervals.
        late_min: By how much each interval begins after the grid, for training [min].
    """
    starts_ns = (first + np.arange(count, dtype=np.int64)) * _INTERVAL_NS
    starts_ns += late_min * 60_000_000_000
    times = pd.DatetimeIndex((starts_ns[:, None] + _THIRDS_NS).ravel(), tz="UTC")
    sky = clear_sky(geometry.latitude_deg, geometry.longitude_deg, times)
    power = clear_power_kw(_unit(geometry), sky)
    # The middle third's middle is the middle of the interval.
    middle = slice(1, None, 3)
    thirds = np.nan_to_num(power).reshape(count, 3)
    return PlantSky(
        thirds=thirds,
        elevation_deg=90.0 - sky.sun.apparent_zenith_deg[middle],
        azimuth_deg=sky.sun.azimuth_deg[middle],
        mean=np.asarray(thirds.mean(axis=1)),
    )


class SkyDays:
    """Keeps whole days of clear sky per plant. Safe to call from several threads."""

    def __init__(self) -> None:
        self._plants: OrderedDict[PvGeometry, tuple[int, PlantSky]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, geometry: PvGeometry, first: int, count: int) -> PlantSky:
        """Clear sky of `count` intervals from number `first` on."""
        unit = _unit(geometry)
        begin, end = first // DAY_INTERVALS, (first + count - 1) // DAY_INTERVALS + 1
        with self._lock:
            kept_from, kept = self._plants.get(unit, (begin, None))
            until = kept_from + (len(kept.mean) // DAY_INTERVALS if kept else 0)
            if kept is None or begin < kept_from or end > until:
                kept_from, kept = begin, _days(unit, begin, end, kept_from, kept)
                self._plants[unit] = (begin, kept)
                while len(self._plants) > _KEPT_PLANTS:
                    self._plants.popitem(last=False)
            self._plants.move_to_end(unit)
        at = first - kept_from * DAY_INTERVALS
        return kept.part(slice(at, at + count))


def _days(
    unit: PvGeometry, begin: int, end: int, kept_from: int, kept: PlantSky | None
) -> PlantSky:
    """The days from `begin` up to just before `end`; those at the front may be kept ones."""
    until = kept_from + (len(kept.mean) // DAY_INTERVALS if kept else 0)
    if kept is None or not kept_from <= begin < until < end:
        return plant_sky(unit, begin * DAY_INTERVALS, (end - begin) * DAY_INTERVALS)
    old = kept.part(slice((begin - kept_from) * DAY_INTERVALS, None))
    new = plant_sky(unit, until * DAY_INTERVALS, (end - until) * DAY_INTERVALS)
    return PlantSky(
        thirds=np.concatenate([old.thirds, new.thirds]),
        elevation_deg=np.concatenate([old.elevation_deg, new.elevation_deg]),
        azimuth_deg=np.concatenate([old.azimuth_deg, new.azimuth_deg]),
        mean=np.concatenate([old.mean, new.mean]),
    )


def _unit(geometry: PvGeometry) -> PvGeometry:
    return replace(geometry, rated_kw=1.0)
