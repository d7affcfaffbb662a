"""Where a training stands, on disk after each epoch, so that it can be broken off and go on.

Plain arrays in `.npz` files without pickles: they hold numbers and cannot run code.
"""

import contextlib
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from forecasting.paper.lstm import TrainingFault


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One network after some epochs."""

    epoch: int
    """Epochs done."""
    losses: tuple[float, ...]
    """On the validation samples, one for each epoch."""
    errors: tuple[float, ...]
    """Root mean square errors likewise, as shares of the rating [1]."""
    variables: tuple[Any, ...]
    """Of the network."""
    optimizer: tuple[Any, ...]
    """Of the optimiser."""
    best: tuple[Any, ...]
    """Of the network after its best epoch."""


class Checkpoints:
    """The states of one training in a folder."""

    def __init__(self, folder: Path | None, task: dict[str, Any]) -> None:
        """Name the folder, made when the first state is kept.

        Args:
            folder: None: nothing is kept.
            task: Everything the result depends on; states of another task are not gone on with.
        """
        self._folder = folder
        text = json.dumps(task, sort_keys=True)
        self._key = hashlib.sha256(text.encode()).hexdigest()

    def keep(self, name: str, state: State) -> None:
        """Write a state; a break-off leaves the one before or this one, never half of it.

        Raises:
            TrainingFault: it cannot be written.
        """
        if self._folder is None:
            return
        try:
            self._write(self._folder, name, state)
        except OSError as fault:
            raise TrainingFault(
                f"{self._folder} cannot be written, where the training is kept: "
                f"{fault.strerror or fault}; mend that: the same command goes on"
            ) from fault

    def _write(self, folder: Path, name: str, state: State) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {
            f"{group}_{i:03d}": np.asarray(value)
            for group in ("variables", "optimizer", "best")
            for i, value in enumerate(getattr(state, group))
        }
        path = folder / f"{name}.npz"
        draft = path.with_suffix(".part")
        with draft.open("wb") as file:
            np.savez(
                file,
                key=np.array(self._key),
                losses=np.array(state.losses),
                errors=np.array(state.errors),
                **arrays,  # type: ignore[arg-type]
            )
        draft.replace(path)

    def last(self, name: str) -> State | None:
        """The state kept under a name; None when there is none of this task."""
        path = None if self._folder is None else self._folder / f"{name}.npz"
        if path is None or not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as kept:
                if str(kept["key"]) != self._key:
                    return None
                groups = {
                    group: tuple(kept[k] for k in sorted(kept) if k.startswith(f"{group}_"))
                    for group in ("variables", "optimizer", "best")
                }
                losses, errors = kept["losses"].tolist(), kept["errors"].tolist()
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None
        return State(epoch=len(losses), losses=tuple(losses), errors=tuple(errors), **groups)

    def drop(self) -> None:
        """Delete what was kept, as far as that can be done: the artefact is there."""
        if self._folder is None or not self._folder.is_dir():
            return
        with contextlib.suppress(OSError):
            for pattern in ("*.npz", "*.part"):
                for path in self._folder.glob(pattern):
                    path.unlink()
            if not any(self._folder.iterdir()):
                self._folder.rmdir()
