"""What carries Modbus: mutual TLS, a serial line, and one connection for several units."""

import asyncio
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ems.domain import Command, DerReading, DeviceAddress, Limits, Pv, Readback, Site
from ems.domain.address import SerialLine, TlsFiles
from ems.errors import BadInput, DeviceError, Unreachable
from ems.gateways.line import Line, LineFault
from ems.gateways.sunspec import SunSpecField
from ems.protocols.loop_thread import LoopThread
from tests.protocol import reference
from tests.protocol.certificates import Authority, Pair
from tests.protocol.lines import SerialPair
from tests.protocol.locked_key import locked
from tests.protocol.reference import Served

NOW = datetime(2024, 6, 3, 20, tzinfo=UTC)


def site(*names: str) -> Site:
    return Site(
        name="lines",
        latitude_deg=0,
        longitude_deg=0,
        ders=tuple(Pv(name=n, bus="B1", rated_kw=100, q_max_kvar=40) for n in names),
        limits=Limits(v_min_pu=0.9, v_max_pu=1.1),
        load_max_kw=100,
        load_min_kw=10,
    )


def cap(name: str, kw: float) -> Command:
    return Command(der=name, p_kw=None, q_kvar=0, cap_kw=kw, reversion_kw=0, reversion_s=1800)


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    loop = LoopThread("test-devices")
    yield loop
    loop.close()


@pytest.fixture
def nobody(free_port: int) -> DeviceAddress:
    return DeviceAddress(host="127.0.0.1", port=free_port, timeout_s=0.5)


# --- TLS ----------------------------------------------------------------------------------


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


