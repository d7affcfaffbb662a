"""Who solves a program, where, and what a failure means.

Programs go to HiGHS, those with circles by their tangents, and what it does not solve to Ipopt
(`auto`), unless the site names one. Ipopt keeps Python's lock while it factorises, so what is large
for it goes to a process of its own (`worker`); HiGHS lets other threads run. What no solver could
satisfy is confirmed by a linear program that breaks rows at a price, and so names those that
conflict.
"""

import time
from dataclasses import replace
from typing import Literal

import numpy as np
import scipy.sparse as sp

from ems.dispatch import highs, ipopt, tangents
from ems.dispatch.columns import Column, Columns
from ems.dispatch.program import LinearProgram, Solution, Sparse, kkt_residual
from ems.dispatch.worker import shared_worker
from ems.domain import SolverStatus

Name = Literal["auto", "ipopt", "highs"]

USABLE = {SolverStatus.OPTIMAL, SolverStatus.ACCEPTABLE}
LARGE_NONZEROS = 50_000
"""Matrix entries from which Ipopt works in a process of its own: a factorisation of as many
takes some 20 ms, in which no other thread of this one would run."""
KKT = 1e-6
"""Residual above which an answer is none."""
LEAST_S = 0.05
"""Wall time that a second attempt gets in any case [s]."""
CONFLICT = 1e-6
"""Least by which a row must be broken to be named, relative to its largest entry."""

SAID = {
    "balance": "the power balance",
    "soc_max": "highest state of charge of {}",
    "soc_min": "lowest state of charge of {}",
    "q_runs": "reactive power of {} at its power",
    "p_pv": "power of {}", "room": "cap of {}", "p_dg": "power of {}", "p_dis": "discharge of {}",
    "p_ch": "charge of {}", "q_inj": "reactive power of {}", "q_abs": "reactive power of {}",
}  # fmt: skip
"""Constraints and variables of the model, as an engineer calls them."""


def solve(program: LinearProgram, name: Name = "auto", wall_limit_s: float = 20.0) -> Solution:
    """Solve by whom the site names; circles that HiGHS does not get close to by Ipopt.

    `INFEASIBLE` is only said where a linear program confirms it. Where Ipopt finds no point and
    there is one, a linear program gets it from HiGHS; a quadratic one is `FAILED`.
    """
    if name == "ipopt":
        return _confirmed(program, _by_ipopt(program, wall_limit_s), wall_limit_s)
    circles = program.circles
    if circles is None:
        solution = highs.solve(program, wall_limit_s=wall_limit_s)
    else:
        solution = tangents.solve(program, circles, wall_limit_s=wall_limit_s)
    final = {SolverStatus.TIME_LIMIT, SolverStatus.INFEASIBLE}
    if solution.status in final or (name == "highs" and circles is None):
        return solution
    if solution.status in USABLE:
        solution = replace(solution, residual=kkt_residual(program, solution))
        if solution.residual is not None and solution.residual <= KKT:
            return solution
    left_s = max(wall_limit_s - solution.wall_s, LEAST_S)
    other = _by_ipopt(program, left_s)
    if circles is not None:
        other = _confirmed(program, other, left_s)
    return replace(other, wall_s=solution.wall_s + other.wall_s)


def _confirmed(program: LinearProgram, solution: Solution, wall_limit_s: float) -> Solution:
    """What Ipopt says, or, where it finds no point, what a linear program says of that."""
    if solution.status in USABLE or solution.status is SolverStatus.TIME_LIMIT:
        return solution
    if _broken(program):
        return replace(solution, status=SolverStatus.INFEASIBLE)
    if program.circles is not None:
        return replace(solution, status=SolverStatus.FAILED)
    other = highs.solve(program, wall_limit_s=max(wall_limit_s - solution.wall_s, LEAST_S))
    return replace(other, wall_s=solution.wall_s + other.wall_s)


def _by_ipopt(program: LinearProgram, wall_limit_s: float) -> Solution:
    if program.a.nnz < LARGE_NONZEROS:
        return ipopt.solve(program, wall_limit_s=wall_limit_s)
    started = time.perf_counter()
    answer = shared_worker().solve(program, wall_limit_s)
    if isinstance(answer, Solution):
        return answer
    return _none(program, answer, time.perf_counter() - started)


def _none(program: LinearProgram, status: SolverStatus, wall_s: float) -> Solution:
    circles = program.circles
    return Solution(
        x=np.clip(np.zeros(len(program.c)), program.x_lo, program.x_hi),
        row_dual=np.zeros(len(program.row_lo)),
        bound_dual=np.zeros(len(program.c)),
        status=status,
        wall_s=wall_s,
        circle_dual=None if circles is None else np.zeros(len(circles.hi)),
    )


def conflicts(program: LinearProgram, columns: Columns) -> tuple[str, ...]:
    """What cannot be kept together, largest first, each with by how much; empty: nothing."""
    crossed = np.flatnonzero(program.x_lo > program.x_hi + CONFLICT)
    if len(crossed):
        variables = list(columns)
        over = program.x_lo[crossed] - program.x_hi[crossed]
        return tuple(
            f"{_said(variables[i])} (by {by:.4g})" for i, by in zip(crossed, over, strict=True)
        )
    rows = {i: row for row, i in columns.rows.items()}
    return tuple(
        f"{_said(rows.get(i, ('row', str(i))))} (by {by:.4g})" for i, by in _broken(program)
    )


def _broken(program: LinearProgram) -> list[tuple[int, float]]:
    """Rows that cannot be kept, and by how much, worst for its size first; none: all can.

    Every row may be broken here at a price of 1 for its own size, and the cheapest way to do so
    names the rows. Circles are left out: with P and Q at 0 they can be kept.
    """
    if np.any(program.x_lo > program.x_hi + CONFLICT):
        return [(-1, 0.0)]
    m, n = program.a.shape
    size = np.ones(m)
    np.maximum.at(size, program.a.row_of, np.abs(program.a.data))
    elastic = replace(
        program,
        c=np.concatenate([np.zeros(n), np.ones(2 * m)]),
        a=Sparse.of(sp.hstack([program.a.csr, sp.diags_array(size), sp.diags_array(-size)])),
        x_lo=np.concatenate([program.x_lo, np.zeros(2 * m)]),
        x_hi=np.concatenate([program.x_hi, np.full(2 * m, np.inf)]),
        circles=None,
    )
    found = highs.solve(elastic)
    if found.status is not SolverStatus.OPTIMAL:
        return []
    over = found.x[n : n + m] + found.x[n + m :]
    order = np.argsort(-over, kind="stable")
    return [(int(i), float(over[i] * size[i])) for i in order if over[i] > CONFLICT]


def _said(named: Column) -> str:
    what, der = named
    return SAID.get(what, what.replace("_", " ") + (" of {}" if der else "")).format(der)
