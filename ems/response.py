"""Whether a device does what it acknowledged: its measurement against its command.

A write is believed when it is read back, and confirmed when the measurement follows. A cap is
kept while the measured power does not exceed it; whether it binds, only the sun knows. A cap that
is not ours was set by somebody else, the grid operator or an installer: a limit that GEEMS did not
set is never raised. A plant that restarted shows no cap, so the two are told apart.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from ems.domain import (
    Bes,
    Command,
    CycleRecord,
    Der,
    DerReading,
    Dg,
    Followed,
    Ignored,
    InForce,
    Partial,
    Pv,
    Response,
    Sent,
    Site,
    Waiting,
)

TOLERANCE = 0.02
"""How far a measurement may be from a setpoint, as a share of the rating: meters of class 1, and
scale factors that round [1]."""
NOISE_KW = 0.1
"""The same for small devices, whose meters read in steps of tens of watts [kW]."""
SOC_EDGE_PCT = 1.0
"""How near to a limit of its charge a battery may already tail off [%]."""

ROUNDING = 0.01
"""How far a cap may read back below what was asked, as a share of the rating: registers in whole
percent, rounded down [1]."""

OwnCaps = Mapping[str, tuple[float, ...]]
"""Caps that GEEMS gave each device, infinity for none [kW]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a device was asked, and from where it started."""

    command: Command
    since: datetime
    """When it was asked, or when it was last seen to follow, UTC."""
    from_kw: float
    """Power measured then [kW]."""


def tolerance_kw(der: Der) -> float:
    """How far a measurement of P or Q may be from what was asked [kW, kvar]."""
    return max(TOLERANCE * der.rated_kw, NOISE_KW)


def exceeds_cap(der: Der, reading: DerReading, cap_kw: float | None) -> bool:
    """Whether a plant makes more than a cap allows."""
    return cap_kw is not None and reading.p_kw > cap_kw + tolerance_kw(der)


def respond(der: Der, asked: Asked, reading: DerReading, response_s: float) -> Response:
    """Judge one measurement.

    Args:
        der: the device.
        asked: its command, and since when.
        reading: what it shows now.
        response_s: how long it may take; a generator besides what its ramp takes [s].
    """
    waited_s = (reading.time - asked.since).total_seconds()
    misses = [m for m in (_active(der, asked, reading), _reactive(der, asked, reading)) if m]
    if not misses:
        return Followed()
    late_s = waited_s - response_s
    if late_s < 0.0 or (isinstance(der, Dg) and _on_its_way(der, asked, reading, late_s)):
        return Waiting()
    return Ignored(reason=f"acknowledged, but for {waited_s:.0f} s {' and '.join(misses)}")


def _active(der: Der, asked: Asked, reading: DerReading) -> str:
    """What is wrong with P; empty where nothing is."""
    command, p_kw = asked.command, reading.p_kw
    if isinstance(der, Pv):
        if exceeds_cap(der, reading, command.cap_kw):
            return f"it makes {p_kw:.1f} kW under a cap of {command.cap_kw:.1f} kW"
        return ""
    wanted_kw = command.p_kw or 0.0
    if abs(p_kw - wanted_kw) <= tolerance_kw(der) or _spent(der, wanted_kw, reading):
        return ""
    return f"it shows {p_kw:.1f} kW, asked for {wanted_kw:.1f} kW"


def _reactive(der: Der, asked: Asked, reading: DerReading) -> str:
    """What is wrong with Q; empty where nothing is."""
    wanted_kvar, kvar = asked.command.q_kvar, reading.q_kvar
    allowed = tolerance_kw(der)
    if abs(kvar - wanted_kvar) <= allowed:
        return ""
    if isinstance(der, Dg) and reading.p_kw < der.full_q_kw:  # off, or starting
        low, high = sorted((0.0, wanted_kvar))
        if low - allowed <= kvar <= high + allowed:
            return ""
    return f"it shows {kvar:.1f} kvar, asked for {wanted_kvar:.1f} kvar"


def _spent(der: Der, wanted_kw: float, reading: DerReading) -> bool:
    """Whether a battery gives or takes less because it is empty or full."""
    if not isinstance(der, Bes) or reading.soc_pct is None:
        return False
    short = abs(reading.p_kw) <= abs(wanted_kw) and reading.p_kw * wanted_kw >= 0.0
    empty = wanted_kw > 0.0 and reading.soc_pct <= der.soc_min_pct + SOC_EDGE_PCT
    full = wanted_kw < 0.0 and reading.soc_pct >= der.soc_max_pct - SOC_EDGE_PCT
    return short and (empty or full)


def _on_its_way(der: Dg, asked: Asked, reading: DerReading, late_s: float) -> bool:
    """Whether a generator is as far as its ramp takes it, and its Q will come with its power."""
    if _reactive(der, asked, reading):
        return False
    wanted_kw = asked.command.p_kw or 0.0
    way_kw = abs(wanted_kw - asked.from_kw)
    ramp = der.ramp_up_kw_per_h if wanted_kw > asked.from_kw else der.ramp_down_kw_per_h
    # Without a limit to its ramp it has arrived, also at the very instant.
    gone_kw = way_kw if ramp == float("inf") else min(way_kw, ramp * late_s / 3600.0)
    return abs(wanted_kw - reading.p_kw) <= way_kw - gone_kw + tolerance_kw(der)


# --- caps of somebody else -----------------------------------------------------------


def own_caps(last: CycleRecord | None, held: Mapping[str, InForce]) -> OwnCaps:
    """Caps that devices may hold of us.

    Args:
        last: the cycle before; a write that was not confirmed may have arrived after all.
        held: what the devices were last written, as far as is known.
    """
    found: dict[str, set[float]] = {}
    for known in (held, last.in_force if last else {}):
        for name, at in known.items():
            found.setdefault(name, set()).update(_cap(s.cap_kw) for s in at.setpoints)
    for name, outcome in (last.outcomes if last else {}).items():
        if isinstance(outcome, Sent | Partial):
            found.setdefault(name, set()).add(_cap(outcome.command.cap_kw))
    return {name: tuple(sorted(caps)) for name, caps in found.items()}


def with_foreign_caps(
    site: Site, readings: Mapping[str, DerReading], own: OwnCaps, before: Collection[str]
) -> dict[str, DerReading]:
    """The same readings, those of plants that somebody else limits marked as such.

    Args:
        site: what is installed.
        readings: what the devices show.
        own: caps that GEEMS gave them.
        before: devices that somebody else limited when they were last seen.
    """
    found = dict(readings)
    for pv in site.pvs:
        if (reading := found.get(pv.name)) is not None:
            limited = _foreign(pv, reading, own.get(pv.name, ()), was=pv.name in before)
            found[pv.name] = replace(reading, limited=limited)
    return found


def _foreign(pv: Pv, reading: DerReading, own: tuple[float, ...], *, was: bool) -> bool:
    """Whether a cap is neither ours nor above ours.

    The value a device falls back to is ours, but not while somebody else limits it: then only our
    old timer has run out, and it wiped their limit, which nobody has lifted.
    """
    cap_kw = reading.cap_kw
    if cap_kw is None or reading.lifted:
        return False
    rounding_kw = ROUNDING * pv.rated_kw
    ours = own if was else (*own, min(pv.reversion_kw, pv.rated_kw))
    if any(abs(cap_kw - one) <= rounding_kw for one in ours):
        return False
    # A cap at the rating that the device reports limits nothing; within a limit that the site's
    # own server tells it, it is commanded.
    known = (x for x in (reading.rated_kw, reading.most_kw) if x is not None)
    most_kw = min([pv.rated_kw, *known])
    return cap_kw < min(most_kw, max(own, default=math.inf)) - rounding_kw


def _cap(cap_kw: float | None) -> float:
    return math.inf if cap_kw is None else cap_kw
