"""The point of common coupling in the model: prices and limits of import and export.

All of it is off until the site file asks for it; then one free variable is the grid's power.
Its limits are elastic, each with a name: a segment whose load alone exceeds the import limit
gets the dispatch that exceeds it least, and is told by how much.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyomo.environ as pyo

from ems.clock import INTERVAL
from ems.domain import Site

HOURS = INTERVAL.total_seconds() / 3600.0
"""Length of an interval, Δt [h]."""
PENALTY_FACTOR = 1e2
"""Price of breaking a limit here, over the largest energy price [1]: a tenth of a network row's,
so that where both cannot be kept the voltage is."""

SLACKS = ("import_over", "export_over", "generation_over", "power_factor_over")
"""Variables that say by how much a limit is broken [kW, kW, kW, kvar]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the point of common coupling is priced and bounded with in one interval."""

    price_usd_per_kwh: float
    export_price_usd_per_kwh: float
    import_max_kw: float
    """Most that can be imported, whatever the DERs do [kW]."""
    export_max_kw: float
    peak_kw: float | None
    load_kvar: float

    @classmethod
    def of(
        cls,
        site: Site,
        demand_kw: float,
        ders_kw: tuple[float, float],
        *,
        price: float,
        peak_kw: float | None,
        load_kvar: float | None,
    ) -> "Terms":
        """Fill in what is not given. `ders_kw`: least and most the DERs make together."""
        export_price = site.export_price_usd_per_kwh
        if load_kvar is None:
            load_kvar = demand_kw * tangent(site.load_power_factor)
        least_kw, most_kw = ders_kw
        return cls(
            price_usd_per_kwh=price,
            export_price_usd_per_kwh=price if export_price is None else export_price,
            import_max_kw=max(demand_kw - least_kw, 0.0),
            export_max_kw=max(most_kw - demand_kw, 0.0),
            peak_kw=peak_kw,
            load_kvar=load_kvar,
        )


def is_split(site: Site) -> bool:
    """Whether import and export are variables apart: they are priced apart, or |P| is needed."""
    return site.export_price_usd_per_kwh is not None or site.power_factor_min is not None


def tangent(power_factor: float) -> float:
    """Reactive power per active power [kvar/kW]."""
    return math.tan(math.acos(power_factor))


def dearest(site: Site, price_usd_per_kwh: float) -> float:
    """The highest worth a kWh can have here; penalties are multiples of it [$/kWh]."""
    return max(
        1.0,
        abs(price_usd_per_kwh) + site.curtailment_usd_per_kwh,
        abs(site.export_price_usd_per_kwh or 0.0) + site.curtailment_usd_per_kwh,
        abs(price_usd_per_kwh) + site.demand_charge_usd_per_kw / HOURS,
        *(d.cost_usd_per_kwh for d in site.dgs),
    )


def number(*index: Sequence[str]) -> Any:
    """A parameter that is set at every interval.

    All that comes here is a number; that Pyomo asks for it again takes longer than to set it.
    """
    return pyo.Param(*index, mutable=True, initialize=0.0, within=pyo.Any)


def add(m: Any, site: Site) -> None:
    """Add `p_grid`, its cost `grid_cost` and its limits to a site's model."""
    for name in ("price", "export_price", "penalty", "peak_kw", "demand_charge", "load_kvar"):
        m.add_component(name, number())
    if is_split(site):
        # Both at once earns where export is dearer, and hides reactive power: see `exclusion`.
        m.import_max, m.export_max = number(), number()
        m.p_import = pyo.Var(bounds=lambda m: (0.0, m.import_max))
        m.p_export = pyo.Var(bounds=lambda m: (0.0, m.export_max))
        m.p_grid = pyo.Expression(expr=m.p_import - m.p_export)
        cost = m.price * m.p_import - m.export_price * m.p_export
    else:
        m.p_grid = pyo.Var()
        cost = m.price * m.p_grid
    if site.import_limit_kw is not None:
        m.import_over = pyo.Var(bounds=(0.0, None))
        m.import_limit = pyo.Constraint(expr=m.p_grid - m.import_over <= site.import_limit_kw)
        cost = cost + m.penalty * m.import_over
    if site.export_limit_kw is not None:
        m.export_over = pyo.Var(bounds=(0.0, None))
        room = sum(m.room[d.name] for d in site.pvs)
        m.export_limit = pyo.Constraint(
            expr=room - m.p_grid - m.export_over <= site.export_limit_kw
        )
        cost = cost + m.penalty * m.export_over
    if site.generation_limit_kw is not None:
        m.generation_over = pyo.Var(bounds=(0.0, None))
        injected = sum(m.p_pv[d.name] + m.room[d.name] for d in site.pvs)
        injected += sum(m.p_dg[d.name] for d in site.dgs)
        injected += sum(m.p_dis[d.name] - m.p_ch[d.name] for d in site.bess)
        m.generation_limit = pyo.Constraint(
            expr=injected - m.generation_over <= site.generation_limit_kw
        )
        cost = cost + m.penalty * m.generation_over
    if site.demand_charge_usd_per_kw > 0.0:
        m.over_peak = pyo.Var(bounds=(0.0, None))
        m.peak = pyo.Constraint(expr=m.p_grid - m.over_peak <= m.peak_kw)
        cost = cost + m.demand_charge * m.over_peak
    if site.power_factor_min is not None:
        cost = cost + _power_factor(m, site, tangent(site.power_factor_min))
    m.grid_cost = pyo.Expression(expr=cost)


def _power_factor(m: Any, site: Site, tan: float) -> Any:
    """|Q| ≤ tan·|P| at the head, both signs of Q; and what breaking it costs.

    Q of the head is the load's less what the DERs inject; what lines and transformers draw is
    in the load's, as far as a load flow put it there, and does not move with the DERs.
    """
    m.power_factor_over = pyo.Var(bounds=(0.0, None))
    q = m.load_kvar - sum(m.q_inj[i] - m.q_abs[i] for i in site.names)
    room = tan * (m.p_import + m.p_export) + m.power_factor_over
    m.power_factor_lagging = pyo.Constraint(expr=q - room <= 0.0)
    m.power_factor_leading = pyo.Constraint(expr=-q - room <= 0.0)
    return m.penalty * m.power_factor_over


def set_interval(m: Any, site: Site, terms: Terms) -> None:
    """Set the parameters of one interval."""
    m.price = terms.price_usd_per_kwh
    m.export_price = terms.export_price_usd_per_kwh
    m.penalty = PENALTY_FACTOR * dearest(site, terms.price_usd_per_kwh)
    m.load_kvar = terms.load_kvar
    # A kW above the peak is paid for once: over one interval it costs 1/Δt per hour.
    m.peak_kw = terms.peak_kw or 0.0
    m.demand_charge = 0.0 if terms.peak_kw is None else site.demand_charge_usd_per_kw / HOURS
    if is_split(site):
        m.import_max, m.export_max = terms.import_max_kw, terms.export_max_kw
