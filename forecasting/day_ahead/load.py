"""The load of the day ahead: the week's profile in local time, and what is left of today's error.

1. Profile: for each local day and quarter of an hour the mean of earlier days of its kind (working
   day, or day off: weekend and holiday), newer ones and the same weekday counting more.
2. Correction: how far the load of the last quarter, hour and day lay from that profile, times
   weights by horizon that are fitted to the same site's past; without a past, weights that fade
   over four hours.
3. Quantiles: errors of the two together in the past, by horizon, in terms of how much the load
   scatters at that time of day.

Days and quarters are local, so a breakfast stays at seven through both changes of the clock: the
hour that spring lacks is not looked at, the hour that autumn repeats is forecast twice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from forecasting.clearsky import Floats
from forecasting.record import LEVELS, QuantileForecast
from forecasting.series import INTERVAL, PowerSeries

DAY = 96
"""Intervals of a day, and the most that are forecast."""
MEMORY_DAYS = 70
"""Days of history looked at: ten of each weekday."""

IsHoliday = Callable[[date], bool]
"""Whether a local day is a holiday."""

# Weights of past days: newer ones count more, halving in three weeks because seasons move; the
# same weekday counts as three others of its kind; a day of the other kind only where no other is.
_HALF_LIFE_DAYS = 21.0
_SAME_WEEKDAY = 3.0
_OTHER_KIND = 1e-3

# Horizons at which the correction is fitted, and what it is without a past: the error of the last
# hour fades over four hours. That prior counts as much as so many days of errors.
_KNOTS = (0, 1, 2, 4, 8, 16, 32, 64, 95)
_FADE = 16.0
_PRIOR_DAYS = 3.0
_ERROR_DAYS = 42
_SPANS = (1, 4, DAY)  # the last quarter of an hour, hour and day

# Scatter about the profile on day one, as a share of the load, which grows with the horizon from
# that of a quarter of an hour: the present load says much of the next interval, little of tonight.
_SCATTER_UNKNOWN = 0.25
_PERSISTENCE_GROWTH = (0.3, 1.6)
# A normal distribution's, for as long as no errors of its own are known.
_NORMAL = (-1.6449, -1.2816, -0.6745, 0.0, 0.6745, 1.2816, 1.6449)
_NORMAL_ROWS = 60  # so many intervals the normal errors count beside measured ones


@dataclass(frozen=True, slots=True, kw_only=True)
class _Calendar:
    """Local days and quarters of the intervals from the first known one to the last forecast."""

    day: NDArray[np.int64]
    """Number of the local day, from 0, shape (row,)."""
    quarter: NDArray[np.int64]
    """Quarter of an hour of the local clock, 0 to 95, shape (row,)."""
    weekday: NDArray[np.int64]
    """Monday 0, shape (day,)."""
    off: NDArray[np.bool_]
    """Saturday, Sunday or holiday, shape (day,)."""


def load_ahead(
    history: PowerSeries,
    start: pd.Timestamp,
    zone: ZoneInfo,
    holidays: IsHoliday | None = None,
    now_kw: float | None = None,
    intervals: int = DAY,
) -> QuantileForecast:
    """The load of the intervals from `start` on.

    Args:
        history: 15-minute means of consumption, index UTC interval start, gaps and NaN allowed;
            from `start` on it is not looked at [kW].
        start: Start of the first interval, on the quarter of an hour, UTC.
        zone: Local time of the consumers.
        holidays: Whether a local day is a holiday; None: there are none.
        now_kw: The present load, where it is newer than the history [kW].
        intervals: How many, 1 to 96.

    Returns:
        Never negative. NaN throughout where nothing at all is known of the load.

    Raises:
        ValueError: `start` is off the grid, or `intervals` not within 1 to 96.
    """
    if start.tz is None or start != start.floor(INTERVAL):
        raise ValueError(f"{start} starts no interval: give a quarter of an hour, in UTC")
    if not 1 <= intervals <= DAY:
        raise ValueError(f"{intervals} intervals ahead; expected 1 to {DAY}")
    known = _known(history, start, now_kw)
    if not np.isfinite(known).any():
        nothing = np.full(DAY, np.nan)
        return _forecast(start, intervals, nothing, np.full((DAY, len(LEVELS)), np.nan))
    first = start - len(known) * INTERVAL
    calendar = _calendar(
        pd.date_range(first, periods=len(known) + DAY, freq=INTERVAL), zone, holidays
    )
    profile = _profile(known, calendar)
    # With less than half of a day known there is no habit to speak of.
    if np.isfinite(profile[len(known) :]).mean() < 0.5:
        return _persistence(known, start, intervals)
    mean, quantiles = _corrected(known, profile, calendar)
    return _forecast(start, intervals, mean, quantiles)


def load_ahead_batch(
    history: PowerSeries,
    start: pd.Timestamp,
    zone: ZoneInfo,
    holidays: IsHoliday | None = None,
    issues: int = DAY,
    intervals: int = DAY,
) -> tuple[Floats, Floats] | None:
    """The load ahead of many intervals, from `start` on, each from what was known at its start.

    As `load_ahead`, but what takes long, profile, weights and quantiles, is learnt once, from what
    was known at `start`; today's error corrects each interval anew. So the first one is the same,
    and a day's last differs by what a day adds to seventy.

    Args:
        history: As in `load_ahead`, and on through the issues.
        start: Start of the first interval, on the quarter of an hour, UTC.
        zone: Local time of the consumers.
        holidays: Whether a local day is a holiday; None: there are none.
        issues: How many intervals are forecast from, 100 at most make sense: a local day.
        intervals: How many ahead, 1 to 96.

    Returns:
        Mean and quantiles, shapes (issue, interval) and (issue, interval, level) [kW]; None where
        too little is known of a habit.
    """
    known = _known(history, start, None)
    n = len(known)
    first = start - n * INTERVAL
    calendar = _calendar(
        pd.date_range(first, periods=n + issues - 1 + DAY, freq=INTERVAL), zone, holidays
    )
    profile = _profile(known, calendar)
    if not np.isfinite(known).any() or np.isfinite(profile[n : n + DAY]).mean() < 0.5:
        return None
    # What is known at the last issue ends with what was measured since the first.
    later = _known(history, start + (issues - 1) * INTERVAL, None)
    loads = np.concatenate([known, later[max(len(later) - (issues - 1), 0) :]])
    learnt = _learn(known, profile, calendar)
    recent = _recent_errors(loads - profile[: len(loads)])[n:]
    ahead = sliding_window_view(_filled(profile[n:]), DAY)[:issues, :intervals]
    shift = np.array([np.interp(np.arange(intervals), _KNOTS, r) for r in recent @ learnt.weights])
    mean = np.maximum(ahead + shift, 0.0)
    width = sliding_window_view(learnt.scatter[calendar.quarter[n:]], DAY)[:issues, :intervals]
    spread = learnt.shape[:intervals] * width[..., None]
    return mean, np.sort(np.maximum(mean[..., None] + spread, 0.0), axis=-1)


def _known(history: PowerSeries, start: pd.Timestamp, now_kw: float | None) -> Floats:
    """The load before `start` on a grid that ends there, NaN where unknown, shape (row,) [kW]."""
    rows = MEMORY_DAYS * DAY
    values = np.full(rows, np.nan)
    if len(history):
        index = pd.DatetimeIndex(history.index).tz_convert("UTC")
        at = rows + ((index - start) // INTERVAL).to_numpy(dtype=np.int64)
        loads = history.to_numpy(dtype=np.float64)
        inside = (at >= 0) & (at < rows) & np.isfinite(loads)
        values[at[inside]] = np.maximum(loads[inside], 0.0)
    if now_kw is not None and np.isfinite(now_kw):
        values[-1] = max(now_kw, 0.0)
    found = np.flatnonzero(np.isfinite(values))
    return values[found[0] :] if len(found) else values[-1:]


def _calendar(starts: pd.DatetimeIndex, zone: ZoneInfo, holidays: IsHoliday | None) -> _Calendar:
    local = starts.tz_convert(zone)
    naive = local.tz_localize(None)
    midnight = naive.normalize()
    day = ((midnight - midnight[0]) // pd.Timedelta(days=1)).to_numpy(dtype=np.int64)
    days = [midnight[0].date() + pd.Timedelta(days=d) for d in range(int(day.max()) + 1)]
    weekday = np.array([d.weekday() for d in days], dtype=np.int64)
    off = (weekday >= 5) | np.array([holidays is not None and holidays(d) for d in days])
    quarter = ((naive - midnight) // INTERVAL).to_numpy(dtype=np.int64)
    return _Calendar(day=day, quarter=quarter, weekday=weekday, off=off)


def _profile(known: Floats, calendar: _Calendar) -> Floats:
    """What earlier days expect of each row, NaN where none holds its quarter, shape (row,) [kW].

    A row rests on the days before its own: what today has shown so far corrects, and is no profile.
    """
    days = len(calendar.off)
    made, count = np.zeros((days, DAY)), np.zeros((days, DAY))
    rows = np.flatnonzero(np.isfinite(known))
    np.add.at(made, (calendar.day[rows], calendar.quarter[rows]), known[rows])
    np.add.at(count, (calendar.day[rows], calendar.quarter[rows]), 1.0)
    weights = _day_weights(calendar)
    # The hour that autumn repeats counts as one: its mean.
    once = count > 0
    mean = np.where(once, made / np.maximum(count, 1.0), 0.0)
    total = weights @ once.astype(np.float64)
    expected = np.where(total > 0, (weights @ mean) / np.where(total > 0, total, 1.0), np.nan)
    return np.asarray(expected[calendar.day, calendar.quarter])


def _day_weights(calendar: _Calendar) -> Floats:
    """Weight of each earlier day in the profile of each day, shape (day, earlier day)."""
    number = np.arange(len(calendar.off))
    back = number[:, None] - number
    newer = np.where(back > 0, 0.5 ** (np.maximum(back, 0) / _HALF_LIFE_DAYS), 0.0)
    alike = calendar.off[:, None] == calendar.off
    same = calendar.weekday[:, None] == calendar.weekday
    return newer * np.where(alike, np.where(same, _SAME_WEEKDAY, 1.0), _OTHER_KIND)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Learnt:
    """What the past says of corrections and errors."""

    weights: Floats
    """Of the recent errors, at each of `_KNOTS`, shape (span, knot) [1]."""
    shape: Floats
    """Standardised quantiles, shape (horizon, level) [1]."""
    scatter: Floats
    """Root mean square error of the profile, shape (quarter,) [kW]."""


def _corrected(known: Floats, profile: Floats, calendar: _Calendar) -> tuple[Floats, Floats]:
    """Mean and quantiles of the 96 intervals after `known`, [kW]."""
    n = len(known)
    learnt = _learn(known, profile, calendar)
    # A quarter that no earlier day holds takes the mean of its neighbours in time.
    ahead = _filled(profile[n:])
    recent = _recent_errors(known - profile[:n])[n]
    shift = np.interp(np.arange(DAY), _KNOTS, recent @ learnt.weights)
    expected = np.maximum(ahead + shift, 0.0)
    width = learnt.scatter[calendar.quarter[n:]][:, None]
    return expected, np.sort(np.maximum(expected[:, None] + learnt.shape * width, 0.0), axis=1)


def _learn(known: Floats, profile: Floats, calendar: _Calendar) -> _Learnt:
    """From the errors of the days that are known."""
    n = len(known)
    error = known - profile[:n]
    scatter = _scatter(error, profile[:n], calendar, _filled(profile[n : n + DAY]))
    recent = _recent_errors(error)
    issues = np.arange(max(n - _ERROR_DAYS * DAY, 0), n + 1)
    weights = np.empty((len(_SPANS), len(_KNOTS)))
    standard = np.empty((len(_KNOTS), len(LEVELS)))
    for k, h in enumerate(_KNOTS):
        past = issues[issues + h < n]
        target = error[past + h]
        use = np.isfinite(target)
        x = recent[past][use]
        weights[:, k] = _weights(x, target[use], h)
        left = (target[use] - x @ weights[:, k]) / scatter[calendar.quarter[past + h]][use]
        standard[k] = _levels(left, h)
    horizon = np.arange(DAY)
    shape = np.stack([np.interp(horizon, _KNOTS, s) for s in standard.T], axis=1)
    return _Learnt(weights=weights, shape=shape, scatter=scatter)


def _filled(profile: Floats) -> Floats:
    known = np.isfinite(profile)
    at = np.arange(len(profile))
    return np.interp(at, at[known], profile[known])


def _recent_errors(error: Floats) -> Floats:
    """Mean error of the `_SPANS` before each row and after the last, shape (row + 1, span) [kW].

    Where nothing was measured it is 0, and that of a day known by less than six hours nearer to 0.
    """
    known = np.isfinite(error)
    total = np.concatenate([[0.0], np.cumsum(np.where(known, error, 0.0))])
    count = np.concatenate([[0.0], np.cumsum(known)])
    end = np.arange(len(error) + 1)
    found = []
    for width in _SPANS:
        begin = np.maximum(end - width, 0)
        found.append(
            (total[end] - total[begin]) / np.maximum(count[end] - count[begin], max(width / 4, 1))
        )
    return np.stack(found, axis=1)


def _weights(x: Floats, y: Floats, horizon: int) -> Floats:
    """Weights of the errors of `_SPANS`, drawn to the last hour's, fading in four hours."""
    prior = np.array([0.0, max(0.0, 1.0 - horizon / _FADE), 0.0])
    size = max(float(np.mean(x[:, 1] ** 2)) if len(x) else 0.0, 1e-12)
    ridge = _PRIOR_DAYS * DAY * size * np.eye(len(prior))
    return np.asarray(np.linalg.solve(x.T @ x + ridge, x.T @ y + ridge @ prior))


