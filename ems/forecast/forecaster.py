"""The forecaster of a site: one ladder per PV plant, and what is remembered from cycle to cycle."""

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd

from ems.clock import interval_start
from ems.domain import PLAUSIBLE, Forecast, Pv, PvForecast, Quality, Site, Snapshot, band_kw
from ems.forecast.load import ObservedLoad
from ems.forecast.models import METHODS, Chosen, Method, Models
from ems.forecast.observed import Observed
from ems.forecast.plant import Look, Plant, sound
from ems.forecast.together import read_together
from ems.ports import History
from forecasting.clearsky import PvGeometry
from forecasting.ladder import LadderForecast, PlantLadder, next_of_all
from forecasting.record import LEVELS, PlantRecord, QuantileForecast
from forecasting.sky import Newest

log = logging.getLogger(__name__)

REFIT = timedelta(days=1)
"""How often the orientation is fitted: modules do not turn, but the history grows."""

NEVER = datetime(1970, 1, 1, tzinfo=UTC)

# A fit that moves by less is noise: what was learnt with the old one stays good.
_MOVED_DEG, _MOVED_SCALE = 2.0, 0.02


_UTC = ZoneInfo("UTC")


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
        self._plants: dict[tuple[float, float, Pv], Plant] = {}

    def predict(self, site: Site, snapshot: Snapshot, history: History) -> Forecast:
        """Forecast the interval that holds `snapshot.time`; never raises for bad history."""
        pv, notes = self._suns(site, snapshot, history)
        kvar = snapshot.load.q_kvar
        stays = Forecast(
            start=interval_start(snapshot.time),
            pv=pv,
            load_kw=snapshot.load.p_kw,
            load_kvar=kvar if kvar is not None and math.isfinite(kvar) else None,
            notes=notes,
            faults=self._faults(site),
            levels=LEVELS,
            confidence=self._confidence,
        )
        profile = self.load_ahead(site, snapshot, history, intervals=1)
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
        self, site: Site, snapshot: Snapshot, history: History, *, intervals: int
    ) -> QuantileForecast | None:
        """The load of the coming intervals; None before a week of it was measured.

        Args:
            site: whose; its largest load bounds what can have been measured.
            snapshot: the present; only a load that was truly measured stands for it.
            history: what was measured before.
            intervals: how many, 1 to 96.
        """
        start, load = pd.Timestamp(interval_start(snapshot.time)), snapshot.load
        now_kw = load.p_kw if load.quality is Quality.GOOD else math.nan
        most_kw = PLAUSIBLE * site.load_max_kw
        return self._load.ahead(start, history, now_kw, intervals, most_kw=most_kw)

    def seen(
        self, pv: Pv, site: Site, start: datetime, history: History
    ) -> tuple[PlantRecord, PvGeometry]:
        """What is known of a plant before an interval, and how it faces as far as that shows."""
        plant = self._plant(pv, site)
        seen = plant.observed.until(pd.Timestamp(start), history, plant.geometry, None, start)
        return seen.newest.record, plant.geometry

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
                plant.taught(self._models, seen.newest.record)
            except Exception:
                # The devices are written; the forecast of the plant will say what ails it.
                log.exception("the ladder of %s learnt nothing", plant.observed.der)

    def _suns(
        self, site: Site, snapshot: Snapshot, history: History
    ) -> tuple[dict[str, PvForecast], tuple[str, ...]]:
        """The forecast of each plant, and notes. Where it breaks, what is safe without any.

        One plant must not fail the cycle of the whole site, so each step is guarded for each.
        """
        start, now = pd.Timestamp(interval_start(snapshot.time)), snapshot.time
        history = read_together(history, [pv.name for pv in site.pvs])
        looks: dict[str, Look | Exception] = {}
        for pv in site.pvs:
            try:
                reading = snapshot.ders.get(pv.name)
                looks[pv.name] = self._plant(pv, site).look(start, history, reading, now)
            except Exception as fault:
                log.exception("the forecast of %s broke", pv.name)
                looks[pv.name] = fault
        answers = self._answers(site, looks)
        found: dict[str, PvForecast] = {}
        notes: list[str] = []
        for pv in site.pvs:
            look = looks[pv.name]
            try:
                if isinstance(look, Exception):
                    raise look  # noqa: TRY301  told below, as what breaks here
                found[pv.name], told = self._told(
                    self._plant(pv, site), look, answers[pv.name], start, now
                )
                notes += [f"{pv.name}: {note}" for note in told if note]
            except Exception as fault:
                if fault is not look:
                    log.exception("the forecast of %s broke", pv.name)
                found[pv.name] = PvForecast(
                    expected_kw=0.0, lower_kw=0.0, upper_kw=pv.rated_kw, method="clear_sky"
                )
                notes.append(
                    f"{pv.name}: no forecast ({type(fault).__name__}: {fault}): nothing is "
                    f"expected, its rating is possible"
                )
        return found, tuple(notes)

    def _faults(self, site: Site) -> tuple[str, ...]:
        """Models that are refused or missing, each once however many plants miss it."""
        chosen = [self._plant(pv, site).chosen for pv in site.pvs]
        return tuple(dict.fromkeys(line for c in chosen if c is not None for line in c.faults))

    def _answers(
        self, site: Site, looks: Mapping[str, Look | Exception]
    ) -> dict[str, LadderForecast | Exception]:
        """What the own ladder of each plant says, or how it broke; pooled ones all at once."""
        found: dict[str, LadderForecast | Exception] = {}
        pooled: dict[str, tuple[PlantLadder, Newest]] = {}
        for pv in site.pvs:
            look = looks[pv.name]
            if isinstance(look, Exception):
                continue
            newest = look.seen.newest
            try:
                ladder = self._plant(pv, site).taught(self._models, newest.record).ladder
                if isinstance(ladder, PlantLadder):
                    pooled[pv.name] = ladder, newest
                else:
                    found[pv.name] = sound(ladder.next(newest.record))
            except Exception as fault:
                log.exception("the ladder of %s broke", pv.name)
                found[pv.name] = fault
        return found | _together(pooled)

    def _told(
        self,
        plant: Plant,
        look: Look,
        own: LadderForecast | Exception,
        start: pd.Timestamp,
        now: datetime,
    ) -> tuple[PvForecast, tuple[str, ...]]:
        """The forecast of a plant, and notes."""
        chosen, found = plant.answer(self.method, look.seen.newest.record, own)
        forecast, halt = plant.told(look, found, start, now, self._confidence)
        why = self._why_not(forecast.method, chosen, found)
        doubts = plant.disproof.note, plant.doubt
        return forecast, (look.seen.trouble, *doubts, halt, *chosen.notes, *why)

    def _plant(self, pv: Pv, site: Site) -> Plant:
        key = (site.latitude_deg, site.longitude_deg, pv)
        if key not in self._plants:
            built = PvGeometry(
                latitude_deg=site.latitude_deg,
                longitude_deg=site.longitude_deg,
                tilt_deg=pv.tilt_deg,
                azimuth_deg=pv.azimuth_deg,
                rated_kw=pv.rated_kw,
            )
            self._plants[key] = Plant(
                built=built, geometry=built, observed=Observed(pv.name, pv.rated_kw)
            )
        return self._plants[key]

    def _why_not(self, method: str, chosen: Chosen, found: LadderForecast) -> list[str]:
        """Why the rungs above the one that answered did not."""
        if method == self.method:
            return []
        reason = chosen.why or "; ".join(found.notes)
        why = [f"{self.method} not used: {reason}"]
        if method == "clear_sky" and self.method != "smart_persistence":
            why.append("smart_persistence not used: no uncapped measurement of the last hour")
        return why


