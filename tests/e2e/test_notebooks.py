"""Every notebook's twin runs from top to bottom on what the package ships, and leaves nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"
NO_PROXY_ANSWERS = "http://127.0.0.1:9"
"""The discard port of this machine: whoever asks the network through it is refused."""

SAID: dict[str, tuple[str, ...]] = {
    "01_quickstart": ("at its 1.10 pu limit", "Verified"),
    "02_a_week_on_ieee_123": ("85 plants, 7.85 MW", "site.toml: ok", "3 days simulated"),
    "03_a_year_and_what_it_is_worth": ("geems against rules", "more than the oracle"),
    "04_train_and_judge_a_forecast": ("smart persistence", "TensorFlow|trained in"),
    "05_why_was_it_curtailed": (
        "identical to the last bit: True",
        "33 decisions, 33 of them verified",
        "proved by load flows",
    ),
    "06_fairness": ("proportional: verified", "Jain's index", "3807 of 3807 kW are kept"),
    "07_bring_your_own_feeder": (
        "powers are in kW: rated_kw",
        'did you mean "FARM"?',
        "the reversion values break a limit",
        "FARM at its 1.05 pu limit",
    ),
}
"""What each must print; `a|b`: one of them."""


@pytest.mark.parametrize("name", SAID)
def test_the_notebook_runs(name: str, tmp_path: Path) -> None:
    cwd = tmp_path / "cwd"
    temporary = tmp_path / "tmp"
    cwd.mkdir()
    temporary.mkdir()
    environment = os.environ | {
        "NOTEBOOK_SHORT": "1",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(temporary),
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY"), NO_PROXY_ANSWERS),
    }
    done = subprocess.run(
        [sys.executable, str(NOTEBOOKS / f"{name}.py")],
        cwd=cwd, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for line in SAID[name]:
        assert any(words in done.stdout for words in line.split("|")), done.stdout
    assert list(cwd.iterdir()) == []
    assert [p.name for p in temporary.iterdir() if p.name.startswith("geems")] == []


def test_every_notebook_is_run() -> None:
    assert sorted(p.stem for p in NOTEBOOKS.glob("*.py")) == sorted(SAID)


@pytest.mark.parametrize("name", SAID)
def test_a_notebook_ends_with_what_it_does_not_show(name: str) -> None:
    last = (NOTEBOOKS / f"{name}.py").read_text(encoding="utf-8").rpartition("# %% [markdown]")[2]
    assert "## What this does not show" in last
