"""What was measured of one plant, kept from cycle to cycle: a cycle reads hours, not weeks."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pandas as pd

from ems.domain import PLAUSIBLE, DerReading, Quality
from ems.ports import History
from forecasting.clearsky import Floats, PvGeometry, clear_sky_kw, clear_sky_mean_kw
from forecasting.data.orientation import PlantFit, fit_plant
from forecasting.data.screening import Reason, screened
from forecasting.record import PlantRecord
from forecasting.series import INTERVAL
from forecasting.sky import INDEX_MAX, LOW_SUN_SHARE

log = logging.getLogger(__name__)

KEPT: Final = timedelta(days=31)
"""How far back is known: the usual sky is that of 30 days."""

FITTED: Final = timedelta(days=120)
"""How far back the orientation is fitted: with 60 days a cloudy winter may not suffice."""

AGAIN: Final = timedelta(hours=3)
"""How far back each cycle reads again: minutes that came late, and as far as a model looks at
parts of an interval."""

SCREENED: Final = timedelta(days=3)
"""How far back each cycle looks for outages, snow and plateaus that have just become known; the
days before were looked at when they were new."""

RECENT: Final = timedelta(hours=1)
"""Oldest measurement that still tells the present sky."""

# Readings are stamped when they arrive, which may be shortly after the snapshot's own time.
_STAMP_TOLERANCE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of a plant when an interval begins."""

    record: PlantRecord
    """The month before, without what does not show the sky."""
    raw: PlantRecord
    """The month before as it was measured."""
    trouble: str
    """What is wrong with the history; empty: nothing."""
    reason: Reason
    """Why its newest interval does not show the sky."""
    made_kw: float
    """What the plant made in that interval; NaN where it was not measured [kW]."""


