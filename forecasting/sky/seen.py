"""What was known before each interval of a whole record."""

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.clearsky import Floats, PvGeometry
from forecasting.record import PlantRecord
from forecasting.sky.light import light_of

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

USUAL_INTERVALS = 30 * 96
"""How far back the usual sky reaches."""

VARIABILITY_INTERVALS = 8
"""Two hours: enough to hold several changes, few enough to be this front and not the last."""

_ABSURD = 10.0
"""No plant makes or takes that many times its rating [1]."""

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
    clear, daylight = light_of(geometry, first, len(record))
    rated_kw, power = geometry.rated_kw, record.available_kw / geometry.rated_kw
    return seen_from(
        power=power,
        late=late_kw(record.parts_kw) / rated_kw,
        under_cap=made_under_cap(record.floor_kw / rated_kw, record.cap_kw),
        clear=clear,
        daylight=daylight,
        usual=_usual_before(power, clear),
    )


def late_kw(parts_kw: Floats) -> Floats:
    """Mean of the last third of each interval, NaN unless all of it was polled, (interval,) [kW].

    Args:
        parts_kw: As of a `PlantRecord`, shape (interval, part) [kW].
    """
    count = parts_kw.shape[1]
    return parts_kw[:, -(count // 3) :].mean(axis=1) if count > 1 else np.nan * parts_kw[:, 0]


def made_under_cap(floor: Floats, cap_kw: Floats) -> Floats:
    """Power made where a cap was in force, else 0; as a share where `floor` is one [1]."""
    return np.where(np.isposinf(cap_kw), 0.0, np.nan_to_num(floor))


def seen_from(
    *,
    power: Floats,
    late: Floats,
    under_cap: Floats,
    clear: Floats,
    daylight: NDArray[np.bool_],
    usual: Floats,
) -> SkySeen:
    """What was known before each of consecutive intervals; arrays of shape (interval,) [1].

    Args:
        power: Measured in each.
        late: Measured in its last third.
        under_cap: Made in it under a cap; 0 where there was none.
        clear: Its clear sky.
        daylight: Whether it is learnt from.
        usual: Clear-sky index of the 30 days before it.
    """
    newest = np.maximum.accumulate(np.where(np.isfinite(power), np.arange(len(power)), -1))
    variability = _variability(power, clear)
    return SkySeen(
        clear=clear,
        daylight=daylight,
        power=power,
        late=late,
        floor=_carried(under_cap, clear),
        last=np.concatenate([[-1], newest[:-1]])[: len(power)],
        usual=usual,
        variability=variability,
        group=_groups(clear, variability),
    )


def _carried(floor: Floats, clear: Floats) -> Floats:
    """What was made under a cap, carried to the next interval by a clear sky that falls."""
    before, was = np.zeros_like(floor), np.zeros_like(clear)
    before[1:], was[1:] = floor[:-1], clear[:-1]
    falls = np.where(was > 0.0, np.minimum(clear / np.where(was > 0.0, was, 1.0), 1.0), 0.0)
    return np.clip(before * falls, 0.0, 1.0)


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
    # Running sums would never get rid of a number that is no power.
    held = np.clip(np.where(known, power, 0.0), -_ABSURD, _ABSURD)
    made = _sum_before(held, USUAL_INTERVALS)
    could = _sum_before(np.where(known, clear, 0.0), USUAL_INTERVALS)
    return usual_index(made, could)


def usual_index(made: Floats, could: Floats) -> Floats:
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
    count = _sum_before(known.astype(np.float64), VARIABILITY_INTERVALS)
    total = _sum_before(np.where(known, change, 0.0), VARIABILITY_INTERVALS)
    # One change alone is luck; two make a sky.
    return np.where(count >= 2, total / np.maximum(count, 1.0), np.nan)


def _sum_before(values: Floats, width: int) -> Floats:
    """Sum of the `width` rows before each row, shape (interval,)."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    rows = np.arange(len(values))
    return np.asarray(total[rows] - total[np.maximum(rows - width, 0)])
