"""What days add to the bill."""

from collections.abc import Mapping
from dataclasses import dataclass

from ems.domain import Site


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
