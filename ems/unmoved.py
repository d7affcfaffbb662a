"""What a device may be doing that cannot be commanded: a range, never a guess.

A silent device holds what it was last written until its reversion timer runs out, and then
falls back, a generator over minutes. Its timer runs from the last refresh; where it is not known
which was the last one, both may be true. A device that nobody ever wrote to may do anything. One
that answers and does not obey goes on as it shows itself, or does at last what it was asked. One
that others disconnect is off; whether it took our word for that, too, is judged after the write.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from ems.clock import INTERVAL
from ems.domain import (
    Bes,
    Command,
    CycleRecord,
    Der,
    DerReading,
    Dg,
    Ignored,
    InForce,
    Outcome,
    Partial,
    Pv,
    Quality,
    Readback,
    Refused,
    Sent,
    Setpoint,
    Site,
    Snapshot,
    Unmoved,
    Watched,
)
from ems.response import exceeds_cap

MARGIN_S = 60.0
"""How far a device's timer may run apart from our clock [s]."""
HOLD_OVER_S = 300.0
"""How long after its interval a decision is still refreshed: a cycle that comes late, or one that
failed, must not drop a feeder at once; but what was proved for one sun and load must not go on
for long under another [s]."""

Held = Mapping[str, InForce]


def unmoved(
    site: Site, snapshot: Snapshot, held: Held, watched: Watched | None = None
) -> Mapping[str, Unmoved]:
    """DERs that cannot be moved now, with the range of what they may do in the interval.

    Args:
        site: what is installed.
        snapshot: the present; a DER of good quality can be commanded, unless it does not obey.
        held: what the devices were last written, as far as is known.
        watched: how they followed.
    """
    astray = disobeying(snapshot, watched)
    apart = disconnected(snapshot, watched)
    off_now = {d.name: _off_now(d, snapshot.ders[d.name]) for d in site.ders if d.name in apart}
    return off_now | {
        d.name: _range(
            d, snapshot.time, snapshot.ders[d.name], held.get(d.name), astray=d.name in astray
        )
        for d in site.ders
        if snapshot.ders[d.name].quality is not Quality.GOOD or d.name in astray
    }


def disobeying(snapshot: Snapshot, watched: Watched | None) -> Mapping[str, str]:
    """DERs that are heard and cannot be counted on, and why."""
    responses = watched.responses if watched else {}
    found = {}
    for name, reading in snapshot.ders.items():
        if reading.quality is not Quality.GOOD:
            continue
        response = responses.get(name)
        if reading.local:
            local = "under local control: it takes no command until it is released there"
            found[name] = reading.note or local
        elif reading.limited and reading.cap_kw is not None:
            found[name] = limited(reading.cap_kw)
        elif isinstance(response, Ignored):
            found[name] = response.reason
    return found


def disconnected(snapshot: Snapshot, watched: Watched | None) -> frozenset[str]:
    """DERs that others disconnect, and that are commanded to be off like any other.

    What they do not confirm is doubtful like any other's, too.
    """
    astray = disobeying(snapshot, watched)
    return frozenset(
        name
        for name, reading in snapshot.ders.items()
        if reading.off and reading.quality is Quality.GOOD and name not in astray
    )


def limited(cap_kw: float) -> str:
    """Why a plant is not commanded that somebody else limits."""
    return f"held at {cap_kw:.0f} kW by somebody else; lift that limit at the device"


def unconfirmed(
    site: Site, snapshot: Snapshot, outcomes: Mapping[str, Outcome], held: Held
) -> Mapping[str, Unmoved]:
    """DERs that did not take their setpoint, with the range of what they may do now.

    `held` is what the devices may hold after the writes (`after_writes`).
    """
    found = {}
    for d in site.ders:
        outcome = outcomes[d.name]
        if isinstance(outcome, Partial | Refused):
            known = isinstance(outcome, Partial) and outcome.readback is not None
            told = _told(d, outcome.command) if isinstance(outcome, Partial) else None
            found[d.name] = _range(
                d, snapshot.time, snapshot.ders[d.name], held.get(d.name), astray=known, told=told,
                contested=isinstance(outcome, Partial) and outcome.contested,
            )  # fmt: skip
    return found


