"""What happened long ago goes, but for the audit."""

from concurrent.futures import Future

import pytest

from ems.derms.audit import Audit
from ems.derms.keeping import Entry, MemoryKeeper
from ems.derms.retention import BATCH, LOOK_S, Retention

DAY_S = 86_400
NOW = 100 * DAY_S


def entry(kind: str, time: int) -> Entry:
    return Entry(kind=kind, owner="A", key="k", body="b", time=time)


def times(keeper: MemoryKeeper, kind: str) -> list[int]:
    return [kept.time for kept in keeper.entries(kind)]


@pytest.mark.parametrize("kind", ["reading", "response", "log"])
def test_what_devices_said_goes_after_the_days_for_which_it_is_kept(kind: str) -> None:
    keeper = MemoryKeeper()
    keeper.keep(entry(kind, NOW - 30 * DAY_S - 1), entry(kind, NOW - 30 * DAY_S))
    Retention(keeper, keep_days=30).step(NOW)
    assert times(keeper, kind) == [NOW - 30 * DAY_S]


def test_the_audit_stays_whole() -> None:
    keeper = MemoryKeeper()
    audit = Audit(keeper)
    with audit.change("A", "PUT /x", now=1) as noted:
        noted.after = 1
    Retention(keeper, keep_days=1).step(NOW)
    assert [e.number for e in audit.entries()] == [1]
    assert audit.fault() == ""


def test_while_there_is_more_the_next_batch_follows_at_once_and_then_after_a_while() -> None:
    keeper = MemoryKeeper()
    keeper.keep(*(entry("log", 0) for _ in range(2 * BATCH + 1)))
    retention = Retention(keeper, keep_days=1)
    left = []
    for second in range(4):
        retention.step(NOW + second)
        left.append(len(times(keeper, "log")))
    assert left == [BATCH + 1, 1, 0, 0]
    keeper.keep(entry("log", 0))
    retention.step(NOW + LOOK_S)
    assert len(times(keeper, "log")) == 1
    retention.step(NOW + 2 + LOOK_S)
    assert times(keeper, "log") == []


class Slow(MemoryKeeper):
    """One that takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Future[int]] = []

    def prune(self, *_: object, **__: object) -> "Future[int]":
        self.asked.append(Future())
        return self.asked[-1]


def test_it_waits_for_the_batch_under_way_and_goes_on_after_a_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    keeper = Slow()
    retention = Retention(keeper, keep_days=1)
    for later in (0, LOOK_S, 2 * LOOK_S):
        retention.step(NOW + later)
    assert len(keeper.asked) == 1
    keeper.asked[0].set_exception(OSError("disk full"))
    retention.step(NOW + 2 * LOOK_S)
    assert len(keeper.asked) == 2
    assert "disk full" in caplog.text


def test_a_clock_that_is_set_back_does_not_stop_it() -> None:
    keeper = Slow()
    retention = Retention(keeper, keep_days=1)
    retention.step(NOW)
    keeper.asked[0].set_result(0)
    retention.step(NOW - DAY_S)
    assert len(keeper.asked) == 2
