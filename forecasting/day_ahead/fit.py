"""Train the blend of the day ahead: least squares for the mean, pinball loss for the quantiles.

Everything is fitted in terms of power, so an error at noon counts as much as it costs, and an
index at sunset, which is mostly noise, next to nothing. Each plant counts alike, however long its
record. Nothing here is random: the same data give the same weights.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from forecasting.clearsky import Floats, PvGeometry
from forecasting.day_ahead.blend import Blend, between
from forecasting.day_ahead.features import (
    DAY,
    FEATURES,
    SPREAD_FEATURES,
    Features,
    Ints,
    Timeline,
    timeline,
)
from forecasting.record import LEVELS, PlantRecord
from forecasting.series import INTERVAL
from forecasting.sky import LOW_SUN_SHARE

KNOTS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 28.0, 48.0, 72.0, 95.0)
"""Horizons the weights lie at [intervals]: they change fast in the first two hours."""
SPREAD_KNOTS = (0.0, 2.0, 8.0, 24.0, 95.0)
"""Horizons the weights of the quantiles lie at [intervals]."""

# Every fifth interval issues: 96 is no multiple of 5, so all times of day come up.
STEP = 5
_CHUNK = 500  # issues whose features are held at a time: 5 MB each hundred

# Ridge on the weights, as a share of the mean diagonal of the normal equations: enough that
# features that move together share their weight.
_RIDGE = 1e-4

# Rows of one plant the quantiles are fitted on: 45 weights need no more. Error below which the
# pinball loss is rounded off [share of the rating], steps after which nothing moves any more, and
# a pull towards "the mean" in the units of the loss that decides only where the data do not.
_ROWS = 12_000
_ROUNDED = 2e-3
_TOUCHES = 40
_SPREAD_RIDGE = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One plant to learn from."""

    record: PlantRecord
    geometry: PvGeometry


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunk:
    """Some issues of one plant; arrays of shape (issue, interval) and a last axis of features."""

    features: Features
    issues: Ints
    mean_features: Floats
    clear: Floats
    power: Floats
    """Measured; NaN where nothing is to be learnt [1]."""


def fit(lessons: Sequence[Lesson]) -> Blend:
    """A blend fitted on all lessons, each of which counts alike.

    Raises:
        ValueError: a lesson is shorter than two days, or none of it is measured.
    """
    chunks = [list(_chunks(lesson)) for lesson in lessons]
    mean = _fit_mean(chunks)
    start = Blend(
        knots=KNOTS,
        mean=mean,
        lasting=np.linspace(1.0, 0.0, len(KNOTS)),
        spread_knots=SPREAD_KNOTS,
        spread=np.zeros((len(LEVELS), len(SPREAD_KNOTS), len(SPREAD_FEATURES))),
    )
    return Blend(
        knots=KNOTS,
        mean=mean,
        lasting=_fit_lasting(chunks, start),
        spread_knots=SPREAD_KNOTS,
        spread=_fit_spread(chunks, start),
    )


def _chunks(lesson: Lesson) -> Iterator[_Chunk]:
    starts = lesson.record.starts
    if len(starts) < 2 * DAY or not np.isfinite(lesson.record.available_kw).any():
        raise ValueError("a record to learn from needs two days, and something measured in them")
    line = timeline_of_all(lesson)
    features = Features(line)
    for first in range(0, len(line.issues), STEP * _CHUNK):
        issues = line.issues[first : first + STEP * _CHUNK : STEP]
        at = issues[:, None] + np.arange(DAY)
        power = np.where(line.daylight[at], line.power[at], np.nan)
        yield _Chunk(
            features=features,
            issues=issues,
            mean_features=features.mean(issues).astype(np.float32),
            clear=line.clear[at],
            power=power,
        )


def timeline_of_all(lesson: Lesson) -> Timeline:
    """A record from its first issue to the last whose whole day is known."""
    starts = lesson.record.starts
    last = starts[-1] - (DAY - 1) * INTERVAL
    return timeline(lesson.record, lesson.geometry, pd.Timestamp(starts[0]), pd.Timestamp(last))


