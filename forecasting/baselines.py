"""Forecasts that need no training: persistence, smart persistence, clear-sky climatology."""

import numpy as np

from forecasting.clearsky import Floats

INDEX_MAX = 1.2
"""Largest clear-sky index believed; edges of clouds reflect, a 15-minute mean rarely more [1]."""

INDEX_UNKNOWN = 0.7
"""Clear-sky index of a place nothing is known of; a usual yearly mean at mid-latitudes [1]."""

# Below this share of the rating the ratio measured / clear sky is mostly error of the clear
# sky itself (shade at sunrise, horizon, inverter start), so the climatological index blends in.
_LOW_SUN_SHARE = 0.05

# Fewer kilowatt-intervals of clear sky than this, per kW rated, say little about a place's
# climate: about one clear day gives 25.
_CLIMATE_MIN_SHARE = 10.0


def persistence_kw(measured_kw: Floats, rated_kw: float) -> Floats:
    """The last measured power stays, clipped to [0, rated] [kW]."""
    return np.clip(measured_kw, 0.0, rated_kw)


def climatological_index(measured_kw: Floats, clear_kw: Floats, rated_kw: float) -> float | None:
    """Clear-sky index of a period, weighted by energy [1].

    Args:
        measured_kw: Measured power; NaN where unknown or capped, shape (interval,) [kW].
        clear_kw: Clear-sky power of the same intervals, shape (interval,) [kW].
        rated_kw: Rating of the plant [kW].

    Returns:
        Within [0, 1.2]; None when less than about half a day of sun was measured.
    """
    known = np.isfinite(measured_kw)
    clear = float(clear_kw[known].sum())
    if not clear >= _CLIMATE_MIN_SHARE * rated_kw:
        return None
    return float(np.clip(measured_kw[known].sum() / clear, 0.0, INDEX_MAX))


def climatology_kw(clear_target_kw: Floats, index: float | None, rated_kw: float) -> Floats:
    """The usual share of the clear sky, clipped to [0, rated] [kW]."""
    usual = INDEX_UNKNOWN if index is None else index
    return np.clip(usual * clear_target_kw, 0.0, rated_kw)


def is_low_sun(clear_measured_kw: Floats, rated_kw: float) -> bool:
    """Whether some index at this clear-sky power needs the climatological one beside it."""
    return bool((clear_measured_kw < _LOW_SUN_SHARE * rated_kw).any())


def smart_persistence_kw(
    *,
    measured_kw: Floats,
    clear_measured_kw: Floats,
    clear_target_kw: Floats,
    rated_kw: float,
    index: float | None,
) -> Floats:
    """The clear-sky index of the last measurement stays [kW].

    Near sunrise, where the clear sky of the measurement is under 5 % of the rating, the
    measured index fades into the climatological one, so nothing is divided by almost zero.

    Args:
        measured_kw: Last measured, uncapped power, shape (sample,) [kW].
        clear_measured_kw: Clear-sky power where that was measured, shape (sample,) [kW].
        clear_target_kw: Clear-sky power of the target interval, shape (sample,) [kW].
        rated_kw: Rating of the plant [kW].
        index: Climatological clear-sky index; None when unknown [1].

    Returns:
        Shape (sample,), within [0, rated]; NaN where `measured_kw` is.
    """
    low = _LOW_SUN_SHARE * rated_kw
    measured_index = np.clip(measured_kw / np.maximum(clear_measured_kw, low), 0.0, INDEX_MAX)
    trusted = np.clip(clear_measured_kw / low, 0.0, 1.0)
    usual = INDEX_UNKNOWN if index is None else index
    # Below the threshold the quotient above already carries the factor `trusted`.
    blended = measured_index + (1.0 - trusted) * usual
    return np.clip(np.minimum(blended, INDEX_MAX) * clear_target_kw, 0.0, rated_kw)
