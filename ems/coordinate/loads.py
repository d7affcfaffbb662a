"""Consumption load by load, and a feeder that takes it so."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ems.domain import Injections, Linearisation, LoadFlow
from ems.errors import BadInput, Fault
from feeders import Feeder
from feeders.cim import read_values

COLUMNS = ("name", "p_w", "q_var")
"""Of a table of measurements."""
SHOWN = 20
"""More faults than this at once are not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Powers:
    """Consumption by load."""

    kw: Mapping[str, float]
    kvar: Mapping[str, float]

    def scaled(self, factor: float) -> "Powers":
        """The same, each load times a factor."""
        return Powers(
            kw={n: factor * p for n, p in self.kw.items()},
            kvar={n: factor * q for n, q in self.kvar.items()},
        )

    def measured(self, found: "Powers") -> tuple["Powers", tuple[str, ...]]:
        """These nominal powers with what was measured in their place, and what was assumed.

        Loads without a measurement are taken at the share of nominal that the measured ones show
        together.
        """
        missing = [n for n in self.kw if n not in found.kw]
        nominal_kw = sum(self.kw[n] for n in found.kw)
        share = sum(found.kw.values()) / nominal_kw if nominal_kw > 0.0 else 1.0
        rest = self.scaled(share)
        notes: tuple[str, ...] = ()
        if missing:
            said = (
                f"{len(missing)} loads are not measured, as {missing[0]}: taken at {share:.3g} "
                "times nominal, as the measured ones together"
            )
            notes = (said,)
        return Powers(
            kw={n: found.kw.get(n, rest.kw[n]) for n in self.kw},
            kvar={n: found.kvar.get(n, rest.kvar[n]) for n in self.kvar},
        ), notes


class ByLoad:
    """A feeder on which every load has its own share of the whole consumption.

    A decision speaks of the whole; which load has how much of it was measured, and stays.
    """

    def __init__(self, feeder: Feeder, powers: Powers) -> None:
        self.feeder = feeder
        self.powers = powers
        self._kw = sum(powers.kw.values())
        self._kvar = sum(powers.kvar.values())

    @property
    def regulated(self) -> bool:
        """Whether taps or capacitors move by themselves."""
        return self.feeder.regulated

    def load_flow(self, at: Injections, *, controls: bool = False) -> LoadFlow:
        """Solve the feeder at one operating point."""
        return self.feeder.load_flow(self._shared(at), controls=controls)

    def load_flows(self, points: Sequence[Injections]) -> list[LoadFlow]:
        """As `load_flow` of each."""
        return self.feeder.load_flows([self._shared(at) for at in points])

    def linearise(self, at: Injections) -> Linearisation:
        """Differentiate the feeder at one operating point."""
        return self.feeder.linearise(self._shared(at))

    def _shared(self, at: Injections) -> Injections:
        if isinstance(at.load_kw, Mapping):
            return at
        by_kw = at.load_kw / self._kw if self._kw else 0.0
        by_kvar = by_kw
        if at.load_kvar is not None and not isinstance(at.load_kvar, Mapping) and self._kvar:
            by_kvar = at.load_kvar / self._kvar
        return replace(
            at,
            load_kw={n: by_kw * p for n, p in self.powers.kw.items()},
            load_kvar={n: by_kvar * q for n, q in self.powers.kvar.items()},
        )


def read_powers(path: Path) -> dict[str, complex]:
    """Measured powers by name or mRID, from a table (`.csv`: name, p_w, q_var) or JSON [W + j var].

    Raises:
        BadInput: the table is not one; names every row that is wrong.
        FeederFault: likewise of JSON (`feeders.cim.read_values`).
    """
    return _read_table(path) if path.suffix.lower() == ".csv" else read_values(path)


def powers_of(values: Mapping[str, complex]) -> Powers:
    """Measured powers in the units of the feeder."""
    return Powers(
        kw={n: v.real / 1e3 for n, v in values.items()},
        kvar={n: v.imag / 1e3 for n, v in values.items()},
    )


def _read_table(path: Path) -> dict[str, complex]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput.at(str(path), f"cannot be read: {error}") from error
    rows = csv.DictReader(text.splitlines())
    if tuple(rows.fieldnames or ()) != COLUMNS:
        raise BadInput.at(str(path), f"the first line must be {','.join(COLUMNS)}")
    found: dict[str, complex] = {}
    faults = []
    for number, row in enumerate(rows, start=2):
        try:
            value = complex(float(row["p_w"]), float(row["q_var"] or 0.0))
        except (TypeError, ValueError):
            value = complex(math.nan)
        if not (math.isfinite(value.real) and math.isfinite(value.imag)):
            wrong = "p_w or q_var is no number; leave out the line of what is not known"
            faults.append(Fault(place=f"{path}: line {number}", problem=wrong))
        found[str(row["name"])] = value
    if faults:
        raise BadInput(faults[:SHOWN])
    if not found:
        raise BadInput.at(str(path), "holds no measurement; give a line for each load")
    return found
