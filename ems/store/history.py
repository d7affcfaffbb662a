"""Minute means as 15-minute series, and imported series as minute means."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from sqlalchemy import BigInteger, Connection, func, select, type_coerce

from ems.clock import INTERVAL
from ems.errors import BadInput, Fault
from ems.store.schema import MinuteRow
from ems.store.values import MinuteMean

_INTERVAL_US = INTERVAL // timedelta(microseconds=1)
_MINUTE = pd.Timedelta(minutes=1)


def interval_means(
    connection: Connection, device: str, since: datetime, until: datetime, *, with_capped: bool
) -> "pd.Series[float]":
    """15-minute means of one device's power from `since`, an interval start, until `until` [kW].

    The mean is over the minutes that were measured, each by the time it covers; NaN
    where there is none. Without `with_capped`, NaN too where any minute was capped.
    """
    row = MinuteRow
    # Integer division: number of the interval since 1970.
    interval = (type_coerce(row.time, BigInteger) // _INTERVAL_US).label("interval")
    mean = func.sum(row.p_kw * row.minutes) / func.sum(row.minutes)
    query = (
        select(interval, mean.label("p_kw"), func.max(row.capped).label("capped"))
        .where(row.device == device, row.time >= since, row.time < until)
        .group_by(interval)
    )
    index = pd.date_range(since, until, freq=INTERVAL, inclusive="left", name="time")
    values = np.full(len(index), np.nan)
    first = int(since.timestamp()) // int(INTERVAL.total_seconds())
    for found in connection.execute(query):
        if with_capped or not found.capped:
            values[found.interval - first] = found.p_kw
    return pd.Series(values, index=index, name=device, dtype=np.float64)


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
