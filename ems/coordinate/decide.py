"""The decision, beside the one that costs least."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ems.constrain import constrain
from ems.coordinate.case import UTILITY, Case
from ems.dispatch import dispatch
from ems.dispatch.fairness import jain_index
from ems.domain import Infeasible, Injections, LoadFlow, Secured, Site, Verified

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceOfFairness:
    """What sharing costs, against whoever is cheapest bearing it all."""

    least_cost_kept_kw: float
    """PV kept at least cost [kW]."""
    kept_kw: float
    """PV kept by the policy [kW]."""
    cost_usd_per_h: float
    """What the policy's dispatch costs more [$/h]."""
    least_cost_jain: float
    """Jain's index over the customers' fractions at least cost [1]."""
    jain: float
    """Jain's index by the policy [1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordination:
    """A coordinated moment."""

    case: Case
    secured: Secured
    before: LoadFlow
    """Load flow with nothing capped, taps where they stand."""
    after: LoadFlow
    """The same with what was decided."""
    least_cost: Secured | None
    """The cheapest dispatch, where the policy is another and both were found."""
    wall_s: float
    """Time of both decisions [s]."""

    @property
    def written(self) -> bool:
        """Whether its setpoints may go out: a load flow verified them."""
        return not isinstance(self.secured, Infeasible)

    @property
    def available_kw(self) -> Floats:
        """What each plant could give, shape (plant,) [kW]."""
        return np.array([self.case.forecast.pv[p.der].expected_kw for p in self.case.plants])

    @property
    def fractions(self) -> Floats:
        """Share of that which each plant keeps, shape (plant,)."""
        return self._fractions(self.secured)

    @property
    def least_cost_fractions(self) -> Floats | None:
        """Likewise at least cost."""
        return None if self.least_cost is None else self._fractions(self.least_cost)

    @property
    def price(self) -> PriceOfFairness | None:
        """What the policy costs; None where it is least cost, or one of the two is no optimum."""
        cheap = self.least_cost
        if not (isinstance(cheap, Verified) and isinstance(self.secured, Verified)):
            return None
        customers = np.array([pv.group != UTILITY for pv in self.case.site.pvs])
        available = self.available_kw
        cheapest, kept = self._fractions(cheap), self.fractions
        return PriceOfFairness(
            least_cost_kept_kw=float(available @ cheapest),
            kept_kw=float(available @ kept),
            cost_usd_per_h=self.secured.dispatch.cost_usd_per_h - cheap.dispatch.cost_usd_per_h,
            least_cost_jain=jain_index(cheapest[customers]),
            jain=jain_index(kept[customers]),
        )

    def _fractions(self, secured: Secured) -> Floats:
        setpoints = secured.dispatch.setpoints
        kept = np.array([setpoints[p.der].p_kw for p in self.case.plants])
        available = self.available_kw
        return np.where(available > 0.0, kept / np.where(available > 0.0, available, 1.0), 1.0)


def coordinate(case: Case, tell: Callable[[str], None] = lambda _line: None) -> Coordination:
    """Decide a case by its policy, and at least cost to compare.

    Args:
        case: the feeder and the moment.
        tell: told of progress, a line at a time.

    Raises:
        SolverFault: the optimiser gave no usable answer.
    """
    started = time.perf_counter()
    site = case.site
    cheap = None
    if site.fairness != "least_cost":
        cheap = _decided(case, replace(site, fairness="least_cost"), tell)
    secured = _decided(case, site, tell)
    before = secured.free_load_flow or secured.load_flow
    return Coordination(
        case=case,
        secured=secured,
        before=before,
        after=_with_taps_of(before, case, secured),
        least_cost=None if isinstance(cheap, Infeasible) else cheap,
        wall_s=time.perf_counter() - started,
    )


def _with_taps_of(before: LoadFlow, case: Case, secured: Secured) -> LoadFlow:
    """What was decided, at the taps of another load flow."""
    if secured.load_flow.regulation == before.regulation:
        return secured.load_flow
    setpoints = secured.dispatch.setpoints
    at = Injections(
        p_kw={name: s.p_kw for name, s in setpoints.items()},
        q_kvar={name: s.q_kvar for name, s in setpoints.items()},
        load_kw=case.forecast.load_kw,
        load_kvar=case.forecast.load_kvar,
        head_v_pu=case.snapshot.head_v_pu,
        regulation=before.regulation,
    )
    return case.network.load_flow(at)


def _decided(case: Case, site: Site, tell: Callable[[str], None]) -> Secured:
    started = time.perf_counter()
    resolve = partial(dispatch, site, case.snapshot, case.forecast, case.price_usd_per_kwh)
    free = resolve((), {name: pin.expected for name, pin in case.pins.items()})
    secured = constrain(
        site, case.snapshot, case.forecast, free, case.network, resolve, pins=case.pins
    )
    kept_kw = sum(secured.dispatch.setpoints[pv.name].p_kw for pv in site.pvs)
    tell(
        f"{site.fairness.replace('_', ' ')}: {type(secured).__name__.lower()}, "
        f"{kept_kw:.0f} kW of PV kept, {time.perf_counter() - started:.1f} s"
    )
    return secured
