"""Training in a process of its own.

TensorFlow and the OpenDSS engine do not share a process: once a model was trained in it, the
next load flow from another thread ends it by a segmentation fault. So nobody has to know, the
training always runs in a child, which also gives its 600 MB back at the end.
"""

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from forecasting.features import Samples
from forecasting.lstm import Exported, Fitted, Progress, TrainingFault, export, fit
from forecasting.runtime import Float32s


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be trained."""

    training: Sequence[Samples]
    validation: Sequence[Samples]
    examples: Float32s
    """Inputs that the export is proved on, shape (sample, 5, 5)."""
    seed: int
    epochs: int


def fit_and_export(task: Task, progress: Progress) -> tuple[Fitted, Exported]:
    """Fit and export in a child process; progress is called in this one.

    Raises:
        TrainingFault: TensorFlow is not installed, or the child died.
        ParityFault: the converted model answers otherwise than the trained one.
    """
    spawning = multiprocessing.get_context("spawn")  # a fork would bring the engine along
    receiving, sending = spawning.Pipe(duplex=False)
    child = spawning.Process(target=_work, args=(task, sending), name="geems-training")
    child.start()
    sending.close()
    try:
        while True:
            message = receiving.recv()
            if isinstance(message, Exception):
                raise message
            if isinstance(message[0], Fitted):
                fitted, exported = message
                return fitted, exported
            progress(*message)
    except EOFError as fault:
        child.join()
        raise TrainingFault(
            f"the training process ended with code {child.exitcode} and no result; "
            f"is there enough memory (about 1 GB)?"
        ) from fault
    finally:
        receiving.close()
        child.join()


def _work(task: Task, to_parent: Connection) -> None:
    """The child: sends epochs, then the result or the fault."""
    try:
        fitted = fit(
            task.training,
            task.validation,
            seed=task.seed,
            epochs=task.epochs,
            progress=lambda epoch, epochs, rmse: to_parent.send((epoch, epochs, rmse)),
        )
        exported = export(fitted.model, task.examples)
        to_parent.send((fitted.told(), exported))
    except Exception as fault:  # noqa: BLE001 - raised again in the parent
        to_parent.send(fault)
