"""PerLengthPhaseImpedance and PerLengthSequenceImpedance → LineCode.

Everything is per metre. CIM gives susceptance, OpenDSS wants capacitance; both sides of the
conversion use OpenDSS's 60 Hz, so the susceptance is right whatever the grid's frequency is.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from feeders.cim.document import CimObject
from feeders.cim.naming import Names, fmt
from feeders.cim.reading import Reading

NF_PER_S = 1e9 / (2.0 * math.pi * 60.0)
"""Capacitance by susceptance [nF/S]."""

Complex = NDArray[np.complex128]
Floats = NDArray[np.float64]


class LineCodes:
    """Line codes by the impedance objects they stand for, made when a line asks."""

    def __init__(self, reading: Reading) -> None:
        self._r = reading
        self._names = Names()
        self._made: dict[tuple[str, bool, int], str] = {}
        self.statements: list[str] = []

    def code(self, of: CimObject, phases: int, neutral_at: int | None) -> str | None:
        """Line code for an impedance, for as many phases; None where the file does not say.

        Args:
            of: the impedance object.
            phases: phases of the line, its neutral not counted.
            neutral_at: place of the line's neutral conductor in the matrix; None without one.
        """
        key = (of.uri, neutral_at is not None, phases)
        if key not in self._made:
            matrices = (
                self._phase_matrices(of, phases, neutral_at)
                if of.kind == "PerLengthPhaseImpedance"
                else self._sequence_matrices(of, phases)
            )
            if matrices is None:
                return None
            name = self._names.give(of.name)
            z, b = matrices
            self.statements.append(
                f"New LineCode.{name} nphases={phases} units=m rmatrix={_lower(z.real)} "
                f"xmatrix={_lower(z.imag)} cmatrix={_lower(b * NF_PER_S)}"
            )
            self._made[key] = name
        return self._made[key]

    def _phase_matrices(
        self, of: CimObject, phases: int, neutral_at: int | None
    ) -> tuple[Complex, Floats] | None:
        r = self._r
        size = round(r.number(of, "PerLengthPhaseImpedance.conductorCount", float(phases)))
        wanted = phases + (neutral_at is not None)
        if size not in (phases, wanted):
            r.fault(of, f"is of {size} conductors and used by a line of {wanted}")
            return None
        z, b = np.zeros((size, size), dtype=complex), np.zeros((size, size))
        data = r.behind("PhaseImpedanceData.PhaseImpedance", of, "PhaseImpedanceData")
        for entry in data:
            row = round(r.number(entry, "PhaseImpedanceData.row"))
            column = round(r.number(entry, "PhaseImpedanceData.column"))
            if not (1 <= row <= size and 1 <= column <= size):
                r.fault(of, f"has an entry at row {row}, column {column} of a matrix of {size}")
                continue
            i, j = row - 1, column - 1
            x = complex(
                r.number(entry, "PhaseImpedanceData.r", 0.0),
                r.number(entry, "PhaseImpedanceData.x", 0.0),
            )
            z[i, j] = z[j, i] = x
            b[i, j] = b[j, i] = r.number(entry, "PhaseImpedanceData.b", 0.0)
        if bool(np.any(z.diagonal() == 0)):
            r.fault(
                of, "lacks PhaseImpedanceData on its diagonal; give every conductor its r and x"
            )
            return None
        if neutral_at is not None and size == wanted:
            return _without(z, b, neutral_at)
        return z, b

    def _sequence_matrices(self, of: CimObject, phases: int) -> tuple[Complex, Floats]:
        kind = "PerLengthSequenceImpedance"
        names = ("r", "x", "r0", "x0", "bch", "b0ch")
        return sequence_matrices(
            [self._r.number(of, f"{kind}.{n}", None if n in ("r", "x") else 0.0) for n in names],
            phases,
        )


def sequence_matrices(values: Sequence[float], phases: int) -> tuple[Complex, Floats]:
    """Phase matrices from r, x, r0, x0, bch and b0ch; without a zero sequence, from r and x."""
    r1, x1, r0, x0, b1, b0 = values
    z1 = complex(r1, x1)
    z0 = complex(r0, x0) or z1
    b0 = b0 or b1
    eye = np.eye(phases, dtype=float)
    ones = np.ones((phases, phases))
    return z1 * eye + (z0 - z1) / 3.0 * ones, b1 * eye + (b0 - b1) / 3.0 * ones


def matrix_properties(z: Complex, b: Floats) -> str:
    """Total impedance and susceptance as properties of a line of length 1."""
    return f"rmatrix={_lower(z.real)} xmatrix={_lower(z.imag)} cmatrix={_lower(b * NF_PER_S)}"


def _without(z: Complex, b: Floats, neutral_at: int) -> tuple[Complex, Floats]:
    """The phases alone, with the neutral grounded at both ends (Kron's reduction)."""
    keep = [i for i in range(len(z)) if i != neutral_at]
    coupling = z[keep, neutral_at]
    reduced = z[np.ix_(keep, keep)] - np.outer(coupling, coupling) / z[neutral_at, neutral_at]
    return reduced, b[np.ix_(keep, keep)]


def _lower(matrix: Floats) -> str:
    """The lower triangle, as OpenDSS reads matrices."""
    rows = [" ".join(fmt(v) for v in matrix[i, : i + 1]) for i in range(len(matrix))]
    return f"[{' | '.join(rows)}]"
