"""What the sun alone decides of an interval: clear sky, daylight, elevation.

Kept in spans of eight days, since a service asks for the same month every 15 minutes.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.clearsky import Floats, PvGeometry, clear_sky_mean_kw, sun_at
from forecasting.record import DAYLIGHT_ELEVATION_DEG
from forecasting.series import INTERVAL

_INTERVAL_S = 900
_SPAN = 8 * 96  # intervals whose sun is worked out at a time


def light_of(
    geometry: PvGeometry, first: pd.Timestamp, count: int
) -> tuple[Floats, NDArray[np.bool_]]:
    """What the sun alone decides of consecutive intervals on the 15-minute grid.

    Args:
        geometry: The plant.
        first: Start of the first interval.
        count: Number of intervals.

    Returns:
        Clear-sky power as a share of the rating [1], and whether the interval is daylight: sun
        above 5°, and a clear sky that gives anything; both of shape (interval,).
    """
    if not count:
        return np.zeros(0), np.zeros(0, dtype=np.bool_)
    unit = replace(geometry, rated_kw=1.0)
    spans, rows = _spans(first, count)
    found = [_light_of_span(unit, span) for span in spans]
    if len(found) == 1:
        return found[0][0][rows], found[0][1][rows]
    return np.concatenate([c for c, _ in found])[rows], np.concatenate([d for _, d in found])[rows]


def elevation_of(geometry: PvGeometry, first: pd.Timestamp, count: int) -> Floats:
    """Elevation of the sun in the middle of consecutive intervals, shape (interval,) [°].

    With refraction. The intervals lie on the 15-minute grid, as those of `light_of`.
    """
    if not count:
        return np.zeros(0)
    place = geometry.latitude_deg, geometry.longitude_deg
    spans, rows = _spans(first, count)
    return np.concatenate([_elevation_of_span(*place, span) for span in spans])[rows]


def _spans(first: pd.Timestamp, count: int) -> tuple[range, slice]:
    """Spans that hold consecutive intervals, and the rows of these in them."""
    at = int(first.timestamp()) // _INTERVAL_S
    spans = range(at // _SPAN, (at + count - 1) // _SPAN + 1)
    begin = at - spans[0] * _SPAN
    return spans, slice(begin, begin + count)


# A month of a plant lies in five spans, and it is asked for as built and as fitted. With fewer kept
# than a site has in use, each cycle would work all of them out again.
@lru_cache(maxsize=8192)
def _light_of_span(unit: PvGeometry, span: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Clear sky and daylight of eight days, kept: a service asks for them every 15 minutes.

    A span takes a millisecond and 7 kB: 7 MB for a hundred plants, at most 57 MB.
    """
    clear = clear_sky_mean_kw(unit, _starts_of_span(span))
    elevation_deg = _elevation_of_span(unit.latitude_deg, unit.longitude_deg, span)
    daylight = (elevation_deg > DAYLIGHT_ELEVATION_DEG) & (clear > 0.0)
    clear.flags.writeable = daylight.flags.writeable = False
    return clear, daylight


@lru_cache(maxsize=256)
def _elevation_of_span(latitude_deg: float, longitude_deg: float, span: int) -> Floats:
    """Elevation of the sun in eight days, kept for all plants of a place; 6 kB each [°]."""
    sun = sun_at(latitude_deg, longitude_deg, _starts_of_span(span) + INTERVAL / 2)
    elevation_deg = np.asarray(90.0 - sun.apparent_zenith_deg)
    elevation_deg.flags.writeable = False
    return elevation_deg


def _starts_of_span(span: int) -> pd.DatetimeIndex:
    first = pd.Timestamp(span * _SPAN * _INTERVAL_S, unit="s", tz="UTC")
    return pd.date_range(first, periods=_SPAN, freq=INTERVAL)
