"""What is foreseen: nothing that was not known, once for plants alike, and as the service would."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ems.backtest import Case, DayInput, Profiles, foresee
from ems.backtest.case import utc
from ems.backtest.foresight import Foresight, NoHistory, prices
from ems.backtest.period import Period
from ems.clock import INTERVAL
from ems.domain import Pv, Site
from ems.forecast import LadderForecaster
from forecasting.clearsky import PvGeometry, clear_sky_mean_kw
from forecasting.record import PlantRecord
from tests.backtests import ZONE, case, given, two_prices
from tests.sites import snapshot

DAY = date(2019, 7, 15)
PERIOD = Period(first=DAY, last=DAY, zone=ZONE)
HISTORY = timedelta(days=9)


def sunny(site: Site, period: Period = PERIOD, *, steps: int = 1, seed: int = 1) -> Profiles:
    """A clear sky under seeded haze, and a load that swings with the day."""
    first = period.begin - HISTORY
    count = (period.end - first) // INTERVAL
    starts = pd.date_range(first, periods=count, freq=INTERVAL)
    rng = np.random.default_rng(seed)
    haze = np.repeat(rng.uniform(0.5, 1.0, count // 4 + 1), 4)[:count]
    share = {}
    for pv in site.pvs:
        geometry = PvGeometry(
            latitude_deg=site.latitude_deg, longitude_deg=site.longitude_deg,
            tilt_deg=pv.tilt_deg, azimuth_deg=pv.azimuth_deg, rated_kw=1.0,
        )  # fmt: skip
        mean = clear_sky_mean_kw(geometry, starts) * haze
        share[pv.name] = mean[:, None] * (np.linspace(0.9, 1.1, steps) if steps > 1 else 1.0)
    hour = (np.arange(count) % 96) / 96
    load = 9000.0 + 2000.0 * np.sin(2 * np.pi * hour) + rng.normal(0.0, 50.0, count)
    return Profiles(first=first, pv_share=share, load_kw=np.repeat(load[:, None], steps, axis=1))


def foreseen(of: Case, profiles: Profiles | None = None) -> DayInput:
    return foresee(of, profiles or sunny(of.site), PERIOD).day(of, DAY)


@pytest.mark.parametrize("forecast", ["lstm", "smart_persistence", "clear_sky"])
def test_a_forecast_knows_nothing_of_its_own_interval_or_later_ones(forecast: Any) -> None:
    of = case("geems_lookahead", forecast=forecast)
    known = sunny(of.site)
    noon = len(known) - 48
    share = known.pv_share["pv"].copy()
    share[noon:] *= 0.1
    load = known.load_kw.copy()
    load[noon:] *= 1.3
    other = Profiles(first=known.first, pv_share={"pv": share}, load_kw=load)
    one, two = foreseen(of, known), foreseen(of, other)
    for name in ("expected_share", "quantiles_share", "load_expected_kw", "load_quantiles_kw"):
        a, b = getattr(one, name), getattr(two, name)
        assert np.array_equal(a[:49], b[:49], equal_nan=True), name
        assert not np.array_equal(a[49:], b[49:], equal_nan=True), name
    assert one.ahead is not None
    assert two.ahead is not None
    assert np.allclose(one.ahead.pv_share[:49], two.ahead.pv_share[:49], atol=1e-12)
    assert np.array_equal(one.ahead.load_kw[:49], two.ahead.load_kw[:49])


def test_the_numbers_of_an_interval_are_in_order() -> None:
    day = foreseen(case("geems", forecast="lstm", confidence=0.9))
    assert (day.lower_share <= day.expected_share).all()
    assert (day.expected_share <= day.upper_share).all()
    assert (day.upper_share <= 1.0).all()
    assert (np.diff(day.quantiles_share, axis=-1) >= 0.0).all()
    assert (day.quantiles_share[..., -1] <= day.upper_share).all()
    assert (day.lower_share > 0.0).any()
    assert (day.load_lower_kw < day.load_upper_kw).all()
    assert set(np.unique(day.method)) <= {"lstm", "smart_persistence", "clear_sky"}


def test_at_full_confidence_there_may_be_no_sun_at_all() -> None:
    assert (foreseen(case("geems")).lower_share == 0.0).all()


def test_who_knows_for_certain_knows_the_steps() -> None:
    of = case("oracle")
    profiles = sunny(of.site, steps=3)
    day = foreseen(of, profiles)
    share = profiles.pv_share["pv"][-96:]
    assert day.expected_share[:, 0] == pytest.approx(share.mean(axis=1))
    assert (day.upper_share[:, 0] == share.max(axis=1)).all()
    assert (day.lower_share[:, 0] == share.min(axis=1)).all()
    assert (day.load_expected_kw == profiles.load_kw[-96:].mean(axis=1)).all()
    assert (day.method == "given").all()
    assert day.ahead is not None
    assert (day.ahead.pv_share[0, :, 0] == share.mean(axis=1)).all()


def test_the_load_shows_what_it_was_and_is_expected_to_stay() -> None:
    of = case("geems")
    profiles = sunny(of.site, steps=3)
    day = foreseen(of, profiles)
    assert (day.before_kw == profiles.load_kw[-97:-1, -1]).all()
    assert (day.load_expected_kw == day.before_kw).all()


def test_without_a_history_no_interval_measures_its_own_end() -> None:
    of = case("geems")
    profiles = sunny(of.site, steps=3)
    (share,) = {id(s): s[-96:] for s in profiles.pv_share.values()}.values()
    share[0] = 0.1, 0.2, 0.3
    load_kw = profiles.load_kw[-96:].copy()
    load_kw[0] = 9000.0, 9100.0, 9200.0
    bare = Profiles(
        first=PERIOD.begin, pv_share=dict.fromkeys(profiles.pv_share, share), load_kw=load_kw
    )
    day = foreseen(of, bare)
    assert (day.before_kw[0], day.before_share[0, 0]) == (9000.0, 0.1)
    assert (day.before_kw[1], day.before_share[1, 0]) == (9200.0, 0.3)


def test_fixed_caps_are_told_the_steps_of_least_and_most_load_of_the_period_alone() -> None:
    of = case("rules")
    profiles = sunny(of.site, steps=3)
    profiles.load_kw[-200] = 100.0, 9e5, 100.0
    profiles.load_kw[-50, 1:] = 5000.0, 15_000.0
    day = foreseen(of, profiles)
    assert (day.lowest_load_kw, day.highest_load_kw) == (5000.0, 15_000.0)


@pytest.mark.parametrize("left", [0.0, 0.5])
def test_a_share_of_the_error_is_left(left: float) -> None:
    of = case("geems")
    profiles = sunny(of.site)
    full = foreseen(of, profiles)
    less = foresee(of, profiles, PERIOD).day(replace(of, forecast_error=left), DAY)
    true = profiles.pv_share["pv"][-96:, 0]
    wanted = true + left * (full.expected_share[:, 0] - true)
    assert less.expected_share[:, 0] == pytest.approx(wanted)
    assert (less.upper_share >= true[:, None]).all()
    assert (less.upper_share >= full.upper_share).all()
    load = profiles.load_kw[-96:, 0]
    assert less.load_expected_kw == pytest.approx(load + left * (full.load_expected_kw - load))


def test_plants_that_face_alike_are_one_kind() -> None:
    site = case().site
    alike = [Pv(name=f"pv{i}", bus="B13", rated_kw=100.0 * (i + 1)) for i in range(3)]
    turned = Pv(name="west", bus="B13", rated_kw=100.0, azimuth_deg=270.0)
    of = case("none", site=replace(site, ders=(*alike, turned)))
    day = foreseen(of)
    assert day.kind == {"pv0": 0, "pv1": 0, "pv2": 0, "west": 1}
    assert day.pv_share.shape == (96, 1, 2)


def test_a_site_without_pv_is_foreseen_as_well() -> None:
    site = case().site
    of = case("geems", site=replace(site, ders=tuple(d for d in site.ders if d.name != "pv")))
    day = foreseen(of)
    assert day.pv_share.shape == (96, 1, 0)
    assert Foresight(of, day).predict(of.site, snapshot(case().site), NoHistory()).pv == {}


def test_it_is_what_the_service_would_forecast() -> None:
    """From the same history, told by the plant itself."""
    of = case("geems", forecast="lstm")
    profiles = sunny(of.site)
    day = foreseen(of, profiles)
    index = pd.date_range(profiles.first, periods=len(profiles), freq=INTERVAL)
    for i in (0, 40, 52, 60):
        start = utc(day.starts[i])
        history = Measured(
            pd.Series(1e4 * profiles.pv_share["pv"][:, 0], index=index),
            pd.Series(profiles.load_kw[:, 0], index=index),
        )
        service = LadderForecaster("lstm", confidence=1.0)
        shows_kw = 1e4 * float(day.before_share[i, 0])
        now = snapshot(of.site, load_kw=float(day.before_kw[i]), now=start, pv=shows_kw)
        told = service.predict(of.site, now, history)
        ours = Foresight(of, day)
        ours.at = i
        mine = ours.predict(of.site, now, NoHistory())
        assert mine.start == told.start
        assert mine.pv["pv"].expected_kw == pytest.approx(told.pv["pv"].expected_kw, abs=1e-6)
        assert mine.pv["pv"].upper_kw == pytest.approx(told.pv["pv"].upper_kw, abs=1e-6)
        assert mine.pv["pv"].method == told.pv["pv"].method
        assert mine.pv["pv"].quantiles_kw == pytest.approx(told.pv["pv"].quantiles_kw, abs=1e-2)
        assert mine.load_kw == told.load_kw
        assert mine.load_method == told.load_method == "profile"
        assert mine.load_upper_kw == pytest.approx(told.load_upper_kw, rel=0.02)


def test_the_plan_sees_its_day_and_stops_where_the_charge_is_due() -> None:
    of = case("geems_lookahead", tariff=two_prices(0.2, 0.6), intervals_ahead=8)
    day = given(of, share=np.linspace(0.1, 0.8, 8), intervals=8, start="2019-07-15T23:00")
    told = Foresight(of, day)
    now = snapshot(of.site, now=utc(day.starts[0]))
    ahead = told.ahead(of.site, now, told.predict(of.site, now, NoHistory()), NoHistory())
    assert len(ahead) == 8
    assert ahead.price_usd_per_kwh == (0.2,) * 4 + (0.6,) * 4
    assert ahead.pv_kw["pv"] == pytest.approx(1e4 * np.linspace(0.1, 0.8, 8))
    due = Foresight(replace(of, end_soc="start"), replace(day, intervals_left=3))
    short = due.ahead(of.site, now, due.predict(of.site, now, NoHistory()), NoHistory())
    assert len(short) == 3


def test_prices_reach_to_the_end_of_a_day_and_of_its_last_plan() -> None:
    of = case("geems", tariff=two_prices(0.2, 0.6))
    day = given(of, intervals=4, start="2019-07-15T23:30")
    assert prices(of, day) == (0.2, 0.2, 0.6, 0.6)
    plans = case("geems_lookahead", intervals_ahead=8)
    assert len(prices(plans, given(plans, intervals=4))) == 12


def test_nobody_asks_for_a_history() -> None:
    nothing, now = NoHistory(), datetime(2019, 7, 15, tzinfo=UTC)
    with pytest.raises(LookupError, match="no history of pv"):
        nothing.pv_record("pv", now, now)
    with pytest.raises(LookupError, match="no history of the load"):
        nothing.load_kw(now, now)
    of = case("geems")
    with pytest.raises(RuntimeError, match="day ahead"):
        Foresight(of, given(of)).ahead(of.site, snapshot(of.site), None, nothing)  # type: ignore[arg-type]


class Measured:
    """A history that measured all there was, and never capped."""

    def __init__(self, pv_kw: "pd.Series[float]", load_kw: "pd.Series[float]") -> None:
        self._pv_kw, self._load_kw = pv_kw, load_kw

    def pv_record(self, der: str, since: datetime, until: datetime) -> PlantRecord:  # noqa: ARG002
        starts = pd.date_range(since, until, freq=INTERVAL, inclusive="left").as_unit("ns")
        made = np.asarray(self._pv_kw.reindex(starts), dtype=np.float64)
        return PlantRecord(
            starts=starts, parts_kw=made[:, None], floor_kw=made, cap_kw=np.full(len(made), np.inf)
        )

    def load_kw(self, since: datetime, until: datetime) -> "pd.Series[float]":
        return self._load_kw[(self._load_kw.index >= since) & (self._load_kw.index < until)]
