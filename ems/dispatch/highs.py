"""HiGHS on a linear program: dual simplex, so that a point and its multipliers are exact.

Huangfu & Hall, Parallelizing the dual revised simplex method, DOI 10.1007/s12532-017-0130-5.
"""

import threading
import time
from dataclasses import replace

import highspy
import numpy as np

from ems.dispatch.presolve import Reduced, reduced, unkeepable
from ems.dispatch.program import LinearProgram, Solution
from ems.domain import SolverStatus

OPTIONS: dict[str, str | int | float | bool] = {
    "output_flag": False,
    "threads": 1,
    "solver": "simplex",
    "presolve": "off",  # takes longer than it saves: what can go is gone (`presolve`)
    # A broken row costs a thousand times the energy price, so 1e-7 of one shows in the cost.
    "primal_feasibility_tolerance": 1e-10,
    "dual_feasibility_tolerance": 1e-10,
}

STATUS = {
    highspy.HighsModelStatus.kOptimal: SolverStatus.OPTIMAL,
    highspy.HighsModelStatus.kInfeasible: SolverStatus.INFEASIBLE,
    highspy.HighsModelStatus.kUnbounded: SolverStatus.UNBOUNDED,
    highspy.HighsModelStatus.kTimeLimit: SolverStatus.TIME_LIMIT,
    highspy.HighsModelStatus.kIterationLimit: SolverStatus.ITERATION_LIMIT,
}
"""What HiGHS says; everything else is a failure."""

ROW_WISE = 2
MINIMISE = 1


def solve(program: LinearProgram, *, wall_limit_s: float = 30.0) -> Solution:
    """Solve a linear program by HiGHS.

    Returns a `Solution` whatever the outcome; the status says which.

    Raises:
        ValueError: the program has circles; those are for `tangents`.
    """
    if program.circles is not None:
        raise ValueError("HiGHS solves linear programs here; a site with s_max_kva needs tangents")
    started = time.perf_counter()
    small = reduced(program)
    if unkeepable(program, small):
        found = small.unsolved(SolverStatus.INFEASIBLE)
    elif not small.free.any():
        found = small.unsolved(SolverStatus.OPTIMAL)
    else:
        found = _solved(small, wall_limit_s)
    return replace(found, solver="highs", wall_s=time.perf_counter() - started)


def _solved(small: Reduced, wall_limit_s: float) -> Solution:
    highs = loaded(small.program, wall_limit_s)
    highs.run()
    status = STATUS.get(highs.getModelStatus(), SolverStatus.FAILED)
    if status is not SolverStatus.OPTIMAL:
        return small.unsolved(status)
    found = highs.getSolution()
    return small.restored(
        Solution(
            x=np.array(found.col_value), row_dual=np.array(found.row_dual),
            bound_dual=np.array(found.col_dual), status=status, wall_s=0.0, solver="highs",
        )
    )  # fmt: skip


def loaded(program: LinearProgram, wall_limit_s: float) -> highspy.Highs:
    """HiGHS with a program in it; circles apart. It is this thread's, and the next call's too."""
    rows, columns = program.a.shape
    highs = _of_this_thread()
    # its clock runs on from one program to the next
    highs.setOptionValue("time_limit", highs.getRunTime() + float(wall_limit_s))
    starts, indices = program.a.indptr.astype(np.int32), program.a.indices.astype(np.int32)
    highs.passModel(
        columns, rows, len(indices), ROW_WISE, MINIMISE, 0.0, program.c, program.x_lo, program.x_hi,
        program.row_lo, program.row_hi, starts, indices, program.a.data,
        np.zeros(columns, dtype=np.int32),
    )  # fmt: skip
    return highs


_kept = threading.local()


def _of_this_thread() -> highspy.Highs:
    """HiGHS with the options set: making one takes as long as solving a small program.

    A program that is passed replaces the last one and all that was known of its solution.
    """
    highs: highspy.Highs | None = getattr(_kept, "highs", None)
    if highs is None:
        highs = highspy.Highs()  # type: ignore[no-untyped-call]  # without annotations upstream
        for key, value in OPTIONS.items():
            highs.setOptionValue(key, value)
        _kept.highs = highs
    return highs
