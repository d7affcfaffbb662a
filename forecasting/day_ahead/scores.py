"""How good days ahead were: by hour of the horizon, beside smart persistence.

Every fifth interval of the test span issues a day, so all times of day come up, nights too. Scored
are the daylight intervals of that day that were measured. The reference keeps the last clear-sky
index for all 24 hours; an index taken near sunset fades into that of the 30 days before, exactly
as smart persistence does it everywhere in this package.

The horizon's mean is taken over its hours, not over intervals: each hour counts alike.
"""

from dataclasses import dataclass

import numpy as np

from forecasting.baselines import smart_persistence_kw
from forecasting.clearsky import Floats, PvGeometry
from forecasting.day_ahead.features import DAY, Ints
from forecasting.day_ahead.horizon import DayAhead, DayAheadBatch
from forecasting.record import LEVELS, PlantRecord, QuantileForecast
from forecasting.scores import BANDS
from forecasting.sky import SkySeen, sky_seen

HOURS = 24
TEST_SHARE = 1 / 3
"""Newest share of a record that is the test span [1]."""

STEP = 5
"""Intervals from one issue to the next; 96 is no multiple of it."""

_PER_HOUR = DAY // HOURS
_CHUNK = 512  # issues scored at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class HourScore:
    """Scores of one hour of the horizon."""

    hour: int
    """1: the first hour after the issue, to 24."""
    n: int
    """Intervals scored."""
    nrmse_pct: float
    """Root mean square error [% of the rating]."""
    smart_nrmse_pct: float
    """The same of smart persistence [% of the rating]."""
    pinball_pct: float
    """Mean pinball loss over `LEVELS` [% of the rating]."""
    coverage50_pct: float
    coverage80_pct: float
    coverage90_pct: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DayAheadScore:
    """Scores of the day ahead at one plant."""

    hours: tuple[HourScore, ...]
    """Hours of the horizon in which anything was scored."""
    n: int
    """Intervals scored."""
    nrmse_pct: float
    """Mean over the hours [% of the rating]."""
    smart_nrmse_pct: float
    """The same of smart persistence [% of the rating]."""
    ratio: float
    """The one over the other [1]."""
    daytime_ratio: float
    """The same ratio over issues in daylight alone, when a present index exists [1]."""
    mbe_pct: float
    """Mean of forecast − truth [% of the rating]."""
    pinball_pct: float
    """Mean pinball loss over `LEVELS` [% of the rating]."""
    coverage50_pct: float
    coverage80_pct: float
    coverage90_pct: float


class _Sums:
    """Sums by interval of the horizon, shape (interval,) each."""

    def __init__(self) -> None:
        self.n = np.zeros(DAY)
        self.squares = np.zeros(DAY)
        self.smart_squares = np.zeros(DAY)
        self.errors = np.zeros(DAY)
        self.pinball = np.zeros(DAY)
        self.inside = {percent: np.zeros(DAY) for percent in BANDS}

    def add(self, days: DayAheadBatch, smart: Floats, truth: Floats) -> None:
        """Add some issues; `truth` is NaN where nothing is scored."""
        known = np.isfinite(truth)
        error = np.where(known, days.mean_kw - truth, 0.0)
        self.n += known.sum(axis=0)
        self.errors += error.sum(axis=0)
        self.squares += (error**2).sum(axis=0)
        self.smart_squares += np.where(known, (smart - truth) ** 2, 0.0).sum(axis=0)
        quantiles, levels = days.quantiles_kw, np.array(LEVELS)
        above = truth[..., None] - quantiles
        loss = np.maximum(levels * above, (levels - 1.0) * above).mean(axis=-1)
        self.pinball += np.where(known, loss, 0.0).sum(axis=0)
        for percent, (low, high) in BANDS.items():
            within = (quantiles[..., low] <= truth) & (truth <= quantiles[..., high])
            self.inside[percent] += (known & within).sum(axis=0)


