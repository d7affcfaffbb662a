"""What a record had shown of plant and sky before each of its intervals.

Every method that needs no network starts from here, and the uncertainty of all methods is sorted
by it, so that "the last measurement", "the usual sky" and "a changeable sky" mean one thing.
Powers are shares of the rating. Nothing in row i depends on a measurement of row i or later.
"""

from bisect import bisect_right
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.clearsky import Floats, PvGeometry, clear_sky_mean_kw, sun_at
from forecasting.record import DAYLIGHT_ELEVATION_DEG, PlantRecord
from forecasting.series import INTERVAL

Ints = NDArray[np.int64]

INDEX_MAX = 1.2
"""Largest clear-sky index believed; edges of clouds reflect, a 15-minute mean rarely more [1]."""

INDEX_UNKNOWN = 0.7
"""Clear-sky index of a place nothing is known of; a usual yearly mean at mid-latitudes [1]."""

LOW_SUN_SHARE = 0.05
"""Clear-sky power below which measured / clear sky is mostly error of the clear sky itself
(shade at sunrise, horizon, inverter start), as a share of the rating [1]."""

CLIMATE_MIN_SHARE = 10.0
"""Clear-sky intervals at full rating needed to speak of a place's usual sky; a clear day gives
about 25 [1]."""

RECENT_INTERVALS = 4
"""Age up to which a measurement says something of the present sky: one hour."""

_USUAL_INTERVALS = 30 * 96

_INTERVAL_S = 900
_SPAN = 8 * 96  # intervals whose sun is worked out at a time

# Two hours: long enough to hold several changes, short enough to be this front and not the last.
_VARIABILITY_INTERVALS = 8

# Rows of `sky_next` before its last: the published model asks for this time five days ago.
_NEXT_INTERVALS = 5 * 96

CLEAR_EDGES = (0.2, 0.45, 0.7)
"""Where the clear-sky power of the target parts the groups, as shares of the rating [1]."""

VARIABILITY_EDGES = (0.02, 0.06, 0.14)
"""Where the recent variability parts the groups, as changes of the index [1].

About the quartiles of four places between 36° and 40° north."""

GROUPS = (len(CLEAR_EDGES) + 1) * (len(VARIABILITY_EDGES) + 2)
"""Number of groups; an unknown variability has a column of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkySeen:
    """What was known at the start of each interval; arrays of shape (interval,)."""

    clear: Floats
    """Clear-sky power of the interval itself [1]."""
    daylight: NDArray[np.bool_]
    """Whether the interval is scored and learnt from."""
    power: Floats
    """Available power measured IN the interval, NaN where unknown: to be learnt from after it,
    never to forecast it [1]."""
    late: Floats
    """The same of the interval's last five minutes; NaN where it was not polled that often [1]."""
    floor: Floats
    """Power made under a cap in the interval BEFORE, less where the clear sky falls; what is
    available will hardly be less. 0 where no cap was [1]."""
    last: Ints
    """Row of the newest measurement before the interval; −1 where there is none."""
    usual: Floats
    """Clear-sky index of the 30 days before, weighted by energy [1]."""
    variability: Floats
    """Mean change of the clear-sky index from one interval to the next in the two hours before;
    NaN where unknown, as after sunrise [1]."""
    group: Ints
    """Kind of situation, by clear-sky power and variability: 0 … `GROUPS` − 1."""

    def __len__(self) -> int:
        """Number of intervals."""
        return len(self.clear)

    @property
    def recent(self) -> NDArray[np.bool_]:
        """Whether anything was measured in the hour before the interval, shape (interval,)."""
        return (self.last >= 0) & (np.arange(len(self)) - self.last <= RECENT_INTERVALS)


def sky_seen(record: PlantRecord, geometry: PvGeometry) -> SkySeen:
    """What was known before each interval of a record."""
    first = record.starts[0] if len(record) else pd.Timestamp(0, tz="UTC")
    return _seen(_Measured.of(record, 0, record.available_kw), first, geometry)


