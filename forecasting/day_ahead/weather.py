"""An external weather forecast as clear-sky indices of one plant, for the day ahead to lean on.

Of each step the newest issue that was out at the time counts. Between the middles of steps the
clear-sky index is interpolated, never the value: so a step of three hours keeps the shape of the
sun. Cloud cover becomes an index by Kasten and Czeplak (1980), DOI 10.1016/0038-092X(80)90391-6;
irradiance becomes power by the chain of `irradiance` (Erbs where neither diffuse nor direct is
given). Temperature is not used: the clear sky the index refers to has none either.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pvlib import irradiance

from forecasting.clearsky import (
    ClearSky,
    Floats,
    PvGeometry,
    clear_power_kw,
    clear_sky,
    plane_of_array_wm2,
    power_kw,
)
from forecasting.day_ahead.weather_file import WeatherTable, read_weather
from forecasting.record import PlantRecord
from forecasting.series import INTERVAL
from forecasting.sky import INDEX_MAX
from forecasting.tables import SeriesFault

_DAY = 96

STALE = pd.Timedelta(hours=30)
"""Age from which an issue is not used: one a day, six hours late."""

# Days of past forecasts the bias is learnt from, and the clear-sky energy (a clear day) at which
# what they show counts half. No useful forecast is off by more than half its value.
_BIAS_DAYS = 14
_BIAS_HELD = 25.0
_BIAS_RANGE = (0.67, 1.5)

# Hours ahead and share of the weather forecast in the blend. What a plant has just measured beats
# numerical weather prediction for the first hours, and adds little from the sixth on.
_WEIGHT_HOURS = (0.0, 1.0, 3.0, 6.0)
_WEIGHTS = (0.0, 0.2, 0.6, 0.8)

# Below these a quotient to the clear sky says nothing: of irradiance [W/m²], of power [share].
_DARK_WM2 = 20.0
_DARK_SHARE = 0.02

# Middles of the thirds of an interval, where it is looked at.
_THIRDS = pd.to_timedelta([2.5, 7.5, 12.5], unit="min")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeatherAhead:
    """What a weather forecast says of the day ahead."""

    index: Floats
    """Clear-sky index of the plant's power; NaN where nothing is said, shape (interval,) [1]."""
    notes: tuple[str, ...]
    """What of it was not used and why."""


def weather_weight() -> Floats:
    """Share of the weather forecast in the index of each interval, shape (interval,) [1]."""
    hours = (np.arange(_DAY) + 0.5) * (INTERVAL / pd.Timedelta(hours=1))
    return np.asarray(np.interp(hours, _WEIGHT_HOURS, _WEIGHTS))


def open_weather(path: Path) -> tuple["WeatherForecast | None", tuple[str, ...]]:
    """A weather forecast, or why there is none: for a service that goes on without."""
    try:
        return WeatherForecast(read_weather(path)), ()
    except (SeriesFault, OSError) as fault:
        return None, (f"weather forecast not used: {'; '.join(str(fault).splitlines())}",)


