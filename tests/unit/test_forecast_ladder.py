"""The ladder of the forecast stage: each rung, and what is said when one is not used."""

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
from ems.forecast import LadderForecaster, Method
from forecasting.clearsky import PvGeometry, clear_sky_kw, clear_sky_mean_kw
from models import artefact

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

LSTM = LadderForecaster()


class Kept:
    """A history that holds one series."""

    def __init__(self, series: Any) -> None:
        self.series = series

    def pv_kw(self, der: str, since: datetime, until: datetime) -> Any:
        assert der == "pv1"
        if not isinstance(self.series, pd.Series):
            return self.series
        return self.series[(self.series.index >= since) & (self.series.index < until)]

    def load_kw(self, since: datetime, until: datetime) -> Any:
        raise AssertionError(f"the sun does not ask for the load, {since} {until}")


class Careless(Kept):
    """A history that hands out everything it has, the future too."""

    def pv_kw(self, der: str, since: datetime, until: datetime) -> Any:
        del der, since, until
        return self.series


class Broken:
    """A history whose database is gone."""

    def pv_kw(self, der: str, since: datetime, until: datetime) -> Any:
        raise OSError(f"disk of {der} gone, {since} {until}")

    def load_kw(self, since: datetime, until: datetime) -> Any:
        raise OSError(f"disk gone, {since} {until}")


EMPTY = Kept(pd.Series(dtype=float, index=pd.DatetimeIndex([], tz="UTC")))


def sunny(until: datetime, share: float = 0.8, days: int = 6) -> "pd.Series[float]":
    """A history that measured the same share of the clear sky all along."""
    starts = pd.date_range(until - timedelta(days=days), until, freq="15min", inclusive="left")
    return pd.Series(share * clear_sky_mean_kw(GEOMETRY, starts), index=starts)


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
    now: datetime, history: Any, forecaster: LadderForecaster = LSTM, **reading: Any
) -> tuple[PvForecast, Forecast]:
    whole = forecaster.predict(SITE, snapshot(now, **reading), history)
    return whole.pv["pv1"], whole


# --- rungs ---------------------------------------------------------------------------


def test_the_lstm_is_used_when_the_five_previous_days_were_measured() -> None:
    pv, whole = forecast(NOON, Kept(sunny(NOON)))
    assert pv.method == "lstm"
    assert whole.notes == ()
    # Five sunny days promise sun.
    assert pv.expected_kw > 0.5 * clear_mean(NOON)


def test_a_missing_lag_steps_down_to_smart_persistence_and_says_why() -> None:
    series = sunny(NOON)
    holed = series.where(series.index != NOON - timedelta(days=3))
    pv, whole = forecast(NOON, Kept(holed))
    assert pv.method == "smart_persistence"
    assert whole.notes == (
        "pv1: lstm not used: 1 of the 5 previous days lack an uncapped measurement at 17:30 UTC",
    )


def test_smart_persistence_carries_the_present_clear_sky_index_on() -> None:
    pv, _ = forecast(NOON, EMPTY, p_kw=0.3 * clear_at(NOON))
    assert pv.method == "smart_persistence"
    assert pv.expected_kw == pytest.approx(0.3 * clear_mean(NOON), rel=1e-6)


def test_a_capped_reading_tells_nothing_and_the_last_uncapped_interval_is_used() -> None:
    history = Kept(sunny(NOON, share=0.6, days=1))
    pv, _ = forecast(NOON, history, p_kw=100.0, cap_kw=100.0)
    assert pv.method == "smart_persistence"
    assert pv.expected_kw == pytest.approx(0.6 * clear_mean(NOON), rel=1e-6)


def test_a_cap_that_does_not_bind_is_a_cap_but_one_at_the_rating_is_none() -> None:
    capped, _ = forecast(NOON, EMPTY, p_kw=100.0, cap_kw=900.0)
    assert capped.method == "clear_sky"
    free, _ = forecast(NOON, EMPTY, p_kw=100.0, cap_kw=1000.0)
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
    pv, whole = forecast(NOON, EMPTY, **reading)
    assert pv.method == "clear_sky"
    assert pv.expected_kw == pytest.approx(0.7 * clear_mean(NOON), rel=1e-6)
    assert [n.split(":")[1] for n in whole.notes] == [
        " lstm not used",
        " smart_persistence not used",
    ]


def test_an_hour_old_interval_still_serves_and_an_older_one_does_not() -> None:
    recent = Kept(sunny(NOON - timedelta(minutes=45), days=1))
    assert forecast(NOON, recent, cap_kw=1.0)[0].method == "smart_persistence"
    old = Kept(sunny(NOON - timedelta(minutes=75), days=1))
    assert forecast(NOON, old, cap_kw=1.0)[0].method == "clear_sky"


