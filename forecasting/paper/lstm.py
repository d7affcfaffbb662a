"""The published model in Keras: building, fitting, and export to LiteRT.

Training only: TensorFlow takes 10 s and 600 MB to import, so it is imported inside functions
and the running service never calls them. Install it with the extra `train`.
"""

import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from forecasting.paper.features import Samples
from forecasting.runtime import INPUT_SHAPE, Float32s, LiteModel, check_parity

Progress = Callable[[int, int, float], None]
"""Called after each epoch with its number from 1, the most there will be, and the RMSE on the
validation part as a share of the rating."""

_UNITS = 32
_BATCH = 256
_LEARNING_RATE = 2e-3
_PATIENCE = 5
_PARITY_VECTORS = 32


class TrainingFault(Exception):
    """A model cannot be trained: no TensorFlow, no source, or nowhere to write it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A trained Keras model."""

    model: Any
    """None outside the process it was trained in."""
    epochs: int
    """Epochs run; the weights are those of the best."""
    validation_rmse: float
    """Of the best epoch, as a share of the rating [1]."""
    parameters: int
    versions: dict[str, str]
    """Of TensorFlow and Keras."""

    def told(self) -> "Fitted":
        """All but the model, which cannot leave the process it was trained in."""
        return replace(self, model=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A LiteRT model that answers as Keras did."""

    content: bytes
    parity: dict[str, list[Any]]
    """`inputs` and `outputs`, see `runtime.check_parity`."""
    parity_error: float
    """Largest difference found [1]."""


def fit(
    training: Sequence[Samples],
    validation: Sequence[Samples],
    *,
    seed: int,
    epochs: int,
    progress: Progress,
) -> Fitted:
    """Fit one LSTM to the samples of all sites; stops when the validation gets no better.

    The same seed on the same machine and versions gives the same artefact, byte for byte.

    Raises:
        TrainingFault: TensorFlow is not installed.
    """
    keras, versions = load_keras()
    # Layers are numbered per process, and their names end up in the artefact's checksum.
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = _build(keras)
    stop = keras.callbacks.EarlyStopping(
        monitor="val_loss", patience=_PATIENCE, restore_best_weights=True
    )
    report = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: progress(epoch + 1, epochs, float(logs["val_loss"] ** 0.5))
    )
    history = model.fit(
        np.concatenate([s.x for s in training]),
        np.concatenate([s.y for s in training]),
        validation_data=(
            np.concatenate([s.x for s in validation]),
            np.concatenate([s.y for s in validation]),
        ),
        batch_size=_BATCH,
        epochs=epochs,
        callbacks=[stop, report],
        verbose=0,
    )
    losses = history.history["val_loss"]
    return Fitted(
        model=model,
        epochs=len(losses),
        validation_rmse=float(min(losses) ** 0.5),
        parameters=int(model.count_params()),
        versions=versions,
    )


def export(model: Any, examples: Float32s, *, vectors: int = _PARITY_VECTORS) -> Exported:
    """Convert a Keras model to LiteRT and prove that both answer alike.

    Args:
        model: The trained Keras model.
        examples: Real inputs, shape (sample, *features); some spread over them become parity
            vectors.
        vectors: How many.

    Raises:
        ParityFault: the converted model answers otherwise, or NaN.
    """
    import tensorflow as tf  # noqa: PLC0415  training only, see above

    # from_concrete_functions silently gives a model that answers NaN on Keras 3.
    # The converter prints a page; what is wrong with the result, the parity gate tells.
    with contextlib.redirect_stdout(io.StringIO()), _silenced():
        content = bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    picked = np.linspace(0, len(examples) - 1, min(vectors, len(examples))).astype(int)
    # Rounded first, so that what is stored is exactly what Keras was asked.
    inputs = np.round(examples[picked].astype(np.float64), 6)
    outputs = np.asarray(model(inputs.astype(np.float32), training=False), dtype=np.float64)
    if outputs.shape[1] == 1:
        outputs = outputs[:, 0]
    parity = {"inputs": inputs.tolist(), "outputs": outputs.tolist()}
    shape = inputs.shape[1:]
    error = check_parity(LiteModel(content, shape), parity, shape)
    return Exported(content=content, parity=parity, parity_error=error)


def _build(keras: Any) -> Any:
    inputs = keras.Input(shape=INPUT_SHAPE)
    # unroll: five steps as plain operations, which every LiteRT runtime has.
    hidden = keras.layers.LSTM(_UNITS, unroll=True)(inputs)
    hidden = keras.layers.Dense(16, activation="relu")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(1)(hidden))
    model.compile(optimizer=keras.optimizers.Adam(_LEARNING_RATE), loss="mse")
    return model


def load_keras() -> tuple[Any, dict[str, str]]:
    """Keras on TensorFlow, and their versions."""
    # Read at import: silences start-up messages, which would stand in the command's output.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    try:
        with _silenced():
            import keras  # noqa: PLC0415  training only, see above
            import tensorflow as tf  # noqa: PLC0415  training only, see above
    except ImportError as fault:
        raise TrainingFault(
            f"training needs TensorFlow ({fault}); install it: pip install 'geems[train]'"
        ) from fault
    # Training after training in one process is traced anew each time, as it should be.
    tf.get_logger().setLevel(logging.ERROR)
    tf.config.experimental.enable_op_determinism()
    return keras, {"tensorflow": str(tf.__version__), "keras": str(keras.__version__)}


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Standard error of native code, which no setting silences, goes nowhere meanwhile."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)
