"""One writer per site: between threads, between processes, and after a death."""

import multiprocessing
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from ems.errors import LeaseHeld
from ems.store import Holder, Store

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "geems.sqlite")
    yield opened
    opened.close()


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_a_second_writer_is_refused_and_told_who_and_until_when(store: Store) -> None:
    store.take_lease("site", "left hand", 60, NOW)
    with pytest.raises(LeaseHeld, match="run by left hand until 2026-07-01 12:01:00 UTC"):
        store.take_lease("site", "right hand", 60, later(59))


def test_each_site_has_its_own_lease(store: Store) -> None:
    assert store.take_lease("north", "left", 60, NOW).holder == "left"
    assert store.take_lease("south", "right", 60, NOW).holder == "right"


def test_a_lease_renewed_in_time_does_not_lapse(store: Store) -> None:
    store.take_lease("site", "left", 60, NOW)
    assert store.renew("site", "left", 60, later(50)).ends == later(110)
    with pytest.raises(LeaseHeld):
        store.take_lease("site", "right", 60, later(100))


def test_a_lapsed_lease_may_be_taken_and_the_first_holder_learns_it(store: Store) -> None:
    store.take_lease("site", "left", 60, NOW)
    store.take_lease("site", "right", 60, later(60))
    with pytest.raises(LeaseHeld, match="right"):
        store.renew("site", "left", 60, later(61))


def test_a_lapsed_lease_that_nobody_took_may_be_renewed(store: Store) -> None:
    store.take_lease("site", "left", 60, NOW)
    assert store.renew("site", "left", 60, later(1000)).ends == later(1060)


def test_a_lease_given_back_may_be_taken_at_once(store: Store) -> None:
    store.take_lease("site", "left", 60, NOW)
    store.release("site", "left")
    assert store.lease("site") is None
    store.take_lease("site", "right", 60, NOW)


def test_nobody_gives_back_the_lease_of_another(store: Store) -> None:
    store.take_lease("site", "left", 60, NOW)
    store.release("site", "right")
    held = store.lease("site")
    assert held is not None
    assert held.holder == "left"


def _race(path: str, name: str, barrier: Barrier, results: "multiprocessing.Queue[str]") -> None:
    store = Store.open(path)
    barrier.wait(30)
    try:
        store.take_lease("site", name, 60, NOW)
        results.put(name)
    except LeaseHeld:
        results.put("refused")
    store.close()


def test_of_processes_that_open_and_take_at_once_exactly_one_wins(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    path = str(tmp_path / "new.sqlite")
    racers = [
        context.Process(target=_race, args=(path, f"racer {i}", barrier, results)) for i in range(3)
    ]
    for racer in racers:
        racer.start()
    found = [results.get(timeout=60) for _ in racers]
    for racer in racers:
        racer.join(30)
        assert racer.exitcode == 0
    assert found.count("refused") == 2


HOLD = """
    import sys
    from datetime import UTC, datetime
    from ems.store import Holder, Store
    store = Store.open(sys.argv[1])
    store.take_lease("site", str(Holder.this_process()), 3600, datetime.now(UTC))
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_lease_of_a_process_that_was_killed_may_be_taken_at_once(store: Store) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLD), str(store.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        now = datetime.now(UTC)
        with pytest.raises(LeaseHeld, match=rf"process {holder.pid} on "):
            store.take_lease("site", "next", 60, now)
        holder.send_signal(signal.SIGKILL)
        holder.wait(30)
        store.take_lease("site", "next", 60, now)
    finally:
        holder.kill()
        holder.communicate()


def test_this_process_lives_and_a_number_used_again_is_told_apart() -> None:
    me = Holder.this_process()
    assert Holder.parse(str(me)) == me
    assert not me.is_dead
    assert replace(me, started=me.started + 1).is_dead


def test_a_process_of_another_machine_or_boot_is_never_taken_for_dead() -> None:
    assert not replace(Holder.this_process(), world="elsewhere/1", pid=1 << 30).is_dead


def test_a_holder_that_is_no_process_is_no_process() -> None:
    assert Holder.parse("the night shift") is None
