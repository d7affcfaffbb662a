"""Eq. (10) beside eq. (1)–(9): elastic network rows and pinned DERs, on the matrices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ems.dispatch.columns import Columns
from ems.dispatch.grid import dearest
from ems.dispatch.program import Floats, LinearProgram, Sparse
from ems.domain import NetworkRow, RowBlock, Setpoint, Site

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
    rows: RowBlock


def with_rows(
    program: LinearProgram,
    columns: Columns,
    site: Site,
    rows: Sequence[NetworkRow] | RowBlock,
    price_usd_per_kwh: float,
) -> tuple[LinearProgram, Elastic]:
    """Append  Σ c_p·P + Σ c_q·Q − slack ≤ bound  for each row.

    The matrices are laid by hand: what `scipy.sparse` takes to stack them is longer than what
    the solver takes.
    """
    block = rows if isinstance(rows, RowBlock) else RowBlock.of(rows, site.names)
    n, k = len(program.c), len(block)
    if not k:
        none = Elastic(first_row=program.a.shape[0], first_slack=n, scale=np.empty(0), rows=block)
        return program, none
    laid = columns.laid(block.ders)
    beside = block.c_p[:, laid.two] * laid.sign
    dense = np.concatenate([block.c_p, beside, block.c_q, -block.c_q], axis=1)
    scale = np.abs(dense).max(axis=1, initial=0.0)
    scale[scale == 0.0] = 1.0
    penalty = PENALTY_FACTOR * dearest(site, price_usd_per_kwh)
    width = dense.shape[1]
    values = np.empty((k, width + 1))
    values[:, :width], values[:, width] = dense / scale[:, None], -1.0
    place = np.empty((k, width + 1), dtype=np.intp)
    place[:, :width], place[:, width] = laid.columns, np.arange(n, n + k)
    filled = values != 0.0
    top = program.a
    starts = top.indptr[-1] + np.cumsum(filled.sum(axis=1))
    a = Sparse(
        np.concatenate([top.data, values[filled]]),
        np.concatenate([top.indices, place[filled]]),
        np.concatenate([top.indptr, starts]),
        (top.shape[0] + k, n + k),
    )
    return (
        LinearProgram(
            c=np.concatenate([program.c, np.full(k, penalty)]),
            a=a,
            row_lo=np.concatenate([program.row_lo, np.full(k, -np.inf)]),
            row_hi=np.concatenate([program.row_hi, block.bound / scale]),
            x_lo=np.concatenate([program.x_lo, np.zeros(k)]),
            x_hi=np.concatenate([program.x_hi, np.full(k, np.inf)]),
            circles=program.circles,
        ),
        Elastic(first_row=top.shape[0], first_slack=n, scale=scale, rows=block),
    )


def pinned(program: LinearProgram, columns: Columns, pins: Mapping[str, Setpoint]) -> LinearProgram:
    """Hold DERs that do not follow at what they do now."""
    if not pins:
        return program
    x_lo, x_hi = program.x_lo.copy(), program.x_hi.copy()

    def hold(column: int, value: float) -> None:
        x_lo[column] = x_hi[column] = value

    for name, at in pins.items():
        hold(columns["q_inj", name], max(at.q_kvar, 0.0))
        hold(columns["q_abs", name], max(-at.q_kvar, 0.0))
        if ("p_pv", name) in columns:
            made, room = columns["p_pv", name], columns["room", name]
            upper = x_hi[made] + x_hi[room]
            cap = upper if at.cap_kw is None else min(at.cap_kw, upper)
            hold(made, min(cap, x_hi[made]))
            hold(room, cap - x_lo[made])
        elif ("p_dis", name) in columns:
            hold(columns["p_dis", name], max(at.p_kw, 0.0))
            hold(columns["p_ch", name], max(-at.p_kw, 0.0))
        else:
            hold(columns["p_dg", name], at.p_kw)
    circles = program.circles
    if circles is not None:  # what is measured may lie a little outside of one
        held = np.flatnonzero([name in pins for name in columns.circles])
        circles = circles.without(held)
    return replace(program, x_lo=x_lo, x_hi=x_hi, circles=circles)
