"""Clear intervals of a plant's record, told without knowing its orientation.

- `clear_intervals(record, place) -> ClearIntervals`
"""

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pvlib import atmosphere

from forecasting.clearsky import STC_WM2, Floats, PvGeometry, clear_sky
from forecasting.record import DAYLIGHT_ELEVATION_DEG, PlantRecord
from forecasting.series import INTERVAL

Ints = NDArray[np.int64]
_PER_DAY = 96

# A clear interval lies within 1 % of the plant's highest power of the mean of its neighbours: the
# bend of a clear day is half of that at most, clouds bring several per cent.
_SMOOTH_SHARE = 0.01

# … and reaches three quarters of what nine days of ten stay below at its time of day, within two
# weeks: an even overcast is smooth too.
_HIGH_SHARE, _HIGH_LEVEL, _AROUND_DAYS = 0.75, 0.9, 13

# Power below this share of the highest is the inverter's start, not the sky.
_DARK_SHARE = 0.02

# A day with two and a half clear hours shows a piece of its curve; with less, mostly noise.
_NEEDED_PER_DAY = 10

# As many days as settle the fit; a year is thinned to these, evenly, to keep within a second.
_MOST_DAYS = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearIntervals:
    """Intervals that look clear, and the clear sky above them, in order of time."""

    at: Ints
    """Where they stand in the record, shape (interval,)."""
    power_pu: Floats
    """Measured power as a share of the rating, shape (interval,)."""
    day: Ints
    """Number of the day each belongs to: 0, 1, …, shape (interval,)."""
    sun: Floats
    """Unit vector to the sun: east, north, up, shape (3, interval)."""
    direct_pu: Floats
    """Direct irradiance normal to the sun, 1 = 1000 W/m², shape (interval,)."""
    global_pu: Floats
    """Global irradiance on the horizontal, 1 = 1000 W/m², shape (interval,)."""
    outside_pu: Floats
    """Irradiance outside the atmosphere, 1 = 1000 W/m², shape (interval,)."""
    airmass: Floats
    """Relative air mass, shape (interval,) [1]."""

    @property
    def days(self) -> int:
        """Number of days."""
        return int(self.day[-1]) + 1 if self.day.size else 0

    def only(self, keep: NDArray[np.bool_]) -> "ClearIntervals":
        """Some of the intervals; `keep` has shape (interval,)."""
        cut = {f.name: getattr(self, f.name)[..., keep] for f in fields(self)}
        cut["day"] = np.unique(cut["day"], return_inverse=True)[1].astype(np.int64)
        return ClearIntervals(**cut)


def clear_intervals(record: PlantRecord, place: PvGeometry) -> ClearIntervals:
    """Intervals that are smooth, and high for their time of day; there may be none.

    Args:
        record: What was measured; capped and unusable intervals are NaN.
        place: Latitude, longitude and rating; the orientation is not looked at.
    """
    power = record.available_kw / place.rated_kw
    at = _smooth_and_high(power)
    if not at.size:
        none = np.zeros(0)
        return ClearIntervals(
            at=at,
            power_pu=none,
            day=at,
            sun=np.zeros((3, 0)),
            direct_pu=none,
            global_pu=none,
            outside_pu=none,
            airmass=none,
        )
    sky = clear_sky(place.latitude_deg, place.longitude_deg, record.starts[at] + INTERVAL / 2)
    zenith, azimuth = np.radians(sky.sun.apparent_zenith_deg), np.radians(sky.sun.azimuth_deg)
    # Days by mean solar time: UTC's midnight is somebody's noon.
    solar = record.starts[at].tz_localize(None) + pd.Timedelta(hours=place.longitude_deg / 15)
    date = solar.to_numpy().astype("datetime64[D]").astype(np.int64)
    found = ClearIntervals(
        at=at,
        power_pu=power[at],
        day=date,
        sun=np.stack(
            [
                np.sin(zenith) * np.sin(azimuth),
                np.sin(zenith) * np.cos(azimuth),
                np.cos(zenith),
            ]
        ),
        direct_pu=sky.dni_wm2 / STC_WM2,
        global_pu=sky.ghi_wm2 / STC_WM2,
        outside_pu=sky.sun.extraterrestrial_wm2 / STC_WM2,
        airmass=np.asarray(
            atmosphere.get_relative_airmass(sky.sun.apparent_zenith_deg), dtype=np.float64
        ),
    ).only(90.0 - sky.sun.apparent_zenith_deg > DAYLIGHT_ELEVATION_DEG)
    if not found.day.size:
        return found
    found = found.only((np.bincount(found.day) >= _NEEDED_PER_DAY)[found.day])
    if found.days > _MOST_DAYS:
        kept = np.linspace(0, found.days - 1, _MOST_DAYS).astype(np.int64)
        found = found.only(np.isin(found.day, kept))
    return found


def _smooth_and_high(power: Floats) -> Ints:
    """Intervals that may be clear, by their power alone, shape (interval,)."""
    lit = power[power > 0]
    if lit.size < _PER_DAY:
        return np.zeros(0, dtype=np.int64)
    highest = float(np.quantile(lit, 0.99))
    bend = np.full(len(power), np.inf)
    bend[1:-1] = np.abs(power[:-2] - 2 * power[1:-1] + power[2:]) / 2
    days = -(-len(power) // _PER_DAY)
    table = np.full((days, _PER_DAY), np.nan)
    table.flat[: len(power)] = power
    usual = np.empty_like(table)
    for begin in range(0, days, 5):  # the season moves little in five days
        window = np.sort(table[max(0, begin - _AROUND_DAYS) : begin + 5 + _AROUND_DAYS], axis=0)
        known = np.isfinite(window).sum(axis=0)  # NaN is sorted to the end
        level = np.maximum(np.floor(_HIGH_LEVEL * (known - 1)), 0).astype(np.int64)
        usual[begin : begin + 5] = np.take_along_axis(window, level[None], axis=0)
    with np.errstate(invalid="ignore"):
        high = power > np.maximum(_HIGH_SHARE * usual.flat[: len(power)], _DARK_SHARE * highest)
        return np.flatnonzero(high & (bend < _SMOOTH_SHARE * highest))
