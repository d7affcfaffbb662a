"""The calibration of a model's own quantiles over a whole record."""

import numpy as np

from forecasting.calibration.conformal import Calibration
from forecasting.clearsky import Floats
from forecasting.sky import SkySeen


def calibration_run(raw: Floats, sky: SkySeen, state: Calibration) -> tuple[Floats, Calibration]:
    """Calibrated quantiles of every interval, and the state after the last.

    Args:
        raw: Quantiles a model gave, NaN where it gave none, shape (interval, level), shares of
            the rating.
        sky: What was known before each interval.
        state: Where to start from; it is advanced.

    Returns:
        Shape (interval, level): NaN where `raw` is, 0 at night.
    """
    found = np.where(np.isfinite(raw), 0.0, np.nan)
    light = (sky.clear > 0.0) & np.isfinite(raw).all(axis=1)
    learnt = sky.daylight & np.isfinite(sky.power)
    rows, group, power = raw.tolist(), sky.group.tolist(), sky.power.tolist()
    for i in np.flatnonzero(light).tolist():
        found[i] = state.calibrated(rows[i], group[i])
        if learnt[i]:
            state.learn(rows[i], group[i], power[i])
    return found, state
