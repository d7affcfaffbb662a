"""Short days for tests of backtests: the reference segment, an hour or a day, no noise."""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from ems.backtest import Ahead, Case, DayInput, DayState, Errors, simulate_day
from ems.domain import Site
from ems.tariff import Tariff, flat, from_table
from forecasting.record import LEVELS
from tests.sites import AUTO, segment

ZONE = "America/Los_Angeles"
NO_ERRORS = Errors(load_noise=0.0)
SUMMER = date(2019, 7, 15)
"""A Monday."""


def case(method: Any = "geems", *, site: Site | None = None, **changed: Any) -> Case:
    """The reference segment at a flat price, the truth as the model has it."""
    site = site or segment()
    values: dict[str, Any] = {
        "name": site.name, "site": site, "policy": AUTO, "tariff": flat(0.25),
        "feeder": "segment13", "zone": ZONE, "errors": NO_ERRORS, "forecast": "clear_sky",
    } | changed  # fmt: skip
    return Case(method=method, **values)


def given(
    of: Case,
    share: Any = 0.6,
    load_kw: Any = 9000.0,
    *,
    intervals: int = 8,
    steps: int = 1,
    upper: float = 0.9,
    left: int | None = None,
    start: str = "2019-07-15T17:00",
) -> DayInput:
    """Part of a day whose sun and load are told exactly; its upper bound is another number.

    Args:
        of: whose plants.
        share: of the rating that the sun offers, by interval or always.
        load_kw: likewise.
        intervals: how many.
        steps: in each.
        upper: share of the rating that no sky exceeds.
        left: intervals to the end of the period; None: these.
        start: of the first, UTC.
    """
    sun = np.broadcast_to(np.asarray(share, dtype=float), (intervals,))
    load = np.broadcast_to(np.asarray(load_kw, dtype=float), (intervals,))
    kinds = np.repeat(sun[:, None], 1, axis=1)
    n = of.intervals_ahead
    later = np.minimum(np.arange(intervals)[:, None] + np.arange(n), intervals - 1)
    looks = of.method in ("geems_lookahead", "oracle")
    certain = of.method == "oracle"
    return DayInput(
        day=SUMMER,
        starts=np.datetime64(start, "s") + np.arange(intervals) * np.timedelta64(900, "s"),
        kind={pv.name: 0 for pv in of.site.pvs},
        pv_share=np.repeat(kinds[:, None], steps, axis=1),
        load_kw=np.repeat(load[:, None], steps, axis=1),
        before_share=kinds,
        before_kw=load,
        expected_share=kinds,
        lower_share=kinds if certain else np.zeros_like(kinds),
        upper_share=kinds if certain else np.full_like(kinds, upper),
        levels=LEVELS,
        quantiles_share=np.repeat(kinds[..., None], len(LEVELS), axis=-1),
        method=np.full(kinds.shape, "given"),
        load_expected_kw=load,
        load_quantiles_kw=np.full((intervals, len(LEVELS)), np.nan),
        load_lower_kw=np.full(intervals, np.nan),
        load_upper_kw=np.full(intervals, np.nan),
        ahead=Ahead(pv_share=kinds[later], load_kw=load[later]) if looks else None,
        intervals_left=intervals if left is None else left,
    )


def part(day: DayInput, begin: int, end: int) -> DayInput:
    """Some intervals of a day, as if it had no others."""
    cut: dict[str, Any] = {
        f.name: getattr(day, f.name)[begin:end]
        for f in fields(day)
        if isinstance(getattr(day, f.name), np.ndarray)
    }
    if day.ahead is not None:
        cut["ahead"] = Ahead(
            pv_share=day.ahead.pv_share[begin:end], load_kw=day.ahead.load_kw[begin:end]
        )
    return replace(day, intervals_left=day.intervals_left - begin, **cut)


def ran(of: Case, day: DayInput, state: DayState | None = None) -> tuple[pd.DataFrame, DayState]:
    """The rows of a day, and what it leaves."""
    result = simulate_day(of, day, state or DayState.at_start(of))
    return result.rows.to_pandas(), result.state


def two_prices(cheap: float, dear: float) -> Tariff:
    """Dear from 17:00 to 21:00 local."""
    windows = [{"days": "all", "start": "17:00", "end": "21:00"}]
    table: Mapping[str, Any] = {
        "zone": ZONE,
        "period": [
            {"name": "dear", "usd_per_kwh": dear, "windows": windows},
            {"name": "cheap", "usd_per_kwh": cheap},
        ],
    }
    return from_table("two prices", table)
