"""A linear program in matrices, its solution, and the proof that it is one."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ems.domain import SolverStatus

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearProgram:
    """min cᵀx  subject to  row_lo ≤ A·x ≤ row_hi,  x_lo ≤ x ≤ x_hi."""

    c: Floats
    """Shape (variable,) [$/h per unit]."""
    a: sp.csr_array
    """Shape (row, variable)."""
    row_lo: Floats
    row_hi: Floats
    x_lo: Floats
    x_hi: Floats


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


def kkt_residual(program: LinearProgram, solution: Solution) -> float:
    """Largest residual of the optimality conditions.

    Stationarity `c − Aᵀλ − z` and the sign of the multipliers are scaled by max(1, ‖λ‖∞);
    primal feasibility and complementarity by max(1, ‖bounds‖∞) and max(1, |cᵀx|). Boyd &
    Vandenberghe, Convex Optimization, section 5.5.3.
    """
    x, lam, z = solution.x, solution.row_dual, solution.bound_dual
    scale = max(1.0, _largest(lam))
    stationarity = _largest(program.c - program.a.T @ lam - z) / scale
    rows = program.a @ x
    primal = max(
        _largest(np.maximum(program.row_lo - rows, 0.0)),
        _largest(np.maximum(rows - program.row_hi, 0.0)),
        _largest(np.maximum(program.x_lo - x, 0.0)),
        _largest(np.maximum(x - program.x_hi, 0.0)),
    ) / max(1.0, _largest(rows), _largest(x))
    gaps = max(
        _gap(lam, rows, program.row_lo, program.row_hi),
        _gap(z, x, program.x_lo, program.x_hi),
    ) / max(1.0, abs(float(program.c @ x)))
    return max(stationarity, primal, gaps)


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
