"""What cycles were run with, kept once; and the record before one."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ems.clock import INTERVAL
from ems.domain import CycleRecord, Policy, Setup
from ems.record import from_json
from ems.store import Store
from tests.sites import segment

SAMPLE = Path(__file__).with_name("test_record_sample.json").read_text()
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "geems.sqlite")
    yield opened
    opened.close()


def sample(start: datetime = NOON) -> CycleRecord:
    base = from_json(SAMPLE)
    return replace(base, start=start, forecast=replace(base.forecast, start=start))


def run_with(v_max_pu: float, start: datetime = NOON) -> CycleRecord:
    """A record that tells what it was run with."""
    site = segment(v_max_pu=v_max_pu)
    return replace(sample(start), setup=Setup(site=site, policy=Policy(), feeder="segment13 ab"))


def test_what_cycles_were_run_with_is_kept_once_and_found_with_each(store: Store) -> None:
    for i, v_max_pu in enumerate((1.10, 1.10, 1.05, 1.10)):
        store.append(run_with(v_max_pu, NOON + i * INTERVAL))
    with sqlite3.connect(store.path) as raw:
        assert raw.execute("select count(*) from setups").fetchone() == (2,)
        assert "latitude_deg" not in raw.execute("select json from cycles").fetchone()[0]
    other = Store.open(store.path)
    found = other.between(NOON, NOON + 4 * INTERVAL)
    assert [r.setup for r in found] == [run_with(v).setup for v in (1.10, 1.10, 1.05, 1.10)]
    last = other.latest()
    assert last is not None
    assert last.setup == found[-1].setup
    other.close()


def test_a_record_whose_setup_was_taken_out_is_shown_all_the_same(store: Store) -> None:
    store.append(run_with(1.10))
    with sqlite3.connect(store.path) as raw:
        raw.execute("delete from setups")
    other = Store.open(store.path)
    found = other.latest()
    assert found is not None
    assert found.setup is None
    other.close()


def test_the_record_before_one_is_that_appended_before_its_newest(store: Store) -> None:
    first, second = sample(NOON), replace(sample(NOON), alarms=("decided again",))
    assert store.before(first) is None
    for record in (first, second, sample(NOON + INTERVAL)):
        store.append(record)
    before = store.before(second)
    assert before is not None
    assert before.alarms == ()
    before = store.before(sample(NOON + INTERVAL))
    assert before is not None
    assert before.alarms == ("decided again",)


def test_a_database_of_the_version_before_keeps_its_records_and_takes_setups(
    tmp_path: Path,
) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine

    path = tmp_path / "old.sqlite"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "ems:store/migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
    engine.dispose()
    with sqlite3.connect(path) as raw:
        raw.execute(
            "insert into cycles (site, start, status, json) values ('s', ?, 'verified', ?)",
            (int(NOON.timestamp()) * 10**6, SAMPLE),
        )
    store = Store.open(path)
    store.append(run_with(1.05, NOON + INTERVAL))
    assert [r.setup is None for r in store.between(NOON, NOON + 2 * INTERVAL)] == [True, False]
    store.close()
