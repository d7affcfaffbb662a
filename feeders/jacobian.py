"""How the voltages answer to currents: the Jacobian of the load flow, factorised.

With V the node voltages, Y the wires and I(V) what loads and DERs draw, the load flow is
Y·V + I(V) = sources. Its differential, A·dV + B·conj(dV) = dI, is not complex-linear, so it is
solved over the real and imaginary parts side by side. Its pattern depends on the feeder alone;
the values of Y on taps and capacitors; the rest on the operating point.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import SuperLU, splu

from feeders.bulk import Complexes
from feeders.laws import Branches
from feeders.values import Floats

DEAD_S = 1.0
"""Admittance to ground that gives nodes without source a solution: they move with nothing."""
PIVOT = 0.01
"""A diagonal pivot is taken unless it is smaller than this part of its column: the pattern's
order, chosen to fill in little, is then mostly kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """Where each number of the Jacobian stands; once per feeder."""

    size: int
    """Nodes."""
    re: NDArray[np.intp]
    """Place of each node's real part in the factorised matrix, shape (node,); the imaginary part
    comes next."""
    indices: NDArray[np.int32]
    indptr: NDArray[np.int32]
    wires: sparse.csr_array
    """Takes (re, im) of Y's entries to the matrix's entries."""
    draws: sparse.csr_array
    """Takes (rr, ri, ir, ii) of each pair of branches to the matrix's entries."""
    dead: NDArray[np.intp]
    """Entries of the diagonal at nodes without source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """The factorised Jacobian at one operating point."""

    pattern: Pattern
    lu: SuperLU

    def forward(self, right: Floats) -> Floats:
        """Change of voltage with injected currents, both in the pattern's order [V per A]."""
        return np.asarray(self.lu.solve(right))

    def adjoint(self, rows: Floats) -> Floats:
        """What injected currents do to weighted sums of voltages: shape (row, unknown).

        Args:
            rows: the weights, in the pattern's order, shape (row, unknown).
        """
        found = np.empty_like(rows)
        for i, row in enumerate(rows):  # one by one: half the time of all at once
            found[i] = self.lu.solve(row, "T")  # type: ignore[call-overload] # its stub knows no "T"
        return found


def pattern_of(y: sparse.csc_array, branches: Branches, dead: NDArray[np.intp]) -> Pattern:
    """Find the pattern.

    Args:
        y: any Y of the feeder (its pattern does not depend on taps).
        branches: the loads and DERs.
        dead: nodes without source.
    """
    n = y.shape[0]
    coo = sparse.coo_array(y)
    drawing, seen = branches.pairs
    places = _pair_places(branches, drawing, seen)
    rank = _filling_little(coo, places, n)
    order = np.empty(2 * n, dtype=np.intp)
    order[0::2], order[1::2] = 2 * rank, 2 * rank + 1
    # Each complex entry (row, column) makes four real ones.
    y_rows, y_cols, y_source, y_sign = _wire_entries(coo)
    d_rows, d_cols, d_source, d_sign = _draw_entries(places, drawing.size)
    e_rows = np.concatenate((2 * dead, 2 * dead + 1))
    rows = order[np.concatenate((y_rows, d_rows, e_rows))]
    cols = order[np.concatenate((y_cols, d_cols, e_rows))]
    key, inverse = np.unique(cols * (2 * n) + rows, return_inverse=True)
    at_y, at_d, at_e = np.split(inverse, np.cumsum((y_rows.size, d_rows.size)))
    columns, indices = np.divmod(key, 2 * n)
    return Pattern(
        size=n,
        re=order[0::2].copy(),
        indices=indices.astype(np.int32),
        indptr=np.searchsorted(columns, np.arange(2 * n + 1)).astype(np.int32),
        wires=sparse.csr_array((y_sign, (at_y, y_source)), shape=(key.size, 2 * coo.nnz)),
        draws=sparse.csr_array((d_sign, (at_d, d_source)), shape=(key.size, 4 * drawing.size)),
        dead=at_e,
    )


def wire_values(pattern: Pattern, y: sparse.csc_array) -> Floats:
    """The part of the matrix's entries that comes of the wires; once per stand of taps."""
    values = np.asarray(sparse.coo_array(y).data).view(float)
    entries = np.asarray(pattern.wires @ values)
    entries[pattern.dead] += DEAD_S
    return entries


