"""Kill -9 at any moment loses nothing that was acknowledged, and leaves a safe feeder."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ems.clock import INTERVAL
from ems.settings import TEMPLATE
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
        with writer:  # reads on where the lines above ended, unlike `communicate`
            rest = writer.stdout.read() if writer.stdout is not None else ""
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


# --- a service that is killed while it is in control ----------------------------------

SPEED = 20.0
"""Simulated seconds per second: a reversion time of 300 s is 15 s, a cycle still takes seconds."""
START_AT = datetime(2019, 7, 15, 19, 30, tzinfo=UTC)
"""A sunny noon at the site of the template."""
REVERSION_S = 300
STEP_S = 10.0
"""How often the plant tells what it does [s]."""

# argv: site file, start, speed. Tells its addresses, then one line per step: orders in force, what
# is delivered, and whether the true feeder broke a limit.
PLANT = textwrap.dedent("""
    import json
    import sys
    import threading
    from datetime import UTC, datetime, timedelta
    from pathlib import Path
    from ems.clock import ScaledClock
    from ems.plant import GeneratedProfile, Plant
    from ems.settings import load_settings

    settings = load_settings(Path(sys.argv[1]), {})
    site, start = settings.to_site(), datetime.fromisoformat(sys.argv[2])
    plant = Plant(site, settings.feeder_source(), GeneratedProfile(site, 1, start.date()), start)
    addresses = {name: [a.host, a.port] for name, a in plant.start().items()}
    began = datetime.now(UTC)
    clock = ScaledClock(start, float(sys.argv[3]))
    print(json.dumps({"began": began.isoformat(), "addresses": addresses}), flush=True)
    tick, step = threading.Event(), timedelta(seconds=float(sys.argv[4]))
    while True:
        due = plant.now + step
        tick.wait(max(0.0, (due - clock.now()).total_seconds() / clock.speed))
        plant.advance_to(due)
        orders = {n: d.orders for n, d in plant._devices.items()}
        print(json.dumps({
            "time": due.isoformat(),
            "caps": {n: o.cap_kw for n, o in orders.items()},
            "asked": {n: [o.p_kw or 0.0, o.q_kvar or 0.0] for n, o in orders.items()},
            "p_kw": dict(plant.truth().p_kw),
            "violated": any(e.violated for e in plant.excursions(site.limits)),
        }), flush=True)
""")

# argv: site file, when the plant began (real, simulated), speed, addresses. Tells of each cycle.
SERVICE = textwrap.dedent("""
    import json
    import sys
    import threading
    from datetime import UTC, datetime
    from pathlib import Path
    from ems.assembly import open_site
    from ems.clock import ScaledClock
    from ems.daemon import Service
    from ems.domain import DeviceAddress
    from ems.settings import load_settings

    site_file, began, start, speed, addresses = sys.argv[1:]
    speed = float(speed)
    there = {
        n: DeviceAddress(host=h, port=p, timeout_s=1.0)
        for n, (h, p) in json.loads(addresses).items()
    }
    settings = load_settings(Path(site_file), {})
    with open_site(settings, there) as opened:
        since = (datetime.now(UTC) - datetime.fromisoformat(began)) * speed
        clock = ScaledClock(datetime.fromisoformat(start) + since, speed)
        service = Service(
            site=opened.site, policy=opened.policy, ports=opened.ports, store=opened.store,
            run=opened.run, clock=clock, poll_s=settings.control.poll_s,
        )
        service.start()
        done = 0
        while True:
            service.wait_for_cycles(done + 1, 600.0)
            done += 1
            print(json.dumps({"cycles": done, "failures": service.health().failures}), flush=True)
""")


class PlantProcess:
    """The plant in a process of its own, and what it told so far."""

    def __init__(self, site_file: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PLANT, str(site_file), START_AT.isoformat(), str(SPEED),
             str(STEP_S)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        head = self._line()
        self.began, self.addresses = head["began"], head["addresses"]
        self.told: list[dict[str, Any]] = []

    def _line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the plant ended by itself"
        found: dict[str, Any] = json.loads(line)
        return found

    def until(self, true: Callable[[dict[str, Any]], bool], at_most_s: float) -> dict[str, Any]:
        """Read on until a step of which something is true; fails after so much simulated time."""
        end: datetime | None = None
        while True:
            step = self._line()
            step["time"] = datetime.fromisoformat(step["time"])
            self.told.append(step)
            if true(step):
                return step
            end = end or step["time"] + timedelta(seconds=at_most_s)
            assert step["time"] < end, f"not within {at_most_s:g} s: {step}"

    def live(self, seconds: float) -> list[dict[str, Any]]:
        """The steps of so much simulated time."""
        first = len(self.told)
        end = self.until(lambda _: True, 60)["time"] + timedelta(seconds=seconds)
        self.until(lambda step: step["time"] >= end, seconds + 60)
        return self.told[first:]


@contextmanager
def running(arguments: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def fallen_back(step: dict[str, Any]) -> bool:
    """The reversion values of the template are in force in every device."""
    return bool(
        step["caps"]["pv"] == 1000.0 and step["asked"]["bes"] == [0.0, 0.0]
        and step["asked"]["dg"] == [0.0, 0.0] and step["p_kw"]["pv"] <= 1000.0
    )  # fmt: skip


def test_killed_in_control_every_device_falls_back_in_time_and_control_resumes_without_a_violation(
    tmp_path: Path,
) -> None:
    site_file = tmp_path / "site.toml"
    site_file.write_text(TEMPLATE.read_text(encoding="utf-8"), encoding="utf-8")
    plant = PlantProcess(site_file)
    of_service = [SERVICE, str(site_file), plant.began, START_AT.isoformat(), str(SPEED),
                  json.dumps(plant.addresses)]  # fmt: skip
    try:
        with running(of_service) as service:
            assert service.stdout is not None
            assert json.loads(service.stdout.readline())["failures"] == 0
            plant.until(lambda step: step["caps"]["pv"] is not None, 600)
            # Longer than the timers: only refreshing keeps the commands in force.
            kept = plant.live(REVERSION_S + 60)
            assert not any(fallen_back(step) for step in kept)
            assert not any(step["violated"] for step in kept)
            os.kill(service.pid, signal.SIGKILL)
            service.wait(30)
        killed = plant.until(lambda _: True, 60)["time"]
        back = plant.until(fallen_back, REVERSION_S + 60)
        assert (back["time"] - killed).total_seconds() <= REVERSION_S + 2 * STEP_S

        with running(of_service) as service:
            assert service.stdout is not None
            assert json.loads(service.stdout.readline())["failures"] == 0
            resumed = plant.until(lambda step: step["caps"]["pv"] != 1000.0, 900)
            later = plant.live(120)
            os.kill(service.pid, signal.SIGKILL)
    finally:
        plant.process.kill()
        plant.process.communicate(timeout=30)
    assert not any(step["violated"] for step in plant.told if step["time"] >= killed)
    with closing(Store.open(tmp_path / "geems.sqlite")) as store:
        records = store.between(START_AT, START_AT + timedelta(days=1))
    caps = [r.secured.dispatch.setpoints["pv"].cap_kw for r in records]
    verified = [cap for cap in caps if cap is not None]
    assert verified, "the sun is high: PV is capped"
    for step in [resumed, *later]:
        cap = step["caps"]["pv"]
        assert cap is not None
        assert cap <= max(verified)
        assert step["p_kw"]["pv"] <= cap + 1.0
