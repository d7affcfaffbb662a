"""The day ahead from tariff, clear sky and history."""

import hashlib
import json
import math
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ems.clock import INTERVAL
from ems.domain import Forecast, Horizon
from ems.outlook import TariffOutlook
from ems.ports import History
from ems.store import LOAD, Store
from ems.tariff import flat, named
from forecasting.clearsky import PvGeometry, clear_sky_mean_kw
from forecasting.day_ahead.blend import ARTEFACT, COEFFICIENTS
from forecasting.record import PlantRecord
from models import Artefact, artefact, find
from models.champions import promote
from models.register import shipped_root
from tests.sites import NoHistory, available, segment, sky, snapshot

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

    def pv_record(self, der: str, since: datetime, until: datetime) -> PlantRecord:
        if self.pv is None:
            return super().pv_record(der, since, until)
        return available(self.pv, since, until)

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
    return chosen.ahead(
        SITE, snapshot(SITE, forecast.load_kw, now=forecast.start), forecast, history
    )


def test_prices_are_the_tariffs_at_the_start_of_each_of_96_intervals() -> None:
    tariff = named("pge_a6_2019_summer", outside_season_usd_per_kwh=0.2)
    found = ahead(expected(MORNING, 5000.0), NoHistory(), TariffOutlook(tariff))
    assert len(found) == 96
    assert found.starts[0] == MORNING
    assert found.price_usd_per_kwh == tuple(tariff.price(s) for s in found.starts)
    assert len(set(found.price_usd_per_kwh)) > 1


def test_the_present_sky_gives_way_to_the_usual_one_over_the_day() -> None:
    """It was always 80 % of the clear sky, and now it is 40 %: noon tomorrow will not be."""
    sun = clear(MORNING)
    found = ahead(expected(MORNING, 0.4 * sun[0]), Told(pv=measured(0.8, MORNING)))
    light = sun > 1000.0
    index = np.array(found.pv_kw["pv"])[light] / sun[light]
    assert index[0] == pytest.approx(0.4)
    assert index[1] < 0.6
    assert np.all(np.diff(index[:16]) > -0.02)
    assert index[sun[light] == sun.max()] == pytest.approx(0.8, abs=0.15)


def test_at_night_the_next_day_is_the_usual_one() -> None:
    found = ahead(expected(NIGHT, 0.0), Told(pv=measured(0.7, NIGHT)))
    assert sum(found.pv_kw["pv"]) == pytest.approx(0.7 * clear(NIGHT).sum(), rel=0.1)
    assert found.pv_kw["pv"][0] == 0.0


def test_capped_and_missing_intervals_of_the_history_tell_nothing_of_the_sky() -> None:
    series = measured(0.7, NIGHT)
    series[series > 5000.0] = math.nan
    found = ahead(expected(NIGHT, 0.0), Told(pv=series))
    assert max(found.pv_kw["pv"]) > 5500.0


def test_power_ahead_is_never_beyond_the_rating() -> None:
    found = ahead(expected(MORNING, 10_000.0), Told(pv=measured(1.2, MORNING)))
    assert max(found.pv_kw["pv"]) <= 10_000.0


def weather(path: Path, cover_pct: float, issued: datetime) -> None:
    """A file that forecasts the same cloud cover for a day."""
    times = pd.date_range(issued, periods=30, freq="h")
    rows = [f"{t:%Y-%m-%dT%H:%MZ},{issued:%Y-%m-%dT%H:%MZ},{cover_pct}" for t in times]
    path.write_text("\n".join(["time_utc,issued_utc,cloud_cover_pct", *rows]), encoding="utf-8")


def test_a_weather_file_draws_the_day_to_itself_and_is_read_again_when_it_changes(
    tmp_path: Path,
) -> None:
    file = tmp_path / "weather.csv"
    outlook = TariffOutlook(flat(0.2), weather_file=file)
    history, forecast = Told(pv=measured(0.7, NIGHT)), expected(NIGHT, 0.0)
    weather(file, 0.0, NIGHT - timedelta(hours=1))
    clear_day = sum(ahead(forecast, history, outlook).pv_kw["pv"])
    weather(file, 100.0, NIGHT - timedelta(hours=1))
    os.utime(file, ns=(1, 1))
    dull_day = sum(ahead(forecast, history, outlook).pv_kw["pv"])
    assert dull_day < 0.6 * clear_day


