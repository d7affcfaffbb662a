"""What is known before the interval after a record's end, of one plant or of many at once.

A service asks this of every plant each quarter of an hour. On the few rows that matter, NumPy is
busy being called: so the rows of all plants are laid one after the other, and worked on together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from forecasting.clearsky import Floats, PvGeometry
from forecasting.record import PlantRecord
from forecasting.sky.light import light_of
from forecasting.sky.seen import (
    USUAL_INTERVALS,
    VARIABILITY_INTERVALS,
    SkySeen,
    late_kw,
    made_under_cap,
    seen_from,
    usual_index,
)

NEXT_ROWS: Final = 2 * VARIABILITY_INTERVALS
"""Rows of each plant: its newest intervals, then the coming one. Nothing looks further back than
`VARIABILITY_INTERVALS` and one, so no plant is seen by the one laid behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """A plant up to now."""

    record: PlantRecord
    """Up to the start of the coming interval; 30 days serve as well as more."""
    available_kw: Floats
    """Of the record; whoever keeps the record keeps it too, as working it out for a month takes
    longer than all the rest, shape (interval,) [kW]."""
    geometry: PvGeometry

    def power_before(self, intervals: int) -> float:
        """Available power so many intervals before the coming one, share of the rating [1]."""
        return float(self.available_kw[-intervals]) / self.geometry.rated_kw


def sky_next(record: PlantRecord, geometry: PvGeometry) -> SkySeen:
    """What is known before the interval after a record's last: the last row of the answer.

    Raises:
        ValueError: the record is empty, so that there is no next interval.
    """
    return skies_next([Newest(record=record, available_kw=record.available_kw, geometry=geometry)])


def skies_next(plants: Sequence[Newest]) -> SkySeen:
    """What is known before the coming interval of each plant.

    Returns:
        `NEXT_ROWS` for each plant in turn; the last of these is the coming interval, those before
        it are the newest measured, unknown where the record does not reach back so far. `usual`
        is that of the coming interval in all of them.

    Raises:
        ValueError: a record is empty, so that there is no next interval.
    """
    shape = len(plants), NEXT_ROWS
    power, late = np.full(shape, np.nan), np.full(shape, np.nan)
    floor, cap_kw = np.zeros(shape), np.full(shape, np.inf)
    clear, daylight = np.zeros(shape), np.zeros(shape, dtype=np.bool_)
    made, could = np.empty(len(plants)), np.empty(len(plants))
    for i, plant in enumerate(plants):
        record, rated_kw, n = plant.record, plant.geometry.rated_kw, len(plant.record)
        if not n:
            raise ValueError("an empty record has no next interval: give it the grid, with NaN")
        month, newest = max(n - USUAL_INTERVALS, 0), max(n - NEXT_ROWS + 1, 0)
        light, day = light_of(plant.geometry, record.starts[month], n - month + 1)
        told = plant.available_kw[month:]
        known = np.isfinite(told)
        made[i], could[i] = told[known].sum() / rated_kw, light[:-1][known].sum()
        rows = slice(NEXT_ROWS - 1 - (n - newest), NEXT_ROWS - 1)
        power[i, rows] = plant.available_kw[newest:] / rated_kw
        late[i, rows] = late_kw(record.parts_kw[newest:]) / rated_kw
        floor[i, rows], cap_kw[i, rows] = (
            record.floor_kw[newest:] / rated_kw,
            record.cap_kw[newest:],
        )
        lit = slice(rows.start, NEXT_ROWS)
        clear[i, lit], daylight[i, lit] = light[newest - month :], day[newest - month :]
    return seen_from(
        power=power.ravel(),
        late=late.ravel(),
        under_cap=made_under_cap(floor, cap_kw).ravel(),
        clear=clear.ravel(),
        daylight=daylight.ravel(),
        usual=np.repeat(usual_index(made, could), NEXT_ROWS),
    )
