"""Which column of the matrices is which variable of which DER."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Column = tuple[str, str]
"""Name of a variable and of its DER (empty for the grid)."""
Ints = NDArray[np.intp]

POWER = ("p_pv", "p_dis", "p_dg")
"""The variable that is a DER's active power."""
BESIDE = ("room", "p_ch")
"""What is added to it towards the network, where a PV plant counts with its cap; or, of a battery,
taken off."""


class Laid(NamedTuple):
    """Where the powers of some DERs stand in a row: power, what is beside it, Q given and taken."""

    two: Ints
    """DERs with a column beside their power, as places among those asked for."""
    sign: NDArray[np.float64]
    """With which each of these columns counts."""
    columns: Ints
    """Of all powers, those beside, then all Q injected and all Q absorbed."""


class Columns(Mapping[Column, int]):
    """Number of each variable, by name, and of all DERs at once as arrays.

    Arrays have shape (der,), in the order of the site; −1 where a DER has no such variable.
    """

    def __init__(
        self,
        variables: Sequence[Column],
        rows: Sequence[Column],
        ders: tuple[str, ...],
        circles: Sequence[str] = (),
    ) -> None:
        self.rows = {row: i for i, row in enumerate(rows)}
        """Number of each row, by the name of its constraint."""
        self.circles = tuple(circles)
        """DERs whose circles the quadratic rows are, in their order."""
        self._number = {variable: i for i, variable in enumerate(variables)}
        self.ders = ders
        self._place = {name: i for i, name in enumerate(ders)}
        self.power = np.maximum.reduce([self._all(kind) for kind in POWER])
        self.beside = np.maximum.reduce([self._all(kind) for kind in BESIDE])
        self.sign = np.where(self._all("p_ch") >= 0, -1.0, 1.0)
        """With which the column beside counts."""
        self.room = self._all("room")
        self.pv = np.flatnonzero(self.room >= 0)
        """Places of the PV plants in these arrays, shape (plant,)."""
        self.inject = self._all("q_inj")
        self.absorb = self._all("q_abs")
        self._laid: tuple[tuple[str, ...], Laid] | None = None

    def __getitem__(self, variable: Column) -> int:
        return self._number[variable]

    def __iter__(self) -> Iterator[Column]:
        return iter(self._number)

    def __len__(self) -> int:
        return len(self._number)

    def laid(self, ders: tuple[str, ...]) -> "Laid":
        """Where powers of some DERs stand in a row of the matrix."""
        if self._laid is None or self._laid[0] != ders:
            at = np.array([self._place[name] for name in ders], dtype=np.intp)
            two = np.flatnonzero(self.beside[at] >= 0)
            columns = (self.power[at], self.beside[at[two]], self.inject[at], self.absorb[at])
            self._laid = ders, Laid(two, self.sign[at[two]], np.concatenate(columns))
        return self._laid[1]

    def _all(self, variable: str) -> Ints:
        return np.array([self._number.get((variable, n), -1) for n in self.ders], dtype=np.intp)
