"""Eq. (10) beside eq. (1)–(9): elastic network rows and pinned DERs, on the matrices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from ems.dispatch.model import Column
from ems.dispatch.program import Floats, LinearProgram
from ems.domain import NetworkRow, Setpoint, Site

PENALTY_FACTOR = 1e3
"""Price of breaking a row, over the largest energy price, in the row's own kW. An elastic row
is exact once its penalty exceeds its multiplier, and no multiplier reaches the price of
energy times the ratio of two sensitivities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Elastic:
    """Where the rows and their slacks stand in the assembled program."""

    first_row: int
    first_slack: int
    scale: Floats
    """Shape (row,): largest coefficient of each row; rows are divided by it so that they
    read in kW."""


def with_rows(
    program: LinearProgram,
    columns: Mapping[Column, int],
    site: Site,
    rows: Sequence[NetworkRow],
    price_usd_per_kwh: float,
) -> tuple[LinearProgram, Elastic]:
    """Append  Σ c_p·P + Σ c_q·Q − slack ≤ bound  for each row."""
    n, k = len(program.c), len(rows)
    dense = np.zeros((k, n))
    for r, row in enumerate(rows):
        for der, c in row.c_p.items():
            for column, sign in _power(site, der):
                dense[r, columns[column]] += sign * c
        for der, c in row.c_q.items():
            dense[r, columns["q_inj", der]] += c
            dense[r, columns["q_abs", der]] -= c
    scale = np.max(np.abs(dense), axis=1, initial=0.0)
    scale[scale == 0.0] = 1.0
    dearest = max([1.0, abs(price_usd_per_kwh), *(d.cost_usd_per_kwh for d in site.dgs)])
    bounds = np.array([row.bound for row in rows], dtype=float)
    body = sp.csr_array(dense / scale[:, None])
    slack = sp.csr_array(-np.eye(k))
    top = sp.hstack([program.a, sp.csr_array((program.a.shape[0], k))])
    return (
        LinearProgram(
            c=np.concatenate([program.c, np.full(k, PENALTY_FACTOR * dearest)]),
            a=sp.csr_array(sp.vstack([top, sp.hstack([body, slack])])),
            row_lo=np.concatenate([program.row_lo, np.full(k, -np.inf)]),
            row_hi=np.concatenate([program.row_hi, bounds / scale]),
            x_lo=np.concatenate([program.x_lo, np.zeros(k)]),
            x_hi=np.concatenate([program.x_hi, np.full(k, np.inf)]),
        ),
        Elastic(first_row=program.a.shape[0], first_slack=n, scale=scale),
    )


def _power(site: Site, der: str) -> tuple[tuple[Column, float], ...]:
    """Columns that make up a DER's active power towards the network."""
    if any(d.name == der for d in site.pvs):
        return ((("cap", der), 1.0),)
    if any(d.name == der for d in site.bess):
        return ((("p_dis", der), 1.0), (("p_ch", der), -1.0))
    return ((("p_dg", der), 1.0),)


def pinned(
    program: LinearProgram,
    columns: Mapping[Column, int],
    site: Site,
    pins: Mapping[str, Setpoint],
) -> LinearProgram:
    """Hold DERs that do not follow at what they do now."""
    x_lo, x_hi = program.x_lo.copy(), program.x_hi.copy()

    def hold(column: Column, value: float) -> None:
        i = columns[column]
        x_lo[i] = x_hi[i] = value

    for name, at in pins.items():
        hold(("q_inj", name), max(at.q_kvar, 0.0))
        hold(("q_abs", name), max(-at.q_kvar, 0.0))
        if any(d.name == name for d in site.pvs):
            cap = columns["cap", name]
            hold(("cap", name), x_hi[cap] if at.cap_kw is None else min(at.cap_kw, x_hi[cap]))
        elif any(d.name == name for d in site.bess):
            hold(("p_dis", name), max(at.p_kw, 0.0))
            hold(("p_ch", name), max(-at.p_kw, 0.0))
        else:
            hold(("p_dg", name), at.p_kw)
    return replace(program, x_lo=x_lo, x_hi=x_hi)
