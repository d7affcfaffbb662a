"""The ladder of one plant in service, one interval at a time; of all plants of a site at once."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from forecasting.baselines import climatology_share, fading_persistence_share
from forecasting.calibration.correction import correction_inputs
from forecasting.clearsky import Floats, PvGeometry
from forecasting.ladder.answers import Model, asked, unusable_next, usable
from forecasting.ladder.state import Answers, LadderForecast, LadderState, climb_down, learn
from forecasting.ladder.whole import answers_of, learn_from_all
from forecasting.record import LEVELS, PlantRecord, QuantileForecast
from forecasting.series import INTERVAL
from forecasting.sky import NEXT_ROWS, Newest, skies_next

_ERRORS = 2
"""Newest errors of the model that the correction asks for."""

_INTERVAL_S = 900

# After a longer pause the interval forecast last is not looked up: a replay learns from it.
_LEARNT_LATE = 5 * 96

_NOT_ASKED = "the model has erred clearly more than the rung below of late and is not asked"
_OWN_BANDS = "the model's bands were too bad of late: those of its past errors serve"


class PlantLadder:
    """The ladder of one plant in service."""

    def __init__(
        self, model: Model | None, geometry: PvGeometry, state: LadderState | None = None
    ) -> None:
        """Start from what was learnt before; see `replay` to learn it from a history."""
        self.model = model
        self.geometry = geometry
        self.state = state or LadderState()
        self._pending: tuple[int, Answers] | None = None
        # The model's newest means by number of the interval since 1970; NaN where it was silent.
        self._means: dict[int, float] = {}

    def replay(self, record: PlantRecord) -> None:
        """Learn from a history, as if it had been forecast interval by interval."""
        mean, raw, _ = answers_of(self.model, record, self.geometry)
        learn_from_all(mean, raw, record, self.geometry, self.state)
        self._pending = None
        coming = _number_after(record) if len(record) else 0
        newest = mean[-_ERRORS:].tolist()
        self._means = {coming - len(newest) + k: m for k, m in enumerate(newest)}

    def next(self, record: PlantRecord) -> LadderForecast:
        """Forecast the interval after the record's last, once its last is learnt from.

        Args:
            record: The newest days of the plant, up to the start of the interval forecast;
                30 days serve as well as more.
        """
        newest = Newest(record=record, available_kw=record.available_kw, geometry=self.geometry)
        return next_of_all([self], [newest])[0]

    def learn_from(self, newest: Newest, coming: int) -> None:
        """Learn from the interval forecast last, if it is over by now, once.

        Args:
            newest: The plant up to now.
            coming: Number of the coming interval.
        """
        if self._pending is None:
            return
        then, answers = self._pending
        back = coming - then
        if back <= 0:
            return
        if back <= min(len(newest.record), _LEARNT_LATE):
            learn(answers, newest.power_before(back), self.state)
        self._pending = None

    def means_before(self, coming: int, mean: float) -> list[float]:
        """Means of the model in the last intervals, and in the coming one, which is kept."""
        newest = range(coming - _ERRORS, coming)
        self._means = {t: self._means[t] for t in newest if t in self._means} | {coming: mean}
        return [self._means.get(t, np.nan) for t in (*newest, coming)]

    def answer(
        self, answers: Answers, coming: int, note: str
    ) -> tuple[str, list[float], tuple[str, ...]]:
        """Branch, mean and quantiles as shares of the rating, and notes; to be learnt from."""
        branch, found = climb_down(answers, self.state)
        if answers.raw is not None and branch != "lstm":
            note = _NOT_ASKED
        elif branch == "lstm" and self.state.bands.lost:
            note = _OWN_BANDS
        self._pending = (coming, answers)
        return branch, found, (note,) if note else ()


def next_of_all(ladders: Sequence[PlantLadder], plants: Sequence[Newest]) -> list[LadderForecast]:
    """Forecast the coming interval of each plant, as `PlantLadder.next` does of one.

    Args:
        ladders: Of the plants.
        plants: The plants up to now, of the ladders' geometry.

    Raises:
        ValueError: a record is empty, so that there is no next interval.
    """
    sky = skies_next(plants)
    coming = [_number_after(p.record) for p in plants]
    for ladder, plant, at in zip(ladders, plants, coming, strict=True):
        ladder.learn_from(plant, at)
    both, notes = _asked_all(ladders, plants)
    inputs = correction_inputs(sky, _means(ladders, coming, both[:, 0]))
    last = np.arange(1, len(plants) + 1) * NEXT_ROWS - 1
    clear, group, daylight = (a[last].tolist() for a in (sky.clear, sky.group, sky.daylight))
    smart = np.where(sky.recent, np.maximum(fading_persistence_share(sky), sky.floor), np.nan)
    usual = np.maximum(climatology_share(sky), sky.floor)
    smart_now, usual_now, told = smart[last].tolist(), usual[last].tolist(), both.tolist()
    found = []
    for i, ladder in enumerate(ladders):
        answers = Answers(
            clear=clear[i],
            group=group[i],
            daylight=daylight[i],
            mean=told[i][0],
            raw=None if np.isnan(told[i][0]) else tuple(told[i][1:]),
            inputs=inputs[last[i]],
            smart=smart_now[i],
            usual=usual_now[i],
        )
        branch, shares, why = ladder.answer(answers, coming[i], notes[i])
        kw = np.array([shares]) * ladder.geometry.rated_kw
        told_kw = QuantileForecast(
            starts=_start_of(coming[i]), mean_kw=kw[:, 0], quantiles_kw=kw[:, 1:]
        )
        found.append(LadderForecast(forecast=told_kw, branch=np.array([branch]), notes=why))
    return found


def _asked_all(
    ladders: Sequence[PlantLadder], plants: Sequence[Newest]
) -> tuple[Floats, list[str]]:
    """What each model says of the coming interval, and why it says nothing usable.

    Returns:
        Mean and quantiles, shape (plant, 1 + level), shares of the rating; NaN where unusable.
    """
    given = np.empty((len(plants), 1 + len(LEVELS)))
    notes: list[str] = []
    for i, (ladder, plant) in enumerate(zip(ladders, plants, strict=True)):
        given[i], note = asked(ladder.model, "next", plant.record, plant.geometry, 1)
        notes.append(note)
    both, sound = usable(given)
    for i in np.flatnonzero(~sound).tolist():
        notes[i] = notes[i] or unusable_next(plants[i].record)
    return both, notes


def _means(ladders: Sequence[PlantLadder], coming: Sequence[int], mean: Floats) -> Floats:
    """Means of the models in the rows of `skies_next`, NaN where not asked, shape (row,)."""
    found = np.full((len(ladders), NEXT_ROWS), np.nan)
    for i, (ladder, at, now) in enumerate(zip(ladders, coming, mean.tolist(), strict=True)):
        found[i, -_ERRORS - 1 :] = ladder.means_before(at, now)
    return found.ravel()


def _number_after(record: PlantRecord) -> int:
    """Number since 1970 of the interval after a record's last."""
    return int(record.starts[-1].timestamp()) // _INTERVAL_S + 1


@lru_cache(maxsize=4)  # all plants of a site ask for the same interval
def _start_of(number: int) -> pd.DatetimeIndex:
    return pd.DatetimeIndex([pd.Timestamp(0, tz="UTC") + number * INTERVAL])
