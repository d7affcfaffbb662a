"""What is expected, from arrays made beforehand; implements `Forecaster` and `Outlook`."""

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from ems.backtest.case import Case, DayInput, kinds_of, utc
from ems.clock import INTERVAL
from ems.domain import Forecast, Horizon, PvForecast, Site, Snapshot
from ems.ports import History

if TYPE_CHECKING:  # pandas and pvlib, a second, for a process that simulates and forecasts nothing
    import pandas as pd

    from forecasting.record import PlantRecord


class Foresight:
    """The forecasts of one day; `at` names the interval that is decided."""

    def __init__(self, case: Case, given: DayInput) -> None:
        """Of plants in kW, from shares by kind."""
        pvs = case.site.pvs
        kind, rated = kinds_of(given, pvs), np.array([pv.rated_kw for pv in pvs])
        self._names = tuple(pv.name for pv in pvs)
        self._expected = (given.expected_share[:, kind] * rated).tolist()
        self._lower = (given.lower_share[:, kind] * rated).tolist()
        self._upper = (given.upper_share[:, kind] * rated).tolist()
        self._quantiles = (given.quantiles_share[:, kind] * rated[:, None]).tolist()
        self._method = given.method[:, kind].tolist()
        self._levels = given.levels
        self._load = given.load_expected_kw.tolist()
        self._load_quantiles = [
            tuple(row) if all(map(np.isfinite, row)) else ()
            for row in given.load_quantiles_kw.tolist()
        ]
        self._load_bounds = [
            (low, high) if np.isfinite(low) else (None, None)
            for low, high in zip(
                given.load_lower_kw.tolist(), given.load_upper_kw.tolist(), strict=True
            )
        ]
        self._confidence = case.confidence
        self._before = given.before_kw.tolist()
        self._ahead = given.ahead
        self._kind, self._rated = kind, rated
        self._left = given.intervals_left if case.end_soc == "start" else None
        self._prices = prices(case, given)
        self.at = 0

    def predict(self, site: Site, snapshot: Snapshot, history: History) -> Forecast:  # noqa: ARG002
        """What was forecast of the interval `at`."""
        i = self.at
        load_kw, kvar, quantiles = self._load[i], snapshot.load.q_kvar, self._load_quantiles[i]
        lower_kw, upper_kw = self._load_bounds[i]
        if kvar is not None and self._before[i]:
            kvar *= load_kw / self._before[i]
        return Forecast(
            start=snapshot.time,
            pv={
                name: PvForecast(
                    expected_kw=expected, lower_kw=lower, upper_kw=upper, method=method,
                    quantiles_kw=tuple(levels),
                )
                for name, expected, lower, upper, method, levels in zip(
                    self._names, self._expected[i], self._lower[i], self._upper[i],
                    self._method[i], self._quantiles[i], strict=True,
                )
            },
            load_kw=load_kw,
            load_kvar=kvar,
            levels=self._levels,
            load_method="profile" if quantiles else "measured",
            load_quantiles_kw=quantiles,
            load_lower_kw=lower_kw,
            load_upper_kw=upper_kw,
            confidence=self._confidence,
        )  # fmt: skip

    def ahead(
        self,
        site: Site,  # noqa: ARG002 - the protocol's
        snapshot: Snapshot,  # noqa: ARG002
        forecast: Forecast,
        history: History,  # noqa: ARG002
    ) -> Horizon:
        """The intervals from `at` on; to the end of the period where the battery is due there.

        Raises:
            RuntimeError: the day was made for a policy that does not look ahead.
        """
        if self._ahead is None:
            raise RuntimeError("nothing was forecast of the day ahead")
        i = self.at
        n = self._ahead.load_kw.shape[1]
        n = n if self._left is None else min(n, self._left - i)
        pv_kw = (self._ahead.pv_share[i, :n][:, self._kind] * self._rated).T.tolist()
        return Horizon(
            starts=tuple(forecast.start + k * INTERVAL for k in range(n)),
            price_usd_per_kwh=self._prices[i : i + n],
            load_kw=tuple(self._ahead.load_kw[i, :n].tolist()),
            pv_kw=dict(zip(self._names, map(tuple, pv_kw), strict=True)),
        )


def prices(case: Case, given: DayInput) -> tuple[float, ...]:
    """Price of each interval of a day, and of those a plan of its last one sees [$/kWh]."""
    first = utc(given.starts[0])
    count = len(given) + (case.intervals_ahead if given.ahead is not None else 0)
    return tuple(case.tariff.price(first + k * INTERVAL) for k in range(count))


class NoHistory:
    """Forecasts are made beforehand: nobody asks what was measured; implements `History`."""

    def pv_record(self, der: str, since: datetime, until: datetime) -> "PlantRecord":
        """Nothing known.

        Raises:
            LookupError: always.
        """
        raise LookupError(f"a backtest keeps no history of {der} from {since} to {until}")

    def load_kw(self, since: datetime, until: datetime) -> "pd.Series[float]":
        """Nothing known.

        Raises:
            LookupError: always.
        """
        raise LookupError(f"a backtest keeps no history of the load from {since} to {until}")
