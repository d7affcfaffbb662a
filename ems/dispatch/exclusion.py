"""What is not linear in eq. (1)–(9): either, or.

No battery charges and discharges at once, no segment imports and exports at once, and no generator
runs below its least power. A linear solution that does both has either nothing to gain by it (then
the two are netted) or burns energy on purpose (negative prices, a network that wants less power
from a full battery). Then, and where a generator lies between off and its least power, both
branches are solved, the likelier first.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from ems.dispatch.program import Floats, Ints, LinearProgram, Solution, Sparse
from ems.domain import SolverStatus

BOTH_KW = 1e-5
"""Smaller of the two powers of a pair above which both count as used [kW]."""
USABLE = {SolverStatus.OPTIMAL, SolverStatus.ACCEPTABLE}
DECIDED = {SolverStatus.INFEASIBLE}
"""A branch that ends so holds nothing; one that ends otherwise may have held the best."""

Pair = tuple[int, int]
"""Columns of two powers of which one is 0: a battery's charge and discharge."""


Least = tuple[int, float]
"""Column of a generator's power, and its least power [kW]."""

Solve = Callable[[LinearProgram, float], Solution]
"""Solves a program within a wall time [s]."""


def solve_exclusive(
    program: LinearProgram,
    pairs: Sequence[Pair],
    least: Sequence[Least] = (),
    *,
    solve: Solve,
    wall_limit_s: float = 30.0,
) -> tuple[Solution, LinearProgram]:
    """Solve, with every either-or decided.

    Depth first branch and bound; exact, because the relaxed cost bounds every branch below it.
    Should the wall time end first, or a branch be lost by its solver, the best branch found so far
    is `ACCEPTABLE`.

    Returns:
        The solution, and the program it is the solution of: the one given, its branches taken.
    """
    best: tuple[Solution, LinearProgram] | None = None
    best_cost = math.inf
    first: tuple[Solution, LinearProgram] | None = None
    started = time.perf_counter()
    wall_s = 0.0
    open_programs = [program]
    late = False
    lost: SolverStatus | None = None
    while open_programs and not late:
        candidate = open_programs.pop()
        left_s = wall_limit_s - (time.perf_counter() - started)
        solution = solve(candidate, max(left_s, 0.05))
        wall_s += solution.wall_s
        root = first is None
        first = first or (solution, candidate)
        late = time.perf_counter() - started > wall_limit_s
        if solution.status not in USABLE:
            lost = lost or (solution.status if solution.status not in DECIDED else None)
            continue
        cost = float(candidate.c @ solution.x)
        if cost >= best_cost - 1e-9 * max(1.0, abs(best_cost)):
            continue
        solution = _netted(candidate, solution, pairs)
        pair = _worst(solution, pairs)
        if root and pair is not None:
            # Rows that every exclusive point keeps, so that hardly anything is left to branch on.
            open_programs.append(with_hulls(candidate, pairs))
            continue
        branches = _branches(candidate, solution, pair, least)
        if not branches:
            best, best_cost = (solution, candidate), cost
        open_programs += branches
    if best is not None:
        found, taken = best
        short = lost is not None or (late and open_programs)
        if short or wall_s != found.wall_s:
            status = SolverStatus.ACCEPTABLE if short else found.status
            found = replace(found, wall_s=wall_s, status=status)
        return found, taken
    if first is None:  # pragma: no cover - the loop runs at least once
        raise AssertionError
    status = first[0].status
    if status in USABLE:  # the relaxed program has a solution, the exclusive one not, or not yet
        status = SolverStatus.TIME_LIMIT if late else lost or SolverStatus.INFEASIBLE
    return replace(first[0], wall_s=wall_s, status=status), first[1]