@dataclass(frozen=True, slots=True)
class WeatherForecast:
    """An external forecast, seen from any plant and any moment."""

    table: WeatherTable

    def ahead(self, record: PlantRecord, geometry: PvGeometry, start: pd.Timestamp) -> WeatherAhead:
        """Clear-sky indices of the 96 intervals from `start` on, by what was issued by then.

        The forecasts of the past days, each as issued before its step, are held against what the
        plant measured; their common bias is taken off.
        """
        unit = replace(geometry, rated_kw=1.0)
        row = _BIAS_DAYS * _DAY
        grid = pd.date_range(start - row * INTERVAL, periods=row + _DAY, freq=INTERVAL)
        table = self._issued_by(start)
        fresh = table.issued >= start - STALE
        name = table.name
        if not len(table.times):
            return _nothing(
                f"weather forecast {name}: nothing was issued by {start:%Y-%m-%d %H:%M}"
            )
        covered = _covered(_only(table, fresh), grid[row:])
        if not covered.any():
            age_h = (start - table.issued.max()) / pd.Timedelta(hours=1)
            return _nothing(
                f"weather forecast {name}: none issued within 30 hours covers the day ahead "
                f"(the newest is {age_h:.1f} hours old)"
            )
        # Past steps are seen as they were forecast before they began.
        was_forecast = (table.issued <= table.times) & (table.times < start)
        index, clear = _indices(_only(table, fresh | was_forecast), unit, grid, geometry.rated_kw)
        past = grid[:row]
        seen = np.where(_covered(_only(table, was_forecast), past), index[:row], np.nan)
        bias = _bias(record, geometry.rated_kw, past, seen, clear[:row])
        found = np.where(covered, np.clip(bias * index[row:], 0.0, INDEX_MAX), np.nan)
        missing = int((~covered & (clear[row:] > _DARK_SHARE)).sum())
        notes = (
            (f"weather forecast {name}: {missing} light intervals of the day are not covered",)
            if missing
            else ()
        )
        return WeatherAhead(index=found, notes=notes)

    def _issued_by(self, start: pd.Timestamp) -> WeatherTable:
        """Of each step the newest row that was out when it began, or by `start` if still to end."""
        t = self.table
        window = t.times > start - _BIAS_DAYS * _DAY * INTERVAL - t.step
        out = (t.issued <= start) & ((t.issued <= t.times) | (t.times + t.step > start)) & window
        kept = _only(t, np.asarray(out) & np.isfinite(t.numbers))
        newest = ~kept.times.duplicated(keep="last")
        return _only(kept, newest)


def _only(table: WeatherTable, rows: NDArray[np.bool_]) -> WeatherTable:
    """Some rows of a table."""
    return replace(
        table,
        times=table.times[rows],
        issued=table.issued[rows],
        numbers=table.numbers[rows],
        dni_wm2=None if table.dni_wm2 is None else table.dni_wm2[rows],
        dhi_wm2=None if table.dhi_wm2 is None else table.dhi_wm2[rows],
    )


def _nothing(note: str) -> WeatherAhead:
    return WeatherAhead(index=np.full(_DAY, np.nan), notes=(note,))


def _covered(table: WeatherTable, starts: pd.DatetimeIndex) -> NDArray[np.bool_]:
    """Whether the middle of each interval lies in some step, shape (interval,)."""
    middles = starts + INTERVAL / 2
    before = table.times.searchsorted(middles, side="right") - 1
    if not len(table.times):
        return np.zeros(len(starts), dtype=np.bool_)
    return np.asarray((before >= 0) & (middles < table.times[np.maximum(before, 0)] + table.step))


def _indices(
    table: WeatherTable, unit: PvGeometry, grid: pd.DatetimeIndex, rated_kw: float
) -> tuple[Floats, Floats]:
    """Index of power in each interval of a grid, and clear-sky power; shape (interval,) each."""
    sky = clear_sky(unit.latitude_deg, unit.longitude_deg, grid + INTERVAL / 2)
    clear = clear_power_kw(unit, sky)
    points = max(int(np.ceil(table.step / INTERVAL)), 1)
    within = pd.to_timedelta([(k + 0.5) * table.step / points for k in range(points)])
    times = table.times.repeat(points) + pd.TimedeltaIndex(np.tile(within, len(table.times)))
    step_sky = clear_sky(unit.latitude_deg, unit.longitude_deg, times)
    middles = table.times + table.step / 2
    if table.quantity == "power_kw":
        could = _by_step(clear_power_kw(unit, step_sky), points)
        trusted = could >= _DARK_SHARE
        ratio = np.maximum(table.numbers / rated_kw, 0.0) / np.where(trusted, could, 1.0)
        return _between(middles, ratio, trusted, grid), clear
    could = _by_step(step_sky.ghi_wm2, points)
    trusted = could >= _DARK_WM2
    if table.quantity == "cloud_cover_pct":
        ratio = 1.0 - 0.75 * (table.numbers / 100.0) ** 3.4
    else:
        ratio = np.maximum(table.numbers, 0.0) / np.where(trusted, could, 1.0)
    ghi = _between(middles, np.clip(ratio, 0.0, INDEX_MAX), trusted, grid) * sky.ghi_wm2
    diffuse = _diffuse_share(table, step_sky, points)
    known = trusted & np.isfinite(diffuse)
    share = _between(middles, diffuse, known, grid) if known.any() else None
    power = _power(unit, sky, ghi, share)
    lit = clear >= _DARK_SHARE
    return np.where(lit, power / np.where(lit, clear, 1.0), np.nan), clear


