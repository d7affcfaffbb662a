"""What is learnt of a plant, and how the answers of the rungs become a forecast of one interval."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from forecasting.calibration.bands import Bands
from forecasting.calibration.contest import MEAN_LOST, Contest
from forecasting.calibration.correction import Correction
from forecasting.calibration.residuals import ResidualBins
from forecasting.clearsky import Floats
from forecasting.record import LEVELS, QuantileForecast

Branch = Literal["lstm", "smart_persistence", "clear_sky"]

BRANCHES: tuple[Branch, ...] = ("lstm", "smart_persistence", "clear_sky")
"""Best first."""


@dataclass(slots=True, kw_only=True)
class LadderState:
    """What was learnt of a plant; it is advanced one interval at a time."""

    bands: Bands = field(default_factory=Bands)
    correction: Correction = field(default_factory=Correction)
    contest: Contest = field(default_factory=lambda: Contest(MEAN_LOST))
    """Of the model's mean, corrected, with fading persistence."""
    smart: ResidualBins = field(default_factory=ResidualBins)
    usual: ResidualBins = field(default_factory=ResidualBins)

    def to_json(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON holds it."""
        return {
            "bands": self.bands.to_json(),
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
                bands=Bands.from_json(document["bands"]),
                correction=Correction.from_json(document["correction"]),
                contest=Contest.from_json(document["contest"], MEAN_LOST),
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


@dataclass(slots=True, kw_only=True)
class Answers:
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


def climb_down(answers: Answers, state: LadderState) -> tuple[Branch, list[float]]:
    """Best rung that answers; its mean and quantiles, shares of the rating."""
    clear, group = answers.clear, answers.group
    # A contest is lost to fading persistence, so it only counts where that has an answer.
    asked = answers.raw is not None and not (state.contest.lost and np.isfinite(answers.smart))
    if asked:
        branch: Branch = "lstm"
    else:
        branch = "smart_persistence" if np.isfinite(answers.smart) else "clear_sky"
    if clear <= 0.0:  # night: nothing to be unsure of, whoever says so
        return branch, [0.0] * (1 + len(LEVELS))
    if answers.raw is not None and asked:
        mean = answers.mean + state.correction.of(answers.inputs)
        return branch, state.bands.around(answers.raw, mean, group, clear)
    if branch == "smart_persistence":
        return branch, [answers.smart, *state.smart.around(answers.smart, group, clear)]
    return branch, [answers.usual, *state.usual.around(answers.usual, group, clear)]


def learn(answers: Answers, truth: float, state: LadderState) -> None:
    """Every rung learns from every interval it answered, used or not."""
    if not (answers.daylight and np.isfinite(truth)):
        return
    clear, group = answers.clear, answers.group
    if answers.raw is not None:
        mean = answers.mean + state.correction.of(answers.inputs)
        if np.isfinite(answers.smart):
            state.contest.learn((mean - truth) ** 2, (answers.smart - truth) ** 2)
        state.bands.learn(answers.raw, mean, group, clear, truth)
        state.correction.learn(answers.inputs, truth - answers.mean)
    if np.isfinite(answers.smart):
        state.smart.learn(truth - answers.smart, group, clear)
    state.usual.learn(truth - answers.usual, group, clear)