class Observed:
    """The newest month of one plant."""

    def __init__(self, der: str, rated_kw: float) -> None:
        """Nothing yet.

        Args:
            der: name of the plant in the history.
            rated_kw: its rating [kW].
        """
        self.der = der
        self._rated_kw = rated_kw
        self._raw: PlantRecord | None = None
        self._screened: PlantRecord | None = None

    def until(
        self,
        start: pd.Timestamp,
        history: History,
        geometry: PvGeometry,
        reading: DerReading | None,
        now: datetime,
    ) -> Seen:
        """The month before an interval's start. Never raises.

        Nothing from the interval or later is used, whatever the history hands out.

        Args:
            start: of the interval.
            history: what was measured.
            geometry: of the plant.
            reading: the present one; it stands in where the history has nothing yet.
            now: the present.
        """
        raw, trouble = self._measured(start, history)
        whole = self._screened is None or self._screened.starts[-1] + SCREENED < start
        newest = raw if whole else raw.part(len(raw) - SCREENED // INTERVAL, len(raw))
        told = with_reading(newest, reading, now, geometry)
        screen = screened(told, geometry, causal=True)
        earlier = () if whole or self._screened is None else (self._screened,)
        record = _laid(raw.starts[0], start, *earlier, screen.record)
        if not trouble and told is newest:
            self._screened = record
        elif not trouble:
            # A reading is no measurement of the interval; next time the history has that.
            known = screened(newest, geometry, causal=True).record
            self._screened = _laid(raw.starts[0], start, *earlier, known)
        return Seen(
            record=record,
            raw=raw,
            trouble=trouble,
            reason=Reason(int(screen.reason[-1])),
            made_kw=float(told.floor_kw[-1]),
        )

    def fit(self, start: pd.Timestamp, history: History, built: PvGeometry) -> PlantFit | None:
        """What the months before an interval's start say of the plant's orientation and size.

        Reads the newest month anew as well: an import may have changed it. None where the
        history cannot be read.
        """
        try:
            months = self._read(start - FITTED, start, history)
            fitted = fit_plant(screened(months, built).record, built)
        except Exception:
            # The devices are written: what is learnt of a plant must not fail its cycle.
            log.exception("the orientation of %s was not fitted", self.der)
            return None
        self._raw = months.part(max(len(months) - KEPT // INTERVAL, 0), len(months))
        self._screened = None
        return fitted

    def _measured(self, start: pd.Timestamp, history: History) -> tuple[PlantRecord, str]:
        """The month as it was measured, and what is wrong with the history."""
        since, kept = start - KEPT, self._raw
        if kept is not None and not since < kept.starts[-1] < start:
            kept = None
        try:
            if kept is None:
                kept = self._read(since, start, history)
            again = max(since, min(kept.starts[-1] + INTERVAL, start) - AGAIN)
            self._raw = _laid(since, start, kept, self._read(again, start, history))
        except Exception as fault:  # noqa: BLE001  whatever ails the database, the cycle goes on
            known = () if kept is None else (kept,)
            trouble = f"history not used: {type(fault).__name__}: {fault}"
            return _laid(since, start, *known), trouble
        return self._raw, ""

    def _read(self, since: pd.Timestamp, until: pd.Timestamp, history: History) -> PlantRecord:
        found = history.pv_record(self.der, since.to_pydatetime(), until.to_pydatetime())
        return _plausible(found, self._rated_kw)


def is_present(reading: DerReading, now: datetime) -> bool:
    """Whether a reading was truly measured, and within the last hour."""
    return (
        reading.quality is not Quality.ASSUMED
        and np.isfinite(reading.p_kw)
        and -_STAMP_TOLERANCE <= now - reading.time <= RECENT
    )


def available_kw(reading: DerReading, rated_kw: float) -> float | None:
    """Available power a reading tells; None where a cap hides it [kW].

    Any cap below the rating hides it, also one that does not bind: keeping only the readings
    under it would learn from the dull hours alone.
    """
    if reading.available_kw is not None:
        return max(reading.available_kw, reading.p_kw)
    return None if reading.cap_kw is not None and reading.cap_kw < rated_kw else reading.p_kw


def with_reading(
    record: PlantRecord, reading: DerReading | None, now: datetime, geometry: PvGeometry
) -> PlantRecord:
    """A record whose newest interval, where nothing was measured in it, shows the present reading.

    The clear-sky index of the reading stands for the interval's.
    """
    if reading is None or not is_present(reading, now):
        return record
    time = pd.Timestamp(reading.time).tz_convert("UTC")
    start = min(time.floor(INTERVAL), record.starts[-1])
    row = (start - record.starts[0]) // INTERVAL
    if row < 0 or np.isfinite(record.floor_kw[row]):
        return record
    parts_kw, floor_kw, cap_kw = (
        a.copy() for a in (record.parts_kw, record.floor_kw, record.cap_kw)
    )
    said = available_kw(reading, geometry.rated_kw)
    if said is None:
        floor_kw[row] = reading.p_kw
        cap_kw[row] = np.nan if reading.cap_kw is None else reading.cap_kw
    else:
        parts_kw[row] = floor_kw[row] = _mean_kw(said, time, start, geometry)
    return PlantRecord(starts=record.starts, parts_kw=parts_kw, floor_kw=floor_kw, cap_kw=cap_kw)


def _mean_kw(p_kw: float, at: pd.Timestamp, start: pd.Timestamp, geometry: PvGeometry) -> float:
    """Mean of an interval whose sky was that of an instant [kW]."""
    clear = float(clear_sky_kw(geometry, pd.DatetimeIndex([at]))[0])
    if clear < LOW_SUN_SHARE * geometry.rated_kw:
        return p_kw
    mean = float(clear_sky_mean_kw(geometry, pd.DatetimeIndex([start]))[0])
    return min(p_kw / clear, INDEX_MAX) * mean


def _plausible(record: PlantRecord, rated_kw: float) -> PlantRecord:
    """The same without what cannot have been measured at a plant of this rating."""

    def sound(values: Floats) -> Floats:
        # NaN compares False, so it stays what it is.
        return np.where(np.abs(values) <= PLAUSIBLE * rated_kw, values, np.nan)

    return PlantRecord(
        starts=record.starts,
        parts_kw=sound(record.parts_kw),
        floor_kw=sound(record.floor_kw),
        cap_kw=record.cap_kw,
    )


def _laid(since: pd.Timestamp, until: pd.Timestamp, *records: PlantRecord) -> PlantRecord:
    """Records laid over each other on one grid, the later over the earlier, NaN elsewhere.

    In as many parts as the last one has that holds anything: where it was measured more
    coarsely, parts are alike; where more finely, they are averaged.
    """
    starts = pd.date_range(since, until, freq=INTERVAL, inclusive="left")
    told = [r.parts_kw.shape[1] for r in records if np.isfinite(r.parts_kw).any()]
    parts = told[-1] if told else 1
    parts_kw = np.full((len(starts), parts), np.nan)
    floor_kw, cap_kw = np.full(len(starts), np.nan), np.full(len(starts), np.inf)
    for record in records:
        if not len(record):
            continue
        # A record has no holes, so its first interval places them all.
        first = (record.starts[0] - since) // INTERVAL
        begin, end = max(first, 0), min(first + len(record), len(starts))
        if begin >= end:
            continue
        to, of = slice(begin, end), slice(begin - first, end - first)
        parts_kw[to] = _in_parts(record, parts)[of]
        floor_kw[to] = record.floor_kw[of]
        cap_kw[to] = record.cap_kw[of]
    return PlantRecord(starts=starts, parts_kw=parts_kw, floor_kw=floor_kw, cap_kw=cap_kw)


def _in_parts(record: PlantRecord, parts: int) -> Floats:
    """Available power in so many parts, shape (interval, part) [kW]."""
    own = record.parts_kw.shape[1]
    if own <= parts:
        return np.repeat(record.parts_kw, parts // own, axis=1)
    split = record.parts_kw.reshape(len(record), parts, own // parts)
    known = np.isfinite(split)
    total = np.where(known, split, 0.0).sum(axis=2)
    return np.where(known.any(axis=2), total / np.maximum(known.sum(axis=2), 1), np.nan)
