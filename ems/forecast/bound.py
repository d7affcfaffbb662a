"""The power that no sky exceeds, so that a limit verified up to it holds whatever the clouds do."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

import numpy as np
import pandas as pd

from ems.domain import DerReading
from ems.forecast.observed import AGAIN, is_present
from forecasting.clearsky import (
    ClearSky,
    Floats,
    PvGeometry,
    brightest_power_kw,
    clear_power_kw,
    clear_sky,
)
from forecasting.record import PlantRecord
from forecasting.series import INTERVAL

CLOUD_EDGE: Final = 1.25
"""How far a 15-minute mean may exceed the clear sky, by reflection from cloud edges [1]."""

# A reading above the bound by more than this share of the rating is no meter noise.
_DISPROOF_SHARE = 0.01

# The bound looks 5 minutes to either side.
_AROUND = pd.TimedeltaIndex([timedelta(minutes=m) for m in (-5.0, -2.5, 0.0, 2.5, 5.0)])
_INTERVAL_AROUND = pd.TimedeltaIndex([timedelta(minutes=m / 2) for m in range(-10, 41, 5)])

_INTERVAL_S = 900

# Of the instants above: 2.5, 7.5 and 12.5 minutes after the start, the middles of its thirds.
_MEAN_OF = [3, 5, 7]


@dataclass(slots=True, kw_only=True)
class Disproof:
    """Whether a plant ever made more than the sky of its site file allows.

    Such a power disproves place or orientation, so it is remembered: the plant stands where it
    stood when the evidence has long left the newest days.
    """

    note: str = ""
    """What disproved the site file; empty: nothing did."""
    held: pd.Timestamp | None = None
    """End of what was held against it; None: all that is known must be held, as at a start."""

    def hold(
        self,
        built: PvGeometry,
        fitted: PvGeometry,
        record: PlantRecord,
        reading: DerReading | None,
        now: datetime,
    ) -> None:
        """Hold what was made against the brightest sky, capped or not.

        Args:
            built: the plant as its site file has it.
            fitted: as its history shows it; only its scale counts.
            record: what was measured, as it was: screening takes power in the dark for an offset
                of the meter, and with it the evidence.
            reading: the present one.
            now: the present.
        """
        since = None if self.held is None else self.held - AGAIN
        if len(record):
            self.held = record.starts[-1] + INTERVAL
        if self.note:
            return
        scaled = replace(built, scale=max(fitted.scale, 1.0))
        for at, made_kw, brightest_kw in _made(scaled, record, since, reading, now):
            then = min(built.rated_kw, CLOUD_EDGE * brightest_kw)
            # More than the rating contradicts the rating, not the place.
            if min(made_kw, built.rated_kw) > then + _DISPROOF_SHARE * built.rated_kw:
                self.note = (
                    f"measured {made_kw:.1f} kW at {at:%Y-%m-%d %H:%M} UTC where the brightest "
                    f"sky gives {then:.1f} kW, so its upper bound is the rating; check latitude, "
                    f"longitude, tilt and azimuth in the site file"
                )
                return

    def reconsider(self, *, agrees: bool) -> None:
        """Hold all that is known anew, as an import may have changed it.

        Args:
            agrees: whether a fit that is sure of itself agrees with the site file. Then a disproof
                counts only as long as what is known still shows it: a rare cloud edge, or a
                scale that was not known yet, makes one too.
        """
        self.held = None
        if agrees:
            self.note = ""


def upper_bound_kw(
    built: PvGeometry, fitted: PvGeometry, start: pd.Timestamp, *, trusted: bool
) -> float:
    """Power that no sky exceeds in the interval [kW].

    What was fitted may raise the bound and never lowers it; a plant never counts as smaller than
    its rating.

    Args:
        built: the plant as its site file has it.
        fitted: as its history shows it.
        start: of the interval.
        trusted: whether nothing contradicts place and orientation of the site file; else the only
            bound left is the rating.
    """
    if not trusted:
        return built.rated_kw
    rated, scale = built.rated_kw, max(fitted.scale, 1.0)
    built, fitted = replace(built, scale=scale), replace(fitted, scale=scale)
    brightest = max(sky_shares(g, start)[1] for g in {built, fitted})
    return min(rated, CLOUD_EDGE * brightest * rated)


def sky_shares(geometry: PvGeometry, start: pd.Timestamp) -> tuple[float, float]:
    """Clear-sky mean of an interval, and its brightest sky with 5 minutes either side.

    As shares of the rating, so that plants of one orientation share the calculation.
    """
    day, interval = divmod(int(start.timestamp()) // _INTERVAL_S, 96)
    mean, brightest = _shares_of_day(replace(geometry, rated_kw=1.0), day)
    return float(mean[interval]), float(brightest[interval])


@lru_cache(maxsize=1024)  # a hundred plants, as built and as fitted, for days; one is 1.5 kB
def _shares_of_day(unit: PvGeometry, day: int) -> tuple[Floats, Floats]:
    """The two of `sky_shares` for each interval of a UTC day from 1970, shapes (96,) [1]."""
    sky = _sky_of_day(unit.latitude_deg, unit.longitude_deg, day)
    mean = clear_power_kw(unit, sky).reshape(96, -1)[:, _MEAN_OF].mean(axis=1)
    return mean, brightest_power_kw(unit, sky).reshape(96, -1).max(axis=1)


@lru_cache(maxsize=16)  # today and tomorrow of a few places, for all their plants; one is 60 kB
def _sky_of_day(latitude_deg: float, longitude_deg: float, day: int) -> ClearSky:
    """The sky about each interval of a UTC day from 1970, at `_INTERVAL_AROUND` of each in turn."""
    first = pd.Timestamp(0, tz="UTC") + pd.Timedelta(days=day)
    starts = pd.date_range(first, periods=96, freq=INTERVAL)
    around = pd.TimedeltaIndex(np.tile(_INTERVAL_AROUND.to_numpy(), len(starts)))
    return clear_sky(latitude_deg, longitude_deg, starts.repeat(len(_INTERVAL_AROUND)) + around)


def _made(
    g: PvGeometry,
    record: PlantRecord,
    since: pd.Timestamp | None,
    reading: DerReading | None,
    now: datetime,
) -> Iterator[tuple[pd.Timestamp, float, float]]:
    """When, power made and brightest sky, of the intervals not held yet and of the present [kW]."""
    # Less than the tolerance disproves nothing: so the nights cost nothing.
    enough = record.floor_kw > _DISPROOF_SHARE * g.rated_kw
    if since is not None:
        enough &= record.starts >= since
    unit, rows = replace(g, rated_kw=1.0), np.flatnonzero(enough)
    for row, n in zip(rows.tolist(), _interval_number(record.starts[rows]), strict=True):
        brightest_kw = float(_brightest_of_day(unit, n // 96)[n % 96]) * g.rated_kw
        yield record.starts[row], float(record.floor_kw[row]), brightest_kw
    if reading is not None and is_present(reading, now):
        at = pd.Timestamp(reading.time).tz_convert("UTC")
        sky = clear_sky(g.latitude_deg, g.longitude_deg, at + _AROUND)
        yield at, reading.p_kw, float(brightest_power_kw(g, sky).max())


def _interval_number(starts: pd.DatetimeIndex) -> list[int]:
    """Intervals since 1970."""
    since = starts - pd.Timestamp(0, tz="UTC")
    return [int(n) for n in since // INTERVAL]


@lru_cache(maxsize=1024)  # a month of thirty orientations; one day is 0.8 kB
def _brightest_of_day(unit: PvGeometry, day: int) -> Floats:
    """Brightest sky of each interval of a UTC day, numbered from 1970, shape (96,) [1]."""
    sky = _edges_of_day(unit.latitude_deg, unit.longitude_deg, day)
    return np.asarray(brightest_power_kw(unit, sky).reshape(3, -1).max(axis=0))


@lru_cache(maxsize=64)  # a month of one place, for all its plants, and more; one is 16 kB
def _edges_of_day(latitude_deg: float, longitude_deg: float, day: int) -> ClearSky:
    """The sky at begin, middle and end of each interval of a UTC day, one after the other."""
    first = pd.Timestamp(0, tz="UTC") + pd.Timedelta(days=day)
    starts = pd.date_range(first, periods=96, freq=INTERVAL)
    edges = pd.DatetimeIndex(starts.append([starts + INTERVAL / 2, starts + INTERVAL]))
    return clear_sky(latitude_deg, longitude_deg, edges)
