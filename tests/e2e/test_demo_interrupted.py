"""`geems demo` ends in order when it is interrupted, whenever that is."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE_S = 60.0
"""Longest wait for an end that takes seconds [s]."""


@contextmanager
def demo(cwd: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "ems.cli", "demo", *arguments],
        cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def interrupted(process: subprocess.Popen[str], after: str) -> tuple[str, str]:
    """Interrupt it once it has told something; the rest that it tells."""
    assert process.stderr is not None
    assert any(after in line for line in process.stderr), "it ended by itself"
    process.send_signal(signal.SIGINT)
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
