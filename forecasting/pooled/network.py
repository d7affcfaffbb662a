"""The pooled network in Keras. Training only; TensorFlow comes in with the library handed in."""

from typing import Any

import numpy as np

from forecasting.clearsky import Floats
from forecasting.pooled.features import LAG_FEATURES, TARGET_FEATURES, WIDTH, Float32s
from forecasting.pooled.observed import LAGS
from forecasting.record import LEVELS

UNITS = 32
DENSE = (48, 32)

_STEPS = LAGS * len(LAG_FEATURES)
_MIDDLE = LEVELS.index(0.5)

# Bring the squared error and the pinball loss of a share to the same size: a usual error is
# 0.07 of the rating, its square 0.005, its pinball loss 0.015.
_MSE_WEIGHT = 40.0
_PINBALL_WEIGHT = 15.0

# softplus(-3) = 0.05: quantiles start as far apart as they are on a changeable day.
_START = 3.0

# A feature that never moves in training must not be blown up when it does in service.
_LEAST_SPREAD = 0.02


def spread(x: Float32s) -> Floats:
    """What each feature is divided by, the same for all steps, shape (`WIDTH`,) [1]."""
    # Not in single precision: half a million rows are summed.
    found: Floats = np.std(x, axis=0, dtype=np.float64)
    steps = found[:_STEPS].reshape(LAGS, -1).max(axis=0)
    whole = np.concatenate([np.tile(steps, LAGS), found[_STEPS:]])
    return np.asarray(np.maximum(whole, _LEAST_SPREAD))


def build(keras: Any, scales: Floats) -> Any:
    """The network, untrained: it answers about fading persistence.

    An LSTM over the steps, then dense layers that also see the target. They answer by how much
    mean and median are off fading persistence, and how far apart the quantiles are; these steps
    are positive, so quantiles cannot cross.

    Args:
        keras: The library.
        scales: As of `spread`.
    """
    ops, layers = keras.ops, keras.layers
    inputs = keras.Input(shape=(WIDTH,), name="x")
    scaled = layers.Rescaling(scale=(1.0 / scales).tolist())(inputs)
    steps = layers.Reshape((LAGS, len(LAG_FEATURES)))(scaled[:, :_STEPS])
    # unroll: the steps as plain operations, which every LiteRT runtime has.
    hidden = layers.LSTM(UNITS, unroll=True)(steps)
    hidden = layers.Concatenate()([hidden, scaled[:, _STEPS:], steps[:, -1]])
    for width in DENSE:
        hidden = layers.Dense(width, activation="swish")(hidden)
    small = keras.initializers.RandomNormal(stddev=1e-3)
    raw = layers.Dense(1 + len(LEVELS), kernel_initializer=small)(hidden)
    base, step = (
        inputs[:, _STEPS + TARGET_FEATURES.index(name)][:, None] for name in ("base", "step")
    )
    return keras.Model(inputs, base + step * _changes(ops, raw))


def _changes(ops: Any, raw: Any) -> Any:
    """Mean and quantiles as differences from fading persistence, shape (sample, 1 + level)."""
    mean, median = raw[:, 0:1], raw[:, 1:2]
    apart = ops.softplus(raw[:, 2:] - _START)
    below, above = [median], [median]
    for i in range(_MIDDLE):
        below.append(below[-1] - apart[:, i : i + 1])
    for i in range(_MIDDLE, len(LEVELS) - 1):
        above.append(above[-1] + apart[:, i : i + 1])
    return ops.concatenate([mean, *below[:0:-1], *above], axis=1)


def together(keras: Any, members: list[Any]) -> Any:
    """One network that answers the mean of several."""
    if len(members) == 1:
        return members[0]
    inputs = keras.Input(shape=(WIDTH,), name="x")
    return keras.Model(inputs, keras.layers.Average()([m(inputs) for m in members]))


def loss(keras: Any) -> Any:
    """Squared error of the mean and pinball loss of the quantiles, in shares of the rating.

    In power and not in the clear-sky index: an error at noon weighs what it costs.
    """
    ops = keras.ops
    levels = np.asarray(LEVELS, dtype=np.float32)

    def total(truth: Any, answer: Any) -> Any:
        error = truth - answer
        missed = error[:, 1:]
        pinball = ops.mean(ops.maximum(levels * missed, (levels - 1.0) * missed), axis=1)
        return _MSE_WEIGHT * ops.square(error[:, 0]) + _PINBALL_WEIGHT * pinball

    return total