def _fit_mean(chunks: Sequence[Sequence[_Chunk]]) -> Floats:
    """Weights of the mean by ridge regression of power, shape (knot, feature)."""
    share = between(KNOTS)
    size = len(KNOTS) * len(FEATURES)
    left, right = np.zeros((size, size)), np.zeros(size)
    for plant in chunks:
        count = sum(int(np.isfinite(c.power).sum()) for c in plant)
        for chunk in plant:
            for h in range(DAY):
                known = np.isfinite(chunk.power[:, h])
                x = chunk.mean_features[known, h] * chunk.clear[known, h, None]
                y = chunk.power[known, h]
                left += np.kron(np.outer(share[h], share[h]), x.T @ x) / count
                right += np.kron(share[h], y @ x) / count
    ridge = _RIDGE * np.trace(left) / size
    found = np.linalg.solve(left + ridge * np.eye(size), right)
    return np.asarray(found).reshape(len(KNOTS), len(FEATURES))


def _fit_lasting(chunks: Sequence[Sequence[_Chunk]], blend: Blend) -> Floats:
    """Correlation of the errors of the index at each knot with that of the first interval."""
    over, under = np.zeros(DAY), np.zeros(DAY)
    for plant in chunks:
        for chunk in plant:
            sunny = np.isfinite(chunk.power) & (chunk.clear >= LOW_SUN_SHARE)
            index = chunk.power / np.maximum(chunk.clear, LOW_SUN_SHARE)
            error = np.where(sunny, index - blend.mean_index(chunk.features, chunk.issues), 0.0)
            weight = np.where(sunny, np.minimum(chunk.clear, chunk.clear[:, :1]), 0.0)
            weight *= sunny[:, :1]
            over += (weight * error * error[:, :1]).sum(axis=0)
            under += (weight * error[:, :1] ** 2).sum(axis=0)
    by_interval = np.where(under > 0.0, over / np.maximum(under, 1e-12), 0.0)
    # Nearest intervals only; and an error that turned round overnight would be chance.
    found = np.clip(np.interp(KNOTS, np.arange(DAY), by_interval), 0.0, 1.0)
    return np.minimum.accumulate(np.where(np.array(KNOTS) == 0.0, 1.0, found))


def _fit_spread(chunks: Sequence[Sequence[_Chunk]], blend: Blend) -> Floats:
    """Weights of the quantiles by pinball loss of power, shape (level, knot, feature)."""
    rows = [_spread_rows(plant, blend) for plant in chunks]
    x = np.concatenate([r[0] for r in rows])
    y = np.concatenate([r[1] for r in rows])
    weight = np.concatenate([np.full(len(r[1]), 1.0 / len(r[1])) for r in rows]) / len(rows)
    found = [_fit_level(level, x, y, weight) for level in LEVELS]
    return np.stack(found).reshape(len(LEVELS), len(SPREAD_KNOTS), len(SPREAD_FEATURES))


def _spread_rows(plant: Sequence[_Chunk], blend: Blend) -> tuple[Floats, Floats]:
    """Features times clear sky at the knots, shape (row, knot · feature), and powers (row,)."""
    share = between(SPREAD_KNOTS)
    count = sum(int(np.isfinite(c.power).sum()) for c in plant)
    every = max(count // _ROWS, 1)
    found = []
    for chunk in plant:
        mean = blend.mean_index(chunk.features, chunk.issues)
        spread = chunk.features.spread(chunk.issues, mean)
        at = np.flatnonzero(np.isfinite(chunk.power).ravel())[::every]
        x = spread.reshape(-1, len(SPREAD_FEATURES))[at] * chunk.clear.ravel()[at, None]
        x = (share[at % DAY][:, :, None] * x[:, None, :]).reshape(len(at), -1)
        found.append((x, chunk.power.ravel()[at]))
    return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])


def _fit_level(level: float, x: Floats, y: Floats, weight: Floats) -> Floats:
    """Weights of one quantile, by a quadratic above the pinball loss that touches it, again.

    Source: Hunter and Lange (2000), DOI 10.1080/10618600.2000.10474866.
    """
    start = np.zeros((len(SPREAD_KNOTS), len(SPREAD_FEATURES)))
    start[:, SPREAD_FEATURES.index("mean")] = 1.0
    first = start.ravel()
    ridge = _SPREAD_RIDGE * np.eye(len(first))
    found: Floats = first
    for _ in range(_TOUCHES):
        curved = weight / (_ROUNDED + np.abs(y - x @ found))
        scaled = x * curved[:, None]
        left = scaled.T @ x + ridge
        right = scaled.T @ y + (2.0 * level - 1.0) * (weight @ x) + ridge @ first
        found = np.asarray(np.linalg.solve(left, right))
    return found