def after_writes(
    before: Held,
    setpoints: Mapping[str, Setpoint],
    outcomes: Mapping[str, Outcome],
    now: datetime,
) -> Mapping[str, InForce]:
    """What the devices may hold after a round of writes.

    A device whose first write was not confirmed stays one that nobody ever wrote to: it may go on
    as it was, and no timer ends that.
    """
    held = dict(before)
    for name, outcome in outcomes.items():
        if isinstance(outcome, Sent | Partial) and (outcome.readback or name in before):
            written = as_written(setpoints[name], outcome.command)
            at = refreshed(before.get(name), written, outcome.command, now, outcome.readback)
            fell_back = isinstance(outcome, Partial) and outcome.fell_back
            held[name] = replace(at, reverts_from=now) if fell_back else at
    return held


def as_written(setpoint: Setpoint, command: Command) -> Setpoint:
    """A setpoint as the device was told it: clamped, or a step on the way."""
    p_kw = setpoint.p_kw if command.p_kw is None else command.p_kw
    return replace(setpoint, p_kw=p_kw, q_kvar=command.q_kvar, cap_kw=command.cap_kw)


def refreshed(
    before: InForce | None,
    setpoint: Setpoint,
    command: Command,
    now: datetime,
    readback: Readback | None,
) -> InForce:
    """What a device holds that was written now; where it did not confirm, perhaps what it held."""
    runs_s = None if readback is None else readback.ends_s
    ends = now + timedelta(seconds=command.reversion_s if runs_s is None else runs_s)
    if readback is not None or before is None:
        return InForce(
            setpoints=(setpoint,),
            written=now,
            reverts_from=ends,
            reverts_until=ends,
            reverts=readback is None or readback.reverts,
        )
    old = (s for s in before.setpoints if s != setpoint)
    return InForce(
        setpoints=(setpoint, *old),
        written=before.written,
        reverts_from=min(ends, before.earliest),
        reverts_until=max(ends, before.latest),
        reverts=before.reverts,
    )


def left_behind(record: CycleRecord, now: datetime) -> Held:
    """What devices hold that a process left, of which only its last record is known.

    It may have refreshed them until its decision was no longer valid, or never. How long ago that
    was is not known either: the clock may have been set forward since. So the timers that ran
    then are taken to begin now, where the clock says that they have run out.

    Args:
        record: the last one of that process.
        now: the present, in the process that takes over.
    """
    until = record.start + INTERVAL + timedelta(seconds=HOLD_OVER_S)
    found = {}
    for name, held in record.in_force.items():
        refreshed_until = held.latest + max(until - held.written, timedelta())
        timer = held.latest - max(held.written, record.snapshot.time)
        found[name] = replace(held, reverts_until=max(refreshed_until, now + timer))
    return found


def off(der: Der) -> Setpoint:
    """What a device gives that others disconnect, and what it is asked meanwhile.

    So it comes back with nothing, whenever they lift that.
    """
    cap_kw = 0.0 if isinstance(der, Pv) else None
    return Setpoint(der=der.name, p_kw=0.0, q_kvar=0.0, cap_kw=cap_kw)


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


def _off_now(der: Der, reading: DerReading) -> Unmoved:
    """A device that others disconnect; a generator without a switch ramps down to it."""
    states = [off(der)]
    if isinstance(der, Dg):
        states.append(_shown(der, reading))
    return _between(states)


