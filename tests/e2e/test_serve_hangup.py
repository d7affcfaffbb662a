"""`geems serve` ends in order when its terminal is closed, and goes on where nohup started it."""

import re
import signal
import socket
from pathlib import Path

import pytest

from ems.settings import TEMPLATE
from ems.store import Store
from tests.typed import PATIENCE_S, interrupted, typed

SERVE = ("-m", "ems.cli", "serve")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A site whose devices are not there: a service of it runs all the same."""
    text = re.sub(r"port = 502(\d)", r"port = 1\1", TEMPLATE.read_text())
    text = text.replace("port = 8080", "port = 0")
    (tmp_path / "site.toml").write_text(text)
    return tmp_path


def test_a_closed_terminal_ends_the_service_in_order(folder: Path) -> None:
    with typed(folder, *SERVE) as process:
        _, said = interrupted(process, after="serving http://127.0.0.1:", number=signal.SIGHUP)
        assert process.returncode == 0, said
    assert "Traceback" not in said
    store = Store.open(folder / "geems.sqlite")
    assert store.lease("segment13") is None  # given back, not left to run out
    assert store.latest() is not None  # the running cycle was finished
    store.close()


def test_a_second_signal_hurries_its_end_and_is_no_fault(folder: Path) -> None:
    with typed(folder, *SERVE) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "serving http://127.0.0.1:" in line)
        port = int(line.rsplit(":", 1)[1].rstrip("/\n"))
        address = ("127.0.0.1", port)
        with socket.create_connection(address) as slow, socket.create_connection(address) as idle:
            slow.sendall(b"GET / HTTP/1.1\r\n")  # the rest is waited for
            idle.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert idle.recv(1)
            process.send_signal(signal.SIGINT)
            while idle.recv(65536):
                pass  # it ends connections that nothing is answered on, and waits for the others
            process.send_signal(signal.SIGHUP)
            _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, said
    assert "Traceback" not in said


def test_a_service_started_with_nohup_outlives_its_terminal(folder: Path) -> None:
    with typed(folder, *SERVE, before=["nohup"]) as process:
        assert process.stderr is not None
        assert any("serving http://127.0.0.1:" in line for line in process.stderr)
        status = Path(f"/proc/{process.pid}/status").read_text()
        ignored = next(line for line in status.splitlines() if line.startswith("SigIgn:"))
        # proc(5): the lowest bit is signal 1
        assert int(ignored.split()[1], 16) & 1 << (signal.SIGHUP - 1)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
