"""The forecaster of a site: one ladder per PV plant, and what is remembered from cycle to cycle."""

import logging
import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from ems.clock import interval_start
from ems.domain import (
    DerReading,
    Forecast,
    Pv,
    PvForecast,
    Quality,
    Site,
    Snapshot,
    band_kw,
    least_kw,
)
from ems.forecast.bound import Disproof, sky_shares, upper_bound_kw
from ems.forecast.load import ObservedLoad
from ems.forecast.models import METHODS, Chosen, Method, Models, simple_ladders
from ems.forecast.observed import Observed, Seen, is_present
from ems.ports import History
from forecasting.clearsky import PvGeometry, clear_sky_kw
from forecasting.data.screening import Reason
from forecasting.ladder import LadderForecast
from forecasting.record import LEVELS, PlantRecord, QuantileForecast

log = logging.getLogger(__name__)

REFIT = timedelta(days=1)
"""How often the orientation is fitted: modules do not turn, but the history grows."""

NEVER = datetime(1970, 1, 1, tzinfo=UTC)

# A fit that moves by less is noise: what was learnt with the old one stays good.
_MOVED_DEG, _MOVED_SCALE = 2.0, 0.02


_UTC = ZoneInfo("UTC")

_HALTS = {
    Reason.OUTAGE: "makes nothing under the sun, as in an outage",
    Reason.SNOW: "makes almost nothing under the sun, as under snow",
}
_ODD = {
    Reason.FLAT: "its meter stands still, so its readings are not used",
    Reason.CURTAILED: "stands still below its limit: something else than GEEMS holds it back",
}


@dataclass(slots=True, kw_only=True)
class _Plant:
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


