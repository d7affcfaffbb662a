"""How good a pooled model is on the last third of each series it was made from.

Scores are those of `forecasting.scores`; each forecast is made by the code the service
runs.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from forecasting.baselines import smart_persistence
from forecasting.clearsky import Floats, PvGeometry
from forecasting.data.sources import SourceRows
from forecasting.pooled.augment import with_cap
from forecasting.pooled.runtime import PooledLstm
from forecasting.pooled.samples import STOPPED_TO
from forecasting.pooled.sky import DAY_INTERVALS
from forecasting.record import PlantRecord, QuantileForecast, is_daylight
from forecasting.scores import rmse, score

CAP_SHARE = 0.45
"""Height of the cap of the curtailment test, share of the rating [1]."""

_CAPPED_INTERVALS = 20  # five hours
_CAPPED_DAYS = 0.4

# One drawing of the days leaves 400 to 700 intervals of one season, and its ratio lies within
# ±0.08 by chance.
_CAP_DRAWINGS = 12

# Mean solar hours between which the cap may begin: all of it falls into the day.
_CAP_BEGINS_H = (7.0, 12.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CapScore:
    """The curtailment test: how the censored record does against the uncapped one.

    Over several drawings of the capped days.
    """

    n: int
    """Intervals in which the cap binds: more than the cap was available."""
    mbe_pct: float
    """Mean error with the censored record [% of the rating]."""
    bias_pct: float
    """The same in percent of the mean available power [%]."""
    nrmse_pct: float
    """With the censored record [% of the rating]."""
    oracle_nrmse_pct: float
    """Of the same model with the uncapped record [% of the rating]."""
    ratio_spread: float
    """Standard deviation of the ratio of the two among drawings [1]."""


def records(source: SourceRows) -> dict[str, PlantRecord]:
    """The record of a source at its own resolution, and as if only 15-minute means were."""
    own = source.record()
    coarse = replace(own, parts_kw=own.available_kw[:, None], made_kw=None)
    return {"15min": coarse} | ({} if source.minutes == 15 else {f"{source.minutes}min": own})


def scores(model: PooledLstm, source: SourceRows) -> dict[str, dict[str, float]]:
    """Scores by resolution, on the daylight of the test span that both methods forecast."""
    found: dict[str, dict[str, float]] = {}
    geometry = source.source.geometry
    for resolution, record in records(source).items():
        smart = smart_persistence(record, geometry)
        answer = _or_else(model.series(record, geometry), smart)
        scored = _test_span(record, geometry) & np.isfinite(smart.mean_kw)
        truth = record.available_kw
        figures = score(
            answer,
            truth,
            scored,
            rated_kw=geometry.rated_kw,
            reference_rmse_kw=rmse(smart, truth, scored),
        )
        found[resolution] = {
            "n": int(scored.sum()),
            "smart_nrmse_pct": round(100.0 * rmse(smart, truth, scored) / geometry.rated_kw, 3),
        } | {k: round(v, 3) for k, v in _fields(figures).items()}
    return found


def cap_scores(model: PooledLstm, source: SourceRows, seed: int) -> dict[str, CapScore]:
    """The curtailment test by resolution."""
    geometry = source.source.geometry
    found: dict[str, CapScore] = {}
    for resolution, record in records(source).items():
        rng = np.random.default_rng(seed)
        truth = record.available_kw
        free = model.series(record, geometry).mean_kw - truth
        scored = _test_span(record, geometry) & np.isfinite(free)
        errors, oracle, available = [], [], []
        for _ in range(_CAP_DRAWINGS):
            cap = _caps(record, geometry, rng) * geometry.rated_kw
            seen = model.series(with_cap(record, cap, cap), geometry).mean_kw - truth
            binding = scored & (truth > cap) & np.isfinite(seen)
            if binding.any():
                errors.append(seen[binding])
                oracle.append(free[binding])
                available.append(truth[binding])
        if not errors:
            continue
        error = np.concatenate(errors)
        ratios = [_rms(e) / _rms(o) for e, o in zip(errors, oracle, strict=True)]
        found[resolution] = CapScore(
            n=len(error),
            mbe_pct=round(100.0 * float(error.mean()) / geometry.rated_kw, 2),
            bias_pct=round(100.0 * float(error.mean() / np.concatenate(available).mean()), 2),
            nrmse_pct=round(100.0 * _rms(error) / geometry.rated_kw, 3),
            oracle_nrmse_pct=round(100.0 * _rms(np.concatenate(oracle)) / geometry.rated_kw, 3),
            ratio_spread=round(float(np.std(ratios)), 3),
        )
    return found


def _fields(figures: Any) -> dict[str, float]:
    """Metrics are numbers: nothing to be better at counts as not better."""
    return {name: float(getattr(figures, name) or 0.0) for name in type(figures).__slots__}


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _test_span(record: PlantRecord, geometry: PvGeometry) -> NDArray[np.bool_]:
    late = np.arange(len(record)) >= int(len(record) * STOPPED_TO)
    return late & is_daylight(geometry, record.starts) & np.isfinite(record.available_kw)


def _or_else(first: QuantileForecast, second: QuantileForecast) -> QuantileForecast:
    """The second where the first has no answer, as the ladder does."""
    silent = ~np.isfinite(first.mean_kw)
    return QuantileForecast(
        starts=first.starts,
        mean_kw=np.where(silent, second.mean_kw, first.mean_kw),
        quantiles_kw=np.where(silent[:, None], second.quantiles_kw, first.quantiles_kw),
    )


def _caps(record: PlantRecord, geometry: PvGeometry, rng: Generator) -> Floats:
    """Five hours a day on 40 % of the days, infinity elsewhere, shape (interval,) [1]."""
    caps = np.full(len(record), np.inf)
    # Midnight of mean solar time, so that a day of light is in one piece.
    solar_h = (record.starts[0].hour + geometry.longitude_deg / 15.0) % 24.0
    midnight = round((24.0 - solar_h) % 24.0 * 4) - DAY_INTERVALS
    for day in range(midnight, len(record), DAY_INTERVALS):
        if rng.uniform() < _CAPPED_DAYS:
            begin = max(day + round(rng.uniform(*_CAP_BEGINS_H) * 4), 0)
            caps[begin : begin + _CAPPED_INTERVALS] = CAP_SHARE
    return caps
