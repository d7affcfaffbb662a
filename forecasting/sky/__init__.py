"""What a record had shown of plant and sky before each of its intervals.

Every method that needs no network starts from here, and the uncertainty of all methods is sorted
by it, so that "the last measurement", "the usual sky" and "a changeable sky" mean one thing.
Powers are shares of the rating. Nothing in row i depends on a measurement of row i or later.

- `sky_seen(record, geometry) -> SkySeen`: before each interval of a record
- `sky_next(record, geometry) -> SkySeen`, `skies_next(plants) -> SkySeen`: before the coming one
- `light_of(geometry, first, count)`, `elevation_of(…)`: what the sun alone decides
"""

from forecasting.sky.coming import NEXT_ROWS, Newest, skies_next, sky_next
from forecasting.sky.light import elevation_of, light_of
from forecasting.sky.seen import (
    CLEAR_EDGES,
    CLIMATE_MIN_SHARE,
    GROUPS,
    INDEX_MAX,
    INDEX_UNKNOWN,
    LOW_SUN_SHARE,
    RECENT_INTERVALS,
    VARIABILITY_EDGES,
    Ints,
    SkySeen,
    group_of,
    sky_seen,
)

__all__ = [
    "CLEAR_EDGES",
    "CLIMATE_MIN_SHARE",
    "GROUPS",
    "INDEX_MAX",
    "INDEX_UNKNOWN",
    "LOW_SUN_SHARE",
    "NEXT_ROWS",
    "RECENT_INTERVALS",
    "VARIABILITY_EDGES",
    "Ints",
    "Newest",
    "SkySeen",
    "elevation_of",
    "group_of",
    "light_of",
    "skies_next",
    "sky_next",
    "sky_seen",
]
