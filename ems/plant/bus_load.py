"""How the segment's load lies on its buses."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from feeders import FeederLoad

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """The load on the buses at one instant."""

    names: tuple[str, ...]
    kw: Floats
    """Share of each load in the whole, shape (load,); the sum is 1."""
    kvar: Floats
    """Reactive power of each over the whole active power, shape (load,)."""


class BusLoads:
    """Nominal shares, shaken in every step, each at its power factor."""

    def __init__(
        self, loads: Sequence[FeederLoad], *, noise: float, seed: int, reactive_share: float
    ) -> None:
        """Of a feeder.

        Args:
            loads: the feeder's.
            noise: standard deviation of each share, of itself [1].
            seed: of the noise.
            reactive_share: of the nominal reactive power, what is really taken [1].
        """
        self._names = tuple(ld.name for ld in loads)
        self._nominal_kw = np.array([ld.kw for ld in loads])
        self._factor = np.array(
            [reactive_share * ld.kvar / ld.kw if ld.kw else 0.0 for ld in loads]
        )
        self._noise, self._seed = noise, seed

    def at(self, when: datetime) -> Shares:
        """One draw; the same for the same instant."""
        rng = np.random.default_rng([self._seed, int(when.timestamp())])
        kw = self._nominal_kw * (
            1 + self._noise * np.clip(rng.standard_normal(len(self._names)), -3, 3)
        )
        kw = kw / kw.sum()
        return Shares(names=self._names, kw=kw, kvar=kw * self._factor)
