"""A linear program in matrices, its solution, and how far that is from one."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """min cᵀx  subject to  row_lo ≤ A·x ≤ row_hi,  x_lo ≤ x ≤ x_hi."""

    c: Floats
    """Shape (variable,) [$ per unit]."""
    a: sp.csr_array
    """Shape (row, variable)."""
    row_lo: Floats
    row_hi: Floats
    x_lo: Floats
    x_hi: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A vertex and its multipliers."""

    x: Floats
    """Shape (variable,)."""
    row_dual: Floats
    """∂objective/∂(row side), shape (row,); positive where the lower side binds."""
    bound_dual: Floats
    """Reduced cost, shape (variable,); positive where the lower bound binds."""


def kkt_residual(program: Program, point: Point) -> float:
    """Largest residual of the optimality conditions, scaled to 1.

    Stationarity by max(1, ‖λ‖∞), primal feasibility by max(1, ‖x‖∞), the gap between primal and
    dual objective by max(1, |cᵀx|). Boyd & Vandenberghe, Convex Optimization, section 5.5.3.
    """
    x, lam = point.x, point.row_dual
    # What no bound can carry has to vanish: the sides a multiplier speaks of must be finite.
    z = program.c - program.a.T @ lam
    worth = [_support(lam, program.row_lo, program.row_hi), _support(z, program.x_lo, program.x_hi)]
    lost = max(w[1] for w in worth) / max(1.0, _largest(lam))
    rows = program.a @ x
    broken = max(
        _largest(np.maximum(program.row_lo - rows, 0.0)),
        _largest(np.maximum(rows - program.row_hi, 0.0)),
        _largest(np.maximum(program.x_lo - x, 0.0)),
        _largest(np.maximum(x - program.x_hi, 0.0)),
    ) / max(1.0, _largest(x))
    cost = float(program.c @ x)
    gap = abs(cost - sum(w[0] for w in worth)) / max(1.0, abs(cost))
    return max(lost, broken, gap)


def _support(dual: Floats, lo: Floats, hi: Floats) -> tuple[float, float]:
    """Dual objective of a box, and the largest multiplier whose side is at infinity."""
    side = np.where(dual > 0.0, lo, hi)
    finite = np.isfinite(side)
    return float(dual[finite] @ side[finite]), _largest(dual[~finite])


def _largest(values: Floats) -> float:
    return float(np.max(np.abs(values), initial=0.0))
