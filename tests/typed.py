"""A program in a process of its own, as one typed at a terminal starts, and interrupted there."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

AS_TYPED = ("env", "--default-signal=INT,HUP")
"""What the tests were started by may ignore these: a shell in the background does, and nohup."""
PATIENCE_S = 60.0
"""Longest wait for what takes seconds [s]."""
ANNOUNCED = """
import importlib, sys
module, name = sys.argv.pop(1).split(":")
there = importlib.import_module(module)
work = getattr(there, name)
def announced(*args, **options):
    print("at work", file=sys.stderr, flush=True)
    return work(*args, **options)
setattr(there, name, announced)
from ems.cli import main
main(prog_name="geems")
"""
"""The command line, which says that it is at work when it begins with a function."""


@contextmanager
def typed(
    cwd: Path, *arguments: str, before: Sequence[str] = (), **environ: str
) -> Iterator[subprocess.Popen[str]]:
    """Python with these arguments, killed at the end if it has not ended.

    Args:
        cwd: where it runs.
        arguments: of the interpreter.
        before: what starts it, `nohup` for one.
        environ: variables that differ from those of the tests.
    """
    process = subprocess.Popen(
        [*AS_TYPED, *before, sys.executable, *arguments],
        cwd=cwd, env={**os.environ, **environ},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def interrupted(
    process: subprocess.Popen[str], *, after: str, number: signal.Signals = signal.SIGINT
) -> tuple[str, str]:
    """Interrupt it once a line on standard error holds `after`; the rest that it tells."""
    assert process.stderr is not None
    assert any(after in line for line in process.stderr), "it ended by itself"
    process.send_signal(number)
    return process.communicate(timeout=PATIENCE_S)
