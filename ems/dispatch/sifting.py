"""A wide program by a narrow one: of all columns those that may lie between their bounds.

A network row is dense, so each of its columns costs an interior point the same, and nearly all of
them end on a bound. Multipliers guessed by coordinate ascent on the dual say which ones are sure
to; what is left is solved, and the reduced costs of the others say whether that was right. Sifting
(Bixby, Gregory, Lustig, Marsten & Shanno, Very large-scale linear programming: a case study in
combining interior point and simplex methods, DOI 10.1287/opre.40.5.885).
"""

from dataclasses import replace

import numpy as np

from ems.dispatch.program import Floats, Ints, LinearProgram, Sparse

NEAREST = 60
"""Columns kept at least."""
PER_ROW = 4
"""And for each row, of which one column stands between its bounds at most."""
WIDE = 2
"""Times as many columns as are kept from which a program is wide [1]."""
DENSEST = 500_000
"""Matrix entries up to which the guess works on a dense copy: 4 MB."""
STEPS = 30
"""Steps of coordinate ascent at most, each some 50 µs: the guess need not be right."""
MET = 1e-6
"""Excess over a row that calls for no step, as a share of its size [1]."""


class Sifting:
    """A program, and the columns of it that are solved for."""

    def __init__(self, program: LinearProgram) -> None:
        self._program = program
        self._boxed = np.isfinite(program.x_hi)
        dual = _guessed(program)
        priced = program.a.pull(dual)
        cost = program.c - priced
        self._at = np.where(self._boxed & (cost < 0.0), program.x_hi, program.x_lo)
        near = np.abs(cost) / np.maximum(np.abs(program.c), np.abs(priced))
        self._kept = ~self._boxed
        order = np.argsort(np.where(self._boxed, near, np.inf), kind="stable")
        self._kept[order[: _kept_of(program)]] = True

    def narrow(self) -> LinearProgram:
        """The program in the columns that are solved for, the others at their bounds."""
        program, kept = self._program, self._kept
        shift = program.a @ np.where(kept, 0.0, self._at)
        return replace(
            program,
            c=program.c[kept],
            a=Sparse.of(program.a.csr[:, kept]),
            row_lo=program.row_lo - shift,
            row_hi=program.row_hi - shift,
            x_lo=program.x_lo[kept],
            x_hi=program.x_hi[kept],
        )

    def whole(self, x: Floats, row_dual: Floats, bound_dual: Floats) -> tuple[Floats, Floats]:
        """Point and reduced costs of all columns from those of the narrow program."""
        point, cost = self._at.copy(), self._program.c - self._program.a.pull(row_dual)
        point[self._kept], cost[self._kept] = x, bound_dual
        return point, cost

    def widened(self, cost: Floats) -> None:
        """Keep those too whose reduced costs want them off their bound."""
        low = self._at == self._program.x_lo
        self._kept |= np.where(low, cost < 0.0, cost > 0.0)


def is_wide(program: LinearProgram) -> bool:
    """Whether sifting may pay: many columns, and one-sided rows, for which there is a guess."""
    one_sided = np.isfinite(program.row_lo) ^ np.isfinite(program.row_hi)
    return (
        program.circles is None
        and len(program.row_lo) > 0
        and bool(np.all(one_sided))
        and bool(np.all(np.isfinite(program.x_lo)))
        and len(program.c) >= WIDE * _kept_of(program)
        and program.a.shape[0] * program.a.shape[1] <= DENSEST
    )


def _kept_of(program: LinearProgram) -> int:
    return NEAREST + PER_ROW * len(program.row_lo)


def _guessed(program: LinearProgram) -> Floats:
    """Multipliers of the rows by coordinate ascent: each step meets the row furthest from it.

    With all multipliers but one given, columns go from one bound to the other in the order of
    what they relieve the row for, until it is met (the knapsack of Dantzig,
    DOI 10.1287/opre.5.2.266).
    """
    sign = np.where(np.isfinite(program.row_hi), 1.0, -1.0)
    a = program.a.csr.toarray() * sign[:, None]
    limit = np.where(sign > 0.0, program.row_hi, -program.row_lo)
    boxed = np.isfinite(program.x_hi)
    width = np.where(boxed, program.x_hi - program.x_lo, 0.0)
    size = np.maximum(np.abs(a) @ width, 1.0)
    price, cost = np.zeros(len(limit)), program.c.copy()
    for _ in range(STEPS):
        over = a @ (program.x_lo + np.where(cost < 0.0, width, 0.0)) - limit
        far = np.where((price > 0.0) | (over > 0.0), np.abs(over), 0.0) / size
        row = int(np.argmax(far))
        if far[row] <= MET:
            break
        without = cost - price[row] * a[row]
        new = _price(a[row], without, program.x_lo, width, limit[row])
        if new == price[row]:
            break
        price[row] = new
        cost = without + new * a[row]
    return -sign * price


def _price(a: Floats, cost: Floats, lo: Floats, width: Floats, limit: float) -> float:
    """The least price of a row with which its columns, each at its better bound, keep it."""
    over = float(a @ (lo + np.where(cost < 0.0, width, 0.0))) - limit
    if over <= 0.0:
        return 0.0
    turns: Ints = np.flatnonzero((cost * a < 0.0) & (width > 0.0))
    if not len(turns):
        return 0.0
    at = -cost[turns] / a[turns]
    order = np.argsort(at, kind="stable")
    relief = np.cumsum(np.abs(a[turns] * width[turns])[order])
    return float(at[order][min(int(np.searchsorted(relief, over)), len(order) - 1)])
