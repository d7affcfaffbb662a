"""Eq. (10) in the intervals ahead: load flows of a plan, and rows where they break a limit.

What is planned is never sent, so it is proved less strictly than what is: at what is expected,
not over the band, and with regulators and capacitors allowed to act, each interval from where
the one before left them. Taps frozen at the evening's would curtail the next noon for nothing.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ems.domain import (
    Injections,
    Limits,
    Linearisation,
    LoadFlow,
    Plan,
    Regulation,
    RowBlock,
    RowKind,
    Site,
)
from ems.ports import Network

MARGIN_PU = 5e-4
"""Margin of a row in an interval ahead [pu]: wide, because nothing of it is sent."""
NEAR_PU = 1e-2
"""Distance to its limit within which a place gets a row beside those that break [pu]."""
MOST_ROWS = 12
"""Rows of one interval, at most; what still breaks then gets them when it is planned again."""
BROKEN_PU = 1e-5
"""Excess below which an interval ahead counts as kept [pu]."""

Floats = NDArray[np.float64]


def rows_ahead(
    site: Site,
    plan: Plan,
    network: Network,
    *,
    load_kvar_per_kw: float | None = None,
    head_v_pu: float | None = None,
    regulation: Regulation | None = None,
    again: Collection[int] = (),
    late: Callable[[], bool] = lambda: False,
) -> Mapping[int, RowBlock]:
    """Rows for every interval after the first in which the plan breaks a limit.

    Args:
        site: limits and DERs.
        plan: the powers of each interval.
        network: the feeder model.
        load_kvar_per_kw: reactive consumption; None: the feeder's own power factors.
        head_v_pu: voltage at the head, as it is now [pu].
        regulation: where taps and capacitors stand now.
        again: intervals that get rows even where nothing breaks: those in which rows made far
            from the plan now hold it back by more than they should.
        late: asked before each load flow; once it says yes, the rest is left unproved.

    Returns:
        By index of the interval: rows of the places that break, worst first, and of those near
        their limits. Intervals whose load flow does not converge have none: no row could tell
        the way back.
    """
    found: dict[int, RowBlock] = {}
    for t in range(1, len(plan.starts)):
        if late():
            break
        at = _injections(plan, t, load_kvar_per_kw, head_v_pu, regulation)
        flow = network.load_flow(at, controls=network.regulated)
        if not flow.converged:
            continue
        if network.regulated:
            regulation = flow.regulation
        worst = max((over for _, _, over in _excess(flow, site.limits)), default=0.0)
        if worst <= BROKEN_PU and t not in again:
            continue
        standing = _injections(plan, t, load_kvar_per_kw, head_v_pu, regulation)
        found[t] = _rows(site, standing, network)
    return found


def _injections(
    plan: Plan,
    t: int,
    load_kvar_per_kw: float | None,
    head_v_pu: float | None,
    regulation: Regulation | None,
) -> Injections:
    load_kw = plan.load_kw[t]
    return Injections(
        p_kw={name: series[t] for name, series in plan.p_kw.items()},
        q_kvar={name: series[t] for name, series in plan.q_kvar.items()},
        load_kw=load_kw,
        load_kvar=None if load_kvar_per_kw is None else load_kvar_per_kw * load_kw,
        head_v_pu=head_v_pu,
        regulation=regulation,
    )


def _rows(site: Site, at: Injections, network: Network) -> RowBlock:
    """Rows of one interval, linear around what is planned in it; every DER moves them."""
    feeder = network.linearise(at)
    near = sorted(_excess(feeder.flow, site.limits), key=lambda place: -place[2])
    parts = [
        _block(feeder, site.limits, kind, [i for k, i, _ in near[:MOST_ROWS] if k is kind], at)
        for kind in (RowKind.V_MAX, RowKind.V_MIN, RowKind.LOADING)
    ]
    return RowBlock(
        ders=feeder.ders,
        c_p=np.concatenate([b.c_p for b in parts]),
        c_q=np.concatenate([b.c_q for b in parts]),
        bound=np.concatenate([b.bound for b in parts]),
        kind=sum((b.kind for b in parts), ()),
        place=sum((b.place for b in parts), ()),
        limit=np.concatenate([b.limit for b in parts]),
    )


def _block(
    feeder: Linearisation, limits: Limits, kind: RowKind, places: Sequence[int], at: Injections
) -> RowBlock:
    """Rows of one kind; a lower limit is written with its signs turned."""
    flow, loading, limit = feeder.flow, kind is RowKind.LOADING, _limit(limits, kind)
    values, names = (flow.loading_pct, flow.elements) if loading else (flow.v_pu, flow.nodes)
    still = np.zeros(len(feeder.ders))
    if not places:
        c_p = c_q = np.zeros((0, len(feeder.ders)))
    elif loading:
        _, c_p, c_q = feeder.loading_cuts(places, still, still)
    else:
        c_p, c_q = feeder.voltage_rows(places)
    sign = -1.0 if kind is RowKind.V_MIN else 1.0
    p0 = np.array([at.p_kw[name] for name in feeder.ders])
    q0 = np.array([at.q_kvar[name] for name in feeder.ders])
    room = sign * (limit - values[list(places)]) - MARGIN_PU * (limit if loading else 1.0)
    return RowBlock(
        ders=feeder.ders,
        c_p=sign * c_p,
        c_q=sign * c_q,
        bound=room + sign * (c_p @ p0 + c_q @ q0),
        kind=(kind,) * len(places),
        place=tuple(names[i] for i in places),
        limit=np.full(len(places), limit),
    )


def _limit(limits: Limits, kind: RowKind) -> float:
    match kind:
        case RowKind.V_MAX:
            return limits.v_max_pu
        case RowKind.V_MIN:
            return limits.v_min_pu
        case _:
            return limits.loading_max_pct or 100.0


def _excess(flow: LoadFlow, limits: Limits) -> Iterator[tuple[RowKind, int, float]]:
    """Places beyond their limit or near it, and by how much, as a fraction of the limit."""
    live = flow.v_pu > 0.0
    over: dict[RowKind, Floats] = {
        RowKind.V_MAX: flow.v_pu / limits.v_max_pu - 1.0,
        RowKind.V_MIN: np.where(live, 1.0 - flow.v_pu / limits.v_min_pu, -1.0),
    }
    if limits.loading_max_pct is not None:
        over[RowKind.LOADING] = flow.loading_pct / limits.loading_max_pct - 1.0
    for kind, values in over.items():
        for i in np.flatnonzero(values > -NEAR_PU).tolist():
            yield kind, i, float(values[i])
