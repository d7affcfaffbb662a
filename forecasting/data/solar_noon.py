"""Whether times fit the sun of a place, by the middle of the day that a record shows.

- `late_min(record, place) -> float`: how late the times run, 0 within chance
- `late_note(late_min, what) -> str`: the sentence that tells of it
"""

import numpy as np
import pandas as pd

from forecasting.clearsky import Floats, PvGeometry, sun_at
from forecasting.record import PlantRecord
from forecasting.series import INTERVAL

USUAL_MIN = 35.0
"""The middle of the producing day lies within 25 minutes of solar noon for any orientation, horizon
and weather that was tried; a wrong time zone moves it by an hour, a wrong sign of the longitude by
many [min]."""

_DAYS = 5
_DARK_SHARE = 0.01

# A fifth of the year is night up to the polar circle, and longer where it counts. Twenty hours of
# power in a day have no middle that could be told.
_DARK_QUANTILE = 0.2
_LONGEST_DAY = 80


def late_min(record: PlantRecord, place: PvGeometry, *, usual_min: float = USUAL_MIN) -> float:
    """How late the middle of the producing day is against solar noon; 0 within chance [min].

    Means are taken on the circle of the day: times may be wrong by any number of hours.

    Args:
        record: As it was measured, not screened; power or irradiance, in any unit.
        place: Latitude and longitude; nothing else is looked at.
        usual_min: What chance and weather may do [min].
    """
    power = record.available_kw
    lit = power[power > 0]
    if not lit.size:
        return 0.0
    # A meter may show a little in the dark, always the same.
    dark = max(float(np.nanquantile(power, _DARK_QUANTILE)), 0.0)
    producing = power > dark + _DARK_SHARE * float(np.quantile(lit, 0.99))
    day = np.arange(len(power)) // 96
    known = np.bincount(day, weights=np.isfinite(power)) >= 90  # whole days only, but for an hour
    # A meter that stands still, or the midnight sun, tells no time.
    known &= np.bincount(day, weights=producing) <= _LONGEST_DAY
    use = producing & known[day]
    if len(np.unique(day[use])) < _DAYS:
        return 0.0
    hour = _hour_angle_rad(record.starts[use] + INTERVAL / 2, place)
    mean = np.exp(1j * hour).mean()
    late = float(np.degrees(np.angle(mean))) * 4.0  # 15° an hour
    return late if abs(late) > usual_min else 0.0


def late_note(late_min: float, what: str = "power") -> str:
    """What an operator should check, of times that run late or early.

    Args:
        late_min: As found [min].
        what: Was measured.
    """
    half_hours = max(1, round(abs(late_min) / 30.0))  # orientation moves it by less than one
    word = "late" if late_min > 0 else "early"
    return (
        f"{what} comes about {half_hours / 2:g} h {word} against the sun of the configured place: "
        f"check the time zone of the measurements (UTC, start of the interval) and the sign of the "
        f"longitude"
    )


def _hour_angle_rad(times: pd.DatetimeIndex, place: PvGeometry) -> Floats:
    """Angle of the sun past its noon, from its azimuth and height, shape (time,) [rad]."""
    sun = sun_at(place.latitude_deg, place.longitude_deg, times)
    zenith, azimuth = np.radians(sun.apparent_zenith_deg), np.radians(sun.azimuth_deg)
    latitude = np.radians(place.latitude_deg)
    west = -np.sin(zenith) * np.sin(azimuth)
    north = np.sin(zenith) * np.cos(azimuth)
    return np.asarray(
        np.arctan2(west, np.cos(zenith) * np.cos(latitude) - north * np.sin(latitude))
    )
