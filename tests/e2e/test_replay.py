"""A day of the demo decided again by another process, from its database alone."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ems.clock import INTERVAL
from ems.demo.link import modbus_link
from ems.domain import CycleRecord
from ems.plant import GeneratedProfile, Plant
from ems.settings import TEMPLATE, load_settings

pytestmark = pytest.mark.timeout(900)
"""A day of a hundred cycles and one replay of each: a minute of one core, more where it is shared
with others [s]."""

CYCLES = 100
START = datetime(2019, 7, 15, 13, tzinfo=UTC)
"""Morning, a sunny Monday: the demo's day."""

REPLAY_ALL = """
import json, sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from ems.replay import again, compared, given_of
from ems.settings import load_settings
from ems.store import Store
from feeders import Feeder

settings = load_settings(Path("site.toml"), {})
with closing(Store.open("geems.sqlite")) as store:
    ages = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    records = store.between(*ages, limit=1000)
told = {}
feeder = Feeder.open(settings.feeder_source(), settings.to_site().placements)
for record in reversed(records):
    made = again(record, given_of(record, None, None), feeder)
    found = compared(record, made)
    told[record.start.isoformat()] = [found.values, [str(d) for d in found.differences]]
feeder.close()
print(json.dumps(told))
"""
"""The replays of all records, one after the other, the last one first."""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[CycleRecord]]:
    """The demo's plant over Modbus, a whole day; halfway through a plug is pulled."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "site.toml").write_text(TEMPLATE.read_text())
    settings = load_settings(folder / "site.toml", {})
    site, feeder = settings.to_site(), settings.feeder_source()
    profile = GeneratedProfile(site, 5, START.date())
    plant = Plant(site, feeder, profile, START, seed=5, inverters="ieee1547")
    records: list[CycleRecord] = []
    try:
        with modbus_link(plant) as link, link.open_site(settings) as opened:
            # Nobody refreshes what is written: the timers outlast the interval.
            opened.policy = replace(opened.policy, reversion_s=1200, keep_alive_s=None)
            for k in range(CYCLES):
                if k == CYCLES // 2:
                    link.unplug("bes")
                records.append(opened.run(START + k * INTERVAL))
                plant.advance_to(START + (k + 1) * INTERVAL)
    finally:
        plant.close()
    return folder, records


def test_a_hundred_cycles_are_the_same_to_the_last_bit_in_another_process(
    played: tuple[Path, list[CycleRecord]],
) -> None:
    folder, records = played
    done = subprocess.run(
        [sys.executable, "-c", REPLAY_ALL], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert list(told) == [r.start.isoformat() for r in reversed(records)]
    assert len(told) == CYCLES
    assert all(values > 400 for values, _ in told.values())
    assert {start: bad for start, (_, bad) in told.items() if bad} == {}
    assert {r.status for r in records} == {"verified", "degraded"}, "also without the battery"


def test_the_command_says_so_of_one_of_them(played: tuple[Path, list[CycleRecord]]) -> None:
    folder, records = played
    start = records[CYCLES // 2 + 3].start
    done = subprocess.run(
        [sys.executable, "-m", "ems.cli", "replay", start.isoformat(), "--json"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["identical"] is True
    assert document["inputs"] == document["notes"] == []
