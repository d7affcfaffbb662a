"""The lease while a poll waits for its devices."""

import threading

import pytest

from ems.clock import WallClock
from ems.daemon import schedule


def test_the_lease_is_renewed_while_a_poll_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "RENEW_S", 0.01)
    renewed, answered, polling = threading.Semaphore(0), threading.Event(), threading.Event()

    def poll() -> None:
        polling.set()
        answered.wait(30.0)

    jobs = schedule.Schedule(
        WallClock(), 0.2, cycle=lambda: None, poll=poll, missed=lambda _at, _why: None,
        clock_set=lambda: None, renew=renewed.release,
    )  # fmt: skip
    jobs.start()
    try:
        assert polling.wait(30.0)
        assert all(renewed.acquire(timeout=30.0) for _ in range(3))
        assert not answered.is_set()
    finally:
        answered.set()
        jobs.stop()