def _range(
    der: Der,
    now: datetime,
    reading: DerReading,
    held: InForce | None,
    *,
    astray: bool,
    told: Setpoint | None = None,
    contested: bool = False,
) -> Unmoved:
    """What a device may do.

    Args:
        der: the device.
        now: the present.
        reading: what it shows, or showed last.
        held: what it was last written.
        astray: it is heard, and does not do what it holds.
        told: what it was told just now, and did not confirm.
        contested: it said that it does what somebody else asks.
    """
    if contested:
        # What it was told stands too: a limit of somebody else cuts P, and leaves the Q ordered.
        states: Sequence[Setpoint] = [*_anything(der, reading), *([told] if told else [])]
    elif astray or (held is None and reading.quality is Quality.GOOD):
        # Heard, but not ours: it stays as it shows itself, does what it was asked, or falls back.
        # Under the cap of somebody else nothing leads it back to what we asked.
        written = held.setpoints if held and not reading.limited else ()
        asked = [*written, *([told] if told else [])]
        states = [
            _shown(der, reading), *_ordered_there(der, reading), *asked, reverted(der),
        ]  # fmt: skip
    elif held is None:
        states = _anything(der, reading)
    else:
        states = _while_held(der, reading, held, now)
    if reading.off:
        states = [*states, off(der)]  # whatever it holds of us, it may have heard of that
    return _between(states)


def _between(states: Sequence[Setpoint]) -> Unmoved:
    """Anything between some states, most likely the first."""
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
    if exceeds_cap(der, reading, cap_kw):
        cap_kw = None  # whatever its registers say, it keeps none
    return Setpoint(der=der.name, p_kw=reading.p_kw, q_kvar=reading.q_kvar, cap_kw=cap_kw)


def _ordered_there(der: Der, reading: DerReading) -> list[Setpoint]:
    """What somebody else orders, where that is known: it may still be on its way there."""
    if not reading.local or reading.p_set_kw is None or isinstance(der, Pv):
        return []
    q_kvar = reading.q_kvar if reading.q_set_kvar is None else reading.q_set_kvar
    return [Setpoint(der=der.name, p_kw=reading.p_set_kw, q_kvar=q_kvar)]


def _told(der: Der, command: Command) -> Setpoint:
    """A command as a setpoint; of a plant without a cap, anything up to its rating."""
    cap_kw = command.cap_kw if isinstance(der, Pv) else None
    most_kw = der.rated_kw if cap_kw is None else cap_kw
    p_kw = most_kw if command.p_kw is None else command.p_kw
    return Setpoint(der=der.name, p_kw=p_kw, q_kvar=command.q_kvar, cap_kw=cap_kw)


def _anything(der: Der, reading: DerReading) -> list[Setpoint]:
    """Nobody ever wrote to it: what it shows, if it shows anything, and all it can do."""
    shown = replace(_shown(der, reading), cap_kw=None)
    most = Setpoint(der=der.name, p_kw=der.rated_kw, q_kvar=0.0)
    lowest_kw = -der.rated_kw if isinstance(der, Bes) else 0.0
    return [shown, most, Setpoint(der=der.name, p_kw=lowest_kw, q_kvar=0.0)]


def _while_held(der: Der, reading: DerReading, held: InForce, now: datetime) -> Sequence[Setpoint]:
    """What was written, what it falls back to, or both where that may happen meanwhile."""
    back = reverted(der)
    left_s = (held.earliest - now).total_seconds()
    longest_s = (held.latest - now).total_seconds()
    if (held.written - now).total_seconds() > MARGIN_S:
        left_s = 0.0  # the clock was set back since: how long it has held it is not known
    states: list[Setpoint] = []
    if longest_s > -MARGIN_S or not held.reverts:
        states += held.setpoints
        if isinstance(der, Dg):  # it may still be on its way there
            states += [replace(s, p_kw=reading.p_kw) for s in held.setpoints]
    if left_s < INTERVAL.total_seconds() + MARGIN_S:
        states.append(back)
        if isinstance(der, Dg):  # it ramps down, and gives no reactive power that was asked
            fallen_kw = der.ramp_down_kw_per_h * max(0.0, -longest_s) / 3600.0
            highest = max(s.p_kw for s in held.setpoints)
            still_kw = max(back.p_kw, highest - fallen_kw)
            states.append(replace(back, p_kw=still_kw))
    if longest_s <= -MARGIN_S and held.reverts:
        states.sort(key=lambda s: s.p_kw != back.p_kw)  # first: what it most likely does
    return states
