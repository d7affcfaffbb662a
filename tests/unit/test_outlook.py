"""The day ahead from tariff, clear sky and history."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ems.clock import INTERVAL
from ems.domain import Forecast, Horizon
from ems.outlook import FADE, TariffOutlook
from ems.ports import History
from ems.store import LOAD, Store
from ems.tariff import flat, named
from forecasting.clearsky import PvGeometry, clear_sky_mean_kw
from tests.sites import NoHistory, segment, sky, snapshot

SITE = segment()
MORNING = datetime(2019, 7, 15, 16, 0, tzinfo=UTC)
NIGHT = datetime(2019, 7, 15, 8, 0, tzinfo=UTC)
PLANT = PvGeometry(
    latitude_deg=SITE.latitude_deg, longitude_deg=SITE.longitude_deg, tilt_deg=20.0,
    azimuth_deg=180.0, rated_kw=10_000.0,
)  # fmt: skip


class Told(NoHistory):
    """A history of one PV series and one load series."""

    def __init__(self, pv: Any = None, load: Any = None) -> None:
        self.pv, self.load = pv, load

    def pv_kw(self, der: str, since: datetime, until: datetime) -> Any:
        del der
        return super().pv_kw("pv", since, until) if self.pv is None else self.pv

    def load_kw(self, since: datetime, until: datetime) -> Any:
        return super().load_kw(since, until) if self.load is None else self.load


def clear(start: datetime, count: int = 96) -> Any:
    return clear_sky_mean_kw(PLANT, pd.date_range(start, periods=count, freq=INTERVAL))


def measured(share: float, until: datetime) -> "pd.Series[float]":
    """Five days of the same share of the clear sky."""
    index = pd.date_range(until - timedelta(days=5), until, freq=INTERVAL, inclusive="left")
    return pd.Series(share * clear_sky_mean_kw(PLANT, index), index=index)


def expected(start: datetime, kw: float) -> Forecast:
    return replace(sky(kw, 10_000.0), start=start)


def ahead(forecast: Forecast, history: History, outlook: TariffOutlook | None = None) -> Horizon:
    chosen = outlook or TariffOutlook(flat(0.2))
    return chosen.ahead(SITE, snapshot(SITE, now=forecast.start), forecast, history)


def test_prices_are_the_tariffs_at_the_start_of_each_of_96_intervals() -> None:
    tariff = named("pge_a6_2019_summer", outside_season_usd_per_kwh=0.2)
    found = ahead(expected(MORNING, 5000.0), NoHistory(), TariffOutlook(tariff))
    assert len(found) == 96
    assert found.starts[0] == MORNING
    assert found.price_usd_per_kwh == tuple(tariff.price(s) for s in found.starts)
    assert len(set(found.price_usd_per_kwh)) > 1


def test_the_present_sky_gives_way_to_the_usual_one_within_four_hours() -> None:
    sun = clear(MORNING)
    found = ahead(expected(MORNING, 0.4 * sun[0]), Told(pv=measured(0.8, MORNING)))
    index = np.array(found.pv_kw["pv"])[: FADE + 8] / sun[: FADE + 8]
    assert index[0] == pytest.approx(0.4)
    assert index[FADE // 2] == pytest.approx(0.6)
    assert index[FADE:] == pytest.approx(0.8)


def test_at_night_the_next_day_is_the_usual_one() -> None:
    found = ahead(expected(NIGHT, 0.0), Told(pv=measured(0.7, NIGHT)))
    assert found.pv_kw["pv"] == pytest.approx(tuple(0.7 * clear(NIGHT)))
    assert found.pv_kw["pv"][0] == 0.0


def test_capped_and_missing_intervals_of_the_history_tell_nothing_of_the_sky() -> None:
    series = measured(0.7, NIGHT)
    series[series > 5000.0] = math.nan
    found = ahead(expected(NIGHT, 0.0), Told(pv=series))
    assert max(found.pv_kw["pv"]) == pytest.approx(0.7 * max(clear(NIGHT)))


def test_power_ahead_is_never_beyond_the_rating() -> None:
    found = ahead(expected(MORNING, 10_000.0), Told(pv=measured(1.2, MORNING)))
    assert max(found.pv_kw["pv"]) <= 10_000.0


def test_the_load_is_yesterdays_from_this_time_of_day_on() -> None:
    index = pd.date_range(MORNING - timedelta(days=1), MORNING, freq=INTERVAL, inclusive="left")
    series = pd.Series(np.linspace(8000.0, 12_000.0, 96), index=index)
    forecast = replace(expected(MORNING, 0.0), load_kw=8400.0)
    load_kw = ahead(forecast, Told(load=series)).load_kw
    assert load_kw[0] == 8400.0
    assert load_kw[-1] == pytest.approx(12_000.0)
    assert load_kw[8] == pytest.approx(series.iloc[8] + 200.0)


def test_without_a_load_history_the_present_load_stays() -> None:
    forecast = replace(expected(MORNING, 0.0), load_kw=8400.0)
    assert set(ahead(forecast, NoHistory()).load_kw) == {8400.0}


class Broken:
    """A history whose database is gone."""

    def pv_kw(self, der: str, since: datetime, until: datetime) -> Any:
        raise OSError(f"disk of {der} gone, {since} {until}")

    def load_kw(self, since: datetime, until: datetime) -> Any:
        raise OSError(f"disk gone, {since} {until}")


@pytest.mark.parametrize("history", [Broken(), Told(pv="no series", load=[1.0])])
def test_a_history_that_fails_leaves_the_clear_sky_and_the_present_load(history: History) -> None:
    found = ahead(expected(MORNING, 3000.0), history)
    assert found.pv_kw["pv"][0] == 3000.0
    assert all(math.isfinite(kw) and kw >= 0.0 for kw in found.pv_kw["pv"])
    assert max(found.pv_kw["pv"]) > 3000.0
    assert set(found.load_kw) == {found.load_kw[0]}


def test_the_store_tells_the_load_it_has_kept(tmp_path: Path) -> None:
    index = pd.date_range(MORNING - timedelta(days=1), MORNING, freq=INTERVAL, inclusive="left")
    store = Store.open(tmp_path / "geems.sqlite")
    store.add_history(LOAD, pd.Series(np.linspace(8000.0, 12_000.0, 96), index=index))
    load_kw = ahead(expected(MORNING, 0.0), store).load_kw
    store.close()
    assert load_kw[-1] == pytest.approx(12_000.0)
