"""One look into the history for all plants of a site, where that can be."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import pandas as pd

from ems.ports import FleetHistory, History
from forecasting.record import PlantRecord

# A month of minutes of a hundred plants would take gigabytes; each plant reads its own.
_LONGEST: Final = timedelta(hours=6)


class ReadTogether:
    """A history for one cycle: what one plant asks for, all will ask for."""

    def __init__(self, history: FleetHistory, ders: Sequence[str]) -> None:
        """Nothing read yet.

        Args:
            history: what was measured.
            ders: names of the plants.
        """
        self._history = history
        self._ders = ders
        self._read: dict[tuple[datetime, datetime], Mapping[str, PlantRecord]] = {}

    def pv_record(self, der: str, since: datetime, until: datetime) -> PlantRecord:
        """As the history's own."""
        if until - since > _LONGEST:
            return self._history.pv_record(der, since, until)
        if (since, until) not in self._read:
            self._read[since, until] = self._together(since, until)
        found = self._read[since, until].get(der)
        return self._history.pv_record(der, since, until) if found is None else found

    def load_kw(self, since: datetime, until: datetime) -> "pd.Series[float]":
        """As the history's own."""
        return self._history.load_kw(since, until)

    def _together(self, since: datetime, until: datetime) -> Mapping[str, PlantRecord]:
        try:
            return self._history.pv_records(self._ders, since, until)
        except Exception:  # noqa: BLE001  each plant then reads its own, and says what ails it
            return {}


def read_together(history: History, ders: Sequence[str]) -> History:
    """The history as it is, or one that reads the plants together if it can."""
    if len(ders) > 1 and isinstance(history, FleetHistory):
        return ReadTogether(history, ders)
    return history
