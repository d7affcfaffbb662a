"""From verified setpoints to verified writes.

Clamped, ordered by their effect on the limits that bind (what relieves first; what loads only
after the relief is read back), each with a reversion timer, each read back. A device that does
not follow is asked again what it was asked, so that it is seen when it does; one under local
control is left alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ems.domain import (
    Advised,
    Bes,
    Command,
    Der,
    DerReading,
    Dg,
    Outcome,
    Partial,
    Policy,
    Pv,
    Quality,
    Readback,
    Refused,
    RowPrice,
    Sent,
    Setpoint,
    Site,
    Snapshot,
)
from ems.errors import Contested, DeviceError, FellBack, RefusedWrite
from ems.ports import Field
from ems.response import tolerance_kw


@dataclass(frozen=True, slots=True, kw_only=True)
class Astray:
    """A device that is heard and cannot be counted on."""

    why: str
    asked: Setpoint | None
    """What it was asked and is asked again; None: nothing is written to it."""


def command(
    site: Site,
    policy: Policy,
    snapshot: Snapshot,
    setpoints: Mapping[str, Setpoint],
    binding: Sequence[RowPrice],
    astray: Mapping[str, Astray],
    field: Field,
) -> Mapping[str, Outcome]:
    """Write verified setpoints to the devices, relief first.

    Args:
        site: what is installed.
        policy: how it is run.
        snapshot: the present.
        setpoints: one per DER.
        binding: rows that bind, which tell what relieves.
        astray: devices that do not obey; they are not moved.
        field: the devices.

    Returns one outcome per DER: `Sent`; `Partial` where it is not known what the device holds,
    it holds something else, or holds it and does not follow; `Refused` where nothing was
    written; `Advised` in advisory mode.
    """
    outcomes: dict[str, Outcome] = {}
    ready: dict[str, Command] = {}
    insisted: dict[str, Command] = {}
    for der in site.ders:
        name = der.name
        reading = snapshot.ders[name]
        stray = astray.get(name)
        at = stray.asked if stray and stray.asked else setpoints[name]
        stands_kw = _leads_from(der, at, reading, astray=stray is not None)
        asked = _command(der, at, policy, stands_kw, reading.most_kw)
        reason = _unwritable(der, at, snapshot)
        if policy.control == "advisory":
            outcomes[name] = Advised(command=asked)
        elif reason or (stray and not stray.asked):
            outcomes[name] = Refused(command=asked, reason=reason or (stray.why if stray else ""))
        elif stray:
            insisted[name] = asked
        else:
            ready[name] = asked
    relief, loading = _ordered(site, snapshot, binding, setpoints, list(ready))
    outcomes |= _write(field, [ready[n] for n in relief])
    relieved = all(isinstance(outcomes[n], Sent | Advised) for n in relief)
    if relieved:
        outcomes |= _write(field, [ready[n] for n in loading])
    else:
        for name in loading:
            reason = "held back: a device that had to relieve the network first did not confirm"
            outcomes[name] = Refused(command=ready[name], reason=reason, waited=True)
    for name, outcome in _write(field, list(insisted.values())).items():
        outcomes[name] = _not_followed(outcome, astray[name].why)
    return {name: outcomes[name] for name in site.names}


def _not_followed(outcome: Outcome, why: str) -> Outcome:
    """Of a device that was asked the same again, and goes on not to do it."""
    if isinstance(outcome, Sent):
        return Partial(command=outcome.command, reason=why, readback=outcome.readback)
    return outcome


def _leads_from(der: Der, at: Setpoint, reading: DerReading, *, astray: bool) -> float | None:
    """Where the steps of a generator begin; None: it is asked for all of it at once.

    One that is asked the same again begins anew only where it stands far below: an engine that
    tripped and comes back must not be asked for all of it. Where it shows more, its measurement
    may be what is wrong, and a step down from there would be a step up. One that others disconnect
    is asked for nothing, however far it stands above.
    """
    if reading.off:
        return None
    behind = at.p_kw - reading.p_kw > tolerance_kw(der)
    return reading.p_kw if behind or not astray else None


def _command(
    der: Der, at: Setpoint, policy: Policy, stands_kw: float | None, most_kw: float | None
) -> Command:
    """Clamped to the device's ratings; of a generator that is led from where it stands, a step.

    A plant that is limited to `most_kw` is told so: nothing was proved beyond that, and the limit
    may be lifted while the command holds.
    """
    q_kvar = min(max(at.q_kvar, -der.q_max_kvar), der.q_max_kvar)
    p_kw: float | None
    cap_kw: float | None = None
    match der:
        case Pv():
            p_kw, reversion_kw = None, min(der.reversion_kw, der.rated_kw)
            caps = [c for c in (at.cap_kw, most_kw) if c is not None]
            if caps:
                cap_kw = min(max(min(caps), 0.0), der.rated_kw)
        case Bes():
            p_kw, reversion_kw = min(max(at.p_kw, -der.rated_kw), der.rated_kw), 0.0
        case Dg():
            p_kw, reversion_kw = min(max(at.p_kw, 0.0), der.rated_kw), der.reversion_kw
            if policy.keep_alive_s is not None and stands_kw is not None:
                from_kw = min(max(stands_kw, 0.0), der.rated_kw)
                p_kw = der.towards(from_kw, p_kw, policy.keep_alive_s)
    return Command(
        der=der.name,
        p_kw=p_kw,
        q_kvar=q_kvar,
        cap_kw=cap_kw,
        reversion_kw=reversion_kw,
        reversion_s=policy.reversion_s,
    )


def _unwritable(der: Der, at: Setpoint, snapshot: Snapshot) -> str:
    """Why a setpoint must not be written; empty when it may."""
    numbers = [at.p_kw, at.q_kvar, *([] if at.cap_kw is None else [at.cap_kw])]
    if not all(math.isfinite(x) for x in numbers):
        return "setpoint is not a finite number"
    reading = snapshot.ders[der.name]
    if reading.quality is not Quality.GOOD:
        return f"not commanded while unheard: {reading.note}"
    if isinstance(der, Bes) and reading.soc_pct is not None:
        if at.p_kw > 0.0 and reading.soc_pct <= der.soc_min_pct:
            return f"state of charge {reading.soc_pct:.1f} % is at its lower limit"
        if at.p_kw < 0.0 and reading.soc_pct >= der.soc_max_pct:
            return f"state of charge {reading.soc_pct:.1f} % is at its upper limit"
    return ""


def _ordered(
    site: Site,
    snapshot: Snapshot,
    binding: Sequence[RowPrice],
    setpoints: Mapping[str, Setpoint],
    names: Sequence[str],
) -> tuple[list[str], list[str]]:
    """Names whose move relieves the binding rows, best first; and the others."""
    scores = {n: _burden(site, snapshot, binding, setpoints[n]) for n in names}
    ranked = sorted(names, key=lambda n: scores[n])
    return [n for n in ranked if scores[n] < 0.0], [n for n in ranked if scores[n] >= 0.0]


def _burden(site: Site, snapshot: Snapshot, binding: Sequence[RowPrice], to: Setpoint) -> float:
    """What a move does to the binding rows, positive when it loads them.

    Where none binds an injection that grows counts as loading: unless limits say otherwise,
    the way from one safe mix to another leads through less power.
    """
    reading = snapshot.ders[to.der]
    rated = {d.name: d.rated_kw for d in site.ders}[to.der]
    pv = any(d.name == to.der for d in site.pvs)
    if pv:
        before = rated if reading.cap_kw is None else reading.cap_kw
        after = rated if to.cap_kw is None else to.cap_kw
    else:
        before, after = reading.p_kw, to.p_kw
    dp, dq = after - before, to.q_kvar - reading.q_kvar
    if not binding:
        return dp + dq
    return sum(
        b.price * (b.row.c_p.get(to.der, 0.0) * dp + b.row.c_q.get(to.der, 0.0) * dq)
        for b in binding
    )


def _write(field: Field, commands: Sequence[Command]) -> dict[str, Outcome]:
    if not commands:
        return {}
    answers = field.write(commands)
    return {c.der: _outcome(c, answers.get(c.der, DeviceError("no answer"))) for c in commands}


def _outcome(asked: Command, answer: Readback | DeviceError) -> Outcome:
    if isinstance(answer, RefusedWrite):
        return Refused(command=asked, reason=str(answer))
    if isinstance(answer, DeviceError):
        fell_back = isinstance(answer, FellBack)
        contested = isinstance(answer, Contested)
        return Partial(command=asked, reason=str(answer), fell_back=fell_back, contested=contested)
    return Sent(command=asked, readback=answer)
