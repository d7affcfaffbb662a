"""The PV power of the day ahead: 96 intervals, their mean and quantiles, from the plant alone.

A blend of clear-sky indices (`features`) with weights by horizon that were trained on several
plants (`blend`, artefact `pv_day_ahead`). Where a forecast of the next interval or
of the weather is at hand it goes in:

    index = blend → a weather forecast draws it to its own, more with the horizon
                  → the next interval's forecast shifts it, less with the horizon
    quantiles of the index given all that, moved by what those of the past weeks missed (`bands`),
    times the clear sky

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
from forecasting.day_ahead.bands import moved, shifts_before
from forecasting.day_ahead.blend import ARTEFACT, Blend
from forecasting.day_ahead.features import DAY, Features, Ints, timeline
from forecasting.day_ahead.weather import WeatherForecast, weather_weight
from forecasting.record import LEVELS, PlantRecord, QuantileForecast
from forecasting.series import INTERVAL
from forecasting.sky import INDEX_MAX, LOW_SUN_SHARE
from models import ArtefactFault, Champion, find

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
        except ArtefactFault as fault:
            return cls.without(fault.in_short)
        except ValueError as fault:
            return cls.without(str(fault))

    @classmethod
    def of(cls, chosen: Champion) -> "DayAhead":
        """The blend of a champion; likewise, and with what was passed over on the way to it."""
        try:
            return cls(Blend.from_artefact(chosen.artefact), chosen.notes)
        except ValueError as fault:
            return cls.without(str(fault), chosen.notes)

    @classmethod
    def without(cls, why: str, notes: tuple[str, ...] = ()) -> "DayAhead":
        """The usual sky, for want of a blend."""
        told = f"day ahead from the usual sky, without a trained blend: {why}"
        return cls(None, (*notes, told))

    @property
    def notes(self) -> tuple[str, ...]:
        """Models that were passed over, and why there is none; they stand in every path."""
        return self._notes

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
        calibrated: bool = True,
    ) -> DayAheadPath:
        """The intervals from `start` on, from what the record holds before it.

        Args:
            record: The plant; rows from `start` on are not looked at, older ones than 120 days
                neither, than 166 for the bands.
            geometry: The plant.
            start: Start of the first interval, on the quarter of an hour, UTC.
            intervals: How many, 1 to 96.
            next_interval: Forecast of the interval at `start`, if a better one is at hand: its
                first row becomes the first row here, and shifts those that follow.
            weather: An external weather forecast.
            calibrated: Whether bands are moved by what those of the past weeks missed; whoever
                reads the mean alone saves most of the time.

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
        given = None
        if next_interval is not None:
            given = _given(next_interval, pd.DatetimeIndex([start]), geometry)
            if clear[0] > 0.0 and not np.isfinite(given).all():
                notes.append(
                    "the next interval's forecast has no answer: the day ahead stands alone"
                )
        shifts = None
        if calibrated:
            shifts = shifts_before(self.levels, record, geometry, pd.DatetimeIndex([start]))
        mean, quantiles = self._shares(features, line.issues, index, clear[None], given, shifts)
        mean_kw, quantiles_kw = mean[0] * geometry.rated_kw, quantiles[0] * geometry.rated_kw
        forecast = QuantileForecast(
            starts=pd.date_range(start, periods=intervals, freq=INTERVAL),
            mean_kw=mean_kw[:intervals],
            quantiles_kw=quantiles_kw[:intervals],
        )
        return DayAheadPath(forecast=forecast, branch=self.branch, notes=tuple(notes))

    def batch(
        self,
        record: PlantRecord,
        geometry: PvGeometry,
        issue_indices: Sequence[int] | Ints,
        *,
        next_intervals: QuantileForecast | None = None,
        calibrated: bool = True,
    ) -> DayAheadBatch:
        """The day ahead of many issues.

        Args:
            record: The plant.
            geometry: The plant.
            issue_indices: Intervals of the record at whose start a day is forecast, ascending,
                0 to its length, shape (issue,).
            next_intervals: Forecasts of the first interval of each issue, as `next_interval` of
                `path`; a row that is not finite stands for none.
            calibrated: As in `path`.

        Raises:
            ValueError: the indices do not ascend, or lie outside the record, or `next_intervals`
                are forecasts of other intervals.
        """
        asked = np.asarray(issue_indices, dtype=np.int64)
        if (
            not len(asked)
            or (np.diff(asked) <= 0).any()
            or not 0 <= asked[0] <= asked[-1] <= len(record)
        ):
            raise ValueError(f"issues must ascend within 0 to {len(record)}, and be one at least")
        starts = record.starts[0] + asked * INTERVAL
        given = None
        if next_intervals is not None:
            given = _given(next_intervals, pd.DatetimeIndex(starts), geometry)
        shifts = None
        if calibrated:
            shifts = shifts_before(self.levels, record, geometry, pd.DatetimeIndex(starts))
        line = timeline(record, geometry, starts[0], starts[-1])
        features = Features(line)
        rows = line.issues[asked - asked[0]]
        mean_kw = np.empty((len(asked), DAY))
        quantiles_kw = np.empty((len(asked), DAY, len(LEVELS)))
        for first in range(0, len(rows), _CHUNK):
            part = slice(first, first + _CHUNK)
            clear = line.clear[rows[part, None] + np.arange(DAY)]
            index = self._mean_index(features, rows[part])
            mean_kw[part], quantiles_kw[part] = self._shares(
                features,
                rows[part],
                index,
                clear,
                None if given is None else given[part],
                None if shifts is None else shifts[part],
            )
        return DayAheadBatch(
            starts=pd.DatetimeIndex(starts),
            mean_kw=mean_kw * geometry.rated_kw,
            quantiles_kw=quantiles_kw * geometry.rated_kw,
        )

    def levels(self, features: Features, issues: Ints) -> Floats:
        """Quantiles of the index as fitted, shape (issue, interval, level) [1].

        Args:
            features: What is known.
            issues: Rows of the issues, shape (issue,).
        """
        index = np.clip(self._mean_index(features, issues), 0.0, INDEX_MAX)
        return self._index_levels(features, issues, index)

    def _shares(
        self,
        features: Features,
        issues: Ints,
        index: Floats,
        clear: Floats,
        given: Floats | None,
        shifts: Floats | None,
    ) -> tuple[Floats, Floats]:
        """Mean and quantiles of power from the expected index, in shares of the rating.

        Args:
            features: What is known.
            issues: Rows of the issues, shape (issue,).
            index: Expected index, shape (issue, interval) [1].
            clear: Clear-sky power, shape (issue, interval) [1].
            given: Mean and quantiles of the first interval, NaN where there are none, shape
                (issue, 1 + level) [1].
            shifts: Of the quantiles, None: none, shape (issue, level) [1].
        """
        lasting = self._lasting()
        # At night the first interval is 0 whatever is given, and tells nothing of the rest.
        told = np.zeros(len(issues), dtype=np.bool_)
        if given is not None:
            told = np.isfinite(given).all(axis=1) & (clear[:, 0] > 0.0)
            apart = _apart(given[:, :1], index[:, :1], clear[:, :1])
            index = index + lasting * np.where(told[:, None], apart, 0.0)
        index = np.clip(index, 0.0, INDEX_MAX)
        levels = self._index_levels(features, issues, index)
        if shifts is not None:
            levels = moved(levels, shifts)
        if given is not None:
            # What the next interval knows of its own spread fades as what it knows of the mean.
            apart = _apart(given[:, 1:], levels[:, 0], clear[:, :1])
            shift = lasting[:, None] * np.where(told[:, None], apart, 0.0)[:, None]
            levels = np.where(told[:, None, None], np.sort(levels + shift, axis=-1), levels)
        mean = np.clip(index * clear, 0.0, 1.0)
        quantiles = np.clip(levels * clear[..., None], 0.0, 1.0)
        if given is not None:
            mean[told, 0], quantiles[told, 0] = given[told, 0], given[told, 1:]
        return mean, quantiles

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


def _given(given: QuantileForecast, starts: pd.DatetimeIndex, geometry: PvGeometry) -> Floats:
    """Mean and quantiles of first intervals in shares of the rating, shape (issue, 1 + level)."""
    if len(given.starts) < len(starts) or (given.starts[: len(starts)] != starts).any():
        raise ValueError(f"next_interval is not the forecast of the interval at {starts[0]}")
    used = slice(len(starts))
    shares = np.column_stack([given.mean_kw[used], given.quantiles_kw[used]]) / geometry.rated_kw
    shares = np.clip(shares, 0.0, 1.0)  # NaN stays
    shares[:, 1:] = np.sort(shares[:, 1:], axis=1)
    return shares


def _apart(given: Floats, own_index: Floats, clear: Floats) -> Floats:
    """How far given powers lie from own indices, as an index; nothing where the sun is low.

    Arrays of shape (issue, any), the clear sky of shape (issue, 1); shares of the rating [1].
    """
    trusted = np.minimum(clear / LOW_SUN_SHARE, 1.0)
    return np.asarray(trusted * (given - own_index * clear) / np.maximum(clear, LOW_SUN_SHARE))
