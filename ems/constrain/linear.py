"""Eq. (10): the feeder linearised at the cases, and its rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ems.constrain.cases import Case, injections, moves
from ems.domain import (
    Dispatch,
    Forecast,
    Limits,
    LoadFlow,
    NetworkRow,
    RowKind,
    Sensitivity,
    Setpoint,
    Unmoved,
)
from ems.ports import Network

ROWS_PER_ROUND = 8
"""Rows added at once: a dense row costs the solver more than a product costs us."""

Floats = NDArray[np.float64]
RowKey = tuple[str, RowKind, int]
"""Case, limit, and index of the node or element."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linearised:
    """One case, linear around the point it was solved at."""

    case: Case
    flow: LoadFlow
    slope: Sensitivity
    p0: Floats
    """Active power of each DER at the point, shape (der,) [kW]."""
    q0: Floats
    """Reactive power at the point, shape (der,) [kvar]."""
    p_moves: NDArray[np.bool_]
    """Whether the DER's setpoint moves its active power in this case, shape (der,)."""
    q_moves: NDArray[np.bool_]
    """Likewise its reactive power."""


def linearise(
    cases: Sequence[Case],
    setpoints: Mapping[str, Setpoint],
    forecast: Forecast,
    network: Network,
    head_v_pu: float | None,
    pins: Mapping[str, Unmoved],
) -> tuple[Linearised, ...]:
    """Solve and differentiate the feeder at every case that carries rows."""
    # What is expected lies between the highest and the lowest case, where there are these.
    between = any(case.name == "high" for case in cases)
    return tuple(
        _linearise(case, setpoints, forecast, network, head_v_pu, pins)
        for case in cases
        if not (between and case.name == "expected")
    )


def _linearise(
    case: Case,
    setpoints: Mapping[str, Setpoint],
    forecast: Forecast,
    network: Network,
    head_v_pu: float | None,
    pins: Mapping[str, Unmoved],
) -> Linearised:
    at = injections(case, setpoints, forecast, head_v_pu, pins)
    slope = network.sensitivities(at)
    moving = np.array([moves(case, n, forecast, pins) for n in slope.ders], dtype=bool)
    moving = moving.reshape(-1, 2)
    return Linearised(
        case=case,
        flow=network.load_flow(at),
        slope=slope,
        p0=np.array([at.p_kw[n] for n in slope.ders]),
        q0=np.array([at.q_kvar[n] for n in slope.ders]),
        p_moves=moving[:, 0],
        q_moves=moving[:, 1],
    )


def excess(
    lin: Linearised,
    decided: Dispatch,
    forecast: Forecast,
    limits: Limits,
    margin_pu: float,
    pins: Mapping[str, Unmoved],
) -> dict[RowKey, float]:
    """Predicted excess over every limit less its margin, as a fraction of the limit.

    One product per case predicts ALL nodes and elements; only positive entries return.
    """
    at = injections(lin.case, decided.setpoints, forecast, None, pins)
    dp = np.array([at.p_kw[n] for n in lin.slope.ders]) - lin.p0
    dq = np.array([at.q_kvar[n] for n in lin.slope.ders]) - lin.q0
    v = lin.flow.v_pu + lin.slope.dv_dp @ dp + lin.slope.dv_dq @ dq
    live = lin.flow.v_pu > 0.0
    over = {
        RowKind.V_MAX: (v - (limits.v_max_pu - margin_pu)) / limits.v_max_pu,
        RowKind.V_MIN: np.where(live, (limits.v_min_pu + margin_pu - v) / limits.v_min_pu, -1.0),
    }
    if limits.loading_max_pct is not None:
        loading = lin.flow.loading_pct + lin.slope.dl_dp @ dp + lin.slope.dl_dq @ dq
        over[RowKind.LOADING] = loading / limits.loading_max_pct - 1.0 + margin_pu
    return {
        (lin.case.name, kind, int(i)): float(values[i])
        for kind, values in over.items()
        for i in np.flatnonzero(values > 0.0)
    }


def worst_keys(found: Mapping[RowKey, float], known: Iterable[RowKey]) -> list[RowKey]:
    """The keys that break most and have no row yet."""
    held = set(known)
    fresh = [key for key in found if key not in held]
    return sorted(fresh, key=lambda key: -found[key])[:ROWS_PER_ROUND]


def row(
    lin: Linearised,
    kind: RowKind,
    index: int,
    limits: Limits,
    margin_pu: float,
    *,
    reactive: bool = True,
) -> NetworkRow:
    """The row that keeps one node or element within its limit."""
    slope, flow = lin.slope, lin.flow
    if kind is RowKind.LOADING:
        limit = limits.loading_max_pct or 100.0
        value, c_p, c_q = flow.loading_pct[index], slope.dl_dp[index], slope.dl_dq[index]
        sign, margin, place = 1.0, margin_pu * limit, flow.elements[index]
    else:
        limit = limits.v_max_pu if kind is RowKind.V_MAX else limits.v_min_pu
        value, c_p, c_q = flow.v_pu[index], slope.dv_dp[index], slope.dv_dq[index]
        sign, margin = 1.0 if kind is RowKind.V_MAX else -1.0, margin_pu
        place = flow.nodes[index]
    c_p = np.where(lin.p_moves, sign * c_p, 0.0)
    c_q = np.where(lin.q_moves & reactive, sign * c_q, 0.0)
    bound = sign * (limit - value) - margin + c_p @ lin.p0 + c_q @ lin.q0
    return NetworkRow(
        kind=kind,
        place=place,
        limit=limit,
        c_p=dict(zip(slope.ders, map(float, c_p), strict=True)),
        c_q=dict(zip(slope.ders, map(float, c_q), strict=True)),
        bound=float(bound),
    )
