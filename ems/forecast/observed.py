"""What was measured of one plant, kept from cycle to cycle: a cycle reads hours, not weeks."""

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ems.domain import PLAUSIBLE, DerReading
from ems.forecast.kept import INTERVAL_S, Kept, laid, number_of, start_of
from ems.forecast.plain import CONTEXT, is_odd
from ems.forecast.present import is_present, with_reading
from ems.ports import History
from forecasting.clearsky import Floats, PvGeometry
from forecasting.data.orientation import PlantFit, fit_plant
from forecasting.data.screening import Reason, screened
from forecasting.record import PlantRecord
from forecasting.series import INTERVAL
from forecasting.sky import Newest

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

# The same in intervals.
_MONTH, _AGAIN, _DAYS = (span // INTERVAL for span in (KEPT, AGAIN, SCREENED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of a plant when an interval begins; its arrays hold until the next time."""

    newest: Newest
    """The month before, without what does not show the sky."""
    first: int
    """Number of its first interval since 1970."""
    measured_kw: Floats
    """Power made in each of its intervals as it was measured, shape (interval,) [kW]."""
    trouble: str
    """What is wrong with the history; empty: nothing."""
    reason: Reason
    """Why its newest interval does not show the sky; at the inverter's limit may count as fine."""
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
        self._raw: Kept | None = None
        self._screened: Kept | None = None
        # Whether screening must look at the newest days of `_raw`; empty: not known yet.
        self._odd: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)

    def until(
        self,
        start: pd.Timestamp,
        history: History,
        geometry: PvGeometry,
        reading: DerReading | None,
        now: datetime,
    ) -> Seen:
        """The month before an interval's start. Never raises for bad history.

        Nothing from the interval or later is used, whatever the history hands out.

        Args:
            start: of the interval.
            history: what was measured.
            geometry: of the plant.
            reading: the present one; it stands in where the history has nothing yet.
            now: the present.
        """
        coming, trouble = number_of(start), ""
        try:
            raw = self._measured(coming, history, geometry)
        except Exception as fault:  # noqa: BLE001  whatever ails the database, the cycle goes on
            known = () if self._raw is None else (self._raw.record(),)
            raw = Kept(laid(coming - _MONTH, coming, *known))
            trouble = f"history not used: {type(fault).__name__}: {fault}"
        earlier = self._screened
        if earlier is not None and earlier.after + _DAYS <= coming:
            earlier = None
        wanted = reading if _is_missing(raw, reading, now) else None
        plain = not (trouble or wanted or self._odd.any())
        if earlier is None or raw.parts != earlier.parts or not plain:
            return self._judged(raw, earlier, geometry, wanted, now, trouble)
        earlier.take(raw, _DAYS)
        return _seen(raw, earlier.record(), earlier.available_kw, geometry)

    def fit(self, start: pd.Timestamp, history: History, built: PvGeometry) -> PlantFit | None:
        """What the months before an interval's start say of the plant's orientation and size.

        Reads the newest month anew as well: an import may have changed it. None where the
        history cannot be read.
        """
        coming = number_of(start)
        try:
            months = self._read(coming - FITTED // INTERVAL, coming, history)
            fitted = fit_plant(screened(months, built).record, built, raw=months)
        except Exception:
            # The devices are written: what is learnt of a plant must not fail its cycle.
            log.exception("the orientation of %s was not fitted", self.der)
            return None
        newest = months.part(max(len(months) - _MONTH, 0), len(months))
        self._raw = Kept(newest) if len(newest) else None
        self._screened, self._odd = None, self._odd[:0]
        return fitted

    def _measured(self, coming: int, history: History, geometry: PvGeometry) -> Kept:
        """The month as it was measured, up to now.

        Raises:
            Exception: the history cannot be read.
        """
        since, kept = coming - _MONTH, self._raw
        if kept is None or not since < kept.after - 1 < coming:
            kept, self._odd = Kept(self._read(since, coming, history)), self._odd[:0]
        again = max(since, min(kept.after, coming) - _AGAIN)
        fresh = self._read(again, coming, history)
        beyond = coming - kept.after
        if kept.first <= since and beyond >= 0 and _continues(kept, fresh, again, coming):
            kept.lay(fresh, fresh.available_kw, again, since)
        else:
            kept, self._odd = Kept(laid(since, coming, kept.record(), fresh)), self._odd[:0]
        settled = self._odd[beyond : len(self._odd) - _AGAIN]
        count = _AGAIN + beyond if len(settled) else _DAYS
        odd = is_odd(kept.available_kw[-count - CONTEXT :], geometry, start_of(coming - count))
        self._odd = np.concatenate([settled, odd])[-_DAYS:]
        self._raw = kept
        return kept

    def _judged(
        self,
        raw: Kept,
        earlier: Kept | None,
        geometry: PvGeometry,
        reading: DerReading | None,
        now: datetime,
        trouble: str,
    ) -> Seen:
        """The month, its newest days screened; all of it where nothing was screened before."""
        newest = raw.record(None if earlier is None else _DAYS)
        told = with_reading(newest, reading, now, geometry)
        screen = screened(told, geometry, causal=True)
        reason, made_kw = Reason(int(screen.reason[-1])), float(told.floor_kw[-1])
        if told is newest and not trouble:
            self._screened = _laid_over(earlier, screen.record, raw)
            month, available_kw = self._screened.record(), self._screened.available_kw
        else:
            before = () if earlier is None else (earlier.record(),)
            month = laid(raw.first, raw.after, *before, screen.record)
            available_kw = month.available_kw
            if not trouble:
                # A reading is no measurement of the interval; next time the history has that.
                known = screened(newest, geometry, causal=True).record
                self._screened = _laid_over(earlier, known, raw)
        seen = _seen(raw, month, available_kw, geometry)
        return replace(seen, trouble=trouble, reason=reason, made_kw=made_kw)

    def _read(self, since: int, until: int, history: History) -> PlantRecord:
        """What the history has of intervals, by their numbers."""
        begin, end = start_of(since).to_pydatetime(), start_of(until).to_pydatetime()
        return _plausible(history.pv_record(self.der, begin, end), self._rated_kw)


def _seen(raw: Kept, month: PlantRecord, available_kw: Floats, geometry: PvGeometry) -> Seen:
    """The month where nothing is wrong with it."""
    return Seen(
        newest=Newest(record=month, available_kw=available_kw, geometry=geometry),
        first=raw.first,
        measured_kw=raw.floor_kw,
        trouble="",
        reason=Reason.FINE,
        made_kw=float(raw.floor_kw[-1]),
    )


def _continues(kept: Kept, fresh: PlantRecord, again: int, coming: int) -> bool:
    """Whether what was read anew is just that: then nothing need be laid out from the start."""
    return (
        len(fresh) == coming - again
        and number_of(fresh.starts[0]) == again
        and fresh.parts_kw.shape[1] == kept.parts
    )


def _laid_over(earlier: Kept | None, screened: PlantRecord, raw: Kept) -> Kept:
    """What was screened before, with what was screened now over it."""
    if earlier is None:
        return Kept(laid(raw.first, raw.after, screened))
    if earlier.parts != screened.parts_kw.shape[1]:
        return Kept(laid(raw.first, raw.after, earlier.record(), screened))
    earlier.lay(screened, screened.available_kw, raw.after - len(screened), raw.first)
    return earlier


def _is_missing(raw: Kept, reading: DerReading | None, now: datetime) -> bool:
    """Whether the interval of a present reading was not measured otherwise."""
    if reading is None or not is_present(reading, now):
        return False
    at = min(int(reading.time.timestamp()) // INTERVAL_S, raw.after - 1)
    return not np.isfinite(raw.floor_kw[at - raw.first])


def _plausible(record: PlantRecord, rated_kw: float) -> PlantRecord:
    """The same without what cannot have been measured at a plant of this rating."""
    limit_kw = PLAUSIBLE * rated_kw
    if not any((np.abs(a) > limit_kw).any() for a in (record.parts_kw, record.floor_kw)):
        return record

    def sound(values: Floats) -> Floats:
        # NaN compares False, so it stays what it is.
        return np.where(np.abs(values) <= limit_kw, values, np.nan)

    return PlantRecord(
        starts=record.starts,
        parts_kw=sound(record.parts_kw),
        floor_kw=sound(record.floor_kw),
        cap_kw=record.cap_kw,
        made_kw=None if record.made_kw is None else sound(record.made_kw),
    )
