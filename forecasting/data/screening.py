"""Measured power that is not what the sky allowed: recognised, and censored.

- `screened(record, geometry, *, causal=False) -> Screened`: `.record` with the unusable intervals
  censored, `.reason` of each interval, `.counts`

`causal=True` judges an interval by itself and those before it, as live use must; else the whole
record judges. Both tell the same things, but the first intervals of an outage, of snow or of a
plateau pass unseen when causal: it takes an hour, or three, to know one.

Without irradiance or temperature beside the power some things look alike. An hour at nothing under
a high sun is an outage, or deep snow. Three hours under 5 % of the clear sky, in the colder part
of the year, is snow, or the rare overcast that is as dark: both are unlike what comes after, so
both are censored. Snow that covers half a plant, or lets a tenth of the light through, is not seen.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from forecasting.clearsky import Floats, PvGeometry
from forecasting.record import PlantRecord
from forecasting.sky import elevation_of, light_of

Flags = NDArray[np.bool_]


class Reason(IntEnum):
    """Why an interval does not show what the sky allowed."""

    FINE = 0
    OUTAGE = 1
    """Nothing for an hour under a sun that should give much."""
    SNOW = 2
    """Under 5 % of the clear sky for three hours, in the colder part of the year."""
    FLAT = 3
    """The same value over and over, where the sun allows less: a meter that stands still."""
    CURTAILED = 4
    """A plateau below the limit, with more sun above: a cap nobody told of."""
    CLIPPED = 5
    """At the inverter's limit. Genuine, so not censored: the clear-sky index is at least this."""
    NIGHT = 6
    """Power in the dark: an offset of the meter, or the plant's own consumption."""


CENSORED = frozenset(Reason) - {Reason.FINE, Reason.CLIPPED}
"""Reasons for which the power of an interval is not used."""

# An outage: less than 0.2 % of the clear sky, or than 0.1 % of the rating. The darkest hour in a
# year at three places brought 0.5 % of the clear sky.
_NOTHING_OF_CLEAR, _NOTHING_OF_RATED = 0.002, 0.001

# … for four intervals of which the clear sky gives 15 % of the rating: below it, inverters start
# and shadows fall.
_MUCH_OF_RATED = 0.15
_OUTAGE_INTERVALS = 4

_SNOW_INDEX, _SNOW_INTERVALS = 0.05, 12

# Declination of the sun, towards the plant's pole, below which snow may lie: all but mid-May to
# August. Under 25° of latitude it hardly does anywhere PV stands.
_COLD_DECLINATION_DEG, _SNOW_LATITUDE_DEG = 18.0, 25.0

# A plateau: six intervals within 0.3 % of the rating, as controllers hold a cap, while the clear
# sky moves by 1 %, as it does in an hour and a half even about noon; above 10 % of the rating,
# where no overcast was as steady.
_LEVEL_OF_RATED = 0.003
_PLATEAU_INTERVALS = 6
_MOVES_OF_RATED = 0.01
_PLATEAU_FROM = 0.10

# What the sky can give at most, of the clear sky, over an hour: above it no cap binds, and a
# plateau is a meter's.
_POSSIBLE = 1.2

# At the limit: within 1 % of the rating, or a plateau within 1 % of the most that was ever made.
_LIMIT_OF_RATED = 0.99

# In the dark, below civil twilight; more than 0.5 % of the rating either way is no noise.
_DARK_DEG, _OFFSET_OF_RATED = -6.0, 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """A record without what must not be learnt from or forecast from."""

    record: PlantRecord
    """Unusable intervals censored: parts NaN; under a cap nobody told of `cap_kw` is NaN too, where
    the meter is wrong there is no floor either."""
    reason: NDArray[np.int8]
    """`Reason` of each interval, shape (interval,)."""

    @property
    def counts(self) -> dict[Reason, int]:
        """Number of intervals by reason, those that occur."""
        found, count = np.unique(self.reason, return_counts=True)
        return {Reason(int(r)): int(n) for r, n in zip(found, count, strict=True)}


