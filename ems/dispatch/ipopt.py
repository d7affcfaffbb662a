"""Ipopt through cyipopt: constant gradient and Jacobian, and circles where inverters have them.

Wächter & Biegler, On the implementation of an interior-point filter line-search algorithm,
DOI 10.1007/s10107-004-0559-y.
"""

import time
from dataclasses import replace
from typing import Any

import cyipopt
import numpy as np

from ems.dispatch.presolve import Reduced, reduced, unkeepable
from ems.dispatch.program import (
    Floats,
    LinearProgram,
    Quadratic,
    Solution,
    kkt_residual,
)
from ems.dispatch.sifting import Sifting, is_wide
from ems.domain import SolverStatus

Option = str | int | float

OPTIONS: dict[str, Option] = {
    "print_level": 0,
    "sb": "yes",
    "linear_solver": "mumps",  # the only one in the wheel; asking for another ends the process
    "tol": 1e-10,
    "compl_inf_tol": 1e-9,
    "dual_inf_tol": 1e-8,
    "constr_viol_tol": 1e-9,
    "bound_relax_factor": 0.0,  # a relaxed bound would let a setpoint past its rating
    "honor_original_bounds": "yes",
    "max_iter": 300,
}

LINEAR: dict[str, Option] = {
    "jac_c_constant": "yes",
    "jac_d_constant": "yes",
    "hessian_constant": "yes",
}
"""Further options where there are no circles."""

FAST: dict[str, Option] = {
    "mehrotra_algorithm": "yes",
    "mumps_permuting_scaling": 0,
    "min_refinement_steps": 0,
    "max_refinement_steps": 1,
}
"""For linear programs: predictor and corrector, a third fewer factorisations, and less care in
each. Its answers are held against the optimality conditions like all others."""

RETRY: dict[str, Option] = {
    # A feasible set hardly thicker than round-off: relaxed by less than a milliwatt, and
    # clipped back afterwards.
    "bound_relax_factor": 1e-9,
    "mu_strategy": "adaptive",
}
"""Options of the last attempt, where those before gave no optimum."""

KKT = 1e-7
"""Residual up to which an attempt counts; the next one is tried above it."""

PASSES = 2
"""Narrow programs tried in place of a wide one."""

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

    def __init__(self, small: Reduced) -> None:
        a = small.program.a
        self.c = small.program.c
        self.a = a
        self.places = (a.row_of.astype(np.int64), a.indices.astype(np.int64))
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
        return self.places

    def hessianstructure(self) -> Any:
        return (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))

    def hessian(self, _x: Floats, _lam: Floats, _factor: float) -> Floats:
        return self.none


class _RoundCallbacks(_Callbacks):
    """Likewise where there are circles: their rows stand below the linear ones.

    Terms of variables that are fixed stay in them; only derivatives know what is free.
    """

    def __init__(self, small: Reduced, circles: Quadratic) -> None:
        super().__init__(small)
        self.small, self.circles = small, circles
        self.linear = self.a.shape[0]
        number = np.where(small.free, np.cumsum(small.free) - 1, -1)
        i, j = number[circles.i], number[circles.j]
        self.by_i, self.by_j = np.flatnonzero(i >= 0), np.flatnonzero(j >= 0)
        rows = self.linear + circles.row
        self.places = (
            np.concatenate([self.places[0], rows[self.by_i], rows[self.by_j]]),
            np.concatenate([self.places[1], i[self.by_i], j[self.by_j]]),
        )
        self.bent = np.flatnonzero((i >= 0) & (j >= 0))
        first, second = i[self.bent], j[self.bent]
        self.bend = circles.coef[self.bent] * np.where(first == second, 2.0, 1.0)
        self.bends = (np.maximum(first, second), np.minimum(first, second))

    def constraints(self, x: Floats) -> Floats:
        return np.concatenate([self.a @ x, self.circles.values(self.small.full(x))])

    def jacobian(self, x: Floats) -> Floats:
        q, all_x = self.circles, self.small.full(x)
        by_i = (q.coef * all_x[q.j])[self.by_i]
        by_j = (q.coef * all_x[q.i])[self.by_j]
        return np.concatenate([self.values, by_i, by_j])

    def hessianstructure(self) -> Any:
        return self.bends

    def hessian(self, _x: Floats, lam: Floats, _factor: float) -> Floats:
        return np.asarray(lam[self.linear + self.circles.row[self.bent]] * self.bend)


