"""What was forecast in a period, all of it at once: once for plants that face alike.

Each forecast knows what was known at its interval's start. Plants tell what the sun offers them
(as SunSpec devices may), so a cap hides nothing and one forecast serves every policy. It is the
service's but for what a cycle adds there: fitted orientations, and what snow and outages change.
"""

from dataclasses import replace
from datetime import date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from ems.backtest.case import Ahead, Case, DayInput, Floats, Profiles
from ems.backtest.period import Period, intervals_of, midnight
from ems.backtest.suns import kinds_of_sun, next_intervals, sun_forecast
from ems.clock import INTERVAL
from ems.domain import band_kw, least_kw
from ems.lookahead import load_ahead
from forecasting.day_ahead.load import load_ahead_batch
from forecasting.record import LEVELS

if TYPE_CHECKING:  # SciPy's filters, a third of a second, for policies that look ahead
    from forecasting.day_ahead.horizon import DayAhead

DAY = 96
LEARNT = 7 * DAY
"""As in the service: before a week is known the load has no quantiles of its own."""
GIVEN = "given"
"""Method of a forecast that nobody made."""


class Foreseen:
    """A period of a site: its sun and load, and what was forecast of them.

    It serves every policy of the same site, seed and forecast.
    """

    def __init__(self, case: Case, profiles: Profiles, period: Period) -> None:
        """Forecast each interval of the period; days ahead wait until they are asked for."""
        self.period = period
        self._first = profiles.first
        self._end, begin = self._row(period.end), self._row(period.begin)
        self._kind, kinds = kinds_of_sun(case.site, profiles)
        self._load = profiles.load_kw[: self._end]
        self._lowest_load_kw = float(self._load[begin:].min())
        self._highest_load_kw = float(self._load[begin:].max())
        shares = [share[: self._end] for _, share in kinds]
        self._share = _side_by_side(shares, (*self._load.shape, 0))
        self._share_means = self._share.mean(axis=1)
        # A meter shows what the step before came to; where no series tells that, the first step is
        # nearest to it, never the last one of the interval.
        self._before_share = np.concatenate([self._share[:1, 0], self._share[:-1, -1]])
        self._before_kw = np.concatenate([self._load[:1, 0], self._load[:-1, -1]])
        self._suns = [
            sun_forecast(geometry, share[: self._end], profiles.first, case.forecast, begin)
            for geometry, share in kinds
        ]
        index = pd.date_range(profiles.first, periods=self._end, freq=INTERVAL)
        self._load_means = pd.Series(self._load.mean(axis=1), index=index)

    def day(self, case: Case, day: date) -> DayInput:
        """What one local day is given.

        Args:
            case: of this site, seed and forecast; its method and its share of the error count.
            day: of the period.
        """
        start = midnight(day, case.zone)
        count = intervals_of(day, case.zone)
        begin = self._row(start)
        rows = slice(begin, begin + count)
        true = self._share_means[rows]
        given = DayInput(
            day=day,
            starts=np.datetime64(start.replace(tzinfo=None), "s")
            + np.arange(count) * np.timedelta64(INTERVAL),
            kind=self._kind,
            pv_share=self._share[rows],
            load_kw=self._load[rows],
            before_share=self._before_share[rows],
            before_kw=self._before_kw[rows],
            levels=LEVELS,
            expected_share=true,
            lower_share=self._share[rows].min(axis=1),
            upper_share=self._share[rows].max(axis=1),
            quantiles_share=np.repeat(true[..., None], len(LEVELS), axis=-1),
            method=np.full(true.shape, GIVEN),
            load_expected_kw=self._load[rows].mean(axis=1),
            load_lower_kw=self._load[rows].min(axis=1),
            load_upper_kw=self._load[rows].max(axis=1),
            load_quantiles_kw=np.full((count, len(LEVELS)), np.nan),
            intervals_left=self._end - begin,
            lowest_load_kw=self._lowest_load_kw,
            highest_load_kw=self._highest_load_kw,
        )
        looks = case.method in ("geems_lookahead", "oracle")
        perfect = case.method == "oracle" or case.forecast == "perfect"
        if not perfect:
            given = self._forecast(case, given, begin)
        if looks:
            ahead = self._true_ahead(case, begin, count)
            if not perfect:
                ahead = self._ahead(case, given, begin, ahead)
            given = replace(given, ahead=ahead)
        return given

    def _forecast(self, case: Case, true: DayInput, begin: int) -> DayInput:
        """As forecast at each interval's start, or as much nearer to the truth as is asked."""
        rows = slice(begin, begin + len(true))
        left = case.forecast_error
        none = true.expected_share.shape
        upper = _side_by_side([s.upper[rows] for s in self._suns], none)
        mean = _side_by_side([s.mean[rows] for s in self._suns], none)
        quantiles = _side_by_side([s.quantiles[rows].T for s in self._suns], (len(LEVELS), *none))
        quantiles = np.moveaxis(quantiles, 0, -1)
        # The bound is one for any sky: it holds whatever share of the error is left.
        upper = np.maximum(upper, true.upper_share) if left != 1.0 else upper
        mean = np.clip(_nearer(true.expected_share, mean, left), 0.0, upper)
        quantiles = np.clip(
            _nearer(true.expected_share[..., None], quantiles, left), 0.0, upper[..., None]
        )
        weights = np.array(
            [least_kw(LEVELS, row, case.confidence) for row in np.eye(len(LEVELS)).tolist()]
        )
        load_quantiles = self._load_quantiles(case, begin, len(true))
        load_quantiles = _nearer(true.load_expected_kw[:, None], load_quantiles, left)
        bands = np.array([
            band_kw(LEVELS, row, case.confidence) if np.isfinite(row).all() else (np.nan, np.nan)
            for row in load_quantiles.tolist()
        ])  # fmt: skip
        return replace(
            true,
            expected_share=mean,
            lower_share=np.minimum(quantiles @ weights, mean),
            upper_share=upper,
            quantiles_share=quantiles,
            method=_side_by_side([s.method[rows] for s in self._suns], none),
            load_expected_kw=_nearer(true.load_expected_kw, true.before_kw, left),
            load_quantiles_kw=load_quantiles,
            load_lower_kw=bands[:, 0],
            load_upper_kw=bands[:, 1],
        )

    def _load_quantiles(self, case: Case, begin: int, count: int) -> Floats:
        """Of each interval's load, shape (interval, level); NaN before a week is known."""
        found = self._load_ahead(case, begin, count, 1)
        return np.full((count, len(LEVELS)), np.nan) if found is None else found[1][:, 0]

    def _load_ahead(
        self, case: Case, begin: int, count: int, intervals: int
    ) -> tuple[Floats, Floats] | None:
        if begin < LEARNT:
            return None
        return load_ahead_batch(
            self._load_means, self._load_means.index[begin], ZoneInfo(case.zone), None,
            count, intervals,
        )  # fmt: skip

    def _ahead(self, case: Case, given: DayInput, begin: int, true: Ahead) -> Ahead:
        """The days ahead as the service would see them."""
        count, n = len(given), case.intervals_ahead
        issues = np.arange(begin, begin + count)
        days = (
            _day_ahead().batch(
                s.record,
                s.geometry,
                issues,
                next_intervals=next_intervals(s, issues),
                calibrated=False,  # plans are made of means
            )
            for s in self._suns
        )
        suns = [batch.mean_kw[:, :n] for batch in days]
        found = self._load_ahead(case, begin, count, n)
        if found is not None:
            load = found[0].copy()
        else:
            means = self._load_means.tolist()
            load = np.array([
                load_ahead(float(now), means[i - DAY : i] if i >= DAY else None, n)
                for i, now in zip(issues.tolist(), given.before_kw, strict=True)
            ])  # fmt: skip
        share = _side_by_side(suns, true.pv_share.shape)
        share = _nearer(true.pv_share, share, case.forecast_error)
        load = _nearer(true.load_kw, load, case.forecast_error)
        share[:, 0], load[:, 0] = given.expected_share, given.load_expected_kw
        return Ahead(pv_share=np.clip(share, 0.0, 1.0), load_kw=np.maximum(load, 0.0))

    def _true_ahead(self, case: Case, begin: int, count: int) -> Ahead:
        """What really came; where the series end, a day goes on like the one before it."""
        rows = np.arange(begin, begin + count)[:, None] + np.arange(case.intervals_ahead)
        beyond = rows >= self._end
        rows[beyond] = self._end - DAY + (rows[beyond] - self._end) % DAY
        rows = np.maximum(rows, 0)
        return Ahead(pv_share=self._share_means[rows], load_kw=self._load_means.to_numpy()[rows])

    def _row(self, when: datetime) -> int:
        """Interval of the profiles that begins then."""
        return (when - self._first) // INTERVAL


def foresee(case: Case, profiles: Profiles, period: Period) -> Foreseen:
    """Forecast a period, once for every policy of the same site, seed and forecast."""
    return Foreseen(case, profiles, period)


def _side_by_side(arrays: list[Any], none: tuple[int, ...]) -> Any:
    """Arrays of each kind of plant along a last axis; of shape `none` where there is no plant."""
    return np.stack(arrays, axis=-1) if arrays else np.zeros(none)


def _nearer(true: Floats, told: Floats, left: float) -> Floats:
    """A forecast with a share of its error left."""
    return told if left == 1.0 else true + left * (told - true)


@lru_cache(maxsize=1)
def _day_ahead() -> "DayAhead":
    from forecasting.day_ahead.horizon import DayAhead  # noqa: PLC0415 - as above

    return DayAhead.load()
