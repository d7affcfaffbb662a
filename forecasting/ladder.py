"""The forecast of the next interval, and what catches it where it fails.

| branch | needs | quantiles |
|---|---|---|
| `lstm` | the pooled model, and what it asks of the record | its own, calibrated on line |
| `smart_persistence` | a measurement of the hour before | binned residuals |
| `clear_sky` | nothing | binned residuals |

A rung fails when it raises, or where its answer is not finite, not in order or not within the
rating; the model also while it has erred clearly more than smart persistence of late (`contest`).
`ladder_series` walks a whole record, `PlantLadder` one interval at a time; both advance the same
state in the same way, so a service restarted from its history forecasts as if it had never stopped.

The model's mean is corrected on line too (`correction`), and kept within the 90 % band. The lower
rungs never expect less than what was just made under a cap; the model is told of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.baselines import climatology_share, smart_persistence_share
from forecasting.calibration.conformal import Calibration, within
from forecasting.calibration.contest import Contest
from forecasting.calibration.correction import Correction, correction_inputs
from forecasting.calibration.residuals import ResidualBins
from forecasting.clearsky import Floats, PvGeometry
from forecasting.record import LEVELS, PlantRecord, QuantileForecast
from forecasting.series import INTERVAL
from forecasting.sky import SkySeen, sky_next, sky_seen

Branch = Literal["lstm", "smart_persistence", "clear_sky"]

BRANCHES: tuple[Branch, ...] = ("lstm", "smart_persistence", "clear_sky")
"""Best first."""

_ERRORS = 2
"""Newest errors of the model that the correction asks for."""

_LOST = "the model had erred more than smart persistence before {lost} of {n} intervals: not used"

# Single precision may put a quantile this much out of order or range, as a share of the rating.
_SLACK = 1e-4


class Model(Protocol):
    """What the first rung asks of a model."""

    def series(self, record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
        """Forecast every interval of a record, each from the rows before it."""

    def next(self, record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
        """Forecast the interval after the record's last."""


