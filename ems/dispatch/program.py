"""An optimisation in matrices, its solution, and the proof that it is one."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ems.domain import SolverStatus

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


class Sparse:
    """A matrix by rows, its zeros left out, as `scipy.sparse.csr_array` lays it.

    That one checks and converts at every step, which takes longer than all a solver does with a
    small program. Products add up in the same order.
    """

    __slots__ = ("_row_of", "_solid", "data", "indices", "indptr", "shape")

    def __init__(self, data: Floats, indices: Ints, indptr: Ints, shape: tuple[int, int]) -> None:
        """Take columns as `indices`; row i has the entries from `indptr[i]` to `indptr[i + 1]`."""
        self.data, self.indices, self.indptr, self.shape = data, indices, indptr, shape
        self._row_of: Ints | None = None
        self._solid: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, matrix: Any) -> "Sparse":
        """The same of anything that `scipy.sparse` knows."""
        a = sp.csr_array(matrix)
        rows, columns = a.shape
        return cls(
            np.asarray(a.data, dtype=float), a.indices.astype(np.intp), a.indptr.astype(np.intp),
            (rows, columns),
        )  # fmt: skip

    @property
    def csr(self) -> sp.csr_array:
        """The same to `scipy.sparse`."""
        return sp.csr_array((self.data, self.indices, self.indptr), shape=self.shape)

    @property
    def row_of(self) -> Ints:
        """The row of each entry."""
        if self._row_of is None:
            self._row_of = np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))
        return self._row_of

    @property
    def solid(self) -> NDArray[np.bool_]:
        """Which entries are no zeros."""
        if self._solid is None:
            self._solid = self.data != 0.0
        return self._solid

    @property
    def nnz(self) -> int:
        """Entries, zeros among them that were laid as such."""
        return len(self.data)

    def __matmul__(self, x: Floats) -> Floats:
        """A·x, shape (row,)."""
        terms = self.data * x[self.indices]
        return np.bincount(self.row_of, terms, self.shape[0]).astype(float, copy=False)

    def pull(self, y: Floats) -> Floats:
        """Aᵀ·y, shape (column,)."""
        terms = self.data * y[self.row_of]
        return np.bincount(self.indices, terms, self.shape[1]).astype(float, copy=False)


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
    a: Sparse
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
    residual: float | None = None
    """`kkt_residual`, where somebody asked for it already."""


def kkt_residual(program: LinearProgram, solution: Solution) -> float:
    """Largest residual of the optimality conditions.

    Stationarity `c − Aᵀλ − z` and the sign of the multipliers are scaled by max(1, ‖λ‖∞);
    primal feasibility and complementarity by max(1, ‖bounds‖∞) and max(1, |cᵀx|). Boyd &
    Vandenberghe, Convex Optimization, section 5.5.3.
    """
    x, lam, z = solution.x, solution.row_dual, solution.bound_dual
    scale = max(1.0, _largest(lam))
    slope = program.c - program.a.pull(lam) - z
    value = np.concatenate([program.a @ x, x])
    size, cost = max(1.0, _largest(value)), max(1.0, abs(float(program.c @ x)))
    round_over, round_gap = 0.0, 0.0
    circles, mu = program.circles, solution.circle_dual
    if circles is not None and mu is not None:
        slope -= circles.gradient(x, mu)
        over = circles.values(x) - circles.hi
        round_over = _most(over)
        round_gap = max(_largest(mu * over), _most(mu))
    below = value - np.concatenate([program.row_lo, program.x_lo])
    above = np.concatenate([program.row_hi, program.x_hi]) - value
    primal = max(_most(-below), _most(-above), round_over)
    # A positive multiplier speaks of the lower side, a negative one of the upper. Where that side
    # is infinite the multiplier itself is the residual.
    dual = np.concatenate([lam, z])
    side = np.where(dual > 0, below, above)
    gaps = max(_largest(dual * np.where(np.isfinite(side), side, 1.0)), round_gap)
    return max(_largest(slope) / scale, primal / size, gaps / cost)


def _largest(values: Floats) -> float:
    return float(np.abs(values).max(initial=0.0))


def _most(values: Floats) -> float:
    return float(values.max(initial=0.0))
