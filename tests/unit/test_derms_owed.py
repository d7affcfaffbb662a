"""A database that fails: memory goes on, whoever changed something is told, nothing is lost."""

import logging
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from ems.assembly.links import Clients
from ems.derms import owed
from ems.derms.board import Board
from ems.derms.keeping import Change, Entry
from ems.derms.owed import Items, Owed
from ems.derms.stored import StoreKeeper
from ems.store import DermsStore, StoreFault
from tests.derms_admin import Administered

LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DermsStore]:
    with DermsStore.open(tmp_path / "geems.sqlite", busy_timeout_s=0.02) as opened:
        yield opened


@contextmanager
def locked(store: DermsStore) -> Iterator[None]:
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def failed(board: Board) -> None:
    with pytest.raises(StoreFault, match="locked"):
        board.durable.result()


def test_a_fault_is_told_once_and_not_to_those_who_come_after(store: DermsStore) -> None:
    board = Board(StoreKeeper(store))
    with locked(store):
        board.add_device("roof", lfdi=LFDI)
        failed(board)
        board.durable.result()


def test_a_fault_that_came_before_anybody_asked_is_told_to_whoever_made_the_change(
    store: DermsStore,
) -> None:
    board = Board(StoreKeeper(store))
    store.close()
    board.add_device("roof", lfdi=LFDI)
    with pytest.raises(StoreFault, match="is closed"):
        board.durable.result()


def test_what_failed_is_kept_with_the_next_change(store: DermsStore) -> None:
    board = Board(StoreKeeper(store))
    with locked(store):
        board.add_device("roof", lfdi=LFDI)
        failed(board)
    board.add_program("feeder", primacy=5)
    board.durable.result()
    again = Board(StoreKeeper(store))
    assert (again.device("roof").lfdi, again.program("feeder").primacy) == (LFDI, 5)


def test_what_failed_is_tried_again_though_nothing_else_changes(store: DermsStore) -> None:
    board = Board(StoreKeeper(store))
    with locked(store):
        board.add_device("roof", lfdi=LFDI)
        failed(board)
        board.keep_again()
        assert "locked" in board.unkept
    while board.unkept:
        board.keep_again()
    assert Board(StoreKeeper(store)).device("roof").lfdi == LFDI


def test_what_failed_takes_no_newer_change_back(store: DermsStore) -> None:
    board = Board(StoreKeeper(store))
    with locked(store):
        board.add_program("feeder", primacy=5)
        failed(board)
        board.change_program("feeder", primacy=6)
        failed(board)
    board.change_program("feeder", primacy=7)
    board.durable.result()
    assert Board(StoreKeeper(store)).program("feeder").primacy == 7


def test_a_change_and_its_audit_entry_are_kept_together_later(store: DermsStore) -> None:
    board = Board(StoreKeeper(store))
    with locked(store):
        board.audit.made(
            "boss", "POST", 1, lambda: board.add_device("roof", lfdi=LFDI), lambda: {"name": "roof"}
        )
        failed(board)
    board.add_program("feeder", primacy=5)
    board.durable.result()
    again = Board(StoreKeeper(store))
    assert [entry.who for entry in again.audit.entries()] == ["boss"]
    assert again.audit.fault() == ""
    assert again.device("roof").lfdi == LFDI


class Disk:
    """Keeps, or fails to, when the test says so."""

    def __init__(self) -> None:
        self.under_way: list[tuple[Items, Future[None]]] = []
        self.documents: dict[str, str | None] = {}
        self.entries: list[str] = []

    def keep(self, what: Items) -> "Future[None]":
        done: Future[None] = Future()
        self.under_way.append((what, done))
        return done

    def fails(self) -> None:
        self.under_way.pop(0)[1].set_exception(StoreFault("locked"))

    def keeps(self) -> None:
        what, done = self.under_way.pop(0)
        for one in what:
            if isinstance(one, Change):
                self.documents[one.key] = one.body
            else:
                self.entries.append(one.body)
        done.set_result(None)


def change(key: str, body: str) -> Change:
    return Change(kind="control", key=key, owner="", body=body, time=0)


def entry(kind: str, body: str) -> Entry:
    return Entry(kind=kind, owner="", key="", body=body, time=0)


def test_what_was_under_way_when_an_older_change_failed_is_not_taken_back() -> None:
    disk = Disk()
    owing = Owed(disk.keep)
    published = owing.hand_over([change("X", "published"), entry("audit", "1")])
    cancelled = owing.hand_over([change("X", "cancelled"), entry("audit", "2")])
    disk.fails()
    later = owing.hand_over([change("Y", "published"), entry("audit", "3")])
    while disk.under_way:
        disk.keeps()
    assert isinstance(published.exception(), StoreFault)
    assert (cancelled.exception(), later.exception()) == (None, None)
    assert disk.documents == {"X": "cancelled", "Y": "published"}
    assert disk.entries == ["1", "2", "3"]
    assert owing.why == ""


def test_readings_and_logs_make_room_and_are_counted_but_nothing_else_goes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(owed, "_MOST_ENTRIES", 4)
    disk = Disk()
    owing = Owed(disk.keep)
    told = [entry("audit", "audit"), entry("response", "response")]
    told += [entry("log", "log"), *(entry("reading", str(n)) for n in range(4))]
    for one in told:
        owing.hand_over([one])
        disk.fails()
    with caplog.at_level(logging.WARNING):
        owing.again()
        disk.keeps()
    assert disk.entries == ["audit", "response", "2", "3"]
    assert "lost: 3" in caplog.text


