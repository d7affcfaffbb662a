"""Who bears curtailment: the same share for all of a group, or proportional fairness.

Least cost asks nothing of the kind, and lets the plant at the end of the feeder pay for all. Two
policies share it out, both on the extracted matrices beside the rows of eq. (10):

- `equal_share`: every plant of a group keeps the same fraction of what is available to it.
- `proportional`: kept energy is worth its logarithm (F. P. Kelly, A. K. Maulloo, D. K. H. Tan,
  Rate control for communication networks, DOI 10.1057/palgrave.jors.2600523): a fraction f kept
  of a kWh counts 1 + log f and not f, so that taking a plant's last kWh is dear and taking some
  from everybody cheap. What this adds, f − 1 − log f, is nothing at f = 1, convex, and laid in as
  a piecewise-linear term, the pieces drawn anew around the solution until they are short.

Neither is money: the cost of a dispatch is told without it. Plants that are pinned have no part.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from ems.dispatch.columns import Columns
from ems.dispatch.program import Floats, Ints, LinearProgram, Solution, Sparse
from ems.domain import Site

FRACTIONS = np.array([1.0, 0.96, 0.9, 0.82, 0.73, 0.63, 0.53, 0.43, 0.33, 0.24, 0.15, 0.06, 0.0])
"""Where the pieces of f − 1 − log f begin and end at first, denser near 1; shape (piece + 1,)."""
AROUND = np.array([3.0, 1.0, 0.7, 0.4, 0.13, -0.13, -0.4, -0.7, -1.0, -3.0])
"""Where they do when they are drawn anew: around the fraction found, in half-widths."""
HALF_WIDTHS = (0.2, 0.06, 0.018, 0.005)
"""Half-widths of one round after the other, relative to the fraction found: each reaches over a
piece of the last; at the end a piece is a thousandth of the fraction."""
LEAST = 0.01
"""Fraction below which the worth of a further kWh no longer rises: log f has no bottom."""
NOTHING_KW = 1e-6
"""Available power below which a plant has nothing to share [kW]."""
WHOLE = 1.0 - 1e-6
"""Fraction from which a plant counts as not curtailed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """Where the piecewise-linear terms of `proportional` stand in a program."""

    first: int
    """First of their columns: piece by piece of a plant, plant by plant [kW]."""
    upper_kw: Floats
    """Available power, shape (plant,) [kW]."""
    weight: Floats
    """What the term is multiplied with, shape (plant,) [$/h]."""

    @property
    def columns(self) -> slice:
        """The columns of the pieces."""
        return slice(self.first, self.first + len(self.upper_kw) * (len(FRACTIONS) - 1))

    def kept(self, x: Floats) -> Floats:
        """Fraction that each plant keeps, shape (plant,)."""
        taken = x[self.columns].reshape(len(self.upper_kw), -1).sum(axis=1)
        return np.asarray(np.clip(1.0 - taken / self.upper_kw, 0.0, 1.0))

    def laid(self, program: LinearProgram, fractions: Floats) -> LinearProgram:
        """The program with the pieces between other fractions, shape (plant, piece + 1)."""
        width, slope = _slopes(fractions)
        c, x_hi = program.c.copy(), program.x_hi.copy()
        c[self.columns] = (slope * (self.weight / self.upper_kw)[:, None]).ravel()
        x_hi[self.columns] = (width * self.upper_kw[:, None]).ravel()
        return replace(program, c=c, x_hi=x_hi)

    def finer(self, program: LinearProgram, x: Floats, half_width: float) -> LinearProgram | None:
        """The program with short pieces around a solution; None where nobody is curtailed."""
        kept = self.kept(x)
        if np.all(kept >= WHOLE):
            return None
        around = np.maximum(kept, LEAST)[:, None]
        near = np.clip(around * (1.0 + half_width * AROUND), 0.0, 1.0)
        ends = np.broadcast_to([1.0, LEAST, 0.0], (len(kept), 3))
        return self.laid(program, -np.sort(-np.hstack([near, ends]), axis=1))


def with_fairness(
    program: LinearProgram,
    columns: Columns,
    site: Site,
    price_usd_per_kwh: float,
    pinned: Collection[str] = (),
) -> tuple[LinearProgram, Pieces | None]:
    """Append the site's fairness policy to a program.

    Args:
        program: eq. (1)–(9), before any network row.
        columns: its variables.
        site: the policy, and the groups of its PV plants.
        price_usd_per_kwh: what kept energy is worth; where that is not above 0 there is nothing
            to share, and `proportional` adds nothing [$/kWh].
        pinned: plants that hold what they do.

    Returns:
        The program, and its pieces to be drawn anew (`Pieces.finer`) where it has any.
    """
    if site.fairness == "least_cost":
        return program, None
    plants = [pv for pv in site.pvs if pv.name not in pinned]
    made = np.array([columns["p_pv", pv.name] for pv in plants], dtype=np.intp)
    room = np.array([columns["room", pv.name] for pv in plants], dtype=np.intp)
    expected_kw = program.x_hi[made]
    upper_kw = expected_kw + program.x_hi[room]
    sunny = np.flatnonzero(upper_kw > NOTHING_KW)
    made, room, upper_kw, expected_kw = (
        made[sunny],
        room[sunny],
        upper_kw[sunny],
        expected_kw[sunny],
    )
    if site.fairness == "equal_share":
        groups = [plants[i].group for i in sunny.tolist()]
        return _equal(program, made, room, upper_kw, groups), None
    worth = price_usd_per_kwh + site.curtailment_usd_per_kwh
    if worth <= 0.0 or not len(sunny):
        return program, None
    return _proportional(program, made, room, upper_kw, worth * expected_kw)


