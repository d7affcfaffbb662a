"""What was forecast of the sun, of one plant for all that face alike under the same sky."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ems.backtest.case import Floats, ForecastName, Profiles
from ems.clock import INTERVAL
from ems.domain import Pv, Site
from ems.forecast.bound import upper_bounds_kw
from forecasting.baselines import climatology, fading_persistence
from forecasting.clearsky import PvGeometry
from forecasting.ladder import ladder_series
from forecasting.pooled import PooledLstm
from forecasting.record import PARTS, PlantRecord, QuantileForecast
from models import champion


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sun:
    """Of one kind of plant, from the first interval of the profiles; shares of the rating."""

    geometry: PvGeometry
    record: PlantRecord
    mean: Floats
    """Shape (interval,)."""
    quantiles: Floats
    """Shape (interval, level)."""
    upper: Floats
    """What no sky exceeds; 0 before the period, where nobody asks; shape (interval,)."""
    method: NDArray[np.str_]


def kinds_of_sun(
    site: Site, profiles: Profiles
) -> tuple[dict[str, int], list[tuple[PvGeometry, Floats]]]:
    """Plants that face alike under the same sky, and one of each kind."""
    kind: dict[str, int] = {}
    number: dict[tuple[float, float, str], int] = {}
    digests: dict[int, str] = {}
    found: list[tuple[PvGeometry, Floats]] = []
    for pv in site.pvs:
        share = profiles.pv_share[pv.name]
        if id(share) not in digests:
            digests[id(share)] = hashlib.sha256(share.tobytes()).hexdigest()
        key = (pv.tilt_deg, pv.azimuth_deg, digests[id(share)])
        if key not in number:
            number[key] = len(found)
            found.append((_geometry(site, pv), share))
        kind[pv.name] = number[key]
    return kind, found


def _geometry(site: Site, pv: Pv) -> PvGeometry:
    """Of a plant of that kind, rated at 1 kW: its powers are shares."""
    return PvGeometry(
        latitude_deg=site.latitude_deg,
        longitude_deg=site.longitude_deg,
        tilt_deg=pv.tilt_deg,
        azimuth_deg=pv.azimuth_deg,
        rated_kw=1.0,
    )


def sun_forecast(
    geometry: PvGeometry, share: Floats, first: datetime, method: ForecastName, begin: int
) -> Sun:
    """Forecast every interval of a series.

    Args:
        geometry: how the plant faces.
        share: what the sun offers, shape (interval, step) [1].
        first: start of its first interval, UTC.
        method: best rung.
        begin: first interval whose upper bound is asked for.
    """
    starts = pd.date_range(first, periods=len(share), freq=INTERVAL).as_unit("ns")
    mean = share.mean(axis=1)
    record = PlantRecord(
        starts=starts,
        parts_kw=share if share.shape[1] in PARTS else mean[:, None],
        floor_kw=mean,
        cap_kw=np.full(len(share), np.inf),
    )
    told, by = _told(record, geometry, method)
    upper = np.zeros(len(share))
    upper[begin:] = upper_bounds_kw(geometry, starts[begin], len(share) - begin)
    return Sun(
        geometry=geometry,
        record=record,
        mean=told.mean_kw,
        quantiles=told.quantiles_kw,
        upper=upper,
        method=by,
    )


def _told(
    record: PlantRecord, geometry: PvGeometry, method: ForecastName
) -> tuple[QuantileForecast, NDArray[np.str_]]:
    match method:
        case "lstm":
            found = ladder_series(_lstm(), record, geometry)
            return found.forecast, found.branch
        case "smart_persistence":
            return fading_persistence(record, geometry), np.full(len(record), method)
        case "clear_sky" | "perfect":  # what is perfect is never asked what was forecast
            return climatology(record, geometry), np.full(len(record), "clear_sky")


def next_intervals(sun: Sun, issues: NDArray[np.int64]) -> QuantileForecast:
    """The forecasts of the interval at each issue, as the day ahead starts from them."""
    return QuantileForecast(
        starts=sun.record.starts[issues],
        mean_kw=sun.mean[issues],
        quantiles_kw=sun.quantiles[issues],
    )


@lru_cache(maxsize=1)
def _lstm() -> PooledLstm:
    """The model that ships: a backtest is to be repeatable elsewhere."""
    return PooledLstm(champion("pv_pooled").artefact)
