"""The rungs below an optimum: points between a safe one and a wanted one."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from ems.clock import INTERVAL
from ems.constrain.cases import reversion_set
from ems.domain import Bes, Dg, Dispatch, Forecast, Setpoint, Site, Snapshot, SolverStatus, cost

HOURS = INTERVAL.total_seconds() / 3600.0
"""Length of an interval, Δt [h]."""
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
    found = cost(
        site, setpoints, forecast, like.price_usd_per_kwh, HOURS,
        loss_factor=like.loss_factor, peak_kw=like.peak_kw,
    )  # fmt: skip
    return replace(
        like,
        setpoints=setpoints,
        grid_kw=found.grid_kw,
        cost_usd_per_h=found.bill_usd_per_h,
        objective_usd_per_h=found.objective_usd_per_h,
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
        cap_kw = share * cap_of(setpoints, pv.name, forecast)
        setpoints[pv.name] = capped(setpoints[pv.name], cap_kw, forecast)
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
            lo = cap_of(anchor, name, forecast)
            hi = cap_of(wanted, name, forecast)
            at = replace(a, q_kvar=q)
            setpoints[name] = capped(at, lo + share * (hi - lo), forecast)
        else:
            setpoints[name] = replace(a, p_kw=a.p_kw + share * (w.p_kw - a.p_kw), q_kvar=q)
    return setpoints


def anchors(site: Site, snapshot: Snapshot, forecast: Forecast) -> Iterator[tuple[str, Setpoints]]:
    """Points that may be safe now: what is in force, the reversion set, and all at rest.

    A generator cannot leave its ramp, so it starts from where it is.
    """
    present = {}
    for name, reading in snapshot.ders.items():
        at = Setpoint(der=name, p_kw=reading.p_kw, q_kvar=reading.q_kvar, cap_kw=reading.cap_kw)
        if name in forecast.pv:
            cap = reading.p_kw if reading.cap_kw is None else reading.cap_kw
            at = capped(at, cap, forecast)
        present[name] = at
    yield "what is in force", possible(site, snapshot, present)
    yield "the reversion set", possible(site, snapshot, reversion_set(site, forecast))
    idle = {name: Setpoint(der=name, p_kw=0.0, q_kvar=0.0) for name in site.names}
    idle |= {name: capped(idle[name], 0.0, forecast) for name in forecast.pv}
    yield "all DERs at rest", possible(site, snapshot, idle)


def possible(site: Site, snapshot: Snapshot, setpoints: Setpoints) -> dict[str, Setpoint]:
    """What batteries and generators can do of what is asked: rating, charge, ramp, least power."""
    clipped = dict(setpoints)
    for bes in site.bess:
        at = clipped[bes.name]
        most_in, most_out = storage_range(bes, snapshot.ders[bes.name].soc_pct)
        clipped[bes.name] = replace(at, p_kw=min(max(at.p_kw, -most_in), most_out))
    for dg in site.dgs:
        clipped[dg.name] = _running(dg, snapshot.ders[dg.name].p_kw, clipped[dg.name])
    return clipped


def storage_range(bes: Bes, soc_pct: float | None) -> tuple[float, float]:
    """Most power in and out over the interval that the state of charge leaves [kW]."""
    if soc_pct is None or not math.isfinite(soc_pct):
        return 0.0, 0.0
    kwh_per_pct = bes.capacity_kwh / 100.0
    room = max(0.0, bes.soc_max_pct - soc_pct) * kwh_per_pct / HOURS / bes.eta_charge
    held = max(0.0, soc_pct - bes.soc_min_pct) * kwh_per_pct / HOURS * bes.eta_discharge
    return min(bes.rated_kw, room), min(bes.rated_kw, held)


def _running(dg: Dg, now_kw: float, at: Setpoint) -> Setpoint:
    """A generator within its ramp, off or above its least power; no Q while it is off."""
    lo, hi, may_stop = running_range(dg, now_kw)
    stops = may_stop and at.p_kw < dg.min_kw / 2
    p = 0.0 if stops else min(max(at.p_kw, lo), hi)
    q_most = dg.q_max_kvar * min(1.0, p / dg.full_q_kw)
    return replace(at, p_kw=p, q_kvar=min(max(at.q_kvar, -q_most), q_most))


def running_range(dg: Dg, now_kw: float) -> tuple[float, float, bool]:
    """Lowest and highest power of a generator that runs [kW], and whether it may stop instead.

    One that has a least power starts at it, whatever its ramp.
    """
    now_kw = min(max(now_kw, 0.0), dg.rated_kw)
    lo = max(now_kw - dg.ramp_down_kw_per_h * HOURS, 0.0)
    hi = min(now_kw + dg.ramp_up_kw_per_h * HOURS, dg.rated_kw)
    if dg.min_kw <= 0.0:
        return lo, hi, False
    return max(lo, dg.min_kw), max(hi, dg.min_kw), lo <= dg.min_kw


def cap_of(setpoints: Setpoints, name: str, forecast: Forecast) -> float:
    """Cap of a PV plant; the most the sky can give where it has none [kW]."""
    cap, upper = setpoints[name].cap_kw, forecast.pv[name].upper_kw
    return upper if cap is None else min(cap, upper)


def capped(at: Setpoint, cap_kw: float, forecast: Forecast) -> Setpoint:
    """The same of a PV plant with another cap, and none where it holds nothing back."""
    sky = forecast.pv[at.der]
    held = cap_kw if cap_kw < sky.upper_kw else None
    return replace(at, cap_kw=held, p_kw=min(cap_kw, sky.expected_kw))
