"""The ladder of the forecast stage: each rung, and what is said when one is not used."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ems.domain import (
    DerReading,
    Forecast,
    Limits,
    LoadReading,
    Pv,
    PvForecast,
    Quality,
    Site,
    Snapshot,
)
from ems.forecast import METHODS, LadderForecaster, Method
from ems.forecast.bound import upper_bound_kw, upper_bounds_kw
from ems.forecast.models import Chosen
from ems.forecast.observed import Observed
from forecasting.clearsky import PvGeometry, clear_sky_kw, clear_sky_mean_kw
from forecasting.ladder import LadderForecast, PlantLadder
from forecasting.record import LEVELS, PlantRecord, QuantileForecast, plant_record
from forecasting.rungs import usual_sky
from forecasting.series import INTERVAL
from models import champion
from tests.sites import available

PV = Pv(name="pv1", bus="B13", rated_kw=1000.0)
SITE = Site(
    name="segment",
    latitude_deg=35.2,
    longitude_deg=-80.8,
    ders=(PV,),
    limits=Limits(v_min_pu=0.9, v_max_pu=1.1),
    load_max_kw=2000.0,
    load_min_kw=500.0,
)
GEOMETRY = PvGeometry(
    latitude_deg=35.2, longitude_deg=-80.8, tilt_deg=20.0, azimuth_deg=180.0, rated_kw=1000.0
)
# 17:30 UTC is about solar noon at 80.8° west.
NOON = datetime(2026, 6, 10, 17, 30, tzinfo=UTC)
NIGHT = datetime(2026, 6, 10, 6, 30, tzinfo=UTC)
SUNRISE = datetime(2026, 6, 10, 10, 15, tzinfo=UTC)

KINDS = {"lstm": "pv_pooled", "paper_lstm": "paper_lstm"}
"""Kind of artefact that a method runs."""


def ladder(method: Method = "lstm") -> LadderForecaster:
    """A forecaster that has seen nothing yet."""
    return LadderForecaster(method)


class Kept:
    """A history that holds one series."""

    def __init__(self, series: Any) -> None:
        self.series = series

    def pv_record(self, der: str, since: datetime, until: datetime) -> PlantRecord:
        assert der == "pv1"
        return available(self.series, since, until)

    def load_kw(self, since: datetime, until: datetime) -> Any:
        raise AssertionError(f"the sun does not ask for the load, {since} {until}")


class Careless(Kept):
    """A history that hands out everything it has, the future too."""

    def pv_record(self, der: str, since: datetime, until: datetime) -> PlantRecord:
        del der, since, until
        return plant_record(self.series, 15)


class Broken:
    """A history whose database is gone."""

    def pv_record(self, der: str, since: datetime, until: datetime) -> Any:
        raise OSError(f"disk of {der} gone, {since} {until}")

    def load_kw(self, since: datetime, until: datetime) -> Any:
        raise OSError(f"disk gone, {since} {until}")


EMPTY = Kept(pd.Series(dtype=float, index=pd.DatetimeIndex([], tz="UTC")))


def sunny(until: datetime, share: float = 0.8, days: int = 6) -> "pd.Series[float]":
    """A history that measured the same share of the clear sky all along."""
    starts = pd.date_range(until - timedelta(days=days), until, freq="15min", inclusive="left")
    return pd.Series(share * clear_sky_mean_kw(GEOMETRY, starts), index=starts)


def cloudy(until: datetime, days: int = 6) -> "pd.Series[float]":
    """A history under clouds that come and go."""
    series = sunny(until, share=1.0, days=days)
    return series * np.random.default_rng(1).uniform(0.2, 1.0, len(series))


def clear_at(when: datetime) -> float:
    return float(clear_sky_kw(GEOMETRY, pd.DatetimeIndex([when]))[0])


def clear_mean(start: datetime) -> float:
    return float(clear_sky_mean_kw(GEOMETRY, pd.DatetimeIndex([start]))[0])


def snapshot(now: datetime, **reading: Any) -> Snapshot:
    given: dict[str, Any] = {
        "der": "pv1",
        "time": now,
        "p_kw": 0.4 * clear_at(now),
        "q_kvar": 0.0,
    } | reading
    return Snapshot(
        time=now,
        ders={"pv1": DerReading(**given)},
        load=LoadReading(time=now, p_kw=1234.0, q_kvar=321.0),
    )


def forecast(
    now: datetime, history: Any, forecaster: LadderForecaster | None = None, **reading: Any
) -> tuple[PvForecast, Forecast]:
    whole = (forecaster or ladder()).predict(SITE, snapshot(now, **reading), history)
    return whole.pv["pv1"], whole


# --- rungs ---------------------------------------------------------------------------


def test_the_pooled_model_is_used_when_the_sky_of_the_past_hours_was_measured() -> None:
    series = cloudy(NOON)
    pv, whole = forecast(NOON, Kept(series), p_kw=float(series.iloc[-1]))
    assert pv.method == "lstm"
    assert whole.notes == ()
    assert 0.1 * clear_mean(NOON) < pv.expected_kw < clear_mean(NOON)


def test_the_published_model_is_used_when_the_five_previous_days_were_measured() -> None:
    pv, whole = forecast(NOON, Kept(sunny(NOON)), ladder("paper_lstm"))
    assert pv.method == "paper_lstm"
    assert whole.notes == ()
    assert pv.expected_kw > 0.5 * clear_mean(NOON)


def test_a_day_not_measured_steps_down_from_the_published_model_and_says_so() -> None:
    series = sunny(NOON)
    holed = series.where(series.index != NOON - timedelta(days=3))
    pv, whole = forecast(NOON, Kept(holed), ladder("paper_lstm"))
    assert pv.method == "smart_persistence"
    (note,) = whole.notes
    assert note == (
        "pv1: paper_lstm not used: not all of the five previous days were measured at this time, "
        "uncapped"
    )


class Model:
    """A model whose answer is given."""

    def __init__(self, mean_kw: float, quantiles_kw: Any) -> None:
        self.mean_kw, self.quantiles_kw = mean_kw, quantiles_kw

    def series(self, record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
        del geometry
        return self._answer(record.starts)

    def next(self, record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
        del geometry
        return self._answer(record.starts[-1:] + INTERVAL)

    def _answer(self, starts: pd.DatetimeIndex) -> QuantileForecast:
        return QuantileForecast(
            starts=starts,
            mean_kw=np.full(len(starts), self.mean_kw),
            quantiles_kw=np.tile(np.asarray(self.quantiles_kw, dtype=float), (len(starts), 1)),
        )


class Raises(Model):
    def _answer(self, starts: pd.DatetimeIndex) -> QuantileForecast:
        raise ArithmeticError(f"no answer for {len(starts)}")


def with_model(model: Any) -> LadderForecaster:
    """A forecaster whose first rung is given."""

    class Given:
        def ladder(self, plant: str, geometry: PvGeometry) -> Chosen:
            del plant
            return Chosen(ladder=PlantLadder(model, geometry))

    forecaster = ladder()
    forecaster._models = Given()  # type: ignore[assignment]  # stands in for the register
    return forecaster


SOUND = (500.0, 550.0, 600.0, 650.0, 700.0, 750.0, 800.0)


@pytest.mark.parametrize(
    "broken",
    [
        Raises(650.0, SOUND),
        Model(float("nan"), SOUND),
        Model(650.0, (float("inf"), *SOUND[1:])),
        Model(650.0, SOUND[::-1]),
        Model(-50.0, SOUND),
        Model(650.0, (*SOUND[:-1], 2000.0)),
        Model(650.0, SOUND[:3]),
    ],
)
def test_a_model_that_fails_or_answers_nonsense_gives_way_to_smart_persistence(
    broken: Model,
) -> None:
    pv, whole = forecast(NOON, Kept(sunny(NOON, share=0.6)), with_model(broken))
    assert pv.method == "smart_persistence"
    assert pv.expected_kw == pytest.approx(0.6 * clear_mean(NOON), rel=0.01)
    assert [n.split(":")[1] for n in whole.notes] == [" lstm not used"]
    assert list(pv.quantiles_kw) == sorted(pv.quantiles_kw)
    assert len(pv.quantiles_kw) == len(LEVELS)


def test_without_model_and_measurement_the_clear_sky_climatology_is_left() -> None:
    pv, whole = forecast(NOON, EMPTY, with_model(Raises(0.0, SOUND)), cap_kw=1.0)
    assert pv.method == "clear_sky"
    assert pv.expected_kw == pytest.approx(0.7 * clear_mean(NOON), rel=1e-6)
    assert [n.split(":")[1] for n in whole.notes] == [
        " lstm not used",
        " smart_persistence not used",
    ]


def test_smart_persistence_carries_the_present_clear_sky_index_on() -> None:
    pv, _ = forecast(NOON, EMPTY, ladder("smart_persistence"), p_kw=0.3 * clear_at(NOON))
    assert pv.method == "smart_persistence"
    assert pv.expected_kw == pytest.approx(0.3 * clear_mean(NOON), rel=1e-6)


def test_a_capped_reading_tells_nothing_and_the_last_uncapped_interval_is_used() -> None:
    history = Kept(sunny(NOON - INTERVAL, share=0.6, days=1))
    pv, _ = forecast(NOON, history, ladder("smart_persistence"), p_kw=100.0, cap_kw=100.0)
    assert pv.method == "smart_persistence"
    assert pv.expected_kw == pytest.approx(0.6 * clear_mean(NOON), rel=1e-6)


def test_a_device_that_tells_what_it_could_make_is_heard_under_its_cap() -> None:
    told = {"p_kw": 100.0, "cap_kw": 100.0, "available_kw": 0.5 * clear_at(NOON)}
    pv, _ = forecast(NOON, EMPTY, ladder("smart_persistence"), **told)
    assert pv.method == "smart_persistence"
    assert pv.expected_kw == pytest.approx(0.5 * clear_mean(NOON), rel=1e-6)


def test_a_cap_that_does_not_bind_is_a_cap_but_one_at_the_rating_is_none() -> None:
    smart: Method = "smart_persistence"
    capped, _ = forecast(NOON, EMPTY, ladder(smart), p_kw=100.0, cap_kw=900.0)
    assert capped.method == "clear_sky"
    free, _ = forecast(NOON, EMPTY, ladder(smart), p_kw=100.0, cap_kw=1000.0)
    assert free.method == "smart_persistence"


@pytest.mark.parametrize(
    "reading",
    [
        {"cap_kw": 50.0},
        {"quality": Quality.ASSUMED},
        {"p_kw": float("nan")},
        {"p_kw": float("inf")},
        {"quality": Quality.STALE, "time": NOON - timedelta(minutes=61)},
        {"time": NOON + timedelta(minutes=20)},
    ],
)
def test_without_a_recent_uncapped_measurement_the_clear_sky_climatology_is_left(
    reading: dict[str, Any],
) -> None:
    pv, whole = forecast(NOON, EMPTY, ladder("smart_persistence"), **reading)
    assert pv.method == "clear_sky"
    assert pv.expected_kw == pytest.approx(0.7 * clear_mean(NOON), rel=1e-6)
    assert [n.split(":")[1] for n in whole.notes] == [" smart_persistence not used"]


def test_an_hour_old_interval_still_serves_and_an_older_one_does_not() -> None:
    recent = Kept(sunny(NOON - timedelta(minutes=45), days=1))
    assert forecast(NOON, recent, ladder("smart_persistence"), cap_kw=1.0)[0].method == (
        "smart_persistence"
    )
    old = Kept(sunny(NOON - timedelta(minutes=75), days=1))
    assert forecast(NOON, old, ladder("smart_persistence"), cap_kw=1.0)[0].method == "clear_sky"


def test_climatology_takes_the_index_of_the_past_days_when_it_knows_them() -> None:
    history = Kept(sunny(NOON - timedelta(hours=3), share=0.4))
    pv, _ = forecast(NOON, history, ladder("clear_sky"))
    assert pv.expected_kw == pytest.approx(0.4 * clear_mean(NOON), rel=0.02)


def test_near_sunrise_smart_persistence_rests_on_the_past_days() -> None:
    pv, _ = forecast(SUNRISE, Kept(sunny(SUNRISE, share=0.5)), ladder("smart_persistence"))
    assert pv.method == "smart_persistence"
    assert 0.0 < pv.expected_kw < 0.55 * clear_mean(SUNRISE)


@pytest.mark.parametrize("method", ["smart_persistence", "clear_sky"])
def test_a_lower_rung_can_be_chosen_and_is_no_reason_for_a_note(method: Method) -> None:
    pv, whole = forecast(NOON, Kept(sunny(NOON)), ladder(method))
    assert pv.method == method
    assert whole.notes == ()


def test_an_unknown_method_or_confidence_is_refused() -> None:
    with pytest.raises(ValueError, match="lstm, paper_lstm, smart_persistence, clear_sky"):
        LadderForecaster("oracle")  # type: ignore[arg-type]  # the fault under test
    with pytest.raises(ValueError, match=r"above 0\.5"):
        LadderForecaster(confidence=0.5)


class Breaks:
    """A ladder with a fault of its own, not of its model."""

    def replay(self, record: PlantRecord) -> None:
        raise ZeroDivisionError(f"replay of {len(record)}")

    def next(self, record: PlantRecord) -> LadderForecast:
        raise ZeroDivisionError(f"next after {len(record)}")


def test_a_ladder_that_breaks_gives_way_to_one_that_does_not_and_says_so() -> None:
    class Given:
        def ladder(self, plant: str, geometry: PvGeometry) -> Chosen:
            del plant, geometry
            return Chosen(ladder=Breaks())

    forecaster = ladder()
    forecaster._models = Given()  # type: ignore[assignment]  # stands in for the register
    for _ in range(2):  # the first cycle breaks while it learns, the next while it forecasts
        pv, whole = forecast(NOON, Kept(sunny(NOON, share=0.6)), forecaster)
        assert pv.method == "smart_persistence"
        assert pv.expected_kw == pytest.approx(0.6 * clear_mean(NOON), rel=0.01)
        assert whole.notes[0].startswith("pv1: lstm broke: ZeroDivisionError: ")


def test_a_rung_that_breaks_leaves_the_one_below(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: Any) -> Any:
        raise KeyError("rung")

    usual = ("clear_sky", usual_sky)
    monkeypatch.setattr("ems.forecast.models._SIMPLE", (("smart_persistence", breaks), usual))
    pv, whole = forecast(NOON, Kept(sunny(NOON, share=0.4)), ladder("smart_persistence"))
    assert pv.method == "clear_sky"
    assert pv.expected_kw == pytest.approx(0.4 * clear_mean(NOON), rel=0.02)
    assert "smart_persistence broke: KeyError" in whole.notes[0]


def test_one_plant_whose_every_rung_breaks_leaves_the_others_their_forecast(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sound = Observed.until

    def until(self: Observed, *given: Any) -> Any:
        if self.der == "pv2":
            raise ZeroDivisionError("here")
        return sound(self, *given)

    monkeypatch.setattr(Observed, "until", until)
    two = replace(SITE, ders=(PV, replace(PV, name="pv2", rated_kw=70.0)))
    found = ladder("smart_persistence").predict(two, snapshot(NOON), Kept(sunny(NOON)))
    assert found.pv["pv1"].expected_kw > 300.0
    assert found.pv["pv2"] == PvForecast(
        expected_kw=0.0, lower_kw=0.0, upper_kw=70.0, method="clear_sky"
    )
    (note,) = found.notes
    assert note.startswith("pv2: no forecast (ZeroDivisionError: here)")


# --- quantiles -----------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_quantiles_ascend_and_stay_within_what_is_possible(method: Method) -> None:
    pv, whole = forecast(NOON, Kept(cloudy(NOON)), ladder(method))
    assert whole.levels == LEVELS
    assert len(pv.quantiles_kw) == len(LEVELS)
    assert list(pv.quantiles_kw) == sorted(pv.quantiles_kw)
    assert 0.0 <= pv.quantiles_kw[0] < pv.quantiles_kw[-1] <= pv.upper_kw


def test_the_lower_bound_is_no_sun_unless_less_confidence_is_asked_for() -> None:
    history = Kept(sunny(NOON))
    sure, whole = forecast(NOON, history)
    assert (sure.lower_kw, whole.confidence) == (0.0, 1.0)
    less, _ = forecast(NOON, history, LadderForecaster(confidence=0.95))
    assert less.lower_kw == pytest.approx(less.quantiles_kw[0])
    assert 0.0 < less.lower_kw <= less.expected_kw


def test_a_forecaster_learns_from_cycle_to_cycle_how_wrong_it_is() -> None:
    """Under changing clouds the bands must come out wider than under a steady sky."""
    width = {}
    for name, series in (("steady", sunny(NOON)), ("changing", cloudy(NOON))):
        forecaster = ladder("smart_persistence")
        for k in range(8, 0, -1):
            forecast(NOON - k * INTERVAL, Kept(series), forecaster)
        pv, _ = forecast(NOON, Kept(series), forecaster)
        width[name] = pv.quantiles_kw[-1] - pv.quantiles_kw[0]
    assert width["changing"] > 2.0 * width["steady"]


def test_after_the_first_cycle_only_the_newest_hours_are_read_again() -> None:
    asked: list[timedelta] = []

    class Counting(Kept):
        def pv_record(self, der: str, since: datetime, until: datetime) -> PlantRecord:
            asked.append(until - since)
            return super().pv_record(der, since, until)

    forecaster, history = ladder("smart_persistence"), Counting(sunny(NOON))
    forecast(NOON - INTERVAL, history, forecaster)
    first, asked[:] = max(asked), []
    forecast(NOON, history, forecaster)
    assert first == timedelta(days=31)
    assert max(asked) <= timedelta(hours=4)


def test_what_was_read_before_serves_while_the_database_is_gone() -> None:
    forecaster = ladder("smart_persistence")
    forecast(NOON - INTERVAL, Kept(sunny(NOON - INTERVAL, share=0.6)), forecaster)
    pv, whole = forecast(NOON, Broken(), forecaster, cap_kw=1.0)
    assert pv.method == "smart_persistence"
    assert pv.expected_kw == pytest.approx(0.6 * clear_mean(NOON), rel=1e-6)
    assert whole.notes[0].startswith("pv1: history not used: OSError")


# --- bounds --------------------------------------------------------------------------


def test_the_upper_bound_is_the_brightest_sky_within_five_minutes_and_a_quarter_more() -> None:
    morning = datetime(2026, 3, 20, 13, 0, tzinfo=UTC)
    pv, _ = forecast(morning, EMPTY)
    minutes = [morning + timedelta(minutes=m) for m in range(-5, 21)]
    brightest = max(clear_at(t) for t in minutes)
    assert clear_mean(morning) < brightest < 500.0
    assert pv.upper_kw == pytest.approx(1.25 * brightest, rel=1e-6)
    assert pv.lower_kw == 0.0


def test_the_upper_bound_at_noon_is_the_rating() -> None:
    assert forecast(NOON, EMPTY)[0].upper_kw == 1000.0


@pytest.mark.parametrize("since_h", [0, 31, 400])
def test_the_upper_bounds_of_a_series_are_those_of_its_intervals_wherever_it_begins(
    since_h: int,
) -> None:
    plant = PvGeometry(
        latitude_deg=33.0, longitude_deg=-117.0, tilt_deg=30.0, azimuth_deg=200.0, rated_kw=40.0
    )
    first = pd.Timestamp("2026-03-01", tz="UTC")
    whole = upper_bounds_kw(plant, first, 1700)
    part = upper_bounds_kw(plant, first + pd.Timedelta(hours=since_h), 96)
    assert part.tolist() == whole[4 * since_h :][:96].tolist()
    single = [
        upper_bound_kw(
            plant, plant, first + pd.Timedelta(hours=since_h) + k * INTERVAL, trusted=True
        )
        for k in range(96)
    ]
    assert part == pytest.approx(single, abs=1e-4)
    assert upper_bounds_kw(plant, first, 0).shape == (0,)


@pytest.mark.parametrize("method", METHODS)
def test_at_night_nothing_is_expected_and_nothing_is_possible(method: Method) -> None:
    pv, _ = forecast(NIGHT, Kept(sunny(NIGHT)), ladder(method), p_kw=-1.5)
    assert (pv.lower_kw, pv.expected_kw, pv.upper_kw) == (0.0, 0.0, 0.0)
    assert set(pv.quantiles_kw) == {0.0}


def test_a_reading_above_the_bound_disproves_it_and_leaves_the_rating() -> None:
    pv, whole = forecast(NIGHT, EMPTY, p_kw=300.0, cap_kw=400.0)
    assert pv.upper_kw == 1000.0
    assert "check latitude, longitude, tilt and azimuth" in whole.notes[0]


def test_an_old_reading_of_a_higher_sun_does_not_disprove_the_bound() -> None:
    evening = datetime(2026, 6, 10, 23, 45, tzinfo=UTC)
    before = evening - timedelta(minutes=55)
    then = clear_at(before)
    pv, whole = forecast(evening, EMPTY, p_kw=then, time=before, quality=Quality.STALE)
    assert pv.upper_kw < then
    assert whole.notes == ()


def test_meter_noise_at_night_does_not_disprove_the_bound() -> None:
    pv, _ = forecast(NIGHT, EMPTY, p_kw=5.0)
    assert pv.upper_kw == 0.0


# --- time ----------------------------------------------------------------------------


def test_the_forecast_is_for_the_interval_that_holds_the_snapshot() -> None:
    _, whole = forecast(NOON + timedelta(minutes=7), EMPTY)
    assert whole.start == NOON


def test_another_zone_means_the_same_instant() -> None:
    east = NOON.astimezone(datetime.fromisoformat("2026-06-10T00:00+09:00").tzinfo)
    history = Kept(sunny(NOON).tz_convert("Asia/Tokyo"))
    here, there = forecast(NOON, Kept(sunny(NOON))), forecast(east, history)
    assert here == there
    assert there[1].start.utcoffset() == timedelta(0)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_from_the_future_is_used(method: Method) -> None:
    past = sunny(NOON)
    coming = pd.Series(1000.0, index=pd.date_range(NOON, periods=200, freq="15min"))
    without = forecast(NOON, Careless(past), ladder(method), cap_kw=1.0)
    with_future = forecast(NOON, Careless(pd.concat([past, coming])), ladder(method), cap_kw=1.0)
    assert without == with_future


# --- bad history, bad artefact ---------------------------------------------------------


def test_a_history_that_fails_is_noted_and_never_raises() -> None:
    pv, whole = forecast(NOON, Broken(), ladder("smart_persistence"))
    assert pv.method == "smart_persistence"
    assert whole.notes[0].startswith("pv1: history not used: OSError: disk of pv1 gone")


@pytest.mark.parametrize(
    "series",
    [
        None,
        [1.0, 2.0],
        pd.Series([1.0, 2.0]),
        pd.Series([1.0], index=pd.DatetimeIndex(["2026-06-09T17:30"])),
        pd.Series(["a", "b"], index=pd.date_range(NOON - timedelta(hours=1), periods=2, freq="h")),
        pd.Series(np.inf, index=sunny(NOON).index),
        pd.concat([sunny(NOON, days=1), sunny(NOON, days=1)]),
        pd.Series([5.0], index=pd.DatetimeIndex([pd.NaT], tz="UTC")),
    ],
)
def test_a_history_of_rubbish_never_raises(series: Any) -> None:
    pv, _ = forecast(NOON, Careless(series), ladder("smart_persistence"))
    assert pv.method == "smart_persistence"
    assert 0.0 <= pv.expected_kw <= pv.upper_kw


def copied(kind: str, tmp_path: Path) -> Path:
    """A folder of artefacts that holds the one that ships of a kind."""
    found = champion(kind).artefact
    shutil.copytree(found.path.parent, tmp_path / "models" / found.id)
    return tmp_path / "models" / found.id


def tamper(folder: Path) -> None:
    (folder / "model.tflite").write_bytes(b"TFL3")


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def spoil_parity(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    outputs = manifest["parity"]["outputs"]
    manifest["parity"]["outputs"] = (np.asarray(outputs) + 9.0).tolist()
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


@pytest.mark.parametrize("harm", [tamper, remove, spoil_parity])
@pytest.mark.parametrize("method", ["lstm", "paper_lstm"])
def test_an_artefact_that_cannot_be_trusted_is_noted_and_the_ladder_steps_down(
    tmp_path: Path,
    harm: Callable[[Path], None],
    method: Method,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = copied(KINDS[method], tmp_path)
    harm(folder)
    monkeypatch.setattr("models.register.shipped_root", lambda: folder.parent)
    pv, whole = forecast(NOON, Kept(sunny(NOON)), ladder(method))
    assert pv.method == "smart_persistence"
    assert whole.notes[0].startswith(f"pv1: {method} not used: ")
    assert len(whole.notes[0]) > 40


def test_a_folder_of_models_without_any_leaves_those_that_ship(tmp_path: Path) -> None:
    forecaster = LadderForecaster("paper_lstm", models=tmp_path / "none yet")
    assert forecast(NOON, Kept(sunny(NOON)), forecaster)[0].method == "paper_lstm"


# --- load, sites, cost -----------------------------------------------------------------


def test_the_load_is_expected_to_stay_as_measured() -> None:
    _, whole = forecast(NOON, EMPTY)
    assert (whole.load_kw, whole.load_kvar) == (1234.0, 321.0)
    bare = replace(snapshot(NOON), load=LoadReading(time=NOON, p_kw=1.0))
    assert ladder().predict(SITE, bare, EMPTY).load_kvar is None


def test_a_site_without_pv_and_a_snapshot_without_its_reading_are_forecast() -> None:
    none = ladder().predict(replace(SITE, ders=()), snapshot(NOON), EMPTY)
    assert none.pv == {}
    missing = ladder().predict(SITE, replace(snapshot(NOON), ders={}), EMPTY)
    assert missing.pv["pv1"].method == "clear_sky"


def test_the_running_service_never_imports_tensorflow() -> None:
    code = (
        "import sys; from ems.forecast.models import Models; from tests.cloudy import ROOF;"
        "chosen = Models('lstm', None).ladder('pv', ROOF); assert not chosen.why, chosen.why;"
        "print([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_what_a_plant_makes_under_its_cap_is_the_least_that_is_expected() -> None:
    """A dull week says 20 %, but the plant makes 700 kW under its cap right now."""
    made = forecast(NOON, Kept(sunny(NOON, share=0.2)), p_kw=700.0, cap_kw=700.0)[0]
    dull = forecast(NOON, Kept(sunny(NOON, share=0.2)))[0]
    assert dull.expected_kw < 500.0
    assert 650.0 < made.expected_kw <= 700.0


def test_power_on_a_past_day_that_no_sky_gives_at_the_sites_place_opens_the_bound() -> None:
    """The series of another longitude: its sun stands high while the site's is low."""
    early = SUNRISE + timedelta(minutes=30)
    history = sunny(early)
    history[pd.DatetimeIndex(history.index).hour == early.hour] = 900.0
    pv, whole = forecast(early, Kept(history), p_kw=0.0)
    assert pv.upper_kw == PV.rated_kw
    assert any("check latitude, longitude" in note for note in whole.notes)
    assert forecast(early, Kept(sunny(early)), p_kw=0.0)[0].upper_kw < PV.rated_kw
