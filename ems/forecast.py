"""Forecast stage: the power each PV plant could give in the present interval, and the load.

A ladder, best rung first; each PV plant stands on the best rung that its data allow:

1. `lstm`: the published model, when the five previous days were measured at this time stamp;
2. `smart_persistence`: the clear-sky index of a measurement at most one hour old;
3. `clear_sky`: the usual share of the clear sky.

The upper bound does not come from the ladder. It is what no sky gives more than, so that a
limit verified up to it holds whatever the clouds do.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
import pandas as pd

from ems.clock import interval_start
from ems.domain import DerReading, Forecast, Pv, PvForecast, Quality, Site, Snapshot
from ems.ports import History
from forecasting.baselines import (
    climatological_index,
    climatology_kw,
    is_low_sun,
    smart_persistence_kw,
)
from forecasting.clearsky import (
    PvGeometry,
    brightest_power_kw,
    clear_power_kw,
    clear_sky,
    clear_sky_kw,
    clear_sky_mean_kw,
)
from forecasting.features import LAG_DAYS, lagged_kw, paper_features
from forecasting.runtime import PaperLstm, ParityFault
from forecasting.series import INTERVAL, PowerSeries
from models import ArtefactFault, artefact

Method = Literal["lstm", "smart_persistence", "clear_sky"]
RUNGS: Final[tuple[Method, ...]] = get_args(Method)

CLOUD_EDGE: Final = 1.25
"""How far a 15-minute mean may exceed the clear sky, by reflection from cloud edges [1]."""

RECENT: Final = timedelta(hours=1)
"""Oldest measurement that still tells the present sky."""

# Readings are stamped when they arrive, which may be shortly after the snapshot's own time.
_STAMP_TOLERANCE = timedelta(minutes=1)

# A reading above the bound by more than this share of the rating is no meter noise.
_DISPROOF_SHARE = 0.01

# How far from the present time of day the past days are held against the bound [s].
_SAME_HOUR_S = 7200.0

# The bound looks 5 minutes to either side.
_AROUND = pd.TimedeltaIndex([timedelta(minutes=m) for m in (-5.0, -2.5, 0.0, 2.5, 5.0)])
_INTERVAL_AROUND = pd.TimedeltaIndex([timedelta(minutes=m / 2) for m in range(-10, 41, 5)])

# Of the instants above: 2.5, 7.5 and 12.5 minutes after the start, the middles of its thirds.
_MEAN_OF = [3, 5, 7]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """All that the rungs may know about one PV plant."""

    pv: Pv
    geometry: PvGeometry
    start: pd.Timestamp
    now: datetime
    reading: DerReading | None
    measured: PowerSeries
    """15-minute means before `start`; NaN or absent where unknown or capped [kW]."""
    clear_kw: float
    """Clear-sky mean of the interval [kW]."""

    def usual_index(self) -> float | None:
        """Clear-sky index of the past days; None when too little was measured [1]."""
        known = self.measured.dropna()
        if known.empty:
            return None
        middles = pd.DatetimeIndex(known.index) + INTERVAL / 2
        clear = clear_sky_kw(self.geometry, middles)
        return climatological_index(np.asarray(known, dtype=np.float64), clear, self.pv.rated_kw)


# A rung answers the expected power [kW], or why it cannot.
_Rung = Callable[[_Case], float | str]


class LadderForecaster:
    """Forecasts with the best rung that the data allow; implements `ems.ports.Forecaster`."""

    def __init__(
        self,
        method: Method = "lstm",
        *,
        artefact_id: str = "paper_lstm",
        root: Path | None = None,
    ) -> None:
        """Choose the best rung to try, and load its artefact.

        A missing or changed artefact does not raise: each forecast then notes it and steps
        down.

        Args:
            method: Best rung to try; those below remain its fallback.
            artefact_id: Which artefact the `lstm` rung runs.
            root: Folder of the artefacts; the ones that ship when not given.

        Raises:
            ValueError: `method` is none of `RUNGS`.
        """
        if method not in RUNGS:
            raise ValueError(f"method '{method}'; expected one of {', '.join(RUNGS)}")
        self.method = method
        self._model: PaperLstm | str = "not asked for"
        if method == "lstm":
            self._model = _load(artefact_id, root)
        self._rungs: dict[Method, _Rung] = {
            "lstm": self._lstm,
            "smart_persistence": _smart_persistence,
            "clear_sky": _clear_sky,
        }

    def predict(self, site: Site, snapshot: Snapshot, history: History) -> Forecast:
        """Forecast the interval that holds `snapshot.time`; never raises for bad history.

        The load is expected to stay as measured.
        """
        start = interval_start(snapshot.time)
        notes: list[str] = []
        pv = {p.name: self._pv(p, site, snapshot, history, notes) for p in site.pvs}
        kvar = snapshot.load.q_kvar
        return Forecast(
            start=start,
            pv=pv,
            load_kw=snapshot.load.p_kw,
            load_kvar=kvar if kvar is not None and math.isfinite(kvar) else None,
            notes=tuple(notes),
        )

    def _pv(
        self, pv: Pv, site: Site, snapshot: Snapshot, history: History, notes: list[str]
    ) -> PvForecast:
        start = pd.Timestamp(interval_start(snapshot.time))
        geometry = PvGeometry(
            latitude_deg=site.latitude_deg,
            longitude_deg=site.longitude_deg,
            tilt_deg=pv.tilt_deg,
            azimuth_deg=pv.azimuth_deg,
            rated_kw=pv.rated_kw,
        )
        mean, brightest = _sky_shares(
            site.latitude_deg, site.longitude_deg, pv.tilt_deg, pv.azimuth_deg, start
        )
        measured, trouble = _read_history(history, pv.name, start)
        case = _Case(
            pv=pv,
            geometry=geometry,
            start=start,
            now=snapshot.time,
            reading=snapshot.ders.get(pv.name),
            measured=measured,
            clear_kw=mean * pv.rated_kw,
        )
        upper, doubt = _upper_bound(case, brightest)
        notes.extend(f"{pv.name}: {note}" for note in (trouble, doubt) if note)
        method, expected = self._climb_down(case, notes)
        expected = max(expected, _made_under_cap_kw(case))
        return PvForecast(
            expected_kw=min(max(expected, 0.0), upper),
            lower_kw=0.0,
            upper_kw=upper,
            method=method,
        )

    def _climb_down(self, case: _Case, notes: list[str]) -> tuple[Method, float]:
        """Best rung that answers, and its answer [kW]."""
        for method in RUNGS[RUNGS.index(self.method) :]:
            answer = self._rungs[method](case)
            if isinstance(answer, float) and math.isfinite(answer):
                return method, answer
            reason = answer if isinstance(answer, str) else "its answer is not a number"
            notes.append(f"{case.pv.name}: {method} not used: {reason}")
        # The last rung needs no measurement, so it always answers.
        raise AssertionError("the clear sky is not a number")

    def _lstm(self, case: _Case) -> float | str:
        if isinstance(self._model, str):
            return self._model
        starts = pd.DatetimeIndex([case.start])
        lags = lagged_kw(case.measured, starts)
        missing = int((~np.isfinite(lags)).sum())
        if missing:
            return (
                f"{missing} of the {LAG_DAYS} previous days lack an uncapped measurement at "
                f"{case.start:%H:%M} UTC"
            )
        x = paper_features(lags, starts, case.geometry)
        return float(self._model.predict_kw(x, np.array([case.clear_kw]), case.pv.rated_kw)[0])


def _load(artefact_id: str, root: Path | None) -> PaperLstm | str:
    """The model, or why there is none."""
    try:
        return PaperLstm(artefact(artefact_id, root))
    except (ArtefactFault, ParityFault, ValueError, RuntimeError, ImportError) as fault:
        return str(fault)


def _smart_persistence(case: _Case) -> float | str:
    last = _last_measurement(case)
    if last is None:
        return "no uncapped measurement of the last hour"
    measured_kw, clear_kw = np.array([last[0]]), np.array([last[1]])
    rated = case.pv.rated_kw
    answer = smart_persistence_kw(
        measured_kw=measured_kw,
        clear_measured_kw=clear_kw,
        clear_target_kw=np.array([case.clear_kw]),
        rated_kw=rated,
        index=case.usual_index() if is_low_sun(clear_kw, rated) else None,
    )
    return float(answer[0])


def _clear_sky(case: _Case) -> float | str:
    answer = climatology_kw(np.array([case.clear_kw]), case.usual_index(), case.pv.rated_kw)
    return float(answer[0])


def _made_under_cap_kw(case: _Case) -> float:
    """What the plant makes now under a cap, carried to the interval by the clear sky [kW].

    A cap hides how much more was available, not that this much was.
    """
    reading = case.reading
    if reading is None or reading.cap_kw is None or not _is_present(reading, case.now):
        return 0.0
    clear_now = float(clear_sky_kw(case.geometry, pd.DatetimeIndex([reading.time]))[0])
    falling = min(1.0, case.clear_kw / clear_now) if clear_now > 0.0 else 0.0
    return max(0.0, reading.p_kw) * falling


def _last_measurement(case: _Case) -> tuple[float, float] | None:
    """Newest uncapped power of the last hour, and the clear sky it was measured under [kW]."""
    known = case.measured.dropna()
    in_history = known.index[-1] + INTERVAL / 2 if len(known) else None
    reading = case.reading
    if (
        reading is not None
        # Any cap below the rating hides what was available, also one that did not bind:
        # keeping only the readings under it would learn from the dull hours alone.
        and (reading.cap_kw is None or reading.cap_kw >= case.pv.rated_kw)
        and _is_present(reading, case.now)
        and (in_history is None or reading.time >= in_history)
    ):
        then = pd.DatetimeIndex([reading.time])
        return reading.p_kw, float(clear_sky_kw(case.geometry, then)[0])
    if in_history is None or in_history < case.now - RECENT:
        return None
    then = pd.DatetimeIndex([known.index[-1]])
    return float(known.iloc[-1]), float(clear_sky_mean_kw(case.geometry, then)[0])


def _is_present(reading: DerReading, now: datetime) -> bool:
    """Whether a reading was truly measured, and within the last hour."""
    return (
        reading.quality is not Quality.ASSUMED
        and math.isfinite(reading.p_kw)
        and -_STAMP_TOLERANCE <= now - reading.time <= RECENT
    )


def _upper_bound(case: _Case, brightest_share: float) -> tuple[float, str]:
    """Power that no sky exceeds in the interval [kW], and a doubt about it, if any.

    A power above the bound, now or at this time on the past days, disproves the site file's
    place or orientation: the only bound left is then the rating.
    """
    rated = case.pv.rated_kw
    upper = min(rated, CLOUD_EDGE * brightest_share * rated)
    for measured_kw, brightest_kw in _near_this_hour(case):
        then = min(rated, CLOUD_EDGE * brightest_kw)
        if measured_kw > then + _DISPROOF_SHARE * rated:
            return rated, (
                f"measured {measured_kw:.1f} kW where the brightest sky gives {then:.1f} kW, so "
                f"its upper bound is the rating; check latitude, longitude, tilt and azimuth in "
                f"the site file"
            )
    return upper, ""


def _near_this_hour(case: _Case) -> list[tuple[float, float]]:
    """Measured power and brightest sky, now and on the past days around this time of day [kW]."""
    g, known = case.geometry, case.measured.dropna()
    away = np.abs((pd.DatetimeIndex(known.index) - case.start).total_seconds()) % 86_400.0
    known = known[np.minimum(away, 86_400.0 - away) <= _SAME_HOUR_S]
    starts = pd.DatetimeIndex(known.index)
    edges = pd.DatetimeIndex([*starts, *(starts + INTERVAL / 2), *(starts + INTERVAL)])
    pairs: list[tuple[float, float]] = []
    if len(starts):
        sky = clear_sky(g.latitude_deg, g.longitude_deg, edges)
        brightest = brightest_power_kw(g, sky).reshape(3, -1).max(axis=0)
        pairs = list(zip(map(float, known), map(float, brightest), strict=True))
    reading = case.reading
    if reading is not None and _is_present(reading, case.now):
        sky = clear_sky(g.latitude_deg, g.longitude_deg, pd.Timestamp(reading.time) + _AROUND)
        pairs.append((reading.p_kw, float(brightest_power_kw(g, sky).max())))
    return pairs


@lru_cache(maxsize=4096)
def _sky_shares(
    latitude_deg: float,
    longitude_deg: float,
    tilt_deg: float,
    azimuth_deg: float,
    start: pd.Timestamp,
) -> tuple[float, float]:
    """Clear-sky mean of an interval, and its brightest sky with 5 minutes either side.

    As shares of the rating, so that plants of one orientation share the calculation.
    """
    unit = PvGeometry(
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        tilt_deg=tilt_deg,
        azimuth_deg=azimuth_deg,
        rated_kw=1.0,
    )
    sky = clear_sky(latitude_deg, longitude_deg, start + _INTERVAL_AROUND)
    mean = clear_power_kw(unit, sky)[_MEAN_OF].mean()
    return float(mean), float(brightest_power_kw(unit, sky).max())


def _read_history(history: History, der: str, start: pd.Timestamp) -> tuple[PowerSeries, str]:
    """What was measured in the five days before `start`, and what is wrong with it, if anything."""
    nothing = pd.Series(dtype=float, index=pd.DatetimeIndex([], tz="UTC"))
    since = start - pd.Timedelta(days=LAG_DAYS)
    try:
        found = history.pv_kw(der, since.to_pydatetime(), start.to_pydatetime())
        if not isinstance(found.index, pd.DatetimeIndex) or found.index.tz is None:
            return nothing, "history not used: its times carry no zone"
        values = pd.to_numeric(found, errors="coerce").to_numpy(dtype=float)
        index = found.index.tz_convert("UTC")
    except Exception as fault:  # noqa: BLE001  whatever ails the database, the cycle goes on
        return nothing, f"history not used: {type(fault).__name__}: {fault}"
    series = pd.Series(np.where(np.isfinite(values), values, np.nan), index=index).sort_index()
    # Nothing from the present interval or later may be used, whatever the history hands out.
    series = series[(series.index >= since) & (series.index < start)]
    return series[~series.index.duplicated(keep="last")], ""