def with_hulls(program: LinearProgram, pairs: Sequence[Pair]) -> LinearProgram:
    """Append  p₁/P₁ + p₂/P₂ ≤ 1  for each pair: the convex hull of one or the other.

    P is the most of each power while the other is 0, by its bounds and by the rows in which the
    pair stands alone (state of charge). The rows are laid after all others.
    """
    by_column = sp.csc_array(program.a.csr)
    alone = np.diff(program.a.indptr)
    extra = []
    for pair in pairs:
        most = program.x_hi[list(pair)].copy()
        for side, column in enumerate(pair):
            span = slice(by_column.indptr[column], by_column.indptr[column + 1])
            for row, a in zip(by_column.indices[span], by_column.data[span], strict=True):
                if alone[row] > 2 or a == 0.0:
                    continue
                entries = slice(program.a.indptr[row], program.a.indptr[row + 1])
                if np.all(np.isin(program.a.indices[entries], pair)):
                    end = program.row_hi[row] if a > 0.0 else program.row_lo[row]
                    most[side] = min(most[side], max(end / a, 0.0))
        if np.all(np.isfinite(most)) and np.all(program.x_lo[list(pair)] == 0.0):
            extra.append((pair, most))
    if not extra:
        return program
    rows = np.zeros((len(extra), len(program.c)))
    hi = np.zeros(len(extra))
    for r, (pair, most) in enumerate(extra):
        # times both, so that a side that cannot be used at all is no division by zero
        rows[r, list(pair)] = most[::-1] / max(most.max(), 1.0)
        hi[r] = most[0] * most[1] / max(most.max(), 1.0)
    return replace(
        program,
        a=Sparse.of(sp.vstack([program.a.csr, sp.csr_array(rows)])),
        row_lo=np.concatenate([program.row_lo, np.full(len(extra), -np.inf)]),
        row_hi=np.concatenate([program.row_hi, hi]),
    )


def _branches(
    program: LinearProgram, solution: Solution, pair: Pair | None, least: Sequence[Least]
) -> list[LinearProgram]:
    """The two ways out of an either-or that is not decided, the likelier last; none left: [].

    `pair` is the worst that is used both ways.
    """
    if pair is not None:
        one, other = pair
        ways = [_closed(program, one), _closed(program, other)]
        return ways if solution.x[one] > solution.x[other] else ways[::-1]
    for column, least_kw in least:
        p_kw = solution.x[column]
        if BOTH_KW < p_kw < least_kw - BOTH_KW:
            x_lo = program.x_lo.copy()
            x_lo[column] = least_kw
            ways = [_closed(program, column), replace(program, x_lo=x_lo)]
            return ways if p_kw > least_kw / 2 else ways[::-1]
    return []


def _netted(program: LinearProgram, solution: Solution, pairs: Sequence[Pair]) -> Solution:
    """Take one power against the other where no row minds and the cost does not rise."""
    if not pairs:
        return solution
    x = solution.x
    columns: Ints = np.array(pairs, dtype=np.intp)
    both = _both(x, pairs)
    # All at once; only where a row minds, one by one those that do anything worth naming.
    used = np.flatnonzero(both > 0.0)
    if not len(used):
        return solution
    for some in (used, *np.flatnonzero(both > BOTH_KW)[:, None]):
        trial = x.copy()
        trial[columns[some]] -= both[some, None]
        rows = program.a @ trial
        kept = np.all(rows >= program.row_lo - 1e-9) and np.all(rows <= program.row_hi + 1e-9)
        inside = np.all(trial >= program.x_lo) and np.all(trial <= program.x_hi)
        gain = float(program.c @ (trial - x))
        if kept and inside and gain <= 1e-9 * max(1.0, abs(float(program.c @ x))):
            x = trial
            if len(some) > 1:
                break
    return solution if x is solution.x else replace(solution, x=x, residual=None)


def _both(x: Floats, pairs: Sequence[Pair]) -> Floats:
    """The smaller power of each pair, shape (pair,) [kW]."""
    columns: Ints = np.array(pairs, dtype=np.intp).reshape(-1, 2)
    return np.asarray(np.minimum(x[columns[:, 0]], x[columns[:, 1]]))


def _worst(solution: Solution, pairs: Sequence[Pair]) -> Pair | None:
    if not pairs:
        return None
    both = _both(solution.x, pairs)
    worst = int(np.argmax(both))
    return pairs[worst] if both[worst] > BOTH_KW else None


def _closed(program: LinearProgram, column: int) -> LinearProgram:
    x_lo, x_hi = program.x_lo.copy(), program.x_hi.copy()
    x_lo[column] = x_hi[column] = 0.0
    return replace(program, x_lo=x_lo, x_hi=x_hi)