def _by_step(values: Floats, points: int) -> Floats:
    """Mean over the points of each step, shape (row,)."""
    return np.asarray(values.reshape(-1, points).mean(axis=1))


def _between(
    middles: pd.DatetimeIndex, values: Floats, trusted: NDArray[np.bool_], grid: pd.DatetimeIndex
) -> Floats:
    """Mean of an interpolated index over each interval; NaN where no step is to be trusted."""
    if not trusted.any():
        return np.full(len(grid), np.nan)
    at = grid.repeat(len(_THIRDS)) + pd.TimedeltaIndex(np.tile(_THIRDS, len(grid)))
    seconds = (middles[trusted] - grid[0]) / pd.Timedelta(seconds=1)
    found = np.interp((at - grid[0]) / pd.Timedelta(seconds=1), seconds, values[trusted])
    return _by_step(np.asarray(found), len(_THIRDS))


def _diffuse_share(table: WeatherTable, sky: ClearSky, points: int) -> Floats:
    """Diffuse share of GHI as far as the file tells it; NaN elsewhere, shape (row,) [1]."""
    ghi = np.where(table.numbers > _DARK_WM2, table.numbers, np.nan)
    share = np.full(len(ghi), np.nan)
    if table.quantity == "ghi_wm2" and table.dni_wm2 is not None:
        upward = np.cos(np.radians(sky.sun.apparent_zenith_deg))
        share = 1.0 - table.dni_wm2 * _by_step(np.maximum(upward, 0.0), points) / ghi
    if table.quantity == "ghi_wm2" and table.dhi_wm2 is not None:
        given = table.dhi_wm2 / ghi
        share = np.where(np.isfinite(given), given, share)
    return np.asarray(np.clip(share, 0.0, 1.0))


def _power(unit: PvGeometry, sky: ClearSky, ghi: Floats, share: Floats | None) -> Floats:
    """Power from GHI and, where known, its diffuse share, shape (interval,) [1]."""
    erbs = irradiance.erbs(ghi, sky.sun.apparent_zenith_deg, sky.sun.day_of_year)
    dhi, dni = erbs["dhi"], erbs["dni"]
    if share is not None:
        dhi = share * ghi
        upward = np.cos(np.radians(sky.sun.apparent_zenith_deg))
        dni = np.where(upward > 0.05, (ghi - dhi) / np.maximum(upward, 0.05), 0.0)
    return power_kw(unit, plane_of_array_wm2(unit, sky.sun, dni_wm2=dni, ghi_wm2=ghi, dhi_wm2=dhi))


def _bias(
    record: PlantRecord, rated_kw: float, past: pd.DatetimeIndex, index: Floats, clear: Floats
) -> float:
    """Measured over forecast energy of the past days, held at 1 by a clear day [1]."""
    if not len(record):
        return 1.0
    offset = round((past[0] - record.starts[0]) / INTERVAL)
    at = np.arange(len(past)) + offset
    inside = (at >= 0) & (at < len(record))
    begin = int(np.clip(offset, 0, len(record)))
    available = record.part(begin, int(np.clip(offset + len(past), 0, len(record)))).available_kw
    measured = np.full(len(past), np.nan)
    measured[inside] = available / rated_kw
    both = np.isfinite(measured) & np.isfinite(index)
    forecast = float((index * clear)[both].sum())
    ratio = (float(measured[both].sum()) + _BIAS_HELD) / (forecast + _BIAS_HELD)
    return float(np.clip(ratio, *_BIAS_RANGE))
