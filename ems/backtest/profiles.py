"""What sun and load do in a backtest, made up from a seed.

The sun is that of the simulated plant (`ems.plant.profile`), pvlib's clear sky under seeded
clouds, and so is the load. Here all days are computed at once, and once for all plants that face
alike.
"""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pvlib import solarposition

from ems.backtest.case import STEPS_USUAL, Profiles
from ems.backtest.period import Period
from ems.clock import INTERVAL
from ems.domain import Pv, Site
from ems.plant.clouds import MINUTES, clear_sky_index
from ems.plant.profile import GeneratedProfile, clear_sky_poa

Floats = NDArray[np.float64]

HISTORY = timedelta(days=30)
"""Known before the period: forecasts learn from a month (docs/forecasting.md)."""
INTERVAL_MIN = INTERVAL // timedelta(minutes=1)
DARK_DEG = -3.0
"""Sun this low by the simple formula is down by the exact one: the former is off by less than a
degree, and refraction lifts the sun by 0.6° [°]."""
DAYLIGHT_DEG = 5.0
"""Sun this high gives even a plant under thick cloud more than nothing [°]."""
CHUNK = 10 * MINUTES
"""Minutes that are computed at once: pvlib takes some 2 kB for each of them."""
AT_ONCE = 2
"""Such parts at a time, on processors that wait for the first day anyway."""
NEVER = date(1, 1, 1)
"""No day is made sunny on purpose."""


def generated(site: Site, period: Period, *, seed: int, steps: int = STEPS_USUAL) -> Profiles:
    """Sun and load of a period and of the month before it.

    Args:
        site: where the sun stands, how plants face, and between which bounds the load moves.
        period: local days.
        seed: of clouds and load; the same seed gives an instant the same weather, whatever the
            period.
        steps: in an interval, one of `case.STEPS`.
    """
    first = period.begin - HISTORY
    minutes = pd.date_range(first, period.end, freq="1min", inclusive="left")
    clouds = _clouds(site, minutes, seed)
    facing: dict[tuple[float, float], Floats] = {}
    share = {}
    for pv in site.pvs:
        way = (pv.tilt_deg, pv.azimuth_deg)
        if way not in facing:
            facing[way] = averaged(_share(site, pv, minutes, clouds), INTERVAL_MIN, steps)
        share[pv.name] = facing[way]
    profile = GeneratedProfile(site, seed, NEVER)
    parts = [minutes[i : i + CHUNK] for i in range(0, len(minutes), CHUNK)]
    load_kw = np.concatenate([profile.load_kw(part) for part in parts])
    return Profiles(
        first=first.astimezone(UTC),
        pv_share=share,
        load_kw=averaged(load_kw, INTERVAL_MIN, steps),
    )


def averaged(values: Floats, told: int, steps: int) -> Floats:
    """Means of the steps of each interval.

    Args:
        values: at even distances, of whole intervals, shape (time,).
        told: values in an interval.
        steps: in an interval; divides `told`.

    Returns:
        Shape (interval, step).
    """
    means: Floats = values.reshape(-1, steps, told // steps).mean(axis=2)
    return means


def of_history(profiles: Profiles, begin: datetime) -> int:
    """Intervals that profiles hold before a period."""
    return (begin - profiles.first) // INTERVAL


def _clouds(site: Site, minutes: pd.DatetimeIndex, seed: int) -> Floats:
    """Power over clear-sky power, shape (time,) [1].

    Each solar day has a random stream of its own; solar time is a whole number of minutes from
    UTC, as in the plant, so that no value lies between two of its own.
    """
    offset = pd.Timedelta(minutes=round(site.longitude_deg * 4))  # 4 min per degree
    solar = minutes.tz_localize(None) + offset
    days = [
        clear_sky_index(seed, day.date())[:MINUTES]
        for day in pd.date_range(solar[0].normalize(), solar[-1].normalize(), freq="1D")
    ]
    since = (solar[0] - solar[0].normalize()) // pd.Timedelta(minutes=1)
    return np.concatenate(days)[since : since + len(minutes)]


def _share(site: Site, pv: Pv, minutes: pd.DatetimeIndex, clouds: Floats) -> Floats:
    """Available power over the rating, shape (time,) [1]."""
    share = np.zeros(len(minutes))
    light = np.flatnonzero(_light(site, minutes))

    def give(start: int) -> None:
        at = light[start : start + CHUNK]
        clear = clear_sky_poa(site.latitude_deg, site.longitude_deg, pv, minutes[at])
        share[at] = np.clip(clear / 1000 * clouds[at], 0, 1)

    # NumPy lets other threads run while it works on a part.
    with ThreadPoolExecutor(AT_ONCE) as threads:
        deque(threads.map(give, range(0, len(light), CHUNK)), maxlen=0)
    return share


def _light(site: Site, minutes: pd.DatetimeIndex) -> NDArray[np.bool_]:
    """Where the sun may be up, shape (time,).

    pvlib's exact position costs most of all, and half a year is night.
    """
    return np.asarray(_sine_of_sun(site, minutes) > np.sin(np.radians(DARK_DEG)), dtype=np.bool_)


def has_daylight(site: Site, begin: datetime, end: datetime) -> bool:
    """Whether the sun comes up far enough for PV; in the polar night it does not."""
    quarters = pd.date_range(begin, end, freq="15min", inclusive="left")
    return bool(np.any(_sine_of_sun(site, quarters) > np.sin(np.radians(DAYLIGHT_DEG))))


def _sine_of_sun(site: Site, minutes: pd.DatetimeIndex) -> Floats:
    """Sine of the sun's elevation by Spencer's formulas (1971), shape (time,)."""
    day = minutes.dayofyear.to_numpy()
    minute = (minutes - minutes.normalize()) / pd.Timedelta(minutes=1)
    solar_min = (
        minute.to_numpy() + 4 * site.longitude_deg + solarposition.equation_of_time_spencer71(day)
    )
    hour_angle = np.radians(solar_min / 4 - 180)
    declination = solarposition.declination_spencer71(day)
    latitude = np.radians(site.latitude_deg)
    across = np.cos(latitude) * np.cos(declination) * np.cos(hour_angle)
    sine: Floats = np.sin(latitude) * np.sin(declination) + across
    return sine
