"""The newest intervals of one plant, kept as they come: new ones are added, none is copied."""

from functools import lru_cache
from typing import Final

import numpy as np
import pandas as pd

from forecasting.clearsky import Floats
from forecasting.record import PlantRecord
from forecasting.series import INTERVAL

INTERVAL_S: Final = 900

_SPARE: Final = 192
"""Rows free behind the newest: every two days the month is moved to the front."""


def number_of(start: pd.Timestamp) -> int:
    """Number of an interval since 1970."""
    return int(start.timestamp()) // INTERVAL_S


def start_of(number: int) -> pd.Timestamp:
    """Start of an interval, by its number since 1970."""
    return pd.Timestamp(number * INTERVAL_S, unit="s", tz="UTC")


@lru_cache(maxsize=8)  # the grids of one cycle: all plants of a site have the same
def grid(first: int, count: int) -> pd.DatetimeIndex:
    """Starts of consecutive intervals, by the number of the first."""
    return pd.date_range(start_of(first), periods=count, freq=INTERVAL)


class Kept:
    """Consecutive intervals of a plant.

    What it hands out are views: they hold until the next `lay`, which may change the newest hours.
    """

    def __init__(self, record: PlantRecord) -> None:
        """Keep a record that has at least one interval."""
        self.first = number_of(record.starts[0])
        """Number of the first interval kept."""
        self._begin, self._end, spare = 0, len(record), ((0, _SPARE),)
        self._parts_kw = np.pad(record.parts_kw, (*spare, (0, 0)))
        self._made_kw = np.pad(_made(record), (*spare, (0, 0)))
        self._floor_kw = np.pad(record.floor_kw, spare)
        self._cap_kw = np.pad(record.cap_kw, spare)
        self._available_kw = np.pad(record.available_kw, spare)

    def __len__(self) -> int:
        """Number of intervals kept."""
        return self._end - self._begin

    @property
    def after(self) -> int:
        """Number of the interval after the last."""
        return self.first + len(self)

    @property
    def parts(self) -> int:
        """Into how many parts intervals are measured."""
        return int(self._parts_kw.shape[1])

    @property
    def floor_kw(self) -> Floats:
        """As of a `PlantRecord`, shape (interval,) [kW]."""
        return self._floor_kw[self._begin : self._end]

    @property
    def available_kw(self) -> Floats:
        """As of a `PlantRecord`, shape (interval,) [kW]."""
        return self._available_kw[self._begin : self._end]

    def record(self, newest: int | None = None) -> PlantRecord:
        """All of it, or so many of the newest intervals."""
        count = len(self) if newest is None else newest
        rows = slice(self._end - count, self._end)
        return PlantRecord(
            starts=grid(self.after - count, count),
            parts_kw=self._parts_kw[rows],
            floor_kw=self._floor_kw[rows],
            cap_kw=self._cap_kw[rows],
            made_kw=self._made_kw[rows],
        )

    def lay(self, record: PlantRecord, available_kw: Floats, at: int, since: int) -> None:
        """Lay a record over the newest intervals and beyond, and forget the oldest.

        Args:
            record: in as many parts; it begins within what is kept, or right after it.
            available_kw: of it, shape (interval,) [kW].
            at: number of its first interval.
            since: number of the oldest interval to keep.
        """
        arrays = record.parts_kw, _made(record), record.floor_kw, record.cap_kw, available_kw
        self._write(*arrays, at=at, since=since)

    def take(self, other: "Kept", count: int) -> None:
        """Take over the newest intervals of another, of as many parts, and where it begins.

        Args:
            other: it reaches as far as this one or further, by less than `count`.
            count: how many intervals.
        """
        newest = other._newest(count)  # noqa: SLF001  another of this class
        self._write(*newest, at=other.after - count, since=other.first)

    def _newest(self, count: int) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        rows = slice(self._end - count, self._end)
        return (
            self._parts_kw[rows],
            self._made_kw[rows],
            self._floor_kw[rows],
            self._cap_kw[rows],
            self._available_kw[rows],
        )

    def _write(
        self,
        parts_kw: Floats,
        made_kw: Floats,
        floor_kw: Floats,
        cap_kw: Floats,
        available_kw: Floats,
        *,
        at: int,
        since: int,
    ) -> None:
        begin = self._begin + at - self.first
        end = begin + len(floor_kw)
        if end > len(self._floor_kw):
            shift = self._begin
            self._make_room(end)
            begin, end = begin - shift, end - shift
        rows = slice(begin, end)
        self._parts_kw[rows], self._made_kw[rows] = parts_kw, made_kw
        self._floor_kw[rows] = floor_kw
        self._cap_kw[rows], self._available_kw[rows] = cap_kw, available_kw
        self._end = max(self._end, end)
        if since > self.first:
            self._begin += since - self.first
            self.first = since

    def _make_room(self, rows_used: int) -> None:
        """Move everything to the front of new arrays: what was handed out stays as it is."""
        rows = slice(self._begin, self._end)
        spare = ((0, max(rows_used - self._end, 0) + _SPARE),)
        self._parts_kw = np.pad(self._parts_kw[rows], (*spare, (0, 0)))
        self._made_kw = np.pad(self._made_kw[rows], (*spare, (0, 0)))
        self._floor_kw = np.pad(self._floor_kw[rows], spare)
        self._cap_kw = np.pad(self._cap_kw[rows], spare)
        self._available_kw = np.pad(self._available_kw[rows], spare)
        self._begin, self._end = 0, self._end - self._begin


def laid(since: int, until: int, *records: PlantRecord) -> PlantRecord:
    """Records laid over each other on one grid, the later over the earlier, NaN elsewhere.

    From the interval of one number until just before that of another.

    In as many parts as the last one has that holds anything: where it was measured more
    coarsely, parts are alike; where more finely, they are averaged.
    """
    starts = grid(since, until - since)
    told = [r.parts_kw.shape[1] for r in records if np.isfinite(r.parts_kw).any()]
    parts = told[-1] if told else 1
    parts_kw, made_kw = np.full((2, len(starts), parts), np.nan)
    floor_kw, cap_kw = np.full(len(starts), np.nan), np.full(len(starts), np.inf)
    for record in records:
        if not len(record):
            continue
        # A record has no holes, so its first interval places them all.
        first = number_of(record.starts[0]) - since
        begin, end = max(first, 0), min(first + len(record), len(starts))
        if begin >= end:
            continue
        to, of = slice(begin, end), slice(begin - first, end - first)
        parts_kw[to] = _in_parts(record.parts_kw, parts)[of]
        made_kw[to] = _in_parts(_made(record), parts)[of]
        floor_kw[to] = record.floor_kw[of]
        cap_kw[to] = record.cap_kw[of]
    return PlantRecord(
        starts=starts, parts_kw=parts_kw, floor_kw=floor_kw, cap_kw=cap_kw, made_kw=made_kw
    )


def _made(record: PlantRecord) -> Floats:
    """Power made in each part, NaN where that is not known, shape (interval, part) [kW]."""
    return np.full_like(record.parts_kw, np.nan) if record.made_kw is None else record.made_kw


def _in_parts(power_kw: Floats, parts: int) -> Floats:
    """The same power in so many parts, shape (interval, part) [kW]."""
    intervals, own = power_kw.shape
    if own <= parts:
        return np.repeat(power_kw, parts // own, axis=1)
    split = power_kw.reshape(intervals, parts, own // parts)
    known = np.isfinite(split)
    total = np.where(known, split, 0.0).sum(axis=2)
    return np.where(known.any(axis=2), total / np.maximum(known.sum(axis=2), 1), np.nan)
