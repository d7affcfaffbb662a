"""`geems demo --field goose`: plant → GOOSE → RTU → Modbus → EMS, as a user runs it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner

from ems.cli import main
from ems.demo.namespaces import check_possible
from ems.errors import BadInput

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def rights() -> None:
    """Skip, and say exactly what is missing, where the demo would say it."""
    try:
        check_possible("--field goose")
    except BadInput as missing:
        pytest.skip(str(missing))


def interfaces() -> set[str]:
    return set(os.listdir("/sys/class/net"))  # noqa: PTH208 - names are enough


def run(folder: Path, *arguments: str) -> "Done":
    return subprocess.run(
        [sys.executable, "-m", "ems.cli", "demo", "--speed", "max", "--json", *arguments],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


Done = subprocess.CompletedProcess[str]


@pytest.mark.usefixtures("rights")
def test_the_whole_chain_keeps_the_limits_and_leaves_nothing_behind(tmp_path: Path) -> None:
    before = interfaces()
    done = run(tmp_path, "--cycles", "2", "--field", "goose")
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert len(result["cycles"]) == 2
    assert result["violations"] == result["violations_within"] == 0
    assert result["setpoints_written_and_read_back"] == result["setpoints"] == 6
    assert all(cycle["v_max_uncontrolled_pu"] > 1.10 for cycle in result["cycles"])
    assert interfaces() == before
    direct = json.loads(run(tmp_path, "--cycles", "2").stdout)
    assert [c["pv_kw"] for c in result["cycles"]] == [c["pv_kw"] for c in direct["cycles"]]


@pytest.mark.usefixtures("rights")
def test_killed_it_leaves_nothing_behind_either(tmp_path: Path) -> None:
    before = interfaces()
    process = subprocess.Popen(
        [sys.executable, "-m", "ems.cli", "demo", "--field", "goose", "--port", "0"],
        # Nobody can remove its folder after a SIGKILL but who made the one it lies in.
        cwd=tmp_path, env={**os.environ, "TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        assert any("the page: http://" in line for line in process.stderr)
        started = psutil.Process(process.pid).children(recursive=True)
        assert any("rtu" in child.cmdline() for child in started)
    finally:
        process.kill()
        process.communicate()
    gone, left = psutil.wait_procs(started, timeout=30)
    assert (len(gone), left) == (len(started), [])
    assert interfaces() == before


@pytest.mark.usefixtures("rights")
@pytest.mark.parametrize("how", [("--speed", "max", "--cycles", "50"), ("--port", "0")])
def test_when_the_rtu_dies_the_demo_ends_and_says_so(tmp_path: Path, how: tuple[str, ...]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ems.cli", "demo", "--field", "goose", *how],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        # The page is there, or the first cycle is over.
        assert any("the page: http://" in line or how[0] != "--port" for line in process.stdout)
        children = psutil.Process(process.pid).children(recursive=True)
        next(child for child in children if "rtu" in child.cmdline()).kill()
        told = process.stdout.read()
        assert process.wait(60) == 1
    finally:
        process.kill()
        process.communicate()
    assert "the RTU has ended: " in told


@pytest.mark.needs("setpriv")
def test_a_right_that_is_missing_alone_is_named(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to give up one right of many")
    command = [sys.executable, "-m", "ems.cli", "demo", "--field", "goose", "--cycles", "1"]
    done = subprocess.run(
        ["setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw", *command],  # noqa: S607
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "lacks CAP_NET_RAW: run it as root" in done.stderr


def test_what_is_missing_is_told_with_the_mend_and_nothing_is_run_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "nsenter").symlink_to(shutil.which("nsenter") or "/usr/bin/nsenter")
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["demo", "--json", "--cycles", "1", "--field", "goose"])
    assert done.exit_code == 2
    told = json.loads(done.stdout)["faults"]
    assert {"place": "--field goose", "problem": "needs the program ip: install iproute2"} in told
    assert {
        "place": "--field goose",
        "problem": "needs the program setpriv: install util-linux",
    } in told


@pytest.mark.needs("setpriv")
def test_without_the_rights_it_says_which_and_how_to_get_them(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to run the demo as somebody who is not")
    command = [sys.executable, "-m", "ems.cli", "demo", "--field", "goose", "--cycles", "1"]
    done = subprocess.run(
        ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", *command],  # noqa: S607
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "lacks CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN" in done.stderr
    assert "run it as root, or as `unshare -Ur geems demo --field goose`" in done.stderr
