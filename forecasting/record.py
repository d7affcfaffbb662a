"""What is known of a plant, and what is forecast of it: the values all forecasting shares.

Everything lies on one grid: intervals of 15 minutes, UTC, labelled by their start. A forecast of
an interval is issued at its start and knows what was measured before it, nothing else.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.clearsky import Floats, PvGeometry, sun_at
from forecasting.series import INTERVAL, PowerSeries

LEVELS = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
"""Levels of the quantiles every method gives: the bands of 50, 80 and 90 % and the median."""

PARTS = (1, 3, 15)
"""Into how many parts an interval may be measured: 15, 5 or 1 minutes each."""

DAYLIGHT_ELEVATION_DEG = 5.0
"""Elevation of the sun in the middle of an interval above which it is scored [°]."""

# A 15-minute mean needs two thirds of its parts, as in `series`.
_NEEDED_SHARE = 2 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantRecord:
    """Available power of one plant, as far as it was measured, on a grid without holes."""

    starts: pd.DatetimeIndex
    """Interval starts, UTC, every 15 minutes, shape (interval,)."""
    parts_kw: Floats
    """Mean available power of each part of the interval; NaN where unknown, and in the whole
    interval where any cap was in force; shape (interval, part) with 1, 3 or 15 parts [kW]."""
    floor_kw: Floats
    """Power made in the interval whether capped or not, which is a lower bound of the available
    power; NaN where nothing was measured, shape (interval,) [kW]."""
    cap_kw: Floats
    """Lowest cap in force in the interval; infinity where none was, NaN where one was but its
    height is not known, shape (interval,) [kW]."""
    made_kw: Floats | None = None
    """Power made in each part, capped or not; NaN where unknown, shape as `parts_kw`. Under a cap
    it shows the minutes in which clouds, not the cap, held the plant. None: nothing was capped,
    or it is not known by part [kW]."""

    def __post_init__(self) -> None:
        """Refuse what is not on the grid, or of unequal length."""
        n, index = len(self.starts), self.starts
        if index.tz is None or str(index.tz) != "UTC":
            raise ValueError("starts of a plant's record must be UTC: tz_convert('UTC')")
        # Plain numpy: a record is made several times per plant and cycle. A NaT equals nothing.
        times = index.to_numpy(dtype="datetime64[ns]")
        if np.isnat(times).any() or (np.diff(times) != INTERVAL.to_timedelta64()).any():
            raise ValueError("a plant's record must have every 15-minute interval: reindex it")
        if self.parts_kw.ndim != 2 or self.parts_kw.shape[1] not in PARTS:
            raise ValueError(f"parts of an interval: shape {self.parts_kw.shape}, expected {PARTS}")
        if self.made_kw is not None and self.made_kw.shape != self.parts_kw.shape:
            raise ValueError(f"made_kw: shape {self.made_kw.shape}, parts {self.parts_kw.shape}")
        if not (len(self.parts_kw) == n and self.floor_kw.shape == self.cap_kw.shape == (n,)):
            raise ValueError(
                f"{n} starts, {len(self.parts_kw)} rows of parts, {len(self.floor_kw)} floors, "
                f"{len(self.cap_kw)} caps"
            )

    def __len__(self) -> int:
        """Number of intervals."""
        return len(self.starts)

    @property
    def available_kw(self) -> Floats:
        """Mean available power; NaN where unknown or capped, shape (interval,) [kW].

        An interval needs two thirds of its parts: with fewer, one passing cloud could stand for
        all of it.
        """
        known = np.isfinite(self.parts_kw)
        count = known.sum(axis=1)
        total = np.where(known, self.parts_kw, 0.0).sum(axis=1)
        enough = count >= np.ceil(_NEEDED_SHARE * self.parts_kw.shape[1])
        return np.where(enough, total / np.maximum(count, 1), np.nan)

    def part(self, begin: int, end: int) -> "PlantRecord":
        """Intervals `begin` up to just before `end`."""
        s = slice(begin, end)
        return PlantRecord(
            starts=self.starts[s],
            parts_kw=self.parts_kw[s],
            floor_kw=self.floor_kw[s],
            cap_kw=self.cap_kw[s],
            made_kw=None if self.made_kw is None else self.made_kw[s],
        )


def plant_record(
    power_kw: PowerSeries, minutes: int, *, cap_kw: Floats | None = None
) -> PlantRecord:
    """A record from a measured series at 1, 5 or 15 minutes.

    Args:
        power_kw: Measured power, index UTC start of each row, ascending, unique, gaps allowed [kW].
        minutes: Distance of the rows: 1, 5 or 15 [min].
        cap_kw: Cap in force in each row, whether it bound or not; infinity where there was none,
            NaN where one of unknown height was, shape (row,); None: none anywhere [kW].

    Raises:
        ValueError: `minutes` is none of these, or the series is empty.
    """
    if minutes not in (1, 5, 15) or power_kw.empty:
        raise ValueError(f"{len(power_kw)} rows every {minutes} minutes; expected 1, 5 or 15")
    index = pd.DatetimeIndex(power_kw.index).tz_convert("UTC")
    first, last = index[0].floor(INTERVAL), index[-1].floor(INTERVAL)
    starts = pd.date_range(first, last, freq=INTERVAL)
    row = ((index - first) // pd.Timedelta(minutes=minutes)).to_numpy(dtype=np.int64)
    parts = 15 // minutes
    parts_kw = np.full(len(starts) * parts, np.nan)
    caps_kw = np.full(len(starts) * parts, np.inf)
    parts_kw[row] = power_kw.to_numpy(dtype=np.float64)
    if cap_kw is not None:
        caps_kw[row] = cap_kw
    made = parts_kw.reshape(-1, parts)
    known = np.isfinite(made)
    mean_kw = np.where(known, made, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    # A cap of unknown height hides as much as any: NaN spreads through the minimum.
    lowest_kw = caps_kw.reshape(-1, parts).min(axis=1)
    return PlantRecord(
        starts=starts,
        parts_kw=np.where(np.isposinf(lowest_kw)[:, None], made, np.nan),
        floor_kw=np.where(known.any(axis=1), mean_kw, np.nan),
        cap_kw=lowest_kw,
        made_kw=None if cap_kw is None else made,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantileForecast:
    """Power a plant could make in each interval, and how sure that is."""

    starts: pd.DatetimeIndex
    """Interval starts, UTC, shape (interval,)."""
    mean_kw: Floats
    """Expected power; NaN where the method has no answer, shape (interval,) [kW]."""
    quantiles_kw: Floats
    """Quantiles at `LEVELS`, ascending in each row, NaN where there are none, shape
    (interval, level) [kW]."""


def is_daylight(geometry: PvGeometry, starts: pd.DatetimeIndex) -> NDArray[np.bool_]:
    """Whether the sun stands higher than 5° in the middle of each interval, shape (interval,)."""
    sun = sun_at(geometry.latitude_deg, geometry.longitude_deg, starts + INTERVAL / 2)
    return np.asarray(90.0 - sun.apparent_zenith_deg > DAYLIGHT_ELEVATION_DEG)
