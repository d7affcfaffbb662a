"""What a day ahead is measured against: the last clear-sky index kept, in three readings of it.

They differ after dark, when the last index is one of low sun and says little of tomorrow:

- `kept_index`: smart persistence plainly, the index of the last interval for the whole day
- `hour_index`: the mean index of the last hour of daylight, so that one interval decides less
- `faded_index`: an index of low sun gives way to that of the 30 days before, as it does in the
  second rung of the ladder and in the `smart_persistence` that forecasts of the next interval are
  measured against

Source of the second: `persistence_scalar_index` of the Solar Forecast Arbiter, which averages over
an hour at most, and asks yesterday's values for a day ahead.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from forecasting.baselines import smart_persistence_kw
from forecasting.clearsky import Floats
from forecasting.day_ahead.features import Ints
from forecasting.sky import INDEX_MAX, LOW_SUN_SHARE, SkySeen

Reference = Callable[[SkySeen, Ints, Ints], Floats]
"""Record, rows the days begin at (issue,), rows of each day (issue, interval) → power within
[0, 1], shape (issue, interval) [1]."""

_HOUR = 4
"""Intervals of an hour."""


def kept_index(sky: SkySeen, issues: Ints, targets: Ints) -> Floats:
    """The index of the last measured daylight interval stays as it was.

    Intervals whose clear sky is under 5 % of the rating are passed over: their quotient is noise.
    Where nothing was measured yet the index is the usual one. See `Reference`.
    """
    last = _newest(np.isfinite(sky.power) & sky.daylight & (sky.clear >= LOW_SUN_SHARE), issues)
    index = sky.power[last] / np.maximum(sky.clear[last], LOW_SUN_SHARE)
    kept = np.where(last >= 0, np.clip(index, 0.0, INDEX_MAX), sky.usual[issues])
    return np.clip(kept[:, None] * sky.clear[targets], 0.0, 1.0)


def hour_index(sky: SkySeen, issues: Ints, targets: Ints) -> Floats:
    """The mean index of the last measured hour of daylight stays. See `Reference`."""
    seen = np.isfinite(sky.power) & sky.daylight
    last = _newest(seen, issues)
    back = np.maximum(last[:, None] - np.arange(_HOUR), 0)
    index = sky.power[back] / np.maximum(sky.clear[back], 1e-9)
    known = seen[back]
    total = np.where(known, np.clip(index, 0.0, INDEX_MAX), 0.0).sum(axis=1)
    kept = np.where(last >= 0, total / np.maximum(known.sum(axis=1), 1), sky.usual[issues])
    return np.clip(kept[:, None] * sky.clear[targets], 0.0, 1.0)


def faded_index(sky: SkySeen, issues: Ints, targets: Ints) -> Floats:
    """The last index stays, the less the lower the sun was; the usual one does. See `Reference`."""
    last = _newest(np.isfinite(sky.power) & sky.daylight, issues)
    usual = sky.usual[issues][:, None]
    found = smart_persistence_kw(
        measured_kw=np.where(last >= 0, sky.power[last], np.nan)[:, None],
        clear_measured_kw=sky.clear[last][:, None],
        clear_target_kw=sky.clear[targets],
        rated_kw=1.0,
        index=usual,
    )
    return np.where(np.isfinite(found), found, np.clip(usual * sky.clear[targets], 0.0, 1.0))


REFERENCES: Mapping[str, Reference] = MappingProxyType(
    {"kept": kept_index, "hour": hour_index, "faded": faded_index}
)
"""By the name they have in scores and manifests."""


def _newest(among: NDArray[np.bool_], issues: Ints) -> Ints:
    """The newest row before each issue of those given; −1 where there is none."""
    newest = np.maximum.accumulate(np.where(among, np.arange(len(among)), -1))
    return np.asarray(newest[issues - 1])
