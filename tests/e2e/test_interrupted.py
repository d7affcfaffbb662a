"""Ctrl-C ends any command with one line and code 130, whatever it is at."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ems.cli import main
from ems.settings import TEMPLATE

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
"""The command line, which says when it begins with a function."""


@contextmanager
def started(cwd: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*AS_TYPED, sys.executable, *arguments],
        cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def interrupted(process: subprocess.Popen[str]) -> tuple[str, str]:
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=PATIENCE_S)


@pytest.mark.parametrize(
    ("work", "command"),
    [
        ("ems.reproduce:reproduce", ("reproduce",)),
        ("ems.coordinate:coordinate", ("coordinate",)),
        ("ems.assembly:open_site", ("run", "--once", "advisory.toml")),
    ],
)
def test_an_interrupt_is_one_line_and_code_130(
    tmp_path: Path, work: str, command: tuple[str, ...]
) -> None:
    text = TEMPLATE.read_text()
    (tmp_path / "site.toml").write_text(text)
    advisory = re.sub(r"(?m)^\[control\]$", '[control]\nmode = "advisory"', text)
    assert advisory != text
    (tmp_path / "advisory.toml").write_text(advisory)
    with started(tmp_path, "-c", ANNOUNCED, work, *command) as process:
        assert process.stderr is not None
        assert "at work\n" in process.stderr, "it ended by itself"
        _, said = interrupted(process)
    assert process.returncode == 130
    # A library that it falls into may log a line of its own before.
    assert said.splitlines()[-1] == "interrupted"
    assert "Aborted" not in said
    assert "Traceback" not in said


def test_an_interrupted_cycle_says_what_devices_may_hold(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        text = re.sub(r"port = 502\d", f"port = {port}", TEMPLATE.read_text(), count=1)
        (tmp_path / "site.toml").write_text(re.sub(r"port = 502(\d)", r"port = \1", text))
        with started(tmp_path, "-m", "ems.cli", "run", "--once", "--json") as process:
            silent.settimeout(PATIENCE_S)
            device, _ = silent.accept()
            with device:
                told, said = interrupted(process)
    assert process.returncode == 130
    sentence = "interrupted; devices may hold what was written until their reversion timers end"
    assert said.splitlines()[-1] == sentence
    assert "Aborted" not in said
    assert "Traceback" not in said
    assert json.loads(told) == {"ok": False, "faults": [{"place": "", "problem": sentence}]}


def test_the_help_names_the_code() -> None:
    assert "130 interrupted" in str(main.help)
