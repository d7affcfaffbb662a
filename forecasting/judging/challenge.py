"""Champion and challenger: a retrained model is used only if it wins where neither has trained.

Both forecast the same intervals of the same records, after the last day either has seen at that
place. The challenger wins when RMSE and pinball loss both fall, and would have fallen with other
days drawn from the same weather: the 2.5 % quantile of each reduction must exceed zero (`paired`).
Its bands must hold what they say, or at least be no further off than the champion's.

A series on which the champion itself fails says more of the series than of either: `misfits`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.baselines import Method, persistence_share, yesterday_share
from forecasting.clearsky import Floats, PvGeometry
from forecasting.judging.paired import DayLosses, day_losses, gain, mean_pinball, rmse
from forecasting.judging.seen import TrainingSpan, first_unseen
from forecasting.judging.verdict import Figures, TrialResult, Verdict, reasons_against
from forecasting.record import PlantRecord, QuantileForecast, is_daylight
from forecasting.scores import BANDS
from forecasting.series import SeriesFault
from forecasting.sky import sky_seen

LEAST_DAYS = 30
"""Days a record must leave to judge on: resampling fewer makes the doubt look too small."""

ANSWERED_SHARE = 0.995
"""Share of the champion's intervals a challenger must answer: else it could leave out the hard
ones [1]."""

_SEES_LAST_HOUR = ("pv_pooled",)
# A day ahead and the published model see the days before alone.

_SOLAR_DEG_PER_H = 15.0


class ChallengeFault(Exception):
    """Two models cannot be compared at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A model that is judged."""

    id: str
    kind: str
    sha256: str
    """Of the model."""
    method: Method
    """Its forecast, as the service would make it."""
    spans: tuple[TrainingSpan, ...]
    """What it was trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A record both are judged on."""

    name: str
    """File or site, for people."""
    record: PlantRecord
    geometry: PvGeometry
    sha256: str | None = None
    """Of the file it was read from."""


def challenge(
    champion: Contender,
    challenger: Contender,
    trials: Sequence[Trial],
    *,
    calibration_days: int = 60,
) -> Verdict:
    """Judge a challenger.

    Args:
        champion: The model in use.
        challenger: The one that would replace it.
        trials: Records to judge on.
        calibration_days: First days of each record, on which bands may still settle; they are
            forecast but not judged.

    Raises:
        ChallengeFault: the two are one, or of different kinds, or there is nothing to judge on.
        SeriesFault: a record leaves too few days that neither has trained on; tells of all.
    """
    if champion.kind != challenger.kind:
        raise ChallengeFault(
            f"'{challenger.id}' is of kind {challenger.kind}, '{champion.id}' of {champion.kind}; "
            f"only models of one kind can replace each other"
        )
    if champion.sha256 == challenger.sha256:
        raise ChallengeFault(f"'{challenger.id}' is the champion itself, bit for bit")
    if not trials:
        raise ChallengeFault("no record to judge on: give at least one")
    begins, faults = [], []
    for trial in trials:
        begin = _begin(champion, challenger, trial, calibration_days)
        begins.append(begin)
        faults += _too_short(trial, begin)
    if faults:
        raise SeriesFault(tuple(faults))
    results, losses, unanswered = [], [], []
    for trial, begin in zip(trials, begins, strict=True):
        result, days, reasons = _judge(champion, challenger, trial, begin)
        results.append(result)
        losses.append(days)
        unanswered += reasons
    less_rmse, less_pinball = gain(losses, rmse), gain(losses, mean_pinball)
    against = reasons_against(less_rmse, less_pinball, tuple(results))
    return Verdict(
        kind=champion.kind,
        champion=champion.id,
        champion_sha256=champion.sha256,
        challenger=challenger.id,
        challenger_sha256=challenger.sha256,
        rmse=less_rmse,
        pinball=less_pinball,
        trials=tuple(results),
        against=(*against, *unanswered),
    )


def _begin(
    champion: Contender, challenger: Contender, trial: Trial, calibration_days: int
) -> pd.Timestamp:
    """First instant of a record that may be judged."""
    calibrated = trial.record.starts[0] + pd.Timedelta(days=calibration_days)
    spans = (*champion.spans, *challenger.spans)
    g = trial.geometry
    unseen = first_unseen(spans, trial.sha256, g.latitude_deg, g.longitude_deg)
    return calibrated if unseen is None else max(calibrated, unseen)


def _too_short(trial: Trial, begin: pd.Timestamp) -> list[str]:
    usable = _usable(trial, begin)
    days = len(set(_solar_day(trial)[usable]))
    if days >= LEAST_DAYS:
        return []
    fault = (
        f"{trial.name}: {days} days with sun and measurements from {begin:%Y-%m-%d}, {LEAST_DAYS} "
        f"are needed; what lies before was seen in training at this place, or calibrates the "
        f"bands: give a longer series, or one from another place"
    )
    return [fault]


def _usable(trial: Trial, begin: pd.Timestamp) -> NDArray[np.bool_]:
    """Daylight intervals of known available power from an instant on, shape (interval,)."""
    known = np.isfinite(trial.record.available_kw)
    late = np.asarray(trial.record.starts >= begin)
    return is_daylight(trial.geometry, trial.record.starts) & known & late


def _solar_day(trial: Trial) -> NDArray[np.int64]:
    """Number of the solar day of each interval: no midnight falls into daylight, (interval,)."""
    ahead = pd.Timedelta(hours=trial.geometry.longitude_deg / _SOLAR_DEG_PER_H)
    since = trial.record.starts + ahead - pd.Timestamp(0, tz="UTC")
    return (since // pd.Timedelta(days=1)).to_numpy(dtype=np.int64)


def _judge(
    champion: Contender, challenger: Contender, trial: Trial, begin: pd.Timestamp
) -> tuple[TrialResult, DayLosses, list[str]]:
    """Forecast one record with both; the last of the answer tells of what was not answered."""
    record, rated_kw = trial.record, trial.geometry.rated_kw
    forecasts = [c.method(record, trial.geometry) for c in (champion, challenger)]
    asked = _usable(trial, begin) & _answers(forecasts[0])
    scored = asked & _answers(forecasts[1])
    day = np.unique(_solar_day(trial)[scored], return_inverse=True)[1]
    if not scored.any() or day[-1] + 1 < LEAST_DAYS:
        raise ChallengeFault(
            f"{trial.name}: both models answer on fewer than {LEAST_DAYS} days; give a longer one"
        )
    share = scored.sum() / asked.sum()
    unanswered = f"it answers {100 * share:.1f} % of what the champion answers on {trial.name}"
    truth = record.available_kw[scored] / rated_kw
    quantiles = [f.quantiles_kw[scored] / rated_kw for f in forecasts]
    days = day_losses(
        [f.mean_kw[scored] / rated_kw for f in forecasts],
        quantiles,
        truth,
        day,
    )
    all_days = np.ones((1, len(days.count)))
    figures = [
        Figures(
            nrmse_pct=100.0 * float(rmse(days, all_days)[0, i]),
            pinball_pct=100.0 * float(mean_pinball(days, all_days)[0, i]),
            coverage80_pct=_coverage80_pct(quantiles[i], truth),
        )
        for i in range(2)
    ]
    plain, kept_share = _plain(champion.kind, record, trial.geometry)
    starts = record.starts[scored]
    result = TrialResult(
        name=trial.name,
        sha256=trial.sha256,
        first=f"{starts[0]:%Y-%m-%d}",
        last=f"{starts[-1]:%Y-%m-%d}",
        days=len(days.count),
        intervals=len(truth),
        left_out=int((_usable(trial, record.starts[0]) & (record.starts < begin)).sum()),
        champion=figures[0],
        challenger=figures[1],
        plain=plain,
        plain_nrmse_pct=100.0 * float(np.sqrt(np.mean((kept_share[scored] - truth) ** 2))),
    )
    return result, days, [unanswered] if share < ANSWERED_SHARE else []


def _plain(kind: str, record: PlantRecord, geometry: PvGeometry) -> tuple[str, Floats]:
    """Plain persistence that sees no more than models of a kind do.

    Returns:
        What it keeps, and the forecast of each interval, shape (interval,) [shares of the rating].
    """
    sky = sky_seen(record, geometry)
    if kind in _SEES_LAST_HOUR:
        return "the last power", persistence_share(sky)
    return "yesterday's power", yesterday_share(sky)


def _answers(forecast: QuantileForecast) -> NDArray[np.bool_]:
    return np.isfinite(forecast.mean_kw) & np.isfinite(forecast.quantiles_kw).all(axis=1)


def _coverage80_pct(quantiles: Floats, truth: Floats) -> float:
    low, high = BANDS[80]
    inside = (quantiles[:, low] <= truth) & (truth <= quantiles[:, high])
    return 100.0 * float(inside.mean())
