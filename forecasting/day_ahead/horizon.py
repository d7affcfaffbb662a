"""The PV power of the day ahead: 96 intervals, their mean and quantiles, from the plant alone.

A blend of clear-sky indices (`horizon_features`) with weights by horizon that were trained on
several plants (`horizon_blend`, artefact `pv_day_ahead`). Where a forecast of the next interval or
of the weather is at hand it goes in:

    index = blend → a weather forecast draws it to its own, more with the horizon
                  → the next interval's forecast shifts it, less with the horizon
    quantiles of the index given all that, times the clear sky

Without the artefact the usual sky of the time of day serves, and the path says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from forecasting.clearsky import Floats, PvGeometry
from forecasting.day_ahead.blend import ARTEFACT, Blend
from forecasting.day_ahead.features import DAY, Features, Ints, timeline
from forecasting.day_ahead.weather import WeatherForecast, weather_weight
from forecasting.record import LEVELS, PlantRecord, QuantileForecast
from forecasting.series import INTERVAL
from forecasting.sky import INDEX_MAX, LOW_SUN_SHARE
from models import ArtefactFault, find

Branch = Literal["pv_day_ahead", "clear_sky"]
"""Which rung answered: the trained blend, or the usual sky of the time of day."""

# Intervals over which the present sky gives way to the usual one without the artefact: beyond
# four hours the present index says little.
_FADE = 16

_CHUNK = 256  # issues of a batch worked out at a time: 40 MB of features


@dataclass(frozen=True, slots=True, kw_only=True)
class DayAheadPath:
    """One day ahead, and where it came from."""

    forecast: QuantileForecast
    branch: Branch
    notes: tuple[str, ...]
    """What was missing or not used, one sentence each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayAheadBatch:
    """Days ahead of many issues, each from what was known at its start."""

    starts: pd.DatetimeIndex
    """Start of the first interval of each issue, UTC, shape (issue,)."""
    mean_kw: Floats
    """Expected power, shape (issue, interval) [kW]."""
    quantiles_kw: Floats
    """Quantiles at `LEVELS`, ascending, shape (issue, interval, level) [kW]."""


class DayAhead:
    """Forecasts the day ahead of any plant with one trained blend, or without it."""

    def __init__(self, blend: Blend | None, notes: tuple[str, ...] = ()) -> None:
        """Forecast with a blend; None: with the usual sky, for the reason in `notes`."""
        self._blend = blend
        self._notes = notes

    @classmethod
    def load(cls, artefact_id: str = ARTEFACT, user_root: Path | None = None) -> "DayAhead":
        """The blend of an artefact; one that cannot be believed is a note, not an exception."""
        try:
            return cls(Blend.from_artefact(find(artefact_id, user_root)))
        except (ArtefactFault, ValueError) as fault:
            return cls(None, (f"day ahead from the usual sky, without a trained blend: {fault}",))

    @property
    def branch(self) -> Branch:
        """Which rung answers."""
        return "clear_sky" if self._blend is None else "pv_day_ahead"

    def path(
        self,
        record: PlantRecord,
        geometry: PvGeometry,
        start: pd.Timestamp,
        *,
        intervals: int = DAY,
        next_interval: QuantileForecast | None = None,
        weather: WeatherForecast | None = None,
    ) -> DayAheadPath:
        """The intervals from `start` on, from what the record holds before it.

        Args:
            record: The plant; rows from `start` on are not looked at, older ones than 120 days
                neither.
            geometry: The plant.
            start: Start of the first interval, on the quarter of an hour, UTC.
            intervals: How many, 1 to 96.
            next_interval: Forecast of the interval at `start`, if a better one is at hand: its
                first row becomes the first row here, and shifts those that follow.
            weather: An external weather forecast.

        Raises:
            ValueError: `start` is off the grid, `intervals` not within 1 to 96, or
                `next_interval` is the forecast of another interval.
        """
        if not 1 <= intervals <= DAY:
            raise ValueError(f"{intervals} intervals ahead; expected 1 to {DAY}")
        line = timeline(record, geometry, start, start)
        features, clear = Features(line), line.clear[-DAY:]
        notes = list(self._notes)
        index = self._mean_index(features, line.issues)
        if weather is not None:
            said = weather.ahead(record, geometry, start)
            weight = np.where(np.isfinite(said.index), weather_weight(), 0.0)
            index += weight * (np.nan_to_num(said.index) - index)
            notes += said.notes
        # At night the first interval is 0 whatever is given, and tells nothing of the rest.
        given = None
        if next_interval is not None and clear[0] > 0.0:
            given = _first_row(next_interval, start, geometry, notes)
        if given is not None:
            index[0] += self._lasting() * _apart(given[0], index[0, 0], clear[0])
        index = np.clip(index, 0.0, INDEX_MAX)
        levels = self._index_levels(features, line.issues, index)[0]
        if given is not None:
            # What the next interval knows of its own spread fades as what it knows of the mean.
            apart = [_apart(g, q, clear[0]) for g, q in zip(given[1:], levels[0], strict=True)]
            levels = np.sort(levels + self._lasting()[:, None] * np.array(apart), axis=-1)
        mean_kw, quantiles_kw = _powers(index[0], levels, clear, geometry.rated_kw)
        if given is not None:
            mean_kw[0] = given[0] * geometry.rated_kw
            quantiles_kw[0] = given[1:] * geometry.rated_kw
        forecast = QuantileForecast(
            starts=pd.date_range(start, periods=intervals, freq=INTERVAL),
            mean_kw=mean_kw[:intervals],
            quantiles_kw=quantiles_kw[:intervals],
        )
        return DayAheadPath(forecast=forecast, branch=self.branch, notes=tuple(notes))

    def batch(
        self, record: PlantRecord, geometry: PvGeometry, issue_indices: Sequence[int] | Ints
    ) -> DayAheadBatch:
        """The day ahead of many issues.

        Args:
            record: The plant.
            geometry: The plant.
            issue_indices: Intervals of the record at whose start a day is forecast, ascending,
                0 to its length, shape (issue,).

        Raises:
            ValueError: the indices do not ascend, or lie outside the record.
        """
        asked = np.asarray(issue_indices, dtype=np.int64)
        if (
            not len(asked)
            or (np.diff(asked) <= 0).any()
            or not 0 <= asked[0] <= asked[-1] <= len(record)
        ):
            raise ValueError(f"issues must ascend within 0 to {len(record)}, and be one at least")
        starts = record.starts[0] + asked * INTERVAL
        line = timeline(record, geometry, starts[0], starts[-1])
        features = Features(line)
        rows = line.issues[asked - asked[0]]
        mean_kw = np.empty((len(asked), DAY))
        quantiles_kw = np.empty((len(asked), DAY, len(LEVELS)))
        for first in range(0, len(rows), _CHUNK):
            part = slice(first, first + _CHUNK)
            clear = line.clear[rows[part, None] + np.arange(DAY)]
            index = self._mean_index(features, rows[part])
            levels = self._index_levels(features, rows[part], index)
            mean_kw[part], quantiles_kw[part] = _powers(index, levels, clear, geometry.rated_kw)
        return DayAheadBatch(
            starts=pd.DatetimeIndex(starts), mean_kw=mean_kw, quantiles_kw=quantiles_kw
        )

    def _mean_index(self, features: Features, issues: Ints) -> Floats:
        if self._blend is not None:
            return self._blend.mean_index(features, issues)
        usual = features.usual(issues)
        return usual + self._lasting() * (features.now(issues)[:, None] - usual)

    def _index_levels(self, features: Features, issues: Ints, index: Floats) -> Floats:
        if self._blend is not None:
            return self._blend.index_levels(features, issues, index)
        moved = (index - features.usual(issues))[..., None]
        return np.clip(features.levels_alike(issues) + moved, 0.0, INDEX_MAX)

    def _lasting(self) -> Floats:
        """What is left of what is known of the first interval, shape (interval,) [1]."""
        if self._blend is not None:
            return self._blend.lasting_by_interval
        return np.clip(1.0 - np.arange(DAY) / _FADE, 0.0, 1.0)


