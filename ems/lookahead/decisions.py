"""The either-ors of a horizon, and what a point leaves undecided."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from scipy.sparse.csgraph import connected_components

from ems.lookahead.program import Floats, Ints, Program

BOTH_KW = 1e-6
"""Smaller of two powers above which both count as used [kW]: above what a solver leaves."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """Generators with a least power. Shapes (interval, generator) and (generator,)."""

    power: Ints
    on: Ints
    least: Floats
    rise: Floats
    """Largest rise within an interval, while it runs [kW]."""
    fall: Floats
    held: Flags
    """Pinned in the first interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EitherOr:
    """Every decision a horizon holds."""

    pairs: Ints
    """Columns of which one is zero, shape (pair, 2); batteries first: charge, discharge."""
    efficiency: Floats
    """(charging, discharging) of the batteries' pairs, shape (battery pair, 2)."""
    grid: Ints
    """Import and export of the interval of each battery pair, shape (battery pair, 2)."""
    starts: Starts


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Decisions that a point leaves open."""

    pairs: Flags
    starts: Flags
    """Shape (interval, generator)."""

    def __bool__(self) -> bool:
        return bool(self.pairs.any() or self.starts.any())

    def __or__(self, other: "Open") -> "Open":
        return Open(pairs=self.pairs | other.pairs, starts=self.starts | other.starts)

    @property
    def count(self) -> int:
        """How many they are."""
        return int(self.pairs.sum() + self.starts.sum())

    def around(self, intervals: int) -> "Open":
        """The same, and starts of the same generator up to so many intervals away."""
        near = np.ones((2 * intervals + 1, 1), dtype=bool)
        return Open(pairs=self.pairs, starts=binary_dilation(self.starts, near))


def netted(program: Program, either: EitherOr, network: Ints, x: Floats) -> Floats:
    """Take charge against discharge at the same stored energy, where that costs nothing.

    What no longer is lost in the round trip is bought less, or sold.
    """
    k = len(either.efficiency)
    charge, discharge = either.pairs[:k].T
    both = np.flatnonzero(np.minimum(x[charge], x[discharge]) > 0.0)
    found = x.copy()
    a, row_hi = program.a[network], program.row_hi[network] + 1e-9
    for i in both:
        trial = found.copy()
        c, d = either.pairs[i]
        bought, sold = either.grid[i]
        eta_in, eta_out = either.efficiency[i]
        drawn = trial[d] / eta_out - trial[c] * eta_in
        before = trial[d] - trial[c]
        trial[d], trial[c] = max(0.0, drawn * eta_out), max(0.0, -drawn / eta_in)
        more = trial[d] - trial[c] - before
        less = min(more, trial[bought] - program.x_lo[bought])
        trial[bought] -= less
        trial[sold] += more - less
        touched = np.array([c, d, bought, sold])
        rise = float(program.c[touched] @ (trial - found)[touched])
        kept = trial[sold] <= program.x_hi[sold]
        if kept and len(network):
            kept = bool(np.all(a @ trial <= row_hi))
        if kept and rise <= 1e-12:
            found = trial
    return found


def left_open(either: EitherOr, x: Floats) -> Open:
    """What a point does not decide: both at once, below least power, a ramp only a start allows."""
    pairs = np.minimum(x[either.pairs[:, 0]], x[either.pairs[:, 1]]) > BOTH_KW
    at = either.starts
    p = x[at.power]
    runs = p > BOTH_KW
    open_ = runs & (p < at.least - BOTH_KW)
    if len(p) > 1:
        rise, fall = p[1:] - p[:-1], p[:-1] - p[1:]
        jumps = runs[:-1] & (rise > at.rise + BOTH_KW)
        drops = runs[1:] & (fall > at.fall + BOTH_KW)
        # A start is told from a rise by the interval before, a stop from a fall by the one after.
        open_[:-1] |= jumps
        open_[1:] |= drops
    open_[0] &= ~at.held
    return Open(pairs=pairs, starts=open_)


def every(either: EitherOr) -> Open:
    """All of them, but for generators that are pinned."""
    starts = np.ones(either.starts.on.shape, dtype=bool)
    starts[0] = ~either.starts.held
    return Open(pairs=np.ones(len(either.pairs), dtype=bool), starts=starts)


def touched(size: int, either: EitherOr, left: Open) -> Flags:
    """Columns of decisions that are open."""
    found = np.zeros(size, dtype=bool)
    found[either.pairs[left.pairs].ravel()] = True
    found[either.starts.power[left.starts]] = True
    found[either.starts.on[left.starts]] = True
    return found


def parts(a: sp.csr_array, either: EitherOr) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Labels of the parts that rows and columns fall into; the two of a pair stay together."""
    k = np.arange(len(either.pairs))
    pairs = sp.csr_array(
        (np.ones(2 * len(k)), (np.repeat(k, 2), either.pairs.ravel())), shape=(len(k), a.shape[1])
    )
    links = sp.vstack([a, pairs])
    blank = sp.csr_array((links.shape[0], links.shape[0]))
    top = sp.hstack([blank, links])
    below = sp.csr_array((links.shape[1], top.shape[1]))
    _, labels = connected_components(sp.vstack([top, below]), directed=False)
    return labels[: a.shape[0]], labels[links.shape[0] :]


def restricted(either: EitherOr, columns: NDArray[np.intp]) -> tuple[EitherOr, Flags, Flags]:
    """The decisions among some columns, renumbered; and which pairs and generators these are."""
    at = either.starts
    pairs = np.isin(either.pairs[:, 0], columns)
    starts = np.isin(at.on[0], columns)
    inner = EitherOr(
        pairs=np.searchsorted(columns, either.pairs[pairs]).astype(np.int32),
        efficiency=np.empty((0, 2)),
        grid=np.empty((0, 2), dtype=np.int32),
        starts=Starts(
            power=np.searchsorted(columns, at.power[:, starts]).astype(np.int32),
            on=np.searchsorted(columns, at.on[:, starts]).astype(np.int32),
            least=at.least[starts],
            rise=at.rise[starts],
            fall=at.fall[starts],
            held=at.held[starts],
        ),
    )
    return inner, pairs, starts
