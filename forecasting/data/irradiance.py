"""From global horizontal irradiance to PV power, for sites that measure no power.

- `nominal_geometry(latitude_deg, longitude_deg) -> PvGeometry`
- `power_from_ghi_kw(geometry, ghi_wm2, *, minutes=15) -> PowerSeries`

Chain: GHI → direct and diffuse by Erbs et al. (1982), DOI 10.1016/0038-092X(82)90302-4 →
plane of the array by Hay and Davies → power in proportion, 1000 W/m² giving the rating.
"""

import numpy as np
import pandas as pd
from pvlib import irradiance

from forecasting.clearsky import PvGeometry, plane_of_array_wm2, power_kw, sun_at
from forecasting.series import RESOLUTIONS_MIN, PowerSeries

_STEEPEST_DEG = 35.0


def nominal_geometry(latitude_deg: float, longitude_deg: float) -> PvGeometry:
    """A 1-kW plant facing the equator, tilted by the latitude but by 35° at most."""
    return PvGeometry(
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        tilt_deg=min(abs(latitude_deg), _STEEPEST_DEG),
        azimuth_deg=180.0 if latitude_deg >= 0 else 0.0,
        rated_kw=1.0,
    )


def power_from_ghi_kw(
    geometry: PvGeometry, ghi_wm2: PowerSeries, *, minutes: int = 15
) -> PowerSeries:
    """PV power from means of GHI over 1, 5 or 15 minutes [kW].

    The shorter the rows, the better: the split into direct and diffuse and the limit of the
    inverter are not linear. So rows are turned into power first, then averaged.

    Args:
        geometry: The plant.
        ghi_wm2: Global horizontal irradiance, index UTC interval start; NaN for gaps [W/m²].
        minutes: Distance of the rows [min].

    Returns:
        Means of power on the same index, within [0, rated]; NaN where the GHI is.

    Raises:
        ValueError: `minutes` is none of 1, 5 and 15, or the index has no time zone.
    """
    if minutes not in RESOLUTIONS_MIN:
        raise ValueError(f"minutes is {minutes}; expected one of {RESOLUTIONS_MIN}")
    starts = pd.DatetimeIndex(ghi_wm2.index)
    # The sun of the middle of a row stands for all of it.
    middle = starts + pd.Timedelta(minutes=minutes) / 2
    sun = sun_at(geometry.latitude_deg, geometry.longitude_deg, middle)
    ghi = np.maximum(ghi_wm2.to_numpy(dtype=np.float64), 0.0)
    parts = irradiance.erbs(ghi, sun.apparent_zenith_deg, sun.day_of_year)
    plane = plane_of_array_wm2(
        geometry, sun, dni_wm2=parts["dni"], ghi_wm2=ghi, dhi_wm2=parts["dhi"]
    )
    power = np.where(np.isnan(ghi), np.nan, power_kw(geometry, plane))
    return pd.Series(power, index=starts, name="p_kw")
