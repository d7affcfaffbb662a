"""Run the trained artefact, without TensorFlow.

The stored parity vectors (input, and what Keras answered to it) are run each time a model is
loaded: an artefact that converts badly, or a runtime that computes something else, is refused
before it forecasts anything.
"""

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forecasting.clearsky import Floats
from forecasting.paper.features import FEATURES, LAG_DAYS
from models import Artefact

Float32s = NDArray[np.float32]

INPUT_SHAPE = (LAG_DAYS, len(FEATURES))

PARITY_TOLERANCE = 1e-5
"""Largest difference of Keras and LiteRT accepted, as a share of the rating [1].

Single precision and another order of summation differ by about 1e-7."""


class ParityFault(Exception):
    """A converted model does not answer what the trained one answered."""


class LiteModel:
    """A LiteRT model of features → shares of the rating. Safe to call from several threads."""

    def __init__(self, content: bytes, shape: tuple[int, ...] = INPUT_SHAPE) -> None:
        """Load a model.

        Args:
            content: The file.
            shape: Of the features of one sample.

        Raises:
            ValueError: `content` is no LiteRT model of the input shape wanted.
            RuntimeError: the runtime lacks an operation of the model.
        """
        # 0.3 s and only wanted by the LSTM rung.
        from ai_edge_litert.interpreter import Interpreter, OpResolverType  # noqa: PLC0415

        self._lock = threading.Lock()
        self._interpreter = Interpreter(
            model_content=content,
            num_threads=1,
            # The default delegate announces itself on standard error and saves nothing here.
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]["index"]
        found = tuple(int(n) for n in self._input["shape"][1:])
        if found != shape:
            raise ValueError(f"model input has shape {found}; expected {shape}")
        self._shape = shape
        self._batch = 0

    def __call__(self, x: Float32s) -> Float32s:
        """Shares of the rating for each sample.

        Args:
            x: Features, shape (sample, *shape).

        Returns:
            Shape (sample,), or (sample, output) when the model has more than one.
        """
        with self._lock:
            if len(x) != self._batch:
                self._interpreter.resize_tensor_input(self._input["index"], [len(x), *self._shape])
                self._interpreter.allocate_tensors()
                self._batch = len(x)
            self._interpreter.set_tensor(self._input["index"], x.astype(np.float32))
            self._interpreter.invoke()
            answer = np.asarray(self._interpreter.get_tensor(self._output)).reshape(len(x), -1)
            return answer[:, 0] if answer.shape[1] == 1 else answer


def check_parity(
    model: LiteModel, parity: Mapping[str, Any], shape: tuple[int, ...] = INPUT_SHAPE
) -> float:
    """Compare a model with the stored vectors.

    Args:
        model: The converted model.
        parity: `inputs` of shape (vector, *shape) and `outputs`, one row or number a vector, as
            Keras answered.
        shape: Of the features of one sample.

    Returns:
        Largest difference [1].

    Raises:
        ParityFault: it exceeds `PARITY_TOLERANCE`, an answer is not finite, or there are no
            vectors.
    """
    inputs = np.asarray(parity["inputs"], dtype=np.float32)
    outputs = np.asarray(parity["outputs"], dtype=np.float32)
    if not len(outputs) or inputs.shape != (len(outputs), *shape):
        wanted = ", ".join(map(str, ("n", *shape)))
        raise ParityFault(f"parity vectors have shape {inputs.shape}; expected ({wanted}), n ≥ 1")
    answers = model(inputs)
    if answers.shape != outputs.shape:
        raise ParityFault(f"the model answers {answers.shape}, the trained one {outputs.shape}")
    if not (np.isfinite(answers).all() and np.isfinite(outputs).all()):
        raise ParityFault("the converted or the trained model answers NaN or infinity")
    worst = float(np.abs(answers - outputs).max())
    if worst > PARITY_TOLERANCE:
        raise ParityFault(f"the converted model is off by {worst:.2g}; at most 1e-5 is accepted")
    return worst


def stored_parity(artefact: Artefact) -> Mapping[str, Any]:
    """The parity vectors of an artefact.

    Raises:
        ParityFault: it stores none.
    """
    parity = artefact.manifest.get("parity")
    if not isinstance(parity, Mapping) or not {"inputs", "outputs"} <= parity.keys():
        raise ParityFault(f"artefact '{artefact.id}' stores no parity vectors: train it again")
    return parity


class PaperLstm:
    """The published nine-feature model, from an artefact."""

    def __init__(self, artefact: Artefact) -> None:
        """Load and check an artefact.

        Raises:
            ParityFault: the runtime does not answer what Keras answered.
            ValueError: the artefact holds no usable model or parity vectors.
            RuntimeError: the runtime lacks an operation of the model.
        """
        self.model = LiteModel(artefact.content)
        self.parity_error = check_parity(self.model, stored_parity(artefact))

    def predict_kw(self, x: Float32s, clear_kw: Floats, rated_kw: float) -> Floats:
        """Forecast power.

        Args:
            x: Features, shape (sample, 5, 5) [1].
            clear_kw: Clear-sky power of the target intervals, shape (sample,) [kW].
            rated_kw: Rating of the plant [kW].

        Returns:
            Shape (sample,), within [0, rated]; 0 where the clear sky gives nothing; NaN where
            a feature is [kW].
        """
        return power_from_share_kw(self.model(x), clear_kw, rated_kw)


def power_from_share_kw(share: Float32s, clear_kw: Floats, rated_kw: float) -> Floats:
    """A model's answer as power: within [0, rated], and 0 where the clear sky gives nothing.

    Args:
        share: Answer of the model, shape (sample,) [1].
        clear_kw: Clear-sky power of the target intervals, shape (sample,) [kW].
        rated_kw: Rating of the plant [kW].
    """
    bounded = np.clip(share.astype(np.float64), 0.0, 1.0)
    return np.where(clear_kw > 0.0, bounded * rated_kw, 0.0)
