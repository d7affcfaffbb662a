"""One plain sentence, for one DER or a thousand: never a list of more than three."""

from collections.abc import Sequence

from ems.domain import (
    Bill,
    Degraded,
    Dispatch,
    Infeasible,
    LimitPrice,
    Pv,
    RowKind,
    Secured,
    Setpoint,
    Site,
    Verified,
)
from ems.explain.account import Account
from ems.explain.cases import should
from ems.explain.figures import MOST_NAMED, joined, power, share
from ems.explain.unmoved import Still

WORTH_USD_PER_H = 0.005
"""A limit that earns less than this for a hundredth of a pu, or for a per cent, is left unsaid
[$/h]."""
MOVED_SHARE = 1e-3
"""A setpoint that moved by less of its rating is left unsaid [1]."""
AT_THE_GRID = frozenset({RowKind.IMPORT, RowKind.EXPORT, RowKind.GENERATION, RowKind.POWER_FACTOR})


def sentence(
    site: Site, free: Dispatch, secured: Secured, account: Account, still: Still | None = None
) -> str:
    """Why this dispatch and no cheaper one."""
    if still is not None and (nobody := still.nobody(site)):
        return nobody
    if isinstance(secured, Infeasible):
        answers = " that answers" if still is not None and still.silent else ""
        return (
            f"No safe dispatch exists ({secured.reason}); every device{answers} is sent back to "
            "its reversion value."
        )
    said = _what_binds(site, free, secured, account, still)
    if isinstance(secured, Degraded):
        return f"{said} Degraded: {secured.reason}."
    return f"{said} {'; '.join(secured.notes)}." if secured.notes else said


def _what_binds(
    site: Site, free: Dispatch, secured: Verified | Degraded, account: Account, still: Still | None
) -> str:
    """What moved the dispatch, after who was not moved, if anybody was not."""
    held = secured.dispatch
    aside = still.words(site, held) if still is not None else ""
    first = f"{aside}; " if aside else ""
    limits = [limit for limit in account.limits if limit.price * _step(limit) > WORTH_USD_PER_H]
    when = should(limits[0].case, site, held, still) if limits else ""
    curtailed = [
        (pv, free.setpoints[pv.name].p_kw, held.setpoints[pv.name].p_kw)
        for pv in site.pvs
        if free.setpoints[pv.name].p_kw - held.setpoints[pv.name].p_kw
        > MOVED_SHARE * pv.rated_kw
    ]  # fmt: skip
    if curtailed:
        because = _limits(limits, when) or "the last point that a load flow verifies"
        cost = _cost(Bill.of(site, held), Bill.of(site, free))
        return f"{first}{_curtailed(curtailed, len(site.pvs))}: {because}. {cost}"
    at_cap = [s for pv in site.pvs if _makes_its_cap(s := held.setpoints[pv.name])]
    if limits and at_cap and limits[0].kind in AT_THE_GRID:
        # The free dispatch keeps the connection's limits too: what is lost shows nowhere else.
        who = joined([f"{s.der} held at {power(s.p_kw)}" for s in at_cap[:MOST_NAMED]])
        if len(at_cap) > MOST_NAMED:
            together = power(sum(s.p_kw for s in at_cap))
            who = f"{len(at_cap)} PV plants held at {together} together"
        return f"{first}{who}: {_limits(limits, when)}."
    if limits:
        because = _limits(limits, when)
        how = _moved(site, free, held)
        kept = f", kept by {how}" if how else ""
        return f"{_after(first, because)}{kept}{_room(site, held)}."
    node, v = secured.load_flow.highest()
    stands = "no limit binds, the least-cost dispatch stands"
    return f"{_after(first, stands)}: highest voltage {v:.4f} pu at {node.partition('.')[0]}."


def _after(first: str, said: str) -> str:
    """A sentence of its own where nothing is said first."""
    return f"{first}{said}" if first else f"{said[0].upper()}{said[1:]}"


def _makes_its_cap(at: Setpoint) -> bool:
    return at.cap_kw is not None and at.p_kw >= at.cap_kw


# --- who ------------------------------------------------------------------------------


def _curtailed(plants: Sequence[tuple[Pv, float, float]], installed: int) -> str:
    """`pv held at 7.65 of 10.00 MW`; many plants together, with the one that gives most."""
    if len(plants) <= MOST_NAMED:
        return joined([f"{pv.name} held at {share(held, free)}" for pv, free, held in plants])
    total_free, total_held = sum(f for _, f, _ in plants), sum(h for _, _, h in plants)
    most, free, held = max(plants, key=lambda plant: plant[1] - plant[2])
    count = f"{len(plants)}" if len(plants) == installed else f"{len(plants)} of {installed}"
    return (
        f"{count} PV plants held at {share(total_held, total_free)} "
        f"(the most: {most.name}, {share(held, free)})"
    )


