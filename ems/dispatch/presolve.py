"""What need not be solved, taken out of a program before and put back after.

Variables that are fixed: an interior point needs an interior. Free ones that one equation defines:
the grid's power stands in the balance alone. And those that no row wants off the bound where they
are cheapest, as reactive power that would raise a voltage which is too high. Each step is exact,
multipliers included. (Andersen & Andersen, Presolving in linear programming,
DOI 10.1007/BF01586000.)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ems.dispatch.program import Floats, Ints, LinearProgram, Solution, Sparse
from ems.domain import SolverStatus

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduced:
    """A smaller program, and the way back from its solution."""

    program: LinearProgram
    """In the free variables and the rows that still hold one; the circles keep the numbers of
    all variables (`full` turns one into the other)."""
    original: LinearProgram
    fixed: Floats
    """Values of the variables taken out, 0 for those left, shape (variable,)."""
    free: Bools
    """Variables left, shape (variable,)."""
    kept: Bools
    """Rows left, shape (row,)."""
    taken: Floats
    """What the fixed variables come to in each row, shape (row,)."""
    defined: Ints
    """Variables that a row defines."""
    by_row: Ints
    """The row of each."""
    by_coef: Floats
    """Its coefficient there."""

    def full(self, x: Floats) -> Floats:
        """All variables, shape (variable,), of which those a row defines are not yet set."""
        point = self.fixed.copy()
        point[self.free] = x
        return point

    def restored(self, solution: Solution) -> Solution:
        """The solution of the program that was reduced."""
        p = self.original
        x = self.full(np.clip(solution.x, self.program.x_lo, self.program.x_hi))
        x[self.defined] = 0.0
        rest = p.row_lo[self.by_row] - (p.a @ x)[self.by_row]
        x[self.defined] = rest / self.by_coef
        row_dual = np.zeros(len(p.row_lo))
        row_dual[self.kept] = solution.row_dual
        row_dual[self.by_row] = p.c[self.defined] / self.by_coef
        # what a fixed variable is worth: whatever stationarity leaves
        bound_dual = p.c - p.a.pull(row_dual)
        if p.circles is not None and solution.circle_dual is not None:
            bound_dual -= p.circles.gradient(x, solution.circle_dual)
        bound_dual[self.free] = solution.bound_dual
        bound_dual[self.defined] = 0.0
        return Solution(
            x=x, row_dual=row_dual, bound_dual=bound_dual, status=solution.status,
            wall_s=solution.wall_s, solver=solution.solver, circle_dual=solution.circle_dual,
        )  # fmt: skip

    def unsolved(self, status: SolverStatus) -> Solution:
        """Nothing to move, or no answer: each variable as near to 0 as its bounds let it."""
        inner, circles = self.program, self.program.circles
        x = np.clip(np.zeros(len(inner.c)), inner.x_lo, inner.x_hi)
        return self.restored(
            Solution(
                x=x, row_dual=np.zeros(len(inner.row_lo)), bound_dual=np.zeros(len(x)),
                status=status, wall_s=0.0,
                circle_dual=None if circles is None else np.zeros(len(circles.hi)),
            )
        )  # fmt: skip


def reduced(program: LinearProgram) -> Reduced:
    """Take out what need not be solved."""
    a = program.a
    row_of = a.row_of
    free = program.x_hi > program.x_lo
    defined, by_row, by_coef = _defined(program, row_of)
    c = program.c - _priced_out(program, row_of, defined, by_row, by_coef)
    free[defined] = False
    to_lo, to_hi = _unwanted(program, row_of, c, by_row)
    fixed = np.where(to_hi & free, program.x_hi, program.x_lo)
    free &= ~(to_lo | to_hi)
    fixed[free] = fixed[defined] = 0.0
    shift = a @ fixed
    kept = np.zeros(a.shape[0], dtype=bool)
    kept[row_of[free[a.indices] & a.solid]] = True
    kept[by_row] = False
    inner = LinearProgram(
        c=c[free],
        a=_cut(a, row_of, kept, free),
        row_lo=(program.row_lo - shift)[kept],
        row_hi=(program.row_hi - shift)[kept],
        x_lo=program.x_lo[free],
        x_hi=program.x_hi[free],
        circles=program.circles,
    )
    return Reduced(
        program=inner, original=program, fixed=fixed, free=free, kept=kept, taken=shift,
        defined=defined, by_row=by_row, by_coef=by_coef,
    )  # fmt: skip


def unkeepable(program: LinearProgram, reduced: Reduced) -> bool:
    """Whether a row that was taken out, or a pair of bounds, contradicts itself."""
    if (program.x_lo > program.x_hi).any():
        return True
    still = ~reduced.kept
    still[reduced.by_row] = False
    rows = reduced.taken[still]
    slop = 1e-7 * np.maximum(1.0, np.abs(rows))
    below, above = program.row_lo[still] - slop, program.row_hi[still] + slop
    return bool(((rows < below) | (rows > above)).any())


def _defined(program: LinearProgram, row_of: Ints) -> tuple[Ints, Ints, Floats]:
    """Free variables that stand in one row alone, an equation; at most one for each row."""
    a = program.a
    count = np.bincount(a.indices, minlength=a.shape[1])
    boundless = np.isneginf(program.x_lo) & np.isposinf(program.x_hi) & (count == 1)
    if program.circles is not None:
        boundless[program.circles.i] = boundless[program.circles.j] = False
    entries = (boundless[a.indices] & a.solid).nonzero()[0]
    rows = row_of[entries]
    entries = entries[program.row_lo[rows] == program.row_hi[rows]]
    rows = row_of[entries]
    if len(rows) > 1:  # the first of each row
        entries = entries[np.concatenate([[True], rows[1:] != rows[:-1]])]
        rows = row_of[entries]
    return a.indices[entries], rows, a.data[entries]


def _unwanted(program: LinearProgram, row_of: Ints, c: Floats, by_row: Ints) -> tuple[Bools, Bools]:
    """Variables that are cheapest at their lower, and at their upper bound, whatever the rest is.

    Those whose increase costs something and relieves no row; and those whose increase earns
    something and loads none.
    """
    a, n = program.a, program.a.shape[1]
    up, down = np.isfinite(program.row_hi), np.isfinite(program.row_lo)
    up[by_row] = down[by_row] = False
    rises, falls, up, down = a.data > 0.0, a.data < 0.0, up[row_of], down[row_of]
    loads = (rises & up) | (falls & down)
    relieves = (falls & up) | (rises & down)
    to_lo = (np.bincount(a.indices, weights=relieves, minlength=n) == 0) & (c > 0.0)
    to_hi = (np.bincount(a.indices, weights=loads, minlength=n) == 0) & (c < 0.0)
    circles = program.circles
    if circles is not None:
        # In a circle of powers that are all counted positive, less of one relieves it.
        to_hi[circles.i] = to_hi[circles.j] = False
        odd = (circles.coef < 0.0) | (program.x_lo[circles.i] < 0.0) | (program.x_lo[circles.j] < 0)
        to_lo[circles.i[odd]] = to_lo[circles.j[odd]] = False
    return to_lo & np.isfinite(program.x_lo), to_hi & np.isfinite(program.x_hi)


def _priced_out(
    program: LinearProgram, row_of: Ints, defined: Ints, by_row: Ints, by_coef: Floats
) -> Floats:
    """What the defined variables' cost comes to in the others, shape (variable,)."""
    dual = np.zeros(program.a.shape[0])
    dual[by_row] = program.c[defined] / by_coef
    weights = dual[row_of] * program.a.data
    c = np.bincount(program.a.indices, weights=weights, minlength=program.a.shape[1])
    return c.astype(float)


def _cut(a: Sparse, row_of: Ints, rows: Bools, columns: Bools) -> Sparse:
    """Some rows and columns of a matrix, without its zeros."""
    entries = (rows[row_of] & columns[a.indices] & a.solid).nonzero()[0]
    number = columns.cumsum() - 1
    lengths = np.bincount(row_of[entries], minlength=a.shape[0])[rows]
    starts = np.zeros(len(lengths) + 1, dtype=np.intp)
    lengths.cumsum(out=starts[1:])
    return Sparse(
        a.data[entries], number[a.indices[entries]], starts,
        (len(lengths), int(np.count_nonzero(columns))),
    )  # fmt: skip
