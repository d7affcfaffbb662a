"""Where measured and modelled voltages differ, and how far decisions follow the measured ones."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """Whether, and how far, measured voltages correct the modelled ones."""

    on: bool = True
    max_pu: float = 0.03
    """Largest correction at any bus [pu]."""
    alarm_pu: float = 0.01
    """Lasting difference from which an operator is told [pu]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusMismatch:
    """How one measured bus differs from the model, and what is made of it.

    Differences are measured less modelled: positive where the bus is higher than the model says.
    """

    bus: str
    """As the feeder shows it, with phases where the site file names them (`B13`, `B7.1`)."""
    measured_pu: float | None
    """Mean of the phases; None where no good measurement came [pu]."""
    modelled_pu: float | None
    """The same in the load flow of the present state; None where it gave no answer [pu]."""
    filtered_pu: float
    """The difference, filtered over the cycles [pu]."""
    upper_pu: float
    """Correction of the voltages that are held against the upper limit [pu]."""
    lower_pu: float
    """Correction of the voltages that are held against the lower limit; ≤ `upper_pu` [pu]."""
    first_pu: float
    """The difference when it last changed its sign [pu]."""
    cycles: int
    """For how many cycles the bus has stood on the same side of the model."""

    @property
    def difference_pu(self) -> float | None:
        """Measured less modelled; None where either is missing [pu]."""
        if self.measured_pu is None or self.modelled_pu is None:
            return None
        return self.measured_pu - self.modelled_pu


def terminals(buses: Iterable[str], nodes: Sequence[str]) -> Mapping[str, NDArray[np.intp]]:
    """What devices are connected to, and measure the mean of: positions in `nodes`, by bus.

    Args:
        buses: as in the site file; `B7.1.3` names phases, `B7` means all the bus has.
        nodes: `BUS.phase`.
    """
    return _terminals(tuple(buses), tuple(nodes))


@lru_cache(maxsize=16)  # a few feeders; with thousands of nodes it is worth keeping
def _terminals(buses: tuple[str, ...], nodes: tuple[str, ...]) -> Mapping[str, NDArray[np.intp]]:
    at: dict[str, list[int]] = {}
    for i, node in enumerate(nodes):
        upper = node.upper()
        at.setdefault(upper, []).append(i)
        at.setdefault(upper.rpartition(".")[0], []).append(i)

    def of(bus: str) -> list[int]:
        plain, *phases = bus.upper().split(".")
        return sorted(i for p in phases for i in at.get(f"{plain}.{p}", [])) or (
            [] if phases else at.get(plain, [])
        )

    return {bus: np.array(of(bus), dtype=np.intp) for bus in buses}
