"""Training in a process of its own.

TensorFlow and the OpenDSS engine do not share a process: once a model was trained in it, the
next load flow from another thread ends it by a segmentation fault. So nobody has to know, the
training always runs in a child, which also gives its 600 MB back at the end.
"""

import contextlib
import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from forecasting.paper.features import Samples
from forecasting.paper.lstm import Exported, Fitted, Progress, TrainingFault, export, fit
from forecasting.runtime import Float32s

T = TypeVar("T")
R = TypeVar("R")

Tell = Callable[[Any], None]
"""Sends a message to the parent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be trained."""

    training: Sequence[Samples]
    validation: Sequence[Samples]
    examples: Float32s
    """Inputs that the export is proved on, shape (sample, 5, 5)."""
    seed: int
    epochs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """The last message of a child."""

    result: Any


def in_child(work: Callable[[T, Tell], R], task: T, told: Callable[[Any], None]) -> R:
    """Do some training in a child process.

    Args:
        work: A function of a module, as the child imports it by name.
        task: Its first argument.
        told: Called here with whatever the work tells while it goes on.

    Returns:
        What the work returned.

    Raises:
        TrainingFault: the child died.
        Exception: whatever the work raised.
    """
    spawning = multiprocessing.get_context("spawn")  # a fork would bring the engine along
    receiving, sending = spawning.Pipe(duplex=False)
    child = spawning.Process(target=_child, args=(work, task, sending), name="geems-training")
    child.start()
    sending.close()
    try:
        while True:
            message = receiving.recv()
            if isinstance(message, Exception):
                raise message
            if isinstance(message, _Done):
                result: R = message.result
                return result
            told(message)
    except EOFError as fault:
        child.join()
        raise TrainingFault(
            f"the training process ended with code {child.exitcode} and no result; "
            f"is there enough memory (about 3 GB)?"
        ) from fault
    finally:
        receiving.close()
        child.join()


def _child(work: Callable[[T, Tell], R], task: T, to_parent: Connection) -> None:
    """The child: sends what is told, then the result or the fault."""
    try:
        to_parent.send(_Done(result=work(task, to_parent.send)))
    except KeyboardInterrupt:
        # Ctrl-C reaches both; the parent tells it.
        return
    except Exception as fault:  # noqa: BLE001 - raised again in the parent
        # A parent that was broken off listens no more.
        with contextlib.suppress(OSError):
            to_parent.send(fault)


def fit_and_export(task: Task, progress: Progress) -> tuple[Fitted, Exported]:
    """Fit and export the published model in a child process; progress is called in this one.

    Raises:
        TrainingFault: TensorFlow is not installed, or the child died.
        ParityFault: the converted model answers otherwise than the trained one.
    """
    return in_child(_published, task, lambda epoch: progress(*epoch))


def _published(task: Task, tell: Tell) -> tuple[Fitted, Exported]:
    fitted = fit(
        task.training,
        task.validation,
        seed=task.seed,
        epochs=task.epochs,
        progress=lambda epoch, epochs, rmse: tell((epoch, epochs, rmse)),
    )
    return fitted.told(), export(fitted.model, task.examples)
