"""What the forecast stage makes of a plant's own history: its place, its faults, its caps."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ems.domain import DerReading, Limits, LoadReading, Pv, PvForecast, Site, Snapshot
from ems.forecast import METHODS, LadderForecaster, Method
from forecasting.clearsky import (
    PvGeometry,
    brightest_power_kw,
    clear_sky,
    clear_sky_kw,
    clear_sky_mean_kw,
)
from forecasting.record import PlantRecord, plant_record
from forecasting.series import INTERVAL
from tests.sites import available

NOON = datetime(2026, 6, 10, 17, 30, tzinfo=UTC)
PV = Pv(name="pv", bus="B13", rated_kw=1000.0, tilt_deg=20.0, azimuth_deg=180.0)
SITE = Site(
    name="segment", latitude_deg=35.2, longitude_deg=-80.8, ders=(PV,),
    limits=Limits(v_min_pu=0.9, v_max_pu=1.1), load_max_kw=2000.0, load_min_kw=500.0,
)  # fmt: skip
AS_BUILT = PvGeometry(
    latitude_deg=35.2, longitude_deg=-80.8, tilt_deg=20.0, azimuth_deg=180.0, rated_kw=1000.0
)
WESTWARD = replace(AS_BUILT, tilt_deg=30.0, azimuth_deg=250.0)


class Told:
    """A history of one plant's quarter hours."""

    def __init__(self, series: "pd.Series[float]", caps_kw: Any = None) -> None:
        self.series, self.caps_kw = series, caps_kw

    def pv_record(self, der: str, since: datetime, until: datetime) -> PlantRecord:
        del der
        whole = (
            plant_record(self.series, 15, cap_kw=self.caps_kw)
            if self.caps_kw is not None
            else available(self.series, since, until)
        )
        at = (whole.starts >= pd.Timestamp(since)) & (whole.starts < pd.Timestamp(until))
        first, last = np.flatnonzero(at)[[0, -1]] if at.any() else (0, -1)
        return whole.part(int(first), int(last) + 1)

    def load_kw(self, since: datetime, until: datetime) -> "pd.Series[float]":
        del since, until
        return pd.Series(dtype=float, index=pd.DatetimeIndex([], tz="UTC"))


def sun(geometry: PvGeometry, until: datetime, days: int, share: float = 0.9) -> Any:
    """Clear days, every third one under clouds."""
    starts = pd.date_range(until - timedelta(days=days), until, freq="15min", inclusive="left")
    clear = share * clear_sky_mean_kw(geometry, starts)
    clouds = np.random.default_rng(3).uniform(0.2, 0.9, len(starts))
    overcast = starts.day_of_year.to_numpy() % 3 == 0
    return pd.Series(np.where(overcast, clouds * clear, clear), index=starts)


def snapshot(now: datetime, **reading: Any) -> Snapshot:
    clear = float(clear_sky_kw(AS_BUILT, pd.DatetimeIndex([now]))[0])
    given: dict[str, Any] = {"time": now, "p_kw": 0.9 * clear, "q_kvar": 0.0} | reading
    return Snapshot(
        time=now,
        ders={"pv": DerReading(der="pv", **given)},
        load=LoadReading(time=now, p_kw=1000.0),
    )


def forecast(
    now: datetime, history: Told, forecaster: LadderForecaster, **reading: Any
) -> tuple[PvForecast, tuple[str, ...]]:
    found = forecaster.predict(SITE, snapshot(now, **reading), history)
    return found.pv["pv"], found.notes


# --- orientation ---------------------------------------------------------------------


def test_modules_that_face_elsewhere_than_the_site_file_says_are_told_and_reckoned_with() -> None:
    evening = NOON + timedelta(hours=5)
    history = Told(sun(WESTWARD, evening, days=90))
    forecaster = LadderForecaster("smart_persistence")
    made = float(history.series.iloc[-1])
    before, _ = forecast(evening, history, forecaster, p_kw=made)
    forecaster.learn(SITE, history, evening)
    after, notes = forecast(evening, history, forecaster, p_kw=made)
    assert any("azimuth" in note or "faces" in note for note in notes)
    truth = 0.9 * float(clear_sky_mean_kw(WESTWARD, pd.DatetimeIndex([evening]))[0])
    assert abs(after.expected_kw - truth) < abs(before.expected_kw - truth)
    assert after.upper_kw >= before.upper_kw