def solve(program: LinearProgram, *, wall_limit_s: float = 30.0) -> Solution:
    """Solve a program by Ipopt.

    Returns a `Solution` whatever the outcome; the status says which.
    """
    started = time.perf_counter()
    small = reduced(program)
    if unkeepable(program, small):
        found = small.unsolved(SolverStatus.INFEASIBLE)
    elif not np.any(small.free):
        found = small.unsolved(SolverStatus.OPTIMAL)
    else:
        found = _attempts(small, wall_limit_s)
    return replace(found, wall_s=time.perf_counter() - started)


def _attempts(small: Reduced, wall_limit_s: float) -> Solution:
    """One set of options after the other, until the optimality conditions are met."""
    started = time.perf_counter()
    if is_wide(small.program):
        sifted = _sifted(small, wall_limit_s)
        if sifted is not None:
            return sifted
    best, least = None, np.inf
    for options in ({}, RETRY) if small.program.circles is not None else (FAST, {}, RETRY):
        left_s = wall_limit_s - (time.perf_counter() - started)
        if best is not None and left_s <= 0.0:
            break
        x, info = _attempt(small, options, max(left_s, 0.05))
        found = _solution(small, x, info)
        usable = int(info["status"]) in USABLE
        residual = kkt_residual(small.original, found) if usable else np.inf
        if best is None or residual < least:
            best, least = found, residual
        if residual <= KKT:
            break
    if best is None:  # pragma: no cover - the loop runs at least once
        raise AssertionError
    return best


def _sifted(small: Reduced, wall_limit_s: float) -> Solution | None:
    """The optimum by way of narrow programs; None where these do not end in it soon."""
    started = time.perf_counter()
    sifting = Sifting(small.program)
    for _ in range(PASSES):
        left_s = wall_limit_s - (time.perf_counter() - started)
        narrow = replace(small, program=sifting.narrow())
        x, info = _attempt(narrow, FAST, max(left_s, 0.05))
        if int(info["status"]) not in USABLE:
            break
        row_dual = -np.asarray(info["mult_g"])
        bound_dual = np.asarray(info["mult_x_L"]) - np.asarray(info["mult_x_U"])
        point, cost = sifting.whole(x, row_dual, bound_dual)
        found = small.restored(
            Solution(
                x=point, row_dual=row_dual, bound_dual=cost, wall_s=0.0,
                status=STATUS[int(info["status"])],
            )
        )  # fmt: skip
        if kkt_residual(small.original, found) <= KKT:
            return found
        sifting.widened(cost)
    return None


def _attempt(small: Reduced, extra: dict[str, Option], wall_limit_s: float) -> tuple[Floats, Any]:
    inner, circles = small.program, small.program.circles
    lo, hi = inner.row_lo, inner.row_hi
    if circles is None:
        callbacks, options = _Callbacks(small), OPTIONS | LINEAR | extra
    else:
        callbacks, options = _RoundCallbacks(small, circles), OPTIONS | extra
        lo = np.concatenate([lo, np.full(len(circles.hi), -np.inf)])
        hi = np.concatenate([hi, circles.hi])
    problem = cyipopt.Problem(
        n=len(inner.c), m=len(lo), problem_obj=callbacks,
        lb=inner.x_lo, ub=inner.x_hi, cl=lo, cu=hi,
    )  # fmt: skip
    for key, value in options.items():
        problem.add_option(key, value)
    problem.add_option("max_wall_time", float(wall_limit_s))
    low, high = np.maximum(inner.x_lo, -1e4), np.minimum(inner.x_hi, 1e4)
    x, info = problem.solve(np.clip((low + high) / 2, inner.x_lo, inner.x_hi))
    problem.close()
    return x, info


def _solution(small: Reduced, x: Floats, info: Any) -> Solution:
    rows = small.program.a.shape[0]
    dual = -np.asarray(info["mult_g"])
    return small.restored(
        Solution(
            x=x,
            row_dual=dual[:rows],
            bound_dual=np.asarray(info["mult_x_L"]) - np.asarray(info["mult_x_U"]),
            status=STATUS.get(int(info["status"]), SolverStatus.FAILED),
            wall_s=0.0,
            circle_dual=None if small.program.circles is None else dual[rows:],
        )
    )
