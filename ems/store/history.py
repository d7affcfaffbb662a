"""Minute means as 15-minute series, and imported series as minute means."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import BigInteger, Connection, func, select, type_coerce

from ems.clock import INTERVAL
from ems.errors import BadInput, Fault
from ems.store.schema import MinuteRow
from ems.store.values import MinuteMean

if TYPE_CHECKING:  # pvlib comes with it, 1 s, and most commands make no forecast
    from forecasting.record import PlantRecord

Floats = NDArray[np.float64]

PER_INTERVAL = INTERVAL // timedelta(minutes=1)
"""Minutes of an interval."""
ROWS_AT_ONCE = 10_000
"""Minute means held as objects at once: a week of one plant."""
MOSTLY = 2 / 3
"""Share of the parts that must hold a measurement for intervals to be told in such parts [1]: as
much as a mean of the interval needs of them."""
BELIEVED_OFF = 0.1
"""How far, in the mean, available power that a device tells may be from what it makes uncapped
[1]: inverters take it from irradiance or a module's curve, good to some per cent."""
BELIEVED_BY = timedelta(days=5)
"""How far back that is looked at: a cap may stand for days."""

_INTERVAL_US = INTERVAL // timedelta(microseconds=1)
_MINUTE = pd.Timedelta(minutes=1)


def interval_means(
    connection: Connection, device: str, since: datetime, until: datetime, covered: float = 0.0
) -> "pd.Series[float]":
    """15-minute means of one device's power from `since`, an interval start, until `until` [kW].

    The mean is over the minutes that were measured, each by the time it covers; NaN where there is
    none, or where they cover less than a share of the interval.
    """
    row = MinuteRow
    # Integer division: number of the interval since 1970.
    interval = (type_coerce(row.time, BigInteger) // _INTERVAL_US).label("interval")
    mean = func.sum(row.p_kw * row.minutes) / func.sum(row.minutes)
    query = (
        select(interval, mean.label("p_kw"))
        .where(row.device == device, row.time >= since, row.time < until)
        .group_by(interval)
        .having(func.sum(row.minutes) >= covered * PER_INTERVAL)
    )
    index = pd.date_range(since, until, freq=INTERVAL, inclusive="left", name="time")
    values = np.full(len(index), np.nan)
    first = int(since.timestamp()) // int(INTERVAL.total_seconds())
    for found in connection.execute(query):
        values[found.interval - first] = found.p_kw
    return pd.Series(values, index=index, name=device, dtype=np.float64)


def plant_record_of(
    connection: Connection, der: str, since: datetime, until: datetime
) -> "PlantRecord":
    """What is known of a plant's available power from `since`, an interval start, until `until`.

    Its intervals have as many parts as were measured: 15 where devices are polled every minute,
    fewer where polls or an imported history are further apart.
    """
    return plant_records_of(connection, [der], since, until)[der]


def plant_records_of(
    connection: Connection, ders: Sequence[str], since: datetime, until: datetime
) -> "dict[str, PlantRecord]":
    """`plant_record_of` each of many plants, by name, in one query."""
    row = MinuteRow
    time = type_coerce(row.time, BigInteger)
    columns = time, row.minutes, row.p_kw, row.capped, row.cap_kw, row.available_kw
    query = (
        select(row.device, *columns)
        .where(row.device.in_(ders), row.time >= since, row.time < until)
        .order_by(row.device, row.time)
    )
    starts = pd.date_range(since, until, freq=INTERVAL, inclusive="left", name="time")
    first_min = int(since.timestamp()) // 60
    minutes = {der: _Minutes(len(starts) * PER_INTERVAL) for der in ders}
    believed: dict[str, bool] = {}
    # Bit by bit: at once, four months of minutes would take 100 MB.
    for some in connection.execute(query).partitions(ROWS_AT_ONCE):
        for der, means in groupby(some, itemgetter(0)):
            rows = np.array([r[1:] for r in means], dtype=np.float64)
            rows[:, 0] = rows[:, 0] // 60_000_000 - first_min
            if np.isfinite(rows[:, 5]).any():
                if der not in believed:
                    believed[der] = _is_believed(connection, der, until)
                rows[:, 5] = rows[:, 5] if believed[der] else np.nan
            minutes[der].lay(rows)
    return {der: known.record(starts) for der, known in minutes.items()}


class _Minutes:
    """What is known of each minute of a plant; arrays of shape (minute,)."""

    def __init__(self, size: int) -> None:
        """Nothing known yet."""
        self.made_kw = np.full(size, np.nan)
        self.available_kw = np.full(size, np.nan)
        self.cap_kw = np.full(size, np.inf)
        """Infinity where none hides the sun; NaN where one of unknown height does."""
        self.covers = np.zeros(size)
        """Minutes of the mean that a minute is part of."""

    def lay(self, rows: Floats) -> None:
        """Lay minute means out, over all minutes they cover.

        Args:
            rows: shape (mean, 6): number of the first minute, minutes it covers, power [kW], 1
                where a cap was in force, its height [kW], and the power the device says it could
                make [kW]; NaN where unknown.
        """
        at, spans = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64)
        p_kw, said_kw = rows[:, 2], rows[:, 5]
        said = np.isfinite(said_kw)
        # A device cannot make more than it could.
        available_kw = np.where(said, np.maximum(said_kw, p_kw), p_kw)
        cap_kw = np.where((rows[:, 3] > 0.0) & ~said, rows[:, 4], np.inf)
        for minute in range(int(spans.max())):
            here = (minute < spans) & (at + minute < len(self.covers))
            to = at[here] + minute
            self.made_kw[to], self.available_kw[to] = p_kw[here], available_kw[here]
            self.cap_kw[to], self.covers[to] = cap_kw[here], spans[here]

    def record(self, starts: pd.DatetimeIndex) -> "PlantRecord":
        """As intervals."""
        from forecasting.record import PlantRecord  # noqa: PLC0415  as above

        known = np.isfinite(self.available_kw)
        parts_kw = _means(self.available_kw, _finest(known, self.covers))
        # NaN, a cap of unknown height, spreads through the minimum.
        cap_kw = self.cap_kw.reshape(-1, PER_INTERVAL).min(axis=1)
        parts_kw[~np.isposinf(cap_kw)] = np.nan
        return PlantRecord(
            starts=starts,
            parts_kw=parts_kw,
            floor_kw=_means(self.made_kw, 1)[:, 0],
            cap_kw=cap_kw,
            made_kw=_means(self.made_kw, parts_kw.shape[1]),
        )


