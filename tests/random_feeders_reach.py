"""What the devices of a random feeder can do, as convex sets of P and Q."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ems.domain import Bes, Der, Dg, Pv, Setpoint
from tests.random_feeders import RandomFeeder
from tests.random_feeders_outside import Floats

HOURS = 0.25
FULL_Q_SHARE = 0.1
"""Share of its rating from which a generator without least power gives all of its Q [1]."""
SIDES = 64
"""Sides of the polygon inside an inverter's circle: 0.12 % of its rating is given away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What setpoints a DER can hold: P and Q within A·(P, Q) ≤ b."""

    a: Floats
    b: Floats
    tip: tuple[float, float]
    """Lowest and highest P [kW]."""


def reaches(f: RandomFeeder, d: Der) -> list[Reach]:
    """All that a DER can do, as one or two convex sets: a generator is off, or runs."""
    if isinstance(d, Pv):
        return [_inverter(d, 0.0, min(f.forecast.pv[d.name].upper_kw, d.rated_kw))]
    if isinstance(d, Bes):
        soc = f.snapshot.ders[d.name].soc_pct
        assert soc is not None
        room = max(d.soc_max_pct - soc, 0.0) / 100.0 * d.capacity_kwh / HOURS / d.eta_charge
        held = max(soc - d.soc_min_pct, 0.0) / 100.0 * d.capacity_kwh / HOURS * d.eta_discharge
        return [_inverter(d, -min(d.rated_kw, room), min(d.rated_kw, held))]
    now = min(f.snapshot.ders[d.name].p_kw, d.rated_kw)
    lo = max(now - d.ramp_down_kw_per_h * HOURS, 0.0)
    hi = min(now + d.ramp_up_kw_per_h * HOURS, d.rated_kw)
    off = _box(0.0, 0.0, 0.0)
    if d.min_kw <= 0.0:
        return [_generator(d, lo, hi)]
    running = _generator(d, max(lo, d.min_kw), max(hi, d.min_kw))
    return [running] if lo > d.min_kw else [running, off]


def _box(lo: float, hi: float, q: float) -> Reach:
    a = np.array([(-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0)])
    return Reach(a=a, b=np.array([-lo, hi, q, q]), tip=(lo, hi))


def _inverter(d: Pv | Bes, lo: float, hi: float) -> Reach:
    box = _box(lo, hi, d.q_max_kvar)
    if d.s_max_kva is None:
        return box
    turn = 2.0 * math.pi * (np.arange(SIDES) + 0.5) / SIDES
    a = np.column_stack([np.cos(turn), np.sin(turn)])
    b = np.full(SIDES, d.s_max_kva * math.cos(math.pi / SIDES))
    return replace(box, a=np.vstack([box.a, a]), b=np.concatenate([box.b, b]))


def _generator(d: Dg, lo: float, hi: float) -> Reach:
    box = _box(lo, hi, d.q_max_kvar)
    slope = d.q_max_kvar / max(d.min_kw, FULL_Q_SHARE * d.rated_kw)
    a = np.array([(-slope, 1.0), (-slope, -1.0)])
    return replace(box, a=np.vstack([box.a, a]), b=np.concatenate([box.b, np.zeros(2)]))


def out_of_reach(f: RandomFeeder, asked: Mapping[str, Setpoint]) -> list[str]:
    """DERs that are asked for what they cannot do."""
    found = []
    for d in f.site.ders:
        at = asked[d.name]
        p_kw = at.p_kw
        if isinstance(d, Pv):
            upper = min(f.forecast.pv[d.name].upper_kw, d.rated_kw)
            p_kw = upper if at.cap_kw is None else min(at.cap_kw, upper)
        slack = 1e-4 * d.rated_kw
        room = 1.0 / math.cos(math.pi / SIDES) if not isinstance(d, Dg) else 1.0
        if not any(
            np.all(r.a @ (p_kw, at.q_kvar) <= r.b * np.where(r.b > 0.0, room, 1.0) + slack)
            for r in reaches(f, d)
        ):
            found.append(f"{d.name}: {at}")
    return found
