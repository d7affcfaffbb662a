"""Why the dispatch is what it is, in one sentence and a short ledger."""

from collections.abc import Sequence

from ems.domain import (
    Degraded,
    Dispatch,
    Infeasible,
    Ledger,
    LedgerEntry,
    RowKind,
    RowPrice,
    Secured,
    Setpoint,
    Site,
    Verified,
)

WORTH_USD_PER_H = 0.005
"""A limit that earns less than this for a hundredth of its unit is left unsaid [$/h]."""
MOVED_KW = 0.5
"""A setpoint that moved less is left unsaid [kW, kvar]."""


def explain(site: Site, free: Dispatch, secured: Secured) -> Ledger:
    """Compare the least-cost dispatch with the one that is safe."""
    held = secured.dispatch
    binding = [b for b in held.binding if b.price * 0.01 > WORTH_USD_PER_H]
    return Ledger(
        sentence=_sentence(site, free, secured, binding),
        compliance_usd_per_h=held.cost_usd_per_h - free.cost_usd_per_h,
        entries=tuple(
            entry
            for name in site.names
            if (entry := _entry(free.setpoints[name], held.setpoints[name], binding)) is not None
        ),
    )


def _entry(free: Setpoint, held: Setpoint, binding: Sequence[RowPrice]) -> LedgerEntry | None:
    moved_kw, moved_kvar = held.p_kw - free.p_kw, held.q_kvar - free.q_kvar
    if abs(moved_kw) < MOVED_KW and abs(moved_kvar) < MOVED_KW and held.cap_kw is None:
        return None
    bears = sorted(binding, key=lambda b: -b.price * abs(b.row.c_p.get(held.der, 0.0)))
    places = tuple(dict.fromkeys(_place(b) for b in bears))
    return LedgerEntry(der=held.der, moved_kw=moved_kw, moved_kvar=moved_kvar, limits=places)


def _sentence(site: Site, free: Dispatch, secured: Secured, binding: Sequence[RowPrice]) -> str:
    if isinstance(secured, Infeasible):
        return (
            f"No safe dispatch exists ({secured.reason}); every device is sent back to its "
            "reversion value."
        )
    said = _what_binds(site, free, secured, binding)
    if isinstance(secured, Degraded):
        return f"{said} Degraded: {secured.reason}."
    return f"{said} {'; '.join(secured.notes)}." if secured.notes else said


def _what_binds(
    site: Site, free: Dispatch, secured: Verified | Degraded, binding: Sequence[RowPrice]
) -> str:
    held = secured.dispatch
    cost = held.cost_usd_per_h - free.cost_usd_per_h
    limit = _limit(binding)
    curtailed = [
        _held_power(p.name, held.setpoints[p.name].p_kw, free.setpoints[p.name].p_kw)
        for p in site.pvs
        if free.setpoints[p.name].p_kw - held.setpoints[p.name].p_kw > MOVED_KW
    ]
    if curtailed:
        because = limit or "the last point that a load flow verifies"
        return f"{_and(curtailed)}: {because}. Compliance costs ${cost:.2f} this hour."
    if limit:
        moved = [
            f"{abs(s.q_kvar):.0f} kvar {'absorbed' if s.q_kvar < 0 else 'injected'} by {n}"
            for n, s in held.setpoints.items()
            if abs(s.q_kvar - free.setpoints[n].q_kvar) > MOVED_KW
        ]
        how = f", kept by {_and(moved)}" if moved else ""
        allowed = [
            f"{p.name} may rise to {_mw(cap)}"
            for p in site.pvs
            if (cap := held.setpoints[p.name].cap_kw) is not None
        ]
        room = f"; {_and(allowed)} if the sun comes out" if allowed else ", no energy is curtailed"
        return f"{limit[0].upper()}{limit[1:]}{how}{room}."
    node, v = secured.load_flow.highest()
    return (
        f"No limit binds, the least-cost dispatch stands: highest voltage {v:.4f} pu at "
        f"{node.partition('.')[0]}."
    )


def _limit(binding: Sequence[RowPrice]) -> str:
    """`B13 at its 1.10 pu limit`, of the dearest row; empty where none binds."""
    if not binding:
        return ""
    dearest = binding[0]
    unit = " %" if dearest.row.kind is RowKind.LOADING else " pu"
    return f"{_place(dearest)} at its {dearest.row.limit:.2f}{unit} limit"


def _place(bound: RowPrice) -> str:
    """Bus of a node; elements keep their name."""
    place = bound.row.place
    return place if bound.row.kind is RowKind.LOADING else place.partition(".")[0]


def _held_power(name: str, held_kw: float, free_kw: float) -> str:
    if free_kw < 1000.0:
        return f"{name} held at {held_kw:.0f} of {free_kw:.0f} kW"
    return f"{name} held at {held_kw / 1e3:.2f} of {free_kw / 1e3:.2f} MW"


def _mw(kw: float) -> str:
    return f"{kw:.0f} kW" if kw < 1000.0 else f"{kw / 1e3:.2f} MW"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
