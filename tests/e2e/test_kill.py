"""Kill -9 at any moment loses nothing that was acknowledged."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ems.clock import INTERVAL
from ems.store import Store

SAMPLE = Path(__file__).parents[1] / "unit" / "test_record_sample.json"
FIRST = datetime(2026, 7, 1, tzinfo=UTC)

# argv: database, sample record. Writes as fast as it can; each line tells what was acknowledged.
WRITER = textwrap.dedent("""
    import sys
    from dataclasses import replace
    from datetime import UTC, datetime, timedelta
    from pathlib import Path
    from ems.clock import INTERVAL
    from ems.record import from_json
    from ems.store import MinuteMean, Store

    base = from_json(Path(sys.argv[2]).read_text())
    store = Store.open(sys.argv[1])
    first = datetime(2026, 7, 1, tzinfo=UTC)
    n = len(store.between(first, first + timedelta(days=3650), limit=10**9))
    while True:
        start = first + n * INTERVAL
        store.append(replace(base, start=start, forecast=replace(base.forecast, start=start)))
        store.add_minute(MinuteMean(device="pv", time=start, p_kw=float(n)))
        n += 1
        print(n, flush=True)
""")


def write_and_kill(database: Path, acknowledged: int) -> int:
    """Run a writer until it has acknowledged so many more records, kill it; all it told."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(database), str(SAMPLE)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert writer.stdout is not None
        for _ in range(acknowledged):
            assert writer.stdout.readline(), "the writer ended by itself"
    finally:
        os.kill(writer.pid, signal.SIGKILL)
        rest, _ = writer.communicate(timeout=30)
    assert writer.returncode == -signal.SIGKILL
    told = [int(line) for line in rest.splitlines() if line.strip()]
    return told[-1] if told else acknowledged


@pytest.mark.parametrize("round_", range(3))
def test_every_acknowledged_record_outlives_a_kill(tmp_path: Path, round_: int) -> None:
    database = tmp_path / "geems.sqlite"
    told = write_and_kill(database, acknowledged=5 + 7 * round_)

    store = Store.open(database)
    records = store.between(FIRST, FIRST + timedelta(days=3650), limit=10**9)
    minutes = store.measurements(FIRST, FIRST + timedelta(days=3650), "pv")
    setpoints = store.setpoints(FIRST, FIRST + timedelta(days=3650))
    store.close()

    # One more may have been written and not yet told; nothing is half there.
    assert told <= len(records) <= told + 1
    assert [r.start for r in records] == [FIRST + i * INTERVAL for i in range(len(records))]
    assert len(setpoints) == 3 * len(records)
    assert told <= len(minutes) <= told + 1
    with sqlite3.connect(database) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []


def test_a_database_whose_writer_was_killed_is_written_on(tmp_path: Path) -> None:
    database = tmp_path / "geems.sqlite"
    write_and_kill(database, acknowledged=3)
    write_and_kill(database, acknowledged=3)
    store = Store.open(database)
    assert len(store.between(FIRST, FIRST + timedelta(days=1))) >= 6
    store.close()
