"""What the figures need of a chain, gathered column by column: a year is some megabytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ems.backtest.connection import LIMITS, TOLERANCE_KW
from ems.backtest.keeping import ChainKey
from ems.backtest.metrics import HOURS
from ems.backtest.report.kept import Floats, Kept

COLUMNS = (
    "start", "day", "cost_usd", "grid_kw", "curtailed_kw", "v_max_pu", "v_min_pu", "depth_pu",
    "elements_over", *LIMITS, "converged", "compliance_usd_per_h",
)  # fmt: skip
BY_DAY = 31
"""Periods no longer than this are told day by day, others by the month [days]."""
_TAILS = np.logspace(-5.0, -2.3, 28)
LEVELS: Floats = np.unique(np.concatenate([[0.0, 1.0], np.linspace(0, 1, 201), _TAILS, 1 - _TAILS]))
"""Shares of time of a duration curve, denser where limits are broken [1]."""
EACH = 4
"""Worst intervals of each kind that are told of a policy, at most one of a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """An interval that is told of on its own."""

    chain: ChainKey
    day: str
    """Local."""
    start: np.datetime64
    """UTC."""
    reason: str
    size: float
    """By which it was chosen: beyond the limit [pu] or [kW], or cost of compliance [$/h]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """Sums of each day."""

    day: Sequence[str]
    """Local, in order."""
    cost_usd: Floats
    curtailed_kwh: Floats
    compliance_usd: Floats
    depth_pu: Floats
    """Furthest beyond a voltage limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """One policy of one site; over several seeds the mean."""

    site: str
    policy: str
    chain: ChainKey
    """The first seed's."""
    highest_pu: Floats
    """Highest voltage of the feeder at `LEVELS` of the time, falling."""
    lowest_pu: Floats
    """Lowest voltage, falling as well."""
    parts: Sequence[str]
    """Months, or days of a short period."""
    cost_usd: Floats
    """Of each part: energy and fuel, and by the month its demand charge [$]."""
    curtailed_kw: Floats
    """Mean of each part and local hour, shape (part, 24), NaN where there is none [kW]."""
    days: Days
    """Of the first seed."""
    worst: Sequence[Marked]


def gathered(kept: Kept, site: str) -> list[Gathered]:
    """All policies of a site."""
    return [_policy(kept, site, policy, keys) for policy, keys in kept.of_site(site).items()]


def parts_of(kept: Kept, days: Sequence[str]) -> NDArray[np.str_]:
    """Month or day of each local day."""
    short = (kept.last - kept.first).days < BY_DAY
    return np.array([day if short else day[:7] for day in days], dtype=np.str_)


def _policy(kept: Kept, site: str, policy: str, keys: Sequence[ChainKey]) -> Gathered:
    highest, lowest, costs, curtailed = [], [], [], []
    worst: list[Marked] = []
    parts: list[str] = _all_parts(kept)
    days: Days | None = None
    for key in keys:
        rows = kept.columns(key, COLUMNS)
        part = np.searchsorted(parts, parts_of(kept, rows["day"]))
        highest.append(rows["v_max_pu"])
        lowest.append(rows["v_min_pu"])
        costs.append(_costs(kept, site, rows, part, parts))
        curtailed.append(_by_hour(rows, kept.zone(site), part, len(parts)))
        worst += _worst(key, rows)
        days = days or _days(rows)
    assert days is not None  # noqa: S101 - a policy has at least one chain
    return Gathered(
        site=site,
        policy=policy,
        chain=keys[0],
        highest_pu=_curve(np.concatenate(highest)),
        lowest_pu=_curve(np.concatenate(lowest)),
        parts=parts,
        cost_usd=np.mean(costs, axis=0),
        curtailed_kw=_mean(curtailed),
        days=days,
        worst=_largest(worst),
    )


def _all_parts(kept: Kept) -> list[str]:
    every = pd.date_range(kept.first, kept.last).strftime("%Y-%m-%d").tolist()
    return list(dict.fromkeys(parts_of(kept, every).tolist()))


def _curve(values: Floats) -> Floats:
    """Value that is reached or passed in each share of the time, falling."""
    known = values[np.isfinite(values)]
    if not len(known):
        return np.full(len(LEVELS), np.nan)
    place = np.ceil(LEVELS * len(known)).astype(np.int64) - 1
    return np.sort(known)[::-1][np.maximum(place, 0)]