def entries_of(pattern: Pattern, wires: Floats, straight: Complexes, mirrored: Complexes) -> Floats:
    """The matrix's entries.

    Args:
        pattern: the feeder's.
        wires: of `wire_values`.
        straight: ∂current/∂V of each pair of branches [S].
        mirrored: ∂current/∂conj(V) of each pair [S].
    """
    a, b = straight, mirrored
    blocks = np.empty((a.size, 4))
    blocks[:, 0], blocks[:, 1] = a.real + b.real, b.imag - a.imag
    blocks[:, 2], blocks[:, 3] = a.imag + b.imag, a.real - b.real
    return np.asarray(wires + pattern.draws @ blocks.ravel())


def factorise(pattern: Pattern, wires: Floats, straight: Complexes, mirrored: Complexes) -> Factor:
    """Assemble (`entries_of`) and factorise."""
    data = entries_of(pattern, wires, straight, mirrored)
    matrix = sparse.csc_matrix(
        (data, pattern.indices, pattern.indptr), shape=(2 * pattern.size, 2 * pattern.size)
    )
    lu = splu(
        matrix,
        permc_spec="NATURAL",
        diag_pivot_thresh=PIVOT,
        relax=1,  # a feeder is thin: gathering columns into panels costs twice the time
        panel_size=1,
        options={"SymmetricMode": True, "Equil": False},
    )
    return Factor(pattern=pattern, lu=lu)


# --- the pattern ---------------------------------------------------------------------


def _pair_places(
    branches: Branches, drawing: NDArray[np.intp], seen: NDArray[np.intp]
) -> Sequence[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], float]]:
    """(pair, row, column, sign) of the up to four entries of each pair; ground left out."""
    found = []
    for row_end, row_sign in ((branches.start, 1.0), (branches.end, -1.0)):
        for col_end, col_sign in ((branches.start, 1.0), (branches.end, -1.0)):
            row, col = row_end[drawing], col_end[seen]
            pair = np.flatnonzero((row > 0) & (col > 0))
            found.append((pair, row[pair] - 1, col[pair] - 1, row_sign * col_sign))
    return found


def _filling_little(
    coo: sparse.coo_array,
    places: Sequence[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], float]],
    n: int,
) -> NDArray[np.intp]:
    """Rank of each node in an order of elimination that fills in little."""
    rows = np.concatenate([coo.row, *(p[1] for p in places), np.arange(n)])
    cols = np.concatenate([coo.col, *(p[2] for p in places), np.arange(n)])
    # Values that need no pivoting: only the pattern counts.
    off = sparse.csc_matrix((np.where(rows == cols, 0.0, 1.0), (rows, cols)), shape=(n, n))
    weight = np.asarray(off.sum(axis=0)).ravel() + np.asarray(off.sum(axis=1)).ravel()
    lu = splu(
        (off + sparse.diags(weight + 1.0)).tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    return np.asarray(lu.perm_c, dtype=np.intp)


Entries = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], Floats]


def _wire_entries(coo: sparse.coo_array) -> Entries:
    """Rows, columns, source and sign of [[re, −im], [im, re]] for each entry of Y."""
    k = np.arange(coo.nnz)
    row, col = 2 * coo.row.astype(np.intp), 2 * coo.col.astype(np.intp)
    one = np.ones(coo.nnz)
    return (
        np.concatenate((row, row, row + 1, row + 1)),
        np.concatenate((col, col + 1, col, col + 1)),
        np.concatenate((2 * k, 2 * k + 1, 2 * k + 1, 2 * k)),
        np.concatenate((one, -one, one, one)),
    )


def _draw_entries(
    places: Sequence[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], float]],
    pairs: int,
) -> Entries:
    """Likewise for the blocks of the branches, which come as (rr, ri, ir, ii)."""
    rows, cols, source, sign = [], [], [], []
    for pair, row, col, factor in places:
        for block in range(4):
            rows.append(2 * row + block // 2)
            cols.append(2 * col + block % 2)
            source.append(4 * pair + block)
            sign.append(np.full(pair.size, factor))
    if not pairs:
        empty = np.empty(0, dtype=np.intp)
        return empty, empty, empty, np.empty(0)
    return tuple(np.concatenate(x) for x in (rows, cols, source, sign))  # type: ignore[return-value] # four arrays