def test_a_history_that_agrees_is_no_reason_for_a_note() -> None:
    history = Told(sun(AS_BUILT, NOON, days=90))
    forecaster = LadderForecaster("smart_persistence")
    forecaster.learn(SITE, history, NOON)
    assert forecast(NOON, history, forecaster)[1] == ()


def test_a_plant_smaller_than_its_rating_never_lowers_the_safe_bound() -> None:
    """Half the modules may be dark today and lit again tomorrow."""
    early = NOON - timedelta(hours=5)
    history = Told(sun(AS_BUILT, early, days=90, share=0.6))
    forecaster = LadderForecaster("smart_persistence")
    before, _ = forecast(early, history, forecaster, p_kw=0.0)
    forecaster.learn(SITE, history, early)
    after, _ = forecast(early, history, forecaster, p_kw=0.0)
    assert after.upper_kw >= before.upper_kw > 0.0


# --- the upper bound -----------------------------------------------------------------

MIRRORED = replace(SITE, longitude_deg=80.8)
"""The site with the sign of its longitude wrong: its night is the plant's day."""


def upper_kw(
    site: Site, now: datetime, history: Told, forecaster: LadderForecaster, **reading: Any
) -> float:
    """Upper bound of the plant; without `reading` the device is silent [kW]."""
    present = snapshot(now, **reading) if reading else replace(snapshot(now), ders={})
    return forecaster.predict(site, present, history).pv["pv"].upper_kw


def test_power_in_the_night_of_the_site_file_disproves_it_though_screening_censors_it() -> None:
    history = Told(sun(AS_BUILT, NOON, days=10))
    assert upper_kw(MIRRORED, NOON, history, LadderForecaster("clear_sky")) == PV.rated_kw


def test_power_under_a_cap_disproves_the_site_file_too() -> None:
    early = NOON - timedelta(hours=5)
    eastward = sun(replace(AS_BUILT, tilt_deg=80.0, azimuth_deg=90.0), early, days=10)
    caps = np.full(len(eastward), 700.0)
    history = Told(eastward.clip(upper=700.0), caps)
    built = replace(SITE, ders=(replace(PV, tilt_deg=80.0, azimuth_deg=270.0),))
    assert upper_kw(built, early, history, LadderForecaster("clear_sky")) == PV.rated_kw


@pytest.mark.parametrize("hours", [0, 6, 12, 18])
def test_a_disproof_outlasts_its_evidence_and_holds_at_every_hour(hours: int) -> None:
    forecaster = LadderForecaster("clear_sky")
    series = sun(AS_BUILT, NOON, days=10)
    upper_kw(MIRRORED, NOON, Told(series), forecaster)
    later = NOON + timedelta(days=40, hours=hours)
    still = pd.Series(0.0, index=pd.date_range(NOON, later, freq="15min", inclusive="left"))
    assert upper_kw(MIRRORED, later, Told(pd.concat([series, still])), forecaster) == PV.rated_kw


def test_a_fresh_forecaster_finds_the_disproof_weeks_back_in_its_history() -> None:
    series = sun(AS_BUILT, NOON, days=30)
    series[series.index > NOON - timedelta(days=20)] = 0.0
    assert upper_kw(MIRRORED, NOON, Told(series), LadderForecaster("clear_sky")) == PV.rated_kw


def test_a_history_that_contradicts_the_orientation_leaves_the_rating() -> None:
    evening = NOON + timedelta(hours=5)
    history, forecaster = Told(sun(WESTWARD, evening, days=90)), LadderForecaster("clear_sky")
    forecaster.learn(SITE, history, evening)
    night = NOON + timedelta(hours=12)
    assert upper_kw(SITE, night, history, forecaster) == PV.rated_kw


def test_one_odd_interval_counts_until_it_is_past_where_a_fit_agrees() -> None:
    series, forecaster = sun(AS_BUILT, NOON, days=90), LadderForecaster("clear_sky")
    odd = series.copy()
    odd.iloc[-96 * 10 - 44] = 600.0
    night = NOON - timedelta(hours=11)
    assert upper_kw(SITE, night, Told(odd), forecaster) == PV.rated_kw
    forecaster.learn(SITE, Told(odd), night)
    assert upper_kw(SITE, night, Told(odd), forecaster) == PV.rated_kw
    forecaster.learn(SITE, Told(series), night + timedelta(days=1))
    assert upper_kw(SITE, night + timedelta(days=1), Told(series), forecaster) == 0.0