def _scatter(error: Floats, profile: Floats, calendar: _Calendar, ahead: Floats) -> Floats:
    """Root mean square error of the profile by quarter of the day, shape (quarter,) [kW]."""
    known = np.isfinite(error)
    quarter = calendar.quarter[: len(error)][known]
    squares = np.bincount(quarter, error[known] ** 2, minlength=DAY)
    count = np.bincount(quarter, minlength=DAY).astype(np.float64)
    # The quarters of an hour to either side speak of the same habit.
    around = np.arange(-4, 5)
    at = (np.arange(DAY)[:, None] + around) % DAY
    squares, count = squares[at].sum(axis=1), count[at].sum(axis=1)
    typical = float(np.mean(ahead)) if not known.any() else float(np.nanmean(profile[known]))
    unknown = (_SCATTER_UNKNOWN * max(typical, 1e-9)) ** 2
    held = 2.0 * len(around)  # two days of it
    return np.asarray(np.sqrt((squares + held * unknown) / (count + held)))


def _levels(left: Floats, horizon: int) -> Floats:
    """Quantiles of standardised errors, beside a normal distribution's, shape (level,)."""
    grow = float(np.interp(horizon, (0, DAY), (0.5, 1.0)))
    rows = (np.arange(_NORMAL_ROWS) + 0.5) / _NORMAL_ROWS
    prior = np.interp(rows, LEVELS, _NORMAL) * grow
    return np.asarray(np.quantile(np.concatenate([left, prior]), LEVELS))


def _persistence(known: Floats, start: pd.Timestamp, intervals: int) -> QuantileForecast:
    """The present load stays, with a wide band: less than a day is known."""
    load = float(known[np.isfinite(known)][-1])
    grow = np.interp(np.arange(DAY), (0, DAY), _PERSISTENCE_GROWTH)[:, None]
    spread = _SCATTER_UNKNOWN * load * grow * np.array(_NORMAL)
    quantiles = np.maximum(load + spread, 0.0)
    return _forecast(start, intervals, np.full(DAY, load), quantiles)


def _forecast(
    start: pd.Timestamp, intervals: int, mean: Floats, quantiles: Floats
) -> QuantileForecast:
    return QuantileForecast(
        starts=pd.date_range(start, periods=intervals, freq=INTERVAL),
        mean_kw=mean[:intervals],
        quantiles_kw=quantiles[:intervals],
    )
