"""What is not linear in eq. (1)–(9): either, or.

No battery charges and discharges at once, and no generator runs below its least power. A linear
solution that charges and discharges has either nothing to gain by it (then the two are netted)
or burns energy on purpose (negative prices, or a network that wants less power from a full
battery). Then, and where a generator lies between off and its least power, both branches are
solved, the likelier first.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ems.dispatch.ipopt import solve
from ems.dispatch.program import LinearProgram, Solution
from ems.domain import SolverStatus

BOTH_KW = 1e-5
"""Smaller of charge and discharge above which a battery counts as doing both [kW]."""
USABLE = {SolverStatus.OPTIMAL, SolverStatus.ACCEPTABLE}

Pair = tuple[int, int]
"""Columns of a battery's charge and discharge."""


Least = tuple[int, float]
"""Column of a generator's power, and its least power [kW]."""


def solve_exclusive(
    program: LinearProgram, pairs: Sequence[Pair], least: Sequence[Least] = ()
) -> tuple[Solution, LinearProgram]:
    """Solve, with every either-or decided.

    Depth first branch and bound; exact, because the relaxed cost bounds every branch below it.

    Returns:
        The solution, and the program it is the solution of: the one given, its branches taken.
    """
    best: tuple[Solution, LinearProgram] | None = None
    best_cost = np.inf
    first: tuple[Solution, LinearProgram] | None = None
    wall_s = 0.0
    open_programs = [program]
    while open_programs:
        candidate = open_programs.pop()
        solution = solve(candidate)
        wall_s += solution.wall_s
        first = first or (solution, candidate)
        if solution.status not in USABLE:
            continue
        cost = float(candidate.c @ solution.x)
        if cost >= best_cost - 1e-9 * max(1.0, abs(best_cost)):
            continue
        solution = _netted(candidate, solution, pairs)
        branches = _branches(candidate, solution, pairs, least)
        if not branches:
            best, best_cost = (solution, candidate), cost
        open_programs += branches
    found = best or first
    if found is None:  # pragma: no cover - the loop runs at least once
        raise AssertionError
    return replace(found[0], wall_s=wall_s), found[1]


def _branches(
    program: LinearProgram, solution: Solution, pairs: Sequence[Pair], least: Sequence[Least]
) -> list[LinearProgram]:
    """The two ways out of an either-or that is not decided, the likelier last; none left: []."""
    pair = _worst(solution, pairs)
    if pair is not None:
        charge, discharge = pair
        ways = [_closed(program, charge), _closed(program, discharge)]
        return ways if solution.x[charge] > solution.x[discharge] else ways[::-1]
    for column, least_kw in least:
        p_kw = solution.x[column]
        if BOTH_KW < p_kw < least_kw - BOTH_KW:
            x_lo = program.x_lo.copy()
            x_lo[column] = least_kw
            ways = [_closed(program, column), replace(program, x_lo=x_lo)]
            return ways if p_kw > least_kw / 2 else ways[::-1]
    return []


def _netted(program: LinearProgram, solution: Solution, pairs: Sequence[Pair]) -> Solution:
    """Take charge against discharge where no row minds and the cost does not rise."""
    x = solution.x.copy()
    for charge, discharge in pairs:
        both = min(x[charge], x[discharge])
        trial = x.copy()
        trial[charge] -= both
        trial[discharge] -= both
        rows = program.a @ trial
        kept = np.all(rows >= program.row_lo - 1e-9) and np.all(rows <= program.row_hi + 1e-9)
        inside = np.all(trial >= program.x_lo) and np.all(trial <= program.x_hi)
        gain = float(program.c @ (trial - x))
        if kept and inside and gain <= 1e-9 * max(1.0, abs(float(program.c @ x))):
            x = trial
    return replace(solution, x=x)


def _worst(solution: Solution, pairs: Sequence[Pair]) -> Pair | None:
    if not pairs:
        return None
    both = [min(solution.x[charge], solution.x[discharge]) for charge, discharge in pairs]
    worst = int(np.argmax(both))
    return pairs[worst] if both[worst] > BOTH_KW else None


def _closed(program: LinearProgram, column: int) -> LinearProgram:
    x_lo, x_hi = program.x_lo.copy(), program.x_hi.copy()
    x_lo[column] = x_hi[column] = 0.0
    return replace(program, x_lo=x_lo, x_hi=x_hi)