def test_all_that_comes_while_a_batch_is_written_is_written_together() -> None:
    disk = Disk()
    owing = Owed(disk.keep)
    asked = [owing.hand_over([entry("reading", str(n))]) for n in range(1000)]
    batches = 0
    while disk.under_way:
        disk.keeps()
        batches += 1
    assert batches == 2
    assert disk.entries == [str(n) for n in range(1000)]
    assert all(one.done() for one in asked)


class Choosy(Disk):
    """Keeps at once, but nothing in which there is poison."""

    def keep(self, what: Items) -> "Future[None]":
        done = super().keep(what)
        if any(one.body == "poison" for one in what):
            self.under_way.pop()[1].set_exception(ValueError("no disk would keep it"))
        return done

    def drain(self) -> None:
        while self.under_way:
            self.keeps()


def test_a_change_that_no_disk_would_keep_takes_nobody_else_s_with_it() -> None:
    disk = Choosy()
    owing = Owed(disk.keep)
    first = owing.hand_over([entry("audit", "0")])
    wanted = ["1", "2", "poison", "3", "4", "5"]
    asked = [owing.hand_over([entry("audit", body), change(body, body)]) for body in wanted]
    disk.drain()
    assert first.exception() is None
    assert [isinstance(one.exception(), ValueError) for one in asked] == [
        body == "poison" for body in wanted
    ]
    assert disk.entries == ["0", "1", "2", "3", "4", "5"]
    assert "poison" not in disk.documents
    assert (owing.given_up, owing.why) == (1, "")


def test_what_is_owed_is_kept_without_what_no_disk_would_keep() -> None:
    disk = Choosy()
    owing = Owed(disk.keep)
    owing.hand_over([entry("audit", "0")])
    asked = [owing.hand_over([entry("audit", body)]) for body in ("1", "2")]
    disk.fails()
    disk.fails()
    assert all(isinstance(one.exception(), StoreFault) for one in asked)
    poisoned = owing.hand_over([entry("audit", "poison"), entry("audit", "with it")])
    disk.drain()
    assert isinstance(poisoned.exception(), ValueError)
    assert (disk.entries, owing.why) == (["0", "1", "2"], "")


def test_what_no_disk_would_keep_is_told_to_its_owner_counted_and_a_concern_of_the_site(
    store: DermsStore, caplog: pytest.LogCaptureFixture
) -> None:
    board = Board(StoreKeeper(store))
    clients = Clients(
        served=SimpleNamespace(board=board),  # type: ignore[arg-type]  # as far as it is asked
        link=None,  # type: ignore[arg-type]  # likewise
        ders=frozenset(),
        wait_s=0.0,
        answer_s=0.0,
        fresh_s=0.0,
    )
    assert (clients.unkept(), Administered(board).ask("GET", "/status").json["given_up"]) == ("", 0)
    with pytest.raises(UnicodeEncodeError):
        board.keeper.keep(entry("log", "\ud800")).result()
    assert (board.given_up, board.unkept) == (1, "")
    assert "serves what no disk would keep: 1 changes" in clients.unkept()
    assert Administered(board).ask("GET", "/status").json["given_up"] == 1
    assert "is not tried again" in caplog.text


def test_what_was_handed_over_together_stays_together_while_it_is_owed() -> None:
    disk = Choosy()
    owing = Owed(disk.keep)
    under_way = owing.hand_over([entry("audit", "0")])
    wanted = ["1", "poison", "2"]
    asked = [owing.hand_over([entry("audit", body), change(body, "X")]) for body in wanted]
    disk.fails()
    while disk.under_way:  # none of it: the halves of the batch, too
        disk.fails()
    assert isinstance(under_way.exception(), StoreFault)
    assert [one.done() for one in asked] == [True] * 3
    owing.again()
    disk.drain()
    assert (disk.entries, sorted(disk.documents)) == (["0", "1", "2"], ["1", "2"])
    assert (owing.given_up, owing.why) == (1, "")


def test_a_document_that_is_owed_twice_is_written_as_it_was_last() -> None:
    disk = Disk()
    owing = Owed(disk.keep)
    for body in ("a", "b"):
        owing.hand_over([change("X", body), entry("audit", body)])
        disk.fails()
    owing.again()
    [(what, _)] = disk.under_way
    assert [one.body for one in what] == ["a", "b", "b"]
    assert [one.body for one in what if isinstance(one, Change)] == ["b"]


def test_a_keeper_that_raises_holds_nobody_up() -> None:
    def raises(what: Items) -> "Future[None]":
        raise RuntimeError(f"{len(what)} too many")

    owing = Owed(raises)
    for body in ("1", "2"):
        assert isinstance(owing.hand_over([entry("audit", body)]).exception(), RuntimeError)
    owing.settle()


def test_many_threads_hand_over_try_again_and_settle_and_none_waits_for_ever(
    store: DermsStore,
) -> None:
    keeper = StoreKeeper(store)

    def work(thread: int) -> None:
        for n in range(50):
            kept = keeper.keep(entry("audit", f"{thread}/{n}"))
            keeper.owed.why = keeper.owed.why or "as after a fault"
            keeper.owed.again()
            keeper.owed.settle()
            assert kept.exception() is None

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, thread) for thread in range(8)]:
            done.result()
    found = [one.body for one in keeper.entries("audit")]
    assert sorted(found) == sorted(f"{thread}/{n}" for thread in range(8) for n in range(50))
    assert keeper.owed.why == ""
