"""What a device may be doing that cannot be commanded: a range, never a guess.

A silent device holds what it was last written until its reversion timer runs out, and then
falls back, a generator over minutes. A device that nobody ever wrote to may do anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from ems.clock import INTERVAL
from ems.domain import (
    Bes,
    Der,
    DerReading,
    Dg,
    InForce,
    Outcome,
    Partial,
    Policy,
    Pv,
    Quality,
    Refused,
    Sent,
    Setpoint,
    Site,
    Snapshot,
    Unmoved,
)

MARGIN_S = 60.0
"""How far a device's timer may run apart from our clock [s]."""

Held = Mapping[str, InForce]


def unmoved(site: Site, policy: Policy, snapshot: Snapshot, held: Held) -> Mapping[str, Unmoved]:
    """DERs that cannot be commanded now, with the range of what they may do in the interval.

    Args:
        site: what is installed.
        policy: after how long devices fall back.
        snapshot: the present; a DER of good quality can be commanded.
        held: what the devices were last written, as far as is known.
    """
    return {
        d.name: _range(d, policy, snapshot.time, snapshot.ders[d.name], held.get(d.name))
        for d in site.ders
        if snapshot.ders[d.name].quality is not Quality.GOOD
    }


def unconfirmed(
    site: Site,
    policy: Policy,
    snapshot: Snapshot,
    outcomes: Mapping[str, Outcome],
    held: Held,
) -> Mapping[str, Unmoved]:
    """DERs that did not take their setpoint, with the range of what they may do now.

    `held` is what the devices may hold after the writes (`after_writes`).
    """
    return {
        d.name: _range(d, policy, snapshot.time, snapshot.ders[d.name], held.get(d.name))
        for d in site.ders
        if isinstance(outcomes[d.name], Partial | Refused)
    }


def after_writes(
    before: Held,
    setpoints: Mapping[str, Setpoint],
    outcomes: Mapping[str, Outcome],
    now: datetime,
) -> Mapping[str, InForce]:
    """What the devices may hold after a round of writes."""
    held = dict(before)
    for name, outcome in outcomes.items():
        if isinstance(outcome, Sent):
            held[name] = InForce(setpoints=(setpoints[name],), written=now)
        elif isinstance(outcome, Partial):
            earlier = before.get(name)
            old = earlier.setpoints if earlier else ()
            held[name] = InForce(
                setpoints=(setpoints[name], *old), written=earlier.written if earlier else now
            )
    return held


def reverted(der: Der) -> Setpoint:
    """What a device does by itself when its timer has run out."""
    match der:
        case Pv():
            return Setpoint(
                der=der.name, p_kw=der.reversion_kw, q_kvar=0.0, cap_kw=der.reversion_kw
            )
        case Bes():
            return Setpoint(der=der.name, p_kw=0.0, q_kvar=0.0)
        case Dg():
            return Setpoint(der=der.name, p_kw=der.reversion_kw, q_kvar=0.0)


def _range(
    der: Der, policy: Policy, now: datetime, reading: DerReading, held: InForce | None
) -> Unmoved:
    if held is None and reading.quality is Quality.GOOD:
        # Not ours, but heard: it stays as it shows itself, or falls back.
        states: Sequence[Setpoint] = [_shown(der, reading), reverted(der)]
    elif held is None:
        states = _anything(der, reading)
    else:
        left_s = policy.reversion_s - (now - held.written).total_seconds()
        states = _while_held(der, reading, held, left_s)
    caps = [s.cap_kw for s in states]
    widest = None if None in caps else max(c for c in caps if c is not None)
    most = replace(
        states[0],
        p_kw=max(s.p_kw for s in states),
        q_kvar=max(s.q_kvar for s in states),
        cap_kw=widest,
    )
    least = replace(
        states[0],
        p_kw=min(s.p_kw for s in states),
        q_kvar=min(s.q_kvar for s in states),
        cap_kw=widest,
    )
    return Unmoved(expected=states[0], high=most, low=least)


def _shown(der: Der, reading: DerReading) -> Setpoint:
    cap_kw = reading.cap_kw if isinstance(der, Pv) else None
    return Setpoint(der=der.name, p_kw=reading.p_kw, q_kvar=reading.q_kvar, cap_kw=cap_kw)


def _anything(der: Der, reading: DerReading) -> list[Setpoint]:
    """Nobody ever wrote to it: what it shows, if it shows anything, and all it can do."""
    shown = replace(_shown(der, reading), cap_kw=None)
    most = Setpoint(der=der.name, p_kw=der.rated_kw, q_kvar=0.0)
    lowest_kw = -der.rated_kw if isinstance(der, Bes) else 0.0
    return [shown, most, Setpoint(der=der.name, p_kw=lowest_kw, q_kvar=0.0)]


def _while_held(der: Der, reading: DerReading, held: InForce, left_s: float) -> Sequence[Setpoint]:
    """What was written, what it falls back to, or both where that may happen meanwhile."""
    back = reverted(der)
    states: list[Setpoint] = []
    if left_s > -MARGIN_S:
        states += held.setpoints
        if isinstance(der, Dg):  # it may still be on its way there
            states += [replace(s, p_kw=reading.p_kw) for s in held.setpoints]
    if left_s < INTERVAL.total_seconds() + MARGIN_S:
        states.append(back)
        if isinstance(der, Dg):  # it ramps down, and gives no reactive power that was asked
            fallen_kw = der.ramp_down_kw_per_h * max(0.0, -left_s) / 3600.0
            highest = max(s.p_kw for s in held.setpoints)
            still_kw = max(back.p_kw, highest - fallen_kw)
            states.append(replace(back, p_kw=still_kw))
    if left_s <= -MARGIN_S:
        states.sort(key=lambda s: s.p_kw != back.p_kw)  # first: what it most likely does
    return states
