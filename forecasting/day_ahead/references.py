"""What a day ahead is measured against: smart persistence, and two other readings of it.

They differ after dark, when the last index is one of low sun and says little of tomorrow:

- `smart_persistence`: the last index stays the whole day, as it does for the next interval
- `last_hour`: the mean index of the last hour of daylight does, so that one interval decides less
- `faded`: an index of low sun gives way to that of the 30 days before, as it does in the second
  rung of the ladder

Source of the second: `persistence_scalar_index` of the Solar Forecast Arbiter, which averages over
an hour at most, and asks yesterday's values for a day ahead.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from forecasting.baselines import fading_persistence_kw, kept_index, newest_before
from forecasting.clearsky import Floats
from forecasting.day_ahead.features import Ints
from forecasting.sky import INDEX_MAX, SkySeen

Reference = Callable[[SkySeen, Ints, Ints], Floats]
"""Record, rows the days begin at (issue,), rows of each day (issue, interval) → power within
[0, 1], shape (issue, interval) [1]."""

_HOUR = 4
"""Intervals of an hour."""


def smart_persistence(sky: SkySeen, issues: Ints, targets: Ints) -> Floats:
    """The last index stays; see `baselines.kept_index` and `Reference`."""
    return np.clip(kept_index(sky, issues)[:, None] * sky.clear[targets], 0.0, 1.0)


def last_hour(sky: SkySeen, issues: Ints, targets: Ints) -> Floats:
    """The mean index of the last measured hour of daylight stays. See `Reference`."""
    seen = np.isfinite(sky.power) & sky.daylight
    last = newest_before(seen, issues)
    back = np.maximum(last[:, None] - np.arange(_HOUR), 0)
    index = sky.power[back] / np.maximum(sky.clear[back], 1e-9)
    known = seen[back]
    total = np.where(known, np.clip(index, 0.0, INDEX_MAX), 0.0).sum(axis=1)
    kept = np.where(last >= 0, total / np.maximum(known.sum(axis=1), 1), sky.usual[issues])
    return np.clip(kept[:, None] * sky.clear[targets], 0.0, 1.0)


def faded(sky: SkySeen, issues: Ints, targets: Ints) -> Floats:
    """The last index stays, the less the lower the sun was; the usual one does. See `Reference`."""
    last = newest_before(np.isfinite(sky.power) & sky.daylight, issues)
    usual = sky.usual[issues][:, None]
    found = fading_persistence_kw(
        measured_kw=np.where(last >= 0, sky.power[last], np.nan)[:, None],
        clear_measured_kw=sky.clear[last][:, None],
        clear_target_kw=sky.clear[targets],
        rated_kw=1.0,
        index=usual,
    )
    return np.where(np.isfinite(found), found, np.clip(usual * sky.clear[targets], 0.0, 1.0))


REFERENCES: Mapping[str, Reference] = MappingProxyType(
    {"smart_persistence": smart_persistence, "last_hour": last_hour, "faded": faded}
)
"""By the name they have in scores and manifests."""
