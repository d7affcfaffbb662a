"""`geems coordinate` as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path


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


def test_bad_input_ends_with_code_2_and_its_place(tmp_path: Path) -> None:
    """Each kind of it is told in the tests of the command without a process."""
    (tmp_path / "empty.xml").touch()
    done = run("--cim", "empty.xml", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "empty.xml" in done.stderr
    assert "Traceback" not in done.stderr
