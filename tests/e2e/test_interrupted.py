"""Ctrl-C ends any command with one line and code 130, whatever it is at."""

import json
import re
import signal
import socket
from pathlib import Path

import pytest

from ems.cli import main
from ems.settings import TEMPLATE
from tests.typed import ANNOUNCED, PATIENCE_S, interrupted, typed


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
    with typed(tmp_path, "-c", ANNOUNCED, work, *command) as process:
        _, said = interrupted(process, after="at work")
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
        with typed(tmp_path, "-m", "ems.cli", "run", "--once", "--json") as process:
            silent.settimeout(PATIENCE_S)
            device, _ = silent.accept()
            with device:
                process.send_signal(signal.SIGINT)
                told, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    sentence = "interrupted; devices may hold what was written until their reversion timers end"
    assert said.splitlines()[-1] == sentence
    assert "Aborted" not in said
    assert "Traceback" not in said
    assert json.loads(told) == {"ok": False, "faults": [{"place": "", "problem": sentence}]}


def test_the_help_names_the_code() -> None:
    assert "130 interrupted" in str(main.help)
