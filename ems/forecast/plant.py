"""What is remembered of one PV plant from cycle to cycle, and how its forecast is told."""

import logging
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pandas as pd

from ems.domain import DerReading, PvForecast, least_kw
from ems.forecast.bound import Disproof, sky_shares, upper_bound_kw
from ems.forecast.models import Chosen, Method, Models, simple_ladders
from ems.forecast.observed import Observed, Seen
from ems.forecast.present import is_present
from ems.ports import History
from forecasting.clearsky import PvGeometry, clear_sky_kw
from forecasting.data.screening import Reason
from forecasting.ladder import LadderForecast
from forecasting.record import LEVELS, PlantRecord

log = logging.getLogger(__name__)

_HALTS = {
    Reason.OUTAGE: "makes nothing under the sun, as in an outage",
    Reason.SNOW: "makes almost nothing under the sun, as under snow",
}
_ODD = {
    Reason.FLAT: "its meter stands still, so its readings are not used",
    Reason.CURTAILED: "stands still below its limit: something else than GEEMS holds it back",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A plant when an interval begins."""

    seen: Seen
    reading: DerReading | None
    """The present one."""
    upper_kw: float
    """Power that no sky exceeds [kW]."""


@dataclass(slots=True, kw_only=True)
class Plant:
    """What is remembered of one plant."""

    built: PvGeometry
    """As the site file has it."""
    geometry: PvGeometry
    """As its history shows it, where that tells; else as built."""
    observed: Observed
    fitted: datetime | None = None
    """When its orientation was fitted last."""
    chosen: Chosen | None = None
    """Its ladder; None: nothing was learnt yet."""
    doubt: str = ""
    """Where its history contradicts the site file."""
    disproof: Disproof = field(default_factory=Disproof)
    """Whether it ever made more than the site file allows."""

    def look(
        self, start: pd.Timestamp, history: History, reading: DerReading | None, now: datetime
    ) -> Look:
        """What is known of the plant when an interval begins."""
        seen = self.observed.until(start, history, self.geometry, reading, now)
        made_kw, first = seen.measured_kw, seen.first
        self.disproof.hold(self.built, self.geometry, made_kw, first, reading, now)
        trusted = not (self.disproof.note or self.doubt)
        upper_kw = upper_bound_kw(self.built, self.geometry, start, trusted=trusted)
        return Look(seen=seen, reading=reading, upper_kw=upper_kw)

    def taught(self, models: Models, record: PlantRecord) -> Chosen:
        """The plant's ladder, which has learnt from the month before."""
        if self.chosen is None:
            self.chosen = models.ladder(self.observed.der, self.geometry)
            known = np.flatnonzero(np.isfinite(record.floor_kw))
            if len(known):
                self.chosen.ladder.replay(record.part(int(known[0]), len(record)))
        return self.chosen

    def answer(
        self, method: Method, record: PlantRecord, own: LadderForecast | Exception
    ) -> tuple[Chosen, LadderForecast]:
        """The best ladder that does not break, and what it says.

        Args:
            method: best rung.
            record: the month before.
            own: what the plant's own ladder said, or how it broke.

        Raises:
            Exception: the last one breaks too.
        """
        if self.chosen is not None and not isinstance(own, Exception):
            return self.chosen, own
        broken = [f"{method} broke: {type(own).__name__}: {own}"]
        *others, last = simple_ladders(method, self.geometry)
        for ladder in others:
            try:
                found = sound(ladder.next(record))
            except Exception as fault:
                log.exception("a lower rung of %s broke", self.observed.der)
                broken.append(f"the next rung broke: {type(fault).__name__}: {fault}")
            else:
                return Chosen(ladder=ladder, why="it broke", notes=tuple(broken)), found
        found = sound(last.next(record))
        return Chosen(ladder=last, why="it broke", notes=tuple(broken)), found

    def told(
        self,
        look: Look,
        found: LadderForecast,
        start: pd.Timestamp,
        now: datetime,
        confidence: float,
    ) -> tuple[PvForecast, str]:
        """The forecast within its bounds, and why the plant stands still if it does."""
        standing, halt = _standstill_kw(look.seen)
        least = _made_under_cap_kw(self.geometry, look.reading, start, now)
        mean = max(float(found.forecast.mean_kw[0]), least, 0.0)
        quantiles = [
            min(max(q, 0.0), look.upper_kw) for q in found.forecast.quantiles_kw[0].tolist()
        ]
        if standing is not None:
            mean = min(mean, standing)
            quantiles[:-1] = [min(q, standing) for q in quantiles[:-1]]
        expected = min(mean, look.upper_kw)
        forecast = PvForecast(
            expected_kw=expected,
            lower_kw=min(least_kw(LEVELS, quantiles, confidence), expected),
            upper_kw=look.upper_kw,
            method=str(found.branch[0]),
            quantiles_kw=tuple(quantiles),
        )
        return forecast, halt


def sound(found: LadderForecast) -> LadderForecast:
    """The same, if it can be used.

    Raises:
        ArithmeticError: an answer is not finite.
    """
    told = found.forecast
    if not (np.isfinite(told.mean_kw).all() and np.isfinite(told.quantiles_kw).all()):
        raise ArithmeticError(f"{found.branch[0]} gave {told.mean_kw} and {told.quantiles_kw}")
    return found


def _standstill_kw(seen: Seen) -> tuple[float | None, str]:
    """What a plant that gives nothing under the sun is expected to go on giving [kW], and a note.

    The sky does not explain it, so the sky does not say when it ends; next time it most likely
    still lasts. None where there is no such thing.
    """
    if seen.reason in _HALTS and np.isfinite(seen.made_kw):
        return max(seen.made_kw, 0.0), f"{_HALTS[seen.reason]}; expected to go on"
    return None, _ODD.get(seen.reason, "")


def _made_under_cap_kw(
    geometry: PvGeometry, reading: DerReading | None, start: pd.Timestamp, now: datetime
) -> float:
    """What the plant makes now under a cap, carried to the interval by the clear sky [kW].

    A cap hides how much more was available, not that this much was.
    """
    if reading is None or reading.cap_kw is None or not is_present(reading, now):
        return 0.0
    clear_now = float(clear_sky_kw(geometry, pd.DatetimeIndex([reading.time]))[0])
    clear = sky_shares(geometry, start)[0] * geometry.rated_kw
    falling = min(1.0, clear / clear_now) if clear_now > 0.0 else 0.0
    return max(0.0, reading.p_kw) * falling
