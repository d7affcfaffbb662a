"""The policies that no cycle decides: `rules`, what a good engineer sets up once, and `none`."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from ems.backtest.case import DayInput
from ems.backtest.connection import LIMITS, TOLERANCE_KW, beyond, broken
from ems.backtest.policies import REVERSION_S
from ems.constrain.cases import severity, violations
from ems.domain import Command, Der, Injections, Pv, Site
from ems.ports import Network

SAME_DEPTH = 1e-6
"""By so much a limit that is broken anyway may be broken further, of a voltage [pu] or a loading
over 100 % [1]: a load flow is no more exact."""
HALVINGS = 12
"""Of a safe share: to a quarter of a thousandth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a good engineer sets up without an EMS: fixed settings, an interlock, and a merit order.

    PV stands under one of two caps, each safe at the lowest and the highest load with everything
    else at its worst: a wide one while all generators are at a standstill, a narrow one while any
    runs. A backtest tells them these loads of its period, which no site knows in advance. Where a
    limit is broken with every device off, no device breaks it further; but a battery may have to
    come back to the charge it began with. Generators run
    where energy from the grid costs more than theirs, and where that saves more than the sun they
    take the room of, by the irradiance that is measured. Batteries charge from what PV gives beyond
    the load, and discharge into the load that is left. Nobody gives Q.
    """

    pv_share: float
    """Cap of every plant over its rating while no generator runs [1]."""
    beside_share: float
    """Likewise while one does [1]."""
    dg_share: float = 1.0
    """Most of its rating that a generator may give: 1 where that is safe [1]."""
    bes_share: float = 1.0
    """Most of its rating that a battery may give or take, likewise [1]."""
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
        most_kw = self.bes_share * sum(bes.rated_kw for bes in site.bess)
        part = min(max(left_kw / most_kw, -1.0), 1.0) if most_kw > 0.0 else 0.0
        found += [_command(bes, p_kw=part * self.bes_share * bes.rated_kw) for bes in site.bess]
        return found

    def _generators_kw(
        self, site: Site, sun_kw: float, price_usd_per_kwh: float
    ) -> Mapping[str, float]:
        """All that pay, or none: either position of the interlock is for all of them."""
        asked_kw, saved = {}, 0.0
        for dg in site.dgs:
            most_kw = self.dg_share * dg.rated_kw
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


def within_loads(site: Site, given: DayInput) -> Site:
    """A site whose loads are those of the period of a day, where they are known."""
    least, most = given.lowest_load_kw, given.highest_load_kw
    return replace(
        site,
        load_min_kw=site.load_min_kw if least is None else least,
        load_max_kw=site.load_max_kw if most is None else most,
    )


@lru_cache(maxsize=64)  # sites of a study
def rules_of(site: Site, network: Network) -> Rules:
    """The rules of a site, their shares found by load flows at the corners of what may happen."""

    def largest(most: Callable[[float], Most]) -> float:
        return _largest(lambda share: _is_safe(site, network, most(share)))

    # No generator is to make a battery wait, and neither of them the sun.
    bes = largest(lambda share: Most(pv=0.0, dg=0.0, bes=share))
    dg = largest(lambda share: Most(pv=0.0, dg=share, bes=bes))
    beside = largest(lambda share: Most(pv=share, dg=dg, bes=bes))
    alone = largest(lambda share: Most(pv=share, dg=0.0, bes=bes))
    return Rules(
        pv_share=max(alone, beside), beside_share=beside, dg_share=dg, bes_share=bes,
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
        if idle is None:
            return False
        for pv, dg, bes in product((0.0, most.pv), (0.0, most.dg), (-1.0, 0.0, 1.0)):
            share = bes * most.bes
            if idle and bes < 0.0:
                share = -min(most.bes, _surplus_share(site, pv, load_kw))
            p_kw = {d.name: pv * d.rated_kw for d in site.pvs}
            p_kw |= {d.name: dg * d.rated_kw for d in site.dgs}
            p_kw |= {d.name: share * d.rated_kw for d in site.bess}
            found = _broken(site, network, load_kw, p_kw)
            if found is None or _is_further(found, idle):
                return False
    return True


def _surplus_share(site: Site, pv: float, load_kw: float) -> float:
    """What PV gives beyond the load, over the power of all batteries [1].

    They charge from that and, on their way back to the charge they began with, from the grid; this
    breaks no limit anew, but those that are broken anyway it must be let break further.
    """
    surplus_kw = max(pv * sum(d.rated_kw for d in site.pvs) - load_kw, 0.0)
    return surplus_kw / rated_kw if (rated_kw := sum(d.rated_kw for d in site.bess)) else 0.0


def _is_further(found: Mapping[str, float], idle: Mapping[str, float]) -> bool:
    """Whether any limit is broken further than with every device off."""
    same = {name: TOLERANCE_KW if name in LIMITS else SAME_DEPTH for name in found}
    return any(depth > idle.get(name, 0.0) + same[name] for name, depth in found.items())


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
