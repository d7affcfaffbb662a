"""What each policy does in an interval, and how every battery ends a period as it began.

| policy | what it does |
|---|---|
| `none` | PV gives what the sun offers, generators are off, batteries idle |
| `rules` | each device by a rule of its own: `Rules` |
| `paper` | the cycle by the published method: one shot, active power only |
| `geems` | the service's cycle |
| `geems_lookahead` | the same, planning the day ahead |
| `oracle` | the same, knowing sun and load for certain, but not how it lies on the buses |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from ems.backtest.case import Case, PolicyName
from ems.backtest.devices import HOURS, soc_after
from ems.domain import Bes, Policy, Site
from feeders import FeederLoad

POLICIES: tuple[PolicyName, ...] = get_args(PolicyName)
DECIDED: tuple[PolicyName, ...] = ("paper", "geems", "geems_lookahead", "oracle")
"""By a cycle."""
PLANNED: tuple[PolicyName, ...] = ("geems_lookahead", "oracle")
"""With a plan of the day."""

REVERSION_S = 3600
"""Nobody refreshes between cycles, and nothing may fall back meanwhile: four intervals [s]."""
SOLVER_LIMIT_S = 60.0
"""A busy machine must not change what is decided; the slowest cycles take a few seconds [s]."""
RETURN_SHARE = 0.8
"""Share of its power that a battery keeps for its way back to the charge it ends with: the rest is
left to limits that hold it up [1]."""
NOISE_SDS = 3.0
"""Standard deviations of bus noise that the oracle's band holds: noise itself is cut there [1]."""


def site_of(case: Case, loads: Sequence[FeederLoad]) -> Site:
    """The site as the policy sees it.

    The oracle knows the whole load and needs no band for it; how it lies on the buses it does not
    know. To the voltages that is as if the whole were off by what the buses' errors come to, and
    for so much it keeps a band, no wider than the site's.

    Args:
        case: site, policy, and the errors of the truth.
        loads: of the feeder.
    """
    site = replace(case.site, zone=case.zone)
    if case.method != "oracle":
        return site
    kw = np.array([load.kw for load in loads])
    # Errors of buses are independent: the sum of n alike is off by 1/sqrt(n) of one bus' share.
    together = float(np.sqrt((kw * kw).sum()) / kw.sum()) if kw.sum() > 0.0 else 1.0
    limits = site.limits
    band_pct = 100.0 * NOISE_SDS * case.errors.load_noise * together
    return replace(site, limits=replace(limits, load_band_pct=min(band_pct, limits.load_band_pct)))


def policy_of(case: Case) -> Policy:
    """How the cycle runs."""
    return replace(
        case.policy,
        mode="paper" if case.method == "paper" else "geems",
        control="auto",
        keep_alive_s=None,
        reversion_s=max(case.policy.reversion_s, REVERSION_S),
        solver_limit_s=max(case.policy.solver_limit_s, SOLVER_LIMIT_S),
        look_ahead=case.method in PLANNED,
        reasons=case.reasons,
    )


# --- the end of the period ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """Charge from which a battery still comes back to where it began."""

    lowest_pct: float
    highest_pct: float


def funnel(case: Case, bes: Bes, intervals_after: int, power_kw: float) -> Funnel:
    """Bounds of a battery's charge when an interval ends.

    Args:
        case: its start.
        bes: the battery.
        intervals_after: left in the period then.
        power_kw: with which it may come back [kW].
    """
    start = min(max(case.soc_start_pct, bes.soc_min_pct), bes.soc_max_pct)
    hours = HOURS * intervals_after
    return Funnel(
        lowest_pct=max(bes.soc_min_pct, soc_after(bes, start, power_kw, hours)),
        highest_pct=min(bes.soc_max_pct, soc_after(bes, start, -power_kw, hours)),
    )


def funnels(case: Case, intervals_after: int, bes_share: float = 1.0) -> Mapping[str, Funnel]:
    """Of the batteries that must turn back already or soon; empty where none must.

    A policy that plans turns back by its plan, at full power if need be.

    Args:
        case: its start.
        intervals_after: left in the period when the interval ends.
        bes_share: most of its rating that a policy's rules let a battery take [1].
    """
    if case.end_soc == "free":
        return {}
    share = bes_share * (1.0 if case.method in PLANNED else RETURN_SHARE)
    found = {b.name: funnel(case, b, intervals_after, share * b.rated_kw) for b in case.site.bess}
    wide = {b.name: Funnel(lowest_pct=b.soc_min_pct, highest_pct=b.soc_max_pct)
            for b in case.site.bess}  # fmt: skip
    return {name: f for name, f in found.items() if f != wide[name]}


def turned_back(
    site: Site, bounds: Mapping[str, Funnel], soc_pct: Mapping[str, float], price: float
) -> Site:
    """The site whose batteries keep their funnels, for a dispatch that knows one interval.

    The dispatch lets a battery that is out of its bounds stay there; one that must move is given a
    worth that moves it as far as it must, and bounds that let it go no further.
    """
    return replace(
        site,
        ders=tuple(
            _bent(d, bounds[d.name], soc_pct[d.name], price)
            if isinstance(d, Bes) and d.name in bounds
            else d
            for d in site.ders
        ),
    )


def _bent(bes: Bes, bound: Funnel, soc_pct: float, price: float) -> Bes:
    if soc_pct < bound.lowest_pct:
        worth = (abs(price) + 1.0) / (bes.eta_charge * bes.eta_discharge)
        return replace(
            bes, soc_min_pct=soc_pct, soc_max_pct=bound.lowest_pct, weight_usd_per_kwh=worth
        )
    if soc_pct > bound.highest_pct:
        return replace(
            bes, soc_min_pct=bound.highest_pct, soc_max_pct=soc_pct, weight_usd_per_kwh=0.0
        )
    return replace(bes, soc_min_pct=bound.lowest_pct, soc_max_pct=bound.highest_pct)


def planned_to_end(case: Case, policy: Policy, intervals_left: int) -> Policy:
    """How a policy that plans runs where its plan reaches the end of the period.

    Args:
        case: its end, and how far it plans.
        policy: how it runs otherwise.
        intervals_left: in the period, the present one among them.
    """
    if case.end_soc == "free" or intervals_left > case.intervals_ahead:
        return policy
    return replace(policy, terminal_soc=case.soc_start_pct)
