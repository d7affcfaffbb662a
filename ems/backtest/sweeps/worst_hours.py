"""The hours at which PV lifts a feeder most: lowest load, clear sky."""

from dataclasses import dataclass

from ems.backtest.connection import beyond, beyond_in_words, broken
from ems.constrain.cases import violations
from ems.domain import Injections, Site
from ems.ports import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstHours:
    """What the feeder shows then."""

    broken: str
    """The limit that is broken furthest; empty: none is."""
    v_max_pu: float | None
    """None: the load flow has no solution [pu]."""
    at: str = ""
    """Node or element of that limit; empty where it is none of one place."""


def worst_hours(site: Site, network: Network) -> WorstHours:
    """Load flow at the site's lowest load with every PV plant at its rating, all others at zero.

    Regulators and capacitor controls act.
    """
    p_kw = dict.fromkeys(site.names, 0.0) | {pv.name: pv.rated_kw for pv in site.pvs}
    flow = network.load_flow(
        Injections(p_kw=p_kw, q_kvar=dict.fromkeys(p_kw, 0.0), load_kw=site.load_min_kw),
        controls=network.regulated,
    )
    if not flow.converged:
        return WorstHours(broken="the load flow has no solution", v_max_pu=None)
    found = violations(flow, site.limits, "worst hours")
    told = str(found[0]) if found else ""
    over = beyond(site, flow)
    exceeded = broken(over)
    if not told and exceeded:
        told = beyond_in_words(exceeded[0], over[exceeded[0]], site)
    at = found[0].place if found else ""
    return WorstHours(broken=told, v_max_pu=flow.highest()[1], at=at)
