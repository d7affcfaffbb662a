"""An optimisation in matrices, its solution, and the proof that it is one."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ems.domain import SolverStatus

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quadratic:
    """Convex quadratic rows  Σ coef·x_i·x_j ≤ hi, as triplets; here the circles P² + Q² ≤ S²."""

    row: Ints
    """Row of each term, shape (term,)."""
    i: Ints
    """First variable of each term; never below `j`."""
    j: Ints
    coef: Floats
    hi: Floats
    """Shape (row,)."""

    def values(self, x: Floats) -> Floats:
        """Left-hand sides, shape (row,)."""
        terms = self.coef * x[self.i] * x[self.j]
        return np.bincount(self.row, weights=terms, minlength=len(self.hi)).astype(float)

    def without(self, rows: Ints) -> "Quadratic | None":
        """The same but for some rows; None where none is left."""
        left = np.setdiff1d(np.arange(len(self.hi)), rows)
        if not len(left):
            return None
        terms = np.isin(self.row, left)
        return Quadratic(
            row=np.searchsorted(left, self.row[terms]), i=self.i[terms], j=self.j[terms],
            coef=self.coef[terms], hi=self.hi[left],
        )  # fmt: skip

    def gradient(self, x: Floats, dual: Floats) -> Floats:
        """Σ dual·∇row, shape (variable,)."""
        weight = self.coef * dual[self.row]
        n = len(x)
        by_i = np.bincount(self.i, weights=weight * x[self.j], minlength=n)
        by_j = np.bincount(self.j, weights=weight * x[self.i], minlength=n)
        return (by_i + by_j).astype(float)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearProgram:
    """min cᵀx  subject to  row_lo ≤ A·x ≤ row_hi,  x_lo ≤ x ≤ x_hi, and circles, if any."""

    c: Floats
    """Shape (variable,) [$/h per unit]."""
    a: sp.csr_array
    """Shape (row, variable)."""
    row_lo: Floats
    row_hi: Floats
    x_lo: Floats
    x_hi: Floats
    circles: Quadratic | None = None
    """Quadratic rows; None: the program is linear."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """A point, its multipliers, and how the solver left it."""

    x: Floats
    """Shape (variable,)."""
    row_dual: Floats
    """∂objective/∂(row), shape (row,); positive where the lower side binds."""
    bound_dual: Floats
    """Reduced cost, shape (variable,); positive where the lower bound binds."""
    status: SolverStatus
    wall_s: float
    solver: str = "ipopt"
    circle_dual: Floats | None = None
    """∂objective/∂(quadratic row), ≤ 0, shape (quadratic row,); None where there are none."""


def kkt_residual(program: LinearProgram, solution: Solution) -> float:
    """Largest residual of the optimality conditions.

    Stationarity `c − Aᵀλ − z` and the sign of the multipliers are scaled by max(1, ‖λ‖∞);
    primal feasibility and complementarity by max(1, ‖bounds‖∞) and max(1, |cᵀx|). Boyd &
    Vandenberghe, Convex Optimization, section 5.5.3.
    """
    x, lam, z = solution.x, solution.row_dual, solution.bound_dual
    scale = max(1.0, _largest(lam))
    slope = program.c - program.a.T @ lam - z
    rows = program.a @ x
    size, cost = max(1.0, _largest(rows), _largest(x)), max(1.0, abs(float(program.c @ x)))
    round_over, round_gap = 0.0, 0.0
    circles, mu = program.circles, solution.circle_dual
    if circles is not None and mu is not None:
        slope -= circles.gradient(x, mu)
        over = circles.values(x) - circles.hi
        round_over = _largest(np.maximum(over, 0.0))
        round_gap = max(_largest(mu * over), _largest(np.maximum(mu, 0.0)))
    primal = max(
        _largest(np.maximum(program.row_lo - rows, 0.0)),
        _largest(np.maximum(rows - program.row_hi, 0.0)),
        _largest(np.maximum(program.x_lo - x, 0.0)),
        _largest(np.maximum(x - program.x_hi, 0.0)),
        round_over,
    )
    gaps = max(
        _gap(lam, rows, program.row_lo, program.row_hi),
        _gap(z, x, program.x_lo, program.x_hi),
        round_gap,
    )
    return max(_largest(slope) / scale, primal / size, gaps / cost)


def _gap(dual: Floats, value: Floats, lo: Floats, hi: Floats) -> float:
    """Largest product of a multiplier and the distance to the side it speaks of.

    A positive multiplier speaks of the lower side, a negative one of the upper. Where that
    side is infinite the multiplier itself is the residual.
    """
    side = np.where(dual > 0, value - lo, hi - value)
    gap = np.abs(dual) * np.abs(np.where(np.isfinite(side), side, 1.0))
    return _largest(gap)


def _largest(values: Floats) -> float:
    return float(np.max(np.abs(values), initial=0.0))
