"""What is assumed of a file of series that holds no fault, and is worth a word."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from ems.backtest.series_columns import LOAD, SHARE
from ems.clock import INTERVAL
from ems.domain import Site

Floats = NDArray[np.float64]

A_WEEK = timedelta(days=7)
"""The forecast of the load needs one (docs/forecasting.md)."""
SHOWN = 3
"""Plants that are named in a note; of the others their number is."""


def assumed(
    values: Mapping[str, Floats],
    used: Mapping[str, str],
    site: Site,
    *,
    every_s: int,
    history: timedelta,
    daylight: bool,
) -> Iterator[str]:
    """One line each.

    Args:
        values: of the period, by column, each shape (time,).
        used: column of each plant and of the load.
        site: whose plants and load they are.
        every_s: how far apart values are [s].
        history: how much of what lies before the period is known.
        daylight: whether the sun stands high enough in the period for PV to give anything.
    """
    yield from _history(history)
    yield from _beyond_bounds(values[used[LOAD]], site)
    yield from _cut_off(values, used, site, every_s)
    yield from _own_use(values, used, site)
    dark = [pv.name for pv in site.pvs if not np.any(values[used[pv.name]])]
    if daylight and dark:
        yield f"{_named(dark)}: no sun in the whole period, taken for a plant that is down"


def _history(known: timedelta) -> Iterator[str]:
    if known < A_WEEK:
        days = known / timedelta(days=1)
        told = f"only the last {days:.3g} days" if known else "nothing"
        yield (
            f"{told} before the period can be used: there are no values before, or a gap; the "
            "forecast of the load learns from 7 days, and knows less at first"
        )


def _beyond_bounds(load_kw: Floats, site: Site) -> Iterator[str]:
    """A load outside what the site file says of it, which limits are proved for."""
    low, high = load_kw < site.load_min_kw, load_kw > site.load_max_kw
    for beyond, told in (
        (low, f"below load.min_kw = {site.load_min_kw:g}, down to {load_kw.min():g}"),
        (high, f"above load.max_kw = {site.load_max_kw:g}, up to {load_kw.max():g}"),
    ):
        if beyond.any():
            yield (
                f"{np.count_nonzero(beyond):,} of {len(load_kw):,} values of the load lie {told} "
                "kW; they are simulated as they are, and what is proved for the bounds of the "
                "site file does not hold there"
            )


def _cut_off(
    values: Mapping[str, Floats], used: Mapping[str, str], site: Site, every_s: int
) -> Iterator[str]:
    """Sun beyond the rating of a plant, which its inverter cannot give."""
    told = INTERVAL // timedelta(seconds=every_s)
    kwh, intervals = {}, {}
    for pv in site.pvs:
        column = used[pv.name]
        offered_kw = values[column] * (pv.rated_kw if column == SHARE else 1.0)
        over_kw = np.maximum(offered_kw - pv.rated_kw, 0.0).reshape(-1, told)
        if over_kw.any():
            kwh[pv.name] = float(over_kw.sum()) * every_s / 3600.0
            intervals[pv.name] = int(np.count_nonzero(over_kw.any(axis=1)))
    if kwh:
        most = sorted(kwh, key=lambda name: -kwh[name])
        parts = [f"{n} in {intervals[n]:,} intervals, {kwh[n]:,.1f} kWh" for n in most[:SHOWN]]
        rest = sum(kwh[n] for n in most[SHOWN:])
        more = f"; {len(most) - SHOWN} more plants, {rest:,.1f} kWh" if len(most) > SHOWN else ""
        yield f"sun beyond the rating is cut off there: {'; '.join(parts)}{more}"


def _own_use(values: Mapping[str, Floats], used: Mapping[str, str], site: Site) -> Iterator[str]:
    """What a meter shows below zero at night."""
    columns = sorted({used[pv.name] for pv in site.pvs})
    count = sum(int(np.count_nonzero(values[name] < 0.0)) for name in columns)
    if count:
        yield f"{count:,} values of PV lie a little below zero, and are taken for 0"


def _named(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
