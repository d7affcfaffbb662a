"""Which intervals certainly show the sky, so that they need no screening.

Screening judges days at a time, and most intervals of most plants are beyond suspicion: they move,
and lie well between nothing and what the sun gives. Each margin here is wider than the one that
screening goes by (`forecasting.data.screening`), so that nothing it would censor passes; a test
holds them to that.
"""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.clearsky import Floats, PvGeometry
from forecasting.sky import elevation_of, light_of

CONTEXT: Final = 5
"""Intervals before one by which it is judged: a plateau is six."""

# A plateau stays within 0.3 % of the rating, lies above 10 % of it, and counts below 99 %.
_MOVES, _PLATEAU_ABOVE, _PLATEAU_BELOW = 0.0035, 0.09, 0.992

# Some of the intervals before that a moving one differs from: its neighbour, and the far end and
# middle of a plateau, for a clear noon is level but not straight.
_EARLIER: Final = (1, 3, 5)

# Snow and outages: under 5 % of the clear sky, or 0.1 % of the rating, counted where the clear sky
# gives 15 %.
_LITTLE_OF_CLEAR, _LITTLE, _COUNTED_ABOVE = 0.055, 0.0015, 0.14

# Power in the dark: 0.5 % of the rating, with the sun 6° down.
_DARK_DEG, _OFFSET = -5.5, 0.004


def is_odd(available_kw: Floats, geometry: PvGeometry, first: pd.Timestamp) -> NDArray[np.bool_]:
    """Whether screening must look at intervals.

    Args:
        available_kw: of these, and of `CONTEXT` intervals before them; NaN where unknown [kW].
        geometry: of the plant.
        first: start of the first of these.

    Returns:
        Shape (interval,), the context left out.
    """
    power = available_kw / geometry.rated_kw
    now, count = power[CONTEXT:], len(power) - CONTEXT
    clear, day = light_of(geometry, first, count)
    dark = elevation_of(geometry, first, count) < _DARK_DEG
    with np.errstate(invalid="ignore"):  # NaN compares false: unknown is never censored
        moves = np.zeros(count, dtype=bool)
        for back in _EARLIER:
            moves |= np.abs(now - power[CONTEXT - back : -back]) >= _MOVES
        still = ~moves & (now > _PLATEAU_ABOVE) & (now < _PLATEAU_BELOW)
        little = now < np.maximum(_LITTLE_OF_CLEAR * clear, _LITTLE)
        offset = dark & (np.abs(now) > _OFFSET)
    return np.asarray(still | (little & day & (clear > _COUNTED_ABOVE)) | offset)
