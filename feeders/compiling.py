"""One way to bring a file to the engine, the same in this process and in the probe."""

from pathlib import Path
from typing import Any

import opendssdirect as odd

SOLVE_TOLERANCE = 1e-11
"""Convergence of the engine's fixed point [pu]; its default of 1e-4 is too coarse to
difference two solutions."""

EngineError = odd.DSSException
"""What the engine raises."""


def new_context() -> Any:
    """A context of the engine that opens no editor and no shell, and changes no directory."""
    context = odd.NewContext()
    context.Basic.AllowEditor(False)
    context.Basic.AllowDOScmd(False)
    context.Basic.AllowChangeDir(False)
    return context


def compile_file(context: Any, path: Path) -> bool:
    """Execute a feeder file; False where it defines no circuit.

    Raises:
        EngineError: the file does not compile.
    """
    context.Text.Command(f'Compile "{path}"')
    return int(context.Basic.NumCircuits()) > 0


def freeze_controls(context: Any) -> None:
    """Snapshot load flows from here on, taps and capacitors as the file leaves them.

    Raises:
        EngineError: the engine refuses.
    """
    context.Text.Command("Set Mode=Snapshot ControlMode=OFF")
    context.Text.Command(f"Set Tolerance={SOLVE_TOLERANCE:g}")
    context.Text.Command("Set MaxIterations=100")


def command_names() -> tuple[str, ...]:
    """Every command the engine knows, lower case."""
    names = odd.Executive
    return tuple(names.Command(i).lower() for i in range(1, names.NumCommands() + 1))


def option_names() -> tuple[str, ...]:
    """Every option of `Set` the engine knows, lower case."""
    names = odd.Executive
    return tuple(names.Option(i).lower() for i in range(1, names.NumOptions() + 1))