def screened(record: PlantRecord, geometry: PvGeometry, *, causal: bool = False) -> Screened:
    """Recognise what the sky does not explain, and censor it.

    Args:
        record: What was measured; capped intervals are already NaN and stay so.
        geometry: As fitted, or as configured.
        causal: Whether only an interval itself and those before it may judge it.
    """
    if not len(record):
        return Screened(record=record, reason=np.zeros(0, dtype=np.int8))
    power = record.available_kw / geometry.rated_kw
    clear, day = light_of(geometry, record.starts[0], len(record))
    dark = elevation_of(geometry, record.starts[0], len(record)) < _DARK_DEG
    with np.errstate(invalid="ignore"):  # NaN compares false: unknown is never flagged
        still = _plateaus(power, clear, causal=causal)
        top = still & (power >= _LIMIT_OF_RATED * _highest(power, causal=causal))
        limit = top | (power >= _LIMIT_OF_RATED)
        beyond = still & ~limit & (power > _POSSIBLE * clear + _OFFSET_OF_RATED)
        found = {
            Reason.NIGHT: dark & (np.abs(power) > _OFFSET_OF_RATED),
            Reason.SNOW: _snow(power, clear, day & _is_cold(record, geometry), causal=causal),
            Reason.OUTAGE: _outage(power, clear, day, causal=causal),
            Reason.CURTAILED: still,
            Reason.CLIPPED: limit,
            Reason.FLAT: _lasting(still & ~limit, beyond, 1, causal=causal),
        }
    reason = np.zeros(len(record), dtype=np.int8)
    for why, flags in found.items():  # the later the surer
        reason[flags] = why
    return Screened(record=_censored(record, reason), reason=reason)


def _censored(record: PlantRecord, reason: NDArray[np.int8]) -> PlantRecord:
    unused = np.isin(reason, [int(r) for r in CENSORED])
    wrong = np.isin(reason, [Reason.FLAT, Reason.NIGHT])
    return replace(
        record,
        parts_kw=np.where(unused[:, None], np.nan, record.parts_kw),
        floor_kw=np.where(wrong, np.nan, record.floor_kw),
        cap_kw=np.where(reason == Reason.CURTAILED, np.nan, record.cap_kw),
        made_kw=None
        if record.made_kw is None
        else np.where(wrong[:, None], np.nan, record.made_kw),
    )


def _outage(power: Floats, clear: Floats, day: Flags, *, causal: bool) -> Flags:
    nothing = day & (power < np.maximum(_NOTHING_OF_CLEAR * clear, _NOTHING_OF_RATED))
    return _lasting(nothing, nothing & (clear > _MUCH_OF_RATED), _OUTAGE_INTERVALS, causal=causal)


def _snow(power: Floats, clear: Floats, day: Flags, *, causal: bool) -> Flags:
    low = day & (power < _SNOW_INDEX * clear)
    return _lasting(low, low & (clear > _MUCH_OF_RATED), _SNOW_INTERVALS, causal=causal)


def _is_cold(record: PlantRecord, geometry: PvGeometry) -> Flags:
    """Whether snow may lie, by date and latitude, shape (interval,)."""
    if abs(geometry.latitude_deg) < _SNOW_LATITUDE_DEG:
        return np.zeros(len(record), dtype=bool)
    day = record.starts.day_of_year.to_numpy()
    declination = -23.45 * np.cos(2 * np.pi * (day + 10) / 365.25)
    return np.asarray(np.sign(geometry.latitude_deg) * declination < _COLD_DECLINATION_DEG)


def _plateaus(power: Floats, clear: Floats, *, causal: bool) -> Flags:
    """Whether power stands still while the clear sky moves, shape (interval,)."""
    n, span = len(power), _PLATEAU_INTERVALS
    if n < span:
        return np.zeros(n, dtype=bool)
    # Windows as rows: numpy reduces over the first axis several times as fast as over a short last.
    values, sky = sliding_window_view(power, span).T, sliding_window_view(clear, span).T
    least = values.min(axis=0)
    still = values.max(axis=0) - least < _LEVEL_OF_RATED
    moved = sky.max(axis=0) - sky.min(axis=0) > _MOVES_OF_RATED
    ends = np.zeros(n, dtype=bool)
    ends[span - 1 :] = still & moved & (least > _PLATEAU_FROM)
    return ends if causal else _backwards(ends, span)


def _highest(power: Floats, *, causal: bool) -> Floats:
    """Most that was ever made: the inverter's limit where it is below the rating, (interval,)."""
    known = np.where(np.isfinite(power), power, 0.0)
    so_far = np.maximum.accumulate(known) if len(known) else known
    return so_far if causal else np.full(len(power), known.max(initial=0.0))


def _lasting(run: Flags, counted: Flags, needed: int, *, causal: bool) -> Flags:
    """Runs that hold at least `needed` counted intervals; causal: from where they do."""
    begins = run & ~np.concatenate([[False], run[:-1]])
    number = np.cumsum(begins)  # of the run each interval is in, or comes after
    total = np.cumsum(counted)
    before = np.concatenate([[0], total[begins] - counted[begins]])[number]
    so_far = total - before
    if causal:
        return np.asarray(run & (so_far >= needed))
    longest = np.zeros(number.max(initial=0) + 1, dtype=np.int64)
    np.maximum.at(longest, number[run], so_far[run])
    return np.asarray(run & (longest[number] >= needed))


def _backwards(ends: Flags, span: int) -> Flags:
    """Marks the `span` intervals up to each marked one."""
    marked = ends.copy()
    for back in range(1, span):
        marked[:-back] |= ends[back:]
    return marked
