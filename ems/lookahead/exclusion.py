"""What is not linear over a horizon: charge or discharge, buy or sell, off or at least power.

The linear program comes first. Where its optimum does both at once without gaining by it, the two
are netted. What is left (energy burnt on purpose at negative prices, a generator between off and
its least power) becomes binary, only there, and again until nothing is left. That is exact: a
program with fewer binaries allows more, so its optimum, once it needs no further one, is the
optimum. DERs are decided one by one first, at the prices of the linear program; only where that
leaves a gap are they decided together, as long as there is time.
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from ems.domain import SolverStatus
from ems.errors import SolverFault
from ems.lookahead.decisions import (
    EitherOr,
    Open,
    every,
    left_open,
    netted,
    parts,
    restricted,
    touched,
)
from ems.lookahead.highs import Deadline, LinearSolver, WholePoint, solve_whole
from ems.lookahead.program import Floats, Ints, Point, Program

GAP = 1e-7
"""Gap to the bound, over the cost, up to which a plan counts as proved the best."""
ROUNDS = 3
"""Attempts at a plan by closing the smaller side, before every side not used is closed."""

TOGETHER = 0.35
"""Share of that time in which DERs are decided together, at most [1]: by then plans of three were
within a thousandth of the best, and four of six proved; of two hundred none is, in seconds
neither."""
AROUND = 8
"""Intervals before and after an open start that are decided with it: a start is often as good a
little later, and would open there next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coupling:
    """Rows that tie DERs to each other."""

    head: Ints
    """Balance and limits at the point of common coupling."""
    network: Ints
    """Eq. (10) and the export limit, which netting must not break either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """An optimum with every either-or decided, and the program it is the optimum of."""

    program: Program
    """The one given, sides closed."""
    point: Point
    gap_usd: float
    status: SolverStatus
    binaries: int


def solve_exclusive(
    solver: LinearSolver,
    either: EitherOr,
    coupling: Coupling,
    proof_s: float,
    deadline: Deadline,
    optimum: Point | None = None,
) -> Decided:
    """Solve, with every either-or decided.

    Args:
        solver: holds the linear program.
        either: the decisions.
        coupling: the rows that tie DERs to each other.
        proof_s: how long to look for a better plan, or for the proof that there is none, DER by
            DER; then together, for a share of it (`TOGETHER`) [s].
        deadline: when to give up the linear programs.
        optimum: of the linear program, where it is known.

    Raises:
        SolverFault: no plan by then, or none at all.
    """
    program = solver.program
    found = optimum or solver.solve(deadline, program.x_lo, program.x_hi)
    if found is None:
        raise SolverFault("look-ahead: the limits of the DERs contradict each other")
    point = replace(found, x=netted(program, either, coupling.network, found.x))
    marked = left_open(either, point.x)
    if not marked:
        return Decided(
            program=program, point=point, gap_usd=0.0, status=SolverStatus.OPTIMAL, binaries=0
        )
    proof = Deadline(min(proof_s, deadline.left_s))
    near, more, marked = _apart(program, either, coupling, point, marked, proof)
    bound = _cost(program, point.x) + more
    best = _settled(solver, either, coupling.network, marked, near, deadline)
    proof = Deadline(min(TOGETHER * proof_s, deadline.left_s))
    while not _proved(best, bound) and proof.left_s > 0.0:
        whole = _once(program, either, marked, proof, None if best is None else best[1].x)
        bound = max(bound, whole.bound)
        if whole.x is None:
            break
        # What it leaves open often costs nothing to close: then the plan meets the bound.
        x = netted(program, either, coupling.network, whole.x)
        best = _cheaper(best, _settled(solver, either, coupling.network, marked, x, deadline))
        wider = marked | left_open(either, x).around(AROUND)
        if whole.status is not SolverStatus.OPTIMAL or wider.count == marked.count:
            break
        marked = wider
    if best is None:
        raise SolverFault(
            f"look-ahead: no plan within {deadline.spent_s:.1f} s; dispatch the single interval"
        )
    done = SolverStatus.OPTIMAL if _proved(best, bound) else SolverStatus.ACCEPTABLE
    gap = max(0.0, _cost(*best) - bound)
    return Decided(program=best[0], point=best[1], gap_usd=gap, status=done, binaries=marked.count)


def _apart(
    program: Program,
    either: EitherOr,
    coupling: Coupling,
    point: Point,
    marked: Open,
    deadline: Deadline,
) -> tuple[Floats, float, Open]:
    """Decide DER by DER, each at the price that the linear program puts on what couples them.

    Lagrangian relaxation (Geoffrion, DOI 10.1007/BFb0120690): exact where the grid buys and sells
    at one price and no row of eq. (10) binds; elsewhere a good guess.

    Returns:
        A point to close sides by, how much dearer than the linear program every plan is, and
        the decisions that became binary.
    """
    tied = np.zeros(program.a.shape[0], dtype=bool)
    tied[coupling.head] = tied[coupling.network] = True
    c = program.c - program.a[tied].T @ point.row_dual[tied]
    a = program.a[~tied]
    row_lo, row_hi = program.row_lo[~tied], program.row_hi[~tied]
    by_row, by_column = parts(a, either)
    x, more = point.x.copy(), 0.0
    for label in np.unique(by_column[touched(len(x), either, marked)]):
        columns, rows = np.flatnonzero(by_column == label), np.flatnonzero(by_row == label)
        part = Program(
            c=c[columns], a=sp.csr_array(a[rows][:, columns]),
            row_lo=row_lo[rows], row_hi=row_hi[rows],
            x_lo=program.x_lo[columns], x_hi=program.x_hi[columns],
        )  # fmt: skip
        inner, pairs, starts = restricted(either, columns)
        # Where power is worth less than nothing, energy may be burnt: asked at once, not in turn.
        burns = part.c[inner.pairs[:, 1]] > 0.0
        open_ = Open(pairs=marked.pairs[pairs] | burns, starts=marked.starts[:, starts])
        found = _branched(part, inner, open_, deadline)
        marked.pairs[pairs] |= found.marked.pairs
        marked.starts[:, starts] |= found.marked.starts
        if np.isfinite(found.bound):
            more += max(0.0, found.bound - float(part.c @ point.x[columns]))
        if found.x is not None:
            x[columns] = found.x
    return x, more, marked


@dataclass(frozen=True, slots=True, kw_only=True)
class _Branched:
    """What branch and bound left behind."""

    x: Floats | None
    """A plan that decides everything marked; None: none was found in time."""
    bound: float
    marked: Open


def _branched(program: Program, either: EitherOr, marked: Open, deadline: Deadline) -> _Branched:
    """Make marked decisions binary, and those that then open too, until none is left."""
    x, bound = None, -np.inf
    while deadline.left_s > 0.0:
        found = _once(program, either, marked, deadline, None)
        bound = max(bound, found.bound)
        if found.x is None:
            break
        x = found.x
        wider = marked | left_open(either, x).around(AROUND)
        if found.status is not SolverStatus.OPTIMAL or wider.count == marked.count:
            break
        marked = wider
    return _Branched(x=x, bound=bound, marked=marked)


def _once(
    program: Program, either: EitherOr, marked: Open, deadline: Deadline, plan: Floats | None
) -> WholePoint:
    """The best point with the marked decisions made, from a plan where one is known."""
    whole, columns = _with_binaries(program, either, marked)
    start = None if plan is None else _start(either, marked, plan)
    found = solve_whole(whole, columns, deadline, start)
    return replace(found, x=None if found.x is None else found.x[: len(program.c)])


def _cost(program: Program, at: Point | Floats) -> float:
    return float(program.c @ (at.x if isinstance(at, Point) else at))


def _proved(best: tuple[Program, Point] | None, bound: float) -> bool:
    return best is not None and _cost(*best) - bound <= GAP * max(1.0, abs(bound))


def _cheaper(
    best: tuple[Program, Point] | None, other: tuple[Program, Point] | None
) -> tuple[Program, Point] | None:
    if best is None or other is None:
        return best or other
    return other if _cost(*other) < _cost(*best) else best


def _settled(
    solver: LinearSolver,
    either: EitherOr,
    network: Ints,
    marked: Open,
    x: Floats,
    deadline: Deadline,
) -> tuple[Program, Point] | None:
    """A plan near `x`, by closing the smaller side of what is marked or open.

    Where `x` leaves nothing open, this plan costs no more than `x`. None where it cannot be found.
    """
    program = solver.program
    first = left_open(either, x)
    shut, near = marked | first, x
    rounds = ROUNDS if first else 1
    for attempt in range(rounds + 1):
        if attempt == rounds:  # close all that `x` does not use: nothing can open any more
            shut, near = every(either), x
        x_lo, x_hi = _shut(program, either, shut, near)
        try:
            point = solver.solve(deadline, x_lo, x_hi)
        except SolverFault:
            return None
        if point is None:
            return None
        point = replace(point, x=netted(program, either, network, point.x))
        left = left_open(either, point.x)
        if not left:
            return replace(program, x_lo=x_lo, x_hi=x_hi), point
        shut = shut | left
        near = np.where(touched(len(x), either, left), point.x, near)
    return None


def _shut(program: Program, either: EitherOr, shut: Open, x: Floats) -> tuple[Floats, Floats]:
    x_lo, x_hi = program.x_lo.copy(), program.x_hi.copy()
    pairs = either.pairs[shut.pairs]
    a_less = x[pairs[:, 0]] < x[pairs[:, 1]]
    closed = np.where(a_less, pairs[:, 0], pairs[:, 1])
    x_hi[closed] = np.maximum(x_lo[closed], 0.0)
    on, power = either.starts.on[shut.starts], either.starts.power[shut.starts]
    # Any pattern of running and standing still can be driven: a generator starts at its least
    # power and stops from it, and cannot be off before it may (`x_lo`).
    least = np.broadcast_to(either.starts.least, either.starts.on.shape)[shut.starts]
    runs = (x[power] >= least / 2.0).astype(float)
    x_lo[on] = x_hi[on] = np.maximum(runs, x_lo[on])
    return x_lo, x_hi


def _with_binaries(program: Program, either: EitherOr, marked: Open) -> tuple[Program, Ints]:
    """The program with a binary for each marked pair, and all columns that must be whole.

    a ≤ a_max·z  and  b ≤ b_max·(1 − z).
    """
    pairs = either.pairs[marked.pairs]
    k, n = len(pairs), len(program.c)
    a_max, b_max = program.x_hi[pairs[:, 0]], program.x_hi[pairs[:, 1]]
    row, z = np.arange(k), n + np.arange(k)
    tied = sp.csr_array(
        (
            np.concatenate([np.ones(2 * k), -a_max, b_max]),
            (
                np.concatenate([row, k + row, row, k + row]),
                np.concatenate([pairs[:, 0], pairs[:, 1], z, z]),
            ),
        ),
        shape=(2 * k, n + k),
    )
    wide = sp.hstack([program.a, sp.csr_array((program.a.shape[0], k))])
    return (
        Program(
            c=np.concatenate([program.c, np.zeros(k)]),
            a=sp.csr_array(sp.vstack([wide, tied])),
            row_lo=np.concatenate([program.row_lo, np.full(2 * k, -np.inf)]),
            row_hi=np.concatenate([program.row_hi, np.zeros(k), b_max]),
            x_lo=np.concatenate([program.x_lo, np.zeros(k)]),
            x_hi=np.concatenate([program.x_hi, np.ones(k)]),
        ),
        np.concatenate([z, either.starts.on[marked.starts]]).astype(np.int32),
    )


def _start(either: EitherOr, marked: Open, x: Floats) -> Floats:
    """A feasible point of the program with binaries, from a plan."""
    pairs = either.pairs[marked.pairs]
    full: Floats = np.concatenate([x, (x[pairs[:, 0]] > x[pairs[:, 1]]).astype(float)])
    on = either.starts.on[marked.starts]
    full[on] = np.round(full[on])
    return full
