"""The command line as a user runs it: real processes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ems.settings import TEMPLATE

GEEMS = (sys.executable, "-m", "ems.cli")


def geems(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*GEEMS, *arguments],
        cwd=cwd,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, all different."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The shipped site with device ports of its own."""
    ports = iter(free_ports(4))
    text = re.sub(r"port = 502\d", lambda _: f"port = {next(ports)}", TEMPLATE.read_text())
    path = tmp_path / "site.toml"
    path.write_text(text)
    return path


def test_a_bad_file_prints_faults_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(TEMPLATE.read_text().replace("rated_kw", "rated_kW"))
    done = geems("validate", cwd=tmp_path)
    assert done.returncode == 2
    assert "site.toml: pv[0].rated_kW: unknown key; did you mean rated_kw?" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_foreign_package_on_the_path_is_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "models"
    foreign.mkdir()
    (foreign / "__init__.py").write_text("raise SystemExit('run by mistake')\n")
    done = geems("--debug", "doctor", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert f"package models: {foreign} is not part of geems" in done.stderr
    assert "run by mistake" not in done.stderr


def test_a_cycle_without_devices_is_degraded_and_writes_nothing(site: Path) -> None:
    done = geems("run", "--once", "--json", cwd=site.parent)
    record = json.loads(done.stdout)
    assert done.returncode == 3, done.stderr
    assert {reading["quality"] for reading in record["snapshot"]["ders"].values()} == {"assumed"}
    assert "Traceback" not in done.stderr


def test_the_plant_answers_a_cycle_and_every_setpoint_is_read_back(site: Path) -> None:
    simulated = subprocess.Popen(
        [*GEEMS, "plant"], cwd=site.parent, stderr=subprocess.PIPE, text=True
    )
    try:
        assert simulated.stderr is not None
        for line in simulated.stderr:
            if line.startswith("serving"):
                break
        done = geems("run", "--once", "--json", cwd=site.parent)
        record = json.loads(done.stdout)
        assert done.returncode == 0, done.stderr
        assert set(record["outcomes"]) == {"pv", "bes", "dg"}
        assert all("readback" in outcome for outcome in record["outcomes"].values())
    finally:
        simulated.send_signal(signal.SIGINT)
        assert simulated.wait(timeout=20) == 0
        assert simulated.stderr is not None
        simulated.stderr.close()


def test_reproduce_prints_one_document_with_all_cases(tmp_path: Path) -> None:
    done = geems("reproduce", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    for case in ("paper", "unconstrained", "paper_mode", "geems_mode", "geems_mode_pv_q"):
        assert {"pv_kw", "nodes_above", "v_max_pu"} <= set(document[case])


def test_the_readme_shows_what_reproduce_prints(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    printed = geems("reproduce", cwd=tmp_path, COLUMNS="80").stdout.splitlines()
    table = [line.rstrip() for line in printed[: printed.index("".ljust(len(printed[1])), 2)]]
    steady = [row for row in table if not row.startswith(("  solver, s", "  load flow, s"))]
    assert len(table) - len(steady) == 2  # times differ from run to run
    assert not any("…" in row for row in steady)  # nothing is cut on an ordinary terminal
    assert "\n".join(steady) in readme


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from ems.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'pandas', 'numpy', 'pyomo', 'opendssdirect', 'pymodbus', 'fastapi',"
        " 'sqlalchemy', 'tensorflow', 'cyipopt'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "[]"
