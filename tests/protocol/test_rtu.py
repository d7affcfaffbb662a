"""Device → GOOSE → RTU → Modbus on a real wire, and what its clients see when a part fails."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sunspec2.modbus.client import SunSpecModbusClientDeviceTCP

from ems.domain import Command, DerReading, Limits, LoadReading, Readback, Site
from ems.errors import DeviceError
from ems.gateways.sunspec import SunSpecField
from ems.outstation import RegisterMap
from ems.plant.field_device import FieldDevice
from ems.plant.goose_end import GooseEnds
from ems.plant.load_meter import LoadMeter
from ems.protocols.goose import GooseProcess, LinkFault, Station, UtcTime
from ems.protocols.scl import control_blocks, load_model, site_models, told_by, write_icd
from ems.protocols.scl.carried import Sample, filled, places
from ems.protocols.sunspec import model
from ems.rtu import Rtu
from tests.icd import BES, LOADS, NOON, PV, pv_file, third_party
from tests.namespaces import End, wire

pytestmark = pytest.mark.needs("ip")
SITE = Site(
    name="wire",
    latitude_deg=37.3,
    longitude_deg=-121.9,
    ders=(PV, BES),
    limits=Limits(v_min_pu=0.9, v_max_pu=1.1),
    load_max_kw=2000,
    load_min_kw=500,
)
CAP = Command(der="pv", p_kw=None, q_kvar=30.0, cap_kw=612.3, reversion_kw=400.0, reversion_s=600)
CHARGE = Command(der="bes", p_kw=-150.0, q_kvar=0.0, cap_kw=None, reversion_kw=0.0, reversion_s=600)
LONGEST_TURNS = 60
"""Turns of the RTU until something must have happened; each waits at most a second."""


@dataclass(slots=True)
class Clock:
    """That of a machine, which can be set."""

    set_by: timedelta = timedelta()

    def day(self) -> datetime:
        return datetime.now(UTC) + self.set_by

    def both(self) -> tuple[float, datetime]:
        return time.monotonic(), self.day()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Everything from the devices to the RTU's Modbus servers."""

    devices: Mapping[str, FieldDevice]
    meter: LoadMeter
    ends: GooseEnds
    rtu: Rtu
    taken: Mapping[str, "threading.Event"]
    """Set when a device's registers were written."""
    clock: Clock
    """Of devices and RTU."""

    def turn_until(self, done: Callable[[], bool]) -> None:
        """Let the RTU work until something is so."""
        for _ in range(LONGEST_TURNS):
            if done():
                return
            self.rtu.step(1.0)
        pytest.fail("the RTU did not get there")

    def wait_for(self, name: str, cap_kw: float) -> None:
        """Until a device's cap is this one; it is looked at whenever its registers are written."""
        while self.devices[name].orders.cap_kw != pytest.approx(cap_kw):
            assert self.taken[name].wait(10)
            self.taken[name].clear()

    def unit(self, name: str) -> Any:
        return next(u for u in self.rtu.units if u.name == name)


def watched(registers: RegisterMap) -> threading.Event:
    """An event that any write to these registers sets."""
    written, write = threading.Event(), registers.write

    def noticed(address: int, values: Sequence[int]) -> int | None:
        code = write(address, values)
        written.set()
        return code

    registers.write = noticed  # type: ignore[method-assign]  # to see the device act
    return written


@pytest.fixture
def ends() -> Iterator[tuple[End, End]]:
    with wire() as found:
        yield found


@pytest.fixture
def chain(ends: tuple[End, End]) -> Iterator[Chain]:
    a, b = ends
    devices = {d.name: FieldDevice(d, NOON, 50.0, tells_available=True) for d in SITE.ders}
    for device in devices.values():
        device.step(NOON, 800.0)
        device.show(1.02)
    meter = LoadMeter(SITE.load_max_kw)
    meter.show(1234.0, 300.0)
    files = site_models(SITE.ders, LOADS)
    registers = {**{n: d.registers for n, d in devices.items()}, "load": meter.registers}
    taken = {name: watched(r) for name, r in registers.items()}
    clock = Clock()
    goose = GooseEnds(registers, files, a.interface, prefix=a.prefix, machine=clock.day)
    with (
        Rtu(list(files.values()), b.interface, prefix=b.prefix, clock=clock.both) as rtu,
        goose,
    ):
        made = Chain(devices=devices, meter=meter, ends=goose, rtu=rtu, taken=taken, clock=clock)
        made.turn_until(lambda: all(u.alive for u in rtu.units))
        yield made