def refined(
    program: LinearProgram,
    pieces: Pieces | None,
    solved: Callable[[LinearProgram, float], tuple[Solution, LinearProgram]],
    wall_limit_s: float,
) -> tuple[Solution, LinearProgram]:
    """Solve, and again with shorter pieces around what was found, within one wall time."""
    solution, taken = solved(program, wall_limit_s)
    if pieces is None:
        return solution, taken
    spent_s = solution.wall_s
    for half_width in HALF_WIDTHS:
        finer = pieces.finer(program, solution.x, half_width)
        if finer is None or spent_s >= wall_limit_s:
            break
        solution, taken = solved(finer, wall_limit_s - spent_s)
        spent_s += solution.wall_s
    return replace(solution, wall_s=spent_s), taken


def jain_index(fractions: Sequence[float] | Floats) -> float:
    """How evenly fractions are shared: 1 where all are equal, 1/n where one has everything.

    R. Jain, D. Chiu, W. Hawe, A quantitative measure of fairness and discrimination for resource
    allocation in shared computer systems, DEC-TR-301 (1984). Nothing to share is evenly shared.
    """
    f = np.asarray(fractions, dtype=float)
    squares = float(f @ f)
    return float(f.sum()) ** 2 / (len(f) * squares) if squares > 0.0 else 1.0


def _equal(
    program: LinearProgram, made: Ints, room: Ints, upper_kw: Floats, groups: Sequence[str]
) -> LinearProgram:
    """One fraction f for each group, and  cap − f · upper = 0  for each plant in it."""
    names = [g for g in dict.fromkeys(groups) if groups.count(g) > 1]
    inside = np.array([i for i, g in enumerate(groups) if g in names], dtype=np.intp)
    number = {g: k for k, g in enumerate(names)}
    share = len(program.c) + np.array([number[groups[i]] for i in inside.tolist()], dtype=np.intp)
    row = np.arange(len(inside))
    ones = np.ones(len(inside))
    a = sp.coo_array(
        (
            np.concatenate([ones, ones, -upper_kw[inside]]),
            (np.tile(row, 3), np.concatenate([made[inside], room[inside], share])),
        ),
        shape=(len(inside), len(program.c) + len(names)),
    )
    zeros = np.zeros(len(names))
    return _appended(program, a, np.zeros(len(inside)), c=zeros, x_hi=zeros + 1.0)


def _proportional(
    program: LinearProgram, made: Ints, room: Ints, upper_kw: Floats, weight: Floats
) -> tuple[LinearProgram, Pieces]:
    """What is taken from each plant in pieces:  cap + Σ piece = upper."""
    n, k = len(upper_kw), len(FRACTIONS) - 1
    pieces = Pieces(first=len(program.c), upper_kw=upper_kw, weight=weight)
    row = np.arange(n)
    a = sp.coo_array(
        (
            np.ones(n * (k + 2)),
            (
                np.concatenate([row, row, np.repeat(row, k)]),
                np.concatenate([made, room, pieces.first + np.arange(n * k)]),
            ),
        ),
        shape=(n, len(program.c) + n * k),
    )
    zeros = np.zeros(n * k)
    wide = _appended(program, a, upper_kw, c=zeros, x_hi=zeros)
    return pieces.laid(wide, np.broadcast_to(FRACTIONS, (n, k + 1))), pieces


def _slopes(fractions: Floats) -> tuple[Floats, Floats]:
    """Width of each piece, and what it costs per fraction taken, shape (plant, piece) both.

    Chords of f − 1 − log f, from 1 downwards; below `LEAST` its tangent there.
    """
    high, low = fractions[:, :-1], fractions[:, 1:]
    width = high - low
    above = np.maximum(low, LEAST)
    chord = np.log(np.maximum(high, LEAST) / above) / np.where(width > 0.0, width, 1.0) - 1.0
    return width, np.where(high <= LEAST, 1.0 / LEAST - 1.0, np.where(width > 0.0, chord, 0.0))


def _appended(
    program: LinearProgram, a: sp.coo_array, equal_to: Floats, *, c: Floats, x_hi: Floats
) -> LinearProgram:
    """The program with equations, and variables from 0 to `x_hi`, after its own."""
    below = sp.csr_array(a)
    own = program.a
    wide = sp.csr_array((own.data, own.indices, own.indptr), shape=(own.shape[0], a.shape[1]))
    return replace(
        program,
        c=np.concatenate([program.c, c]),
        a=Sparse.of(sp.vstack([wide, below])),
        row_lo=np.concatenate([program.row_lo, equal_to]),
        row_hi=np.concatenate([program.row_hi, equal_to]),
        x_lo=np.concatenate([program.x_lo, np.zeros(len(c))]),
        x_hi=np.concatenate([program.x_hi, x_hi]),
    )
