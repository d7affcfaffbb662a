"""The wires: admittances and terminal currents, without loads and DERs.

Everything here holds for one stand of taps and capacitors.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from feeders.bulk import Complexes
from feeders.values import Floats

SMALL_NODES = 60
"""Nodes up to which full matrices are quicker than sparse ones, whose handling takes longer than
their arithmetic: a factorisation of the real and imaginary parts of 60 nodes takes 0.1 ms, of
80 nodes 0.2 ms, as long as all of a sparse linearisation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What stays whatever the taps do: nodes, their bases, and the rated elements."""

    nodes: tuple[str, ...]
    """`BUS.phase`, in the order in which they are shown."""
    place: NDArray[np.intp]
    """Where each shown node stands in the engine's vectors without ground, shape (node,)."""
    base_v: Floats
    """Voltage of 1 pu, shape (node,); 1 V where the file gives no base."""
    elements: tuple[str, ...]
    rating_a: Floats
    """Normal rating [A], shape (element,); infinite where there is none."""
    first: NDArray[np.intp]
    """First phase of each element among the rows of terminal currents, shape (element,)."""
    widths: NDArray[np.intp]
    """Phases of each element, shape (element,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Admittances at one stand of taps and capacitors."""

    y: sparse.csc_array
    """Node admittance, shape (node, node), the engine's order [S]."""
    terminal: sparse.csr_array
    """Current into the first terminal of each phase of each element, shape (phase, node) [S]."""
    moduli_a: Floats
    """Sum of the moduli of the currents that cancel at each node, about 1 pu, shape (node,) [A]."""
    dense: tuple[Complexes, Complexes] | None = None
    """`y` and `terminal` once more, of a small feeder."""

    @classmethod
    def of(cls, y: sparse.csc_array, terminal: sparse.csr_array, flat_v: Floats) -> "Network":
        """The network; `flat_v` are the moduli of the voltages without load, shape (node,) [V]."""
        small = y.shape[0] <= SMALL_NODES
        return cls(
            y=y, terminal=terminal, moduli_a=np.asarray(abs(y) @ flat_v),
            dense=(y.toarray(), terminal.toarray()) if small else None,
        )  # fmt: skip

    def driven(self, v: Complexes) -> Complexes:
        """Current that voltages drive out of each node into the wires, shape (node,) [A]."""
        return np.asarray((self.dense[0] if self.dense else self.y) @ v)

    def currents(self, v: Complexes) -> Complexes:
        """Current into each phase of each element, shape (phase, …) for voltages (node, …) [A]."""
        return np.asarray((self.dense[1] if self.dense else self.terminal) @ v)

    def loading_pct(self, frame: Frame, v: Complexes) -> Floats:
        """Largest phase current of each element over its rating, shape (element,) [%].

        Args:
            frame: the feeder's.
            v: node voltages without ground, the engine's order [V].
        """
        return loading_pct(frame, self.currents(v))


def loading_pct(frame: Frame, currents: Complexes) -> Floats:
    """Largest phase current of each element over its rating, shape (element,) [%]."""
    if not len(frame.elements):
        return np.empty(0)
    largest = np.maximum.reduceat(np.abs(currents), frame.first)
    return np.asarray(100.0 * largest / frame.rating_a)


def largest_pct(frame: Frame, currents: Complexes) -> tuple[Floats, NDArray[np.intp]]:
    """Largest phase current of each element over its rating [%], and which phase carries it."""
    size = np.abs(currents)
    if not len(frame.elements):
        return np.empty(0), np.empty(0, dtype=np.intp)
    largest = np.maximum.reduceat(size, frame.first)
    # The first phase that reaches the largest current.
    reaches = np.flatnonzero(size == np.repeat(largest, frame.widths))
    phase = reaches[np.searchsorted(reaches, frame.first)]
    return 100.0 * largest / frame.rating_a, phase


def read_frame(context: Any) -> Frame:
    """The frame of a compiled feeder."""
    nodes = tuple(str(n).upper() for n in context.Circuit.AllNodeNames())
    order = {str(n).upper(): i for i, n in enumerate(context.Circuit.YNodeOrder())}
    base: dict[str, float] = {}
    for bus in context.Circuit.AllBusNames():
        context.Circuit.SetActiveBus(bus)
        base[str(bus).upper()] = 1e3 * float(context.Bus.kVBase()) or 1.0
    names = [str(n).lower() for n in context.PDElements.AllNames()]
    names = [n for n in names if n.startswith(("line.", "transformer."))]
    ratings, widths = [], []
    for name in names:
        context.Circuit.SetActiveElement(name)
        element = context.CktElement
        amps = float(element.NormalAmps()) if element.Enabled() else 0.0
        ratings.append(amps if amps > 0.0 else np.inf)
        widths.append(int(element.NumPhases()))
    return Frame(
        nodes=nodes,
        place=np.array([order[n] for n in nodes], dtype=np.intp),
        base_v=np.array([base[n.rpartition(".")[0]] for n in nodes]),
        elements=tuple(names),
        rating_a=np.array(ratings, dtype=float),
        widths=np.array(widths, dtype=np.intp),
        first=np.cumsum([0, *widths[:-1]], dtype=np.intp)[: len(names)],
    )


def terminal_rows(context: Any, frame: Frame, which: NDArray[np.intp]) -> sparse.csr_array:
    """Current into the first terminal of each phase of some elements, the others' rows empty.

    Shape (phase, node) [S].
    """
    total, n = int(frame.widths.sum()), frame.place.size
    rows: list[NDArray[np.intp]] = []
    columns: list[NDArray[np.intp]] = []
    values: list[Complexes] = []
    for i in which:
        context.Circuit.SetActiveElement(frame.elements[i])
        element = context.CktElement
        if not element.Enabled():
            continue
        phases = int(frame.widths[i])
        refs = np.asarray(element.NodeRef(), dtype=np.intp)
        own = np.asarray(element.YPrim(), dtype=float).view(complex)
        own = own.reshape(refs.size, refs.size)[:phases]
        live = np.flatnonzero(refs)
        rows.append(np.repeat(np.arange(phases) + frame.first[i], live.size))
        columns.append(np.tile(refs[live] - 1, phases))
        values.append(own[:, live].ravel())
    if not rows:
        return sparse.csr_array((total, n), dtype=complex)
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_array(sparse.coo_array(entries, shape=(total, n)))
