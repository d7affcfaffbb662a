"""Grid event lists: what single DERs feel at their points of connection, from a CSV file.

Two forms, told apart by their first line; a blank cell leaves a value as it was:

    long    time,der,voltage_pu,frequency_hz          a row for each DER that something happens to
    wide    time,pv1.voltage_pu,pv1.frequency_hz,…    a row for each time, two columns for each DER

`time` is in seconds from the start, or an ISO 8601 timestamp with its zone; one kind in one file.
`*` in place of a DER's name stands for all of them; a later row of the same time outdoes it.
"""

from array import array
from bisect import bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ems.plant.event_rows import ALL, TIME, EventFaults, read_rows
from ems.plant.terminal import NOMINAL, Terminal


class Felt:
    """What one DER feels over time; arrays, as there may be a change in every second of a day."""

    def __init__(self) -> None:
        self._times_s = array("d")
        self._v_pu = array("d")
        self._hz = array("d")

    def change(self, t_s: float, v_pu: float | None, hz: float | None) -> None:
        """From `t_s` on, not before the last change; None leaves a value as it was."""
        before = self.at(t_s)
        if not self._times_s or self._times_s[-1] != t_s:
            self._times_s.append(t_s)
            self._v_pu.append(before.v_pu)
            self._hz.append(before.hz)
        self._v_pu[-1] = before.v_pu if v_pu is None else v_pu
        self._hz[-1] = before.hz if hz is None else hz

    @property
    def last_s(self) -> float:
        """When it changes for the last time [s from the start]."""
        return self._times_s[-1] if self._times_s else 0.0

    def at(self, t_s: float) -> Terminal:
        """What it feels at an instant; nominal before the first change."""
        k = bisect_right(self._times_s, t_s) - 1
        return Terminal(v_pu=self._v_pu[k], hz=self._hz[k]) if k >= 0 else NOMINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class EventList:
    """What happens to whom, and when."""

    felt: Mapping[str, Felt]
    """By DER, of those that something happens to."""
    start: datetime | None = None
    """Instant from which times count, where the file tells them by the calendar; UTC."""

    @property
    def last_s(self) -> float:
        """When the last change happens [s from the start]."""
        return max((felt.last_s for felt in self.felt.values()), default=0.0)

    def at(self, t_s: float) -> Mapping[str, Terminal]:
        """What every DER feels that something happens to, at an instant [s from the start].

        A DER that is not in the answer feels a nominal grid.
        """
        return {der: felt.at(t_s) for der, felt in self.felt.items()}


def read_events(path: Path, ders: Collection[str], start: datetime | None = None) -> EventList:
    """Read an event list.

    Args:
        path: the CSV file.
        ders: names of all DERs there are.
        start: where timestamps count from; None: the first one in the file.

    Raises:
        BadInput: names every row and column that is wrong.
    """
    faults = EventFaults(file=str(path))
    felt: dict[str, Felt] = {}
    origin: datetime | None = None
    for event in read_rows(path, ders, faults):
        t = event.time
        if isinstance(t, datetime):
            origin = origin or (t if start is None else start.astimezone(UTC))
            t = (t - origin).total_seconds()
            if t < 0.0 and start is not None:
                told = f"is before the start, {start.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
                faults.add(event.row, TIME, told)
        if faults.found:
            continue  # read on for what else is wrong
        for der in ders if event.der == ALL else (event.der,):
            felt.setdefault(der, Felt()).change(t, event.voltage_pu, event.frequency_hz)
    faults.raise_any()
    return EventList(felt=felt, start=origin)
