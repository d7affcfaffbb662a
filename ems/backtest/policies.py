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

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import NamedTuple, get_args

import numpy as np

from ems.backtest.case import Case, PolicyName
from ems.backtest.connection import beyond, broken
from ems.backtest.devices import HOURS, soc_after
from ems.constrain.cases import severity, violations
from ems.domain import Bes, Command, Der, Injections, Policy, Pv, Site
from ems.ports import Network
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
SAME_DEPTH = 1e-6
"""By so much a limit that is broken anyway may be broken further: a load flow is no more exact."""
HALVINGS = 12
"""Of a safe share: to a quarter of a thousandth."""


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


def funnels(case: Case, intervals_after: int) -> Mapping[str, Funnel]:
    """Of the batteries that must turn back already or soon; empty where none must.

    A policy that plans turns back by its plan, at full power if need be.
    """
    if case.end_soc == "free":
        return {}
    share = 1.0 if case.method in PLANNED else RETURN_SHARE
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


# --- rules -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a good engineer sets up without an EMS: fixed settings, an interlock, and a merit order.

    PV stands under one of two caps, each safe at the lowest load with everything else at its worst:
    a wide one while all generators are at a standstill, a narrow one while any runs. A backtest
    tells them the lowest load of its period, which no site knows in advance. Generators run
    where energy from the grid costs more than theirs, and where that saves more than the sun they
    take the room of, by the irradiance that is measured. Batteries charge from what PV gives beyond
    the load, and discharge into the load that is left. Nobody gives Q.
    """

    pv_share: float
    """Cap of every plant over its rating while no generator runs [1]."""
    beside_share: float
    """Likewise while one does [1]."""
    other_share: float
    """Most of its rating that any other device may give or take: 1 where that is safe [1]."""
    broken_idle: bool = False
    """Whether limits are broken with every device off: then the shares break none any further."""

    def commands(
        self, site: Site, now: "Felt", load_kw: float, price_usd_per_kwh: float
    ) -> list[Command]:
        """What the devices do in an interval.

        Args:
            site: the devices.
            now: what is measured of them.
            load_kw: of the segment now [kW].
            price_usd_per_kwh: of energy from the grid [$/kWh].
        """
        asked_kw = self._generators_kw(site, now.sun_kw, price_usd_per_kwh)
        runs = now.generating or any(kw > 0.0 for kw in asked_kw.values())
        share = self.beside_share if runs else self.pv_share
        found = [_command(pv, cap_kw=share * pv.rated_kw) for pv in site.pvs]
        found += [_command(dg, p_kw=asked_kw[dg.name]) for dg in site.dgs]
        left_kw = load_kw - now.pv_kw
        if left_kw > 0.0:
            left_kw = max(left_kw - sum(asked_kw.values()), 0.0)
        # Batteries share the rest by their size, so none goes before another.
        most_kw = self.other_share * sum(bes.rated_kw for bes in site.bess)
        part = min(max(left_kw / most_kw, -1.0), 1.0) if most_kw > 0.0 else 0.0
        found += [_command(bes, p_kw=part * self.other_share * bes.rated_kw) for bes in site.bess]
        return found

    def _generators_kw(
        self, site: Site, sun_kw: float, price_usd_per_kwh: float
    ) -> Mapping[str, float]:
        """All that pay, or none: either position of the interlock is for all of them."""
        asked_kw, saved = {}, 0.0
        for dg in site.dgs:
            most_kw = self.other_share * dg.rated_kw
            pays = price_usd_per_kwh > dg.cost_usd_per_kwh and most_kw >= dg.min_kw
            asked_kw[dg.name] = most_kw if pays else 0.0
            saved += (price_usd_per_kwh - dg.cost_usd_per_kwh) * asked_kw[dg.name]
        rated_kw = sum(pv.rated_kw for pv in site.pvs)
        wide_kw, narrow_kw = (
            min(sun_kw, share * rated_kw) for share in (self.pv_share, self.beside_share)
        )
        if saved <= price_usd_per_kwh * (wide_kw - narrow_kw):
            return dict.fromkeys(asked_kw, 0.0)
        return asked_kw


@dataclass(frozen=True, slots=True, kw_only=True)
class Felt:
    """What rules go by."""

    pv_kw: float
    """What all plants make [kW]."""
    sun_kw: float
    """What they would without a cap, by the irradiance measured beside them [kW]."""
    generating: bool
    """Whether any generator still runs."""


def uncontrolled(site: Site) -> list[Command]:
    """PV at what the sun offers, generators off, batteries idle."""
    return [_command(d, p_kw=None if isinstance(d, Pv) else 0.0) for d in site.ders]


@lru_cache(maxsize=64)  # sites of a study
def rules_of(site: Site, network: Network) -> Rules:
    """The rules of a site, their shares found by load flows at the corners of what may happen."""
    # No generator is to make a battery wait: both keep one share, found without any sun.
    other = _largest(lambda share: _is_safe(site, network, Most(pv=0.0, dg=share, bes=share)))
    beside = _largest(lambda share: _is_safe(site, network, Most(pv=share, dg=other, bes=other)))
    alone = _largest(lambda share: _is_safe(site, network, Most(pv=share, dg=0.0, bes=other)))
    return Rules(
        pv_share=max(alone, beside), beside_share=beside, other_share=other,
        broken_idle=any(_broken(site, network, kw, {}) != {} for kw in _loads_kw(site)),
    )  # fmt: skip


class Most(NamedTuple):
    """Most of their ratings that devices of each kind come to [1]."""

    pv: float
    dg: float
    bes: float


def _largest(safe: Callable[[float], bool]) -> float:
    """Largest share that is safe; 0 where none is."""
    if safe(1.0):
        return 1.0
    lo, hi = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (lo + hi) / 2
        lo, hi = (middle, hi) if safe(middle) else (lo, middle)
    return lo


def _is_safe(site: Site, network: Network, most: Most) -> bool:
    """Whether no corner breaks a limit, or one that is broken with every device off any further."""
    for load_kw in _loads_kw(site):
        idle = _broken(site, network, load_kw, {})
        for pv, dg, bes in product((0.0, most.pv), (0.0, most.dg), (-1.0, 0.0, 1.0)):
            # A battery charges from what PV gives, or for its way back.
            p_kw = {d.name: pv * d.rated_kw for d in site.pvs}
            p_kw |= {d.name: dg * d.rated_kw for d in site.dgs}
            p_kw |= {d.name: bes * most.bes * d.rated_kw for d in site.bess}
            found = _broken(site, network, load_kw, p_kw)
            if idle is None or found is None:
                return False
            if any(depth > idle.get(name, 0.0) + SAME_DEPTH for name, depth in found.items()):
                return False
    return True


def _loads_kw(site: Site) -> tuple[float, float]:
    return site.load_min_kw, site.load_max_kw


def _broken(
    site: Site, network: Network, load_kw: float, p_kw: Mapping[str, float]
) -> dict[str, float] | None:
    """Limits that are broken and how far, each in its measure; None: the load flow fails."""
    flow = network.load_flow(
        Injections(p_kw=p_kw, q_kvar=dict.fromkeys(p_kw, 0.0), load_kw=load_kw),
        controls=network.regulated,
    )
    if not flow.converged:
        return None
    found = {f"{v.kind} {v.place}": severity(v) for v in violations(flow, site.limits, "rules")}
    over = beyond(site, flow)
    found |= {name: over[name] for name in broken(over)}
    if site.power_factor_min is not None and flow.head_kw < 0.0:
        # With less sun the power passes zero, and no power factor holds there.
        found["power_factor_over_kvar"] = math.inf
    return found


def _command(der: Der, *, p_kw: float | None = None, cap_kw: float | None = None) -> Command:
    return Command(
        der=der.name, p_kw=p_kw, q_kvar=0.0, cap_kw=cap_kw, reversion_kw=0.0,
        reversion_s=REVERSION_S,
    )  # fmt: skip
