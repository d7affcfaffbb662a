"""`geems serve` with devices that are clients of its own server, and a plug that is pulled."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ems.domain import CycleRecord, Refused, Sent
from ems.store import Store
from tests.end_devices import Clients, ScriptedDer, ders, site_of_clients

PATIENCE_S = 90.0
"""For a process on a busy machine [s]; a cycle takes seconds."""
LOOK_S = 0.3
"""How often the service is asked [s]; nothing else tells that a poll has been."""


class Served:
    """A service in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.said: list[str] = []
        self.url = ""
        self.answers_clients = threading.Event()
        self._told = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if "serving IEEE 2030.5 at" in line:
                self.answers_clients.set()
            found = re.search(r"serving (http://\S+)", line)
            if found is not None:
                self.url = found[1]
                self._told.set()
        self._told.set()

    def ask(self, path: str) -> Any:
        assert self._told.wait(PATIENCE_S), self.said
        assert self.url, self.said
        url = f"{self.url}api/v1/{path}"
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  our own, on loopback
            return json.load(answer)

    def until(self, met: Callable[[Any], bool], path: str = "health") -> Any:
        """Ask until something is met; the last answer."""
        pause = threading.Event()
        found = None
        for _ in range(int(PATIENCE_S / LOOK_S)):
            found = self.ask(path)
            if met(found):
                return found
            pause.wait(LOOK_S)
        raise AssertionError(f"not met: {json.dumps(found, indent=1)}\n{''.join(self.said[-30:])}")

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE_S)


@contextmanager
def serving(site: Path) -> Iterator[Served]:
    process = subprocess.Popen(
        [sys.executable, "-m", "ems.cli", "serve", str(site)], stderr=subprocess.PIPE, text=True
    )
    try:
        yield Served(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=30)


class Noting(ScriptedDer):
    """A DER that tells when its default control takes over."""

    def __init__(self, der: ScriptedDer) -> None:
        super().__init__(rated_kw=der.rated_kw, offered_kw=der.offered_kw, storage=der.storage)
        self.fell_back = threading.Event()

    def apply(self, control: Any) -> None:
        super().apply(control)
        ordered = control.ordered.values()
        if ordered and not any(o.event for o in ordered):
            self.fell_back.set()
        else:
            self.fell_back.clear()


def _latest(folder: Path) -> CycleRecord:
    """The last record that the service kept."""
    with closing(Store.open(folder / "geems.sqlite")) as store:
        found = store.latest()
    assert found is not None
    return found


@pytest.fixture
def clients(tmp_path: Path) -> Iterator[tuple[Path, Clients]]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    path, pki = site_of_clients(tmp_path, port=port, timeout_s=5.0)
    text = path.read_text(encoding="utf-8")
    for key, value in (
        ("keep_alive_s", 2), ("reversion_s", 66), ("stale_after_s", 6), ("poll_s", 1),
    ):  # fmt: skip
        text = re.sub(rf"^{key} = \d+", f"{key} = {value}", text, flags=re.MULTILINE)
    path.write_text(text, encoding="utf-8")
    applications = {name: Noting(der) for name, der in ders().items()}
    made = Clients(pki, f"https://127.0.0.1:{port}", applications)
    yield path, made
    made.close()


def test_a_pulled_plug_harms_nobody_else_and_a_dead_service_leaves_safe_devices(
    clients: tuple[Path, Clients], tmp_path: Path
) -> None:
    path, plugs = clients
    with serving(path) as service:
        assert service.answers_clients.wait(PATIENCE_S), service.said
        plugs.plug(*plugs.ders)
        service.until(lambda health: health["cycles"] >= 1)
        first = _latest(tmp_path)
        assert {type(o) for o in first.outcomes.values()} == {Sent}, first.alarms

        plugs.unplug("pv")
        health = service.until(lambda health: not health["devices"]["pv"]["reachable"])
        assert any(alarm.startswith("pv: ") for alarm in health["alarms"])
        health = service.until(lambda health: health["cycles"] >= 2)
        after = _latest(tmp_path)
        pv = after.outcomes["pv"]
        assert isinstance(pv, Refused)
        assert "unheard" in pv.reason
        assert {type(after.outcomes[name]) for name in ("bes", "dg")} == {Sent}
        assert after.status == "degraded"

        plugs.plug("pv")
        health = service.until(lambda health: health["devices"]["pv"]["reachable"])
        assert health["failures"] == 0
        assert health["links"]["ieee2030_5"].startswith("https://127.0.0.1:")

        service.process.kill()
        service.process.wait(timeout=30)
    # Nobody renews the controls: each device falls back by itself, with no server there.
    for name in ("bes", "dg", "pv"):
        der = plugs.ders[name]
        assert isinstance(der, Noting)
        assert der.fell_back.wait(PATIENCE_S), name
    assert plugs.ders["pv"].p_kw <= 1000.0
    assert plugs.ders["bes"].p_kw == plugs.ders["dg"].p_kw == 0.0
    assert {type(_latest(tmp_path).outcomes[name]) for name in ("bes", "dg")} == {Sent}


def test_the_service_ends_in_order_while_it_waits_for_clients(tmp_path: Path) -> None:
    path, _ = site_of_clients(tmp_path, poll_s=60)
    with serving(path) as service:
        assert service.ask("health")["cycles"] == 0
        assert service.end() == 0
    assert any("serving IEEE 2030.5 at https://" in line for line in service.said)
