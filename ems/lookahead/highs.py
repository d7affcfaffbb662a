"""HiGHS on linear programs of a horizon, and on the same with some columns whole.

Huangfu & Hall, Parallelizing the dual revised simplex method, DOI 10.1007/s12532-017-0130-5.
Its QP is not used.
"""

import time
from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
import scipy.sparse as sp

from ems.domain import SolverStatus
from ems.errors import SolverFault
from ems.lookahead.program import Floats, Ints, Point, Program

OPTIONS: dict[str, Any] = {
    "output_flag": False,
    "threads": 1,  # the service has other things to do, and threads make the vertex a chance
    "primal_feasibility_tolerance": 1e-9,  # a row broken costs a thousand times the energy price
    "dual_feasibility_tolerance": 1e-9,
    "mip_feasibility_tolerance": 1e-9,
    "mip_rel_gap": 1e-8,
    "mip_abs_gap": 1e-7,
    # A plan is known before: heuristics took a third of the time and found nothing better.
    "mip_heuristic_effort": 0.0,
    "mip_allow_restart": False,  # presolving again took twice as long as it saved
}

SMALL = 1000
"""Columns up to which presolving takes longer than branching: 50 ms before 10 ms of it, where one
battery decides a day."""

STATUS = {
    highspy.HighsModelStatus.kOptimal: SolverStatus.OPTIMAL,
    highspy.HighsModelStatus.kInfeasible: SolverStatus.INFEASIBLE,
    highspy.HighsModelStatus.kTimeLimit: SolverStatus.TIME_LIMIT,
    highspy.HighsModelStatus.kIterationLimit: SolverStatus.ITERATION_LIMIT,
}
"""HiGHS's model status; every other one is a failure."""


class Deadline:
    """A wall-clock limit that several solves share."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._started = time.perf_counter()

    @property
    def spent_s(self) -> float:
        """Wall time since it was set [s]."""
        return time.perf_counter() - self._started

    @property
    def left_s(self) -> float:
        """What is left, never below zero [s]."""
        return max(0.0, self.limit_s - self.spent_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class WholePoint:
    """The best point with its whole columns, and what no such point can cost less than."""

    x: Floats | None
    """None: none was found in time."""
    bound: float
    status: SolverStatus


class LinearSolver:
    """One linear program, solved again under other bounds from where it stood."""

    def __init__(self, program: Program, basis: highspy.HighsBasis | None = None) -> None:
        self.program = program
        self._start = basis
        self._loaded: highspy.Highs | None = None

    @property
    def _highs(self) -> highspy.Highs:
        """Loaded when first asked: where nothing is solved again, nothing is loaded again."""
        if self._loaded is None:
            self._loaded = _loaded(self.program)
            if self._start is not None:
                self._loaded.setBasis(_extended(self._start, self.program))
        return self._loaded

    def solve(self, deadline: Deadline, x_lo: Floats, x_hi: Floats) -> Point | None:
        """The optimum under these bounds, or None where there is none.

        Raises:
            SolverFault: the deadline passed, or HiGHS failed.
        """
        everywhere = np.arange(len(x_lo), dtype=np.int32)
        self._highs.changeColsBounds(len(x_lo), everywhere, x_lo, x_hi)
        status = _run(self._highs, deadline)
        if status is SolverStatus.INFEASIBLE:
            return None
        if status is not SolverStatus.OPTIMAL:
            raise SolverFault(
                f"look-ahead: HiGHS ended with {status.value} after {deadline.spent_s:.1f} s; "
                "dispatch the single interval"
            )
        found = self._highs.getSolution()
        return Point(
            x=np.clip(np.array(found.col_value), x_lo, x_hi),
            row_dual=np.array(found.row_dual),
            bound_dual=np.array(found.col_dual),
        )

    @property
    def basis(self) -> highspy.HighsBasis:
        """Basis of the last optimum."""
        return self._highs.getBasis()


def solve_whole(
    program: Program, whole: Ints, deadline: Deadline, start: Floats | None = None
) -> WholePoint:
    """Branch and bound with columns `whole` integer, from a feasible point where one is known."""
    highs = _loaded(program)
    if len(program.c) <= SMALL:
        highs.setOptionValue("presolve", "off")
    kinds = np.full(len(whole), int(highspy.HighsVarType.kInteger), dtype=np.uint8)
    highs.changeColsIntegrality(len(whole), whole, kinds)
    if start is not None:
        first = highspy.HighsSolution()
        first.col_value = list(start)
        highs.setSolution(first)
    status = _run(highs, deadline)
    info = highs.getInfo()
    found = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    return WholePoint(
        x=np.array(highs.getSolution().col_value) if found else None,
        bound=float(info.mip_dual_bound),
        status=status,
    )


def _loaded(program: Program) -> highspy.Highs:
    highs: highspy.Highs = highspy.Highs()  # type: ignore[no-untyped-call]  # its __init__ is not typed
    for key, value in OPTIONS.items():
        highs.setOptionValue(key, value)
    a = sp.csr_array(program.a)
    lp = highspy.HighsLp()
    lp.num_row_, lp.num_col_ = a.shape
    lp.col_cost_ = program.c
    lp.col_lower_, lp.col_upper_ = program.x_lo, program.x_hi
    lp.row_lower_, lp.row_upper_ = program.row_lo, program.row_hi
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = a.indptr.astype(np.int32)
    lp.a_matrix_.index_ = a.indices.astype(np.int32)
    lp.a_matrix_.value_ = a.data
    highs.passModel(lp)
    return highs


def _run(highs: highspy.Highs, deadline: Deadline) -> SolverStatus:
    # Its limit counts all runs of an object.
    highs.setOptionValue("time_limit", highs.getRunTime() + max(deadline.left_s, 1e-3))
    highs.run()
    return STATUS.get(highs.getModelStatus(), SolverStatus.FAILED)


def _extended(basis: highspy.HighsBasis, program: Program) -> highspy.HighsBasis:
    """The basis of a program's first columns and rows: what was appended rests at its bound."""
    lower, basic = highspy.HighsBasisStatus.kLower, highspy.HighsBasisStatus.kBasic
    rows, columns = list(basis.row_status), list(basis.col_status)
    wide = highspy.HighsBasis()
    wide.col_status = columns + [lower] * (len(program.c) - len(columns))
    wide.row_status = rows + [basic] * (program.a.shape[0] - len(rows))
    wide.valid = True
    return wide
