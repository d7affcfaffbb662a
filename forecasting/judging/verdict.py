"""Who won a comparison of champion and challenger, by how much, and why not."""

from dataclasses import asdict, dataclass
from typing import Any

COVERAGE_PCT = (76.0, 84.0)
"""Within these the 80 % band counts as calibrated [%]."""

FITTING_PCT = (70.0, 90.0)
"""Outside of these the champion's 80 % band says that a series is not of the plant, or of the kind
of plant, that it is told to be [%]. On nine that are, the model of the next interval covers 76 to
83 %, the blend of the day ahead 71 to 79 % of eight and 45 % of a roof facing east and west."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How good one of the two was on one record."""

    nrmse_pct: float
    """Root mean square error [% of the rating]."""
    pinball_pct: float
    """Mean pinball loss [% of the rating]."""
    coverage80_pct: float
    """Truths within the band from 10 to 90 % [%]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """How much smaller a loss is than the champion's, mean over the records."""

    mean_pct: float
    """As measured [%]."""
    low_pct: float
    """2.5 % quantile over resampled days [%]."""
    high_pct: float
    """97.5 % quantile over resampled days [%]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """Both on one record."""

    name: str
    sha256: str | None
    first: str
    """First day judged, UTC."""
    last: str
    days: int
    intervals: int
    """Daylight intervals judged."""
    left_out: int
    """Daylight intervals left out: seen in training at this place, or needed to calibrate."""
    champion: Figures
    challenger: Figures
    plain: str
    """Plain persistence of the same reach: what it keeps."""
    plain_nrmse_pct: float
    """Its root mean square error on the same intervals [% of the rating]."""

    @property
    def misfits(self) -> tuple[str, ...]:
        """What the champion's figures say against the series: it judges no model of all plants."""
        low, high = FITTING_PCT
        held, erred = self.champion.coverage80_pct, self.champion.nrmse_pct
        found = []
        if not low <= held <= high:
            found.append(f"the champion's 80 % band covers {held:.1f} % of it")
        if erred > self.plain_nrmse_pct:
            found.append(
                f"the champion errs by {erred:.1f} %, {self.plain} kept by "
                f"{self.plain_nrmse_pct:.1f} %"
            )
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Who won, by how much, and why not."""

    kind: str
    champion: str
    champion_sha256: str
    challenger: str
    challenger_sha256: str
    rmse: Gain
    pinball: Gain
    trials: tuple[TrialResult, ...]
    against: tuple[str, ...]
    """What keeps the challenger from winning; empty when it won."""

    @property
    def won(self) -> bool:
        """Whether the challenger won."""
        return not self.against

    @property
    def misfits(self) -> tuple[str, ...]:
        """What the champion's figures say against the series."""
        return tuple(told for trial in self.trials for told in trial.misfits)

    @property
    def sentence(self) -> str:
        """All of it in one sentence."""
        days = sum(trial.days for trial in self.trials)
        said = (
            f"{self.challenger} {'wins' if self.won else 'does not win'} against {self.champion} "
            f"on {days} days: RMSE {_change(self.rmse)}, pinball loss {_change(self.pinball)}"
        )
        return f"{said}; {'; '.join(self.against)}." if self.against else f"{said}."

    def to_json(self, when: str) -> dict[str, Any]:
        """As the register keeps it.

        Args:
            when: Time of the judgement, UTC.
        """
        return {
            "kind": self.kind,
            "when": when,
            "won": self.won,
            "sentence": self.sentence,
            "champion": {"id": self.champion, "sha256": self.champion_sha256},
            "challenger": {"id": self.challenger, "sha256": self.challenger_sha256},
            "rmse": asdict(self.rmse),
            "pinball": asdict(self.pinball),
            "trials": [asdict(trial) for trial in self.trials],
            "against": list(self.against),
        }


def reasons_against(rmse: Gain, pinball: Gain, trials: tuple[TrialResult, ...]) -> tuple[str, ...]:
    """What keeps a challenger from winning, by its figures."""
    return (
        *_no_gain("RMSE", rmse),
        *_no_gain("pinball loss", pinball),
        *(reason for trial in trials for reason in _uncovered(trial)),
    )


def _no_gain(name: str, gain: Gain) -> list[str]:
    if gain.low_pct > 0.0:
        return []
    if gain.mean_pct > 0.0:
        return [f"the lower {name} may be luck"]
    return [f"its {name} is not lower"]


def _uncovered(result: TrialResult) -> list[str]:
    """Coverage outside 76–84 %, unless the champion's is at least as far off."""
    low, high = COVERAGE_PCT
    got, had = result.challenger.coverage80_pct, result.champion.coverage80_pct
    if low <= got <= high or abs(got - 80.0) <= abs(had - 80.0):
        return []
    return [f"its 80 % band covers {got:.1f} % on {result.name}, the champion's {had:.1f} %"]


def _change(gain: Gain) -> str:
    sign = 1.0 if gain.mean_pct >= 0.0 else -1.0
    word = "lower" if sign > 0.0 else "higher"
    low, high = sorted((sign * gain.low_pct, sign * gain.high_pct))
    mean, low, high = (round(x, 1) + 0.0 for x in (sign * gain.mean_pct, low, high))  # no -0.0
    return f"{mean:.1f} % {word} (95 % sure of {low:.1f} to {high:.1f} %)"