def _moved(site: Site, free: Dispatch, held: Dispatch) -> str:
    """What the other devices did, each one or summed up."""
    sums: dict[str, list[tuple[str, float]]] = {}
    for der in site.ders:
        before, after = free.setpoints[der.name], held.setpoints[der.name]
        for did, size in _deeds(isinstance(der, Pv), before, after):
            if size > MOVED_SHARE * der.rated_kw:
                sums.setdefault(did, []).append((der.name, size))
    if sum(len(found) for found in sums.values()) <= MOST_NAMED:
        each = [f"{s:.0f} {did} by {name}" for did, found in sums.items() for name, s in found]
    else:
        each = [
            f"{sum(s for _, s in found):.0f} {did} by "
            f"{found[0][0] if len(found) == 1 else f'{len(found)} devices'}"
            for did, found in sorted(sums.items(), key=lambda kind: -len(kind[1]))
        ][:MOST_NAMED]
    return joined(each) if each else ""


def _deeds(is_pv: bool, before: Setpoint, after: Setpoint) -> list[tuple[str, float]]:
    """What changed of one device, in words, and by how much [kW or kvar]."""
    dp, dq = after.p_kw - before.p_kw, after.q_kvar - before.q_kvar
    reactive = ("kvar absorbed" if after.q_kvar < 0.0 else "kvar injected", abs(dq))
    if is_pv:
        return [reactive]
    return [reactive, ("kW more" if dp > 0.0 else "kW less", abs(dp))]


def _room(site: Site, held: Dispatch) -> str:
    """Caps that stand although nothing is curtailed."""
    caps = [
        (pv.name, cap) for pv in site.pvs if (cap := held.setpoints[pv.name].cap_kw) is not None
    ]
    if not caps:
        return ", no energy is curtailed"
    if len(caps) > MOST_NAMED:
        total = sum(cap for _, cap in caps)
        return f"; {len(caps)} PV plants may rise to {power(total)} together if the sun comes out"
    allowed = joined([f"{name} may rise to {power(cap)}" for name, cap in caps])
    return f"; {allowed} if the sun comes out"


# --- why ------------------------------------------------------------------------------


def _limits(limits: Sequence[LimitPrice], when: str) -> str:
    """`B13 at its 1.10 pu limit should the load fall`; of several the dearest; empty for none."""
    if not limits:
        return ""
    count = f"{len(limits)} limits bind, the dearest " if len(limits) > 1 else ""
    return f"{count}{limit_words(limits[0])}{when}"


def limit_words(limit: LimitPrice) -> str:
    """`B13 phase 1 at its 1.10 pu limit`."""
    at = f"{limit.limit:.2f}" if round(limit.limit, 2) == limit.limit else f"{limit.limit:g}"
    match limit.kind:
        case RowKind.V_MAX:
            return f"{limit.place} at its {at} pu limit"
        case RowKind.V_MIN:
            return f"{limit.place} at its lower limit of {at} pu"
        case RowKind.LOADING:
            return f"{limit.place} at {limit.limit:g} % of its rating"
        case RowKind.IMPORT | RowKind.EXPORT:
            return f"{limit.place} at its limit of {power(limit.limit)}"
        case RowKind.GENERATION:
            return f"all DERs together at their limit of {power(limit.limit)}"
        case RowKind.POWER_FACTOR:
            return f"{limit.place} at its limit of {limit.limit:g}"


def _step(limit: LimitPrice) -> float:
    return 0.01 if limit.kind in (RowKind.V_MAX, RowKind.V_MIN) else 1.0


# --- figures --------------------------------------------------------------------------


def _cost(held: Bill, free: Bill) -> str:
    """What compliance costs by the hour, and what it adds to the month's demand charge, once."""
    usd_per_h = held.energy_usd_per_h - free.energy_usd_per_h
    demand_usd = held.demand_usd - free.demand_usd
    once = ""
    if demand_usd >= WORTH_USD_PER_H:
        once = f" A new peak adds ${_usd(demand_usd)} to the month's demand charge."
    if abs(usd_per_h) < WORTH_USD_PER_H:
        return once.lstrip() or "Compliance costs nothing worth saying this hour."
    if usd_per_h < 0.0:
        by = "by the new peak" if once else "by what is stored"
        return f"Energy and fuel cost ${_usd(-usd_per_h)} less this hour, paid {by}.{once}"
    return f"Compliance costs ${_usd(usd_per_h)} this hour.{once}"


def _usd(size: float) -> str:
    """Whole dollars where there are many: a forecast knows no cents."""
    return f"{size:.2f}" if size < 100.0 else f"{size:.0f}"
