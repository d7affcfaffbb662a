"""Costs of policies held against each other, on the days that all of them have."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ems.domain import Site

if TYPE_CHECKING:
    from ems.backtest.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """What a day adds to the bill."""

    cost_usd: float
    """Energy and fuel [$]."""
    peak_kw: float
    """Highest import [kW]."""


def month_of(day: str) -> str:
    """`2019-06` of `2019-06-03`."""
    return day[: len("2019-06")]


def demand_usd(site: Site, by_day: Mapping[str, Bought]) -> float:
    """Each local month's highest import at its price [$]."""
    peaks_kw: dict[str, float] = {}
    for day, bought in by_day.items():
        month = month_of(day)
        peaks_kw[month] = max(peaks_kw.get(month, 0.0), bought.peak_kw)
    return site.demand_charge_usd_per_kw * sum(peaks_kw.values())


def compared(metrics: Sequence["Metrics"], sites: Mapping[str, Site]) -> Iterator["Metrics"]:
    """The same, each with its cost on days that all policies of its site and seed have.

    Who broke limits was paid for another service: nothing is measured from such an oracle, and
    such a policy is not measured.
    """
    alike: dict[tuple[str, int], list[Metrics]] = {}
    for m in metrics:
        alike.setdefault((m.chain.site, m.chain.seed), []).append(m)
    for m in metrics:
        group = alike[m.chain.site, m.chain.seed]
        days = set(m.by_day).intersection(*(other.by_day for other in group))
        if not days:
            yield m
            continue
        site = sites[m.chain.site]
        mine = _on(days, m, site)
        best = [o for o in group if o.chain.policy == "oracle" and not o.violated]
        measured = best and not m.violated
        regret_usd = mine - _on(days, best[0], site) if measured else None
        yield replace(m, compared_days=len(days), compared_usd=mine, regret_usd=regret_usd)


def _on(days: Iterable[str], metrics: "Metrics", site: Site) -> float:
    """Cost of some days, with their demand charge [$]."""
    some = {day: metrics.by_day[day] for day in sorted(days)}
    return sum(b.cost_usd for b in some.values()) + demand_usd(site, some)