@dataclass(slots=True, kw_only=True)
class LadderState:
    """What was learnt of a plant; it is advanced one interval at a time."""

    model: Calibration = field(default_factory=Calibration)
    correction: Correction = field(default_factory=Correction)
    contest: Contest = field(default_factory=Contest)
    smart: ResidualBins = field(default_factory=ResidualBins)
    usual: ResidualBins = field(default_factory=ResidualBins)

    def to_json(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON holds it."""
        return {
            "model": self.model.to_json(),
            "correction": self.correction.to_json(),
            "contest": self.contest.to_json(),
            "smart": self.smart.to_json(),
            "usual": self.usual.to_json(),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "LadderState":
        """The state that `to_json` wrote.

        Raises:
            ValueError: it is of another form, or holds what is no finite number.
        """
        try:
            return cls(
                model=Calibration.from_json(document["model"]),
                correction=Correction.from_json(document["correction"]),
                contest=Contest.from_json(document["contest"]),
                smart=ResidualBins.from_json(document["smart"]),
                usual=ResidualBins.from_json(document["usual"]),
            )
        except (KeyError, TypeError) as fault:
            raise ValueError(f"stored state is of another form ({fault}): start afresh") from fault


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderForecast:
    """A forecast, and where it comes from."""

    forecast: QuantileForecast
    branch: NDArray[np.str_]
    """One of `BRANCHES` for each interval, shape (interval,)."""
    notes: tuple[str, ...]
    """Why the first rung was not used, where it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answers:
    """What each rung says of one interval; shares of the rating."""

    clear: float
    group: int
    daylight: bool
    mean: float
    """Of the model; NaN where it failed."""
    raw: tuple[float, ...] | None
    """Quantiles of the model before calibration; None where it failed."""
    inputs: Floats
    """Of the correction of its mean, shape (input,)."""
    smart: float
    """NaN without a measurement of the hour before."""
    usual: float


def ladder_series(
    model: Model | None, record: PlantRecord, geometry: PvGeometry, state: LadderState | None = None
) -> LadderForecast:
    """Forecast every interval of a record, each from what was known at its start.

    Args:
        model: First rung; None: there is none.
        record: The plant.
        geometry: Of the plant.
        state: Where to start from; it is advanced to the record's end. None: nothing learnt.
    """
    mean, raw, note = _asked(model, "series", record, geometry, len(record))
    found, branch = _walk(mean, raw, record, geometry, state or LadderState())
    lost = int((np.isfinite(mean) & (branch != "lstm")).sum())
    notes = (note, _LOST.format(lost=lost, n=len(record)) if lost else "")
    return LadderForecast(
        forecast=QuantileForecast(
            starts=record.starts,
            mean_kw=found[:, 0] * geometry.rated_kw,
            quantiles_kw=found[:, 1:] * geometry.rated_kw,
        ),
        branch=branch,
        notes=tuple(filter(None, notes)),
    )


class PlantLadder:
    """The ladder of one plant in service, one interval at a time."""

    def __init__(
        self, model: Model | None, geometry: PvGeometry, state: LadderState | None = None
    ) -> None:
        """Start from what was learnt before; see `replay` to learn it from a history."""
        self.model = model
        self.geometry = geometry
        self.state = state or LadderState()
        self._pending: tuple[pd.Timestamp, _Answers] | None = None
        self._means: dict[pd.Timestamp, float] = {}

    def replay(self, record: PlantRecord) -> None:
        """Learn from a history, as if it had been forecast interval by interval."""
        mean, raw, _ = _asked(self.model, "series", record, self.geometry, len(record))
        _walk(mean, raw, record, self.geometry, self.state)
        self._pending = None
        self._means = dict(zip(record.starts[-_ERRORS:], mean[-_ERRORS:].tolist(), strict=True))

    def next(self, record: PlantRecord) -> LadderForecast:
        """Forecast the interval after the record's last, once its last is learnt from.

        Args:
            record: The newest days of the plant, up to the start of the interval forecast;
                30 days serve as well as more.
        """
        start = record.starts[-1] + INTERVAL
        sky = sky_next(record, self.geometry)
        self._learn_from(sky, start)
        mean, raw, note = _asked(self.model, "next", record, self.geometry, 1)
        smart = np.maximum(smart_persistence_share(sky), sky.floor)
        usual = np.maximum(climatology_share(sky), sky.floor)
        means = self._means_before(start, float(mean[0]), len(sky))
        answers = _Answers(
            clear=float(sky.clear[-1]),
            group=int(sky.group[-1]),
            daylight=bool(sky.daylight[-1]),
            mean=float(mean[0]),
            raw=tuple(raw[0].tolist()) if np.isfinite(mean[0]) else None,
            inputs=correction_inputs(sky, means)[-1],
            smart=float(smart[-1]) if sky.recent[-1] else np.nan,
            usual=float(usual[-1]),
        )
        branch, found = _climb_down(answers, self.state)
        if answers.raw is not None and branch != "lstm":
            note = "the model has erred more than smart persistence of late and is not asked"
        self._pending = (start, answers)
        kw = np.array([found]) * self.geometry.rated_kw
        return LadderForecast(
            forecast=QuantileForecast(
                starts=pd.DatetimeIndex([start]), mean_kw=kw[:, 0], quantiles_kw=kw[:, 1:]
            ),
            branch=np.array([branch]),
            notes=(note,) if note else (),
        )

    def _means_before(self, start: pd.Timestamp, mean: float, rows: int) -> Floats:
        """Means of the model for the last intervals, NaN where it was not asked, shape (rows,)."""
        newest = [start - k * INTERVAL for k in range(_ERRORS, 0, -1)]
        self._means = {t: self._means[t] for t in newest if t in self._means} | {start: mean}
        found = np.full(rows, np.nan)
        for back, at in enumerate(reversed([*newest, start])):
            if back < rows:
                found[rows - 1 - back] = self._means.get(at, np.nan)
        return found

    def _learn_from(self, sky: SkySeen, now: pd.Timestamp) -> None:
        """Learn from the interval forecast last, if it is over by now, once."""
        if self._pending is None:
            return
        start, answers = self._pending
        at = len(sky) - 1 - (now - start) // INTERVAL
        if at >= len(sky) - 1:
            return
        # After a pause of days it is too long ago to be looked up here: a replay learns it.
        if at >= 0:
            _learn(answers, float(sky.power[at]), self.state)
        self._pending = None


def _walk(
    mean: Floats, raw: Floats, record: PlantRecord, geometry: PvGeometry, state: LadderState
) -> tuple[Floats, NDArray[np.str_]]:
    """Forecast and learn from each interval in turn.

    Returns:
        Mean and quantiles, shape (interval, 1 + level), shares of the rating; the branches.
    """
    sky = sky_seen(record, geometry)
    smart = np.maximum(smart_persistence_share(sky), sky.floor)
    usual = np.maximum(climatology_share(sky), sky.floor)
    inputs = correction_inputs(sky, mean)
    found = np.zeros((len(record), 1 + len(LEVELS)))
    branch = np.full(len(record), "clear_sky", dtype="<U17")
    recent, power = sky.recent, sky.power
    for i in range(len(record)):
        answers = _Answers(
            clear=float(sky.clear[i]),
            group=int(sky.group[i]),
            daylight=bool(sky.daylight[i]),
            mean=float(mean[i]),
            raw=tuple(raw[i].tolist()) if np.isfinite(mean[i]) else None,
            inputs=inputs[i],
            smart=float(smart[i]) if recent[i] else np.nan,
            usual=float(usual[i]),
        )
        branch[i], found[i] = _climb_down(answers, state)
        _learn(answers, float(power[i]), state)
    return found, branch


def _climb_down(answers: _Answers, state: LadderState) -> tuple[Branch, list[float]]:
    """Best rung that answers; its mean and quantiles, shares of the rating."""
    clear, group = answers.clear, answers.group
    # A contest is lost to smart persistence, so it only counts where that has an answer.
    asked = answers.raw is not None and not (state.contest.lost and np.isfinite(answers.smart))
    if asked:
        branch: Branch = "lstm"
    else:
        branch = "smart_persistence" if np.isfinite(answers.smart) else "clear_sky"
    if clear <= 0.0:  # night: nothing to be unsure of, whoever says so
        return branch, [0.0] * (1 + len(LEVELS))
    if answers.raw is not None and asked:
        quantiles = state.model.calibrated(answers.raw, group)
        mean = answers.mean + state.correction.of(answers.inputs)
        return branch, [within(mean, quantiles), *quantiles]
    if branch == "smart_persistence":
        return branch, [answers.smart, *state.smart.around(answers.smart, group, clear)]
    return branch, [answers.usual, *state.usual.around(answers.usual, group, clear)]


def _learn(answers: _Answers, truth: float, state: LadderState) -> None:
    """Every rung learns from every interval it answered, used or not."""
    if not (answers.daylight and np.isfinite(truth)):
        return
    clear, group = answers.clear, answers.group
    if answers.raw is not None:
        if np.isfinite(answers.smart):
            mean = answers.mean + state.correction.of(answers.inputs)
            state.contest.learn(mean - truth, answers.smart - truth)
        state.model.learn(answers.raw, group, truth)
        state.correction.learn(answers.inputs, truth - answers.mean)
    if np.isfinite(answers.smart):
        state.smart.learn(truth - answers.smart, group, clear)
    state.usual.learn(truth - answers.usual, group, clear)


def _asked(
    model: Model | None,
    how: Literal["series", "next"],
    record: PlantRecord,
    geometry: PvGeometry,
    n: int,
) -> tuple[Floats, Floats, str]:
    """Mean and quantiles of the model, NaN where they cannot be used, and why they cannot.

    Returns:
        Shapes (n,) and (n, level), shares of the rating within [0, 1].
    """
    nothing = np.full(n, np.nan), np.full((n, len(LEVELS)), np.nan)
    if model is None:
        return *nothing, "there is no model"
    try:
        answer = getattr(model, how)(record, geometry)
        mean = np.asarray(answer.mean_kw, dtype=np.float64) / geometry.rated_kw
        raw = np.asarray(answer.quantiles_kw, dtype=np.float64) / geometry.rated_kw
        both = np.column_stack([mean, raw])
    except Exception as fault:  # noqa: BLE001  whatever ails the model, the next rung answers
        return *nothing, f"the model failed: {type(fault).__name__}: {fault}"
    if both.shape != (n, 1 + len(LEVELS)):
        return *nothing, f"the model answered with {mean.shape} means, {raw.shape} quantiles"
    with np.errstate(invalid="ignore"):
        sound = np.asarray(
            np.isfinite(both).all(axis=1)
            & ((both >= -_SLACK) & (both <= 1.0 + _SLACK)).all(axis=1)
            & (np.diff(raw, axis=1) >= -_SLACK).all(axis=1)
        )
    both = np.clip(np.where(sound[:, None], both, np.nan), 0.0, 1.0)
    failed = int((~sound).sum())
    note = (
        f"the model gave no usable answer in {failed} of {n} intervals; the next rung did"
        if failed
        else ""
    )
    return both[:, 0], both[:, 1:], note
