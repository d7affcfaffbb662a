"""HiGHS on a linear program: dual simplex, so that a point and its multipliers are exact.

Huangfu & Hall, Parallelizing the dual revised simplex method, DOI 10.1007/s12532-017-0130-5.
"""

import time
from dataclasses import replace

import highspy
import numpy as np

from ems.dispatch.presolve import reduced, unkeepable
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
        ValueError: the program has circles; HiGHS is not asked for quadratic ones.
    """
    if program.circles is not None:
        raise ValueError("HiGHS solves linear programs here; a site with s_max_kva needs Ipopt")
    started = time.perf_counter()
    small = reduced(program)
    inner = small.program
    rows, columns = inner.a.shape
    highs = highspy.Highs()  # type: ignore[no-untyped-call]  # without annotations upstream
    for key, value in OPTIONS.items():
        highs.setOptionValue(key, value)
    highs.setOptionValue("time_limit", float(wall_limit_s))
    # cast: the constructor of a sum may have widened them
    starts, indices = inner.a.indptr.astype(np.int32), inner.a.indices.astype(np.int32)
    highs.passModel(
        columns, rows, len(indices), ROW_WISE, MINIMISE, 0.0, inner.c, inner.x_lo, inner.x_hi,
        inner.row_lo, inner.row_hi, starts, indices, inner.a.data,
        np.zeros(columns, dtype=np.int32),
    )  # fmt: skip
    highs.run()
    found = highs.getSolution()
    status = STATUS.get(highs.getModelStatus(), SolverStatus.FAILED)
    if columns == 0:  # HiGHS calls an empty program neither
        status = SolverStatus.OPTIMAL
    if unkeepable(program, small):
        status = SolverStatus.INFEASIBLE
    has_point = status is SolverStatus.OPTIMAL and columns > 0
    x = (
        np.array(found.col_value)
        if has_point
        else np.clip(np.zeros(columns), inner.x_lo, inner.x_hi)
    )
    inside = Solution(
        x=x,
        row_dual=np.array(found.row_dual) if has_point else np.zeros(rows),
        bound_dual=np.array(found.col_dual) if has_point else np.zeros(columns),
        status=status,
        wall_s=0.0,
        solver="highs",
    )
    return replace(small.restored(inside), wall_s=time.perf_counter() - started)
