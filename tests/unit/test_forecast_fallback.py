"""The ladder of the next interval: each rung answers where the one above is broken."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forecasting import baselines
from forecasting.calibration.contest import Contest
from forecasting.clearsky import PvGeometry
from forecasting.ladder import LadderState, PlantLadder, ladder_series
from forecasting.record import LEVELS, PlantRecord, QuantileForecast
from forecasting.series import INTERVAL
from forecasting.sky import sky_seen
from tests.cloudy import ROOF, changed, cloudy, holed

DAY = 96


class Knowing:
    """A model that says half the rating ± 15 % wherever it is light, as a good one would."""

    mean = 0.5

    def series(self, record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
        light = sky_seen(record, geometry).clear > 0.0
        return self._of(record.starts, light, geometry)

    def next(self, record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
        starts = record.starts[-1:] + INTERVAL
        light = sky_seen(_longer(record), geometry).clear[-1:] > 0.0
        return self._of(starts, light, geometry)

    def _of(self, starts: pd.DatetimeIndex, light: Any, geometry: PvGeometry) -> QuantileForecast:
        mean = np.where(light, self.mean * geometry.rated_kw, 0.0)
        spread = np.linspace(-0.15, 0.15, len(LEVELS)) * geometry.rated_kw
        return QuantileForecast(
            starts=starts,
            mean_kw=mean,
            quantiles_kw=np.where(light[:, None], mean[:, None] + spread, 0.0),
        )


class Raising(Knowing):
    def _of(self, *_: Any) -> QuantileForecast:
        raise RuntimeError("no interpreter")


class Silent(Knowing):
    mean = np.nan


class Beyond(Knowing):
    mean = 1.3


class Crossed(Knowing):
    def _of(self, *args: Any) -> QuantileForecast:
        found = super()._of(*args)
        return replace(found, quantiles_kw=found.quantiles_kw[:, ::-1])


class Sure(Knowing):
    """Its mean is sound, its bands are nothing: as where it takes a tracker for a fixed plane."""

    def series(self, record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
        sound = baselines.smart_persistence(record, geometry)
        spread = np.linspace(-0.001, 0.001, len(LEVELS)) * geometry.rated_kw
        bands = np.clip(sound.mean_kw[:, None] + spread, 0.0, geometry.rated_kw)
        return replace(sound, quantiles_kw=bands)

    def next(self, record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
        found = self.series(_longer(record), geometry)
        return QuantileForecast(
            starts=found.starts[-1:], mean_kw=found.mean_kw[-1:],
            quantiles_kw=found.quantiles_kw[-1:],
        )  # fmt: skip


class Narrow(Knowing):
    def _of(self, *args: Any) -> QuantileForecast:
        found = super()._of(*args)
        return replace(found, quantiles_kw=found.quantiles_kw[:, :3])


def _longer(record: PlantRecord) -> PlantRecord:
    return PlantRecord(
        starts=pd.DatetimeIndex([*record.starts, record.starts[-1] + INTERVAL]),
        parts_kw=np.vstack([record.parts_kw, np.full((1, record.parts_kw.shape[1]), np.nan)]),
        floor_kw=np.append(record.floor_kw, np.nan),
        cap_kw=np.append(record.cap_kw, np.inf),
    )


def light(record: PlantRecord) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    return np.asarray(sky_seen(record, ROOF).clear > 0.0)


def test_a_sound_model_answers_every_interval() -> None:
    found = ladder_series(Knowing(), cloudy(3), ROOF)
    assert set(found.branch) == {"lstm"}
    assert found.notes == ()


@pytest.mark.parametrize("broken", [Raising, Silent, Beyond, Crossed, Narrow])
def test_smart_persistence_answers_where_the_model_is_broken(broken: type[Knowing]) -> None:
    record = cloudy(6)
    found = ladder_series(broken(), record, ROOF)
    by_day = light(record)
    by_day[:1] = False  # before the first row nothing was measured
    assert set(found.branch[by_day]) == {"smart_persistence"}
    wanted = baselines.fading_persistence(record, ROOF)
    assert found.forecast.mean_kw[by_day] == pytest.approx(wanted.mean_kw[by_day])
    assert len(found.notes) == 1
    assert "model" in found.notes[0]


def test_a_model_that_clearly_loses_at_a_plant_is_put_aside_until_it_has_caught_up() -> None:
    record = cloudy(60)

    class Wrong(Knowing):
        """Good for a month, then nonsense for ten days: finite, in order and wrong.

        And further off than a correction goes.
        """

        def series(self, record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
            sound = baselines.fading_persistence(record, geometry)
            day = np.arange(len(record)) // DAY
            wrong = (day >= 30) & (day < 40)
            noise = np.random.default_rng(6).uniform(-1.2, 1.2, len(record))
            off = np.where(wrong, noise * geometry.rated_kw, 0.0) * light(record)
            return replace(
                sound,
                mean_kw=np.clip(sound.mean_kw + off, 0.0, geometry.rated_kw),
                quantiles_kw=np.clip(sound.quantiles_kw + off[:, None], 0.0, geometry.rated_kw),
            )

    found = ladder_series(Wrong(), record, ROOF)
    by_day = light(record)
    used = np.array(
        [
            (found.branch[d * DAY : d * DAY + DAY] == "lstm")[
                by_day[d * DAY : d * DAY + DAY]
            ].mean()
            for d in range(60)
        ]
    )
    assert (used[:30] == 1.0).all()
    assert (used[36:40] == 0.0).all()
    assert (used[58:] == 1.0).all()
    assert any("had erred clearly more than the rung below" in note for note in found.notes)


def test_the_usual_sky_answers_where_nothing_was_measured_for_an_hour_either() -> None:
    record = holed(cloudy(6), 4 * DAY + 30, 5 * DAY + 40)
    found = ladder_series(Raising(), record, ROOF)
    assert set(found.branch[4 * DAY + 34 : 5 * DAY + 41]) == {"clear_sky"}
    assert found.branch[4 * DAY + 33] == "smart_persistence"
    assert found.branch[5 * DAY + 41] == "smart_persistence"
    wanted = baselines.climatology(record, ROOF).mean_kw
    assert found.forecast.mean_kw[4 * DAY + 40] == pytest.approx(wanted[4 * DAY + 40])


def test_without_a_model_and_a_measurement_there_is_still_a_forecast() -> None:
    record = holed(cloudy(3), 0, 3 * DAY)
    found = ladder_series(None, record, ROOF)
    assert set(found.branch) == {"clear_sky"}
    by_day = light(record)
    assert (found.forecast.mean_kw[by_day] > 0.0).all()
    assert (np.diff(found.forecast.quantiles_kw[by_day], axis=1) >= 0.0).all()


@pytest.mark.parametrize("model", [Knowing, Raising, Beyond])
def test_a_forecast_is_within_the_rating_in_order_and_zero_at_night(model: type[Knowing]) -> None:
    record = cloudy(12)
    found = ladder_series(model(), record, ROOF).forecast
    every = np.column_stack([found.mean_kw, found.quantiles_kw])
    assert (every >= 0.0).all()
    assert (every <= ROOF.rated_kw).all()
    assert (every[~light(record)] == 0.0).all()
    assert (np.diff(found.quantiles_kw, axis=1) >= 0.0).all()


def test_the_lower_rungs_expect_no_less_than_what_is_made_under_a_cap() -> None:
    record = cloudy(6)
    rows = np.arange(len(record))
    capped = (rows >= 5 * DAY + 36) & (rows < 5 * DAY + 52)
    made_kw = np.where(capped, 0.9 * sky_seen(record, ROOF).clear * ROOF.rated_kw, record.floor_kw)
    under = PlantRecord(
        starts=record.starts,
        parts_kw=np.where(capped[:, None], np.nan, record.parts_kw),
        floor_kw=made_kw,
        cap_kw=np.where(capped, 0.5 * ROOF.rated_kw, np.inf),
    )
    found = ladder_series(None, under, ROOF)
    late = slice(5 * DAY + 41, 5 * DAY + 52)  # more than an hour after the last measurement
    clear = sky_seen(record, ROOF).clear
    falls = np.minimum(clear[late] / clear[5 * DAY + 40 : 5 * DAY + 51], 1.0)
    assert set(found.branch[late]) == {"clear_sky"}
    least = made_kw[5 * DAY + 40 : 5 * DAY + 51] * falls
    assert (found.forecast.mean_kw[late] >= least - 1e-9).all()
    free = ladder_series(None, holed(record, 5 * DAY + 36, 5 * DAY + 52), ROOF)
    assert (found.forecast.mean_kw[late] > free.forecast.mean_kw[late]).all()


def test_no_interval_knows_itself_or_a_later_one() -> None:
    record, row = cloudy(12), 9 * DAY + 44
    for model in (Knowing(), Raising()):
        before = ladder_series(model, record, ROOF)
        after = ladder_series(model, changed(record, row), ROOF)
        assert (before.forecast.mean_kw == after.forecast.mean_kw)[: row + 1].all()
        assert (before.forecast.quantiles_kw == after.forecast.quantiles_kw)[: row + 1].all()
        assert (before.branch == after.branch)[: row + 1].all()


def test_bands_that_have_lost_give_way_to_those_of_the_models_past_errors() -> None:
    record = cloudy(60)
    found = ladder_series(Sure(), record, ROOF)
    late = np.arange(len(record)) >= 30 * DAY
    judged = late & sky_seen(record, ROOF).daylight & np.isfinite(record.available_kw)
    low, high = found.forecast.quantiles_kw[:, 1], found.forecast.quantiles_kw[:, -2]
    inside = (low <= record.available_kw) & (record.available_kw <= high)
    assert (found.branch[judged] == "lstm").all()
    assert 72.0 < 100.0 * inside[judged].mean() < 88.0
    assert any("those of its past errors, which served in" in note for note in found.notes)
    ladder = PlantLadder(Sure(), ROOF)
    ladder.replay(record.part(0, 40 * DAY))
    assert ladder.next(record.part(0, 40 * DAY + 45)).notes == (
        "the model's bands were too bad of late: those of its past errors serve",
    )


def test_sound_bands_are_never_given_up() -> None:
    class Sound(Knowing):
        def series(self, record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
            return baselines.smart_persistence(record, geometry)

    found = ladder_series(Sound(), cloudy(60), ROOF)
    assert not any("past errors" in note for note in found.notes)


@pytest.mark.parametrize("model", [Knowing, Raising, Sure])
def test_one_interval_at_a_time_gives_what_the_whole_record_gives(model: type[Knowing]) -> None:
    record, begin, end = cloudy(12), 10 * DAY + 30, 10 * DAY + 60
    whole = ladder_series(model(), record.part(0, end), ROOF)
    ladder = PlantLadder(model(), ROOF)
    ladder.replay(record.part(0, begin))
    for row in range(begin, end):
        found = ladder.next(record.part(0, row))
        assert found.forecast.starts[0] == record.starts[row]
        assert found.branch[0] == whole.branch[row]
        assert found.forecast.mean_kw[0] == pytest.approx(whole.forecast.mean_kw[row])
        assert found.forecast.quantiles_kw[0] == pytest.approx(whole.forecast.quantiles_kw[row])


def test_a_state_stored_and_read_back_goes_on_as_if_it_had_not_stopped() -> None:
    record = cloudy(12)
    ladder = PlantLadder(Knowing(), ROOF)
    ladder.replay(record.part(0, 10 * DAY))
    stored = json.loads(json.dumps(ladder.state.to_json()))
    again = PlantLadder(Knowing(), ROOF, LadderState.from_json(stored))
    now = record.part(0, 10 * DAY + 45)
    assert again.next(now).forecast.quantiles_kw == pytest.approx(
        ladder.next(now).forecast.quantiles_kw, abs=1e-3
    )


@pytest.mark.parametrize("document", [{}, {"model": 3}, {"model": {}, "smart": [], "usual": None}])
def test_a_state_of_another_form_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="start afresh"):
        LadderState.from_json(document)


@pytest.mark.parametrize("wrong", [{"model": -1.0}, {"other": float("nan")}, {"met": -2}])
def test_losses_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="start afresh"):
        Contest.from_json({**Contest(1.0).to_json(), **wrong}, 1.0)


def test_an_interval_is_learnt_from_once() -> None:
    record = cloudy(12)
    ladder = PlantLadder(Knowing(), ROOF)
    ladder.next(record.part(0, 10 * DAY + 40))
    ladder.next(record.part(0, 10 * DAY + 41))
    learnt = ladder.state.to_json()
    ladder.next(record.part(0, 10 * DAY + 41))
    assert ladder.state.to_json() == learnt