def judge_day_ahead(
    record: PlantRecord,
    geometry: PvGeometry,
    day_ahead: DayAhead | None = None,
    *,
    first: int | None = None,
    next_intervals: QuantileForecast | None = None,
) -> DayAheadScore:
    """Forecast and score the days ahead of a record's test span.

    Args:
        record: The plant; everything before an issue may be looked at, nothing after it.
        geometry: The plant.
        day_ahead: What forecasts; the artefact that ships when not given.
        first: Interval the test span begins with; the last third when not given.
        next_intervals: Forecast of every interval of the record, from what was known at its
            start: the service lets a day ahead begin with it. None: the day ahead alone.

    Raises:
        ValueError: nothing can be scored: no daylight interval of the span was measured.
    """
    forecaster = DayAhead.load() if day_ahead is None else day_ahead
    begin = round(len(record) * (1 - TEST_SHARE)) if first is None else first
    issues = np.arange(max(begin, 1), len(record) - DAY + 1, STEP)
    sky = sky_seen(record, geometry)
    every, daytime = _Sums(), _Sums()
    for at in range(0, len(issues), _CHUNK):
        part = issues[at : at + _CHUNK]
        begun = None if next_intervals is None else _rows(next_intervals, part)
        days = forecaster.batch(record, geometry, part, next_intervals=begun)
        targets = part[:, None] + np.arange(DAY)
        scored = sky.daylight[targets]
        truth = np.where(scored, sky.power[targets] * geometry.rated_kw, np.nan)
        smart = _kept_index(sky, part, targets) * geometry.rated_kw
        every.add(days, smart, truth)
        # An issue in the dark scores nothing here.
        light = sky.daylight[part][:, None]
        daytime.add(days, smart, np.where(light, truth, np.nan))
    if not every.n.any():
        raise ValueError("no measured daylight interval in the test span: give a longer record")
    return _score(every, daytime, geometry.rated_kw)


def _rows(forecast: QuantileForecast, at: Ints) -> QuantileForecast:
    return QuantileForecast(
        starts=forecast.starts[at],
        mean_kw=forecast.mean_kw[at],
        quantiles_kw=forecast.quantiles_kw[at],
    )


def _kept_index(sky: SkySeen, issues: Ints, targets: Ints) -> Floats:
    """The clear-sky index of the last measured daylight interval stays, shape (issue, interval)."""
    rows = np.arange(len(sky))
    seen = np.isfinite(sky.power) & sky.daylight
    newest = np.maximum.accumulate(np.where(seen, rows, -1))
    last = newest[issues - 1]
    power = np.where(last >= 0, sky.power[last], np.nan)
    usual = sky.usual[issues]
    found = smart_persistence_kw(
        measured_kw=power[:, None],
        clear_measured_kw=sky.clear[last][:, None],
        clear_target_kw=sky.clear[targets],
        rated_kw=1.0,
        index=usual[:, None],
    )
    return np.where(np.isfinite(found), found, np.clip(usual[:, None] * sky.clear[targets], 0, 1))


def _score(every: _Sums, daytime: _Sums, rated_kw: float) -> DayAheadScore:
    own, smart = _hourly_rmse(every, rated_kw)
    day_own, day_smart = _hourly_rmse(daytime, rated_kw)
    n, share = every.n.sum(), 100.0 / rated_kw
    inside = {p: 100.0 * float(v.sum() / n) for p, v in every.inside.items()}
    return DayAheadScore(
        hours=_hours(every, own, smart, rated_kw),
        n=int(n),
        nrmse_pct=float(np.nanmean(own)),
        smart_nrmse_pct=float(np.nanmean(smart)),
        ratio=float(np.nanmean(own) / np.nanmean(smart)),
        daytime_ratio=float(np.nanmean(day_own) / np.nanmean(day_smart)),
        mbe_pct=share * float(every.errors.sum() / n),
        pinball_pct=share * float(every.pinball.sum() / n),
        coverage50_pct=inside[50],
        coverage80_pct=inside[80],
        coverage90_pct=inside[90],
    )


def _hourly_rmse(sums: _Sums, rated_kw: float) -> tuple[Floats, Floats]:
    """RMSE of the forecast and of smart persistence by hour; NaN where none, shape (hour,) [%]."""
    n = _by_hour(sums.n)
    n = np.where(n > 0, n, np.nan)
    share = 100.0 / rated_kw
    return (
        share * np.sqrt(_by_hour(sums.squares) / n),
        share * np.sqrt(_by_hour(sums.smart_squares) / n),
    )


def _hours(sums: _Sums, own: Floats, smart: Floats, rated_kw: float) -> tuple[HourScore, ...]:
    n = _by_hour(sums.n)
    pinball = _by_hour(sums.pinball)
    inside = {p: _by_hour(v) for p, v in sums.inside.items()}
    return tuple(
        HourScore(
            hour=h + 1,
            n=int(n[h]),
            nrmse_pct=float(own[h]),
            smart_nrmse_pct=float(smart[h]),
            pinball_pct=float(100.0 / rated_kw * pinball[h] / n[h]),
            coverage50_pct=float(100.0 * inside[50][h] / n[h]),
            coverage80_pct=float(100.0 * inside[80][h] / n[h]),
            coverage90_pct=float(100.0 * inside[90][h] / n[h]),
        )
        for h in np.flatnonzero(n > 0).tolist()
    )


def _by_hour(values: Floats) -> Floats:
    """Sums of the four intervals of each hour, shape (hour,)."""
    return np.asarray(values.reshape(HOURS, _PER_HOUR).sum(axis=1))
