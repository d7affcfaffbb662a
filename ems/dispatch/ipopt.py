"""Ipopt through cyipopt on a linear program: constant gradient, constant Jacobian, no Hessian.

Wächter & Biegler, On the implementation of an interior-point filter line-search algorithm,
DOI 10.1007/s10107-004-0559-y.
"""

import time
from typing import Any

import cyipopt
import numpy as np
import scipy.sparse as sp

from ems.dispatch.program import Floats, LinearProgram, Solution
from ems.domain import SolverStatus

OPTIONS: dict[str, str | int | float] = {
    "print_level": 0,
    "sb": "yes",
    "linear_solver": "mumps",  # the only one in the wheel; asking for another ends the process
    "tol": 1e-10,
    "compl_inf_tol": 1e-9,
    "dual_inf_tol": 1e-8,
    "constr_viol_tol": 1e-9,
    "bound_relax_factor": 0.0,  # a relaxed bound would let a setpoint past its rating
    "honor_original_bounds": "yes",
    "jac_c_constant": "yes",
    "jac_d_constant": "yes",
    "hessian_constant": "yes",
    "max_iter": 300,
}

STATUS = {
    0: SolverStatus.OPTIMAL,
    1: SolverStatus.ACCEPTABLE,
    2: SolverStatus.INFEASIBLE,
    -1: SolverStatus.ITERATION_LIMIT,
    -4: SolverStatus.TIME_LIMIT,
    -5: SolverStatus.TIME_LIMIT,
}
"""Ipopt's return codes; every other one is a failure."""


USABLE = {0, 1}
"""Return codes that come with an optimum."""


class _Callbacks:
    """What Ipopt asks of a linear program."""

    def __init__(self, program: LinearProgram) -> None:
        self.c = program.c
        a = sp.coo_array(program.a)
        self.a = program.a
        self.structure = (a.row.astype(np.int64), a.col.astype(np.int64))
        self.values = a.data
        self.none = np.empty(0)

    def objective(self, x: Floats) -> float:
        return float(self.c @ x)

    def gradient(self, _x: Floats) -> Floats:
        return self.c

    def constraints(self, x: Floats) -> Floats:
        return np.asarray(self.a @ x)

    def jacobian(self, _x: Floats) -> Floats:
        return self.values

    def jacobianstructure(self) -> Any:
        return self.structure

    def hessianstructure(self) -> Any:
        return (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))

    def hessian(self, _x: Floats, _lam: Floats, _factor: float) -> Floats:
        return self.none


RETRY: dict[str, str | int | float] = {
    # A feasible set hardly thicker than round-off: relaxed by less than a milliwatt, and
    # clipped back afterwards.
    "bound_relax_factor": 1e-9,
    "mu_strategy": "adaptive",
}
"""Options of the second attempt, where the first gave no optimum."""


def solve(program: LinearProgram, *, wall_limit_s: float = 30.0) -> Solution:
    """Solve a linear program by Ipopt.

    Variables whose bounds meet are taken out first: an interior point needs an interior.
    Returns a `Solution` whatever the outcome; the status says which.
    """
    started = time.perf_counter()
    free = program.x_hi - program.x_lo > 0.0
    inner, kept = _without_fixed(program, free)
    if not np.any(free):
        return _nothing_to_solve(program, time.perf_counter() - started)
    x, info = _attempt(inner, {}, wall_limit_s)
    if int(info["status"]) not in USABLE:
        left_s = wall_limit_s - (time.perf_counter() - started)
        x, info = _attempt(inner, RETRY, max(left_s, 0.1))
    spent_s = time.perf_counter() - started
    return _solution(program, inner, free, kept, x, info, wall_s=spent_s)


def _attempt(
    inner: LinearProgram, extra: dict[str, str | int | float], wall_limit_s: float
) -> tuple[Floats, Any]:
    problem = cyipopt.Problem(
        n=len(inner.c),
        m=inner.a.shape[0],
        problem_obj=_Callbacks(inner),
        lb=inner.x_lo,
        ub=inner.x_hi,
        cl=inner.row_lo,
        cu=inner.row_hi,
    )
    for key, value in (OPTIONS | extra).items():
        problem.add_option(key, value)
    problem.add_option("max_wall_time", float(wall_limit_s))
    lo, hi = np.maximum(inner.x_lo, -1e4), np.minimum(inner.x_hi, 1e4)
    x, info = problem.solve(np.clip((lo + hi) / 2, inner.x_lo, inner.x_hi))
    problem.close()
    return x, info


def _without_fixed(program: LinearProgram, free: Any) -> tuple[LinearProgram, Any]:
    """The same program in its free variables, and which rows are left.

    Fixed variables move to the right-hand sides; a row without a free variable is no equation
    any more, and would leave Ipopt with more of them than variables.
    """
    shift = program.a[:, ~free] @ program.x_lo[~free]
    columns = sp.csr_array(program.a[:, free])
    columns.eliminate_zeros()
    kept = np.diff(columns.indptr) > 0
    inner = LinearProgram(
        c=program.c[free],
        a=sp.csr_array(columns[kept]),
        row_lo=(program.row_lo - shift)[kept],
        row_hi=(program.row_hi - shift)[kept],
        x_lo=program.x_lo[free],
        x_hi=program.x_hi[free],
    )
    return inner, kept


def _nothing_to_solve(program: LinearProgram, wall_s: float) -> Solution:
    """Every variable is fixed."""
    return Solution(
        x=program.x_lo.copy(),
        row_dual=np.zeros(len(program.row_lo)),
        bound_dual=program.c.copy(),
        status=SolverStatus.OPTIMAL,
        wall_s=wall_s,
    )


def _solution(
    program: LinearProgram,
    inner: LinearProgram,
    free: Any,
    kept: Any,
    x: Floats,
    info: Any,
    *,
    wall_s: float,
) -> Solution:
    row_dual = np.zeros(len(program.row_lo))
    row_dual[kept] = -np.asarray(info["mult_g"])
    full = program.x_lo.copy()
    full[free] = np.clip(x, inner.x_lo, inner.x_hi)
    bound_dual = program.c - program.a.T @ row_dual  # what a fixed variable is worth
    bound_dual[free] = np.asarray(info["mult_x_L"]) - np.asarray(info["mult_x_U"])
    return Solution(
        x=full,
        row_dual=row_dual,
        bound_dual=bound_dual,
        status=STATUS.get(int(info["status"]), SolverStatus.FAILED),
        wall_s=wall_s,
    )