@pytest.fixture
def field(chain: Chain) -> Iterator[SunSpecField]:
    found = SunSpecField(SITE, chain.rtu.addresses)
    yield found
    found.close()


def now() -> datetime:
    return datetime.now(UTC)


def test_measurements_arrive_at_the_ems(field: SunSpecField) -> None:
    pv, bes = (field.read(now())[n] for n in ("pv", "bes"))
    assert isinstance(pv, DerReading)
    assert isinstance(bes, DerReading)
    assert (pv.p_kw, pv.rated_kw, pv.available_kw) == (800.0, 1000.0, 800.0)
    assert pv.v_pu == pytest.approx(1.02, abs=1e-4)
    assert (pv.connected, pv.hz, pv.heartbeat) == (True, 60.0, 0)
    assert bes.soc_pct == 50.0
    load = field.read_load(now())
    assert isinstance(load, LoadReading)
    assert (load.p_kw, load.q_kvar) == (1234.0, 300.0)


def test_setpoints_arrive_at_the_devices_and_are_confirmed(
    chain: Chain, field: SunSpecField
) -> None:
    answers = field.write([CAP, CHARGE])
    assert all(isinstance(a, Readback) for a in answers.values()), answers
    chain.wait_for("pv", 612.3)
    assert chain.taken["bes"].wait(5)
    chain.turn_until(lambda: chain.unit("bes").settle() is chain.unit("pv").settle() is None)
    assert chain.devices["pv"].orders.cap_kw == pytest.approx(612.3)
    assert chain.devices["pv"].orders.q_kvar == 30.0
    assert chain.devices["bes"].orders.p_kw == -150.0
    later = field.read(now())["pv"]
    assert isinstance(later, DerReading)
    assert later.cap_kw == pytest.approx(612.3)


def test_a_device_whose_time_to_live_has_run_out_reads_as_nan_and_refuses_writes(
    chain: Chain, field: SunSpecField
) -> None:
    chain.ends.unplug("pv")
    chain.turn_until(lambda: not chain.unit("pv").alive)
    found = field.read(now())
    assert isinstance(found["pv"], DeviceError)
    assert "not available (NaN)" in str(found["pv"])
    assert isinstance(found["bes"], DerReading), "the others go on"
    assert isinstance(field.write([CAP])["pv"], DeviceError)
    assert chain.devices["pv"].orders.cap_kw is None
    chain.ends.replug("pv")
    chain.turn_until(lambda: bool(chain.unit("pv").alive))
    assert isinstance(field.read(now())["pv"], DerReading)