def _costs(
    kept: Kept, site: str, rows: Mapping[str, Any], part: NDArray[np.int64], parts: Sequence[str]
) -> Floats:
    cost = _summed(part, rows["cost_usd"], len(parts))
    rate = kept.sites[site].demand_charge_usd_per_kw
    if rate and len(parts[0]) == len("2019-06"):
        peaks = np.zeros(len(parts))
        np.maximum.at(peaks, part, rows["grid_kw"])
        cost = cost + rate * peaks
    return cost


def _by_hour(rows: Mapping[str, Any], zone: str, part: NDArray[np.int64], count: int) -> Floats:
    local = pd.DatetimeIndex(rows["start"]).tz_localize("UTC").tz_convert(zone)
    cell = part * 24 + local.hour.to_numpy()
    total = _summed(cell, rows["curtailed_kw"], count * 24)
    number = np.bincount(cell, minlength=count * 24)
    means = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    return np.asarray(means.reshape(count, 24), dtype=np.float64)


def _summed(group: NDArray[np.int64], values: Floats, count: int) -> Floats:
    """Sums by group, shape (group,)."""
    return np.bincount(group, weights=values, minlength=count).astype(np.float64)


def _mean(tables: Sequence[Floats]) -> Floats:
    """Over seeds; NaN where no seed has a value."""
    known = np.sum([np.isfinite(t) for t in tables], axis=0)
    total = np.nansum(tables, axis=0)
    return np.where(known > 0, total / np.maximum(known, 1), np.nan)


def _days(rows: Mapping[str, Any]) -> Days:
    day, at = np.unique(rows["day"].astype(np.str_), return_inverse=True)
    depth = np.zeros(len(day))
    np.maximum.at(depth, at, rows["depth_pu"])
    return Days(
        day=day.tolist(),
        cost_usd=_summed(at, rows["cost_usd"], len(day)),
        curtailed_kwh=HOURS * _summed(at, rows["curtailed_kw"], len(day)),
        compliance_usd=HOURS * _summed(at, np.nan_to_num(rows["compliance_usd_per_h"]), len(day)),
        depth_pu=depth,
    )


def _worst(chain: ChainKey, rows: Mapping[str, Any]) -> list[Marked]:
    """Intervals furthest beyond limits, and those in which keeping them cost most."""
    broken = rows["depth_pu"] + 1e-9 * (rows["elements_over"] + ~rows["converged"].astype(bool))
    cost = np.nan_to_num(rows["compliance_usd_per_h"])
    found = []
    at_head = np.max([np.nan_to_num(rows[name]) for name in LIMITS], axis=0)
    grid = np.where(at_head > TOLERANCE_KW, at_head, 0.0)
    kinds = (("limit broken", broken), ("grid limit broken", grid), ("dearest to keep", cost))
    for reason, size in kinds:
        taken: set[str] = set()
        for i in np.argsort(-size, kind="stable")[: 96 * EACH]:
            day = str(rows["day"][i])
            if size[i] <= 0.0 or len(taken) == EACH:
                break
            if day in taken:
                continue
            taken.add(day)
            mark = Marked(
                chain=chain, day=day, start=rows["start"][i], reason=reason, size=float(size[i])
            )
            found.append(mark)
    return found


def _largest(found: Sequence[Marked]) -> list[Marked]:
    """Of several seeds as many as of one."""
    reasons = dict.fromkeys(m.reason for m in found)
    ordered = sorted(found, key=lambda m: -m.size)
    return [m for r in reasons for m in [n for n in ordered if n.reason == r][:EACH]]


def reference(policies: Sequence[Gathered]) -> Gathered:
    """The policy by which days are chosen: ours, else the last."""
    named = {g.policy: g for g in policies}
    return named.get("geems") or named.get("geems_lookahead") or policies[-1]


def local_time(start: np.datetime64, zone: str) -> pd.Timestamp:
    """An instant of a row by a site's clock."""
    return pd.Timestamp(start).tz_localize("UTC").tz_convert(zone)


def day_named(day: str) -> str:
    """As people write it."""
    return f"{date.fromisoformat(day):%a %-d %B %Y}"
