"""What a feeder consumes, spread over its loads."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from feeders.bulk import Complexes
from feeders.consumers import FeederLoad
from feeders.values import Floats

TOTALS_KEPT = 8
"""Totals whose spread is kept: the cases of an interval have few."""

Load = float | Mapping[str, float]
"""Of the whole feeder, or of each load by name [kW, kvar]."""


class Consumption:
    """Spreads a total over the loads in proportion to their nominal kW."""

    def __init__(self, loads: Sequence[FeederLoad]) -> None:
        """Take the feeder's loads."""
        self._names = [load.name for load in loads]
        self._kw = np.array([load.kw for load in loads])
        self._kvar = np.array([load.kvar for load in loads])
        self._total_kw, self._total_kvar = float(self._kw.sum()), float(self._kvar.sum())
        none = self._kw == 0.0
        self._kvar_per_kw = np.where(none, 0.0, self._kvar / np.where(none, 1.0, self._kw))
        self._of_totals = lru_cache(maxsize=TOTALS_KEPT)(self._spread)

    def va(self, load_kw: Load, load_kvar: Load | None) -> Complexes:
        """Consumption of each load, shape (load,) [VA].

        Args:
            load_kw: active power.
            load_kvar: reactive power; None keeps each load's nominal power factor.
        """
        # Asked whether it is a number: whether it is a mapping takes five times as long.
        if isinstance(load_kw, float | int) and isinstance(load_kvar, float | int | None):
            return self._of_totals(load_kw, load_kvar)
        return self._spread(load_kw, load_kvar)

    def _spread(self, load_kw: Load, load_kvar: Load | None) -> Complexes:
        if isinstance(load_kw, float | int):
            kw = self._kw * (load_kw / self._total_kw)
        else:
            kw = self._by_name(load_kw)
        if load_kvar is None:
            kvar = kw * self._kvar_per_kw
        elif not isinstance(load_kvar, float | int):
            kvar = self._by_name(load_kvar)
        elif self._total_kvar:
            kvar = self._kvar * (load_kvar / self._total_kvar)
        else:
            kvar = self._kw * (load_kvar / self._total_kw)
        found = np.empty(len(kw), dtype=complex)
        found.real, found.imag = 1e3 * kw, 1e3 * kvar
        return found

    def _by_name(self, given: Mapping[str, float]) -> Floats:
        return np.array([given.get(name, 0.0) for name in self._names], dtype=float)
