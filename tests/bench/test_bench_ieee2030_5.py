"""What one worker of the IEEE 2030.5 server bears: sessions, requests, devices, memory.

The server is the one `geems ieee2030-5 serve` runs, with its database; devices are plain sockets in
other processes of the same machine, so that both share its cores.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ems.derms.certificates import EXAMPLE_PEN, authority, make_pki
from ems.derms.certificates.files import read_signer
from ems.protocols.ieee2030_5.identity import lfdi_of
from tests.bench.table import tell

DEVICES = 5000
CLIENTS = 4
"""Processes."""
SECONDS = 10.0
RATE = 200.0
"""Requests per second of all devices: each asks every 25 s."""

LEAST_SESSIONS = 150.0
LEAST_GETS = 3000.0
LONGEST_P99_MS = 100.0
MOST_MB = 600.0

HEAD = """
[ieee2030_5]
port = 0
cert_file = "server.pem"
key_file = "server.key"
ca_file = "root.pem"

[[ieee2030_5.program]]
name = "fleet"
primacy = 2
default = { max_lim_w_pct = 100.0 }
"""


def fleet(folder: Path) -> Path:
    """Certificates of all devices, and the server's file; returns the latter."""
    make_pki(folder, [])
    now = datetime.now(UTC)
    signer = read_signer(folder / "intermediate")
    chain = signer.certificate.public_bytes(Encoding.PEM)
    (folder / "devices").mkdir()
    text = [HEAD]
    text += [
        f"[[ieee2030_5.program.control]]\nstart_in_s = {3600 * (n + 1)}\nduration_s = 900\n"
        f"base = {{ max_lim_w_pct = {50 + n}.0 }}\n"
        for n in range(10)
    ]
    for n in range(1, DEVICES + 1):
        made = authority.device(signer, f"device-{n}", now, pen=EXAMPLE_PEN)
        pem = made.certificate.public_bytes(Encoding.PEM)
        key = made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / f"devices/{n}.pem").write_bytes(pem + chain)
        (folder / f"devices/{n}.key").write_bytes(key)
        lfdi = lfdi_of(made.certificate.public_bytes(Encoding.DER))
        text.append(
            f"[[ieee2030_5.device]]\nname = 'device-{n}'\nlfdi = '{lfdi}'\npin = 111115\n"
            "groups = ['fleet']\n[[ieee2030_5.device.der]]\nrated_kw = 10.0\n"
        )
    file = folder / "derms.toml"
    file.write_text("".join(text), encoding="utf-8")
    return file


@contextmanager
def served(file: Path) -> Iterator[tuple[int, int]]:
    """The server in a process of its own; yields its process id and its port."""
    log = file.with_suffix(".log").open("w", encoding="utf-8")
    with log, subprocess.Popen(
        [sys.executable, "-m", "ems.cli", "ieee2030-5", "serve", str(file), "--json"],
        stdout=subprocess.PIPE, stderr=log, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        told = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
        try:
            yield process.pid, int(told["port"])
        finally:
            process.terminate()


def cpu_s(pid: int) -> float:
    """Time on a processor that a process has used, its own and the system's for it [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int, what: str) -> float:
    """Resident memory of a process: `VmRSS` now, `VmHWM` at most so far."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


def clients(
    what: str, port: int, folder: Path, shares: Sequence[range], *, seconds: float = SECONDS
) -> list[dict[str, Any]]:
    """What the client processes tell, each with its share of the devices."""
    program = Path(__file__).with_name("ieee2030_5_devices.py")
    running = [
        subprocess.Popen(
            [
                *(sys.executable, str(program), what, str(port), str(folder)),
                *(str(share[0]), str(share[-1]), str(seconds), str(RATE / len(shares))),
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for share in shares
    ]  # fmt: skip
    if what == "paced":
        for each in running:
            assert each.stdout
            json.loads(each.stdout.readline())
        for each in running:
            assert each.stdin
            each.stdin.write("\n")
            each.stdin.flush()
    told = []
    for each in running:
        out, _ = each.communicate()
        assert each.returncode == 0
        told.append(json.loads(out))
    return told


def shared(first: int, last: int, processes: int = CLIENTS) -> list[range]:
    each = (last - first + 1) // processes
    return [range(first + i * each, first + (i + 1) * each) for i in range(processes)]


def per_second(told: Sequence[dict[str, Any]]) -> float:
    return sum(float(each["count"]) / float(each["seconds"]) for each in told)


def test_one_worker_bears_a_utilitys_fleet(tmp_path: Path) -> None:
    file = fleet(tmp_path)
    with served(file) as (pid, port):
        rows: list[dict[str, object]] = []

        def row(load: str, value: float, unit: str, limit: str, used_s: float = 0.0) -> None:
            rows.append(
                {
                    "load": load, "value": round(value, 1), "unit": unit, "asked": limit,
                    "server CPU s": round(used_s, 1), "MB": round(memory_mb(pid, "VmRSS")),
                }
            )  # fmt: skip

        row("5000 devices, started", memory_mb(pid, "VmRSS"), "MB", "", cpu_s(pid))
        used = cpu_s(pid)
        new = per_second(clients("sessions", port, tmp_path, shared(1, CLIENTS)))
        row("new mutual-TLS sessions", new, "1/s", f">= {LEAST_SESSIONS:.0f}", cpu_s(pid) - used)
        used = cpu_s(pid)
        got = per_second(clients("gets", port, tmp_path, shared(1, 16, 2)))
        row("GET of ten DERControls", got, "1/s", f">= {LEAST_GETS:.0f}", cpu_s(pid) - used)
        used = cpu_s(pid)
        paced = clients("paced", port, tmp_path, shared(1, DEVICES), seconds=30.0)
        late = sorted(1e3 * each for told in paced for each in told["late"])
        p99 = late[int(0.99 * len(late))]
        row("5000 connected, 200 requests/s: median", late[len(late) // 2], "ms", "")
        row("  p99", p99, "ms", f"< {LONGEST_P99_MS:.0f}", cpu_s(pid) - used)
        row("  worst", late[-1], "ms", "")
        peak = memory_mb(pid, "VmHWM")
        row("memory at most", peak, "MB", f"<= {MOST_MB:.0f}")
    tell("ieee2030_5", rows)
    assert new >= LEAST_SESSIONS
    assert got >= LEAST_GETS
    assert p99 < LONGEST_P99_MS
    assert peak <= MOST_MB
