"""Where a plant really faces, and how large it is, fitted from what it measured.

- `fit_plant(record, guess) -> PlantFit`: `.geometry` to use, `.fitted`, `.enough`,
  `.agrees_with_guess`, `.note`, `.uncertainty`

Under a cloudless sky power follows the geometry alone, and clear intervals can be told without
knowing it: they are smooth, and high for their time of day. The fit is the plane that explains
most of them (`plane_fit`): an interval off by several per cent of the rating counts as
unexplained, however far off, so that clouds which slipped through do not pull.

Modules lose power as they warm, over the day and the year, and the air may be clearer than the
climate says. Left alone, both look like another tilt. So where it explains far more, each day has
a scale of its own, and warmth and clearness are fitted along; they are not kept: forecasts start
from the index of the last hour, which holds them.

What it cannot tell: two fields of modules that face apart (it finds one plane between them), and
modules under 10° of tilt hardly face anywhere, which matters as little.
"""

from dataclasses import dataclass, replace

import numpy as np

from forecasting.clearsky import PvGeometry
from forecasting.data.clear_intervals import ClearIntervals, clear_intervals
from forecasting.data.plane_fit import (
    Plane,
    best_plane,
    one_scale,
    refined,
    step_error_pu,
    unexplained,
)
from forecasting.data.solar_noon import late_min, late_note
from forecasting.record import PlantRecord

# Days with clear hours below which nothing is fitted: 60 days of a cloudy Illinois winter have 20.
_ENOUGH_DAYS = 12

# A fit less sure than this is none [°]; across the direction the modules face, so that azimuth
# counts little where they lie almost flat. A winter's low sun leaves tilt open by 10°, which is
# no reason to keep an azimuth that is wrong by 100°.
_UNSURE_DEG = 15.0

# Days held out to judge the fit by: each third, so that both hold all seasons.
_EACH = 3

# Error of smart persistence on clear pairs of held-out days. Its root mean square must fall by a
# tenth, and a share of the rating that is not nothing: 7° of tilt more or less move it by less.
_BETTER, _BETTER_PU = 0.9, 0.002

# Groups of days left out in turn for the uncertainty.
_GROUPS = 6

# Differences from the configuration that are told.
_TOLD_AZIMUTH_DEG, _TOLD_TILT_DEG, _TOLD_SCALE = 15.0, 10.0, (0.5, 1.5)

# A turn counts by what it moves the modules' normal; below a few degrees of tilt there is no
# direction that could be named.
_SIDEWAYS_DEG, _FLAT_DEG = 5.0, 5.0

# What the configured plane must leave unexplained beyond the best one, whatever warmth and air. Of
# 342 right configurations, warm modules under skies split in several ways, 2 left as much. What the
# models lack makes planes look flatter, never steeper, and hardly turned: there less is needed.
_WORSE_SHARE, _WORSE = 0.6, 0.04
_WORSE_TURNED, _WORSE_STEEPER = 0.5, 0.25

# Modules of more than the inverter's rating are usual, and power then stands at it. Where it does,
# and never passes it, only what nobody builds is told.
_HELD, _HELD_SHARE, _ABOVE, _TOLD_LIMITED = 0.97, 0.005, 1.05, 1.9

