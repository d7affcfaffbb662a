"""What a backtest takes: a year of the reference feeder, and feeder-days of the 123-bus feeder.

The year is asked within 120 s and 1 GB on two processors. `BENCH_DAYS` shortens the days of
the 123-bus feeder (200), which take minutes.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from ems.cli.examples import EXAMPLES
from tests.bench.table import tell

YEAR = ("--from", "2019-01-01", "--to", "2019-12-31")
INTERVALS = 35_040
WEEK = ("--from", "2019-06-03", "--to", "2019-06-09")
FIRST = date(2019, 3, 1)
DAYS = int(os.environ.get("BENCH_DAYS", "200"))
LOOK_S = 2.0
"""How often memory is looked at: each look stops all processes for some 30 ms [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a command told, and what it took."""

    told: Any
    seconds: float
    peak_mib: float
    """Proportional share of all its processes together, so that shared pages count once [MiB]."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in EXAMPLES.items():
        (tmp_path / f"{name}.toml").write_text(text(), encoding="utf-8")
    return tmp_path


def backtest(folder: Path, site: str, out: str, *arguments: str) -> Ran:
    """One `geems backtest` from start to end."""
    command = [
        *(sys.executable, "-m", "ems.cli", "backtest", f"{site}.toml", "--out", out, "--json"),
        *("--no-report", "--no-reasons", "--steps", "1", *arguments),
    ]
    started = time.perf_counter()
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process, _watched(process.pid) as peak:  # fmt: skip
        text, _ = process.communicate()
    seconds = time.perf_counter() - started
    assert process.returncode == 0, text
    return Ran(told=json.loads(text), seconds=seconds, peak_mib=max(peak) / 2**20)


@contextmanager
def _watched(pid: int) -> Iterator[list[int]]:
    """Memory of a process and of those it started, until the block ends."""
    seen, over = [0], threading.Event()

    def look() -> None:
        while not over.wait(LOOK_S):
            seen.append(_pss(pid))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def _pss(pid: int) -> int:
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            total += process.memory_full_info().pss
    except psutil.Error:  # one of them has just ended
        return 0
    return total


def _policies(ran: Ran) -> dict[str, Any]:
    return {row["policy"]: row for row in ran.told["policies"]}


@pytest.mark.timeout(3600)
def test_bench_a_year_of_the_reference_feeder(folder: Path) -> None:
    alone = backtest(folder, "segment13", "auto", *YEAR, "--policies", "geems", "--jobs", "2")
    ipopt = backtest(
        folder, "segment13", "ipopt", *YEAR, "--policies", "geems", "--jobs", "2",
        "--solver", "ipopt",
    )  # fmt: skip
    beside = backtest(
        folder, "segment13", "all", *YEAR, "--policies", "geems,paper,none", "--jobs", "2"
    )
    rows = [
        {"what": what, "s": ran.seconds, "peak MiB": ran.peak_mib}
        for what, ran in (
            ("geems, auto", alone), ("geems, ipopt", ipopt), ("geems, paper, none", beside),
        )
    ]  # fmt: skip
    tell("backtest_year", rows)
    tell(
        "backtest_policies",
        [
            {
                "policy": name,
                "cost $": row["cost_usd"],
                "not used MWh": row["curtailed_kwh"] / 1000,
                "broken in the truth": row["violated"],
                "broken in the model": row["model_violated"],
            }
            for name, row in _policies(beside).items()
        ],
    )
    geems = _policies(alone)["geems"]
    assert geems["intervals"] == INTERVALS
    assert (geems["model_violated"], geems["unverified"]) == (0, 0)
    assert alone.peak_mib <= 1024
    assert alone.seconds <= 120


@pytest.mark.timeout(3600)
def test_bench_the_better_a_policy_foresees_the_less_it_costs(folder: Path) -> None:
    names = ("oracle", "geems_lookahead", "geems", "rules")
    ran = backtest(
        folder, "segment13", "week", *WEEK, "--policies", ",".join((*names, "none")),
        "--end-soc", "start", "--jobs", "2",
    )  # fmt: skip
    of = _policies(ran)
    tell(
        "backtest_week",
        [{"policy": n, "cost $": of[n]["cost_usd"], "broken": of[n]["violated"]} for n in of],
    )
    costs = [of[name]["cost_usd"] for name in names]
    assert costs == sorted(costs)


@pytest.mark.timeout(3 * 3600)
def test_bench_feeder_days_of_ieee123_are_the_same_anywhere(folder: Path) -> None:
    from distributed import LocalCluster

    last = FIRST + timedelta(days=DAYS - 1)
    period = ("--from", str(FIRST), "--to", str(last), "--policies", "geems", "--independent-days")
    ran = {f"{n} process": backtest(folder, "ieee123", f"p{n}", *period, "--jobs", str(n))
           for n in (1, 2)}  # fmt: skip
    with LocalCluster(  # type: ignore[no-untyped-call]  # it has none
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        ran["Dask, 2 workers"] = backtest(
            folder, "ieee123", "dask", *period, "--scheduler", cluster.scheduler_address
        )
    tell(
        "backtest_ieee123",
        [
            {"where": where, "feeder-days": DAYS, "s": one.seconds,
             "feeder-days/min": 60 * DAYS / one.seconds, "rows": one.told["rows_sha256"][:16]}
            for where, one in ran.items()
        ],
    )  # fmt: skip
    assert len({one.told["rows_sha256"] for one in ran.values()}) == 1
