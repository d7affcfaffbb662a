"""The power that no sky exceeds, so that a limit verified up to it holds whatever the clouds do."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

import numpy as np
import pandas as pd

from ems.domain import DerReading
from ems.forecast.kept import INTERVAL_S, number_of, start_of
from ems.forecast.observed import AGAIN
from ems.forecast.present import is_present
from forecasting.clearsky import (
    ClearSky,
    Floats,
    PvGeometry,
    brightest_power_kw,
    clear_power_kw,
    clear_sky,
)
from forecasting.series import INTERVAL
from forecasting.sky import light_of

CLOUD_EDGE: Final = 1.25
"""How far a 15-minute mean may exceed the clear sky, by reflection from cloud edges [1]."""

# A reading above the bound by more than this share of the rating is no meter noise.
_DISPROOF_SHARE = 0.01

# The bound looks 5 minutes to either side.
_EVERY: Final = timedelta(minutes=2.5)
_AROUND = pd.TimedeltaIndex([k * _EVERY for k in range(-2, 3)])
_OF_INTERVAL: Final = INTERVAL // _EVERY
_BEFORE: Final = 2
"""Instants that an interval's bound looks at before it; as many after it, and both its ends."""
_LOOKS: Final = _BEFORE + _OF_INTERVAL + 1 + _BEFORE

_DAY: Final = 96
_SPAN: Final = 8 * _DAY
"""Intervals whose brightest sky is worked out at a time."""

# Of the instants of an interval: the middles of its thirds.
_MEAN_OF = [_BEFORE + 1, _BEFORE + 3, _BEFORE + 5]

_BLOCK: Final = 16 * _DAY
"""Intervals whose bounds are worked out at a time, in a whole series."""


