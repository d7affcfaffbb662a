"""A database is saved while its service runs, and comes back once that has ended."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ems.settings import TEMPLATE
from ems.store import examine
from tests.typed import PATIENCE_S, typed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A site whose devices are not there: a service of it runs and records all the same."""
    text = re.sub(r"port = 502(\d)", r"port = 1\1", TEMPLATE.read_text())
    (tmp_path / "site.toml").write_text(text.replace("port = 8080", "port = 0"))
    return tmp_path


def geems(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "ems.cli", *arguments, "--json"],
        cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout)


def test_a_service_is_backed_up_while_it_runs_and_restored_when_it_has_ended(folder: Path) -> None:
    with typed(folder, "-m", "ems.cli", "serve") as process:
        assert process.stderr is not None
        assert any("degraded" in line for line in process.stderr)  # a cycle is recorded
        code, saved = geems(folder, "backup", "saved.sqlite")
        assert (code, saved["cycles"], saved["sites"]) == (0, 1, ["segment13"])
        code, refused = geems(folder, "restore", "saved.sqlite")
        assert code == 1
        assert f"already run by process {process.pid} on" in refused["faults"][0]["problem"]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
    geems(folder, "run", "--once")
    code, restored = geems(folder, "restore", "saved.sqlite")
    assert (code, restored["cycles"]) == (0, 1)
    assert examine(folder / "geems.sqlite").cycles == 1
    assert examine(Path(restored["aside"])).cycles == 2
    code, told = geems(folder, "explain")
    assert code == 0
    assert told["start"] == saved["last"]
