"""Judge forecasts of the next interval on one record, as they would have been made.

Every method answers for every interval, from the rows before it: it learns its uncertainty and the
usual sky as it goes, from the first day on. Scored are the daylight intervals of the test span that
were measured, the same ones for every method. The test span is the last third of the record, or
all of it after the calibration days.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from forecasting import baselines
from forecasting.baselines import Method
from forecasting.clearsky import Floats
from forecasting.judging.doubts import still
from forecasting.judging.judged import DAY, Judged
from forecasting.ladder import BRANCHES, Model, ladder_series
from forecasting.record import LEVELS, QuantileForecast
from forecasting.runtime import PaperLstm
from forecasting.scores import Score, reliability, rmse, score
from forecasting.series import INTERVAL, SeriesFault
from forecasting.sky import sky_seen

Span = Literal["last-third", "after-calibration"]

NAMES = ("geems", "persistence", "smart_persistence", "yesterday", "five_day_mean", "paper_lstm")
"""What is judged, in the order of the table."""

REFERENCE = "smart_persistence"

Progress = Callable[[str, int, int], None]
"""Told before each method: its name, how many are done, how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What came out."""

    judged: Judged
    forecasts: Mapping[str, QuantileForecast]
    """Of the whole record, by name."""
    truth_kw: Floats
    """Measured available power, NaN where unknown, shape (interval,) [kW]."""
    scored: NDArray[np.bool_]
    """The intervals that count, shape (interval,)."""
    scores: Mapping[str, Score]
    reliability: Mapping[str, tuple[float, ...]]
    """Share of truths at or below each quantile of `LEVELS` [1]."""
    branches: Mapping[str, int]
    """Scored intervals by the rung of the ladder that answered."""
    warnings: tuple[str, ...]

    @property
    def best(self) -> str:
        """Name of the method with the lowest nRMSE."""
        return min(self.scores, key=lambda name: self.scores[name].nrmse_pct)

    def to_json(self) -> dict[str, Any]:
        """The document of the command."""
        starts = self.judged.record.starts[self.scored]
        return {
            "site": self.judged.site,
            "n": int(self.scored.sum()),
            "models": {
                name: {
                    key: None if value is None else round(value, 4)
                    for key, value in asdict(found).items()
                }
                for name, found in self.scores.items()
            },
            "resolution_min": self.judged.minutes,
            "first": starts[0].isoformat(),
            "last": starts[-1].isoformat(),
            "tilt_deg": round(self.judged.geometry.tilt_deg, 1),
            "azimuth_deg": round(self.judged.geometry.azimuth_deg, 1),
            "scale": round(self.judged.geometry.scale, 4),
            "branches": dict(self.branches),
            "reliability": {
                "levels": list(LEVELS),
                "models": {
                    n: [round(s, 4) for s in found] for n, found in self.reliability.items()
                },
            },
            "warnings": list(self.warnings),
        }


def evaluate(
    judged: Judged,
    *,
    model: Model | None,
    paper: PaperLstm,
    calibration_days: int,
    span: Span = "last-third",
    progress: Progress = lambda *_: None,
) -> Evaluation:
    """Judge all of `NAMES` on one record.

    Args:
        judged: The plant and its record.
        model: First rung of the ladder behind `geems`; None: there is none.
        paper: The published model.
        calibration_days: Days at the start that are never scored.
        span: What is scored.
        progress: Told of each method.

    Raises:
        SeriesFault: no interval is left to score.
    """
    truth_kw, scored = _scored(judged, calibration_days, span)
    rated_kw = judged.geometry.rated_kw
    methods: dict[str, Method] = {
        "persistence": baselines.persistence,
        "smart_persistence": baselines.smart_persistence,
        "yesterday": baselines.yesterday,
        "five_day_mean": baselines.five_day_mean,
        "paper_lstm": baselines.paper_lstm(paper),
    }
    progress("geems", 0, len(NAMES))
    ladder = ladder_series(model, judged.record, judged.geometry)
    forecasts = {"geems": ladder.forecast}
    for name in NAMES[1:]:
        progress(name, len(forecasts), len(NAMES))
        forecasts[name] = methods[name](judged.record, judged.geometry)
    reference = rmse(forecasts[REFERENCE], truth_kw, scored)
    scores = {
        name: score(f, truth_kw, scored, rated_kw=rated_kw, reference_rmse_kw=reference)
        for name, f in forecasts.items()
    }
    return Evaluation(
        judged=judged,
        forecasts=forecasts,
        truth_kw=truth_kw,
        scored=scored,
        scores=scores,
        reliability={name: reliability(f, truth_kw, scored) for name, f in forecasts.items()},
        branches={b: int((ladder.branch[scored] == b).sum()) for b in BRANCHES},
        # Whoever gives no model knows, and knows why.
        warnings=(
            *judged.warnings,
            *still(truth_kw, scored),
            *(ladder.notes if model is not None else ()),
            *_beaten(scores),
        ),
    )


def _beaten(scores: Mapping[str, Score]) -> Iterator[str]:
    """The clear sky of the plant is no help, where the power as it was is the better forecast."""
    ours, kept = scores["geems"].nrmse_pct, scores["persistence"].nrmse_pct
    if kept < ours:
        yield (
            f"the last power kept as it is errs less here, {kept:.2f} % beside {ours:.2f} %: a "
            "tracker, or modules that face two ways, are no fixed plane; else look at place, times "
            "and rating"
        )


def _scored(judged: Judged, calibration_days: int, span: Span) -> tuple[Floats, NDArray[np.bool_]]:
    """Truth of every interval, and which count.

    Raises:
        SeriesFault: none counts.
    """
    sky = sky_seen(judged.record, judged.geometry)
    truth_kw = judged.record.available_kw
    first = calibration_days * DAY
    if span == "last-third":
        first = max(first, len(judged.record) * 2 // 3)
    late = np.arange(len(judged.record)) >= first
    scored = late & sky.daylight & np.isfinite(truth_kw)
    if not scored.any():
        at = judged.record.starts[0] + first * INTERVAL
        fault = (
            f"{judged.site}: no daylight interval was measured from {at:%Y-%m-%d} on, where the "
            f"test span begins; give a longer file, and check that its times are UTC and --lat, "
            f"--lon are right"
        )
        raise SeriesFault((fault,))
    return truth_kw, scored
