"""Newton's method on the optimality conditions, where what binds is known.

Nocedal & Wright, Numerical Optimization, section 18.1, DOI 10.1007/978-0-387-40065-5.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from ems.dispatch.circles import Members
from ems.dispatch.program import Floats, Ints, LinearProgram

STEPS = 8
"""Most steps: each doubles the digits that are right, and a start near enough has two."""
ARRIVED = 1e-13
"""Step, over the largest value, at which it is done: round-off."""
FLAT = 1e-9
"""Curvature lent to directions that have none, so that a degenerate vertex is no division by zero:
far below that of a circle under a price, which is 1e-3 of it for a kVA [$/h per kW²]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vertex:
    """A point, its multipliers, and what binds there."""

    x: Floats
    row_dual: Floats
    circle_dual: Floats
    basic: Ints
    """Variables that no bound holds."""
    rows: Ints
    """Rows that stand at a side."""
    side: Floats
    """The value of that side, shape (row that stands at one,)."""
    circles: Ints
    """Circles that hold."""


def polished(program: LinearProgram, members: Members, at: Vertex) -> tuple[Floats, Floats, Floats]:
    """Point, multipliers of rows and of circles with which all that binds is met exactly.

    Or wherever the steps led from a start that was not near: the caller asks how far the
    optimality conditions are met.
    """
    x, row_dual, circle_dual = at.x.copy(), at.row_dual.copy(), at.circle_dual.copy()
    place = np.full(len(x), -1)
    place[at.basic] = np.arange(len(at.basic))
    order = np.full(len(members.hi), -1)
    order[at.circles] = np.arange(len(at.circles))
    where = np.where(members.column >= 0, place[members.column], -1)
    inside = np.flatnonzero((where >= 0) & (order[members.circle] >= 0))
    bent = np.flatnonzero((where[members.first] >= 0) & (where[members.second] >= 0))
    first, second = where[members.first[bent]], where[members.second[bent]]
    linear = sp.coo_array(program.a.csr[at.rows][:, at.basic])
    n, m, k = len(at.basic), len(at.rows), len(at.circles)
    i = np.concatenate([np.arange(n), first, second, linear.col, n + linear.row,
                        where[inside], n + m + order[members.circle[inside]]])  # fmt: skip
    j = np.concatenate([np.arange(n), second, first, n + linear.row, linear.col,
                        n + m + order[members.circle[inside]], where[inside]])  # fmt: skip
    for _ in range(STEPS):
        y = members.at(x)
        slopes = members.slopes(y)
        bends = (members.coef * circle_dual[members.of_term])[bent]
        values = np.concatenate([np.full(n, -FLAT), bends, bends, linear.data, linear.data,
                                 slopes[inside], slopes[inside]])  # fmt: skip
        system = sp.csc_array((values, (i, j)), shape=(n + m + k, n + m + k))
        missing = np.concatenate(
            [
                (program.c - program.a.pull(row_dual) - members.pull(y, circle_dual))[at.basic],
                at.side - (program.a @ x)[at.rows],
                (members.hi - members.values(y))[at.circles],
            ]
        )
        try:
            step = splu(system).solve(missing)
        except RuntimeError:  # singular
            break
        x[at.basic] += step[:n]
        row_dual[at.rows] += step[n : n + m]
        circle_dual[at.circles] += step[n + m :]
        if np.max(np.abs(step[:n]), initial=0.0) <= ARRIVED * np.max(np.abs(x), initial=1.0):
            break
    return x, row_dual, circle_dual
