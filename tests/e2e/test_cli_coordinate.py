"""`geems coordinate` as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ems.cli", "coordinate", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_123_bus_feeder_is_coordinated_and_its_files_written(tmp_path: Path) -> None:
    done = run("--no-reactive", "--out", "result", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == json.loads((tmp_path / "result" / "summary.json").read_text())
    assert result["status"] == "verified"
    assert result["after"]["nodes_above"] == 0
    assert result["transformers"] == len(list((tmp_path / "result" / "messages").iterdir())) - 1
    assert "proportional: verified" in done.stderr
    assert {p.name for p in (tmp_path / "result").iterdir()} == {
        "curtailment.svg", "messages", "plants.csv", "summary.json", "voltages.csv", "voltages.svg",
    }  # fmt: skip


def test_without_json_a_table_says_what_fairness_costs(tmp_path: Path) -> None:
    done = run("--feeder", "ieee123", "--no-reactive", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "highest voltage" in done.stdout
    assert "Price of fairness" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_kept_ends_with_code_3_and_the_reason(tmp_path: Path) -> None:
    done = run("--feeder", "ieee123", "--load-scale", "3", "--pv-scale", "0", cwd=tmp_path)
    assert done.returncode == 3
    assert "not caused by DERs" in " ".join(done.stdout.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--feeder", "nowhere"), "no shipped feeder of that name"),
        (("--utility", "48"), "48 is no bus and power"),
        (("--pv-scale", "2"), "2.0 is not in the range"),
        (("--cim", "missing.xml"), "does not exist"),
        (("--cim", "empty.xml"), "empty.xml"),
        (("--measurements", "empty.csv"), "the first line must be name,p_w,q_var"),
    ],
)
def test_bad_input_ends_with_code_2_and_its_place(
    tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    (tmp_path / "empty.xml").touch()
    (tmp_path / "empty.csv").touch()
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