def _together(
    pooled: Mapping[str, tuple[PlantLadder, Newest]],
) -> dict[str, LadderForecast | Exception]:
    """What ladders say, asked all at once; where that breaks, one by one."""
    if not pooled:
        return {}
    try:
        ladders, newest = zip(*pooled.values(), strict=True)
        return {n: sound(f) for n, f in zip(pooled, next_of_all(ladders, newest), strict=True)}
    except Exception:
        log.exception("the ladders together broke; each is asked alone")
    found: dict[str, LadderForecast | Exception] = {}
    for name, (ladder, known) in pooled.items():
        try:
            found[name] = sound(ladder.next(known.record))
        except Exception as fault:
            log.exception("the ladder of %s broke", name)
            found[name] = fault
    return found


def _differ(a: PvGeometry, b: PvGeometry) -> bool:
    """Whether two geometries give noticeably different clear skies."""
    turned = abs((a.azimuth_deg - b.azimuth_deg + 180.0) % 360.0 - 180.0)
    sideways = turned * math.sin(math.radians(max(a.tilt_deg, b.tilt_deg)))
    tilted = abs(a.tilt_deg - b.tilt_deg)
    return max(sideways, tilted) > _MOVED_DEG or abs(a.scale - b.scale) > _MOVED_SCALE