@pytest.mark.parametrize("text", [None, "", "time_utc,value\nyesterday,1"])
def test_a_weather_file_that_cannot_be_used_is_told_and_the_plan_goes_on(
    tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "weather.csv"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    found = ahead(
        expected(NIGHT, 0.0), Told(pv=measured(0.7, NIGHT)),
        TariffOutlook(flat(0.2), weather_file=file),
    )  # fmt: skip
    assert any(note.startswith("weather forecast not used") for note in found.notes)
    assert max(found.pv_kw["pv"]) > 4000.0


def test_with_a_week_of_load_the_plan_follows_the_weeks_profile() -> None:
    """Every working day has a peak at noon; it is not yesterday, a Sunday, that is repeated."""
    monday = datetime(2019, 7, 15, 7, 0, tzinfo=UTC)
    index = pd.date_range(monday - timedelta(days=21), monday, freq=INTERVAL, inclusive="left")
    working = index.day_of_week.to_numpy() < 5
    peak = np.clip(np.sin((index.hour - 8) / 10 * np.pi), 0.0, None)
    series = pd.Series(8000.0 + 4000.0 * peak * working, index=index)
    found = ahead(replace(expected(monday, 0.0), load_kw=8000.0), Told(load=series))
    assert max(found.load_kw) == pytest.approx(12_000.0, rel=0.1)


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

    def pv_record(self, der: str, since: datetime, until: datetime) -> Any:
        raise OSError(f"disk of {der} gone, {since} {until}")

    def load_kw(self, since: datetime, until: datetime) -> Any:
        raise OSError(f"disk gone, {since} {until}")


@pytest.mark.parametrize("history", [Broken(), Told(pv="no series", load=[1.0])])
def test_a_history_that_fails_leaves_the_clear_sky_and_the_present_load(history: History) -> None:
    found = ahead(expected(MORNING, 3000.0), history)
    assert found.pv_kw["pv"][0] == pytest.approx(3000.0)
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


# --- whose blend -------------------------------------------------------------------------


def own_blend(root: Path) -> Artefact:
    """A blend of one's own: half of what ships."""
    shipped = artefact(ARTEFACT)
    document = json.loads(shipped.content)
    document["mean"] = [[0.5 * weight for weight in row] for row in document["mean"]]
    content = json.dumps(document).encode()
    folder = root / "mine"
    folder.mkdir(parents=True)
    (folder / COEFFICIENTS).write_bytes(content)
    (folder / "card.md").write_bytes((shipped_root() / ARTEFACT / "card.md").read_bytes())
    manifest = json.loads((shipped_root() / ARTEFACT / "manifest.json").read_text())
    manifest |= {"id": "mine", "sha256": hashlib.sha256(content).hexdigest(), "version": 99}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return find("mine", root)


def test_the_champion_forecasts_the_day_ahead_and_one_that_changed_is_told(tmp_path: Path) -> None:
    history, outlook = Told(pv=measured(0.6, MORNING)), TariffOutlook(flat(0.2), models=tmp_path)
    forecast = expected(MORNING, 5000.0)
    before = ahead(forecast, history, outlook).pv_kw["pv"][12]
    promote(own_blend(tmp_path), tmp_path, over=artefact(ARTEFACT), why="better", when=MORNING)
    promoted = ahead(forecast, history, outlook)
    assert promoted.pv_kw["pv"][12] < 0.9 * before
    assert promoted.notes == ()
    (tmp_path / "mine" / COEFFICIENTS).write_text("{}")
    fallen = ahead(forecast, history, outlook)
    assert fallen.pv_kw["pv"][12] == before
    assert "champion 'mine' of pv_day_ahead is refused" in fallen.notes[0]


def test_a_load_that_no_meter_can_have_read_is_left_out_of_the_profile() -> None:
    index = pd.date_range(MORNING - timedelta(days=20), MORNING, freq=INTERVAL, inclusive="left")
    load = pd.Series(9000.0, index=index)
    sound = ahead(expected(MORNING, 5000.0), Told(load=load)).load_kw
    load.iloc[-6 * 96 + 8] = 1e7
    spiked = ahead(expected(MORNING, 5000.0), Told(load=load)).load_kw
    np.testing.assert_allclose(spiked, sound, rtol=1e-3)
