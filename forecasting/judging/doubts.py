"""What a measured file says against itself, and against what was said of its plant.

Nothing is refused and nothing is left out for it: all is scored, and the reader is warned.

- `sunless(rows) -> str`: nothing but zeros, or one value
- `power_doubts(record, rows, nominal, fit, ...) -> Doubts`: units, rating, times, hemisphere,
  orientation
- `still(power_kw, scored)`: one value in all that is scored
- `ghi_doubts(record, rows, place)`: irradiance that no sky gives; times, hemisphere
- `place_doubts(measured, place)`: a file that names another place
- `screening_doubts(record, geometry)`: outages, snow, meters that stand still, caps
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forecasting.clearsky import Floats, PvGeometry, sun_at
from forecasting.data.formats import Measured, unit_doubt
from forecasting.data.orientation import PlantFit
from forecasting.data.screening import Reason, screened
from forecasting.data.solar_noon import late_min, late_note
from forecasting.record import PlantRecord
from forecasting.series import INTERVAL, PowerSeries
from forecasting.sky import elevation_of, light_of

_PER_DAY = 96

# The highest values but for spikes of the meter: one interval in a thousand.
_HIGH = 0.999

# Inverters hold their rating within 2 % or so; meters err by as much again.
_ABOVE_RATING = 1.05

# What the service takes for a mistake of the meter.
_MISTAKEN = 1.25

# The darkest months at 60° of latitude still pass 300 W/m² at some noon of a longer record; bright
# clouds beside the sun bring 1.2 times the 1360 W/m² above the air, and no more.
_GHI_WM2 = (300.0, 1700.0)

# Irradiance on the horizontal faces nowhere: over 20 days or more the middle of its day lay within
# 18 minutes of solar noon at six sites from 68° N to 34° S, over a year within 4; over six days, of
# which a gap may take a morning, within 55.
_GHI_USUAL_MIN, _GHI_SHORT_MIN, _GHI_SHORT_DAYS = 25.0, 55.0, 20

# A file's place is rounded to a hundredth of a degree or so; half a degree is another town, and
# moves the sun by two minutes.
_ELSEWHERE_DEG = 0.5

# Below it, screening tells of passing frost and of the dimmest days.
_TOLD_SHARE = 0.01

_LOOKS = {
    Reason.OUTAGE: "an outage",
    Reason.SNOW: "snow",
    Reason.FLAT: "a meter that stands still",
    Reason.CURTAILED: "a cap nobody told of",
}

# Below civil twilight; within half a per cent of the rating inverters feed themselves.
_DARK_DEG, _OFFSET_OF_RATED, _NOW_AND_THEN = -6.0, 0.005, 0.02

# Producing: above 1 % of what is often reached, which a plant passes with the sun 3° high. The
# other hemisphere is told of where it errs half as often, and on 1 % of all intervals less: a
# quarter of an hour a day, as at 10° of latitude in midsummer.
_PRODUCING_SHARE, _PRODUCING_DEG = 0.01, 3.0
_HALF, _CLEARLY = 0.5, 0.01

# Nearer to the equator the days of both sides are alike within the length of an interval.
_TROPICAL_DEG = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """What a file says against itself, and against what was said of its plant."""

    misfits: tuple[str, ...] = ()
    """Against unit, rating, place, times or orientation: scores tell of the mistake, not of the
    model."""
    others: tuple[str, ...] = ()
    """Of the meter, and what is not known surely."""


def sunless(rows: PowerSeries) -> str:
    """Told where no value ever changes, or none is above zero; else empty."""
    known = _known(rows)
    if not known.size or (known.max() > 0.0 and known.max() > known.min()):
        return ""
    what = (
        f"every value is {known.max():g}" if known.max() == known.min() else "no value is above 0"
    )
    return f"no sun in this file: {what}; the scores say nothing. Check its column of values"


def still(power_kw: Floats, scored: NDArray[np.bool_]) -> list[str]:
    """Told where a plant that moves elsewhere stands still all the while that is scored.

    Args:
        power_kw: Measured, unknown as NaN, shape (interval,) [kW].
        scored: The intervals that count, shape (interval,).
    """
    known, judged = power_kw[np.isfinite(power_kw)], power_kw[scored]
    if judged.max() > judged.min() or known.max() == known.min():
        return []
    told = (
        f"nothing changes in what is scored: every value is {judged.max():g} kW; the scores say "
        f"nothing. Choose another span, or leave out where the plant was down"
    )
    return [told]


def ghi_doubts(record: PlantRecord, rows: PowerSeries, place: PvGeometry) -> list[str]:
    """What irradiance says against unit, times and place.

    Args:
        record: All of the irradiance, not turned into power [W/m²].
        rows: As in the file [W/m²].
        place: Latitude and longitude as given.
    """
    found = []
    high = _high(_known(rows))
    if not _GHI_WM2[0] <= high <= _GHI_WM2[1]:
        found.append(
            f"the highest irradiance is {high:.4g} ({100 * _HIGH:.1f} % quantile), where "
            f"{_GHI_WM2[0]:.0f} to {_GHI_WM2[1]:.0f} W/m² are usual: check unit and column"
        )
    is_short = len(record) < _GHI_SHORT_DAYS * _PER_DAY
    usual_min = _GHI_SHORT_MIN if is_short else _GHI_USUAL_MIN
    late = late_min(record, place, usual_min=usual_min)
    if late:  # which tells nothing of how long a day is
        return [*found, late_note(late, "irradiance")]
    return [*found, *_other_hemisphere(record, place)]


def place_doubts(measured: Measured, place: PvGeometry) -> list[str]:
    """Told where the file names another place than was given, at most one sentence."""
    latitude, longitude = measured.latitude_deg, measured.longitude_deg
    if latitude is None or longitude is None:
        return []
    east = (longitude - place.longitude_deg + 180.0) % 360.0 - 180.0
    north = latitude - place.latitude_deg
    if max(abs(north), abs(east) * float(np.cos(np.radians(latitude)))) <= _ELSEWHERE_DEG:
        return []
    told = (
        f"the file says that {measured.name} is at latitude {latitude:g}°, longitude "
        f"{longitude:g}°, not at {place.latitude_deg:g}°, {place.longitude_deg:g}°: check --lat "
        f"and --lon"
    )
    return [told]


def power_doubts(
    record: PlantRecord,
    rows: PowerSeries,
    nominal: PvGeometry,
    fit: PlantFit,
    *,
    is_orientation_given: bool,
) -> Doubts:
    """What power says against unit, rating, place, times and a given orientation.

    Args:
        record: All of it.
        rows: As in the file [kW].
        nominal: The plant as given.
        fit: Of the first days of the record, from `nominal`.
        is_orientation_given: Else it is fitted, and a difference contradicts nobody.
    """
    unit = unit_doubt(rows, nominal.rated_kw)
    if unit:  # which the rating and the fit only say again
        return Doubts(misfits=(unit,))
    misfits = _above_rating(record.available_kw, nominal.rated_kw)
    others = [] if misfits else _spikes(record.available_kw, nominal.rated_kw)
    if is_orientation_given and not fit.agrees_with_guess:
        misfits.append(f"{fit.note}; kept as given")
    elif fit.lasting:
        misfits.append(fit.lasting)
    elif not fit.enough:
        others.append(fit.note if is_orientation_given else f"{fit.note}: {_told(fit.geometry)}")
    # Wrong times tell nothing of how long a day is, nor of the night.
    if not fit.shift_min:
        misfits += _other_hemisphere(record, nominal)
        others += _offset(record, nominal)
    return Doubts(misfits=tuple(misfits), others=tuple(others))


def screening_doubts(record: PlantRecord, geometry: PvGeometry) -> list[str]:
    """How much of daylight does not show the sky, at most one sentence."""
    _, day = light_of(geometry, record.starts[0], len(record))
    use = day & np.isfinite(record.available_kw)
    reason = screened(record, geometry).reason[use]
    shares = {word: float(np.mean(reason == why)) for why, word in _LOOKS.items() if use.any()}
    total = sum(shares.values())
    if total <= _TOLD_SHARE:
        return []
    most_first = sorted(shares.items(), key=lambda item: -item[1])
    each = ", ".join(f"{100 * share:.1f} % {word}" for word, share in most_first if share > 0.0)
    told = (
        f"{100 * total:.1f} % of the daylight intervals look unlike the sky, scored as they are: "
        f"{each}"
    )
    return [told]


def _known(rows: PowerSeries) -> Floats:
    values = rows.to_numpy(dtype=np.float64)
    return np.asarray(values[np.isfinite(values)], dtype=np.float64)


def _high(known: Floats) -> float:
    """`_HIGH` quantile; of few values, the highest does not count."""
    return float(np.quantile(known, _HIGH, method="lower")) if known.size else 0.0


def _above_rating(power_kw: Floats, rated_kw: float) -> list[str]:
    lit = power_kw[power_kw > 0.0]  # NaN compares false
    if _high(lit) <= _ABOVE_RATING * rated_kw:
        return []
    share = float(np.mean(lit > rated_kw))
    told = (
        f"{100 * share:.1f} % of power lies above the rating of {rated_kw:g} kW: check "
        f"--capacity-kw, and that power is in kW"
    )
    return [told]


def _spikes(power_kw: Floats, rated_kw: float) -> list[str]:
    """A few values that no plant of the rating makes."""
    spikes = power_kw[np.abs(power_kw) > _MISTAKEN * rated_kw]
    if not spikes.size:
        return []
    worst = spikes[np.argmax(np.abs(spikes))]
    told = (
        f"{spikes.size} value(s) lie beyond {_MISTAKEN:g} times the rating, up to {worst:.4g} kW, "
        f"scored as they are; the service would take none of them: leave them out of the file"
    )
    return [told]


def _offset(record: PlantRecord, place: PvGeometry) -> list[str]:
    """Told where the meter shows power by night, either way, and more than now and then."""
    dark = elevation_of(place, record.starts[0], len(record)) < _DARK_DEG
    by_night = record.available_kw[dark & np.isfinite(record.available_kw)]
    shown = by_night[np.abs(by_night) > _OFFSET_OF_RATED * place.rated_kw]
    if shown.size <= _NOW_AND_THEN * by_night.size:
        return []
    told = (
        f"in {100 * shown.size / by_night.size:.0f} % of the night the file says power, "
        f"{np.median(shown):.3g} kW usually: an offset of the meter, or what the plant takes "
        f"itself; scored as it is, take it off the file"
    )
    return [told]


def _told(geometry: PvGeometry) -> str:
    return f"tilt {geometry.tilt_deg:.0f}°, azimuth {geometry.azimuth_deg:.0f}° as is usual there"


def _other_hemisphere(record: PlantRecord, place: PvGeometry) -> list[str]:
    """Told where the days are as long as on the other side of the equator."""
    power = record.available_kw
    known = np.isfinite(power)
    lit = power[power > 0.0]
    if not lit.size or abs(place.latitude_deg) < _TROPICAL_DEG:
        return []
    producing = power[known] > _PRODUCING_SHARE * float(np.quantile(lit, 0.99))

    def wrong(latitude_deg: float) -> float:
        sun = sun_at(latitude_deg, place.longitude_deg, record.starts[known] + INTERVAL / 2)
        return float(np.mean(producing != (90.0 - sun.apparent_zenith_deg > _PRODUCING_DEG)))

    here, mirrored = wrong(place.latitude_deg), wrong(-place.latitude_deg)
    if mirrored >= _HALF * here or here - mirrored <= _CLEARLY:
        return []
    told = (
        f"the days are as long as at a latitude of {-place.latitude_deg:g}°, not "
        f"{place.latitude_deg:g}°: check the sign of --lat (north positive)"
    )
    return [told]
