"""Many values of the engine at once.

The engine's plain interface makes one element active, then asks it. Asked one by one, a
thousand loads cost more than their load flow; the engine's batches and its own vectors do not.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from feeders.values import Floats

Complexes = NDArray[np.complex128]
Ints = NDArray[np.int32]

KEEP_ADMITTANCE = 2
"""Flag of the engine: a new power leaves the element's part of the system admittance alone.
That part only speeds up the fixed point, so answers do not depend on what was asked before."""


class Elements:
    """Elements of one class, in the order given; their properties are read and written whole."""

    def __init__(self, context: Any, kind: str, indices: Sequence[int]) -> None:
        """Args: `indices` count from 0 in the engine's list of the class `kind`."""
        loads = context.Loads  # any part of the interface leads to the library below it
        self._util = loads._api_util  # noqa: SLF001 - the batches have no public face but AltDSS
        self._lib, self._ffi = self._util.lib, self._util.ffi
        self._check = loads._check_for_error  # noqa: SLF001 - as above
        self._batch = self._ffi.new("void***")
        self._count = self._ffi.new("int32_t[4]")
        self.size = len(indices)
        if indices:
            which = np.asarray(indices, dtype=np.int32) + 1  # the engine counts from 1
            pointer = self._ffi.cast("int32_t*", self._ffi.from_buffer(which))
            self._lib.Batch_CreateByIndexS(
                self._batch, self._count, kind.encode(), pointer, self.size
            )
            self._check()
            if self._count[0] != self.size:  # it leaves out what it does not find
                raise IndexError(f"{kind}: {self.size} elements asked for, {self._count[0]} found")
            self._data = np.empty(self.size)
            self._pointer = self._ffi.cast("double*", self._ffi.from_buffer(self._data))

    def floats(self, name: str) -> Floats:
        """One number of each element."""
        if not self.size:
            return np.empty(0)
        get = self._util.lib_unpatched.Batch_GetFloat64S
        found = self._util.get_float64_array(get, self._batch[0], self.size, name.encode())
        return np.asarray(found, dtype=float)

    def integers(self, name: str) -> Ints:
        """One whole number or choice of each element."""
        if not self.size:
            return np.empty(0, dtype=np.int32)
        get = self._util.lib_unpatched.Batch_GetInt32S
        found = self._util.get_int32_array(get, self._batch[0], self.size, name.encode())
        return np.asarray(found, dtype=np.int32)

    def write(self, name: str, values: Floats, flags: int = KEEP_ADMITTANCE) -> None:
        """Set one number of each element."""
        if not self.size:
            return
        self._data[:] = values
        self._lib.Batch_SetFloat64ArrayS(
            self._batch[0], self.size, name.encode(), self._pointer, flags
        )
        self._check()


class Vectors:
    """The engine's vectors over the nodes; entry 0 is ground."""

    def __init__(self, context: Any) -> None:
        self._y = context.YMatrix
        self._ffi = context.Loads._api_util.ffi  # noqa: SLF001 - the vectors are raw memory
        self._bytes = 16 * (int(context.Circuit.NumNodes()) + 1)

    def voltages(self) -> Complexes:
        """Voltage of each node against ground, shape (node + 1,) [V]."""
        return self._copied(self._y.VVector())

    def source_currents(self) -> Complexes:
        """Current that the sources drive into each node behind their admittance [A].

        Overwrites the engine's vector of currents, which each solve makes anew.
        """
        self._y.ZeroInjCurr()
        self._y.GetSourceInjCurrents()
        return self._copied(self._y.IVector())

    def start_flat(self) -> None:
        """Have the next solve begin without load, whatever was solved before."""
        self._y.SolutionInitialized(False)

    def _copied(self, pointer: Any) -> Complexes:
        return np.frombuffer(self._ffi.buffer(pointer, self._bytes), dtype=complex).copy()


def rebuild(context: Any) -> None:
    """Have the engine build its admittance matrix anew, of all that is enabled.

    The other ways to ask for it drop capacitors or leave one of long ago.
    """
    context.YMatrix.BuildYMatrixD(2, 0)


def system_admittance(context: Any) -> sparse.csc_array:
    """The admittance matrix as built last, shape (node, node), ground left out [S]."""
    found = context.YMatrix.getYsparse(True)
    n = int(context.Circuit.NumNodes())
    if found is None:
        return sparse.csc_array((n, n), dtype=complex)
    return sparse.csc_array(found, shape=(n, n))
