"""Circles of inverters by their tangents: linear programs in HiGHS, and Newton's method at the end.

Outer approximation (Kelley, The cutting-plane method for solving convex programs,
DOI 10.1137/0108053): a tangent has all of its circle on one side, so no linear program with
tangents costs more than the optimum. They draw near quickly and come close slowly; once they are
near, what binds is known, and Newton's method (`newton`) either ends it or says where the next
tangents belong. What comes out counts by the optimality conditions alone.
"""

import time
from dataclasses import replace

import highspy
import numpy as np

from ems.dispatch import highs
from ems.dispatch.circles import Members
from ems.dispatch.newton import Vertex, polished
from ems.dispatch.presolve import Reduced, reduced, unkeepable
from ems.dispatch.program import Floats, Ints, LinearProgram, Quadratic, Solution, kkt_residual
from ems.domain import SolverStatus

ROUNDS = 30
"""Linear programs before it is given up; 400 circles that all bind take 14."""
PASSED = 1e-9
"""Part of a circle's value beyond which it is passed [1]."""
NEAR = 0.1
"""Part of a circle's value from which on Newton's method is tried [1]: two tangents that meet there
are 35° apart. Nearer takes more linear programs, further more vain steps."""
KKT = 1e-7
"""Residual of the optimality conditions up to which a point is the answer: where the solver asks
1e-6, a digit to spare."""


def solve(program: LinearProgram, circles: Quadratic, *, wall_limit_s: float = 30.0) -> Solution:
    """Solve a program with its circles.

    Returns a `Solution` whatever the outcome; the status says which, `ITERATION_LIMIT` where
    another solver may do better.
    """
    started = time.perf_counter()
    small = reduced(program)
    if unkeepable(program, small):
        found = small.unsolved(SolverStatus.INFEASIBLE)
    elif not np.any(small.free):
        found = small.unsolved(SolverStatus.OPTIMAL)
    else:
        found = _approximated(small, circles, started + wall_limit_s)
    return replace(found, solver="highs", wall_s=time.perf_counter() - started)


def _approximated(small: Reduced, circles: Quadratic, until: float) -> Solution:
    """Linear programs, each with the tangents that the one before asked for."""
    outer = _Outer(small, circles, until - time.perf_counter())
    for _ in range(ROUNDS):
        status = outer.run() if time.perf_counter() < until else SolverStatus.TIME_LIMIT
        if status is not SolverStatus.OPTIMAL:
            return small.unsolved(status)
        outer.cut()
        if np.max(outer.over) <= NEAR:
            found = outer.answer()
            if kkt_residual(small.original, found) <= KKT:
                return found
        if np.max(outer.over) <= PASSED:
            break
    return small.unsolved(SolverStatus.ITERATION_LIMIT)


class _Outer:
    """The linear program with its tangents so far, and where its last run ended."""

    over: Floats
    """Part of its value by which each circle is passed, shape (circle,) [1]."""

    def __init__(self, small: Reduced, circles: Quadratic, wall_limit_s: float) -> None:
        self._small = small
        self._members = Members.of(circles, small)
        self._highs = highs.loaded(small.program, wall_limit_s)
        self._rows = len(small.program.row_lo)
        self._circle: Ints = np.empty(0, dtype=np.intp)
        """Of each tangent."""

    def run(self) -> SolverStatus:
        """Solve, from where the last run ended."""
        self._highs.run()
        status = highs.STATUS.get(self._highs.getModelStatus(), SolverStatus.FAILED)
        if status is SolverStatus.OPTIMAL:
            found = self._highs.getSolution()
            self._x, self._cost = np.array(found.col_value), np.array(found.col_dual)
            self._dual = np.array(found.row_dual)
            self._basis = self._highs.getBasis()
            self._laid = self._circle
            self.over = self._members.values(self._members.at(self._x)) / self._members.hi - 1.0
        return status

    def cut(self) -> None:
        """Lay a tangent to every circle that was passed, where it is nearest."""
        self._lay(np.flatnonzero(self.over > PASSED), self._members.at(self._x))

    def _lay(self, circles: Ints, direction: Floats) -> None:
        """Tangents where rays meet their circles:  ∇f(point)·x ≤ 2·hi,  as f is quadratic."""
        if not len(circles):
            return
        members = self._members
        slopes, out = members.slopes(members.onto(direction)), members.column < 0
        taken = np.bincount(
            members.circle[out], weights=(slopes * members.fixed)[out], minlength=len(members.hi)
        )
        entries = np.flatnonzero(np.isin(members.circle, circles) & ~out)
        starts = np.searchsorted(members.circle[entries], circles)
        self._highs.addRows(
            len(circles), np.full(len(circles), -np.inf), (2.0 * members.hi - taken)[circles],
            len(entries), starts.astype(np.int32), members.column[entries].astype(np.int32),
            slopes[entries],
        )  # fmt: skip
        self._circle = np.concatenate([self._circle, circles])

    def answer(self) -> Solution:
        """What the last run says, all tangents of a circle made one again.

        Circles that it passed get a tangent where that one touches, should there be another run.
        """
        program, members = self._small.program, self._members
        row_dual, tangents = np.split(self._dual, [self._rows])
        held: Floats = np.zeros(len(members.hi))
        np.add.at(held, self._laid, tangents)
        x, cost = self._x, self._cost
        if np.any(held):
            x, row_dual, held = polished(program, members, self._vertex(row_dual, held))
            y = members.at(np.clip(x, program.x_lo, program.x_hi))
            cost = program.c - program.a.pull(row_dual) - members.pull(y, held)
            close = members.values(y) > members.hi / 2.0  # not where vain steps led far away
            self._lay(np.flatnonzero((self.over > PASSED) & (held != 0.0) & close), y)
        return self._small.restored(
            Solution(
                x=x, row_dual=row_dual, bound_dual=cost, circle_dual=held,
                status=SolverStatus.OPTIMAL, wall_s=0.0,
            )
        )  # fmt: skip

    def _vertex(self, row_dual: Floats, held: Floats) -> Vertex:
        """The last run's point, and what its basis holds it by."""
        program, basis = self._small.program, self._basis
        free, upper = highspy.HighsBasisStatus.kBasic, highspy.HighsBasisStatus.kUpper
        loose = np.array([status == free for status in basis.row_status], dtype=bool)
        rows = np.flatnonzero(~loose[: self._rows])
        above = [basis.row_status[i] == upper for i in rows.tolist()]
        return Vertex(
            x=self._x, row_dual=row_dual, circle_dual=held, rows=rows,
            basic=np.flatnonzero([status == free for status in basis.col_status]),
            side=np.where(above, program.row_hi[rows], program.row_lo[rows]),
            circles=np.unique(self._laid[~loose[self._rows :]]),
        )  # fmt: skip
