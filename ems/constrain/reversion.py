"""Whether the feeder is safe when GEEMS is silent.

Every device carries a value it falls back to by itself. All of them TOGETHER must keep the
limits at the lowest load under a clear sky, or a dead EMS would break them.

A device without a timer keeps its last command instead, whatever sun and load do then. What that
is cannot be known before: anything it may be told.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from ems.constrain.cases import reversion_set, severity, violations
from ems.domain import Bes, Der, Dg, Injections, LoadFlow, RowKind, Setpoint, Site, Violation
from ems.ports import Network

CASE = "reversion"
WORSE = 1e-4
"""From where on a limit that is broken anyway is broken further, as a share of it: no model of a
feeder is as exact [1]."""


def reversion_violations(site: Site, network: Network) -> tuple[Violation, ...]:
    """What the reversion values break at lowest load and clear sky; empty when safe."""
    return _broken(site, network, reversion_set(site, None), site.load_min_kw, CASE)


def largest_safe_share(site: Site, network: Network) -> float:
    """Largest common factor on the PV reversion caps that is safe [1]; 0 where none is."""
    wanted = reversion_set(site, None)

    def share_of(share: float) -> Mapping[str, Setpoint]:
        return {
            n: replace(s, p_kw=s.p_kw * share) if any(d.name == n for d in site.pvs) else s
            for n, s in wanted.items()
        }

    lo, hi = 0.0, 1.0
    for _ in range(12):
        middle = (lo + hi) / 2
        broken = _broken(site, network, share_of(middle), site.load_min_kw, CASE)
        lo, hi = (lo, middle) if broken else (middle, hi)
    return lo


def holding_violations(
    site: Site, network: Network, holding: Collection[str]
) -> tuple[Violation, ...]:
    """What may be broken by devices that keep their last command when GEEMS is silent.

    They are taken together at each corner of what they may be told, at the lowest and the highest
    load; the others have fallen back, under a clear sky and without sun. What is broken as far
    when the devices stay at their reversion values too is no fault of theirs, and left out.

    Args:
        site: what is installed.
        network: its feeder.
        holding: names of the devices that have no timer.

    Returns:
        The worst of each kind, worst first; empty where it is safe whatever they hold.
    """
    found: dict[RowKind, Violation] = {}
    held = [d for d in site.ders if d.name in holding]
    if not held:
        return ()
    for where, load_kw, others in _surroundings(site):
        anyway = {
            (v.kind, v.place): severity(v) for v in _broken(site, network, others, load_kw, where)
        }
        for corner, setpoints in _corners(held):
            case = f"held {corner}, {where}"
            for v in _broken(site, network, {**others, **setpoints}, load_kw, case):
                worse = severity(v) > anyway.get((v.kind, v.place), -WORSE) + WORSE
                if worse and (v.kind not in found or severity(v) > severity(found[v.kind])):
                    found[v.kind] = v
    return tuple(sorted(found.values(), key=severity, reverse=True))


def _surroundings(site: Site) -> Iterator[tuple[str, float, Mapping[str, Setpoint]]]:
    """Name, load [kW] and what the devices do that have a timer."""
    clear = reversion_set(site, None)
    plants = {pv.name for pv in site.pvs}
    dark = {n: replace(s, p_kw=0.0) if n in plants else s for n, s in clear.items()}
    for load, load_kw in (("lowest load", site.load_min_kw), ("highest load", site.load_max_kw)):
        for sky, others in (("clear sky", clear), ("no sun", dark)):
            yield f"{load}, {sky}", load_kw, others


def _corners(held: Collection[Der]) -> Iterator[tuple[str, Mapping[str, Setpoint]]]:
    """All at the same end of their P, and at the same end of the Q that goes with it."""
    for p_end, most in (("most P", True), ("least P", False)):
        for q_end, sign in (("most Q", 1.0), ("least Q", -1.0)):
            setpoints = {}
            for der in held:
                lowest_kw = -der.rated_kw if isinstance(der, Bes) else 0.0
                p_kw = der.rated_kw if most else lowest_kw
                q_kvar = sign * _q_kvar(der, p_kw)
                setpoints[der.name] = Setpoint(der=der.name, p_kw=p_kw, q_kvar=q_kvar)
            yield f"at {p_end}, {q_end}", setpoints


def _q_kvar(der: Der, p_kw: float) -> float:
    """Most reactive power it may be told beside some active power [kvar]."""
    if isinstance(der, Dg):
        return der.q_max_kvar if p_kw >= der.full_q_kw else 0.0
    if der.s_max_kva is None:
        return der.q_max_kvar
    return min(der.q_max_kvar, math.sqrt(max(der.s_max_kva**2 - p_kw**2, 0.0)))


def _broken(
    site: Site,
    network: Network,
    setpoints: Mapping[str, Setpoint],
    load_kw: float,
    case: str,
) -> tuple[Violation, ...]:
    flow: LoadFlow = network.load_flow(
        Injections(
            p_kw={n: s.p_kw for n, s in setpoints.items()},
            q_kvar={n: s.q_kvar for n, s in setpoints.items()},
            load_kw=load_kw,
        ),
        # Devices fall back minutes after GEEMS falls silent; regulators and capacitor controls,
        # which need no EMS, have acted long before.
        controls=network.regulated,
    )
    if not flow.converged:
        return (
            Violation(kind=RowKind.V_MAX, place="load flow (diverged)", value=float("inf"),
                      limit=site.limits.v_max_pu, case=case),
        )  # fmt: skip
    return violations(flow, site.limits, case)
