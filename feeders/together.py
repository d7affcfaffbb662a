"""Several operating points of one small feeder judged at once.

The same sums as for one, in the same order, so that the numbers are the same to the last bit: of a
small feeder most of the time goes into calling NumPy, not into what it then does.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feeders.bulk import Complexes
from feeders.laws import Draw, Law
from feeders.network import Frame, Network
from feeders.values import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the voltages of a point come to."""

    draw: Draw
    asked_va: float
    """Sum of the moduli of what the branches draw [VA]."""
    drawn_kw: float
    """Active power they draw together [kW]."""
    mismatch_va: float
    """Largest mismatch of power at a node [VA]."""
    v_pu: Floats
    """Shape (shown node,) [pu]."""
    loading_pct: Floats
    """Shape (element,) [%]."""


class Judge:
    """Judges points at which all branches draw constant power."""

    def __init__(self, law: Law, frame: Frame) -> None:
        """Take a feeder's branches, `constant`, and its frame."""
        self._law, self._frame = law, frame
        self._shown = frame.place + 1
        self._ends: dict[int, tuple[Places, Places]] = {}

    def judged(
        self, network: Network, sources: Complexes, voltage: Complexes, asked_va: Complexes,
        absurd_v: float,
    ) -> Iterator[Judged | None]:  # fmt: skip
        """Judge some points; None for those where a branch draws another power.

        Args:
            network: the feeder's wires, with full matrices.
            sources: currents of the sources, ground in front, shape (node + 1,) [A].
            voltage: of each point, ground in front, shape (point, node + 1) [V].
            asked_va: power of each branch, shape (point, branch) [VA].
            absurd_v: from which a voltage is none [V].
        """
        dense = network.dense
        assert dense is not None  # noqa: S101 - who calls has asked
        frame, b, count = self._frame, self._law.branches, len(voltage)
        size = np.abs(voltage)
        across = voltage.take(b.start, axis=1) - voltage.take(b.end, axis=1)
        magnitude = np.abs(across)
        straight = self._law.follows(magnitude) & (np.maximum.reduce(size, axis=1) < absurd_v)
        if not np.logical_and.reduce(straight):  # no voltage to divide by: judged by itself
            magnitude = np.where(straight[:, None], magnitude, 1.0)
        y = asked_va.conj() / np.square(magnitude)
        current = y * across
        each = voltage[:, 1:, None]
        driven, currents = (np.matmul(matrix, each)[:, :, 0] for matrix in dense)
        starts, ends = self._at(count, voltage.shape[1])
        drawn = _summed(current, starts) - _summed(current, ends)
        missing = driven + drawn[:, 1:] - sources[1:]
        mismatch_va = np.maximum.reduce(np.abs(missing) * size[:, 1:], axis=1, initial=0.0)
        moduli_va = np.add.reduce(np.abs(asked_va), axis=1)
        drawn_kw = np.add.reduce(asked_va.real, axis=1) / 1e3
        v_pu = size.take(self._shown, axis=1) / frame.base_v
        loading = np.empty((count, 0))
        if frame.elements:
            largest = np.maximum.reduceat(np.abs(currents), frame.first, axis=1)
            loading = 100.0 * largest / frame.rating_a
        told = zip(
            straight.tolist(), moduli_va.tolist(), drawn_kw.tolist(), mismatch_va.tolist(),
            strict=True,
        )  # fmt: skip
        for i, (follows, asked, kw, mismatch) in enumerate(told):
            if not follows:
                yield None
                continue
            draw = Draw(
                current=current[i], power=asked_va[i], unit=b.p, across=across[i],
                magnitude=magnitude[i], admittance=y[i], bend=0.0,
            )  # fmt: skip
            yield Judged(
                draw=draw, asked_va=asked, drawn_kw=kw, mismatch_va=mismatch, v_pu=v_pu[i],
                loading_pct=loading[i],
            )  # fmt: skip

    def _at(self, count: int, nodes: int) -> tuple["Places", "Places"]:
        """Where the branches of so many points begin and end."""
        found = self._ends.get(count)
        if found is None:
            b = self._law.branches
            found = self._ends[count] = (
                Places.of(b.start, count, nodes), Places.of(b.end, count, nodes)
            )  # fmt: skip
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the real and imaginary parts of the branches' currents go, of several points."""

    which: NDArray[np.intp]
    shape: tuple[int, int]
    """Points, nodes with ground."""

    @classmethod
    def of(cls, node: NDArray[np.intp], count: int, nodes: int) -> "Places":
        """At one of the branches' ends; `node` has the shape (branch,)."""
        at = 2 * (node + nodes * np.arange(count)[:, None])
        return cls(which=np.stack((at, at + 1), axis=-1).ravel(), shape=(count, nodes))


def _summed(current: Complexes, places: Places) -> Complexes:
    """Sum of the branches' currents at one of their ends, shape (point, node) [A]."""
    count, nodes = places.shape
    total = np.bincount(places.which, current.view(float).ravel(), 2 * nodes * count)
    return total.view(complex).reshape(count, nodes)
