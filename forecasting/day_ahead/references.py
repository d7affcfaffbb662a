"""What a day ahead is measured against: the last clear-sky index kept, in two readings of it.

`kept_index` is smart persistence as the literature has it: one index for the whole day. After dark
that is an index of low sun, which says little of tomorrow; `faded_index` gives it up for the usual
sky of the 30 days before, the lower the sun was. It is half a blend itself, so harder to beat.

Source: persistence of the clear-sky index, and its convex combination with climatology as the
harder reference, D. Yang (2019), DOI 10.1016/j.solener.2019.10.006.
"""

import numpy as np
from numpy.typing import NDArray

from forecasting.baselines import smart_persistence_kw
from forecasting.clearsky import Floats
from forecasting.day_ahead.features import Ints
from forecasting.sky import INDEX_MAX, LOW_SUN_SHARE, SkySeen


def kept_index(sky: SkySeen, issues: Ints, targets: Ints) -> Floats:
    """The index of the last measured daylight interval stays as it was.

    Intervals whose clear sky is under 5 % of the rating are passed over: their quotient is noise.
    Where nothing was measured yet the index is the usual one.

    Args:
        sky: The plant's record.
        issues: Rows the days begin at, shape (issue,).
        targets: Rows of each day, shape (issue, interval).

    Returns:
        Power within [0, 1], shape (issue, interval) [1].
    """
    last = _newest(np.isfinite(sky.power) & sky.daylight & (sky.clear >= LOW_SUN_SHARE), issues)
    index = sky.power[last] / np.maximum(sky.clear[last], LOW_SUN_SHARE)
    kept = np.where(last >= 0, np.clip(index, 0.0, INDEX_MAX), sky.usual[issues])
    return np.clip(kept[:, None] * sky.clear[targets], 0.0, 1.0)


def faded_index(sky: SkySeen, issues: Ints, targets: Ints) -> Floats:
    """The same, but an index of low sun fades into the usual one, as it does in the ladder.

    Args and Returns as of `kept_index`.
    """
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


def _newest(among: NDArray[np.bool_], issues: Ints) -> Ints:
    """The newest row before each issue of those given; −1 where there is none."""
    newest = np.maximum.accumulate(np.where(among, np.arange(len(among)), -1))
    return np.asarray(newest[issues - 1])
