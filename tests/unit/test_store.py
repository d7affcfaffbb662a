"""The database: what is kept, how it is found again, and how it fails."""

import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event

from ems.clock import INTERVAL
from ems.domain import CycleRecord, Partial, Sent
from ems.errors import BadInput
from ems.record import from_json, to_json
from ems.store import LOAD, MinuteMean, Store, StoreFault

SAMPLE = Path(__file__).with_name("test_record_sample.json").read_text()
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
FAR = datetime(2100, 1, 1, tzinfo=UTC)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "geems.sqlite")
    yield opened
    opened.close()


def sample(start: datetime = NOON, site: str = "segment13") -> CycleRecord:
    base = from_json(SAMPLE)
    return replace(base, start=start, site=site, forecast=replace(base.forecast, start=start))


def mean(minute: int, p_kw: float, *, device: str = "pv", **known: Any) -> MinuteMean:
    return MinuteMean(device=device, time=NOON + timedelta(minutes=minute), p_kw=p_kw, **known)


# --- cycle records -------------------------------------------------------------------


def test_an_empty_database_has_no_latest_record(store: Store) -> None:
    assert store.latest() is None
    assert store.at(NOON) is None
    assert store.between(LONG_AGO, FAR) == []


def test_a_record_comes_back_as_it_was_appended(store: Store) -> None:
    store.append(sample())
    found = store.latest()
    assert found is not None
    assert to_json(found) == to_json(sample())


def test_a_record_is_found_by_any_time_of_its_interval(store: Store) -> None:
    store.append(sample(NOON))
    last_moment = NOON + INTERVAL - timedelta(microseconds=1)
    found = store.at(last_moment)
    assert found is not None
    assert found.start == NOON
    assert store.at(NOON + INTERVAL) is None
    assert store.at(NOON - timedelta(microseconds=1)) is None


def test_of_two_records_for_one_interval_the_newer_is_shown_and_both_are_kept(
    store: Store,
) -> None:
    store.append(replace(sample(), alarms=("first",)))
    store.append(replace(sample(), alarms=("second",)))
    for found in (store.latest(), store.at(NOON), *store.between(LONG_AGO, FAR)):
        assert found is not None
        assert found.alarms == ("second",)
    assert len(store.setpoints(LONG_AGO, FAR)) == 3
    with sqlite3.connect(store.path) as raw:
        assert raw.execute("select count(*) from cycles").fetchone() == (2,)


def test_history_is_ordered_and_a_limit_keeps_the_latest(store: Store) -> None:
    for i in (3, 0, 2, 1):
        store.append(sample(NOON + i * INTERVAL))
    starts = [r.start for r in store.between(NOON, NOON + 4 * INTERVAL, limit=3)]
    assert starts == [NOON + i * INTERVAL for i in (1, 2, 3)]
    assert [r.start for r in store.between(NOON, NOON + INTERVAL)] == [NOON]


def test_setpoints_tell_outcome_reason_and_read_back(store: Store) -> None:
    base = sample()
    sent = base.outcomes["pv"]
    assert isinstance(sent, Sent)
    failed = Partial(command=sent.command, reason="no answer")
    store.append(replace(base, outcomes={"dg": base.outcomes["dg"], "pv": failed}))
    kept = {k.setpoint.der: k for k in store.setpoints(NOON, NOON + INTERVAL)}
    assert kept["pv"].setpoint == base.secured.dispatch.setpoints["pv"]
    assert (kept["pv"].outcome, kept["pv"].reason) == ("partial", "no answer")
    assert kept["pv"].readback_cap_kw is None
    assert (kept["dg"].outcome, kept["dg"].readback_p_kw) == ("sent", 3000.0)
    assert kept["bes"].outcome == "none"


def test_forecasts_of_every_plant_and_of_the_load_are_kept(store: Store) -> None:
    store.append(sample())
    kept = {k.device: k for k in store.forecasts(NOON, NOON + INTERVAL)}
    assert set(kept) == {"pv", LOAD}
    assert kept["pv"].method == "lstm"
    assert kept["pv"].expected_kw == 9874.2
    assert kept[LOAD].upper_kw is None


def test_quantiles_of_sun_and_load_are_kept_by_level(store: Store) -> None:
    base = sample()
    pv = replace(base.forecast.pv["pv"], quantiles_kw=(8000.0, 9500.0))
    forecast = replace(
        base.forecast, pv={"pv": pv}, levels=(0.05, 0.5), load_quantiles_kw=(13_000.0, 13_200.0),
        load_lower_kw=12_900.0, load_upper_kw=13_400.0, load_method="profile",
    )  # fmt: skip
    store.append(replace(base, forecast=forecast))
    kept = {k.device: k for k in store.forecasts(NOON, NOON + INTERVAL)}
    assert kept["pv"].quantiles_kw == {"0.05": 8000.0, "0.5": 9500.0}
    assert kept[LOAD].quantiles_kw == {"0.05": 13_000.0, "0.5": 13_200.0}
    assert (kept[LOAD].lower_kw, kept[LOAD].upper_kw) == (12_900.0, 13_400.0)
    assert kept[LOAD].method == "profile"


def test_a_nan_in_a_record_does_not_stop_it_from_being_kept(store: Store) -> None:
    base = sample()
    dispatch = replace(base.secured.dispatch, cost_usd_per_h=float("nan"))
    pv = replace(dispatch.setpoints["pv"], p_kw=float("nan"))
    dispatch = replace(dispatch, setpoints={**dispatch.setpoints, "pv": pv})
    store.append(replace(base, secured=replace(base.secured, dispatch=dispatch)))
    found = store.latest()
    assert found is not None
    assert np.isnan(found.secured.dispatch.cost_usd_per_h)
    kept = {k.setpoint.der: k for k in store.setpoints(LONG_AGO, FAR)}
    assert np.isnan(kept["pv"].setpoint.p_kw)


