"""The plane of modules that explains a plant's clear intervals.

- `best_plane(clear) -> Plane`: tilt, azimuth and scale that explain most of them
- `refined(clear, plane) -> Plane`: the same, from a plane nearby, for other intervals
- `one_scale(clear, tilt_deg, azimuth_deg, *, warm) -> float`
- `unexplained(clear, plane, tilt_deg, azimuth_deg) -> (best, given)`: by whichever model suits
- `step_error_pu(clear, tilt_deg, azimuth_deg, scale) -> Floats`: what a plane costs from one
  interval to the next
"""

from dataclasses import dataclass, replace

import numpy as np

from forecasting.clearsky import Floats
from forecasting.data.clear_intervals import ClearIntervals

# Width of the redescending loss: an interval off by 3 % of the rating counts half. Clear-sky
# models are that far off from hour to hour; clouds are much further.
_WIDTH_PU = 0.03

# Above this share of the rating the inverter may be the limit, and power tells no scale.
_FREE_BELOW = 0.97

# Loss of power from 0 to 1000 W/m², beyond proportion: modules of −0.3 to −0.45 %/K warm by 25 to
# 35 K; the afternoon's warmer air and the inverter add to it.
_WARM_MAX = 0.2

# Clearer air than the climate's: 0.09·T of Ineichen's direct beam, per air mass, for a turbidity T
# of 3 that is lower by 0, 20 and 40 %.
_CLEARER = (0.0, 0.054, 0.108)

# What a plane must fail in before it is called wrong; air may be hazier than the climate's, too.
_ANY_AIR = (-0.054, *_CLEARER)

# Global irradiance gains about a third of that: what the beam gains, the diffuse partly loses.
_CLEARER_GLOBAL = 0.3

# The plain model unless it explains much worse: its one scale for all days is what is wanted, and
# the free ones can imitate a tilt. Irradiance turned into power gave ratios of 1.0 to 1.9, the
# real plant, warming by season, 2.1 to 2.8.
_MUCH_WORSE = 1.9

# A plant whose power hardly falls with warmth (−0.3 %/K and 27 K give this) has no use for the warm
# model, which then fits each day's haze instead.
_WARM_LEAST = 0.08

# Warm models within a tenth of the best explain as much; in winter their tilts lie 18° apart, and
# the one in the middle is taken.
_ALIKE = 1.1

# Of the scales of single days in the warm model: those of cool days, lest the index pass what is
# believed of an index all winter.
_COOL_LEVEL = 0.75

_ALBEDO = 0.25  # as `clearsky`

_SCALES = (0.2, 2.0)

# Cosine of 89°, below which Hay and Davies' ratio would run away, as in pvlib.
_HORIZON = 0.01745

# As smart persistence: near dark the index is not trusted, and clouds' edges bound it.
_FAINT_PU, _INDEX_MAX = 0.05, 1.2

_CUBE = np.array(np.meshgrid([-1, 0, 1], [-1, 0, 1], [-1, 0, 1])).reshape(3, -1).T.astype(float)
_STEPS = np.array([5.0, 8.0, 0.04])
_FINEST_DEG = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """A plane and a size, and how well they explain the clear intervals."""

    tilt_deg: float
    azimuth_deg: float
    scale: float
    """Power at 1000 W/m² in the plane as a share of the rating, all days alike [1]."""
    loss: float
    """About the share of the intervals left unexplained [1]."""
    warm: float | None = None
    """Loss of power at 1000 W/m² by warmth; None in the plain model [1]."""
    clearer: float = 0.0
    """Gain of the direct beam per air mass [1]."""
    open_deg: float = 0.0
    """Spread of the tilt over models that explain about as much [°]."""


def best_plane(clear: ClearIntervals) -> Plane:
    """The plane that explains most intervals; needs at least one interval."""
    plain = _search(clear, None, np.geomspace(0.3, 1.7, 16))
    warm = [_search(clear, c, np.array([0.0, 0.1, _WARM_MAX])) for c in _CLEARER]
    least = min(plane.loss for plane in warm)
    alike = sorted((p for p in warm if p.loss <= _ALIKE * least), key=lambda p: p.loss)
    if plain.loss <= _MUCH_WORSE * least or (alike[0].warm or 0.0) < _WARM_LEAST:
        return plain
    tilts = np.array([p.tilt_deg for p in alike])
    middle = int(np.abs(tilts - np.median(tilts)).argmin())  # of two, the better one
    return replace(alike[middle], open_deg=float(tilts.std()))