@dataclass(slots=True, kw_only=True)
class Disproof:
    """Whether a plant ever made more than the sky of its site file allows.

    Such a power disproves place or orientation, so it is remembered: the plant stands where it
    stood when the evidence has long left the newest days.
    """

    note: str = ""
    """What disproved the site file; empty: nothing did."""
    held: int | None = None
    """Number of the interval after what was held against it; None: all that is known must be held,
    as at a start."""

    def hold(
        self,
        built: PvGeometry,
        fitted: PvGeometry,
        made_kw: Floats,
        first: int,
        reading: DerReading | None,
        now: datetime,
    ) -> None:
        """Hold what was made against the brightest sky, capped or not.

        Args:
            built: the plant as its site file has it.
            fitted: as its history shows it; only its scale counts.
            made_kw: what was measured in each interval, as it was: screening takes power in the
                dark for an offset of the meter, and with it the evidence; shape (interval,) [kW].
            first: number of its first interval.
            reading: the present one.
            now: the present.
        """
        since = first if self.held is None else max(self.held - AGAIN // INTERVAL, first)
        self.held = first + len(made_kw)
        if self.note:
            return
        scaled = replace(built, scale=max(fitted.scale, 1.0))
        held = _made(scaled, made_kw[since - first :], since, reading, now)
        for at, found_kw, brightest_kw in held:
            then = min(built.rated_kw, CLOUD_EDGE * brightest_kw)
            # More than the rating contradicts the rating, not the place.
            if min(found_kw, built.rated_kw) > then + _DISPROOF_SHARE * built.rated_kw:
                self.note = (
                    f"measured {found_kw:.1f} kW at {at:%Y-%m-%d %H:%M} UTC where the brightest "
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


def upper_bounds_kw(geometry: PvGeometry, first: pd.Timestamp, count: int) -> Floats:
    """`upper_bound_kw` of intervals in a row, of a plant that stands as its site file says.

    Args:
        geometry: the plant as its site file has it.
        first: start of the first interval.
        count: of intervals.

    Returns:
        Shape (interval,) [kW].
    """
    rated, unit = geometry.rated_kw, _unit(replace(geometry, scale=max(geometry.scale, 1.0)))
    since = number_of(first)
    # Whole blocks: how exactly pvlib finds the sun's place hangs on what is asked beside it.
    block, skipped = divmod(since, _BLOCK)
    skies = (
        _sky(unit.latitude_deg, unit.longitude_deg, k * _BLOCK, _BLOCK)
        for k in range(block, -(-(since + count) // _BLOCK))
    )
    brightest = [np.zeros(0), *(_shares(unit, sky)[1] for sky in skies)]
    shares = np.concatenate(brightest)[skipped : skipped + count]
    return np.minimum(rated, CLOUD_EDGE * shares * rated)


def sky_shares(geometry: PvGeometry, start: pd.Timestamp) -> tuple[float, float]:
    """Clear-sky mean of an interval, and its brightest sky with 5 minutes either side.

    As shares of the rating, so that plants of one orientation share the calculation.
    """
    day, interval = divmod(number_of(start), _DAY)
    mean, brightest = _shares_of_day(_unit(geometry), day)
    return float(mean[interval]), float(brightest[interval])


def _unit(geometry: PvGeometry) -> PvGeometry:
    """A plant of 1 kW that stands alike."""
    return replace(geometry, rated_kw=1.0)


@lru_cache(maxsize=1024)  # a hundred plants, as built and as fitted, for days; one is 1.5 kB
def _shares_of_day(unit: PvGeometry, day: int) -> tuple[Floats, Floats]:
    """The two of `sky_shares` for each interval of a UTC day from 1970, shapes (96,) [1]."""
    return _shares(unit, _sky_of_day(unit.latitude_deg, unit.longitude_deg, day))


@lru_cache(maxsize=16)  # today and tomorrow of a few places, for all their plants; one is 30 kB
def _sky_of_day(latitude_deg: float, longitude_deg: float, day: int) -> ClearSky:
    """`_sky` of a UTC day from 1970."""
    return _sky(latitude_deg, longitude_deg, day * _DAY, _DAY)


def _shares(unit: PvGeometry, sky: ClearSky) -> tuple[Floats, Floats]:
    """The two of `sky_shares` for each interval of what `_sky` gave, shapes (interval,) [1]."""
    mean = _by_interval(clear_power_kw(unit, sky))[:, _MEAN_OF].mean(axis=1)
    return mean, _by_interval(brightest_power_kw(unit, sky)).max(axis=1)


def _by_interval(values: Floats) -> Floats:
    """What each interval looks at, shape (interval, look)."""
    return np.lib.stride_tricks.sliding_window_view(values, _LOOKS)[::_OF_INTERVAL]


def _sky(latitude_deg: float, longitude_deg: float, first: int, count: int) -> ClearSky:
    """The sky at all instants that intervals in a row look at, by the number of the first."""
    begin = start_of(first) - _BEFORE * _EVERY
    looks = (count - 1) * _OF_INTERVAL + _LOOKS
    return clear_sky(latitude_deg, longitude_deg, pd.date_range(begin, periods=looks, freq=_EVERY))


def _made(
    g: PvGeometry,
    made_kw: Floats,
    first: int,
    reading: DerReading | None,
    now: datetime,
) -> Iterator[tuple[pd.Timestamp, float, float]]:
    """When, power made and brightest sky, of what may be more than the sky allows [kW].

    Of the intervals not held yet, and of the present.
    """
    unit = _unit(g)
    # Less than the tolerance disproves nothing: so the nights cost nothing. Nor does what is
    # within the clear sky of the interval, which its brightest sky exceeds: so nor do most days.
    rows = np.flatnonzero(made_kw > _DISPROOF_SHARE * g.rated_kw)
    if len(rows):
        clear, _ = light_of(unit, start_of(first + int(rows[0])), int(rows[-1] - rows[0]) + 1)
        allowed = CLOUD_EDGE * clear[rows - rows[0]] * g.rated_kw
        rows = rows[np.minimum(made_kw[rows], g.rated_kw) > allowed]
    for row in rows.tolist():
        brightest_kw = float(_edges_about(unit, first + row).max()) * g.rated_kw
        yield start_of(first + row), float(made_kw[row]), brightest_kw
    if reading is not None and is_present(reading, now) and _is_beyond(unit, g.rated_kw, reading):
        at = pd.Timestamp(reading.time).tz_convert("UTC")
        sky = clear_sky(g.latitude_deg, g.longitude_deg, at + _AROUND)
        yield at, reading.p_kw, float(brightest_power_kw(g, sky).max())


def _is_beyond(unit: PvGeometry, rated_kw: float, reading: DerReading) -> bool:
    """Whether a reading may be more than the sky allows within five minutes of it.

    Between two instants, 7.5 minutes apart, the sky is at least as bright as at the duller one.
    """
    if reading.p_kw <= _DISPROOF_SHARE * rated_kw:
        return False
    interval, into_s = divmod(reading.time.timestamp(), INTERVAL_S)
    edges = (
        _edges_about(unit, int(interval))[:2]
        if into_s < INTERVAL_S / 2
        else (_edges_about(unit, int(interval))[1:])
    )
    return min(reading.p_kw, rated_kw) > CLOUD_EDGE * float(edges.min()) * rated_kw


def _edges_about(unit: PvGeometry, interval: int) -> Floats:
    """Brightest sky at begin, middle and end of an interval, by its number, shape (3,) [1]."""
    span, at = divmod(interval, _SPAN)
    return _brightest_of_span(unit, span)[2 * at : 2 * at + 3]


@lru_cache(maxsize=2048)  # a month, two geometries of two hundred plants; one is 12 kB
def _brightest_of_span(unit: PvGeometry, span: int) -> Floats:
    """Brightest sky at the edges and middles of the intervals of eight days [1]."""
    first = start_of(span * _SPAN)
    edges = pd.date_range(first, periods=2 * _SPAN + 1, freq=INTERVAL / 2)
    return brightest_power_kw(unit, clear_sky(unit.latitude_deg, unit.longitude_deg, edges))
