"""From verified setpoints to verified writes.

Clamped, ordered by their effect on the limits that bind (what relieves first; what loads only
after the relief is read back), each with a reversion timer, each read back.
"""

import math
from collections.abc import Mapping, Sequence

from ems.domain import (
    Advised,
    Bes,
    Command,
    Der,
    Dg,
    Outcome,
    Partial,
    Policy,
    Pv,
    Quality,
    Readback,
    Refused,
    RowPrice,
    Secured,
    Sent,
    Setpoint,
    Site,
    Snapshot,
)
from ems.errors import DeviceError, RefusedWrite
from ems.ports import Field


def command(
    site: Site, policy: Policy, snapshot: Snapshot, secured: Secured, field: Field
) -> Mapping[str, Outcome]:
    """Write a secured dispatch to the devices, relief first.

    Returns one outcome per DER: `Sent`; `Partial` where it is not known what the device holds
    or it holds something else; `Refused` where nothing was written; `Advised` in advisory mode.
    """
    setpoints = secured.dispatch.setpoints
    outcomes: dict[str, Outcome] = {}
    ready: dict[str, Command] = {}
    for der in site.ders:
        asked = _command(der, setpoints[der.name], policy)
        reason = _unwritable(der, setpoints[der.name], snapshot)
        if policy.control == "advisory":
            outcomes[der.name] = Advised(command=asked)
        elif reason:
            outcomes[der.name] = Refused(command=asked, reason=reason)
        else:
            ready[der.name] = asked
    relief, loading = _ordered(site, snapshot, secured.dispatch.binding, setpoints, list(ready))
    outcomes |= _write(field, [ready[n] for n in relief])
    relieved = all(isinstance(outcomes[n], Sent | Advised) for n in relief)
    if relieved:
        outcomes |= _write(field, [ready[n] for n in loading])
    else:
        for name in loading:
            reason = "held back: a device that had to relieve the network first did not confirm"
            outcomes[name] = Refused(command=ready[name], reason=reason)
    return {name: outcomes[name] for name in site.names}


def _command(der: Der, at: Setpoint, policy: Policy) -> Command:
    """Clamped to the device's ratings."""
    q_kvar = min(max(at.q_kvar, -der.q_max_kvar), der.q_max_kvar)
    p_kw: float | None
    cap_kw: float | None = None
    match der:
        case Pv():
            p_kw, reversion_kw = None, min(der.reversion_kw, der.rated_kw)
            if at.cap_kw is not None:
                cap_kw = min(max(at.cap_kw, 0.0), der.rated_kw)
        case Bes():
            p_kw, reversion_kw = min(max(at.p_kw, -der.rated_kw), der.rated_kw), 0.0
        case Dg():
            p_kw, reversion_kw = min(max(at.p_kw, 0.0), der.rated_kw), der.reversion_kw
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
        return Partial(command=asked, reason=str(answer))
    return Sent(command=asked, readback=answer)