def refined(clear: ClearIntervals, plane: Plane) -> Plane:
    """The best plane in the neighbourhood of one, in the model it was found with."""
    third = plane.scale if plane.warm is None else plane.warm
    start = np.array([plane.tilt_deg, plane.azimuth_deg, third])
    return _descend(clear, None if plane.warm is None else plane.clearer, start)


def plane_pu(clear: ClearIntervals, tilt_deg: Floats, azimuth_deg: Floats) -> Floats:
    """Clear-sky irradiance in planes, 1 = 1000 W/m², shape (plane, interval)."""
    return _in_planes(clear, clear.direct_pu, clear.global_pu, tilt_deg, azimuth_deg)


def one_scale(clear: ClearIntervals, tilt_deg: float, azimuth_deg: float, *, warm: bool) -> float:
    """The scale of a plane: what explains most intervals, all days alike, or that of cool days.

    Args:
        clear: Intervals to explain.
        tilt_deg: Of the plane.
        azimuth_deg: Of the plane.
        warm: Whether the plant's power falls with warmth, so that days differ.
    """
    light = plane_pu(clear, np.array([tilt_deg]), np.array([azimuth_deg]))
    if warm:
        own = _own_scales(clear, light)[0]
        return float(np.quantile(own, _COOL_LEVEL))
    tried = np.geomspace(*_SCALES, 230)  # steps of 1 %
    off = clear.power_pu - np.minimum(tried[:, None] * light, 1.0)
    return float(tried[_loss(off, _WIDTH_PU).argmin()])


def unexplained(
    clear: ClearIntervals, plane: Plane, tilt_deg: float, azimuth_deg: float
) -> tuple[float, float]:
    """Loss of the best plane and of a given one, each in the model that suits it best.

    Warmth and air that a model does not know look like another tilt: a given plane is wrong only
    where neither explains what it leaves.

    Args:
        clear: Intervals to explain.
        plane: The best one found; each model looks in its neighbourhood, and in that of the other.
        tilt_deg: Of the given plane.
        azimuth_deg: Of the given plane.
    """
    best, given = [plane.loss], []
    for clearer in (None, *_ANY_AIR):
        third = np.linspace(*(_SCALES if clearer is None else (0.0, _WARM_MAX)), 46)
        own = np.column_stack([np.full((46, 2), (tilt_deg, azimuth_deg)), third])
        loss = _losses(clear, clearer, own, _WIDTH_PU)
        given.append(float(loss.min()))
        usual = plane.scale if clearer is None else _WARM_MAX / 2
        starts = np.array([plane.tilt_deg, plane.azimuth_deg, usual]), own[loss.argmin()]
        best.extend(_descend(clear, clearer, start).loss for start in starts)
    return min(best), min(given)


def step_error_pu(
    clear: ClearIntervals, tilt_deg: float, azimuth_deg: float, scale: float
) -> Floats:
    """Error of smart persistence between neighbouring clear intervals: what a plane costs.

    Returns:
        Share of the rating, one per pair of neighbours; nothing but the plane is to blame for it.
    """
    light = scale * plane_pu(clear, np.array([tilt_deg]), np.array([azimuth_deg]))[0]
    pair = np.flatnonzero(np.diff(clear.at) == 1)
    index = clear.power_pu[pair] / np.maximum(np.minimum(light[pair], 1.0), _FAINT_PU)
    expected = np.minimum(index, _INDEX_MAX) * np.minimum(light[pair + 1], 1.0)
    return np.asarray(np.minimum(expected, 1.0) - clear.power_pu[pair + 1])


def _in_planes(
    clear: ClearIntervals, direct: Floats, whole: Floats, tilt_deg: Floats, azimuth_deg: Floats
) -> Floats:
    """Hay and Davies, as `clearsky.plane_of_array_wm2`, for many planes at once."""
    tilt, azimuth = np.radians(tilt_deg), np.radians(azimuth_deg)
    normal = np.column_stack(
        [np.sin(tilt) * np.sin(azimuth), np.sin(tilt) * np.cos(azimuth), np.cos(tilt)]
    )
    up = np.maximum(clear.sun[2], _HORIZON)
    diffuse = np.maximum(whole - direct * clear.sun[2], 0.0)
    round_sun = direct / clear.outside_pu
    facing = np.maximum(normal @ clear.sun, 0.0)
    sky = (1 + np.cos(tilt))[:, None] / 2
    ground = _ALBEDO * (1 - np.cos(tilt))[:, None] / 2
    beam = direct + diffuse * round_sun / up
    return np.asarray(facing * beam + diffuse * (1 - round_sun) * sky + whole * ground)


