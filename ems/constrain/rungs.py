"""The rungs below an optimum: points between a safe one and a wanted one."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from ems.clock import INTERVAL
from ems.constrain.cases import reversion_set
from ems.domain import Dispatch, Forecast, Setpoint, Site, Snapshot, SolverStatus

BISECTIONS = 12
"""Halvings towards the wanted point: 1/4096 of the way."""


Setpoints = Mapping[str, Setpoint]


def bisected(point: Callable[[float], Setpoints], safe: Callable[[Setpoints], bool]) -> Setpoints:
    """The safe point nearest to `point(1)`; `point(0)` must be safe."""
    lo, hi = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (lo + hi) / 2
        if safe(point(middle)):
            lo = middle
        else:
            hi = middle
    return point(lo)


def priced(site: Site, forecast: Forecast, like: Dispatch, setpoints: Setpoints) -> Dispatch:
    """Other setpoints, priced as `like` was."""
    price = like.price_usd_per_kwh
    grid_kw = (1.0 + site.loss_factor) * forecast.load_kw - sum(s.p_kw for s in setpoints.values())
    cost = price * grid_kw + sum(d.cost_usd_per_kwh * setpoints[d.name].p_kw for d in site.dgs)
    storage = 0.0
    for bes in site.bess:
        p = setpoints[bes.name].p_kw
        worth = 1.0 if p > 0 else bes.eta_charge * bes.eta_discharge
        storage += bes.weight_usd_per_kwh * worth * p
    reactive = site.q_cost_usd_per_kvarh * sum(abs(s.q_kvar) for s in setpoints.values())
    return replace(
        like,
        setpoints=setpoints,
        grid_kw=grid_kw,
        cost_usd_per_h=cost,
        objective_usd_per_h=cost + storage + reactive,
    )


def unpriced(price_usd_per_kwh: float) -> Dispatch:
    """A dispatch without setpoints, to price others by."""
    return Dispatch(
        setpoints={},
        grid_kw=0.0,
        price_usd_per_kwh=price_usd_per_kwh,
        cost_usd_per_h=0.0,
        objective_usd_per_h=0.0,
        status=SolverStatus.FAILED,
    )


def with_caps(site: Site, forecast: Forecast, wanted: Setpoints, share: float) -> Setpoints:
    """The same setpoints with every PV cap at a share of itself."""
    setpoints = dict(wanted)
    for pv in site.pvs:
        setpoints[pv.name] = _capped(setpoints[pv.name], share * _cap(setpoints, pv.name, forecast),
                                     forecast)  # fmt: skip
    return setpoints


def between(
    site: Site, forecast: Forecast, anchor: Setpoints, wanted: Setpoints, share: float
) -> Setpoints:
    """The point a share of the way from `anchor` to `wanted`."""
    setpoints = {}
    for name in site.names:
        a, w = anchor[name], wanted[name]
        q = a.q_kvar + share * (w.q_kvar - a.q_kvar)
        if name in forecast.pv:
            lo = _cap(anchor, name, forecast)
            hi = _cap(wanted, name, forecast)
            at = replace(a, q_kvar=q)
            setpoints[name] = _capped(at, lo + share * (hi - lo), forecast)
        else:
            setpoints[name] = replace(a, p_kw=a.p_kw + share * (w.p_kw - a.p_kw), q_kvar=q)
    return setpoints


def anchors(site: Site, snapshot: Snapshot, forecast: Forecast) -> Iterator[tuple[str, Setpoints]]:
    """Points that may be safe now: what is in force, and the reversion set.

    A generator cannot leave its ramp, so it starts from where it is.
    """
    present = {}
    for name, reading in snapshot.ders.items():
        at = Setpoint(der=name, p_kw=reading.p_kw, q_kvar=reading.q_kvar, cap_kw=reading.cap_kw)
        if name in forecast.pv:
            cap = reading.p_kw if reading.cap_kw is None else reading.cap_kw
            at = _capped(at, cap, forecast)
        present[name] = at
    yield "what is in force", _ramped(site, snapshot, present)
    yield "the reversion set", _ramped(site, snapshot, reversion_set(site, forecast))


def _ramped(site: Site, snapshot: Snapshot, setpoints: Setpoints) -> dict[str, Setpoint]:
    """Batteries and generators clipped to rating, and generators to their ramp."""
    clipped = dict(setpoints)
    hours = INTERVAL.total_seconds() / 3600.0
    for bes in site.bess:
        at = clipped[bes.name]
        clipped[bes.name] = replace(at, p_kw=min(max(at.p_kw, -bes.rated_kw), bes.rated_kw))
    for dg in site.dgs:
        at, now = clipped[dg.name], snapshot.ders[dg.name].p_kw
        p = min(
            max(at.p_kw, now - dg.ramp_down_kw_per_h * hours), now + dg.ramp_up_kw_per_h * hours
        )
        clipped[dg.name] = replace(at, p_kw=min(max(p, 0.0), dg.rated_kw))
    return clipped


def _cap(setpoints: Setpoints, name: str, forecast: Forecast) -> float:
    """Cap of a PV plant; the most the sky can give where it has none [kW]."""
    cap, upper = setpoints[name].cap_kw, forecast.pv[name].upper_kw
    return upper if cap is None else min(cap, upper)


def _capped(at: Setpoint, cap_kw: float, forecast: Forecast) -> Setpoint:
    sky = forecast.pv[at.der]
    held = cap_kw if cap_kw < sky.upper_kw else None
    return replace(at, cap_kw=held, p_kw=min(cap_kw, sky.expected_kw))
