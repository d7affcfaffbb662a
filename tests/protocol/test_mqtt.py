"""MQTT against a real broker, seen by a client of another make."""

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from ems.domain import DerReading, LoadReading, Site
from ems.errors import BadInput, DeviceError
from ems.mqtt import Broker, MqttPublisher
from ems.record import from_json

pytestmark = pytest.mark.needs("mosquitto", "mosquitto_sub")

SAMPLE = (Path(__file__).parents[1] / "unit" / "test_record_sample.json").read_text()
NOW = datetime(2026, 6, 1, 19, 0, tzinfo=UTC)
WRONG = "not it"
LONGEST_S = 20
"""A broker that has not told us by then never will [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A broker, and how its own tools reach it."""

    port: int
    options: tuple[str, ...] = ()


@contextmanager
def broker(
    folder: Path, port: int, *lines: str, options: tuple[str, ...] = ()
) -> Iterator[Running]:
    """Mosquitto on loopback, with further lines of configuration."""
    program = shutil.which("mosquitto")
    assert program is not None
    conf = folder / "mosquitto.conf"
    listener = f"listener {port} 127.0.0.1"
    conf.write_text("\n".join((listener, *lines, f"user {os.environ.get('USER', 'root')}", "")))
    process = subprocess.Popen(
        [program, "-c", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:  # it writes this once it listens
            if "running" in line:
                break
        else:
            pytest.fail("the broker did not start")
        yield Running(port=port, options=options)
    finally:
        process.terminate()
        process.wait(10)


def heard(at: Running, topic: str, count: int, *more: str) -> dict[str, str]:
    """The first `count` messages below a topic, as mosquitto_sub prints them."""
    program = shutil.which("mosquitto_sub")
    assert program is not None
    told = subprocess.run(
        [
            program, "-h", "127.0.0.1", "-p", str(at.port), "-t", topic, "-v",
            "-C", str(count), "-W", str(LONGEST_S), *at.options, *more,
        ],
        capture_output=True, text=True, timeout=2 * LONGEST_S, check=False,
    )  # fmt: skip
    return dict(line.split(" ", 1) for line in told.stdout.splitlines())


@contextmanager
def publishing(site: Site, port: int, **more: Any) -> Iterator[MqttPublisher]:
    publisher = MqttPublisher(Broker(host="127.0.0.1", port=port, **more), site)
    publisher.start()
    try:
        yield publisher
    finally:
        publisher.stop()


def answers() -> Mapping[str, DerReading | LoadReading | DeviceError]:
    return {
        "pv": DerReading(der="pv", time=NOW, p_kw=7000.5, q_kvar=-20.0, v_pu=1.08),
        "bes": DeviceError("bes at 127.0.0.1:502: no answer"),
        "load": LoadReading(time=NOW, p_kw=9000.0, q_kvar=float("nan")),
    }


def test_an_independent_client_hears_what_is_measured_foreseen_and_set(
    site: Site, free_port: int, tmp_path: Path
) -> None:
    record = from_json(SAMPLE)
    with (
        broker(tmp_path, free_port, "allow_anonymous true") as at,
        publishing(site, free_port, discovery="") as publisher,
    ):
        publisher.readings(NOW, answers())
        publisher.cycle(record)
        expected = 4 + 1 + len(record.forecast.pv) + len(record.secured.dispatch.setpoints)
        told = heard(at, "geems/#", expected)
    pv = json.loads(told["geems/segment13/pv/measurement"])
    assert (pv["p_kw"], pv["q_kvar"], pv["v_pu"], pv["time"]) == (
        7000.5, -20.0, 1.08, "2026-06-01T19:00:00+00:00",
    )  # fmt: skip
    silent = json.loads(told["geems/segment13/bes/measurement"])
    assert silent["reachable"] is False
    assert "p_kw" not in silent
    assert json.loads(told["geems/segment13/load/measurement"])["q_kvar"] is None
    assert json.loads(told["geems/segment13/cycle"])["why"] == record.ledger.sentence
    for name, at_ in record.secured.dispatch.setpoints.items():
        assert json.loads(told[f"geems/segment13/{name}/setpoint"])["p_kw"] == at_.p_kw
    assert told["geems/segment13/status"] == "online"


def test_home_assistant_is_told_of_every_der_and_where_its_values_are(
    site: Site, free_port: int, tmp_path: Path
) -> None:
    with (
        broker(tmp_path, free_port, "allow_anonymous true") as at,
        publishing(site, free_port),
    ):
        told = heard(at, "homeassistant/device/+/config", len(site.ders) + 2)
    for der in site.ders:
        config = json.loads(told[f"homeassistant/device/geems_segment13_{der.name}/config"])
        assert config["device"]["identifiers"] == [f"geems_segment13_{der.name}"]
        assert config["availability_topic"] == "geems/segment13/status"
        power = config["components"]["p_kw"]
        assert power["state_topic"] == f"geems/segment13/{der.name}/measurement"
        assert power["value_template"] == "{{ value_json.p_kw }}"
        assert power["device_class"] == "power"
        unique = [c["unique_id"] for c in config["components"].values()]
        assert len(set(unique)) == len(unique)


def test_a_broker_that_comes_late_is_told_the_latest_and_nothing_older(
    site: Site, free_port: int, tmp_path: Path
) -> None:
    with publishing(site, free_port, discovery="") as publisher:
        for minute in range(100):
            later = NOW + timedelta(minutes=minute)
            reading = DerReading(der="pv", time=later, p_kw=float(minute), q_kvar=0.0)
            publisher.readings(later, {"pv": reading})
        assert f"127.0.0.1:{free_port}" in publisher.fault
        with broker(tmp_path, free_port, "allow_anonymous true") as at:
            told = heard(at, "geems/segment13/pv/measurement", 1)
            assert json.loads(told["geems/segment13/pv/measurement"])["p_kw"] == 99.0
            assert publisher.fault == ""


def test_a_service_that_is_killed_shows_as_offline(free_port: int, tmp_path: Path) -> None:
    program = (
        "import sys, threading\n"
        "from ems.domain import Limits, Site\n"
        "from ems.mqtt import Broker, MqttPublisher\n"
        "limits = Limits(v_min_pu=0.9, v_max_pu=1.1)\n"
        "site = Site(name='segment13', latitude_deg=0, longitude_deg=0, ders=(), limits=limits,\n"
        "            load_max_kw=1, load_min_kw=0)\n"
        "broker = Broker(host='127.0.0.1', port=int(sys.argv[1]), discovery='')\n"
        "MqttPublisher(broker, site).start()\n"
        "threading.Event().wait()\n"
    )
    with broker(tmp_path, free_port, "allow_anonymous true") as at:
        process = subprocess.Popen([sys.executable, "-c", program, str(free_port)])
        try:
            assert heard(at, "geems/segment13/status", 1)["geems/segment13/status"] == "online"
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
            deadline = time.monotonic() + LONGEST_S
            state = "online"
            while state == "online" and time.monotonic() < deadline:
                state = heard(at, "geems/segment13/status", 1)["geems/segment13/status"]
        finally:
            process.kill()
            process.wait(10)
    assert state == "offline"


def test_a_service_that_ends_says_so(site: Site, free_port: int, tmp_path: Path) -> None:
    with broker(tmp_path, free_port, "allow_anonymous true") as at:
        with publishing(site, free_port, discovery=""):
            assert heard(at, "geems/+/status", 1) == {"geems/segment13/status": "online"}
        assert heard(at, "geems/+/status", 1) == {"geems/segment13/status": "offline"}


def test_a_wrong_password_is_told_and_control_goes_on(
    site: Site, free_port: int, tmp_path: Path
) -> None:
    with (
        broker(tmp_path, free_port, "allow_anonymous false"),
        publishing(site, free_port, username="geems", password=WRONG) as publisher,
    ):
        publisher.readings(NOW, answers())
        fault = until(publisher, fault="refuses")
    assert "check username and password_file" in fault


def test_over_tls_only_a_broker_whose_authority_is_trusted_is_told_anything(
    site: Site, free_port: int, tmp_path: Path
) -> None:
    ca, other = authority(tmp_path, "ca"), authority(tmp_path, "other")
    lines = (
        "allow_anonymous true",
        f"certfile {tmp_path}/ca-server.pem",
        f"keyfile {tmp_path}/ca-server.key",
    )
    options = ("--cafile", str(ca))
    with broker(tmp_path, free_port, *lines, options=options) as at:
        with publishing(site, free_port, tls=True, ca_file=str(other)) as publisher:
            until(publisher, fault="no connection")
        with publishing(site, free_port, tls=True, ca_file=str(ca), discovery="") as publisher:
            publisher.readings(NOW, answers())
            assert len(heard(at, "geems/#", 4)) == 4


def test_a_certificate_file_that_is_none_is_refused_at_once(site: Site, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.pem"
    with pytest.raises(BadInput, match=r"nothing\.pem"):
        MqttPublisher(Broker(host="127.0.0.1", port=8883, tls=True, ca_file=str(nothing)), site)


def until(publisher: MqttPublisher, *, fault: str) -> str:
    """The fault, once it contains a text."""
    with publisher.changed:
        publisher.changed.wait_for(lambda: fault in publisher.fault, LONGEST_S)
        assert fault in publisher.fault
        return publisher.fault


def authority(folder: Path, name: str) -> Path:
    """A certificate authority, and a server's certificate that it signed."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    today = datetime.now(UTC)

    def begun(subject: str, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(named(subject))
            .issuer_name(named(name))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(today - timedelta(days=1))
            .not_valid_after(today + timedelta(days=1))
        )

    root = (
        begun(name, root_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    local = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    server = (
        begun("127.0.0.1", key.public_key())
        .add_extension(local, critical=False)
        .sign(root_key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}-server.pem").write_bytes(server.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}-server.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    assert ssl.create_default_context(cafile=str(path)).get_ca_certs()
    return path
