"""The machine's clock is set while a real service controls a plant over Modbus.

Only what the service's process takes for the machine's clock is set, and no other's.
"""

import json
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ems.clock import INTERVAL, interval_start
from ems.settings import TEMPLATE
from ems.store import Store

START = datetime.fromisoformat("2019-07-15T19:35:00+00:00")
"""A sunny noon at the site of the template, and no quarter of an hour for ten minutes."""
PATIENCE_S = 60.0
"""Longest wait for something that comes within seconds unless the machine is overloaded [s]."""
PAUSE_S = 0.1
"""Between two questions [s]."""

# argv: site file, what the clock shows first. Each line of standing input sets it by so many
# seconds; standard output tells the address of the page.
PROGRAM = textwrap.dedent("""
    import sys
    import threading
    from datetime import UTC, datetime, timedelta
    from pathlib import Path

    import apscheduler.schedulers.base

    import ems.daemon.schedule
    from ems.assembly import open_site
    from ems.clock import ScaledClock, WallClock
    from ems.daemon import Service, serve
    from ems.plant import GeneratedProfile, Plant, run_plant
    from ems.settings import load_settings

    real, start = datetime, datetime.fromisoformat(sys.argv[2])

    class Set(datetime):
        ahead = start - real.now(UTC)

        @classmethod
        def now(cls, tz=None):
            return real.now(tz) + cls.ahead

    # All that reads the machine's clock in the daemon; the plant's own clock is not set.
    apscheduler.schedulers.base.datetime = ems.daemon.schedule.datetime = Set
    clock, lease_clock = (WallClock(lambda: Set.now(UTC)) for _ in range(2))

    def obey():
        for line in sys.stdin:
            Set.ahead += timedelta(seconds=float(line))

    settings = load_settings(Path(sys.argv[1]), {})
    profile = GeneratedProfile(settings.to_site(), 1, start.date())
    plant = Plant(settings.to_site(), settings.feeder_source(), profile, start)
    stop = threading.Event()
    lives = threading.Thread(target=run_plant, args=(plant, ScaledClock(start, 1.0), stop))
    try:
        with open_site(settings, plant.start()) as opened:
            lives.start()
            threading.Thread(target=obey, daemon=True).start()
            service = Service(
                site=opened.site, policy=opened.policy, ports=opened.ports, store=opened.store,
                run=opened.run, clock=clock, lease_clock=lease_clock,
                poll_s=settings.control.poll_s,
            )
            serve(service, "127.0.0.1", 0, lambda url: print(url, flush=True))
    finally:
        stop.set()
        lives.join()
        plant.close()
""")


class Served:
    """A service, and what it tells."""

    def __init__(self, process: subprocess.Popen[str], database: Path) -> None:
        assert process.stdout is not None
        self.process, self.database = process, database
        self.url = process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:")

    def set_clock(self, by: timedelta) -> None:
        assert self.process.stdin is not None
        print(by.total_seconds(), file=self.process.stdin, flush=True)

    def health(self) -> dict[str, Any]:
        address = f"{self.url}api/v1/health"
        with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:  # noqa: S310  our own
            told: dict[str, Any] = json.load(answer)
        return told

    def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Ask until it tells something."""
        ends = time.monotonic() + PATIENCE_S
        while not condition(told := self.health()):
            assert time.monotonic() < ends, told
            time.sleep(PAUSE_S)
        return told

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE_S) == 0


def when(text: str | None) -> datetime:
    assert text is not None
    return datetime.fromisoformat(text)


def refreshed(told: dict[str, Any]) -> datetime:
    """The oldest of the last refreshes."""
    devices = (d for name, d in told["devices"].items() if name != "load")
    return min(when(d["refreshed"]) for d in devices)


def in_control(told: dict[str, Any]) -> bool:
    """Whether every command is in force."""
    devices = [d for name, d in told["devices"].items() if name != "load"]
    return bool(devices) and all(d["refreshed"] for d in devices)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    site = tmp_path / "site.toml"
    text = TEMPLATE.read_text(encoding="utf-8").replace("poll_s = 10\n", "poll_s = 0.5\n")
    site.write_text(text.replace("keep_alive_s = 60 ", "keep_alive_s = 2 "), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(site), START.isoformat()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Served(process, tmp_path / "geems.sqlite")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("by", "way"), [(timedelta(hours=-2), "back"), (timedelta(hours=2), "forward")]
)
def test_a_service_whose_clock_was_set_polls_refreshes_and_decides_on(
    served: Served, by: timedelta, way: str
) -> None:
    served.until(lambda told: told["ready"] and in_control(told))
    served.set_clock(by)

    told = served.until(lambda told: any("the clock was set" in a for a in told["alarms"]))
    assert any(f"the clock was set {way} by 2:00:0" in a for a in told["alarms"])
    due = interval_start(START + by)
    told = served.until(lambda told: told["ready"] and when(told["last_cycle"]) == due)
    now = when(told["now"])
    assert abs(now - (START + by)) < INTERVAL
    assert timedelta() < when(told["next_run"]) - now <= INTERVAL

    # Polled and refreshed on, by the clock as it is now.
    told = served.until(lambda told: in_control(told) and refreshed(told) > now)
    assert all(d["reachable"] for d in told["devices"].values())
    assert all(when(d["last_seen"]) > now for d in told["devices"].values())
    assert told["failures"] == 0
    assert told["lease_held"]

    served.stop()
    store = Store.open(served.database)
    records = store.between(START - timedelta(days=1), START + timedelta(days=1))
    missed = store.missed(START - timedelta(days=1), START + timedelta(days=1))
    store.close()
    assert [r.start for r in records] == sorted({interval_start(START), due})
    assert [(m.start, m.intervals) for m in missed] == (
        [(interval_start(START) + INTERVAL, 7)] if by > timedelta() else []
    )
