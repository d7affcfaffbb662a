"""What a policy came to over all its seeds."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from ems.backtest.connection import LIMITS
from ems.backtest.metrics import Metrics

COUNTS = (
    "days", "compared_days", "intervals", "violated", "overloaded", "unsolved", "grid_over",
    "model_violated", "unverified", "alarms",
)  # fmt: skip
"""Of several seeds the sum is told."""
WORST = ("depth_pu", "longest_h", "nodes_violated", "nodes_at_once", *LIMITS)
"""Of several seeds the worst is told."""


def summed_up(metrics: Sequence[Metrics]) -> list[dict[str, Any]]:
    """One row for each site and policy: means over seeds, of counts the sums.

    Costs are held against each other over seeds that all policies of the site have. Where one lacks
    a seed there is no regret, which is a mean over all of them.
    """
    sites: dict[str, dict[str, list[Metrics]]] = {}
    for m in metrics:
        sites.setdefault(m.chain.site, {}).setdefault(m.chain.policy, []).append(m)
    rows = []
    for site, policies in sites.items():
        seeds = [{m.chain.seed for m in mine} for mine in policies.values()]
        common = set.intersection(*seeds)
        for policy, mine in policies.items():
            told = [_compared_in(common, m).told() for m in mine]
            row = {"site": site, "policy": policy, "seeds": len(mine)} | _together(told)
            row["compared_seeds"] = len(common)
            if any(others != common for others in seeds):
                row["regret_usd"] = None
            rows.append(row)
    return rows


def _compared_in(seeds: Collection[int], m: Metrics) -> Metrics:
    """The same, compared with no other where its seed is none of these."""
    if m.chain.seed in seeds:
        return m
    return replace(m, compared_days=0, compared_usd=None, regret_usd=None)


def _together(told: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, first in told[0].items():
        values = [t[key] for t in told]
        if key in COUNTS:
            found[key] = sum(values)
        elif key in WORST:
            found[key] = max((v for v in values if v is not None), default=None)
        elif isinstance(first, Mapping):
            found[key] = {name: _mean(v[name] for v in values) for name in first}
        elif key not in ("site", "policy", "seed"):
            found[key] = _mean(values)
    # Limits broken in one seed are another service; and what one seed alone tells is no mean.
    if found["violated"] or any(t["regret_usd"] is None for t in told):
        found["regret_usd"] = None
    return found


def _mean(values: Iterable[float | None]) -> float | None:
    """Of what is told; None: nothing is."""
    told = [v for v in values if v is not None]
    return fmean(told) if told else None
