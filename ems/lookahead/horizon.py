"""From a tariff and what is expected to the numbers of a horizon."""

import math
from collections.abc import Sequence

from ems.clock import INTERVAL
from ems.domain import Forecast
from ems.domain.ahead import Horizon, HorizonForecast, TerminalSoc
from ems.tariff import Tariff

DAY = 96
"""Intervals of a day."""
FADE = 16
"""Intervals over which the present load's distance from yesterday's fades: four hours."""


def horizon_of(
    forecast: Forecast,
    ahead: HorizonForecast,
    tariff: Tariff,
    *,
    selling: Tariff | None = None,
    terminal: TerminalSoc = "keep",
) -> Horizon:
    """A horizon that starts with the interval of `forecast`.

    Args:
        forecast: the first interval; its numbers stand in for the first of `ahead`.
        ahead: load and PV of every interval.
        tariff: price of energy from the grid, taken at the start of each interval.
        selling: what the grid pays for energy; None: the price it asks.
        terminal: what batteries hold at the end.
    """
    starts = tuple(forecast.start + i * INTERVAL for i in range(len(ahead.load_kw)))
    return Horizon(
        starts=starts,
        price_usd_per_kwh=tuple(tariff.price(s) for s in starts),
        export_usd_per_kwh=None if selling is None else tuple(selling.price(s) for s in starts),
        load_kw=(forecast.load_kw, *ahead.load_kw[1:]),
        pv_kw={
            name: (forecast.pv[name].expected_kw, *series[1:])
            for name, series in ahead.pv_kw.items()
        },
        terminal=terminal,
    )


def load_ahead(
    now_kw: float, yesterday_kw: Sequence[float] | None = None, intervals: int = DAY
) -> tuple[float, ...]:
    """The load of the intervals ahead, while nothing better forecasts it [kW].

    Yesterday's profile, from the same time of day on, moved by what the present load differs
    from it, less and less over four hours; without a profile, or where it has a gap (NaN), the
    present load stays.
    """
    profile = [math.nan] * intervals if yesterday_kw is None else list(yesterday_kw)[:intervals]
    profile += [math.nan] * (intervals - len(profile))
    apart = now_kw - profile[0] if math.isfinite(profile[0]) else 0.0
    return tuple(
        max(0.0, kw + apart * max(0.0, 1.0 - i / FADE)) if math.isfinite(kw) else now_kw
        for i, kw in enumerate(profile)
    )