@pytest.mark.needs("mbpoll")
def test_mbpoll_reads_the_value_for_nan_and_never_zero(chain: Chain) -> None:
    address = chain.rtu.addresses["pv"]
    chain.ends.unplug("pv")
    chain.turn_until(lambda: not chain.unit("pv").alive)
    first = 40_002 + sum(model(m).length for m in (1, 122))
    for point, nan in (("W", ["8000"]), ("Hz", ["FFFF", "FFFF"]), ("LLV", ["FFFF"])):
        at = model(701).points[point]
        done = subprocess.run(
            [
                shutil.which("mbpoll") or "", "-m", "tcp", "-p", str(address.port), "-a", "1", "-0",
                "-1", f"-r{first + at.offset}", f"-c{at.size}", "-t4:hex", address.host,
            ],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        assert re.findall(r"0x([0-9A-F]{4})", done.stdout) == nan, done.stdout + done.stderr


def test_an_independent_client_finds_all_models_and_reads_them(chain: Chain) -> None:
    address = chain.rtu.addresses["pv"]
    client = SunSpecModbusClientDeviceTCP(
        slave_id=address.unit, ipaddr=address.host, ipport=address.port
    )
    client.scan()
    assert [m for m in client.models if isinstance(m, int)] == [1, 122, 701, 702, 703, 704, 715]
    client.DERMeasureAC[0].read()
    assert client.DERMeasureAC[0].W.cvalue == 800e3
    chain.ends.unplug("pv")
    chain.turn_until(lambda: not chain.unit("pv").alive)
    client.DERMeasureAC[0].read()
    assert client.DERMeasureAC[0].W.value is None
    client.close()


@pytest.mark.needs("tshark")
def test_tshark_reads_what_devices_and_rtu_send(ends: tuple[End, End]) -> None:
    """Both ways, value by value, with nothing malformed."""
    own, _, rtu = control_blocks(pv_file())
    at = places(own, told_by(PV))
    told = {(701, "W"): Sample(value=800e3), (701, "Hz"): Sample(value=59.98)}
    # tshark need not wait long for a repetition
    often = tuple(replace(b.block, max_time_ms=32) for b in (own, rtu))
    station = Station(interface=ends[0].interface, publishes=often)
    fields = ("_ws.malformed", "_ws.expert.message", "goose.gocbRef", "goose.numDatSetEntries")
    listen = ["tshark", "-l", "-n", "-i", ends[1].interface, "-Y", "goose", "-T", "fields"]
    shown = [part for field in fields for part in ("-e", field)]
    with (
        subprocess.Popen(
            [*ends[1].prefix, *listen, *shown],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        ) as tshark,
        GooseProcess(station, prefix=ends[0].prefix) as sender,
    ):  # fmt: skip
        assert tshark.stdout is not None
        sender.publish(own.block.gocb_ref, filled(own, at, told), now())
        sender.publish(rtu.block.gocb_ref, filled(rtu, {}, {}), now())
        seen = [tshark.stdout.readline().rstrip("\n").split("\t") for _ in range(6)]
        tshark.terminate()
    expected = {b.block.gocb_ref: str(len(b.points)) for b in (own, rtu)}
    assert all(row[:2] == ["", ""] for row in seen), seen
    assert all(row[3] == expected[row[2]] for row in seen), seen
    assert {row[2] for row in seen} == set(expected)


def test_a_silent_ems_lets_the_timer_in_the_device_run_out_and_the_rtu_shows_it(
    chain: Chain, field: SunSpecField
) -> None:
    field.write([CAP])
    chain.wait_for("pv", 612.3)
    device = chain.devices["pv"]
    device.step(NOON + timedelta(seconds=CAP.reversion_s + 1), 800.0)
    device.show(1.02)
    assert device.orders.cap_kw == 400.0
    chain.ends.publish()

    def shown() -> bool:
        found = field.read(now())["pv"]
        return isinstance(found, DerReading) and (found.cap_kw, found.p_kw) == (400.0, 400.0)

    chain.turn_until(shown)


def test_a_device_falls_back_when_the_rtu_dies(chain: Chain, field: SunSpecField) -> None:
    field.write([CAP])
    chain.wait_for("pv", 612.3)
    chain.rtu.close()
    chain.wait_for("pv", 400.0)


def test_orders_are_obeyed_again_soon_after_the_clock_was_set_back(
    chain: Chain, field: SunSpecField
) -> None:
    field.write([CAP])
    chain.wait_for("pv", 612.3)
    chain.clock.set_by = timedelta(hours=-2)
    again = replace(CAP, cap_kw=500.0)

    def obeyed() -> bool:
        """An EMS writes until it is: both ends lose each other for a time to live."""
        if chain.devices["pv"].orders.cap_kw == 500.0:
            return True
        if chain.unit("pv").alive:
            field.write([again])
        return False

    chain.turn_until(obeyed)


def test_the_process_that_holds_the_wire_may_hang_and_nothing_is_believed(
    chain: Chain, field: SunSpecField
) -> None:
    pid = chain.rtu._goose.pid
    assert pid is not None
    try:
        os.kill(pid, signal.SIGSTOP)
        chain.turn_until(lambda: not any(u.alive for u in chain.rtu.units))
        assert all(isinstance(r, DeviceError) for r in field.read(now()).values())
    finally:
        os.kill(pid, signal.SIGCONT)
    chain.turn_until(lambda: all(u.alive for u in chain.rtu.units))


def test_a_dead_process_ends_the_rtu_with_the_reason(chain: Chain) -> None:
    pid = chain.rtu._goose.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(LinkFault, match="the GOOSE process is gone"):
        chain.turn_until(lambda: False)


def test_two_publishers_of_one_device_are_not_believed(chain: Chain, ends: tuple[End, End]) -> None:
    block = control_blocks(pv_file())[0]
    station = Station(interface=ends[0].interface, publishes=(block.block,))
    at = places(block, told_by(PV))
    wrong = filled(block, at, {(701, "W"): Sample(value=1.0, t=UtcTime.of(now()))})
    with GooseProcess(station, prefix=ends[0].prefix) as rival:
        rival.publish(block.block.gocb_ref, wrong, now())
        chain.turn_until(lambda: not chain.unit("pv").alive)


def test_a_device_of_another_maker_is_shown(ends: tuple[End, End]) -> None:
    a, b = ends
    (block,) = control_blocks(third_party())
    at = places(block, told_by(PV))
    told = {(701, "W"): 321e3, (701, "Hz"): 50.02, (701, "LLV"): 401.0}
    values = filled(block, at, {k: Sample(value=v) for k, v in told.items()})
    station = Station(interface=a.interface, publishes=(block.block,))
    with (
        GooseProcess(station, prefix=a.prefix) as maker,
        Rtu([third_party()], b.interface, prefix=b.prefix) as rtu,
    ):
        maker.publish(block.block.gocb_ref, values, now())
        for _ in range(LONGEST_TURNS):
            if rtu.units[0].alive:
                break
            rtu.step(1.0)
        address = rtu.addresses["INV7"]
        client = SunSpecModbusClientDeviceTCP(
            slave_id=address.unit, ipaddr=address.host, ipport=address.port
        )
        client.scan()
        client.DERMeasureAC[0].read()
        assert client.DERMeasureAC[0].W.cvalue == 321e3
        assert client.DERMeasureAC[0].Hz.cvalue == pytest.approx(50.02)
        assert client.DERMeasureAC[0].LLV.cvalue == 401.0
        assert client.DERMeasureAC[0].Var.value == 0, "it tells no quality of TotVAr"
        client.close()


def test_the_command_serves_until_it_is_told_to_end(ends: tuple[End, End], tmp_path: Path) -> None:
    end = ends[1]
    names = []
    for name, file in (("pv", pv_file()), ("load", load_model("load", LOADS, 3))):
        (tmp_path / f"{name}.icd").write_bytes(write_icd(file))
        names.append(str(tmp_path / f"{name}.icd"))
    end.ip("link", "set", "lo", "up")
    process = subprocess.Popen(
        [
            *end.prefix, sys.executable, "-m", "ems.cli", "rtu", *names,
            "--interface", end.interface, "--port", "5020", "--json",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "}\n")
        document = json.loads("".join(lines) + "}")
        assert document["devices"] == {"pv": "127.0.0.1:5020", "load": "127.0.0.1:5021"}
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0, said
        assert "serving; interrupt to end" in said
    finally:
        process.kill()
        process.communicate()


def test_ports_that_are_taken_and_interfaces_that_are_not_there_are_told(
    ends: tuple[End, End], listening_port: int
) -> None:
    from ems.errors import PortInUse

    end = ends[1]
    with (
        pytest.raises(PortInUse, match="cannot be opened"),
        Rtu([pv_file()], end.interface, port=listening_port, prefix=end.prefix),
    ):
        pass
    with (
        pytest.raises(LinkFault, match="no such interface"),
        Rtu([pv_file()], "none0", prefix=end.prefix),
    ):
        pass


def test_two_files_of_one_device_or_one_address_are_refused() -> None:
    from ems.errors import BadInput
    from ems.protocols.scl import der_model

    with pytest.raises(BadInput, match="two files describe an IED of this name"):
        Rtu([pv_file(), pv_file()], "lo")
    with pytest.raises(BadInput, match="APPID 1000 is also that of 'pv'; give each its own"):
        Rtu([pv_file(), der_model(BES, 0)], "lo")