def test_the_right_site_file_keeps_its_tight_bound_day_and_night_despite_an_offset() -> None:
    """Modules larger by 0.4 than the inverter, and a meter that shows 5 kW in the dark."""
    large = replace(AS_BUILT, scale=1.4)
    series = sun(large, NOON, days=90, share=1.0) + 5.0
    forecaster = LadderForecaster("clear_sky")
    # Before the first fit their size is not known yet, and the bound is loose, not wrong.
    first = NOON - timedelta(days=2)
    assert upper_kw(SITE, first, Told(series), forecaster) == PV.rated_kw
    forecaster.learn(SITE, Told(series), first)
    for hour in range(0, 48, 3):
        now = first + timedelta(hours=hour)
        history = Told(series[series.index < now])
        around = pd.DatetimeIndex([now + timedelta(minutes=m / 2) for m in range(-10, 41, 5)])
        sky = clear_sky(SITE.latitude_deg, SITE.longitude_deg, around)
        fitted = forecaster.seen(PV, SITE, now, history)[1]
        brightest = max(brightest_power_kw(g, sky).max() for g in (fitted, AS_BUILT))
        bound = min(1.25 * brightest, PV.rated_kw)
        assert upper_kw(SITE, now, history, forecaster, p_kw=5.0) == pytest.approx(bound, rel=0.05)


def test_one_plant_is_fitted_at_a_time_and_each_once_a_day() -> None:
    asked: list[str] = []

    class Counting(Told):
        def pv_record(self, der: str, since: datetime, until: datetime) -> PlantRecord:
            if until - since > timedelta(days=100):
                asked.append(der)
            return super().pv_record(der, since, until)

    two = replace(SITE, ders=(PV, replace(PV, name="pv2")))
    forecaster, history = LadderForecaster("smart_persistence"), Counting(sun(AS_BUILT, NOON, 3))
    for k in range(4):
        forecaster.learn(two, history, NOON + k * INTERVAL)
    assert asked == ["pv", "pv2"]
    forecaster.learn(two, history, NOON + timedelta(days=1))
    assert asked == ["pv", "pv2", "pv"]


def test_a_history_that_cannot_be_read_leaves_the_site_file_and_is_tried_again_later() -> None:
    class Gone(Told):
        def pv_record(self, der: str, since: datetime, until: datetime) -> PlantRecord:
            raise OSError(f"{der} {since} {until}")

    forecaster = LadderForecaster("smart_persistence")
    forecaster.learn(SITE, Gone(sun(AS_BUILT, NOON, 3)), NOON)
    pv, notes = forecast(NOON, Told(sun(AS_BUILT, NOON, 3)), forecaster)
    assert pv.method == "smart_persistence"
    assert notes == ()


# --- faults --------------------------------------------------------------------------


def test_an_outage_is_expected_to_go_on_and_told_and_nothing_is_learnt_from_it() -> None:
    series = sun(AS_BUILT, NOON, days=10)
    dead = series.copy()
    dead.iloc[-8:] = 0.0
    pv, notes = forecast(NOON, Told(dead), LadderForecaster("smart_persistence"), p_kw=0.0)
    assert pv.expected_kw == 0.0
    assert pv.quantiles_kw[:-1] == (0.0,) * 6
    assert pv.upper_kw == 1000.0
    assert any("as in an outage; expected to go on" in note for note in notes)
    # Back again, the plant is what it was before.
    back = pd.concat([dead, sun(AS_BUILT, NOON + 2 * INTERVAL, days=10).iloc[-2:]])
    later, notes = forecast(NOON + 2 * INTERVAL, Told(back), LadderForecaster("smart_persistence"))
    assert later.expected_kw > 500.0
    assert not any("outage" in note for note in notes)


def test_a_plateau_that_nobody_ordered_is_told_and_counts_as_a_cap() -> None:
    series = sun(AS_BUILT, NOON, days=10)
    held = series.copy()
    held.iloc[-10:] = 400.0
    _, notes = forecast(NOON, Told(held), LadderForecaster("smart_persistence"), p_kw=400.0)
    assert any("something else than GEEMS holds it back" in note for note in notes)


# --- caps ----------------------------------------------------------------------------


