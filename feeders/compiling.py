"""One way to bring a file to the engine, the same in this process and in the probe."""

import os
from pathlib import Path
from typing import Any

from feeders.loading import engine as odd

SOLVE_TOLERANCE = 1e-9
"""Convergence of the engine's fixed point [pu]: its default of 1e-4 leaves errors of 1e-5 pu."""
ITERATIONS = 15
"""Iterations at a time; `feeders.solving` looks at the answer and asks for more."""

EngineError = odd.DSSException
"""What the engine raises."""


def new_context() -> Any:
    """A context of the engine that opens no editor and no shell, and changes no directory."""
    here = Path.cwd()
    context = odd.NewContext()
    # A new context takes the process back to the folder in which the engine was loaded.
    os.chdir(here)
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
    context.Text.Command(f"Set Tolerance={SOLVE_TOLERANCE:g} MaxIterations={ITERATIONS}")
    # A load's kW is what it draws.
    context.Text.Command("Set LoadMult=1 LoadModel=Powerflow Algorithm=Normal")


def command_names() -> tuple[str, ...]:
    """Every command the engine knows, lower case."""
    names = odd.Executive
    return tuple(names.Command(i).lower() for i in range(1, names.NumCommands() + 1))


def option_names() -> tuple[str, ...]:
    """Every option of `Set` the engine knows, lower case."""
    names = odd.Executive
    return tuple(names.Option(i).lower() for i in range(1, names.NumOptions() + 1))
