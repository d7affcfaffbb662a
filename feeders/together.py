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
    mismatch_va: float
    """Largest mismatch of power at a node [VA]."""
    v_pu: Floats
    """Shape (shown node,) [pu]."""
    loading_pct: Floats
    """Shape (element,) [%]."""


def judged(
    law: Law, frame: Frame, network: Network, sources: Complexes, voltage: Complexes,
    asked_va: Complexes, absurd_v: float,
) -> Iterator[Judged | None]:  # fmt: skip
    """Judge points at which all branches draw constant power; None for others.

    Args:
        law: of the branches; `constant`.
        frame: the feeder's.
        network: its wires, with full matrices.
        sources: currents of the sources, ground in front, shape (node + 1,) [A].
        voltage: of each point, ground in front, shape (point, node + 1) [V].
        asked_va: power of each branch, shape (point, branch) [VA].
        absurd_v: from which a voltage is none [V].
    """
    dense = network.dense
    assert dense is not None  # noqa: S101 - who calls has asked
    b, count, n = law.branches, len(voltage), voltage.shape[1]
    size = np.abs(voltage)
    across = voltage.take(b.start, axis=1) - voltage.take(b.end, axis=1)
    magnitude = np.abs(across)
    straight = law.follows(magnitude) & (size.max(axis=1) < absurd_v)
    # No voltage to divide by: such a point is judged by itself.
    y = asked_va.conj() / np.square(np.where(straight[:, None], magnitude, 1.0))
    current = y * across
    each = voltage[:, 1:, None]
    driven, currents = (np.matmul(matrix, each)[:, :, 0] for matrix in dense)
    drawn = _at_nodes(current, b.start, n) - _at_nodes(current, b.end, n)
    missing = driven + drawn[:, 1:] - sources[1:]
    mismatch_va = (np.abs(missing) * size[:, 1:]).max(axis=1, initial=0.0)
    v_pu = size.take(frame.place + 1, axis=1) / frame.base_v
    loading = np.empty((count, 0))
    if frame.elements:
        largest = np.maximum.reduceat(np.abs(currents), frame.first, axis=1)
        loading = 100.0 * largest / frame.rating_a
    for i in range(count):
        if not straight[i]:
            yield None
            continue
        draw = Draw(
            current=current[i], power=asked_va[i], unit=b.p, across=across[i],
            magnitude=magnitude[i], admittance=y[i], bend=0.0,
        )  # fmt: skip
        yield Judged(
            draw=draw, mismatch_va=float(mismatch_va[i]), v_pu=v_pu[i], loading_pct=loading[i]
        )


def _at_nodes(current: Complexes, node: NDArray[np.intp], n: int) -> Complexes:
    """Sum of the branches' currents at one of their ends, shape (point, node) [A]."""
    count = len(current)
    at = 2 * (node + n * np.arange(count)[:, None])
    places = np.stack((at, at + 1), axis=-1).ravel()
    total = np.bincount(places, current.view(float).ravel(), 2 * n * count)
    return total.view(complex).reshape(count, n)
