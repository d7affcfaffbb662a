"""The load: what was measured of it, kept from cycle to cycle, and what is expected of it."""

from datetime import timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from ems.forecast.kept import grid, number_of, start_of
from ems.ports import History
from forecasting.clearsky import Floats
from forecasting.day_ahead.load import MEMORY_DAYS, load_ahead
from forecasting.record import QuantileForecast
from forecasting.series import INTERVAL

AGAIN: Final = timedelta(hours=3)
"""How far back each cycle reads again: minutes that came late."""

LEARNT: Final = timedelta(days=7)
"""History from which on quantiles are its own, and not a guess: each day of the week was seen."""

# In intervals.
_MONTHS, _AGAIN, _LEARNT = (s // INTERVAL for s in (timedelta(days=MEMORY_DAYS), AGAIN, LEARNT))


class ObservedLoad:
    """The newest months of the load of a site."""

    def __init__(self, zone: ZoneInfo) -> None:
        """Nothing yet.

        Args:
            zone: local time of the consumers.
        """
        self._zone = zone
        self._kept_kw: Floats | None = None
        # Number of the interval after those kept.
        self._after = 0

    def ahead(
        self,
        start: pd.Timestamp,
        history: History,
        now_kw: float,
        intervals: int,
        *,
        most_kw: float,
    ) -> QuantileForecast | None:
        """The load of the intervals from `start` on; None before a week of it was measured.

        Never raises: a history that fails counts as unknown.

        Args:
            start: of the first interval.
            history: what was measured.
            now_kw: the present load [kW].
            intervals: how many, 1 to 96.
            most_kw: what is beyond it was never measured [kW].
        """
        try:
            coming = number_of(start)
            values_kw = self._until(coming, history)
            values_kw = np.where(np.abs(values_kw) <= most_kw, values_kw, np.nan)
            known = np.flatnonzero(np.isfinite(values_kw))
            if not len(known) or len(values_kw) - known[0] < _LEARNT or len(known) < _LEARNT / 2:
                return None
            series = pd.Series(values_kw, index=grid(coming - len(values_kw), len(values_kw)))
            found = load_ahead(series, start, self._zone, now_kw=now_kw, intervals=intervals)
        except Exception:  # noqa: BLE001  whatever ails the database, the cycle goes on
            return None
        whole = np.isfinite(found.mean_kw).all() and np.isfinite(found.quantiles_kw).all()
        return found if whole else None

    def _until(self, coming: int, history: History) -> Floats:
        """The months before an interval, by its number; NaN where unknown, shape (interval,)."""
        since, kept = coming - _MONTHS, self._kept_kw
        # The last that was kept lies within these months, before the interval: else all is read.
        if kept is None or not since < self._after - 1 < coming:
            again, kept = since, np.zeros(0)
        else:
            again = max(since, self._after - _AGAIN)
            first = self._after - len(kept)
            kept = kept[since - first : again - first]
        fresh = _read(again, coming, history)
        self._kept_kw, self._after = np.concatenate([kept, fresh]), coming
        return self._kept_kw


def _read(since: int, until: int, history: History) -> Floats:
    """On the grid of intervals, NaN where nothing sound is known, nothing from `until` on."""
    found = history.load_kw(start_of(since).to_pydatetime(), start_of(until).to_pydatetime())
    starts = grid(since, until - since)
    if found.empty or not isinstance(found.index, pd.DatetimeIndex) or found.index.tz is None:
        return np.full(len(starts), np.nan)
    known = pd.to_numeric(found, errors="coerce")
    if not found.index.equals(starts):
        known = known[~known.index.duplicated(keep="last")].reindex(starts)
    values = known.to_numpy(dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)
