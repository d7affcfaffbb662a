"""What the day ahead is expected to bring.

Prices stand in the tariff. The sun is a blend, by horizon, of the plant's own history and, where
the site names a file of one, a weather forecast (`forecasting.day_ahead.horizon`); it starts from
the forecast of the present interval. The load is the week's profile, corrected by today's error
(`forecasting.day_ahead.load`); before a week is known, yesterday's.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ems.clock import INTERVAL
from ems.domain import Forecast, Horizon, Pv, Site, Snapshot
from ems.domain.ahead import HorizonForecast
from ems.forecast import LadderForecaster
from ems.lookahead import horizon_of, load_ahead
from ems.ports import History
from ems.tariff import Tariff
from forecasting.day_ahead.blend import ARTEFACT
from forecasting.day_ahead.horizon import DayAhead, DayAheadPath
from forecasting.day_ahead.weather import WeatherForecast, open_weather
from forecasting.record import LEVELS, QuantileForecast
from models import ArtefactFault, Champions, ChampionsFault

DAY = 96
"""Intervals planned: one day."""

Floats = NDArray[np.float64]


class TariffOutlook:
    """Prices from a tariff, sun and load from history; implements `ems.ports.Outlook`."""

    def __init__(
        self,
        tariff: Tariff,
        intervals: int = DAY,
        *,
        forecaster: LadderForecaster | None = None,
        models: Path | None = None,
        weather_file: Path | None = None,
    ) -> None:
        """Look so many intervals ahead.

        Args:
            tariff: prices.
            intervals: how many, 1 to 96.
            forecaster: who has read the history already; None: it is read here.
            models: folder of the user's own artefacts.
            weather_file: of a weather service; read again whenever it changes.
        """
        self._tariff = tariff
        self._intervals = intervals
        self._forecaster = forecaster or LadderForecaster("clear_sky")
        self._days = _Days(models)
        self._weather = _WeatherFile(weather_file)

    def ahead(
        self, site: Site, snapshot: Snapshot, forecast: Forecast, history: History
    ) -> Horizon:
        """The intervals from that of `forecast` on.

        History that cannot be read or is no number counts as unknown: then the sky is the usual
        one of a place nothing is known of, and the load stays.
        """
        weather, notes = self._weather.now()
        pv_kw, faults = {}, dict[str, None]()
        for pv in site.pvs:
            path = self._path(pv, site, forecast, history, weather)
            pv_kw[pv.name] = tuple(path.forecast.mean_kw.tolist())
            notes += tuple(f"{pv.name}: {note}" for note in path.notes)
            faults |= dict.fromkeys(self._days.of(pv.name).notes)
        load_kw = self._load_kw(site, snapshot, forecast, history)
        ahead = HorizonForecast(load_kw=load_kw, pv_kw=pv_kw)
        horizon = horizon_of(forecast, ahead, self._tariff)
        return replace(horizon, notes=notes, faults=tuple(faults))

    def _path(
        self,
        pv: Pv,
        site: Site,
        forecast: Forecast,
        history: History,
        weather: WeatherForecast | None,
    ) -> DayAheadPath:
        """Power a plant could make in each interval."""
        record, geometry = self._forecaster.seen(pv, site, forecast.start, history)
        start, first = pd.Timestamp(forecast.start), forecast.pv[pv.name]
        quantiles = first.quantiles_kw or (first.expected_kw,) * len(LEVELS)
        return self._days.of(pv.name).path(
            record,
            geometry,
            start,
            intervals=self._intervals,
            next_interval=QuantileForecast(
                starts=pd.DatetimeIndex([start]),
                mean_kw=np.array([first.expected_kw]),
                quantiles_kw=np.array([quantiles]),
            ),
            weather=weather,
            calibrated=False,  # the plan is made of means
        )

    def _load_kw(
        self, site: Site, snapshot: Snapshot, forecast: Forecast, history: History
    ) -> tuple[float, ...]:
        """Consumption of each interval [kW]."""
        n = self._intervals
        found = self._forecaster.load_ahead(site, snapshot, history, intervals=n)
        if found is not None:
            return tuple(found.mean_kw.tolist())
        return load_ahead(forecast.load_kw, _yesterday_kw(history, forecast.start, n), n)


class _Days:
    """What forecasts the day ahead of each plant: its champion, read when it is first needed."""

    def __init__(self, models: Path | None) -> None:
        self._champions = Champions(ARTEFACT, models)
        self._read: dict[tuple[str, tuple[str, ...]], DayAhead] = {}

    def of(self, plant: str) -> DayAhead:
        """Never raises: what is wrong is a note of the path."""
        try:
            chosen = self._champions.of(plant)
        except ArtefactFault as fault:
            return DayAhead.without(fault.in_short)
        except ChampionsFault as fault:
            return DayAhead.without(str(fault))
        key = chosen.artefact.sha256, chosen.notes
        if key not in self._read:
            self._read[key] = DayAhead.of(chosen)
        return self._read[key]


class _WeatherFile:
    """A file that somebody else writes anew from time to time."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._written = 0
        self._read: tuple[WeatherForecast | None, tuple[str, ...]] = (None, ())

    def now(self) -> tuple[WeatherForecast | None, tuple[str, ...]]:
        """What it holds, or why it is not used."""
        if self._path is None:
            return None, ()
        try:
            written = self._path.stat().st_mtime_ns
        except OSError as fault:
            return None, (f"weather forecast not used: {self._path}: {fault.strerror}",)
        if written != self._written:
            self._written, self._read = written, open_weather(self._path)
        return self._read


def _yesterday_kw(history: History, start: datetime, intervals: int) -> tuple[float, ...] | None:
    """The load from this time of yesterday on, NaN where unknown [kW]."""
    since = start - timedelta(days=1)
    try:
        series = history.load_kw(since, start)
        known = _aligned(series, since, min(intervals, DAY))
    except Exception:  # noqa: BLE001  whatever ails the database, the cycle goes on
        return None
    return tuple(np.resize(known, intervals).tolist())


def _aligned(series: "pd.Series[float]", since: datetime, count: int) -> Floats:
    """A history on the grid of intervals, NaN where it says nothing, shape (count,)."""
    grid = pd.date_range(since, periods=count, freq=INTERVAL)
    known = pd.to_numeric(series, errors="coerce")
    known = known[~known.index.duplicated(keep="last")].reindex(grid)
    values = known.to_numpy(dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)
