"""How a step response is judged: rise, overshoot, settling."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BAND_PCT = 2.0
"""Band around the end value within which a response counts as settled [% of the step]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFigures:
    """Figures of one step response. Times count from the step; None: not within the record."""

    before: float
    after: float
    """End value; what the response ends at unless it is given."""
    rise_s: float | None
    """Until the end value is first reached, as the technical optimum is quoted [s]."""
    rise_10_90_s: float | None
    """From 10 % to 90 % of the step [s]."""
    overshoot_pct: float
    """Highest excess over the end value [% of the step]."""
    settling_s: float | None
    """From when on it stays within 2 % of the step [s]."""


def step_figures(
    t_s: Floats, values: Floats, at_s: float, *, after: float | None = None
) -> StepFigures:
    """Judge a response.

    Args:
        t_s: times, shape (time,) [s].
        values: the response, shape (time,).
        at_s: when the step was made [s].
        after: end value; None: the last one recorded.

    Raises:
        ValueError: nothing was recorded behind the step, or it has no height.
    """
    # Half a sample early: k·dt and the instant of the step need not round alike.
    behind = t_s >= at_s - 0.5 * float(t_s[-1] - t_s[0]) / max(1, t_s.size - 1)
    if not behind.any():
        raise ValueError(f"nothing is recorded behind the step at {at_s:g} s")
    t, y = t_s[behind] - at_s, values[behind]
    before = float(y[0])
    end = float(y[-1]) if after is None else after
    if end == before:
        raise ValueError("the step has no height")
    share = (y - before) / (end - before)
    ten, ninety = _first_at(t, share, 0.1), _first_at(t, share, 0.9)
    outside = np.flatnonzero(np.abs(share - 1.0) > BAND_PCT / 100.0)
    settled = int(outside[-1]) + 1 if outside.size else 0
    return StepFigures(
        before=before,
        after=end,
        rise_s=_first_at(t, share, 1.0),
        rise_10_90_s=None if ten is None or ninety is None else ninety - ten,
        overshoot_pct=max(0.0, 100.0 * (float(share.max()) - 1.0)),
        settling_s=float(t[settled]) if settled < t.size else None,
    )


def _first_at(t: Floats, share: Floats, level: float) -> float | None:
    """When the response first reaches a level, between samples by a straight line [s]."""
    reached = np.flatnonzero(share >= level)
    if not reached.size:
        return None
    k = int(reached[0])
    if k == 0:
        return float(t[0])
    part = (level - share[k - 1]) / (share[k] - share[k - 1])
    return float(t[k - 1] + part * (t[k] - t[k - 1]))