def _loss(off_pu: Floats, width_pu: float) -> Floats:
    """Geman and McClure's loss, mean over the last axis: 0 explained … 1 far off."""
    square = (off_pu / width_pu) ** 2
    return np.asarray((square / (1.0 + square)).mean(axis=-1))


def _losses(clear: ClearIntervals, clearer: float | None, rows: Floats, width_pu: float) -> Floats:
    """Loss of each candidate.

    Args:
        clear: Intervals to explain.
        clearer: Gain of the direct beam per air mass; None: the plain model.
        rows: Tilt, azimuth, and the scale, or in the warm model the loss by warmth;
            shape (candidate, 3).
        width_pu: Width of the loss.
    """
    if clearer is None:
        light = plane_pu(clear, rows[:, 0], rows[:, 1])
        return _loss(clear.power_pu - np.minimum(rows[:, 2:] * light, 1.0), width_pu)
    gain = clearer * clear.airmass
    direct = np.minimum(clear.direct_pu * np.exp(gain), clear.outside_pu)
    whole = clear.global_pu * np.exp(_CLEARER_GLOBAL * gain)
    light = _in_planes(clear, direct, whole, rows[:, 0], rows[:, 1])
    shape = light * (1.0 - rows[:, 2:] * light)
    own = _own_scales(clear, shape)
    return _loss(clear.power_pu - np.minimum(own[:, clear.day] * shape, 1.0), width_pu)


def _own_scales(clear: ClearIntervals, shape: Floats) -> Floats:
    """Each day's own scale, by least squares over what the inverter did not limit.

    Args:
        clear: Intervals.
        shape: Power at scale 1, shape (candidate, interval).

    Returns:
        Shape (candidate, day).
    """
    free = shape * (clear.power_pu < _FREE_BELOW)
    first = np.flatnonzero(np.diff(clear.day, prepend=-1))
    both = np.add.reduceat(clear.power_pu * free, first, axis=1)
    return np.clip(both / np.maximum(np.add.reduceat(free**2, first, axis=1), 1e-9), *_SCALES)


def _search(clear: ClearIntervals, clearer: float | None, third: Floats) -> Plane:
    """The whole sky of planes, then the best one's neighbourhood."""
    tilt, azimuth, last = (
        x.ravel() for x in np.meshgrid(np.arange(0.0, 91, 10), np.arange(0.0, 360, 15), third)
    )
    rows = np.column_stack([tilt, azimuth, last])
    # The first look is coarse, so the loss is wide; in pieces, to stay in the cache.
    pieces = np.array_split(rows, 40)
    loss = np.concatenate([_losses(clear, clearer, r, 2 * _WIDTH_PU) for r in pieces])
    return _descend(clear, clearer, rows[loss.argmin()])


def _descend(clear: ClearIntervals, clearer: float | None, start: Floats) -> Plane:
    """Downhill by halving steps; the loss has kinks, so no gradients."""
    low = np.array([0.0, -np.inf, _SCALES[0] if clearer is None else 0.0])
    high = np.array([90.0, np.inf, _SCALES[1] if clearer is None else _WARM_MAX])
    best, step = start, _STEPS
    value = float(_losses(clear, clearer, best[None], _WIDTH_PU)[0])
    while step[0] > _FINEST_DEG:
        rows = np.clip(best + _CUBE * step, low, high)
        loss = _losses(clear, clearer, rows, _WIDTH_PU)
        least = int(loss.argmin())
        if loss[least] < value - 1e-6:  # else rounding could go round in circles
            best, value = rows[least], float(loss[least])
        else:
            step = step / 2
    tilt, azimuth = float(best[0]), float(best[1] % 360)
    return Plane(
        tilt_deg=tilt,
        azimuth_deg=azimuth,
        scale=float(best[2]) if clearer is None else one_scale(clear, tilt, azimuth, warm=True),
        loss=value,
        warm=None if clearer is None else float(best[2]),
        clearer=clearer or 0.0,
    )
