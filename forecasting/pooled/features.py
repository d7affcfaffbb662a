"""What the pooled network sees: one row of numbers for each interval to forecast.

A row is `LAGS` steps of `LAG_FEATURES`, oldest first, then `TARGET_FEATURES`. All powers are
shares of the rating, or ratios to the clear sky (`k`, the clear-sky index). An unknown value
is 0 with its mask 0. Row i uses nothing measured in or after interval i.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forecasting.clearsky import Floats
from forecasting.pooled.observed import LAGS, Observed
from forecasting.pooled.recall import last_known, spread, top_index, usual_index
from forecasting.pooled.sky import DAY_INTERVALS, PlantSky
from forecasting.sky import INDEX_MAX, LOW_SUN_SHARE

Float32s = NDArray[np.float32]

LAG_FEATURES = (
    "known", "k", "clear", "thirds_known", "k_first_third", "k_middle_third", "k_last_third",
    "capped", "k_floor", "k_cap", "below_cap",
)  # fmt: skip
"""What stands in each step. The thirds are differences from the whole, `k` or `k_floor`."""

TARGET_FEATURES = (
    "base", "step", "clear", "clear_change", "sin_elevation", "sun_east", "sun_before_plant",
    "k_recent", "age", "k_held", "usual_day", "sun_day", "usual_days", "sun_days", "k_top",
    "yesterday_known", "k_yesterday", "k_change_yesterday",
    "before_known", "k_before", "k_change_before",
    "std_hour", "std_lags", "last_third", "low_sun", "k_before_gap", "std_before_gap", "bound",
    "last_below_cap",
)  # fmt: skip
"""What stands behind the steps; `base` and `step` are what the network's answer is added to."""

WIDTH = LAGS * len(LAG_FEATURES) + len(TARGET_FEATURES)

# Edges of clouds reflect: five minutes may reach this ratio, rarely more.
_K_MAX = 1.5

# A plant below its cap by this share of the rating makes what is available.
_BELOW_CAP = 0.01

# The residual can move the forecast even where the clear sky of a steep plant is nearly dark.
_LEAST_STEP = 0.05


def rows(seen: Observed, sky: PlantSky, azimuth_deg: float, targets: NDArray[np.int64]) -> Float32s:
    """Input of the network.

    Args:
        seen: What was measured.
        sky: Clear sky of the same intervals, those in front too, and of one more at the end.
        azimuth_deg: Where the modules face [°].
        targets: Intervals to forecast, ascending, by their place in the record, at least one,
            shape (target,).

    Returns:
        Shape (target, `WIDTH`).
    """
    at = targets + seen.front
    clear = sky.mean
    first = int(at[0]) - LAGS
    steps = _lag_table(seen, clear, sky.thirds, first, int(at[-1]))
    windows = steps[(at - first)[:, None] + np.arange(-LAGS, 0)]
    told = _target_table(seen, sky, clear, azimuth_deg, at, windows)
    flat = windows.reshape(len(at), -1)
    return np.concatenate([flat, told], axis=1, dtype=np.float32)


def _index(power: Floats, clear: Floats) -> Floats:
    return np.minimum(power / np.maximum(clear, LOW_SUN_SHARE), _K_MAX)


def _zero(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, 0.0)


def _lag_table(seen: Observed, clear: Floats, clear_thirds: Floats, first: int, end: int) -> Floats:
    """`LAG_FEATURES` of the intervals `first` up to just before `end`, (interval, feature)."""
    cut = slice(first, end)
    clear, clear_thirds, floor = clear[cut], clear_thirds[cut], seen.floor[cut]
    k = _index(seen.available[cut], clear)
    capped = np.isfinite(floor)
    k_floor = _index(floor, clear)
    inside = _index(seen.thirds[cut], clear_thirds) - np.where(capped, k_floor, k)[:, None]
    headroom = np.where(capped, np.minimum(seen.cap[cut], _K_MAX), np.nan)
    below = capped & (floor < headroom - _BELOW_CAP)
    columns = [
        np.isfinite(k), k, clear, np.isfinite(inside).all(axis=1), *inside.T,
        capped, k_floor, _index(headroom, clear), below,
    ]  # fmt: skip
    return _zero(np.stack(columns, axis=1))


def _target_table(
    seen: Observed,
    sky: PlantSky,
    clear: Floats,
    azimuth_deg: float,
    at: NDArray[np.int64],
    windows: Floats,
) -> Floats:
    """`TARGET_FEATURES` of each target, shape (target, feature)."""
    power = seen.available
    k_all = np.append(_index(power, clear[: len(power)]), np.nan)
    target = clear[at]
    usual = usual_index(power, clear, at)
    before = last_known(np.where(clear[: len(power)] > LOW_SUN_SHARE, k_all[:-1], np.nan), at)
    recent, age, before_mean, before_std = before
    believed = np.where(np.isfinite(recent), recent, np.where(usual[1][1] > 0, usual[1][0], 0.0))
    held = (windows[:, :, _AT["k_floor"]]).max(axis=1)
    base, low = _fading(windows, clear, at, np.maximum(believed, held), usual[1][0])
    last = windows[:, -1]
    azimuth = np.radians(sky.azimuth_deg[at])
    columns: list[Any] = [
        base, target + _LEAST_STEP, target, target - clear[at - 1],
        np.sin(np.radians(sky.elevation_deg[at])), np.sin(azimuth),
        np.cos(azimuth - np.radians(azimuth_deg)),
        believed, age, held, *usual[0], *usual[1], top_index(k_all, clear, at),
    ]  # fmt: skip
    for days in (1, 2):
        then = at - days * DAY_INTERVALS
        change = k_all[then] - k_all[then - 1]
        columns += [np.isfinite(change), _zero(k_all[then]), _zero(change)]
    known = windows[:, :, _AT["known"]]
    k = windows[:, :, _AT["k"]]
    columns += [spread(k[:, -4:], known[:, -4:]), spread(k, known)]
    columns += [last[:, _AT["k_last_third"]], low]
    bound = windows[:, :, _AT["capped"]] * (1.0 - windows[:, :, _AT["below_cap"]])
    # What the last third shows is what is available where it stayed below the cap.
    below = seen.thirds[at - 1, -1] < np.minimum(seen.cap[at - 1], _K_MAX) - _BELOW_CAP
    below &= last[:, _AT["capped"]] > 0.0
    columns += [before_mean, before_std, bound.mean(axis=1), below]
    return np.stack(columns, axis=1)


_AT = {name: i for i, name in enumerate(LAG_FEATURES)}


def _fading(
    windows: Floats, clear: Floats, at: NDArray[np.int64], believed: Floats, usual: Floats
) -> tuple[Floats, Floats]:
    """Fading persistence, and how low the sun of the last interval was, 0…1; as `baselines`."""
    trusted = np.clip(clear[at - 1] / LOW_SUN_SHARE, 0.0, 1.0)
    last = windows[:, -1]
    known = last[:, _AT["known"]] > 0.0
    k = np.where(known, last[:, _AT["k"]], believed * trusted)
    blended = np.minimum(np.minimum(k, INDEX_MAX) + (1.0 - trusted) * usual, INDEX_MAX)
    return np.clip(blended * clear[at], 0.0, 1.0), 1.0 - trusted
