"""The load: what was measured of it, kept from cycle to cycle, and what is expected of it."""

from datetime import timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from ems.ports import History
from forecasting.day_ahead.load import MEMORY_DAYS, load_ahead
from forecasting.record import QuantileForecast
from forecasting.series import INTERVAL

AGAIN: Final = timedelta(hours=3)
"""How far back each cycle reads again: minutes that came late."""

LEARNT: Final = timedelta(days=7)
"""History from which on quantiles are its own, and not a guess: each day of the week was seen."""

_MEMORY: Final = timedelta(days=MEMORY_DAYS)


class ObservedLoad:
    """The newest months of the load of a site."""

    def __init__(self, zone: ZoneInfo) -> None:
        """Nothing yet.

        Args:
            zone: local time of the consumers.
        """
        self._zone = zone
        self._series: pd.Series[float] | None = None

    def ahead(
        self, start: pd.Timestamp, history: History, now_kw: float, intervals: int
    ) -> QuantileForecast | None:
        """The load of the intervals from `start` on; None before a week of it was measured.

        Never raises: a history that fails counts as unknown.

        Args:
            start: of the first interval.
            history: what was measured.
            now_kw: the present load [kW].
            intervals: how many, 1 to 96.
        """
        try:
            series = self._until(start, history)
            known = series.index[np.isfinite(series.to_numpy())]
            if not len(known) or start - known[0] < LEARNT or len(known) < LEARNT // INTERVAL / 2:
                return None
            found = load_ahead(series, start, self._zone, now_kw=now_kw, intervals=intervals)
        except Exception:  # noqa: BLE001  whatever ails the database, the cycle goes on
            return None
        whole = np.isfinite(found.mean_kw).all() and np.isfinite(found.quantiles_kw).all()
        return found if whole else None

    def _until(self, start: pd.Timestamp, history: History) -> "pd.Series[float]":
        since, kept = start - _MEMORY, self._series
        if kept is None or kept.empty or not since < kept.index[-1] < start:
            kept = _read(since, start, history)
        again = max(since, min(kept.index[-1] + INTERVAL, start) - AGAIN) if len(kept) else since
        fresh = _read(again, start, history)
        series = pd.concat([kept[(kept.index >= since) & (kept.index < again)], fresh])
        self._series = series
        return series


def _read(since: pd.Timestamp, until: pd.Timestamp, history: History) -> "pd.Series[float]":
    """On the grid of intervals, NaN where nothing sound is known, nothing from `until` on."""
    found = history.load_kw(since.to_pydatetime(), until.to_pydatetime())
    grid = pd.date_range(since, until, freq=INTERVAL, inclusive="left")
    if not isinstance(found.index, pd.DatetimeIndex) or found.index.tz is None:
        return pd.Series(np.nan, index=grid)
    known = pd.to_numeric(found, errors="coerce")
    known = known[~known.index.duplicated(keep="last")].reindex(grid)
    values = known.to_numpy(dtype=np.float64)
    return pd.Series(np.where(np.isfinite(values), values, np.nan), index=grid)
