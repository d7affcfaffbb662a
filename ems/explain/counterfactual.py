"""What another limit or another device would have saved, by solving again.

In the cycle the rows that bind are solved again, shifted: one linear solve. The limit is moved
for the whole site, as a grid code would, so that the next node's limit moves with it. On request
the whole decision is made again with load flows (`proved`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ems.domain import (
    Counterfactual,
    Degraded,
    Der,
    Dispatch,
    LimitPrice,
    NetworkRow,
    RowKind,
    Secured,
    Site,
    Verified,
)
from ems.errors import SolverFault

STEP_PU = 0.01
STEP_PCT = 1.0
Q_SHARE = 0.44
"""Reactive power an inverter of category B gives, as a share of its rating: IEEE 1547-2018,
table 7."""
LEAST_KVAR = 0.1
"""Reactive power not worth asking for [kvar]."""

Resolve = Callable[[Site, Sequence[NetworkRow]], Dispatch]
"""The dispatch of the same interval, for a site and rows of eq. (10)."""
Secure = Callable[[Site], Secured]
"""The whole decision of the same interval for another site."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """A site that could be, the rows that would bind it, and what the prices promise."""

    what: str
    site: Site
    rows: tuple[NetworkRow, ...]
    relimited: bool
    """Whether only limits differ, so that the dispatch model is the present site's."""
    price_usd_per_h_per_unit: float
    step: float
    unit: str


def alternatives(
    site: Site, secured: Secured, limits: Sequence[LimitPrice]
) -> tuple[Alternative, ...]:
    """The dearest limit moved a step; then reactive power of the DER that has most use for it.

    Args:
        site: what is installed.
        secured: the dispatch sent, with the prices of its rows.
        limits: what binds, dearest first (`Ledger.limits`).
    """
    kept = [limit for limit in limits if limit.kind in _UNITS]
    if not kept:
        return ()
    found = [_limit_moved(site, secured.dispatch, kept[0])]
    with_q = _reactive_allowed(site, secured.dispatch)
    return (*found, with_q) if with_q else tuple(found)


BRIEFLY = "until regulators act"
"""Said of the limits that are asked until then."""
_UNITS = {RowKind.V_MAX: "pu", RowKind.V_MIN: "pu", RowKind.LOADING: "%"}


def _limit_moved(site: Site, held: Dispatch, dearest: LimitPrice) -> Alternative:
    kind, limits, limit = dearest.kind, site.limits, dearest.limit
    step = STEP_PCT if kind is RowKind.LOADING else STEP_PU
    match kind:
        case RowKind.V_MAX if limit == limits.v_max_pu:
            moved = replace(limits, v_max_pu=limit + step)
            what = f"voltage allowed up to {limit + step:.2f} instead of {limit:.2f} pu"
        case RowKind.V_MAX:
            moved = replace(limits, momentary_v_max_pu=limit + step)
            what = f"voltage allowed up to {limit + step:.2f} instead of {limit:.2f} pu {BRIEFLY}"
        case RowKind.V_MIN if limit == limits.v_min_pu:
            moved = replace(limits, v_min_pu=limit - step)
            what = f"voltage allowed down to {limit - step:.2f} instead of {limit:.2f} pu"
        case RowKind.V_MIN:
            moved = replace(limits, momentary_v_min_pu=limit - step)
            what = f"voltage allowed down to {limit - step:.2f} instead of {limit:.2f} pu {BRIEFLY}"
        case _:
            moved = replace(limits, loading_max_pct=limit + step)
            what = f"loading allowed up to {limit + step:g} instead of {limit:g} %"
    return Alternative(
        what=what,
        site=replace(site, limits=moved),
        rows=tuple(
            replace(row, bound=row.bound + step) if (row.kind, row.limit) == (kind, limit) else row
            for row in _of_the_network(held)
        ),
        relimited=True,
        price_usd_per_h_per_unit=sum(
            b.price for b in held.binding if (b.row.kind, b.row.limit) == (kind, limit)
        ),
        step=step,
        unit=_UNITS[kind],
    )


def _reactive_allowed(site: Site, held: Dispatch) -> Alternative | None:
    """The DER that would earn most with the reactive power of a category B inverter."""

    def gain(der: Der) -> tuple[float, float]:
        per_kvarh = abs(sum(b.price * b.row.c_q.get(der.name, 0.0) for b in held.binding))
        earned = max(per_kvarh - site.q_cost_usd_per_kvarh, 0.0)
        return earned * (Q_SHARE * der.rated_kw - der.q_max_kvar), earned

    der = max(site.ders, key=gain, default=None)
    if der is None or gain(der)[0] <= 0.0:
        return None
    q_max = Q_SHARE * der.rated_kw
    step = q_max - der.q_max_kvar
    if step < LEAST_KVAR:
        return None
    ders = tuple(replace(d, q_max_kvar=q_max) if d.name == der.name else d for d in site.ders)
    instead = f"instead of {der.q_max_kvar:.0f}" if der.q_max_kvar else "instead of none"
    return Alternative(
        what=f"{q_max:.0f} kvar of {der.name} {instead}",
        site=replace(site, ders=ders),
        rows=_of_the_network(held),
        relimited=False,
        price_usd_per_h_per_unit=gain(der)[1],
        step=step,
        unit="kvar",
    )


def counterfactuals(
    site: Site, secured: Secured, asked: Sequence[Alternative], resolve: Resolve
) -> tuple[Counterfactual, ...]:
    """Solve alternatives with the rows that bind now: one linear solve each.

    The present dispatch is solved again with them where it is no longer the optimum of its rows.
    An alternative that has no solution is left out.
    """
    if not asked:
        return ()
    held = secured.dispatch
    try:
        if not _at_its_rows(held):
            held = resolve(site, _of_the_network(held))
        solved = [(a, resolve(site if a.relimited else a.site, a.rows)) for a in asked]
    except SolverFault:
        return ()
    return tuple(_told(a, held, other, verified=False) for a, other in solved)


def proved(
    secured: Secured, asked: Sequence[Alternative], secure: Secure
) -> tuple[Counterfactual, ...]:
    """Decide alternatives anew with load flows; those that nothing verifies are left out."""
    return tuple(
        _told(a, secured.dispatch, other.dispatch, verified=True)
        for a in asked
        if isinstance(other := secure(a.site), Verified | Degraded)
    )


def _told(a: Alternative, held: Dispatch, other: Dispatch, *, verified: bool) -> Counterfactual:
    return Counterfactual(
        what=a.what,
        saves_usd_per_h=held.objective_usd_per_h - other.objective_usd_per_h,
        price_usd_per_h_per_unit=a.price_usd_per_h_per_unit,
        step=a.step,
        unit=a.unit,
        verified=verified,
    )


def _of_the_network(held: Dispatch) -> tuple[NetworkRow, ...]:
    """The rows of the feeder that bind; those of the grid connection come with the site."""
    return tuple(b.row for b in held.binding if b.row.kind in _UNITS)


def _at_its_rows(held: Dispatch) -> bool:
    """Whether every row that binds is used up, as it is at an optimum of the rows."""
    for bound in held.binding:
        if bound.row.kind not in _UNITS:
            continue
        row, used = bound.row, 0.0
        for name, at in held.setpoints.items():
            p_kw = at.p_kw if at.cap_kw is None else at.cap_kw
            used += row.c_p.get(name, 0.0) * p_kw + row.c_q.get(name, 0.0) * at.q_kvar
        if abs(row.bound + bound.slack - used) > STEP_PU * 1e-3:
            return False
    return True