@pytest.fixture
def served(loop: LoopThread, ours: Authority) -> Iterator[Served]:
    """A device that knows its own authority alone, and asks for a certificate."""
    own = ours.pair("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.cert, own.key)
    context.load_verify_locations(ours.cert)
    context.verify_mode = ssl.CERT_REQUIRED
    served = Served({1: reference.newest_pv()})
    loop.run(served.start(context))
    yield served
    loop.run(served.stop())


def files(authority: Authority, pair: Pair, name: str | None = None) -> TlsFiles:
    return TlsFiles(
        ca_file=authority.cert, cert_file=pair.cert, key_file=pair.key, server_name=name
    )


def read_over(served: Served, tls: TlsFiles, nobody: DeviceAddress) -> object:
    field = SunSpecField(site("pv"), {"pv": served.address(tls=tls), "load": nobody})
    try:
        return field.read(NOW)["pv"]
    finally:
        field.close()


def test_both_ends_prove_who_they_are(
    served: Served, ours: Authority, nobody: DeviceAddress
) -> None:
    tls = files(ours, ours.pair("ems"))
    field = SunSpecField(site("pv"), {"pv": served.address(tls=tls), "load": nobody})
    assert isinstance(field.read(NOW)["pv"], DerReading)
    assert isinstance(field.write([cap("pv", 50)])["pv"], Readback)
    field.close()


def test_a_certificate_the_device_does_not_know_is_told_at_the_first_request(
    served: Served, ours: Authority, tmp_path: Path, nobody: DeviceAddress
) -> None:
    """Connecting succeeds all the same: only the first answer shows that it did not."""
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other", "strangers").pair("ems")
    found = read_over(served, files(ours, stranger), nobody)
    assert isinstance(found, Unreachable)
    assert "does the device accept cert_file?" in str(found)


def test_tls_at_a_plain_port_and_plain_at_a_tls_port_are_asked_about(
    served: Served, ours: Authority, loop: LoopThread, nobody: DeviceAddress
) -> None:
    plain = Served({1: reference.newest_pv()})
    loop.run(plain.start())
    tls = files(ours, ours.pair("ems"))
    for device, asked in ((plain, tls), (served, None)):
        address = device.address(tls=asked, timeout_s=0.5)
        field = SunSpecField(site("pv"), {"pv": address, "load": nobody})
        found = field.read(NOW)["pv"]
        field.close()
        assert isinstance(found, DeviceError)
        assert str(found).endswith("; does it speak TLS?")
    loop.run(plain.stop())


def test_a_device_of_another_authority_is_not_spoken_to(
    served: Served, ours: Authority, tmp_path: Path, nobody: DeviceAddress
) -> None:
    (tmp_path / "other").mkdir()
    strangers = Authority(tmp_path / "other", "strangers")
    found = read_over(served, files(strangers, ours.pair("ems")), nobody)
    assert isinstance(found, Unreachable)
    assert "no connection: " in str(found)
    assert "certificate" in str(found)


def test_a_certificate_of_another_name_is_not_the_devices(
    served: Served, ours: Authority, nobody: DeviceAddress
) -> None:
    found = read_over(served, files(ours, ours.pair("ems"), "inverter-7"), nobody)
    assert isinstance(found, Unreachable)
    assert "Hostname mismatch" in str(found)


def test_a_device_is_known_by_the_name_in_its_certificate(
    served: Served, ours: Authority, nobody: DeviceAddress
) -> None:
    tls = files(ours, ours.pair("ems"), "127.0.0.1")
    field = SunSpecField(
        site("pv"), {"pv": replace(served.address(tls=tls), host="localhost"), "load": nobody}
    )
    assert isinstance(field.read(NOW)["pv"], DerReading)
    field.close()


def test_files_that_are_not_there_are_bad_input(
    ours: Authority, tmp_path: Path, nobody: DeviceAddress
) -> None:
    tls = replace(files(ours, ours.pair("ems")), key_file=tmp_path / "missing.key")
    with pytest.raises(BadInput, match=r"pv: TLS cannot be set up with .*No such file"):
        SunSpecField(site("pv"), {"pv": replace(nobody, tls=tls), "load": nobody})


def test_a_key_with_a_password_is_bad_input_and_nobody_is_asked_for_it(
    ours: Authority, nobody: DeviceAddress
) -> None:
    pair = ours.pair("ems")
    tls = replace(files(ours, pair), key_file=locked(pair.key))
    with pytest.raises(BadInput, match=r"pv: TLS cannot be set up with .*locked-ems.key is encr"):
        SunSpecField(site("pv"), {"pv": replace(nobody, tls=tls), "load": nobody})


def test_a_key_that_is_encrypted_while_geems_runs_is_told_at_the_next_connection(
    served: Served, ours: Authority, loop: LoopThread
) -> None:
    pair = ours.pair("ems")
    line = Line(served.address(tls=files(ours, pair)))
    locked(pair.key).replace(pair.key)
    with pytest.raises(LineFault, match=r"its TLS files cannot be used \(.*ems.key is encrypted"):
        loop.run(line.connect())


# --- several units behind one host ------------------------------------------------------


def test_units_behind_one_host_share_one_connection(
    loop: LoopThread, nobody: DeviceAddress
) -> None:
    names = {unit: f"pv{unit}" for unit in (1, 2, 3, 17, 247)}
    served = Served({unit: reference.newest_pv() for unit in names})
    for unit, device in served.devices.items():
        device.put(701, "W", unit)
    loop.run(served.start())
    addresses = {name: served.address(unit) for unit, name in names.items()}
    field = SunSpecField(site(*names.values()), addresses | {"load": nobody})
    readings = field.read(NOW)
    answers = field.write([cap(name, 50) for name in names.values()])
    field.close()
    loop.run(served.stop())
    for unit, name in names.items():
        reading = readings[name]
        assert isinstance(reading, DerReading)
        assert reading.p_kw == pytest.approx(unit / 10)
        assert isinstance(answers[name], Readback)
    assert served.connections == 1


def test_a_unit_that_is_silent_lets_the_others_go_first(
    loop: LoopThread, nobody: DeviceAddress
) -> None:
    served = Served({unit: reference.newest_pv() for unit in (1, 2, 3)})
    order: list[int] = []

    def hang(*_: object) -> object:
        order.append(1)
        return asyncio.sleep(60)

    served.devices[1].watch = hang
    for unit in (2, 3):
        served.devices[unit].watch = lambda *_, u=unit: order.append(u)
    loop.run(served.start())
    addresses = {f"pv{u}": served.address(u, timeout_s=0.3) for u in (1, 2, 3)}
    field = SunSpecField(site(*addresses), addresses | {"load": nobody})
    first = field.read(NOW)
    assert isinstance(first["pv1"], Unreachable)
    assert isinstance(first["pv2"], DerReading)
    order.clear()
    second = field.read(NOW)
    field.close()
    loop.run(served.stop())
    assert isinstance(second["pv3"], DerReading)
    assert order[-1] == 1
    assert order.count(1) == 1


# --- a serial line ------------------------------------------------------------------------


def test_devices_on_a_serial_line_are_read_and_written(
    loop: LoopThread, nobody: DeviceAddress
) -> None:
    with SerialPair() as pair:
        served = Served({unit: reference.newest_pv() for unit in (1, 5, 9)})
        served.devices[9].watch = lambda *_: asyncio.sleep(60)
        served.devices[5].put(701, "W", 77)
        loop.run(served.start_serial(pair.ends[0]))
        # A pseudo-terminal knows no parity.
        line = SerialLine(path=pair.ends[1], baud=115_200, parity="none")
        addresses = {
            f"pv{unit}": DeviceAddress(serial=line, unit=unit, timeout_s=t)
            # Unit 9 is silent: it costs its own budget, and the others answer.
            for unit, t in ((1, 10.0), (5, 10.0), (9, 0.3))
        }
        field = SunSpecField(site(*addresses), addresses | {"load": nobody})
        readings = field.read(NOW)
        answers = field.write([cap(name, 50) for name in addresses])
        field.close()
        loop.run(served.stop())
    for name, p_kw in (("pv1", 61.3), ("pv5", 7.7)):
        reading = readings[name]
        assert isinstance(reading, DerReading), reading
        assert reading.p_kw == p_kw
        assert answers[name] == Readback(p_kw=None, q_kvar=0, cap_kw=50)
    assert isinstance(readings["pv9"], Unreachable)
    assert f"pv9 at {line.path} unit 9: no answer within 0.3 s" in str(answers["pv9"])


def test_a_serial_line_that_is_not_there_is_told(nobody: DeviceAddress) -> None:
    line = SerialLine(path="/dev/ttyNOWHERE")
    field = SunSpecField(site("pv"), {"pv": replace(nobody, serial=line), "load": nobody})
    found = field.read(NOW)["pv"]
    field.close()
    assert isinstance(found, Unreachable)
    assert "pv at /dev/ttyNOWHERE unit 1: no connection" in str(found)
