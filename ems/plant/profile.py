"""What sun and customers do: profiles that drive the simulated plant.

A profile is a function of time, so that the plant, its history and a test may ask for any
instant in any order and see the same day.
"""

from datetime import date
from functools import lru_cache
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pvlib import irradiance
from pvlib.location import Location

from ems.domain import Pv, Site
from ems.plant.clouds import clear_sky_index

Floats = NDArray[np.float64]
MINUTES = 1440
LINKE_TURBIDITY = 3.0
"""A clear mid-latitude sky; one number, so that no table of months is needed."""
DAILY_SWING = 0.68
"""Lowest load of a day over its highest: with it the smooth part of the profile moves
1.3 % in 15 minutes at most, and 1.6 % with the noise."""
WEEKDAY_PEAK, WEEKEND_PEAK = 0.93, 0.87
"""Highest load of a day over the largest load of the segment."""
PEAK_HOUR = 15.0
"""Local solar time of the highest load [h]."""
WEEKEND_HOURS = 8.0
"""How long the change between weekday and weekend takes [h]."""
LOAD_WAVES = 6
LOAD_NOISE = 0.0015
"""Standard deviation of the slow noise on the load [1]."""


class Profile(Protocol):
    """Sun and load at any instants, before the plant's start as well."""

    def pv_available_kw(self, pv: Pv, times: pd.DatetimeIndex) -> Floats:
        """Power the sun offers a PV plant, were it not capped, shape (time,) [kW]."""
        ...

    def load_kw(self, times: pd.DatetimeIndex) -> Floats:
        """Consumption of the whole segment, shape (time,) [kW]."""
        ...


class GeneratedProfile:
    """A made-up day: pvlib's clear sky under seeded clouds, and a smooth load.

    PV power is plane-of-array irradiance over 1000 W/m² times the rating, clipped at the
    rating; temperature is left out. Clear sky by Ineichen and Perez
    (doi:10.1016/S0038-092X(02)00045-2) with a fixed Linke turbidity, at sea level,
    transposed with an isotropic sky.
    """

    def __init__(self, site: Site, seed: int, start_day: date) -> None:
        """Same seed, same weather.

        Args:
            site: where the sun stands, and between which bounds the load moves.
            seed: of clouds and load noise.
            start_day: solar day that is sunny into the afternoon; others are as the seed has it.
        """
        self._site = site
        self._seed = seed
        self._start_day = start_day
        self._offset = pd.Timedelta(minutes=round(site.longitude_deg * 4))  # 4 min per degree
        self._waves = _waves(seed)
        self._day_kw = lru_cache(maxsize=16 * max(1, len(site.pvs)))(self._compute_day)

    def pv_available_kw(self, pv: Pv, times: pd.DatetimeIndex) -> Floats:
        """Power the sun offers a PV plant, shape (time,) [kW]."""
        solar = self._solar(times)
        days = solar.normalize()
        minutes = np.asarray((solar - days) / pd.Timedelta(minutes=1), dtype=np.float64)
        power = np.zeros(len(times))
        for day in days.unique():
            of_day = np.asarray(days == day)
            power[of_day] = np.interp(
                minutes[of_day], np.arange(MINUTES + 1), self._day_kw(pv, day.date())
            )
        return power

    def load_kw(self, times: pd.DatetimeIndex) -> Floats:
        """Consumption: highest in the afternoon, lower at weekends, shape (time,) [kW]."""
        solar = self._solar(times)
        midnight = solar.normalize()
        hour = np.asarray((solar - midnight) / pd.Timedelta(hours=1), dtype=np.float64)
        # Swinging evenly in the logarithm keeps the steepest relative change lowest.
        depth = 0.5 - 0.5 * np.cos(2 * np.pi * (hour - PEAK_HOUR) / 24)
        weekend = self._weekend(solar)
        peak = WEEKDAY_PEAK + (WEEKEND_PEAK - WEEKDAY_PEAK) * weekend
        shape = peak * DAILY_SWING**depth
        hours = np.asarray(
            (times - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(hours=1), dtype=np.float64
        )
        periods, phases = self._waves
        noise = np.sin(2 * np.pi * hours[:, None] / periods + phases).sum(axis=1)
        shape = shape * (1 + LOAD_NOISE * np.sqrt(2 / LOAD_WAVES) * noise)
        load: Floats = np.clip(
            shape * self._site.load_max_kw, self._site.load_min_kw, self._site.load_max_kw
        )
        return load

    def _weekend(self, solar: pd.DatetimeIndex) -> Floats:
        """0 on weekdays, 1 at weekends, changing while the load is lowest."""
        trough = (PEAK_HOUR - 12.0) % 24
        shifted = solar - pd.Timedelta(hours=trough)
        into_day = np.asarray(
            (shifted - shifted.normalize()) / pd.Timedelta(hours=1), dtype=np.float64
        )
        today = np.asarray(shifted.day_of_week >= 5, dtype=np.float64)
        day_before = np.asarray((shifted.day_of_week - 1) % 7 >= 5, dtype=np.float64)
        done = np.clip(into_day / WEEKEND_HOURS, 0, 1)
        smooth = done * done * (3 - 2 * done)
        blend: Floats = day_before + (today - day_before) * smooth
        return blend

    def _solar(self, times: pd.DatetimeIndex) -> pd.DatetimeIndex:
        """Local mean solar time: its days begin in the dark, so none tears a cloud apart."""
        return times.tz_convert("UTC").tz_localize(None) + self._offset

    def _compute_day(self, pv: Pv, day: date) -> Floats:
        """Power of one solar day by the minute, shape (1441,) [kW]."""
        start = pd.Timestamp(day) - self._offset
        times = pd.date_range(start, periods=MINUTES + 1, freq="1min", tz="UTC")
        index = clear_sky_index(self._seed, day, sunny_start=day == self._start_day)
        clear = clear_sky_poa(self._site.latitude_deg, self._site.longitude_deg, pv, times)
        power: Floats = np.clip(clear / 1000 * index, 0, 1) * pv.rated_kw
        return power


def clear_sky_poa(
    latitude_deg: float, longitude_deg: float, pv: Pv, times: pd.DatetimeIndex
) -> Floats:
    """Clear-sky irradiance in the plane of the modules, shape (time,) [W/m²]."""
    place = Location(latitude_deg, longitude_deg, tz="UTC", altitude=0)
    sun = place.get_solarposition(times)
    sky = place.get_clearsky(times, solar_position=sun, linke_turbidity=LINKE_TURBIDITY)
    total = irradiance.get_total_irradiance(
        pv.tilt_deg,
        pv.azimuth_deg,
        sun["apparent_zenith"],
        sun["azimuth"],
        sky["dni"],
        sky["ghi"],
        sky["dhi"],
        model="isotropic",
    )
    poa: Floats = total["poa_global"].fillna(0.0).to_numpy(dtype=np.float64)
    return poa


def _waves(seed: int) -> tuple[Floats, Floats]:
    """Periods [h] and phases [rad] of the slow noise on the load."""
    rng = np.random.default_rng([seed, 1])
    return rng.uniform(1.5, 8.0, LOAD_WAVES), rng.uniform(0, 2 * np.pi, LOAD_WAVES)
