"""`geems demo` ends in order when it is interrupted, whenever that is."""

import json
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.typed import ANNOUNCED, interrupted, typed


@contextmanager
def demo(
    cwd: Path, *arguments: str, before: Sequence[str] = (), **environ: str
) -> Iterator[subprocess.Popen[str]]:
    command = ("-m", "ems.cli", "demo", *arguments)
    with typed(cwd, *command, before=before, **environ) as process:
        yield process


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    ("arguments", "after", "code"),
    [
        (("--port", "0"), "the page: http://127.0.0.1:", 0),
        (("--cycles", "90", "--speed", "max"), "1/90", 130),
    ],
)
def test_nothing_of_it_is_left_whatever_signal_ends_it(
    tmp_path: Path, number: signal.Signals, arguments: tuple[str, ...], after: str, code: int
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with demo(tmp_path, *arguments, TMPDIR=str(scratch)) as process:
        _, said = interrupted(process, after=after, number=number)
        assert process.returncode == code
    assert said.splitlines()[-1].endswith("the demo has ended, and nothing of it is left")
    assert list(scratch.glob("geems-demo-*")) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("--port", "0"), 0), (("--cycles", "2", "--speed", "max"), 130)],
)
def test_nothing_is_left_of_a_demo_that_is_ended_while_it_starts(
    tmp_path: Path, number: signal.Signals, arguments: tuple[str, ...], code: int
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = ("-c", ANNOUNCED, "ems.demo.link:open_site", "demo", *arguments)
    with typed(tmp_path, *command, TMPDIR=str(scratch)) as process:
        _, said = interrupted(process, after="at work", number=number)
        assert process.returncode == code
    assert said.splitlines()[-1].endswith("the demo has ended, and nothing of it is left")
    assert "Traceback" not in said
    assert list(scratch.glob("geems-demo-*")) == []


def test_a_demo_started_with_nohup_outlives_its_terminal(tmp_path: Path) -> None:
    arguments = ("--cycles", "2", "--speed", "max", "--json")
    with demo(tmp_path, *arguments, before=["nohup"]) as process:
        told, said = interrupted(process, after="1/2", number=signal.SIGHUP)
    assert "interrupted" not in said
    assert len(json.loads(told)["cycles"]) == 2
