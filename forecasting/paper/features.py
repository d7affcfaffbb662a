"""The nine features of the published model.

They are: sine and cosine of the month, sine and cosine of the time of day, and the PV power
at the same time stamp of the five previous days. The LSTM reads the five days as its time
axis, oldest first; the four calendar numbers, which are those of the TARGET interval, stand
beside each day. So a sample has the shape (5 days, 5) but holds the same nine numbers.

Powers are shares of the rating. Time of day is solar time and the month of a southern site is
shifted by half a year, so that one model serves many sites.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.clearsky import Floats, PvGeometry, clear_sky_mean_kw
from forecasting.series import INTERVAL, PowerSeries

LAG_DAYS = 5
FEATURES = ("pv", "sin_month", "cos_month", "sin_time_of_day", "cos_time_of_day")
"""What stands beside each of the five days, in this order."""

# Under this share of the rating an interval counts as night: nothing to learn or to score.
DAYLIGHT_SHARE = 0.01


def lagged_kw(power_kw: PowerSeries, starts: pd.DatetimeIndex) -> Floats:
    """Power at the same UTC time stamp of the five previous days.

    Returns:
        Shape (start, 5), oldest day first; NaN where not measured [kW].
    """
    days = pd.TimedeltaIndex([pd.Timedelta(days=d) for d in range(LAG_DAYS, 0, -1)])
    wanted = starts.repeat(LAG_DAYS) - pd.TimedeltaIndex(np.tile(days.to_numpy(), len(starts)))
    found = np.asarray(power_kw.reindex(wanted), dtype=np.float64)
    return found.reshape(len(starts), LAG_DAYS)


def paper_features(
    lags_kw: Floats, starts: pd.DatetimeIndex, geometry: PvGeometry
) -> NDArray[np.float32]:
    """Input of the LSTM.

    Args:
        lags_kw: Power of the five previous days, shape (start, 5); NaN spoils its sample [kW].
        starts: UTC starts of the target intervals.
        geometry: Gives rating, solar time and hemisphere.

    Returns:
        Shape (start, 5, 5): five days, then `FEATURES` [1].
    """
    month, day = _calendar_angles(starts, geometry)
    calendar = np.stack([np.sin(month), np.cos(month), np.sin(day), np.cos(day)], axis=1)
    pv = np.clip(lags_kw / geometry.rated_kw, 0.0, 1.0)
    beside = np.broadcast_to(calendar[:, None, :], (len(starts), LAG_DAYS, 4))
    return np.concatenate([pv[:, :, None], beside], axis=2).astype(np.float32)


def _calendar_angles(starts: pd.DatetimeIndex, geometry: PvGeometry) -> tuple[Floats, Floats]:
    """Angles of month and of mean solar time in the middle of the interval [rad]."""
    # Mean solar time: the sun moves 15° of longitude an hour.
    solar = starts + INTERVAL / 2 + pd.Timedelta(hours=geometry.longitude_deg / 15.0)
    months = solar.month.to_numpy() - 1 + (6 if geometry.latitude_deg < 0 else 0)
    hours = ((solar - solar.normalize()) / pd.Timedelta(hours=1)).to_numpy()
    return 2 * np.pi * months / 12, 2 * np.pi * hours / 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Daylight intervals of one site whose power, and all five lags, were measured."""

    starts: pd.DatetimeIndex
    x: NDArray[np.float32]
    """Features, shape (sample, 5, 5) [1]."""
    y: NDArray[np.float32]
    """Power of the interval as a share of the rating, shape (sample,) [1]."""
    clear: Floats
    """Clear-sky power of the interval as a share of the rating, shape (sample,) [1]."""

    def __len__(self) -> int:
        return len(self.starts)

    def part(self, begin: int, end: int) -> "Samples":
        """Samples `begin` up to just before `end`, which are in order of time."""
        s = slice(begin, end)
        return Samples(starts=self.starts[s], x=self.x[s], y=self.y[s], clear=self.clear[s])


def make_samples(power_kw: PowerSeries, geometry: PvGeometry) -> tuple[Samples, float]:
    """All valid daylight samples of a series, in order of time.

    A missing lag makes its sample invalid; nothing is imputed.

    Returns:
        The samples, and the share of measured daylight intervals that they are [1].
    """
    starts = pd.DatetimeIndex(power_kw.index)
    clear = clear_sky_mean_kw(geometry, starts) / geometry.rated_kw
    power = power_kw.to_numpy(np.float64)
    daylight = (clear >= DAYLIGHT_SHARE) & np.isfinite(power)
    lags = lagged_kw(power_kw, starts)
    valid = daylight & np.isfinite(lags).all(axis=1)
    samples = Samples(
        starts=starts[valid],
        x=paper_features(lags[valid], starts[valid], geometry),
        y=np.clip(power[valid] / geometry.rated_kw, 0.0, 1.0).astype(np.float32),
        clear=clear[valid],
    )
    return samples, float(valid.sum() / max(int(daylight.sum()), 1))