def sky_next(record: PlantRecord, geometry: PvGeometry) -> SkySeen:
    """What is known before the interval after a record's last: the last row of the answer.

    The rows before it are the newest five days of the record; their `usual` is that of the last
    row, and `last` is −1 where nothing was measured in them.

    Raises:
        ValueError: the record is empty, so that there is no next interval.
    """
    n = len(record)
    if not n:
        raise ValueError("an empty record has no next interval: give it the grid, with NaN")
    power_kw = record.available_kw
    month, days = max(n - _USUAL_INTERVALS, 0), max(n - _NEXT_INTERVALS, 0)
    clear, _ = light_of(geometry, record.starts[month], n - month)
    known = np.isfinite(power_kw[month:])
    made = power_kw[month:][known].sum() / geometry.rated_kw
    usual = _usual_index(np.array([made]), np.array([clear[known].sum()]))
    measured = _Measured.of(record, days, power_kw).and_next()
    newest = _seen(measured, record.starts[days], geometry)
    return replace(newest, usual=np.repeat(usual, len(newest)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """What a record says of its intervals; arrays of shape (interval,) [kW]."""

    power_kw: Floats
    late_kw: Floats
    """Mean of the last third of the interval, NaN unless all of it was polled."""
    floor_kw: Floats
    """Power made under a cap; 0 where none was in force."""

    @classmethod
    def of(cls, record: PlantRecord, begin: int, power_kw: Floats) -> "_Measured":
        """The intervals from `begin` on; `power_kw` is the record's available power."""
        parts_kw, count = record.parts_kw[begin:], record.parts_kw.shape[1]
        late_kw = (
            parts_kw[:, -(count // 3) :].mean(axis=1) if count > 1 else np.nan * parts_kw[:, 0]
        )
        capped = ~np.isposinf(record.cap_kw[begin:])
        return cls(
            power_kw=power_kw[begin:],
            late_kw=late_kw,
            floor_kw=np.where(capped, np.nan_to_num(record.floor_kw[begin:]), 0.0),
        )

    def and_next(self) -> "_Measured":
        """With the coming interval, of which nothing is known, as the last row."""
        return _Measured(
            power_kw=np.append(self.power_kw, np.nan),
            late_kw=np.append(self.late_kw, np.nan),
            floor_kw=np.append(self.floor_kw, 0.0),
        )


def _seen(measured: _Measured, first: pd.Timestamp, geometry: PvGeometry) -> SkySeen:
    power = measured.power_kw / geometry.rated_kw
    clear, daylight = light_of(geometry, first, len(power))
    newest = np.maximum.accumulate(np.where(np.isfinite(power), np.arange(len(power)), -1))
    variability = _variability(power, clear)
    return SkySeen(
        clear=clear,
        daylight=daylight,
        power=power,
        late=measured.late_kw / geometry.rated_kw,
        floor=_carried(measured.floor_kw / geometry.rated_kw, clear),
        last=np.concatenate([[-1], newest[:-1]])[: len(power)],
        usual=_usual_before(power, clear),
        variability=variability,
        group=_groups(clear, variability),
    )


def _carried(floor: Floats, clear: Floats) -> Floats:
    """What was made under a cap, carried to the next interval by a clear sky that falls."""
    before, was = np.zeros_like(floor), np.zeros_like(clear)
    before[1:], was[1:] = floor[:-1], clear[:-1]
    falls = np.where(was > 0.0, np.minimum(clear / np.where(was > 0.0, was, 1.0), 1.0), 0.0)
    return np.clip(before * falls, 0.0, 1.0)


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


@lru_cache(maxsize=1024)
def _light_of_span(unit: PvGeometry, span: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Clear sky and daylight of eight days, kept: a service asks for them every 15 minutes.

    A span takes some milliseconds and 7 kB; 1024 of them are 7 MB.
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


def group_of(clear: float, variability: float) -> int:
    """Kind of situation of one interval, as `SkySeen.group`."""
    if np.isnan(variability):
        column = len(VARIABILITY_EDGES) + 1
    else:
        column = bisect_right(VARIABILITY_EDGES, variability)
    return bisect_right(CLEAR_EDGES, clear) * (len(VARIABILITY_EDGES) + 2) + column


def _groups(clear: Floats, variability: Floats) -> Ints:
    # A NaN is larger than every edge for digitize, so it needs no case of its own there.
    column = np.digitize(variability, VARIABILITY_EDGES)
    column[np.isnan(variability)] = len(VARIABILITY_EDGES) + 1
    return np.digitize(clear, CLEAR_EDGES) * (len(VARIABILITY_EDGES) + 2) + column


def _usual_before(power: Floats, clear: Floats) -> Floats:
    """Measured over clear-sky energy of the 30 days before each interval, shape (interval,)."""
    known = np.isfinite(power)
    made = _sum_before(np.where(known, power, 0.0), _USUAL_INTERVALS)
    could = _sum_before(np.where(known, clear, 0.0), _USUAL_INTERVALS)
    return _usual_index(made, could)


def _usual_index(made: Floats, could: Floats) -> Floats:
    """Clear-sky index by energy, where there was enough of it to tell."""
    enough = could >= CLIMATE_MIN_SHARE
    found = np.clip(made / np.where(enough, could, 1.0), 0.0, INDEX_MAX)
    return np.where(enough, found, INDEX_UNKNOWN)


def _variability(power: Floats, clear: Floats) -> Floats:
    """Mean absolute change of the index in the two hours before each interval."""
    trusted = np.isfinite(power) & (clear >= LOW_SUN_SHARE)
    index = np.where(trusted, power / np.maximum(clear, LOW_SUN_SHARE), np.nan)
    change = np.abs(np.diff(np.clip(index, 0.0, INDEX_MAX), prepend=np.nan))
    known = np.isfinite(change)
    count = _sum_before(known.astype(np.float64), _VARIABILITY_INTERVALS)
    total = _sum_before(np.where(known, change, 0.0), _VARIABILITY_INTERVALS)
    # One change alone is luck; two make a sky.
    return np.where(count >= 2, total / np.maximum(count, 1.0), np.nan)


def _sum_before(values: Floats, width: int) -> Floats:
    """Sum of the `width` rows before each row, shape (interval,)."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    rows = np.arange(len(values))
    return np.asarray(total[rows] - total[np.maximum(rows - width, 0)])
