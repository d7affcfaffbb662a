"""The feeder around one operating point, of a feeder so small that full matrices are quicker.

The same equations as in `linear`. With few unknowns all DERs' slopes of all voltages come of one
factorisation and one solve, and every question after that is a product.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from feeders.bulk import Complexes
from feeders.jacobian import Pattern, entries_of
from feeders.laws import Branches, Draw
from feeders.linear import current_weights, injected_per_unit, voltage_weights
from feeders.network import Frame, Network, largest_pct, loading_pct
from feeders.values import Floats, LoadFlow


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where numbers stand in the full matrices; columns one after the other."""

    matrix: NDArray[np.intp]
    """Of each entry of the pattern in the Jacobian, shape (entry,)."""
    own: NDArray[np.intp]
    """Branches of DERs."""
    kept: NDArray[np.intp]
    """Of the currents ±P and ±Q at both ends of these branches, those that ground does not take."""
    right: NDArray[np.intp]
    """Where the real parts of these, then the imaginary ones, stand in the right-hand sides."""
    size: tuple[int, int]
    """Unknowns; right-hand sides."""

    @classmethod
    def of(cls, pattern: Pattern, branches: Branches, loads: int, ders: int) -> "Places":
        """Find them, once for a pattern."""
        n = 2 * pattern.size
        b, own = branches, np.flatnonzero(branches.owner >= loads)
        der = b.owner[own] - loads
        column = np.concatenate((der, der, der + ders, der + ders))
        nodes = np.concatenate((b.start[own], b.end[own], b.start[own], b.end[own]))
        kept = np.flatnonzero(nodes > 0)
        at = n * column[kept] + pattern.re[nodes[kept] - 1]
        return cls(
            matrix=pattern.indices + n * np.repeat(np.arange(n), np.diff(pattern.indptr)),
            own=own,
            kept=kept,
            right=np.concatenate((at, at + 1)),
            size=(n, 2 * ders),
        )


def voltages_moved(
    places: Places,
    pattern: Pattern,
    wires: Floats,
    pairs: tuple[Complexes, Complexes],
    currents: tuple[Complexes, Complexes],
) -> Complexes:
    """Change of each node's voltage per kW, then per kvar, of each DER.

    Args:
        places: of the pattern.
        pattern: the feeder's.
        wires: their part of the Jacobian.
        pairs: ∂current/∂V and ∂current/∂conj(V) of each pair of branches [S].
        currents: of each of the DERs' branches, per kW and per kvar asked for [A].

    Returns:
        Shape (node, 2 · der), the engine's order [V].

    Raises:
        RuntimeError: the Jacobian is singular.
    """
    n, k = places.size
    full = np.zeros(n * n)
    full[places.matrix] = entries_of(pattern, wires, *pairs)
    p, q = currents
    values = np.concatenate((p, -p, q, -q))[places.kept]
    right = np.bincount(
        places.right, np.concatenate((values.real, values.imag)), minlength=n * k
    ).astype(float)
    _, _, found, info = lapack.dgesv(
        full.reshape((n, n), order="F"), right.reshape((n, k), order="F"),
        overwrite_a=True, overwrite_b=True,
    )  # fmt: skip
    if info:
        raise RuntimeError("the Jacobian of the load flow is singular")
    dv = np.empty((pattern.size, k), dtype=complex)
    dv.real, dv.imag = found[pattern.re], found[pattern.re + 1]
    return dv


@dataclass(frozen=True, kw_only=True, eq=False)
class SmallLinear:
    """Slopes of voltages and loadings with P and Q of each DER, taps and capacitors frozen."""

    flow: LoadFlow
    ders: tuple[str, ...]
    frame: Frame
    network: Network
    voltage: Complexes
    """Node voltages without ground, the engine's order [V]."""
    dv: Complexes
    """Their change per kW, then per kvar, of each DER, shape (node, 2 · der) [V]."""

    def change(self, dp_kw: Floats, dq_kvar: Floats) -> tuple[Floats, Floats]:
        """Change of all voltages [pu] and loadings [%] with powers moved, by one product."""
        moved = np.concatenate((dp_kw, dq_kvar))
        loading = loading_pct(self.frame, self._currents(moved))
        return self._slopes @ moved, loading - self.flow.loading_pct

    def voltage_rows(self, nodes: Sequence[int]) -> tuple[Floats, Floats]:
        """∂|V|/∂P [pu/kW] and ∂|V|/∂Q [pu/kvar] of some nodes, each (len(nodes), der)."""
        return self._apart(self._slopes[np.asarray(nodes, dtype=np.intp)])

    def loading_rows(self, elements: Sequence[int]) -> tuple[Floats, Floats]:
        """∂loading/∂P [%/kW] and ∂loading/∂Q [%/kvar], each (len(elements), der)."""
        still = np.zeros(len(self.ders))
        return self.loading_cuts(elements, still, still)[1:]

    def loading_cuts(
        self, elements: Sequence[int], dp_kw: Floats, dq_kvar: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Loadings [%] with powers moved, and their slopes there."""
        which = np.asarray(elements, dtype=np.intp)
        currents = self._currents(np.concatenate((dp_kw, dq_kvar)))
        loading, phase = largest_pct(self.frame, currents)
        weights = current_weights(self.frame, currents[phase])[which]
        slopes = (np.conj(weights)[:, None] * self._by_current[1][phase[which]]).real
        return loading[which], *self._apart(slopes)

    def _apart(self, slopes: Floats) -> tuple[Floats, Floats]:
        n = len(self.ders)
        return slopes[:, :n].copy(), slopes[:, n:].copy()

    def _currents(self, moved: Floats) -> Complexes:
        """Current of each phase of each element with the powers moved [A].

        The two parts apart: through a switch of next to no impedance their sum is round-off.
        """
        at, slopes = self._by_current
        return np.asarray(at + slopes @ moved)

    @cached_property
    def _slopes(self) -> Floats:
        """∂|V| by P, then Q, of each DER, shape (node, 2 · der) [pu/kW, pu/kvar]."""
        weights = voltage_weights(self.frame, self.voltage)
        return np.asarray((np.conj(weights)[:, None] * self.dv[self.frame.place]).real)

    @cached_property
    def _by_current(self) -> tuple[Complexes, Complexes]:
        """Current of each phase of each element, and its slopes, shape (phase, 2 · der) [A]."""
        return self.network.currents(self.voltage), self.network.currents(self.dv)


def currents_of(
    places: Places, branches: Branches, draw: Draw, gain: Floats | None, loads: int
) -> tuple[Complexes, Complexes]:
    """Current of each of the DERs' branches, per kW and per kvar asked for [A].

    `gain`: kW that come of each kW asked for, shape (der,); None is all of them.
    """
    own = places.own
    p, q = injected_per_unit(branches, draw, own)
    return (p if gain is None else p * gain[branches.owner[own] - loads]), q
