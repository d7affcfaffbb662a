"""`geems demo` ends in order when it is interrupted, whenever that is."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

AS_TYPED = ("env", "--default-signal=INT,HUP")
"""What the tests were started by may ignore these: a shell in the background does, and nohup."""
PATIENCE_S = 60.0
"""Longest wait for an end that takes seconds [s]."""


@contextmanager
def demo(
    cwd: Path, *arguments: str, before: Sequence[str] = (), **environ: str
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*AS_TYPED, *before, sys.executable, "-m", "ems.cli", "demo", *arguments],
        cwd=cwd, env={**os.environ, **environ},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def interrupted(
    process: subprocess.Popen[str], after: str, number: signal.Signals = signal.SIGINT
) -> tuple[str, str]:
    """Interrupt it once it has told something; the rest that it tells."""
    assert process.stderr is not None
    assert any(after in line for line in process.stderr), "it ended by itself"
    process.send_signal(number)
    return process.communicate(timeout=PATIENCE_S)


def test_the_served_demo_ends_with_a_sentence_and_code_0(tmp_path: Path) -> None:
    with demo(tmp_path, "--port", "0") as process:
        _, said = interrupted(process, after="the page: http://127.0.0.1:")
        assert process.returncode == 0
    assert said.splitlines()[-1] == "the demo has ended, and nothing of it is left"
    assert "Aborted" not in said
    assert "Traceback" not in said


def test_a_demo_that_is_not_played_to_its_end_says_so_with_code_130(tmp_path: Path) -> None:
    with demo(tmp_path, "--cycles", "90", "--speed", "max", "--json") as process:
        told, said = interrupted(process, after="1/90")
        assert process.returncode == 128 + signal.SIGINT
    sentence = (
        "interrupted before the last of 90 cycles; the demo has ended, and nothing of it is left"
    )
    assert said.splitlines()[-1] == sentence
    assert json.loads(told) == {"ok": False, "faults": [{"place": "", "problem": sentence}]}
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize(
    ("arguments", "after", "code"),
    [
        (("--port", "0"), "the page: http://127.0.0.1:", 0),
        (("--cycles", "90", "--speed", "max"), "1/90", 130),
    ],
)
def test_nothing_of_it_is_left_when_its_terminal_is_closed_either(
    tmp_path: Path, number: signal.Signals, arguments: tuple[str, ...], after: str, code: int
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with demo(tmp_path, *arguments, TMPDIR=str(scratch)) as process:
        _, said = interrupted(process, after, number)
        assert process.returncode == code
    assert said.splitlines()[-1].endswith("the demo has ended, and nothing of it is left")
    assert list(scratch.glob("geems-demo-*")) == []


def test_a_demo_started_with_nohup_outlives_its_terminal(tmp_path: Path) -> None:
    arguments = ("--cycles", "2", "--speed", "max", "--json")
    with demo(tmp_path, *arguments, before=["nohup"]) as process:
        told, said = interrupted(process, after="1/2", number=signal.SIGHUP)
    assert "interrupted" not in said
    assert len(json.loads(told)["cycles"]) == 2
