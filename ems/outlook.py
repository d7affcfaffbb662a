"""What the day ahead is expected to bring, from what the service knows by itself.

No weather service is asked. Prices stand in the tariff. The sun is the clear sky of each plant
times its clear-sky index: the present one, which four hours later has given way to that of the
past days, because beyond that the present sky says nothing. The load is yesterday's.
"""

from datetime import datetime, timedelta
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ems.clock import INTERVAL
from ems.domain import Forecast, Horizon, Pv, Site, Snapshot
from ems.domain.ahead import HorizonForecast
from ems.lookahead import horizon_of, load_ahead
from ems.ports import History
from ems.tariff import Tariff
from forecasting.baselines import climatological_index, climatology_kw
from forecasting.clearsky import PvGeometry, clear_sky_mean_kw

DAY = 96
"""Intervals planned: one day."""
PAST = timedelta(days=5)
"""How far back the usual clear-sky index is taken from."""
FADE = 16
"""Intervals over which the present sky gives way to the usual one: four hours."""
LOW_SUN_SHARE = 0.05
"""Clear-sky power below which the present index is noise, as a share of the rating [1]."""
INDEX_MAX = 1.2
"""Highest clear-sky index that lasts [1]."""

Floats = NDArray[np.float64]


class TariffOutlook:
    """Prices from a tariff, sun and load from history; implements `ems.ports.Outlook`."""

    def __init__(self, tariff: Tariff, intervals: int = DAY) -> None:
        """Look so many intervals ahead."""
        self._tariff = tariff
        self._intervals = intervals

    def ahead(
        self,
        site: Site,
        snapshot: Snapshot,  # noqa: ARG002 - the port's; the forecast holds what is used of it
        forecast: Forecast,
        history: History,
    ) -> Horizon:
        """The intervals from that of `forecast` on.

        History that cannot be read or is no number counts as unknown: then the sky is the usual
        one of a place nothing is known of, and the load stays.
        """
        n = self._intervals
        pv_kw = {p.name: _pv_kw(p, site, forecast, history, n) for p in site.pvs}
        load_kw = load_ahead(forecast.load_kw, _yesterday_kw(history, forecast.start, n), n)
        return horizon_of(forecast, HorizonForecast(load_kw=load_kw, pv_kw=pv_kw), self._tariff)


def _pv_kw(
    pv: Pv, site: Site, forecast: Forecast, history: History, intervals: int
) -> tuple[float, ...]:
    """Power a plant could make in each interval [kW]."""
    clear = _clear_kw(pv, site, forecast.start, intervals)
    usual = climatology_kw(clear, _usual_index(pv, site, forecast.start, history), pv.rated_kw)
    if clear[0] < LOW_SUN_SHARE * pv.rated_kw:
        return tuple(usual.tolist())
    index = min(forecast.pv[pv.name].expected_kw / float(clear[0]), INDEX_MAX)
    lasting = np.clip(1.0 - np.arange(intervals) / FADE, 0.0, 1.0)
    found = lasting * np.minimum(index * clear, pv.rated_kw) + (1.0 - lasting) * usual
    return tuple(found.tolist())


def _usual_index(pv: Pv, site: Site, start: datetime, history: History) -> float | None:
    """Clear-sky index of the past days; None when too little was measured [1]."""
    since, count = start - PAST, PAST // INTERVAL
    try:
        series = history.pv_kw(pv.name, since, start)
        known = _aligned(series, since, count)
    except Exception:  # noqa: BLE001  whatever ails the database, the cycle goes on
        return None
    return climatological_index(known, _clear_kw(pv, site, since, count), pv.rated_kw)


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


def _clear_kw(pv: Pv, site: Site, start: datetime, count: int) -> Floats:
    """Clear-sky mean of each interval, shape (count,) [kW]."""
    shares = _clear_shares(
        site.latitude_deg, site.longitude_deg, pv.tilt_deg, pv.azimuth_deg, start, count
    )
    return shares * pv.rated_kw


@lru_cache(maxsize=256)
def _clear_shares(
    latitude_deg: float,
    longitude_deg: float,
    tilt_deg: float,
    azimuth_deg: float,
    start: datetime,
    count: int,
) -> Floats:
    """Clear-sky mean of each interval as a share of the rating, shape (count,) [1].

    As shares, so that plants of one orientation share the calculation.
    """
    unit = PvGeometry(
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        tilt_deg=tilt_deg,
        azimuth_deg=azimuth_deg,
        rated_kw=1.0,
    )
    return clear_sky_mean_kw(unit, pd.date_range(start, periods=count, freq=INTERVAL))
