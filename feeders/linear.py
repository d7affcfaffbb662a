"""The feeder around one operating point, as `Linearisation` asks for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from feeders.bulk import Complexes
from feeders.jacobian import Factor, Pattern
from feeders.laws import Branches, Draw
from feeders.network import Frame, Network, largest_pct, loading_pct
from feeders.values import Floats, LoadFlow

NO_VOLTAGE_PU = 1e-3
"""A node below this is without voltage, or a neutral: its magnitude has no slope."""
NO_CURRENT_PCT = 1e-6
"""An element below this loading carries nothing: likewise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """Slopes of voltages and loadings with P and Q of each DER, taps and capacitors frozen.

    Holds all it needs; the engine may have moved on.
    """

    flow: LoadFlow
    ders: tuple[str, ...]
    frame: Frame
    network: Network
    factor: Factor
    voltage: Complexes
    """Node voltages without ground, the engine's order [V]."""
    injected: sparse.csr_array
    """Current injected per kW, then per kvar, of each DER: (2 · der, unknown), in the order of
    the factor's pattern [A]."""

    def change(self, dp_kw: Floats, dq_kvar: Floats) -> tuple[Floats, Floats]:
        """Change of all voltages [pu] and loadings [%] with powers moved, by one solve."""
        dv = self._moved(dp_kw, dq_kvar)
        loading = loading_pct(self.frame, self._currents(dv))
        return (
            (np.conj(voltage_weights(self.frame, self.voltage)) * dv[self.frame.place]).real,
            loading - self.flow.loading_pct,
        )

    def _moved(self, dp_kw: Floats, dq_kvar: Floats) -> Complexes:
        """Change of the node voltages, without ground, the engine's order [V]."""
        re = self.factor.pattern.re
        found = self.factor.forward(
            np.asarray(np.concatenate((dp_kw, dq_kvar)).astype(float) @ self.injected)
        )
        dv = np.empty(re.size, dtype=complex)
        dv.real, dv.imag = found[re], found[re + 1]
        return dv

    def _currents(self, dv: Complexes) -> Complexes:
        """Current of each phase of each element with the voltages moved [A].

        The two parts apart: through a switch of next to no impedance their sum is round-off.
        """
        return self.network.currents(self.voltage) + self.network.currents(dv)

    def voltage_rows(self, nodes: Sequence[int]) -> tuple[Floats, Floats]:
        """∂|V|/∂P [pu/kW] and ∂|V|/∂Q [pu/kvar] of some nodes, each (len(nodes), der)."""
        which = np.asarray(nodes, dtype=np.intp)
        weights = voltage_weights(self.frame, self.voltage)[which]
        return self._rows(which.size, np.arange(which.size), self.frame.place[which], weights)

    def loading_rows(self, elements: Sequence[int]) -> tuple[Floats, Floats]:
        """∂loading/∂P [%/kW] and ∂loading/∂Q [%/kvar], each (len(elements), der)."""
        still = np.zeros(len(self.ders))
        return self.loading_cuts(elements, still, still)[1:]

    def loading_cuts(
        self, elements: Sequence[int], dp_kw: Floats, dq_kvar: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Loadings [%] with powers moved, and their slopes there."""
        which = np.asarray(elements, dtype=np.intp)
        currents = self._currents(self._moved(dp_kw, dq_kvar))
        loading, phase = largest_pct(self.frame, currents)
        own = sparse.coo_array(self.network.terminal[phase[which]])
        weights = current_weights(self.frame, currents[phase])[which]
        c_p, c_q = self._rows(which.size, own.row, own.col, np.conj(own.data) * weights[own.row])
        return loading[which], c_p, c_q

    def _rows(
        self, count: int, row: NDArray[Any], node: NDArray[Any], weights: Complexes
    ) -> tuple[Floats, Floats]:
        """Slopes of Re(Σ conj(weight)·V(node)) for each row, by adjoint solves."""
        n, re = len(self.ders), self.factor.pattern.re[node]
        rows = np.zeros((count, 2 * self.factor.pattern.size))
        rows[row, re], rows[row, re + 1] = weights.real, weights.imag
        slopes = np.asarray(self.injected @ self.factor.adjoint(rows).T).T
        return slopes[:, :n].copy(), slopes[:, n:].copy()


def voltage_weights(frame: Frame, voltage: Complexes) -> Complexes:
    """Weights w: d|V| = Re(conj(w)·dV) [pu/V], shape (node,)."""
    v = voltage[frame.place]
    size = np.abs(v)
    live = size > NO_VOLTAGE_PU * frame.base_v
    return np.where(live, v / np.where(live, size, 1.0) / frame.base_v, 0.0)


def current_weights(frame: Frame, i: Complexes) -> Complexes:
    """Weights w: d loading = Re(conj(w)·dI) [%/A], of the largest phases' currents [A]."""
    size = np.abs(i)
    live = 100.0 * size > NO_CURRENT_PCT * frame.rating_a
    live &= np.isfinite(frame.rating_a)
    scale = np.where(live, size, 1.0) * np.where(live, frame.rating_a, 1.0)
    return np.where(live, 100.0 * i / scale, 0.0)


def injected_per_unit(
    branches: Branches, draw: Draw, own: NDArray[np.intp]
) -> tuple[Complexes, Complexes]:
    """Current that some branches of DERs inject per kW, and per kvar, of their DER [A]."""
    per_kw = 1e3 * branches.share[own] / np.conj(draw.across[own])
    return per_kw * draw.unit[0, own], -1j * per_kw * draw.unit[1, own]


def injections_of(
    branches: Branches,
    draw: Draw,
    pattern: Pattern,
    loads: int,
    ders: int,
    gain: Floats | None = None,
) -> sparse.csr_array:
    """Current that 1 kW, then 1 kvar, of each DER injects at these voltages [A].

    Args:
        branches: all of them.
        draw: theirs at the voltages in question.
        pattern: gives the order of the columns.
        loads: owners before the first DER.
        ders: number of DERs.
        gain: kW that come of each kW asked for, shape (der,); None is all of them.
    """
    b = branches
    own = np.flatnonzero(b.owner >= loads)
    der = b.owner[own] - loads
    p, q = injected_per_unit(b, draw, own)
    p = p if gain is None else p * gain[der]
    rows = np.concatenate((der, der, der + ders, der + ders))
    nodes = np.concatenate((b.start[own], b.end[own], b.start[own], b.end[own]))
    keep = nodes > 0
    values, rows, at = np.concatenate((p, -p, q, -q))[keep], rows[keep], nodes[keep] - 1
    re = pattern.re[at]
    entries = (
        np.concatenate((values.real, values.imag)),
        (np.concatenate((rows, rows)), np.concatenate((re, re + 1))),
    )
    shape = (2 * ders, 2 * pattern.size)
    return sparse.csr_array(sparse.coo_array(entries, shape=shape))
