"""Loads made up: a household and a feeder, with weekdays, holidays, weather and chance."""

from datetime import date
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from forecasting.clearsky import Floats

ZONE = ZoneInfo("America/Denver")
HOLIDAY = date(2025, 4, 18)


def is_holiday(day: date) -> bool:
    return day == HOLIDAY


def habit_kw(index: pd.DatetimeIndex, zone: ZoneInfo = ZONE) -> Floats:
    """A household's day by the local clock: up later on days off, home at noon, shape (row,)."""
    local = index.tz_convert(zone)
    hour = (local.hour + local.minute / 60).to_numpy()
    holiday = np.array([is_holiday(d) for d in local.date])
    off = (local.day_of_week.to_numpy() >= 5) | holiday
    morning = np.exp(-0.5 * ((hour - np.where(off, 9.5, 7.2)) / 1.2) ** 2)
    noon = np.where(off, 0.5, 0.15) * np.exp(-0.5 * ((hour - 13.0) / 3.5) ** 2)
    evening = 1.2 * np.exp(-0.5 * ((hour - 19.0) / 2.2) ** 2)
    return np.asarray(0.4 + 0.6 * morning + noon + evening)


@lru_cache(maxsize=8)
def load_kw(kind: str, seed: int, days: int = 84, first: str = "2025-01-20") -> "pd.Series[float]":
    """A `feeder` of 400 households, or one `house`; do not change it, it is kept [kW]."""
    rng = np.random.default_rng(seed)
    index = pd.date_range(first, periods=days * 96, freq="15min", tz="UTC")
    # The weather of two days, and what people happen to do for three quarters of an hour.
    weather = lfilter([0.02], [1.0, -0.995], rng.normal(size=len(index)))
    chance = lfilter([1.0], [1.0, -0.7], rng.normal(size=len(index)))
    habit = habit_kw(index) * (1.0 + 0.8 * weather)
    if kind == "feeder":
        return pd.Series(400.0 * habit * (1.0 + 0.02 * chance), index=index)
    return pd.Series(np.maximum(habit * (1.0 + 0.25 * np.abs(chance)), 0.05), index=index)
