"""Copies of the database, made while others write, and their way back."""

import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ems.clock import INTERVAL
from ems.domain import CycleRecord
from ems.errors import BadInput, LeaseHeld
from ems.record import from_json
from ems.store import (
    Damaged,
    DermsStore,
    Document,
    Happening,
    Holder,
    Store,
    StoreFault,
    back_up,
    examine,
    restore,
)
from ems.store import backup as module

SAMPLE = Path(__file__).with_name("test_record_sample.json").read_text()
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
SITE = "segment13"
HOLDING = """
import sys
from ems.store import Store
store = Store.open(sys.argv[1])
store.latest()
print("open", flush=True)
sys.stdin.read()
"""


def sample(k: int = 0, site: str = SITE) -> CycleRecord:
    base, start = from_json(SAMPLE), NOON + k * INTERVAL
    return replace(base, start=start, site=site, forecast=replace(base.forecast, start=start))


def written(path: Path, *records: CycleRecord) -> Path:
    with closing(Store.open(path)) as store:
        for record in records:
            store.append(record)
    return path


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return written(tmp_path / "geems.sqlite", sample(0), sample(1), sample(2))


def starts(path: Path) -> list[datetime]:
    with closing(Store.open(path)) as store:
        return [r.start for r in store.between(NOON - INTERVAL, NOON + timedelta(days=9))]


def files(folder: Path) -> dict[str, bytes]:
    """All but what SQLite has beside a database while somebody reads, and leaves there."""
    beside = ("-wal", "-shm")
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.endswith(beside)}


def interrupted(_done: int, _pages: int) -> None:
    raise KeyboardInterrupt


# --- a copy --------------------------------------------------------------------------


def test_a_copy_is_one_file_of_its_owners_and_tells_what_it_holds(
    database: Path, tmp_path: Path
) -> None:
    with DermsStore.open(database) as served:
        happened = [Happening(kind="response", owner="A", key=k, body="", time=1) for k in "xyz"]
        served.keep(Document(kind="device", key="1", owner="A", body="…", time=1), *happened)
    held = back_up(database, tmp_path / "copy.sqlite")
    assert (held.cycles, held.first, held.last) == (3, NOON, NOON + 2 * INTERVAL)
    assert (held.sites, held.entries) == ((SITE,), 3)
    assert held.size_bytes == held.file.stat().st_size
    assert held == examine(held.file)
    assert stat.S_IMODE(held.file.stat().st_mode) == 0o600
    assert sorted(p.name for p in tmp_path.glob("copy*")) == ["copy.sqlite"]


