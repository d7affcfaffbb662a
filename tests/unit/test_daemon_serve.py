"""The service as a process: its address, its signals, its end."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ems.store import Store

SAMPLE = Path(__file__).with_name("test_record_sample.json")

# argv: database, sample record, port. Commands to devices are noted on standard error.
PROGRAM = textwrap.dedent("""
    import sys
    from dataclasses import replace
    from pathlib import Path
    from ems.clock import interval_start
    from ems.daemon import Service, serve
    from ems.domain import Limits, Policy, Pv, Site
    from ems.errors import GeemsError
    from ems.gateways.memory import MemoryField
    from ems.ports import Ports
    from ems.record import from_json
    from ems.store import Store

    base = from_json(Path(sys.argv[2]).read_text())
    site = Site(
        name="segment13", latitude_deg=36.7, longitude_deg=-119.8,
        ders=(Pv(name="pv", bus="B13", rated_kw=10_000.0),),
        limits=Limits(v_min_pu=0.88, v_max_pu=1.10), load_max_kw=14_500.0, load_min_kw=5000.0,
    )
    store = Store.open(sys.argv[1])

    def run(now, watched):
        print("cycle", file=sys.stderr, flush=True)
        start = interval_start(now)
        store.append(replace(base, start=start, forecast=replace(base.forecast, start=start)))
        return store.latest()

    ports = Ports(
        field=MemoryField(site, 9000.0), network=None, history=store, forecaster=None,
        journal=store,
    )
    service = Service(site=site, policy=Policy(), ports=ports, store=store, run=run)
    try:
        serve(service, "127.0.0.1", int(sys.argv[3]), lambda url: print(url, flush=True))
    except GeemsError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print("ended in order", flush=True)
""")


@contextmanager
def started(database: Path, port: int = 0) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(database), str(SAMPLE), str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line.startswith("http://127.0.0.1:"), process.communicate()[1]
    return line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_service_in_order_and_gives_the_lease_back(
    tmp_path: Path, number: signal.Signals
) -> None:
    database = tmp_path / "geems.sqlite"
    with started(database) as process:
        url = url_of(process)
        with urllib.request.urlopen(f"{url}api/v1/health") as answer:  # noqa: S310  our own address
            health = json.load(answer)
        assert (health["site"], health["lease_held"]) == ("segment13", True)
        assert f"process {process.pid} on " in health["lease_holder"]
        os.kill(process.pid, number)
        out, err = process.communicate(timeout=30)
        assert out == "ended in order\n", err
        assert process.returncode == 0
    store = Store.open(database)
    assert store.lease("segment13") is None
    assert store.latest() is not None
    store.close()


def test_a_port_in_use_stops_the_service_before_any_cycle(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with started(tmp_path / "geems.sqlite", port) as process:
            _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err.startswith(f"PortInUse: 127.0.0.1:{port} is in use")
    assert "cycle" not in err


def test_a_second_service_of_a_site_ends_at_once_and_runs_no_cycle(tmp_path: Path) -> None:
    database = tmp_path / "geems.sqlite"
    with started(database) as first:
        url_of(first)
        with started(database) as second:
            _, err = second.communicate(timeout=30)
        assert second.returncode == 1
        assert f"LeaseHeld: site segment13 is already run by process {first.pid} on " in err
        assert "cycle" not in err
        store = Store.open(database)
        held = store.lease("segment13")
        assert held is not None
        assert f":{first.pid}:" in held.holder
        store.close()


def test_a_service_killed_is_started_again_without_waiting_for_its_lease(tmp_path: Path) -> None:
    database = tmp_path / "geems.sqlite"
    with started(database) as first:
        url_of(first)
        os.kill(first.pid, signal.SIGKILL)
        first.wait(30)
    with started(database) as second:
        url_of(second)