class LadderForecaster:
    """Forecasts with the best rung that the data allow; implements `ems.ports.Forecaster`."""

    def __init__(
        self,
        method: Method = "lstm",
        *,
        models: Path | None = None,
        confidence: float = 1.0,
        zone: ZoneInfo = _UTC,
    ) -> None:
        """Choose the best rung to try.

        A missing or changed artefact does not raise: each forecast then notes it and steps
        down.

        Args:
            method: Best rung to try; those below remain its fallback.
            models: Folder of the user's own artefacts; those that ship when not given.
            confidence: Share of intervals whose sun stays above the lower bound; 1: there may
                be none at all [1].
            zone: Local time of the consumers.

        Raises:
            ValueError: `method` is none of `METHODS`, or `confidence` not in (0.5, 1].
        """
        if method not in METHODS:
            raise ValueError(f"method '{method}'; expected one of {', '.join(METHODS)}")
        if not 0.5 < confidence <= 1.0:
            raise ValueError(f"confidence {confidence}; expected above 0.5 and at most 1")
        self.method = method
        self._models = Models(method, models)
        self._confidence = confidence
        self._load = ObservedLoad(zone)
        self._plants: dict[tuple[float, float, Pv], _Plant] = {}

    def predict(self, site: Site, snapshot: Snapshot, history: History) -> Forecast:
        """Forecast the interval that holds `snapshot.time`; never raises for bad history."""
        notes: list[str] = []
        pv = {p.name: self._guarded(p, site, snapshot, history, notes) for p in site.pvs}
        kvar = snapshot.load.q_kvar
        stays = Forecast(
            start=interval_start(snapshot.time),
            pv=pv,
            load_kw=snapshot.load.p_kw,
            load_kvar=kvar if kvar is not None and math.isfinite(kvar) else None,
            notes=tuple(notes),
            levels=LEVELS,
            confidence=self._confidence,
        )
        profile = self.load_ahead(snapshot, history, intervals=1)
        if profile is None:
            return stays
        quantiles = tuple(profile.quantiles_kw[0].tolist())
        lower, upper = band_kw(LEVELS, quantiles, self._confidence)
        return replace(
            stays,
            load_method="profile",
            load_quantiles_kw=quantiles,
            load_lower_kw=lower,
            load_upper_kw=upper,
        )

    def load_ahead(
        self, snapshot: Snapshot, history: History, *, intervals: int
    ) -> QuantileForecast | None:
        """The load of the coming intervals; None before a week of it was measured.

        Args:
            snapshot: the present; only a load that was truly measured stands for it.
            history: what was measured before.
            intervals: how many, 1 to 96.
        """
        start, load = pd.Timestamp(interval_start(snapshot.time)), snapshot.load
        now_kw = load.p_kw if load.quality is Quality.GOOD else math.nan
        return self._load.ahead(start, history, now_kw, intervals)

    def seen(
        self, pv: Pv, site: Site, start: datetime, history: History
    ) -> tuple[PlantRecord, PvGeometry]:
        """What is known of a plant before an interval, and how it faces as far as that shows."""
        plant = self._plant(pv, site)
        found = plant.observed.until(pd.Timestamp(start), history, plant.geometry, None, start)
        return found.record, plant.geometry

    def learn(self, site: Site, history: History, now: datetime) -> None:
        """Fit the orientation of the plant whose fit is oldest, unless that is younger than a day.

        Takes about a second, so it belongs after the devices are written; of one plant each
        time, so that a site of many is not silent for long. Never raises for bad history.
        """
        plants = [self._plant(pv, site) for pv in site.pvs]
        due = [p for p in plants if p.fitted is None or now - p.fitted >= REFIT]
        if not due:
            return
        plant = min(due, key=lambda p: NEVER if p.fitted is None else p.fitted)
        plant.fitted = now
        start = pd.Timestamp(interval_start(now))
        fit = plant.observed.fit(start, history, plant.built)
        if fit is None:
            return
        plant.doubt = "" if fit.agrees_with_guess else fit.note
        plant.disproof.reconsider(agrees=fit.enough and fit.agrees_with_guess)
        if _differ(fit.geometry, plant.geometry):
            plant.geometry, plant.chosen = fit.geometry, None
            try:
                seen = plant.observed.until(start, history, plant.geometry, None, now)
                self._chosen(plant, seen.record)
            except Exception:
                # The devices are written; the forecast of the plant will say what ails it.
                log.exception("the ladder of %s learnt nothing", plant.observed.der)

    def _guarded(
        self, pv: Pv, site: Site, snapshot: Snapshot, history: History, notes: list[str]
    ) -> PvForecast:
        """The forecast of a plant; where it breaks, what is safe without any."""
        try:
            return self._pv(pv, site, snapshot, history, notes)
        except Exception as fault:
            # One plant must not fail the cycle of the whole site.
            log.exception("the forecast of %s broke", pv.name)
            notes.append(
                f"{pv.name}: no forecast ({type(fault).__name__}: {fault}): nothing is expected, "
                f"its rating is possible"
            )
            return PvForecast(
                expected_kw=0.0, lower_kw=0.0, upper_kw=pv.rated_kw, method="clear_sky"
            )

    def _pv(
        self, pv: Pv, site: Site, snapshot: Snapshot, history: History, notes: list[str]
    ) -> PvForecast:
        start, now = pd.Timestamp(interval_start(snapshot.time)), snapshot.time
        plant, reading = self._plant(pv, site), snapshot.ders.get(pv.name)
        seen = plant.observed.until(start, history, plant.geometry, reading, now)
        plant.disproof.hold(plant.built, plant.geometry, seen.raw, reading, now)
        doubt = plant.disproof.note
        trusted = not (doubt or plant.doubt)
        upper = upper_bound_kw(plant.built, plant.geometry, start, trusted=trusted)
        chosen, found = self._answer(plant, seen.record)
        method = str(found.branch[0])
        standing, halt = _standstill_kw(seen)
        why = self._why_not(method, chosen, found)
        told = (seen.trouble, doubt, plant.doubt, halt, *chosen.notes, *why)
        notes += [f"{pv.name}: {note}" for note in told if note]
        least = _made_under_cap_kw(plant.geometry, reading, start, now)
        mean = max(float(found.forecast.mean_kw[0]), least, 0.0)
        quantiles = np.clip(found.forecast.quantiles_kw[0], 0.0, upper)
        if standing is not None:
            mean, quantiles[:-1] = min(mean, standing), np.minimum(quantiles[:-1], standing)
        expected, levels_kw = min(mean, upper), tuple(quantiles.tolist())
        return PvForecast(
            expected_kw=expected,
            lower_kw=min(least_kw(LEVELS, levels_kw, self._confidence), expected),
            upper_kw=upper,
            method=method,
            quantiles_kw=levels_kw,
        )

    def _plant(self, pv: Pv, site: Site) -> _Plant:
        key = (site.latitude_deg, site.longitude_deg, pv)
        if key not in self._plants:
            built = PvGeometry(
                latitude_deg=site.latitude_deg,
                longitude_deg=site.longitude_deg,
                tilt_deg=pv.tilt_deg,
                azimuth_deg=pv.azimuth_deg,
                rated_kw=pv.rated_kw,
            )
            self._plants[key] = _Plant(
                built=built, geometry=built, observed=Observed(pv.name, pv.rated_kw)
            )
        return self._plants[key]

    def _answer(self, plant: _Plant, record: PlantRecord) -> tuple[Chosen, LadderForecast]:
        """What the best ladder says that does not break, and that ladder.

        Raises:
            Exception: the last one breaks too.
        """
        broken: list[str] = []
        try:
            own = self._chosen(plant, record)
            return own, _sound(own.ladder.next(record))
        except Exception as fault:
            log.exception("the ladder of %s broke", plant.observed.der)
            broken.append(f"{self.method} broke: {type(fault).__name__}: {fault}")
        *others, last = simple_ladders(self.method, plant.geometry)
        for ladder in others:
            try:
                found = _sound(ladder.next(record))
            except Exception as fault:
                log.exception("a lower rung of %s broke", plant.observed.der)
                broken.append(f"the next rung broke: {type(fault).__name__}: {fault}")
            else:
                return Chosen(ladder=ladder, why="it broke", notes=tuple(broken)), found
        found = _sound(last.next(record))
        return Chosen(ladder=last, why="it broke", notes=tuple(broken)), found

    def _chosen(self, plant: _Plant, record: PlantRecord) -> Chosen:
        """The plant's ladder, which has learnt from the month before."""
        if plant.chosen is None:
            plant.chosen = self._models.ladder(plant.observed.der, plant.geometry)
            known = np.flatnonzero(np.isfinite(record.floor_kw))
            if len(known):
                plant.chosen.ladder.replay(record.part(int(known[0]), len(record)))
        return plant.chosen

    def _why_not(self, method: str, chosen: Chosen, found: LadderForecast) -> list[str]:
        """Why the rungs above the one that answered did not."""
        if method == self.method:
            return []
        reason = chosen.why or "; ".join(found.notes)
        why = [f"{self.method} not used: {reason}"]
        if method == "clear_sky" and self.method != "smart_persistence":
            why.append("smart_persistence not used: no uncapped measurement of the last hour")
        return why


def _sound(found: LadderForecast) -> LadderForecast:
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


def _differ(a: PvGeometry, b: PvGeometry) -> bool:
    """Whether two geometries give noticeably different clear skies."""
    turned = abs((a.azimuth_deg - b.azimuth_deg + 180.0) % 360.0 - 180.0)
    sideways = turned * math.sin(math.radians(max(a.tilt_deg, b.tilt_deg)))
    tilted = abs(a.tilt_deg - b.tilt_deg)
    return max(sideways, tilted) > _MOVED_DEG or abs(a.scale - b.scale) > _MOVED_SCALE


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
