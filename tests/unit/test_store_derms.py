"""What the IEEE 2030.5 server keeps outlives its process, whole and in order."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ems.derms.keeping import Change, Entry
from ems.derms.stored import StoreKeeper
from ems.errors import LeaseHeld
from ems.store import DermsStore, Document, Happening, Store, StoreFault


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "geems.sqlite"


@pytest.fixture
def store(database: Path) -> Iterator[DermsStore]:
    with DermsStore.open(database) as opened:
        yield opened


def document(key: str, body: str | None, kind: str = "device", time: int = 1) -> Document:
    return Document(kind=kind, key=key, owner="A", body=body, time=time)


def happening(key: str, owner: str = "A", kind: str = "response", time: int = 1) -> Happening:
    return Happening(kind=kind, owner=owner, key=key, body=f"{key} of {owner}", time=time)


def test_a_document_replaces_the_one_before_it_and_keeps_its_place(store: DermsStore) -> None:
    store.keep(document("1", "a"), document("2", "b"), document("3", "c"))
    store.keep(document("2", "B", time=2))
    assert [(d.key, d.body, d.time) for d in store.documents("device")] == [
        ("1", "a", 1),
        ("2", "B", 2),
        ("3", "c", 1),
    ]


def test_a_document_that_is_dropped_is_gone_and_comes_back_at_the_end(store: DermsStore) -> None:
    store.keep(document("1", "a"), document("2", "b"), document("1", None), document("1", "A"))
    assert [(d.key, d.body) for d in store.documents("device")] == [("2", "b"), ("1", "A")]


def test_kinds_do_not_mix(store: DermsStore) -> None:
    store.keep(document("1", "a"), document("1", "p", kind="program"), happening("m"))
    assert [d.body for d in store.documents("device")] == ["a"]
    assert [d.body for d in store.documents("program")] == ["p"]
    assert list(store.happenings("reading")) == []


def test_what_happened_is_found_by_kind_owner_key_and_time_oldest_first(store: DermsStore) -> None:
    store.keep(happening("m1", time=5), happening("m2", time=6))
    store.keep(happening("m1", owner="B", time=7), happening("m1", kind="log", time=8))

    def found(**by: object) -> list[tuple[str, str]]:
        return [(h.owner, h.key) for h in store.happenings("response", **by)]  # type: ignore[arg-type]  # a test's shorthand

    assert found() == [("A", "m1"), ("A", "m2"), ("B", "m1")]
    assert found(owner="A") == [("A", "m1"), ("A", "m2")]
    assert found(key="m1") == [("A", "m1"), ("B", "m1")]
    assert found(owner="A", key="m1", since=6) == []
    assert found(since=6) == [("A", "m2"), ("B", "m1")]


def test_more_entries_than_are_read_at_once_come_whole_and_in_order(store: DermsStore) -> None:
    store.keep(*(happening(str(i), time=i) for i in range(2345)))
    assert [h.key for h in store.happenings("response")] == [str(i) for i in range(2345)]


def test_of_many_entries_only_the_newest_are_read_where_no_more_are_wanted(
    store: DermsStore,
) -> None:
    store.keep(*(happening(str(i), time=i) for i in range(2345)), happening("x", kind="log"))
    assert [h.key for h in store.happenings("response", newest=3)] == ["2342", "2343", "2344"]
    assert [h.key for h in store.happenings("log", newest=3)] == ["x"]
    assert list(store.happenings("reading", newest=3)) == []


def test_what_is_old_goes_bit_by_bit_and_other_kinds_stay(store: DermsStore) -> None:
    store.keep(*(happening(str(i), time=i) for i in range(10)))
    store.keep(happening("sealed", kind="audit", time=0), document("d", "a", time=0))
    assert store.prune(["response", "log"], before=5, most=3).result(timeout=10) == 3
    assert [h.key for h in store.happenings("response")] == ["3", "4", "5", "6", "7", "8", "9"]
    assert store.prune(["response", "log"], before=5, most=3).result(timeout=10) == 2
    assert store.prune(["response", "log"], before=5, most=3).result(timeout=10) == 0
    assert [h.key for h in store.happenings("response")] == ["5", "6", "7", "8", "9"]
    assert [h.key for h in store.happenings("audit")] == ["sealed"]
    assert [d.key for d in store.documents("device")] == ["d"]


def test_a_database_that_is_closed_prunes_nothing(database: Path) -> None:
    with DermsStore.open(database) as store:
        pass
    with pytest.raises(StoreFault, match="is closed"):
        store.prune(["response"], before=5, most=3).result(timeout=10)


def test_what_is_done_is_on_the_disk(store: DermsStore, database: Path) -> None:
    store.keep(document("1", "a"), happening("m")).result(timeout=10)
    with sqlite3.connect(database) as other:  # another connection sees only what was committed
        assert other.execute("SELECT body FROM derms_documents").fetchall() == [("a",)]
        assert other.execute("SELECT key FROM derms_entries").fetchall() == [("m",)]


def test_what_many_hand_over_at_once_is_committed_together_and_in_the_order_of_each(
    store: DermsStore,
) -> None:
    def hand_over(who: int) -> None:
        kept = [store.keep(happening(str(i), owner=str(who))) for i in range(200)]
        assert all(k.result(timeout=30) is None for k in kept)

    threads = [threading.Thread(target=hand_over, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for who in range(8):
        told = [h.key for h in store.happenings("response", owner=str(who))]
        assert told == [str(i) for i in range(200)]


def test_closing_writes_what_was_handed_over_and_refuses_what_comes_later(database: Path) -> None:
    store = DermsStore.open(database)
    kept = [store.keep(happening(str(i))) for i in range(500)]
    store.close()
    store.close()
    assert all(k.done() and k.exception() is None for k in kept)
    with pytest.raises(StoreFault, match="is closed"):
        store.keep(happening("late")).result(timeout=10)
    with DermsStore.open(database) as again:
        assert len(list(again.happenings("response"))) == 500


def test_whoever_stops_waiting_takes_nothing_back(store: DermsStore) -> None:
    assert not store.keep(happening("m")).cancel()
    assert [h.key for h in store.happenings("response")] == ["m"]


def test_a_second_server_is_refused_until_the_first_has_ended(database: Path) -> None:
    with DermsStore.open(database), pytest.raises(LeaseHeld, match="another IEEE"):
        DermsStore.open(database)
    DermsStore.open(database).close()


def test_the_service_and_the_server_share_a_database(database: Path, store: DermsStore) -> None:
    service = Store.open(database)
    store.keep(document("1", "a")).result(timeout=10)
    assert service.latest() is None
    service.close()
    assert [d.body for d in store.documents("device")] == ["a"]


def test_a_database_of_the_version_before_gets_the_tables(database: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine

    import ems.store

    config = Config()
    folder = Path(ems.store.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    engine = create_engine(f"sqlite:///{database}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
    engine.dispose()
    with DermsStore.open(database) as store:
        store.keep(document("1", "a"))
        assert [d.body for d in store.documents("device")] == ["a"]


def test_a_database_that_cannot_be_written_fails_what_waits_and_works_again_afterwards(
    store: DermsStore, database: Path
) -> None:
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("CREATE TRIGGER refused BEFORE INSERT ON derms_entries BEGIN "
                  "SELECT RAISE(ABORT, 'no'); END")  # fmt: skip
    with pytest.raises(StoreFault):
        store.keep(happening("m"), document("1", "a")).result(timeout=10)
    other.execute("DROP TRIGGER refused")
    other.close()
    assert store.documents("device") == []  # all of it or nothing
    store.keep(happening("n")).result(timeout=10)
    assert [h.key for h in store.happenings("response")] == ["n"]


# --- as the server sees it ---------------------------------------------------------------


def change(key: str, body: str | None = "x") -> Change:
    return Change(kind="device", key=key, owner="A", body=body, time=1)


def entry(key: str) -> Entry:
    return Entry(kind="audit", owner="A", key=key, body="y", time=1)


def test_a_keeper_gives_back_what_it_was_given(store: DermsStore) -> None:
    keeper = StoreKeeper(store)
    keeper.keep(change("1"), entry("m"))
    assert list(keeper.documents("device")) == [change("1")]
    assert list(keeper.entries("audit", owner="A", key="m", since=1)) == [entry("m")]


def test_what_is_kept_together_is_durable_at_once_and_not_before(store: DermsStore) -> None:
    keeper = StoreKeeper(store)
    with keeper.together():
        first = keeper.keep(change("1"))
        second = keeper.keep(entry("m"))
        assert not first.done()
    assert first.result(timeout=10) is None
    assert second.result(timeout=10) is None
    assert keeper.keep(change("2")).result(timeout=10) is None
    assert [d.key for d in keeper.documents("device")] == ["1", "2"]


def test_after_a_fault_what_was_changed_before_it_is_kept_all_the_same(store: DermsStore) -> None:
    keeper = StoreKeeper(store)

    def halfway() -> None:
        with keeper.together():
            keeper.keep(change("1"))
            raise ValueError("halfway")

    with pytest.raises(ValueError, match="halfway"):
        halfway()
    assert [d.key for d in keeper.documents("device")] == ["1"]
