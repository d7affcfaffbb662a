"""Eq. (1) of setpoints, whoever found them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from ems.clock import INTERVAL
from ems.domain.ahead import Plan
from ems.domain.decided import Dispatch, Setpoint
from ems.domain.expected import Forecast
from ems.domain.site import Bes, Site

HOURS = INTERVAL.total_seconds() / 3600.0
"""Length of an interval; a new peak is paid for within it [h]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What setpoints cost; `bill` is paid, the rest steers."""

    grid_kw: float
    """Import by eq. (2) [kW]."""
    bill_usd_per_h: float
    """Grid energy, fuel, and what a new peak adds to the demand charge [$/h]."""
    storage_usd_per_h: float
    """Worth of what storage gives away, w_es of eq. (1) [$/h]."""
    reactive_usd_per_h: float
    curtailment_usd_per_h: float

    @property
    def objective_usd_per_h(self) -> float:
        """What the dispatch minimises, penalties apart [$/h]."""
        return (
            self.bill_usd_per_h
            + self.storage_usd_per_h
            + self.reactive_usd_per_h
            + self.curtailment_usd_per_h
        )


def cost(
    site: Site,
    setpoints: Mapping[str, Setpoint],
    forecast: Forecast,
    price_usd_per_kwh: float,
    interval_h: float,
    *,
    loss_factor: float | None = None,
    peak_kw: float | None = None,
) -> Cost:
    """Price setpoints of every DER of a site.

    Args:
        site: prices and efficiencies.
        setpoints: one for each DER.
        forecast: load, and what PV could make.
        price_usd_per_kwh: imported energy [$/kWh].
        interval_h: length of an interval; a new peak is paid for within it [h].
        loss_factor: K of eq. (2); None: the site's [1].
        peak_kw: the month's highest import so far; None: no demand charge [kW].
    """
    loss = site.loss_factor if loss_factor is None else loss_factor
    grid_kw = (1.0 + loss) * forecast.load_kw - sum(s.p_kw for s in setpoints.values())
    export_price = site.export_price_usd_per_kwh
    if export_price is None:
        export_price = price_usd_per_kwh
    energy = (price_usd_per_kwh if grid_kw >= 0.0 else export_price) * grid_kw
    fuel = sum(d.cost_usd_per_kwh * setpoints[d.name].p_kw for d in site.dgs)
    over_kw = 0.0 if peak_kw is None else max(grid_kw - peak_kw, 0.0)
    unused_kw = 0.0
    for pv in site.pvs:
        sky = forecast.pv[pv.name]
        available_kw = min(sky.expected_kw, sky.upper_kw, pv.rated_kw)
        unused_kw += max(available_kw - setpoints[pv.name].p_kw, 0.0)
    return Cost(
        grid_kw=grid_kw,
        bill_usd_per_h=energy + fuel + site.demand_charge_usd_per_kw / interval_h * over_kw,
        storage_usd_per_h=sum(
            b.weight_usd_per_kwh * _given(setpoints[b.name].p_kw, b.eta_charge * b.eta_discharge)
            for b in site.bess
        ),
        reactive_usd_per_h=site.q_cost_usd_per_kvarh
        * sum(abs(s.q_kvar) for s in setpoints.values()),
        curtailment_usd_per_h=site.curtailment_usd_per_kwh * unused_kw,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a dispatch costs, what is paid by the hour apart from what is paid once."""

    energy_usd_per_h: float
    """Grid energy less what is sold, and fuel [$/h]."""
    demand_usd: float
    """What it lifts the month's peak by, at its price [$]."""

    @classmethod
    def of(cls, site: Site, dispatch: Dispatch) -> Self:
        """A dispatch has both in one rate, as if the peak rose in every hour by what it rises now.

        Args:
            site: its demand charge.
            dispatch: solved or priced for one interval.
        """
        peak_kw = dispatch.peak_kw
        rise_kw = 0.0 if peak_kw is None else max(dispatch.grid_kw - peak_kw, 0.0)
        demand_usd = site.demand_charge_usd_per_kw * rise_kw
        energy = dispatch.cost_usd_per_h - demand_usd / HOURS
        return cls(energy_usd_per_h=energy, demand_usd=demand_usd)


def at_worth(site: Site, plan: Plan) -> Site:
    """The site with w_es of each battery as the plan finds it, in place of the one assumed.

    To first order eq. (1) of the first interval then weighs a kWh as the whole plan does: one
    that is delivered draws 1/η from what is stored.
    """
    worth = {b.name: plan.storage[b.name].marginal_usd_per_kwh / b.eta_discharge for b in site.bess}
    ders = tuple(
        replace(d, weight_usd_per_kwh=worth[d.name]) if isinstance(d, Bes) else d for d in site.ders
    )
    return replace(site, ders=ders)


def _given(p_kw: float, round_trip: float) -> float:
    """Power that storage gives away; what it takes comes back less a round trip's losses [kW]."""
    return p_kw if p_kw > 0.0 else round_trip * p_kw
