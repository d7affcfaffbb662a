"""Costs of policies held against each other, on the days that all of them have."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ems.backtest.bought import demand_usd
from ems.backtest.keeping import days_of
from ems.backtest.metrics import Metrics, summed
from ems.domain import Site


def measured(folder: Path, sites: Mapping[str, Site]) -> list[Metrics]:
    """Metrics of all chains of a study's folder, compared with each other.

    Args:
        folder: of the study.
        sites: by name.
    """
    found = [summed(key, paths, sites[key.site]) for key, paths in days_of(folder).items()]
    return list(_compared(found, sites))


def _compared(metrics: Sequence[Metrics], sites: Mapping[str, Site]) -> Iterator[Metrics]:
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


def _on(days: Iterable[str], metrics: Metrics, site: Site) -> float:
    """Cost of some days, with their demand charge [$]."""
    some = {day: metrics.by_day[day] for day in sorted(days)}
    return sum(b.cost_usd for b in some.values()) + demand_usd(site, some)