def test_climatology_takes_the_index_of_the_past_days_when_it_knows_them() -> None:
    history = Kept(sunny(NOON - timedelta(hours=3), share=0.4))
    pv, _ = forecast(NOON, history, LadderForecaster("clear_sky"))
    assert pv.expected_kw == pytest.approx(0.4 * clear_mean(NOON), rel=0.02)


def test_near_sunrise_smart_persistence_rests_on_the_past_days() -> None:
    pv, _ = forecast(
        SUNRISE, Kept(sunny(SUNRISE, share=0.5)), LadderForecaster("smart_persistence")
    )
    assert pv.method == "smart_persistence"
    assert 0.0 < pv.expected_kw < 0.55 * clear_mean(SUNRISE)


@pytest.mark.parametrize("method", ["smart_persistence", "clear_sky"])
def test_a_lower_rung_can_be_chosen_and_is_no_reason_for_a_note(method: Method) -> None:
    pv, whole = forecast(NOON, Kept(sunny(NOON)), LadderForecaster(method))
    assert pv.method == method
    assert whole.notes == ()


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="lstm, smart_persistence, clear_sky"):
        LadderForecaster("oracle")  # type: ignore[arg-type]  # the fault under test


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


@pytest.mark.parametrize("method", ["lstm", "smart_persistence", "clear_sky"])
def test_at_night_nothing_is_expected_and_nothing_is_possible(method: Method) -> None:
    pv, _ = forecast(NIGHT, Kept(sunny(NIGHT)), LadderForecaster(method), p_kw=-1.5)
    assert (pv.expected_kw, pv.upper_kw) == (0.0, 0.0)


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
    assert whole.notes[0].startswith("pv1: lstm not used")


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


@pytest.mark.parametrize("method", ["lstm", "smart_persistence", "clear_sky"])
def test_nothing_from_the_future_is_used(method: Method) -> None:
    past = sunny(NOON)
    coming = pd.Series(1000.0, index=pd.date_range(NOON, periods=200, freq="15min"))
    forecaster = LadderForecaster(method)
    without = forecast(NOON, Careless(past), forecaster, cap_kw=1.0)
    with_future = forecast(NOON, Careless(pd.concat([past, coming])), forecaster, cap_kw=1.0)
    assert without == with_future


# --- bad history, bad artefact ---------------------------------------------------------


def test_a_history_that_fails_is_noted_and_never_raises() -> None:
    pv, whole = forecast(NOON, Broken())
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
    pv, _ = forecast(NOON, Careless(series))
    assert pv.method == "smart_persistence"
    assert 0.0 <= pv.expected_kw <= pv.upper_kw


def copied(tmp_path: Path) -> Path:
    shutil.copytree(artefact("paper_lstm").path.parent, tmp_path / "paper_lstm")
    return tmp_path


def tamper(root: Path) -> None:
    (root / "paper_lstm" / "model.tflite").write_bytes(b"TFL3")


def remove(root: Path) -> None:
    shutil.rmtree(root / "paper_lstm")


def spoil_parity(root: Path) -> None:
    manifest = root / "paper_lstm" / "manifest.json"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace('"outputs": [', '"outputs": [9.0,', 1), encoding="utf-8")


@pytest.mark.parametrize("harm", [tamper, remove, spoil_parity])
def test_an_artefact_that_cannot_be_trusted_is_noted_and_the_ladder_steps_down(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    root = copied(tmp_path)
    harm(root)
    forecaster = LadderForecaster(root=root)
    pv, whole = forecast(NOON, Kept(sunny(NOON)), forecaster)
    assert pv.method == "smart_persistence"
    assert whole.notes[0].startswith("pv1: lstm not used: ")
    assert len(whole.notes[0]) > 40


# --- load, sites, cost -----------------------------------------------------------------


def test_the_load_is_expected_to_stay_as_measured() -> None:
    _, whole = forecast(NOON, EMPTY)
    assert (whole.load_kw, whole.load_kvar) == (1234.0, 321.0)
    bare = replace(snapshot(NOON), load=LoadReading(time=NOON, p_kw=1.0))
    assert LSTM.predict(SITE, bare, EMPTY).load_kvar is None


def test_a_site_without_pv_and_a_snapshot_without_its_reading_are_forecast() -> None:
    none = LSTM.predict(replace(SITE, ders=()), snapshot(NOON), EMPTY)
    assert none.pv == {}
    missing = LSTM.predict(SITE, replace(snapshot(NOON), ders={}), EMPTY)
    assert missing.pv["pv1"].method == "clear_sky"


def test_the_running_service_never_imports_tensorflow() -> None:
    code = (
        "import sys; from ems.forecast import LadderForecaster; f = LadderForecaster();"
        "assert not isinstance(f._model, str), f._model;"
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
