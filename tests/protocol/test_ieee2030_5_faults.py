"""The dispatch beside a running server whose database or loop fails: control goes on."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

import ems.derms.server as under_test
from ems.derms.board import Board
from ems.derms.link import DispatchLink
from ems.derms.server import DermsServer
from ems.derms.settings import ServerSettings
from ems.derms.stored import StoreKeeper
from ems.errors import GeemsError
from ems.protocols.ieee2030_5 import sep
from ems.store import DermsStore, StoreFault

LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
HALF = sep.DERControlBase(opModMaxLimW=5000)


class Running:
    """A server that runs, with its database."""

    def __init__(self, store: DermsStore) -> None:
        self.path = store.path
        self.board = Board(StoreKeeper(store))
        self.board.add_device("roof", lfdi=LFDI)
        self.board.durable.result()
        settings = ServerSettings(port=0, trusted_proxy_header="x-lfdi")
        self.server = DermsServer(settings, self.board)
        self.link = DispatchLink(self.server, self.board, {"pv": "roof"})


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with DermsStore.open(tmp_path / "geems.sqlite", busy_timeout_s=0.02) as store:
        made = Running(store)
        made.server.start()
        try:
            yield made
        finally:
            made.server.stop()


def test_a_locked_database_neither_blinds_nor_silences_the_dispatch(running: Running) -> None:
    other = sqlite3.connect(running.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreFault, match="locked"):
        running.server.call(lambda: running.board.add_program("feeder", primacy=5))

    assert running.link.look(["pv"])["pv"].capability is None
    running.link.keep_defaults({"pv": HALF})
    published = running.link.publish({"pv": HALF}, {"pv": 300})["pv"]

    seen = running.link.look(["pv"])["pv"]
    assert (seen.default, [order.mrid for order in seen.orders]) == (HALF, [published.mrid])
    running.server.call(running.board.keep_again, durable=False)
    assert "locked" in running.server.health().unkept

    other.execute("ROLLBACK")
    running.server.call(lambda: running.board.add_program("other", primacy=6))
    running.server.call(running.board.keep_again)
    assert running.server.health().unkept == ""
    other.close()


def test_what_was_published_while_the_database_was_locked_outlives_the_server(
    running: Running,
) -> None:
    other = sqlite3.connect(running.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    published = running.link.publish({"pv": HALF}, {"pv": 300})["pv"]
    other.execute("ROLLBACK")
    other.close()
    running.server.call(lambda: running.board.add_program("feeder", primacy=5))
    [kept] = [d for d in running.board.keeper.documents("control") if published.mrid in d.key]
    assert kept.body is not None


def test_a_loop_that_is_stuck_is_a_fault_and_what_was_asked_is_not_done_later(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "_CALL_S", 0.05)
    stuck, on = threading.Event(), threading.Event()

    def hold() -> None:
        stuck.set()
        on.wait()

    held = threading.Thread(target=lambda: _ignored(running, hold))
    held.start()
    stuck.wait()
    with pytest.raises(GeemsError, match="did not answer within"):
        running.link.publish({"pv": HALF}, {"pv": 300})
    on.set()
    held.join()
    monkeypatch.undo()
    assert running.link.look(["pv"])["pv"].orders == ()


def test_a_call_that_the_end_of_the_server_cuts_short_is_a_fault(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, never = threading.Event(), Future[None]()
    monkeypatch.setattr(running.board.keeper, "keep", lambda *_: never)

    def changed() -> None:
        running.board.add_program("feeder", primacy=5)
        begun.set()

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(running.server.call, changed)
        begun.wait()
        running.server.stop()
        with pytest.raises(GeemsError, match="has ended"):
            asked.result()


def _ignored(running: Running, hold: Callable[[], None]) -> None:
    """Hold the loop for longer than anybody waits for it."""
    with suppress(GeemsError):
        running.server.call(hold, durable=False)
