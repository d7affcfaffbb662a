"""The ladder over a whole record: forecast interval by interval, or only learnt from."""

import numpy as np
from numpy.typing import NDArray

from forecasting.baselines import climatology_share, fading_persistence_share
from forecasting.calibration.correction import correction_inputs
from forecasting.clearsky import Floats, PvGeometry
from forecasting.ladder.answers import Model, asked, unusable, usable
from forecasting.ladder.state import (
    Answers,
    LadderForecast,
    LadderState,
    climb_down,
    learn,
)
from forecasting.record import LEVELS, PlantRecord, QuantileForecast
from forecasting.sky import sky_seen

_LOST = "the model had erred clearly more than the rung below: not used in {lost} of {n} intervals"
_BANDS_LOST = (
    "the model's own bands were clearly worse than those of its past errors, which served in "
    "{lost} of {n} intervals: this may be no fixed plane, or not where and how it is said to be"
)


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
    mean, raw, note = answers_of(model, record, geometry)
    found, branch, own = _walk(mean, raw, record, geometry, state or LadderState())
    lost = int((np.isfinite(mean) & (branch != "lstm")).sum())
    notes = (
        note,
        _LOST.format(lost=lost, n=len(record)) if lost else "",
        _BANDS_LOST.format(lost=own, n=len(record)) if own else "",
    )
    return LadderForecast(
        forecast=QuantileForecast(
            starts=record.starts,
            mean_kw=found[:, 0] * geometry.rated_kw,
            quantiles_kw=found[:, 1:] * geometry.rated_kw,
        ),
        branch=branch,
        notes=tuple(filter(None, notes)),
    )


def answers_of(
    model: Model | None, record: PlantRecord, geometry: PvGeometry
) -> tuple[Floats, Floats, str]:
    """Mean and quantiles of a model for each interval, and why there are none.

    Returns:
        Shapes (interval,) and (interval, level), shares of the rating within [0, 1]; NaN where
        they cannot be used.
    """
    given, note = asked(model, "series", record, geometry, len(record))
    both, sound = usable(given)
    return both[:, 0], both[:, 1:], note or unusable(sound, record)


def learn_from_all(
    mean: Floats, raw: Floats, record: PlantRecord, geometry: PvGeometry, state: LadderState
) -> None:
    """Learn from each interval what `ladder_series` learns on its way, without the forecasts.

    Nothing that is learnt depends on what another part has learnt, so each part takes all
    intervals at once: a tenth of the time.

    Args:
        mean: Of the model, as `answers_of` says.
        raw: Its quantiles.
        record: The plant.
        geometry: Of the plant.
        state: Where to start from; it is advanced to the record's end.
    """
    sky = sky_seen(record, geometry)
    taught = sky.daylight & np.isfinite(sky.power)
    smart = np.where(sky.recent, np.maximum(fading_persistence_share(sky), sky.floor), np.nan)
    usual = np.maximum(climatology_share(sky), sky.floor)
    model = np.flatnonzero(taught & np.isfinite(mean))
    truth, group = sky.power[model], sky.group[model].tolist()
    inputs = correction_inputs(sky, mean)[model]
    corrected = mean[model] + state.correction.run(inputs, truth - mean[model])
    beside = np.isfinite(smart[model])
    errors = (corrected - truth)[beside].tolist(), (smart[model] - truth)[beside].tolist()
    for model_error, smart_error in zip(*errors, strict=True):
        state.contest.learn(model_error**2, smart_error**2)
    told = (
        raw[model].tolist(),
        corrected.tolist(),
        group,
        sky.clear[model].tolist(),
        truth.tolist(),
    )
    for quantiles, best, kind, clear, power in zip(*told, strict=True):
        state.bands.learn(quantiles, best, kind, clear, power)
    for bins, simple in ((state.smart, smart), (state.usual, usual)):
        rows = taught & np.isfinite(simple)
        bins.learn_all((sky.power - simple)[rows], sky.group[rows], sky.clear[rows])


def _walk(
    mean: Floats, raw: Floats, record: PlantRecord, geometry: PvGeometry, state: LadderState
) -> tuple[Floats, NDArray[np.str_], int]:
    """Forecast and learn from each interval in turn.

    Returns:
        Mean and quantiles, shape (interval, 1 + level), shares of the rating; the branches; in how
        many light intervals the model's bands were those of its past errors.
    """
    sky = sky_seen(record, geometry)
    smart = np.maximum(fading_persistence_share(sky), sky.floor)
    usual = np.maximum(climatology_share(sky), sky.floor)
    inputs = correction_inputs(sky, mean)
    found = np.zeros((len(record), 1 + len(LEVELS)))
    branch = np.full(len(record), "clear_sky", dtype="<U17")
    recent, power = sky.recent, sky.power
    own = 0
    for i in range(len(record)):
        answers = Answers(
            clear=float(sky.clear[i]),
            group=int(sky.group[i]),
            daylight=bool(sky.daylight[i]),
            mean=float(mean[i]),
            raw=tuple(raw[i].tolist()) if np.isfinite(mean[i]) else None,
            inputs=inputs[i],
            smart=float(smart[i]) if recent[i] else np.nan,
            usual=float(usual[i]),
        )
        branch[i], found[i] = climb_down(answers, state)
        own += branch[i] == "lstm" and answers.clear > 0.0 and state.bands.lost
        learn(answers, float(power[i]), state)
    return found, branch, own
