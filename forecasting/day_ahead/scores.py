"""How good days ahead were: by hour of the horizon, beside smart persistence.

Every fifth interval of the test span issues a day, so all times of day come up, nights too. Scored
are the daylight intervals of that day that were measured. Beside it stand smart persistence, the
last clear-sky index kept for all 24 hours, and two other readings of it (`references`).

The horizon's mean is taken over its hours, not over intervals: each hour counts alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from forecasting.clearsky import Floats, PvGeometry
from forecasting.day_ahead.features import DAY, Ints
from forecasting.day_ahead.horizon import DayAhead, DayAheadBatch
from forecasting.day_ahead.references import REFERENCES
from forecasting.record import LEVELS, PlantRecord, QuantileForecast
from forecasting.scores import BANDS
from forecasting.sky import sky_seen

HOURS = 24
TEST_SHARE = 1 / 3
"""Newest share of a record that is the test span [1]."""

STEP = 5
"""Intervals from one issue to the next; 96 is no multiple of it."""

NO_ERROR_PCT = 1e-6
"""Error below which a reference errs by nothing: round-off [% of the rating]."""

_PER_HOUR = DAY // HOURS
_CHUNK = 512  # issues scored at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """The forecast beside one of `REFERENCES`."""

    nrmse_pct: float
    """Of the reference, mean over the hours [% of the rating]."""
    ratio: float | None
    """The forecast's error over it; None where the reference errs by nothing [1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HourScore:
    """Scores of one hour of the horizon."""

    hour: int
    """1: the first hour after the issue, to 24."""
    n: int
    """Intervals scored."""
    nrmse_pct: float
    """Root mean square error [% of the rating]."""
    references: Mapping[str, float]
    """The same of each of `REFERENCES` [% of the rating]."""
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
    references: Mapping[str, Against]
    """By the names of `REFERENCES`."""
    daytime_ratio: float | None
    """Error over that of smart persistence, of issues in daylight alone [1]."""
    mbe_pct: float
    """Mean of forecast − truth [% of the rating]."""
    pinball_pct: float
    """Mean pinball loss over `LEVELS` [% of the rating]."""
    coverage50_pct: float
    coverage80_pct: float
    coverage90_pct: float

    def ratio(self, reference: str = "smart_persistence") -> float | None:
        """The forecast's error over that of a reference; None where it errs by nothing [1]."""
        return self.references[reference].ratio