# No inverter gives twice its rating: more is another unit, or another plant.
_MOST_OF_RATED = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncertainty:
    """Standard errors by leaving out groups of days; clear-sky models err about as much again."""

    tilt_deg: float
    azimuth_deg: float
    scale: float
    """[1]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantFit:
    """What the history says of a plant."""

    geometry: PvGeometry
    """The one to use: the fit where it is better than the guess on days it has not seen."""
    fitted: PvGeometry | None
    """What was fitted, whether used or not; None where there was not enough to fit."""
    enough: bool
    """Whether the history held enough clear hours for a fit that is sure."""
    agrees_with_guess: bool
    """False where the history contradicts the configuration; `note` says how."""
    note: str
    """For the operator; one sentence or more."""
    uncertainty: Uncertainty | None
    """Of `fitted`."""
    shift_min: float = 0.0
    """How late the times run against the sun, where that is more than chance [min]."""
    lasting: str = ""
    """The part of `note` against place, times or rating, which no fitted orientation mends."""


def fit_plant(
    record: PlantRecord, guess: PvGeometry, *, raw: PlantRecord | None = None
) -> PlantFit:
    """Fit tilt, azimuth and scale; well under a second for 60 days as for a year.

    Args:
        record: Measured power, with capped and unusable intervals censored; 60 days or more.
        guess: As configured. Place and rating are believed, and checked against the sun.
        raw: The same as it was measured, which times are checked on: screening takes power in the
            dark of the configured place for a fault of the meter, and so hides a wrong longitude.
            None: `record` is not screened.

    Returns:
        `geometry` is the guess itself unless the fit is enough and better on held-out days; the
        scale is taken over whenever there is enough.
    """
    lit = record.available_kw[record.available_kw > 0]
    if lit.size and float(np.quantile(lit, 0.99)) > _MOST_OF_RATED * guess.rated_kw:
        note = f"power reaches {float(lit.max()):.4g} kW: check rated_kw, and that power is in kW"
        return _unused(guess, note, agrees=False)
    shift = late_min(record if raw is None else raw, guess)
    if shift:
        return _unused(guess, late_note(shift), agrees=False, shift_min=shift)
    clear = clear_intervals(record, guess)
    if clear.days < _ENOUGH_DAYS:
        return _unused(
            guess,
            f"days with clear hours: {clear.days}, of {_ENOUGH_DAYS} needed to fit the plane",
        )
    seen = np.arange(clear.days) % _EACH != _EACH - 1
    first = best_plane(clear.only(seen[clear.day]))
    plane = refined(clear, first)
    unsure = _uncertainty(clear, plane, first.open_deg)
    fitted = replace(
        guess, tilt_deg=plane.tilt_deg, azimuth_deg=plane.azimuth_deg, scale=plane.scale
    )
    sideways = unsure.azimuth_deg * float(np.sin(np.radians(plane.tilt_deg)))
    if max(unsure.tilt_deg, sideways) > _UNSURE_DEG:
        return replace(
            _unused(
                guess, f"the clear hours leave {_told(fitted)} open by more than {_UNSURE_DEG:.0f}°"
            ),
            fitted=fitted,
            uncertainty=unsure,
        )
    scaled = replace(
        guess,
        scale=one_scale(clear, guess.tilt_deg, guess.azimuth_deg, warm=plane.warm is not None),
    )
    better = _is_better(clear.only(~seen[clear.day]), first, scaled)
    used = fitted if better else scaled
    faults = _contradictions(clear, plane, used, guess, unsure)
    # A plane that nothing contradicts may be the true one, and with it its scale.
    sizes = (used.scale,) if faults else (used.scale, scaled.scale)
    scale = _scale_fault(sizes, record, guess)
    faults = [*faults, scale] if scale else faults
    note = "; ".join(faults) if faults else f"agrees with the configuration: {_told(used)}"
    return PlantFit(
        geometry=used,
        fitted=fitted,
        enough=True,
        agrees_with_guess=not faults,
        note=note,
        uncertainty=unsure,
        lasting=scale,
    )


def _unused(
    guess: PvGeometry, note: str, *, agrees: bool = True, shift_min: float = 0.0
) -> PlantFit:
    return PlantFit(
        geometry=guess,
        fitted=None,
        enough=False,
        agrees_with_guess=agrees,
        note=note,
        uncertainty=None,
        shift_min=shift_min,
        lasting="" if agrees else note,
    )


def _uncertainty(clear: ClearIntervals, plane: Plane, open_deg: float) -> Uncertainty:
    """Jackknife over groups of days; with what the models leave open of the tilt."""
    group = np.arange(clear.days) % _GROUPS
    parts = [refined(clear.only(group[clear.day] != g), plane) for g in range(_GROUPS)]

    def error(values: list[float]) -> float:
        off = np.asarray(values) - np.mean(values)
        return float(np.sqrt((_GROUPS - 1) / _GROUPS * np.sum(off**2)))

    return Uncertainty(
        tilt_deg=float(np.hypot(error([p.tilt_deg for p in parts]), open_deg)),
        azimuth_deg=error([_turn_deg(p.azimuth_deg, plane.azimuth_deg) for p in parts]),
        scale=error([p.scale for p in parts]),
    )


def _is_better(unseen: ClearIntervals, plane: Plane, guess: PvGeometry) -> bool:
    """Whether the fit explains clear days it has not seen better than the guess, by a margin."""
    fit = step_error_pu(unseen, plane.tilt_deg, plane.azimuth_deg, plane.scale)
    own = step_error_pu(unseen, guess.tilt_deg, guess.azimuth_deg, guess.scale)
    if not fit.size:
        return False
    fit_rms, own_rms = float(np.sqrt(np.mean(fit**2))), float(np.sqrt(np.mean(own**2)))
    return fit_rms < _BETTER * own_rms and own_rms - fit_rms > _BETTER_PU


def _contradictions(
    clear: ClearIntervals, plane: Plane, used: PvGeometry, guess: PvGeometry, unsure: Uncertainty
) -> list[str]:
    """What the history says against the configured orientation, beyond chance and models."""
    turn = _turn_deg(used.azimuth_deg, guess.azimuth_deg)
    sideways = turn * float(np.sin(np.radians(max(used.tilt_deg, guess.tilt_deg))))
    is_turned = (
        abs(turn) > max(_TOLD_AZIMUTH_DEG, 2 * unsure.azimuth_deg) and abs(sideways) > _SIDEWAYS_DEG
    )
    steeper = used.tilt_deg - guess.tilt_deg
    is_tilted = abs(steeper) > max(_TOLD_TILT_DEG, 2 * unsure.tilt_deg)
    if not (is_turned or is_tilted):
        return []
    best, given = unexplained(clear, plane, guess.tilt_deg, guess.azimuth_deg)
    worse = (given - best) / (_WORSE_SHARE * best + _WORSE)
    found = []
    is_flat = used.tilt_deg < _FLAT_DEG
    if is_turned and worse > (1.0 if is_flat else _WORSE_TURNED):
        faces = "lie almost flat, not to face" if is_flat else f"face {used.azimuth_deg:.0f}°, not"
        found.append(
            f"the modules seem to {faces} {guess.azimuth_deg:.0f}° as configured: check "
            f"azimuth_deg (clockwise from north)"
        )
    if is_tilted and worse > (1.0 if steeper < 0 else _WORSE_STEEPER):
        found.append(
            f"the modules seem to be tilted by {used.tilt_deg:.0f}°, not {guess.tilt_deg:.0f}° as "
            f"configured: check tilt_deg"
        )
    return found


def _scale_fault(sizes: tuple[float, ...], record: PlantRecord, guess: PvGeometry) -> str:
    """What the history says against the rating; empty where it agrees.

    Args:
        sizes: Power at 1000 W/m² in the planes that may be the true one, the used one first, as a
            share of the rating; the least counts against too much.
        record: Of the power.
        guess: As configured.
    """
    power_pu = record.available_kw[record.available_kw > 0] / guess.rated_kw
    held = power_pu > _HELD
    is_limited = held.mean() > _HELD_SHARE and float(np.quantile(power_pu, 0.999)) <= _ABOVE
    low, high = _TOLD_SCALE[0], _TOLD_LIMITED if is_limited else _TOLD_SCALE[1]
    if low <= sizes[0] and min(sizes) <= high:
        return ""
    return (
        f"at 1000 W/m² the plant would give {sizes[0]:.2f} times its rating: check rated_kw, "
        f"and that power is in kW"
    )


def _told(geometry: PvGeometry) -> str:
    return (
        f"tilt {geometry.tilt_deg:.0f}°, azimuth {geometry.azimuth_deg:.0f}°, "
        f"scale {geometry.scale:.2f}"
    )


def _turn_deg(azimuth_deg: float, from_deg: float) -> float:
    """Turn from one direction to another, −180…180 [°]."""
    return (azimuth_deg - from_deg + 180.0) % 360.0 - 180.0
