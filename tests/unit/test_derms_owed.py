"""A database that fails: memory goes on, whoever changed something is told, nothing is lost."""

import logging
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pytest

from ems.derms import owed
from ems.derms.board import Board
from ems.derms.keeping import Change, Entry
from ems.derms.owed import Items, Owed
from ems.derms.stored import StoreKeeper
from ems.store import DermsStore, StoreFault

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