def test_threads_append_and_read_at_once(store: Store) -> None:
    failed: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for i in range(first, first + 10):
                store.append(sample(NOON + i * INTERVAL))
                store.add_minute(mean(i, 1.0, device=f"pv{i}"))
                store.latest()
        except BaseException as error:  # noqa: BLE001  shown by the main thread
            failed.append(error)

    threads = [threading.Thread(target=work, args=(10 * n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert failed == []
    assert len(store.between(LONG_AGO, FAR, limit=100)) == 40


# --- opening and failing -------------------------------------------------------------


def test_records_are_synced_at_every_commit_and_readers_do_not_wait(store: Store) -> None:
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_what_was_kept_is_there_when_opened_again_by_path_or_url(tmp_path: Path) -> None:
    path = tmp_path / "with space %41.sqlite"
    store = Store.open(path)
    store.append(sample())
    store.close()
    again = Store.open(str(path))
    assert again.latest() is not None
    again.close()
    by_url = Store.open(f"sqlite:///{tmp_path}/b.sqlite")
    assert by_url.path == tmp_path / "b.sqlite"
    by_url.close()


def test_the_tables_migrated_to_are_those_the_code_uses(store: Store) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from ems.store.schema import Base

    with store._engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    assert differences == []


def test_a_database_of_the_first_version_is_migrated_and_keeps_what_it_held(
    tmp_path: Path,
) -> None:
    path = tmp_path / "old.sqlite"
    _first_version(path)
    with sqlite3.connect(path) as raw:
        raw.executemany(
            "insert into minutes values ('pv', ?, ?, null, null, null, ?, 6, 1)",
            [(int((NOON + i * INTERVAL).timestamp()) * 10**6, 50.0 + i, i) for i in range(2)],
        )
        raw.execute(
            "insert into cycles (site, start, status, json) values ('segment13', 0, 'verified', ?)",
            (SAMPLE,),
        )
    store = Store.open(path)
    found = store.pv_record("pv", NOON, NOON + 2 * INTERVAL)
    np.testing.assert_array_equal(found.available_kw, [50.0, np.nan])
    np.testing.assert_array_equal(found.floor_kw, [50.0, 51.0])
    np.testing.assert_array_equal(found.cap_kw, [np.inf, np.nan])
    assert store.latest() is not None
    store.append(sample())
    assert len(store.forecasts(LONG_AGO, FAR)) == 2
    store.close()


def _first_version(path: Path) -> None:
    """A database as the first version of GEEMS made it."""
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine

    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "ems:store/migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()


def test_a_database_of_a_newer_version_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "geems.sqlite"
    Store.open(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute("update alembic_version set version_num = '9999'")
    with pytest.raises(BadInput, match=r"newer version of GEEMS \(schema 9999.*install"):
        Store.open(path)
    with sqlite3.connect(path) as raw:
        assert raw.execute("select version_num from alembic_version").fetchone() == ("9999",)


def test_a_database_of_another_program_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as raw:
        raw.execute("create table songs (title)")
    with pytest.raises(BadInput, match="another program"):
        Store.open(path)
    with sqlite3.connect(path) as raw:
        tables = raw.execute("select name from sqlite_master").fetchall()
    assert tables == [("songs",)]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be taken for one\n" * 100)
    with pytest.raises(StoreFault, match="no SQLite database; give another path"):
        Store.open(path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nowhere/geems.sqlite", "folder .*nowhere does not exist; create it first"),
        ("", "is a folder"),
        (":memory:", "give the path"),
    ],
)
def test_a_path_that_cannot_be_is_refused(tmp_path: Path, given: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Store.open(given if given.startswith(":") else tmp_path / given)


def test_a_file_that_cannot_be_opened_is_a_path_chosen_badly(tmp_path: Path) -> None:
    path = tmp_path / "geems.sqlite"
    path.symlink_to(tmp_path / "gone" / "geems.sqlite")
    with pytest.raises(BadInput, match="cannot be opened; check the path") as refused:
        Store.open(path)
    (fault,) = refused.value.faults
    assert fault.place == str(path)
    assert str(path) not in fault.problem


def test_a_database_server_is_refused() -> None:
    with pytest.raises(BadInput, match="give the path of one"):
        Store.open("postgresql://db/geems")
    with pytest.raises(BadInput):
        Store.open("no such scheme://x")


def test_a_full_disk_is_one_clear_fault_and_loses_nothing_kept_before(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "geems.sqlite")
    store.append(sample())
    with store._engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    limit = f"PRAGMA max_page_count={pages + 2}"
    store._engine.dispose()
    event.listen(store._engine, "connect", lambda raw, _: raw.execute(limit).close())
    many = sample(NOON + INTERVAL)
    with pytest.raises(StoreFault, match="the disk is full; free some space"):
        store.append(replace(many, alarms=("a line that fills pages",) * 10_000))
    found = store.at(NOON)
    assert found is not None
    store.close()


def test_a_database_locked_by_another_program_is_one_clear_fault(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "geems.sqlite", busy_timeout_s=0.05)
    other = sqlite3.connect(tmp_path / "geems.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreFault, match="holds it locked; close that program"):
        store.append(sample())
    assert store.latest() is None, "reading goes on meanwhile"
    other.execute("ROLLBACK")
    store.append(sample())
    other.close()
    store.close()