def test_hours_under_a_cap_leave_the_sky_expected_as_it_was() -> None:
    """A cap that stands from eleven to four hides the sun, and no cloud came."""
    until = NOON + timedelta(hours=3)
    series = sun(AS_BUILT, until, days=10)
    caps = np.where(series.index >= NOON - timedelta(hours=2), 450.0, np.inf)
    held = series.clip(upper=pd.Series(caps, index=series.index))
    truth = 0.9 * float(clear_sky_mean_kw(AS_BUILT, pd.DatetimeIndex([until]))[0])
    pv, notes = forecast(
        until, Told(held, caps), LadderForecaster("lstm"), p_kw=450.0, cap_kw=450.0
    )
    assert pv.method == "lstm", notes
    assert pv.expected_kw == pytest.approx(truth, rel=0.15)


# --- the calendar --------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "day",
    [
        pytest.param(datetime(2024, 2, 29, tzinfo=UTC), id="leap day"),
        pytest.param(datetime(2024, 3, 10, tzinfo=UTC), id="clocks go forward"),
        pytest.param(datetime(2024, 11, 3, tzinfo=UTC), id="clocks go back"),
        pytest.param(datetime(2024, 12, 31, tzinfo=UTC), id="turn of the year"),
    ],
)
def test_every_hour_of_an_odd_day_is_forecast_within_bounds_and_dark_at_night(
    method: Method, day: datetime
) -> None:
    forecaster = LadderForecaster(method)
    whole = sun(AS_BUILT, day + timedelta(days=1, hours=6), days=8)
    for hour in range(30):
        now = day + timedelta(hours=hour)
        clear = float(clear_sky_mean_kw(AS_BUILT, pd.DatetimeIndex([now]))[0])
        history = Told(whole[whole.index < now])
        pv, _ = forecast(now, history, forecaster, p_kw=float(whole[whole.index == now].iloc[0]))
        assert 0.0 <= pv.expected_kw <= pv.upper_kw <= 1000.0
        if clear == 0.0:
            assert pv.expected_kw == 0.0
            assert set(pv.quantiles_kw) == {0.0}
        elif clear > 300.0:
            assert pv.expected_kw > 0.1 * clear


# --- the load ------------------------------------------------------------------------


class Load(Told):
    """A history of the load too."""

    def __init__(self, days: int) -> None:
        super().__init__(sun(AS_BUILT, NOON, 1))
        index = pd.date_range(NOON - timedelta(days=days), NOON, freq="15min", inclusive="left")
        noise = np.random.default_rng(2).normal(0.0, 30.0, len(index))
        self.load = pd.Series(1000.0 + noise, index=index)

    def load_kw(self, since: datetime, until: datetime) -> "pd.Series[float]":
        return self.load[(self.load.index >= since) & (self.load.index < until)]


def test_after_a_week_the_load_has_a_band_of_its_own_and_stays_expected_as_measured() -> None:
    forecaster = LadderForecaster("smart_persistence", confidence=0.95)
    found = forecaster.predict(SITE, snapshot(NOON), Load(days=21))
    assert (found.load_kw, found.load_method) == (1000.0, "profile")
    assert list(found.load_quantiles_kw) == sorted(found.load_quantiles_kw)
    assert found.load_lower_kw == pytest.approx(found.load_quantiles_kw[0])
    assert found.load_upper_kw == pytest.approx(found.load_quantiles_kw[-1])
    assert found.load_lower_kw is not None
    assert found.load_upper_kw is not None
    assert 800.0 < found.load_lower_kw < 990.0
    assert 1010.0 < found.load_upper_kw < 1200.0


def test_the_surer_the_wider_the_loads_band_and_one_odd_value_does_not_make_it() -> None:
    history = Load(days=21)
    history.load.iloc[100] = 200.0
    history.load.iloc[200] = 3000.0
    bands = []
    for confidence in (0.95, 0.99, 1.0):
        forecaster = LadderForecaster("smart_persistence", confidence=confidence)
        found = forecaster.predict(SITE, snapshot(NOON), history)
        assert found.load_lower_kw is not None
        assert found.load_upper_kw is not None
        bands.append((found.load_lower_kw, found.load_upper_kw))
    assert bands[2][0] < bands[1][0] < bands[0][0] < bands[0][1] < bands[1][1] < bands[2][1]
    assert bands[2][0] > 200.0
    assert bands[2][1] < 3000.0


def test_before_a_week_is_known_the_loads_band_is_the_meters() -> None:
    found = LadderForecaster("smart_persistence").predict(SITE, snapshot(NOON), Load(days=5))
    assert (found.load_method, found.load_quantiles_kw) == ("measured", ())
    assert found.load_lower_kw is found.load_upper_kw is None
