"""The wires at each stand of taps and capacitors: read from the engine once, kept for a while."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from feeders.bulk import Elements, Vectors, rebuild, system_admittance
from feeders.controls import Controls
from feeders.jacobian import Pattern, factorise, pattern_of, wire_values
from feeders.laws import Branches
from feeders.network import Frame, Network, terminal_rows
from feeders.small import Places
from feeders.values import Floats, Regulation

Key = tuple[tuple[float, ...], ...]
"""A stand of taps and capacitors, to be looked up by."""

STANDS_KEPT = 8
"""Stands whose wires are kept: a search goes to and fro between few."""
STRAY_A, LIFTED_PU = 1e-3, 0.1
"""A current into every node at once, and the voltage that it drives only where nothing ties the
node to ground: some 10 pu there, below 0.001 pu elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """The wires at one stand of taps and capacitors."""

    network: Network
    pattern: Pattern
    wires: Floats
    """The wires' part of the Jacobian."""
    places: Places | None = None
    """Where its numbers stand in full matrices; of a small feeder."""


class Stands:
    """Brings the engine to a stand, and reads the wires there."""

    def __init__(
        self,
        context: Any,
        controls: Controls,
        elements: Elements,
        frame: Frame,
        branches: Branches,
        flat_v: Floats,
        ders: int,
    ) -> None:
        """Args: `flat_v` are the moduli of the voltages without load, shape (node,) [V]."""
        self._dss, self._controls, self._elements = context, controls, elements
        self._frame, self._branches, self._flat_v = frame, branches, flat_v
        self._loads, self._ders = elements.size - ders, ders
        self._vectors = Vectors(context)
        moves = np.array([n in controls.moving for n in frame.elements], dtype=bool)
        self._moving = np.flatnonzero(moves)
        self._still = terminal_rows(context, frame, np.flatnonzero(~moves))
        self._kept: OrderedDict[Key, Stand] = OrderedDict()
        self._built: Key | None = None
        """Stand that the engine's admittance is built for, without loads in it."""

    def forget(self) -> None:
        """The engine has moved taps or built its admittance by itself."""
        self._built = None

    def bring(self, regulation: Regulation) -> Stand:
        """The wires with the devices at `regulation`; the engine is brought there."""
        key = key_of(regulation)
        if self._built != key:
            self._controls.move(regulation)
            unload(self._elements)
            rebuild(self._dss)
            self._built = key
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        y = system_admittance(self._dss)
        moving = terminal_rows(self._dss, self._frame, self._moving)
        network = Network.of(y, sparse.csr_array(self._still + moving), self._flat_v)
        pattern = self._pattern(y)
        small = network.dense is not None and 0 < self._ders <= pattern.size
        found = Stand(
            network=network, pattern=pattern, wires=wire_values(pattern, y),
            places=Places.of(pattern, self._branches, self._loads, self._ders) if small else None,
        )  # fmt: skip
        self._kept[key] = found
        if len(self._kept) > STANDS_KEPT:
            self._kept.popitem(last=False)
        return found

    def floating(self) -> tuple[str, ...]:
        """Nodes that a stray current lifts without bound: nothing ties them to ground."""
        stand, frame = self.bring(self._controls.file), self._frame
        none = np.zeros(self._branches.pairs[0].size, dtype=complex)
        factor = factorise(stand.pattern, stand.wires, none, none)
        re = stand.pattern.re
        stray = np.zeros(2 * re.size)
        stray[re] = STRAY_A
        found = factor.forward(stray)
        lifted_pu = np.hypot(found[re], found[re + 1])[frame.place] / frame.base_v
        return tuple(frame.nodes[i] for i in np.flatnonzero(lifted_pu > LIFTED_PU))

    def _pattern(self, y: sparse.csc_array) -> Pattern:
        """The last pattern where it fits: taps change values, an open capacitor may more."""
        if self._kept:
            last = next(reversed(self._kept.values()))
            old = last.network.y
            if np.array_equal(old.indices, y.indices) and np.array_equal(old.indptr, y.indptr):
                return last.pattern
        return pattern_of(y, self._branches, self._dead(y))

    def _dead(self, y: sparse.csc_array) -> NDArray[np.intp]:
        """Nodes that no path of wires leads to from a source."""
        count, part = connected_components(abs(y), directed=False)
        alive = np.zeros(count, dtype=bool)
        alive[part[self._vectors.source_currents()[1:] != 0.0]] = True
        return np.flatnonzero(~alive[part])


def unload(elements: Elements) -> None:
    """Take all power from loads and DERs, so that an admittance built next is the wires alone.

    Powers written later stay out of it, and the way to a solution does not depend on them.
    """
    elements.write("kw", np.zeros(elements.size), flags=0)
    elements.write("kvar", np.zeros(elements.size), flags=0)


def key_of(regulation: Regulation) -> Key:
    """What a stand is looked up by."""
    return (*regulation.taps.values(), *regulation.capacitors.values())
