"""Backtests as they are run: processes that are killed, Ctrl-C, and a Dask cluster."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ems.backtest.keeping import days_of, hash_of
from ems.backtest.running import Told, run
from ems.backtest.study import Study
from ems.settings import TEMPLATE
from tests.backtest_days import deadly_day, study, tiny_day

GEEMS = (sys.executable, "-m", "ems.cli")
QUICK = ("--forecast", "clear_sky", "--no-report", "--jobs", "2")


@pytest.fixture
def ctrl_c_counts() -> Iterator[None]:
    """A shell has what it starts in the background ignore Ctrl-C, and children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return Path(shutil.copy(TEMPLATE, tmp_path / "site.toml"))


def geems(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*GEEMS, "backtest", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


def document(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_two_days_under_three_policies_on_two_processes(site: Path) -> None:
    asked = (
        "site.toml", "--from", "2019-06-01", "--to", "2019-06-02",
        "--policies", "none,rules,geems", "--out", "out", *QUICK, "--json",
    )  # fmt: skip
    told = document(geems(*asked, cwd=site.parent))
    assert (told["ok"], told["days"], told["simulated"], told["failed"]) == (True, 6, 6, [])
    by_name = {row["policy"]: row for row in told["policies"]}
    assert list(by_name) == ["geems", "none", "rules"]
    assert all(row["intervals"] == 192 for row in by_name.values())
    # The reference segment under a June sun: without control voltages break their limit.
    assert by_name["none"]["violated"] > 0
    assert by_name["geems"]["model_violated"] == by_name["geems"]["unverified"] == 0
    assert by_name["geems"]["cost_usd"] < by_name["rules"]["cost_usd"]

    again = document(geems(*asked, cwd=site.parent))
    assert again["simulated"] == 0
    assert again["rows_sha256"] == told["rows_sha256"]

    other = geems(*asked[:4], "2019-06-03", *asked[5:], cwd=site.parent)
    assert other.returncode == 2
    assert "out/study.json: to: another study" in other.stderr


@pytest.mark.usefixtures("ctrl_c_counts")
def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(site: Path) -> None:
    asked = (
        "site.toml", "--from", "2019-06-01", "--to", "2019-06-04",
        "--policies", "none,rules", *QUICK,
    )  # fmt: skip
    whole = document(geems(*asked, "--out", "whole", "--json", cwd=site.parent))

    with subprocess.Popen(
        [*GEEMS, "backtest", *asked, "--out", "part"],
        cwd=site.parent, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as running:  # fmt: skip
        assert running.stderr is not None
        for line in running.stderr:  # a line for each day
            if line.startswith("2 of 8 days"):
                os.killpg(running.pid, signal.SIGINT)  # as a terminal does: workers get it too
                break
        rest = running.stderr.read()
    assert running.returncode == 130
    assert "Go on with\n  geems backtest site.toml" in rest
    assert "Traceback" not in rest
    kept = sum(len(paths) for paths in days_of(site.parent / "part").values())
    assert 2 <= kept < 8

    rested = document(geems(*asked, "--out", "part", "--json", cwd=site.parent))
    assert rested["simulated"] == 8 - kept
    assert rested["rows_sha256"] == whole["rows_sha256"]


def test_a_killed_worker_loses_nothing(tmp_path: Path) -> None:
    asked = study(8, "none", "rules", "paper")
    run(asked, tmp_path / "calm", jobs=1, simulate=tiny_day)
    killed: list[int] = []

    def kill(told: Told) -> None:
        if told.over >= 3 and not killed:
            worker = multiprocessing.active_children()[0]
            assert worker.pid is not None
            killed.append(worker.pid)
            os.kill(worker.pid, signal.SIGKILL)

    outcome = run(asked, tmp_path / "shaken", jobs=2, simulate=tiny_day, tell=kill)
    assert (outcome.deaths, outcome.failed) == (1, ())
    assert hash_of(tmp_path / "shaken") == hash_of(tmp_path / "calm")


def test_a_day_that_ends_its_process_fails_alone(tmp_path: Path) -> None:
    outcome = run(study(5, "none", "rules"), tmp_path, jobs=2, simulate=deadly_day)
    assert {(f.chain.policy, str(f.day)) for f in outcome.failed} == {
        ("none", "2019-06-03"),
        ("rules", "2019-06-03"),
    }
    assert sum(len(paths) for paths in days_of(tmp_path).values()) == 8


def test_workers_do_not_outlive_a_run_that_is_killed(site: Path) -> None:
    with subprocess.Popen(
        [*GEEMS, "backtest", "site.toml", "--from", "2019-06-01", "--to", "2019-06-20",
         "--policies", "none", "--out", "out", *QUICK],
        cwd=site.parent, stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        assert running.stderr is not None
        next(line for line in running.stderr if line.startswith("1 of 20 days"))
        running.kill()
        # The pipe ends when its last holder does: the workers have it open as well.
        running.stderr.read()


@pytest.fixture
def cluster() -> Iterator[Any]:
    import distributed

    local: Any = distributed.LocalCluster  # it has no types
    with local(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1",
        dashboard_address=None,
    ) as found:  # fmt: skip
        yield found


def test_a_dask_cluster_gives_the_same_rows_though_a_worker_is_killed(
    tmp_path: Path, cluster: Any
) -> None:
    asked: Study = study(2, "none", "rules", "geems", reasons=False)
    run(asked, tmp_path / "here", jobs=2)
    killed: list[int] = []

    def kill(told: Told) -> None:
        if told.over >= 2 and not killed:
            killed.append(cluster.workers[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    outcome = run(asked, tmp_path / "there", scheduler=cluster.scheduler_address, tell=kill)
    assert killed
    assert outcome.failed == ()
    assert hash_of(tmp_path / "there") == hash_of(tmp_path / "here")


def test_a_scheduler_that_does_not_answer_is_told(
    tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ems.backtest import pools
    from ems.errors import BadInput

    monkeypatch.setattr(pools, "ANSWERS_S", 1.0)
    with pytest.raises(BadInput, match="no Dask scheduler answers at"):
        run(study(1), tmp_path, scheduler=f"tcp://127.0.0.1:{free_port}")