def _is_believed(connection: Connection, der: str, until: datetime) -> bool:
    """Whether what a device said it could make agreed with what it made while nothing capped it.

    Some firmware puts the rating there, or 0.
    """
    row = MinuteRow
    query = select(
        func.sum(func.abs(row.available_kw - row.p_kw)), func.sum(func.abs(row.p_kw))
    ).where(
        row.device == der,
        row.time >= until - BELIEVED_BY,
        row.time < until,
        row.available_kw.is_not(None),
        row.capped.is_(False),
    )
    off, made = connection.execute(query).one()
    return off is None or bool(off <= BELIEVED_OFF * made)


def _finest(known: NDArray[np.bool_], covers: Floats) -> int:
    """Into how many parts intervals are mostly measured: 15, 3 or 1.

    A device that is polled every five minutes has one minute in five; an imported quarter of an
    hour has all of them, and yet tells nothing of what it was made of.

    Args:
        known: whether a minute was measured, shape (minute,).
        covers: minutes that its mean is over, shape (minute,).
    """
    used = known.reshape(-1, PER_INTERVAL).any(axis=1)
    for parts in (15, 3):
        minutes = PER_INTERVAL // parts
        fine: NDArray[np.bool_] = np.logical_and(known, covers <= minutes)
        finely = fine.reshape(-1, parts, minutes)
        if used.any() and np.any(finely, axis=2)[used].mean() >= MOSTLY:
            return parts
    return 1


def _means(minutes_kw: Floats, parts: int) -> Floats:
    """Means of parts of each interval over what was measured; NaN where nothing was.

    Returns:
        Shape (interval, part).
    """
    split = minutes_kw.reshape(-1, parts, PER_INTERVAL // parts)
    known = np.isfinite(split)
    count = known.sum(axis=2)
    total = np.where(known, split, 0.0).sum(axis=2)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def minutes_of(device: str, series: "pd.Series[float]") -> list[MinuteMean]:
    """An imported series as rows of the database, NaN left out.

    Raises:
        BadInput: the index is not one of aware, ascending, unique times at least every
            15 minutes; all faults at once.
    """
    if series.empty:
        return []
    minutes = _spacing_min(device, series.index)
    known = series[np.isfinite(series.to_numpy(dtype=np.float64))]
    return [
        MinuteMean(
            device=device, time=time.to_pydatetime().astimezone(UTC), p_kw=float(p), minutes=minutes
        )
        for time, p in zip(pd.DatetimeIndex(known.index), known.to_numpy(), strict=True)
    ]


def _spacing_min(device: str, index: "pd.Index[pd.Timestamp]") -> int:
    """Minutes between two times of a sound index."""
    place = f"history of {device}"
    if not isinstance(index, pd.DatetimeIndex) or index.tz is None:
        raise BadInput.at(place, "the index must be times with a zone; use tz_localize('UTC')")
    faults = []
    if index.has_duplicates:
        twice = index[index.duplicated()][0]
        faults.append(Fault(place=place, problem=f"{twice} appears more than once; keep one"))
    if not index.is_monotonic_increasing:
        faults.append(Fault(place=place, problem="times do not ascend; use sort_index()"))
    if not faults and len(index) > 1:
        step = pd.Series(index).diff().min()
        if not _MINUTE <= step <= INTERVAL or step % _MINUTE:
            problem = f"one value every {step}; expected whole minutes, 1 to 15: resample first"
            faults.append(Fault(place=place, problem=problem))
        else:
            return int(step / _MINUTE)
    if faults:
        raise BadInput(faults)
    return int(INTERVAL / _MINUTE)