class _Sums:
    """Sums by interval of the horizon, shape (interval,) each."""

    def __init__(self) -> None:
        self.n = np.zeros(DAY)
        self.squares = np.zeros(DAY)
        self.of_references = {name: np.zeros(DAY) for name in REFERENCES}
        self.errors = np.zeros(DAY)
        self.pinball = np.zeros(DAY)
        self.inside = {percent: np.zeros(DAY) for percent in BANDS}

    def add(self, days: DayAheadBatch, kept_kw: Mapping[str, Floats], truth: Floats) -> None:
        """Add some issues; `truth` is NaN where nothing is scored."""
        known = np.isfinite(truth)
        error = np.where(known, days.mean_kw - truth, 0.0)
        self.n += known.sum(axis=0)
        self.errors += error.sum(axis=0)
        self.squares += (error**2).sum(axis=0)
        for name, kept in kept_kw.items():
            self.of_references[name] += np.where(known, (kept - truth) ** 2, 0.0).sum(axis=0)
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
        ValueError: nothing can be scored: the span is shorter than a day, or none of its daylight
            was measured.
    """
    forecaster = DayAhead.load() if day_ahead is None else day_ahead
    begin = round(len(record) * (1 - TEST_SHARE)) if first is None else first
    issues = np.arange(max(begin, 1), len(record) - DAY + 1, STEP)
    if not issues.size:
        raise ValueError("less than a whole day is left to be scored on: give a longer record")
    sky = sky_seen(record, geometry)
    every, daytime = _Sums(), _Sums()
    for at in range(0, len(issues), _CHUNK):
        part = issues[at : at + _CHUNK]
        begun = None if next_intervals is None else _rows(next_intervals, part)
        days = forecaster.batch(record, geometry, part, next_intervals=begun)
        targets = part[:, None] + np.arange(DAY)
        scored = sky.daylight[targets]
        truth = np.where(scored, sky.power[targets] * geometry.rated_kw, np.nan)
        kept_kw = {n: r(sky, part, targets) * geometry.rated_kw for n, r in REFERENCES.items()}
        every.add(days, kept_kw, truth)
        # An issue in the dark scores nothing here.
        light = sky.daylight[part][:, None]
        daytime.add(days, kept_kw, np.where(light, truth, np.nan))
    if not every.n.any():
        raise ValueError("no measured daylight interval in the test span: give a longer record")
    return _score(every, daytime, geometry.rated_kw)


def _rows(forecast: QuantileForecast, at: Ints) -> QuantileForecast:
    return QuantileForecast(
        starts=forecast.starts[at],
        mean_kw=forecast.mean_kw[at],
        quantiles_kw=forecast.quantiles_kw[at],
    )


def _score(every: _Sums, daytime: _Sums, rated_kw: float) -> DayAheadScore:
    own = _mean_pct(every, every.squares, rated_kw)
    kept = {n: _mean_pct(every, s, rated_kw) for n, s in every.of_references.items()}
    by_day = _mean_pct(daytime, daytime.squares, rated_kw)
    n, share = every.n.sum(), 100.0 / rated_kw
    inside = {p: 100.0 * float(v.sum() / n) for p, v in every.inside.items()}
    return DayAheadScore(
        hours=_hours(every, rated_kw),
        n=int(n),
        nrmse_pct=own,
        references={k: Against(nrmse_pct=pct, ratio=_over(own, pct)) for k, pct in kept.items()},
        daytime_ratio=_over(
            by_day, _mean_pct(daytime, daytime.of_references["smart_persistence"], rated_kw)
        ),
        mbe_pct=share * float(every.errors.sum() / n),
        pinball_pct=share * float(every.pinball.sum() / n),
        coverage50_pct=inside[50],
        coverage80_pct=inside[80],
        coverage90_pct=inside[90],
    )


def _over(own_pct: float, reference_pct: float) -> float | None:
    """A reference without error leaves nothing to be better at; nor does one never scored."""
    return own_pct / reference_pct if reference_pct > NO_ERROR_PCT else None


def _mean_pct(sums: _Sums, squares: Floats, rated_kw: float) -> float:
    """Mean of the hourly RMSE; NaN where nothing was scored [% of the rating]."""
    hourly = _hourly_pct(sums, squares, rated_kw)
    known = hourly[np.isfinite(hourly)]
    return float(known.mean()) if known.size else float("nan")


def _hourly_pct(sums: _Sums, squares: Floats, rated_kw: float) -> Floats:
    """RMSE by hour; NaN where nothing was scored, shape (hour,) [% of the rating]."""
    n = _by_hour(sums.n)
    return np.asarray(100.0 / rated_kw * np.sqrt(_by_hour(squares) / np.where(n > 0, n, np.nan)))


def _hours(sums: _Sums, rated_kw: float) -> tuple[HourScore, ...]:
    n = _by_hour(sums.n)
    own = _hourly_pct(sums, sums.squares, rated_kw)
    kept = {k: _hourly_pct(sums, s, rated_kw) for k, s in sums.of_references.items()}
    pinball = _by_hour(sums.pinball)
    inside = {p: _by_hour(v) for p, v in sums.inside.items()}
    return tuple(
        HourScore(
            hour=h + 1,
            n=int(n[h]),
            nrmse_pct=float(own[h]),
            references={name: float(pct[h]) for name, pct in kept.items()},
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
