"""The service as a process: ready after start, memory over a hundred cycles, the command line."""

import json
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ems.domain import DeviceAddress
from ems.plant import GeneratedProfile, Plant
from ems.settings import TEMPLATE, load_settings
from tests.bench.table import tell

START = datetime(2019, 7, 15, 19, 0, tzinfo=UTC)


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[tuple[Plant, Mapping[str, DeviceAddress], Path]]:
    """A running plant, and a site file that points at it."""
    template = TEMPLATE.read_text(encoding="utf-8")
    file = tmp_path / "site.toml"
    file.write_text(template, encoding="utf-8")
    site = load_settings(file, {}).to_site()
    plant = Plant(site, "segment13", GeneratedProfile(site, 1, START.date()), START)
    addresses = plant.start()
    for name, port in (("load", 5020), ("pv", 5021), ("bes", 5022), ("dg", 5023)):
        template = template.replace(f"port = {port}", f"port = {addresses[name].port}")
    file.write_text(template.replace("port = 8080", "port = 0"), encoding="utf-8")
    yield plant, addresses, file
    plant.close()


def test_bench_help() -> None:
    spent = []
    for _ in range(7):
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "ems.cli", "--help"], capture_output=True, check=True
        )
        spent.append(time.perf_counter() - started)
        assert b"demo" in done.stdout
    tell("help", [{"what": "geems --help", "median_s": statistics.median(spent), "asked_s": 0.3}])


def test_bench_service_ready(
    plant: tuple[Plant, Mapping[str, DeviceAddress], Path], free_port: int
) -> None:
    _, _, file = plant
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("port = 0", f"port = {free_port}"), encoding="utf-8")
    spent = []
    for _ in range(3):
        started = time.perf_counter()
        service = subprocess.Popen(
            [sys.executable, "-m", "ems.cli", "serve", str(file)],
            cwd=file.parent, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            while not _ready(free_port):
                assert service.poll() is None, service.stderr and service.stderr.read().decode()
                assert time.perf_counter() - started < 60
                time.sleep(0.02)
            spent.append(time.perf_counter() - started)
        finally:
            service.terminate()
            service.wait(20)
            if service.stderr:
                service.stderr.close()
    tell(
        "ready",
        [{"what": "start to /ready 200", "median_s": statistics.median(spent), "asked_s": 5.0}],
    )


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


CYCLES = """
import json, sys
from datetime import datetime, timedelta
from pathlib import Path
import psutil
from ems.assembly import open_site
from ems.clock import SteppedClock
from ems.daemon import Service
from ems.settings import load_settings
from ems.web import create_app

clock = SteppedClock(datetime.fromisoformat(sys.argv[2]))
with open_site(load_settings(Path(sys.argv[1]), {})) as opened:
    service = Service(site=opened.site, policy=opened.policy, ports=opened.ports,
                      store=opened.store, run=opened.run, clock=clock)
    app = create_app(service.store, service.health, service.site)
    for cycle in range(1, 101):
        record = service.cycle()
        assert record is not None and record.status in ("verified", "degraded"), record
        for _ in range(15):
            service.poll()
            clock.move_to(clock.now() + timedelta(minutes=1))
            print(clock.now().isoformat(), flush=True)
            input()  # until the plant has lived as long
        if cycle in (1, 10, 20, 40, 60, 80, 100):
            print(json.dumps([cycle, psutil.Process().memory_info().rss / 2**20]), flush=True)
    service.stop()
    assert "tensorflow" not in sys.modules
"""


def test_bench_memory_over_100_cycles(
    plant: tuple[Plant, Mapping[str, DeviceAddress], Path],
) -> None:
    alive, _, file = plant
    rows = []
    with subprocess.Popen(
        [sys.executable, "-c", CYCLES, str(file), START.isoformat()],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=file.parent,
    ) as service:  # fmt: skip
        assert service.stdin is not None
        assert service.stdout is not None
        for line in service.stdout:
            if line.startswith("["):
                rows.append(json.loads(line))
            else:
                alive.advance_to(datetime.fromisoformat(line.strip()))
                service.stdin.write("\n")
                service.stdin.flush()
    assert service.returncode == 0
    tell(
        "memory",
        [{"cycles": n, "resident_mib": mib, "asked_mib": 350} for n, mib in rows],
    )
    assert [n for n, _ in rows] == [1, 10, 20, 40, 60, 80, 100]
