"""What every kind of test shares: what is left out and said so, ports, seeds, hypothesis."""

import os
import random
import shutil
import socket
import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings

if TYPE_CHECKING:  # a test of the command line alone must not pay for the whole cycle
    from ems.domain import CycleRecord, Site

CI = os.environ.get("CI", "").lower() not in {"", "0", "false"}
"""In CI everything is installed, so a skip is a failure."""

# Deadlines measure the machine's other work; the bench measures speed.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if CI else "dev")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for program in marker.args:
            if shutil.which(program) is None:
                pytest.skip(f"needs the program {program}, which .ci/run installs")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,  # noqa: ARG001 - pytest passes by name
    call: pytest.CallInfo[None],  # noqa: ARG001
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _no_skip_in_ci(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,  # noqa: ARG001
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _no_skip_in_ci(report)
    return report


def _no_skip_in_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        report.longrepr = f"left out, and in CI nothing may be: {_reason(report)}"
        report.outcome = "failed"


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    found = report.longrepr
    text = found[2] if isinstance(found, tuple) else str(found)
    return text.removeprefix("Skipped: ")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    left_out: dict[str, list[str]] = {}
    for report in terminalreporter.stats.get("skipped", []):
        left_out.setdefault(_reason(report), []).append(report.nodeid)
    terminalreporter.section("left out")
    for reason, tests in sorted(left_out.items()):
        terminalreporter.write_line(f"{len(tests)} test(s): {reason}")
        for test in tests:
            terminalreporter.write_line(f"  {test}")
    if not left_out:
        terminalreporter.write_line("nothing")


@pytest.fixture
def free_port() -> int:
    """A TCP port on loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def listening_port() -> Generator[int, None, None]:
    """A TCP port on loopback that is taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield int(taken.getsockname()[1])


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Random numbers that a test draws without a seed of its own are the same every time."""
    random.seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    """Seeded random numbers."""
    return np.random.default_rng(1)


@pytest.fixture(autouse=True)
def _every_dispatch_sent_is_seen_from_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a cycle sends in a test is solved again by plain OpenDSS in another process."""
    if "ems.cycle" not in sys.modules:
        yield
        return
    from ems import cycle
    from tests.witness import Sending

    seen: list[Sending] = []
    record = cycle.__dict__["record"]  # imported there, not exported

    def watching(site: "Site", *values: Any, **named: Any) -> "CycleRecord":
        made: CycleRecord = record(site, *values, **named)
        seen.append(Sending(site=site, record=made))
        return made

    monkeypatch.setattr(cycle, "record", watching)
    yield
    if seen:
        from tests.witness import confirm

        confirm(seen)
