"""A measured series of PV held against the sun: power in the dark, and more than any sky gives.

Both are of times that are off, or of a place or orientation that is not the plant's. Nobody would
see it afterwards: what is proved for the sun that is likely would be broken by one that cannot be.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ems.backtest.series_columns import SHARE
from ems.clock import INTERVAL
from ems.domain import Pv, Site
from ems.errors import Fault
from ems.forecast.bound import CLOUD_EDGE, upper_bound_kw
from forecasting.clearsky import PvGeometry
from forecasting.sky import elevation_of, light_of

Floats = NDArray[np.float64]

DARK_DEG = -3.0
"""Sun so low in the middle of an interval is below the horizon in all of it: it climbs by no more
than 1.9° in half of one [°]."""
NOISE = 0.01
"""Power up to this share of the rating is no sun: offsets of meters stay below half of it [1]."""
HANDFUL = 5
"""So many intervals in the dark may be a logger's slips."""
OF_NIGHT = 0.01
"""Or such a share of them; a clock that is one hour off fills several times as many, but in summer
beyond 50° of latitude [1]."""
A_DAY = 24 * 4
"""Intervals."""
FARTHEST = 14 * 4
"""No clock on Earth is further from UTC [intervals]."""
LIKE = 0.5
"""Correlation with the clear sky from which a series follows the sun at all: cloudy days have more
at their own time [1]."""
AS_GOOD = 0.02
"""Shifts whose correlations differ by less explain a series alike: dull afternoons of a week move
the best one by half an hour, and an hour under a clear sky costs 0.03 [1]."""
FEW = 3
"""From so many days on the best shift is less than an hour off: clouds of three days moved it by up
to 0.75 h, of two weeks by 0.25 h."""
SHOWN = 3
"""Plants that are named in a note."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkySeries:
    """The PV of a period, as means of intervals."""

    site: Site
    zone: str
    """Local time zone of the site."""
    first: datetime
    """Start of the first interval, UTC."""
    used: Mapping[str, str]
    """Column of each plant."""
    means: Mapping[str, Floats]
    """By column, as the file has them, shape (interval,)."""

    def share(self, pv: Pv) -> Floats:
        """Power over the rating, which is all an inverter gives, shape (interval,) [1]."""
        rated = 1.0 if self.used[pv.name] == SHARE else pv.rated_kw
        return np.minimum(self.means[self.used[pv.name]] / rated, 1.0)

    def geometry(self, pv: Pv) -> PvGeometry:
        """Of a plant like it that is rated at 1 kW."""
        return PvGeometry(
            latitude_deg=self.site.latitude_deg,
            longitude_deg=self.site.longitude_deg,
            tilt_deg=pv.tilt_deg,
            azimuth_deg=pv.azimuth_deg,
            rated_kw=1.0,
        )

    @property
    def start(self) -> pd.Timestamp:
        """Of the first interval."""
        return pd.Timestamp(self.first).tz_convert("UTC")


def sky_faults(file: str, series: SkySeries) -> Iterator[Fault]:
    """Columns that give power in the dark.

    Args:
        file: its name.
        series: of the period.
    """
    one_of = {series.used[pv.name]: pv for pv in reversed(series.site.pvs)}
    for column, pv in sorted(one_of.items()):
        share, geometry = series.share(pv), series.geometry(pv)
        dark = elevation_of(geometry, series.start, len(share)) < DARK_DEG
        odd = np.flatnonzero(dark & (share > NOISE))
        if len(odd) <= max(HANDFUL, OF_NIGHT * np.count_nonzero(dark)):
            continue
        at = series.first + int(odd[0]) * INTERVAL
        yield Fault(
            place=f"{file}: column {column}",
            problem=(
                f"gives up to {100 * share[odd].max():.0f} % of the rating in {len(odd):,} of "
                f"{np.count_nonzero(dark):,} intervals with the sun below the horizon, first "
                f"{at:%Y-%m-%dT%H:%MZ}: {_mend(series, share, geometry)}"
            ),
        )


def _mend(series: SkySeries, share: Floats, geometry: PvGeometry) -> str:
    """What is most likely wrong: by how much the times are off."""
    likeness = _likeness(share, geometry, series.start)
    best = int(np.argmax(likeness)) - FARTHEST
    if likeness.max() < LIKE:
        return "it does not follow the sun at any hour; mend the column"
    # Of shifts a day apart, and of neighbours, that of the site's own clock is the likeliest.
    own = max(_own(series, len(share)), key=lambda s: likeness[s + FARTHEST], default=0)
    if own and likeness[own + FARTHEST] > likeness.max() - AS_GOOD:
        return (
            f"the times seem {_hours(own)}, as local times of {series.zone} are where they are "
            "taken for UTC; write them as UTC, or with their offset in a column time"
        )
    # Days are much like each other; and the clouds of a few of them fit more than one hour.
    alike = [s for s in (best, best - A_DAY, best + A_DAY) if abs(s) <= FARTHEST]
    seem = ", or ".join(map(_hours, sorted(alike, key=abs)))
    if own and likeness[own + FARTHEST] >= LIKE and len(share) < FEW * A_DAY:
        seem += f", or {_hours(own)} as local times of {series.zone} are"
    if abs(best) <= 1:
        return "by day it follows the sun; set to 0 what is measured in the dark"
    return (
        f"the times seem {seem}; write them as UTC, or with their offset in a column time, "
        "or mend latitude and longitude of the site file"
    )


def _own(series: SkySeries, count: int) -> Iterator[int]:
    """Shifts of the site's own clock, of summer and winter where both are in the period."""
    for part in (0, count // 2, count):
        at = series.first + part * INTERVAL
        offset = at.astimezone(ZoneInfo(series.zone)).utcoffset()
        if offset:
            yield -round(offset / INTERVAL)


def _likeness(share: Floats, geometry: PvGeometry, start: pd.Timestamp) -> Floats:
    """Correlation with the clear sky of each shift, -1 where there is none, shape (shift,) [1].

    Of the first, the series is the sky of 14 hours earlier; of the last, of 14 hours later.
    """
    count = len(share)
    clear, _ = light_of(geometry, start - FARTHEST * INTERVAL, count + 2 * FARTHEST)
    around = np.lib.stride_tricks.sliding_window_view(clear, count)
    mine = share - share.mean()
    found = np.full(len(around), -1.0)
    for i, sky in enumerate(around):
        theirs = sky - sky.mean()
        size = float(np.linalg.norm(mine) * np.linalg.norm(theirs))
        if size > 0.0:
            found[i] = float(mine @ theirs) / size
    return found


def _hours(shift: int) -> str:
    """How far times are off, in words."""
    return f"{abs(shift) / 4:g} h too {'early' if shift > 0 else 'late'}"


def _kw(power_kw: float) -> str:
    return f"{power_kw:,.0f} kW" if power_kw >= 10.0 else f"{power_kw:.2g} kW"


def above_the_sky(series: SkySeries) -> Iterator[str]:
    """A line on intervals that no sky gives, at the edge of clouds neither.

    Args:
        series: of the period.
    """
    count, most = {}, {}
    known: dict[tuple[str, float, float, float], Floats] = {}
    for pv in series.site.pvs:
        column = series.used[pv.name]
        key = (column, pv.rated_kw if column != SHARE else 1.0, pv.tilt_deg, pv.azimuth_deg)
        if key not in known:
            known[key] = _above(series.share(pv), series.geometry(pv), series.start)
        if len(known[key]):
            count[pv.name], most[pv.name] = len(known[key]), known[key].max() * pv.rated_kw
    if count:
        worst = sorted(count, key=lambda name: -most[name])
        parts = [f"{n} in {count[n]:,} intervals, by up to {_kw(most[n])}" for n in worst]
        more = f"; {len(parts) - SHOWN} more plants" if len(parts) > SHOWN else ""
        yield (
            f"more sun than any sky gives: {'; '.join(parts[:SHOWN])}{more}; limits are proved up "
            "to what the sky gives, and may be broken there: check the times, and tilt, azimuth "
            "and place in the site file"
        )


def _above(share: Floats, geometry: PvGeometry, start: pd.Timestamp) -> Floats:
    """By how much an interval is above what no sky exceeds, of those that are [1]."""
    clear, _ = light_of(geometry, start, len(share))
    # The brightest sky of an interval is never below its clear mean.
    rows = np.flatnonzero(share > np.minimum(CLOUD_EDGE * clear, 1.0) + NOISE)
    bound = [
        upper_bound_kw(geometry, geometry, start + row * INTERVAL, trusted=True)
        for row in rows.tolist()
    ]
    beyond = share[rows] - np.array(bound, dtype=np.float64)
    return beyond[beyond > NOISE]