def test_what_is_written_while_it_is_made_is_not_in_it_and_does_not_hinder_it(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page copied, another process writes a cycle."""
    monkeypatch.setattr(module, "PAGES_AT_ONCE", 1)
    with closing(Store.open(database)) as store:
        told: list[tuple[int, int]] = []

        def written_meanwhile(done: int, pages: int) -> None:
            told.append((done, pages))
            store.append(sample(len(told) + 2))

        held = back_up(database, tmp_path / "copy.sqlite", progress=written_meanwhile)
        latest = store.latest()
    assert held.cycles == 3
    assert told == [(k, len(told)) for k in range(1, len(told) + 1)]
    assert latest is not None
    assert latest.start == NOON + (len(told) + 2) * INTERVAL


def test_the_right_to_write_is_not_in_it(database: Path, tmp_path: Path) -> None:
    with closing(Store.open(database)) as store:
        store.take_lease(SITE, str(Holder.this_process()), 600, NOON)
        copy = back_up(database, tmp_path / "copy.sqlite").file
        assert store.lease(SITE) is not None
    with closing(Store.open(copy)) as store:
        assert store.lease(SITE) is None


def test_nothing_is_written_over(database: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.sqlite").write_text("mine")
    with pytest.raises(BadInput, match="is there already; give another name"):
        back_up(database, tmp_path / "copy.sqlite")
    assert (tmp_path / "copy.sqlite").read_text() == "mine"


def test_a_copy_that_fails_leaves_nothing(database: Path, tmp_path: Path) -> None:
    before = files(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        back_up(database, tmp_path / "copy.sqlite", progress=interrupted)
    assert files(tmp_path) == before
    assert back_up(database, tmp_path / "copy.sqlite").cycles == 3


def test_no_file_beside_it_is_touched(tmp_path: Path) -> None:
    database = written(tmp_path / "db.part", sample())
    assert back_up(database, tmp_path / "db").cycles == 1
    assert examine(database).cycles == 1


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "no such file"),
        (b"", "is empty, and no database of GEEMS"),
        (b"no database" * 1000, "it is no SQLite database"),
    ],
)
def test_what_is_no_database_is_not_copied(
    tmp_path: Path, content: bytes | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / "geems.sqlite").write_bytes(content)
    with pytest.raises((BadInput, StoreFault), match=problem):
        back_up(tmp_path / "geems.sqlite", tmp_path / "copy.sqlite")
    assert list(tmp_path.glob("copy*")) == []


def test_the_database_of_another_program_is_not_copied(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as other:
        other.execute("CREATE TABLE notes (text)")
    with pytest.raises(BadInput, match="is a database of another program"):
        back_up(tmp_path / "other.sqlite", tmp_path / "copy.sqlite")


def test_a_copy_into_a_folder_that_is_not_there_or_not_ones_own(
    database: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r"the folder .*nowhere does not exist; create it first"):
        back_up(database, tmp_path / "nowhere" / "copy.sqlite")
    with pytest.raises(BadInput, match="cannot be written"):
        back_up(database, Path("/proc/copy.sqlite"))


# --- its way back --------------------------------------------------------------------


def test_a_copy_comes_back_and_what_stood_there_is_kept(database: Path, tmp_path: Path) -> None:
    copy = back_up(database, tmp_path / "copy.sqlite").file
    written(database, sample(7))
    restored = restore(copy, database, SITE)
    assert starts(database) == [NOON, NOON + INTERVAL, NOON + 2 * INTERVAL]
    assert restored.held.cycles == 3
    assert restored.aside is not None
    assert starts(restored.aside)[-1] == NOON + 7 * INTERVAL
    with closing(Store.open(database)) as store:
        assert store.lease(SITE) is None


def test_a_copy_comes_back_where_nothing_stands(database: Path, tmp_path: Path) -> None:
    copy = back_up(database, tmp_path / "copy.sqlite").file
    new = tmp_path / "new.sqlite"
    assert restore(copy, new, SITE).aside is None
    assert len(starts(new)) == 3
    assert stat.S_IMODE(new.stat().st_mode) == 0o600


def test_a_log_without_its_database_is_not_taken_for_that_of_the_copy(
    database: Path, tmp_path: Path
) -> None:
    """A damaged database is removed by hand, its log is forgotten."""
    copy = back_up(database, tmp_path / "copy.sqlite").file
    with closing(Store.open(database)) as store:
        store.append(sample(7))
        log = Path(f"{database}-wal").read_bytes()
    assert len(log) > 4096
    database.unlink()
    Path(f"{database}-wal").write_bytes(log)
    restore(copy, database, SITE)
    assert starts(database) == [NOON, NOON + INTERVAL, NOON + 2 * INTERVAL]
    assert examine(database).cycles == 3
    Path(f"{tmp_path / 'new.sqlite'}-wal").write_bytes(log)
    with pytest.raises(BadInput, match="stands there without its database; give another name"):
        back_up(database, tmp_path / "new.sqlite")


def test_a_service_that_begins_while_the_copy_is_made_is_seen(
    database: Path, tmp_path: Path
) -> None:
    copy = back_up(database, tmp_path / "copy.sqlite").file
    with closing(Store.open(database)) as store:

        def begun(_done: int, _pages: int) -> None:
            store.take_lease(SITE, "the service", 600, datetime.now(UTC))

        with pytest.raises(LeaseHeld, match="the service"):
            restore(copy, database, SITE, progress=begun)
    assert len(starts(database)) == 3


@pytest.mark.parametrize("name", ["n" * 300, "n" * 252])
def test_a_name_that_is_too_long_is_one_clear_fault(
    database: Path, tmp_path: Path, name: str
) -> None:
    if len(name) > 255:
        with pytest.raises(BadInput, match="File name too long"):
            back_up(database, tmp_path / name)
        with pytest.raises(BadInput, match="no such file"):
            restore(tmp_path / name, database, SITE)
    else:
        assert back_up(database, tmp_path / name).cycles == 3


def test_a_copy_comes_back_in_the_place_of_a_damaged_database(
    database: Path, tmp_path: Path
) -> None:
    copy = back_up(database, tmp_path / "copy.sqlite").file
    whole = database.read_bytes()
    for damage in (b"not a database at all" * 500, whole[:4096] + b"\xff" * (len(whole) - 4096)):
        database.write_bytes(damage)
        restored = restore(copy, database, SITE)
        assert len(starts(database)) == 3
        assert restored.aside is not None
        assert restored.aside.read_bytes() == damage
        restored.aside.unlink()


def test_a_damaged_copy_does_not_come_back(database: Path, tmp_path: Path) -> None:
    copy = back_up(database, tmp_path / "copy.sqlite").file
    whole = copy.read_bytes()
    copy.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    before = database.read_bytes()
    with pytest.raises(Damaged):
        restore(copy, database, SITE)
    assert database.read_bytes() == before
    assert list(tmp_path.glob("*before*")) == []


def test_a_copy_of_another_site_does_not_come_back(database: Path, tmp_path: Path) -> None:
    other = written(tmp_path / "other.sqlite", sample(0, "north"))
    with pytest.raises(BadInput, match="holds records of north, none of segment13"):
        restore(other, database, SITE)
    assert len(starts(database)) == 3


def test_nothing_comes_back_under_a_service_or_a_server(database: Path, tmp_path: Path) -> None:
    copy = back_up(database, tmp_path / "copy.sqlite").file
    now = datetime.now(UTC)
    with closing(Store.open(database)) as store:
        store.take_lease(SITE, "the service", 600, now)
        with pytest.raises(LeaseHeld, match="is already run by the service"):
            restore(copy, database, SITE)
        store.release(SITE, "the service")
    with DermsStore.open(database), pytest.raises(LeaseHeld, match=r"another IEEE 2030\.5 server"):
        restore(copy, database, SITE)
    assert list(tmp_path.glob("*before*")) == []


def test_nothing_comes_back_under_another_program_damaged_or_not(
    database: Path, tmp_path: Path
) -> None:
    """A service controls on while its database is damaged: a second one must not begin."""
    copy = back_up(database, tmp_path / "copy.sqlite").file
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(database)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        for damaged in (False, True):
            if damaged:
                database.write_bytes(b"not a database at all" * 500)
            with pytest.raises(LeaseHeld, match=f"process {other.pid} has it open"):
                restore(copy, database, SITE)
        other.communicate("")
    assert restore(copy, database, SITE).aside is not None
    assert len(starts(database)) == 3


def test_a_database_does_not_come_back_to_itself(database: Path, tmp_path: Path) -> None:
    (tmp_path / "link.sqlite").symlink_to(database)
    (tmp_path / "hard.sqlite").hardlink_to(database)
    for file in (database, tmp_path / "link.sqlite", tmp_path / "hard.sqlite"):
        with pytest.raises(BadInput, match="is the database itself; give a copy of it"):
            restore(file, database, SITE)
    assert len(starts(database)) == 3


def test_behind_a_link_the_database_comes_back_where_it_lies(
    database: Path, tmp_path: Path
) -> None:
    copy = back_up(database, tmp_path / "copy.sqlite").file
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link.sqlite").symlink_to(database)
    restored = restore(copy, tmp_path / "elsewhere" / "link.sqlite", SITE)
    assert (tmp_path / "elsewhere" / "link.sqlite").is_symlink()
    assert restored.aside is not None
    assert restored.aside.parent == tmp_path
    assert len(starts(database)) == 3


@pytest.mark.parametrize("state", ["sound", "damaged", "missing"])
def test_a_way_back_that_is_interrupted_leaves_what_stood_there(
    database: Path, tmp_path: Path, state: str
) -> None:
    copy = back_up(database, tmp_path / "copy.sqlite").file
    if state == "damaged":
        database.write_bytes(b"not a database at all" * 500)
    if state == "missing":
        database.unlink()
    before = files(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        restore(copy, database, SITE, progress=interrupted)
    if state == "sound":
        assert len(starts(database)) == 3
        with closing(Store.open(database)) as store:
            assert store.lease(SITE) is None
    assert files(tmp_path).keys() == before.keys()
    assert state == "sound" or files(tmp_path) == before


def test_a_copy_of_an_older_version_comes_back_and_is_brought_up_to_date(
    database: Path, tmp_path: Path
) -> None:
    copy = back_up(database, tmp_path / "copy.sqlite").file
    with closing(sqlite3.connect(copy)) as older:  # as before the IEEE 2030.5 server kept state
        older.execute("DROP TABLE derms_entries")
        older.execute("DROP TABLE derms_documents")
        older.execute("ALTER TABLE forecasts DROP COLUMN notes")
        older.execute("UPDATE alembic_version SET version_num = '0003'")
        older.commit()
    assert examine(copy).entries == 0
    restore(copy, database, SITE)
    assert len(starts(database)) == 3
    with DermsStore.open(database) as served:
        assert served.documents("device") == []