def ahead(
    record: PlantRecord,
    geometry: PvGeometry,
    start: pd.Timestamp,
    intervals: int = DAY,
    next_interval: QuantileForecast | None = None,
    weather: WeatherForecast | None = None,
) -> QuantileForecast:
    """The day ahead by the artefact that ships; see `DayAhead.path`."""
    return (
        _shipped()
        .path(
            record,
            geometry,
            start,
            intervals=intervals,
            next_interval=next_interval,
            weather=weather,
        )
        .forecast
    )


def ahead_batch(
    record: PlantRecord, geometry: PvGeometry, issue_indices: Sequence[int] | Ints
) -> DayAheadBatch:
    """The days ahead of many issues by the artefact that ships; see `DayAhead.batch`."""
    return _shipped().batch(record, geometry, issue_indices)


@lru_cache(maxsize=1)
def _shipped() -> DayAhead:
    return DayAhead.load()


def _first_row(
    given: QuantileForecast, start: pd.Timestamp, geometry: PvGeometry, notes: list[str]
) -> Floats | None:
    """Mean and quantiles of the next interval in shares of the rating, shape (1 + level,)."""
    if not len(given.starts) or given.starts[0] != start:
        raise ValueError(f"next_interval is not the forecast of the interval at {start}")
    row = np.concatenate([given.mean_kw[:1], given.quantiles_kw[0]]) / geometry.rated_kw
    if not np.isfinite(row).all():
        notes.append("the next interval's forecast has no answer: the day ahead stands alone")
        return None
    return np.concatenate([np.clip(row[:1], 0.0, 1.0), np.sort(np.clip(row[1:], 0.0, 1.0))])


def _apart(given: float, own_index: float, clear: float) -> float:
    """How far a given power lies from an own index, as an index; nothing where the sun is low."""
    trusted = min(clear / LOW_SUN_SHARE, 1.0)
    return float(trusted * (given - own_index * clear) / max(clear, LOW_SUN_SHARE))


def _powers(index: Floats, levels: Floats, clear: Floats, rated_kw: float) -> tuple[Floats, Floats]:
    """Mean and quantiles of power, within [0, rated], 0 at night [kW]."""
    quantiles = np.clip(levels * clear[..., None], 0.0, 1.0) * rated_kw
    return np.clip(index * clear, 0.0, 1.0) * rated_kw, quantiles
