"""Devices without SunSpec, by registers that the site file names."""

import struct
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from ems.domain import (
    Bes,
    Command,
    Der,
    DerReading,
    DeviceAddress,
    Limits,
    LoadReading,
    Pv,
    Readback,
    Site,
)
from ems.domain.address import PlainRegister
from ems.errors import BadInput, DeviceError, RefusedWrite
from ems.gateways.image import Image, Span
from ems.gateways.plain import Plain, encoded
from ems.gateways.sunspec import SunSpecField
from ems.protocols.loop_thread import LoopThread
from ems.settings.devices import Device

NOW = datetime(2024, 6, 3, 20, tzinfo=UTC)
PV = Pv(name="der", bus="B1", rated_kw=100, q_max_kvar=40, reversion_kw=20)
BES = Bes(name="der", bus="B1", rated_kw=50, capacity_kwh=100)

PV_MAP = """
p_kw = { address = 0, type = "int32", scale = 0.01, function = "input" }
q_kvar = { address = 2, scale = 0.1, function = "input", nan = -32768 }
hz = { address = 3, type = "uint16", scale = 0.01, offset = 45, function = "input" }
rated_kw = { address = 4, type = "uint16", function = "input" }
connected = { address = 5, type = "uint16", function = "input" }
cap_kw = { address = 100, type = "uint16", scale = 0.1, unit = "pct_of_rating" }
q_set_kvar = { address = 101, scale = 0.1 }
reversion_s = { address = 102, type = "uint16" }
reversion_kw = { address = 103, type = "uint16", scale = 0.5 }
enable = { address = 110, type = "uint16" }
controller_heartbeat = { address = 120, type = "uint16" }
"""
BES_MAP = """
p_kw = { address = 0, type = "float32" }
q_kvar = { address = 2, type = "float32", word_order = "low_first" }
soc_pct = { address = 4, type = "uint16", scale = 0.5, nan = 65535 }
local = { address = 5, type = "uint16" }
p_set_kw = { address = 10, type = "float32", word_order = "low_first" }
"""


class Registers:
    """Holding and input registers as they stand, and what was written."""

    def __init__(self) -> None:
        self.held: dict[int, int] = {}
        self.inputs: dict[int, int] = {}
        self.written: list[tuple[int, list[int]]] = []
        self.refused: set[int] = set()
        self.deaf = False

    async def act(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        current: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        bank = self.inputs if function == 4 else self.held
        if values is not None:
            self.written.append((address, [int(v) for v in values]))
            count = len(values)
            if address in self.refused:
                return ExcCodes.ILLEGAL_VALUE
            if not self.deaf:
                bank.update({address + i: int(v) for i, v in enumerate(values)})
        places = range(address, address + count)
        if any(a not in bank for a in places):
            return ExcCodes.ILLEGAL_ADDRESS
        for a in places:
            current[a - start] = bank[a]
        return None


def address(text: str, **more: Any) -> DeviceAddress:
    table = {"host": "127.0.0.1", "registers": tomllib.loads(text), "timeout_s": 2.0}
    return Device.model_validate(table | more).to_address()


Open = Callable[[Registers, Der, str], SunSpecField]


@pytest.fixture
def open_field() -> Iterator[Open]:
    loop = LoopThread("test-devices")
    servers: list[ModbusTcpServer] = []
    fields: list[SunSpecField] = []

    async def serve(registers: Registers) -> int:
        device = SimDevice(
            id=1,
            simdata=[SimData(address=0, count=200, values=0, datatype=DataType.REGISTERS)],
            action=registers.act,
        )
        server = ModbusTcpServer(device, address=("127.0.0.1", 0))
        await server.serve_forever(background=True)
        servers.append(server)
        return int(server.transport.sockets[0].getsockname()[1])  # type: ignore[attr-defined]  # a listener's transport is an asyncio server

    def start(registers: Registers, der: Der, text: str) -> SunSpecField:
        port = loop.run(serve(registers))
        site = Site(
            name="plain", latitude_deg=0, longitude_deg=0, ders=(der,),
            limits=Limits(v_min_pu=0.9, v_max_pu=1.1), load_max_kw=100, load_min_kw=10,
        )  # fmt: skip
        load = address("p_kw = { address = 50, scale = 0.1 }", port=port)
        fields.append(SunSpecField(site, {"der": address(text, port=port), "load": load}))
        return fields[-1]

    yield start
    for field in fields:
        field.close()
    for server in servers:
        loop.run(server.shutdown())  # type: ignore[no-untyped-call]  # pymodbus leaves it so
    loop.close()


def pv() -> Registers:
    registers = Registers()
    registers.inputs = dict(enumerate([0, 6134, 0xFFF6, 1502, 100, 1]))
    registers.held = {100: 1000, 101: 0, 102: 0, 103: 0, 110: 0, 120: 0, 50: 733}
    return registers


def words(value: float) -> list[int]:
    return list(struct.unpack(">HH", struct.pack(">f", value)))


def bes() -> Registers:
    registers = Registers()
    registers.held = dict(enumerate([*words(-12.5), *reversed(words(3.25)), 111, 0]))
    registers.held |= {10: 0, 11: 0}
    return registers


def cap(kw: float | None, q_kvar: float = 0.0) -> Command:
    return Command(
        der="der", p_kw=None, q_kvar=q_kvar, cap_kw=kw, reversion_kw=20.7, reversion_s=1800
    )


def setpoint(kw: float, q_kvar: float = 0.0) -> Command:
    return Command(der="der", p_kw=kw, q_kvar=q_kvar, cap_kw=None, reversion_kw=0, reversion_s=1800)


def test_scales_offsets_and_word_orders_give_readings(open_field: Open) -> None:
    field = open_field(pv(), PV, PV_MAP)
    assert field.read(NOW)["der"] == DerReading(
        der="der", time=NOW, p_kw=61.34, q_kvar=-1.0, hz=60.02, rated_kw=100, connected=True
    )
    assert field.read_load(NOW) == LoadReading(time=NOW, p_kw=73.3)
    found = open_field(bes(), BES, BES_MAP).read(NOW)["der"]
    assert isinstance(found, DerReading)
    assert (found.p_kw, found.q_kvar, found.soc_pct) == (-12.5, 3.25, 55.5)


def test_a_cap_goes_down_and_what_enables_it_goes_last(open_field: Open) -> None:
    registers = pv()
    field = open_field(registers, PV, PV_MAP)
    answer = field.write([cap(65.199, -3.19)])["der"]
    assert answer == Readback(p_kw=None, q_kvar=-3.1, cap_kw=65.1)
    # 65.1 %, −3.1 kvar, 1800 s and 20.5 kW lie in a row: one write.
    assert registers.written == [(100, [651, 0x10000 - 31, 1800, 41]), (110, [1]), (120, [1])]
    found = field.read(NOW)["der"]
    assert isinstance(found, DerReading)
    assert found.cap_kw == 65.1


def test_no_cap_is_the_rating(open_field: Open) -> None:
    registers = pv()
    field = open_field(registers, PV, PV_MAP)
    assert field.write([cap(None)])["der"] == Readback(p_kw=None, q_kvar=0, cap_kw=None)
    assert registers.held[100] == 1000


def test_single_precision_is_rounded_towards_zero(open_field: Open) -> None:
    registers = bes()
    field = open_field(registers, BES, BES_MAP)
    answer = field.write([setpoint(-33.3)])["der"]
    assert isinstance(answer, Readback)
    assert answer.p_kw is not None
    assert -33.3 <= answer.p_kw < -33.299990


def test_what_reads_as_none_is_an_error_and_never_zero(open_field: Open) -> None:
    for registers, der, text, name in (
        (pv(), PV, PV_MAP, "q_kvar"),
        (bes(), BES, BES_MAP, "p_kw"),
        (bes(), BES, BES_MAP, "soc_pct"),
    ):
        if name == "q_kvar":
            registers.inputs[2] = 0x8000
        elif name == "p_kw":
            registers.held[0] = 0x7FC0
        else:
            registers.held[4] = 0xFFFF
        found = open_field(registers, der, text).read(NOW)["der"]
        assert isinstance(found, DeviceError)
        assert f"register {name} reads as not available (NaN)" in str(found)


def test_local_control_and_another_rating_stop_the_write(open_field: Open) -> None:
    held = bes()
    held.held[5] = 1
    answer = open_field(held, BES, BES_MAP).write([setpoint(1)])["der"]
    assert isinstance(answer, RefusedWrite)
    assert "local control" in str(answer)
    other = pv()
    other.inputs[4] = 10
    answer = open_field(other, PV, PV_MAP).write([cap(50)])["der"]
    assert isinstance(answer, RefusedWrite)
    assert "rated 10 kW (register rated_kw), the site file says 100 kW" in str(answer)
    assert other.written == held.written == []


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (setpoint(1, 5), "names no register for q_set_kvar"),
        (setpoint(float("nan")), "not a finite number"),
        (cap(5), "takes a setpoint"),
    ],
)
def test_what_the_map_cannot_say_is_refused(
    open_field: Open, command: Command, problem: str
) -> None:
    registers = bes()
    answer = open_field(registers, BES, BES_MAP).write([command])["der"]
    assert isinstance(answer, RefusedWrite)
    assert problem in str(answer)
    assert registers.written == []


def test_a_number_the_register_cannot_hold_is_refused(open_field: Open) -> None:
    registers = pv()
    answer = open_field(registers, PV, PV_MAP).write([cap(50, 4000)])["der"]
    assert isinstance(answer, RefusedWrite)
    assert "q_set_kvar cannot hold 4000: int16 holds no 40000" in str(answer)
    assert registers.written == []


@pytest.mark.parametrize(
    ("register", "problem"),
    [
        ("scale = 10000", "reversion_s cannot hold 1800: it would hold no timer"),
        ("scale = 1000", "the nearest it holds is 1000"),
        ("scale = 10, nan = 180", "int16 holds no 180"),
        ("scale = 10000, offset = 700", "the nearest it holds is 700"),
    ],
)
def test_a_timer_that_is_not_what_was_asked_is_refused(
    open_field: Open, register: str, problem: str
) -> None:
    registers = bes()
    registers.held[12] = 0
    text = f"{BES_MAP}\nreversion_s = {{ address = 12, {register} }}"
    answer = open_field(registers, BES, text).write([setpoint(1)])["der"]
    assert isinstance(answer, RefusedWrite)
    assert problem in str(answer)
    assert registers.written == []


def test_a_coarse_timer_is_armed_and_counts_as_read_back(open_field: Open) -> None:
    registers = bes()
    registers.held[12] = 0
    text = f"{BES_MAP}\nreversion_s = {{ address = 12, scale = 70 }}"
    answer = open_field(registers, BES, text).write([setpoint(1)])["der"]
    assert isinstance(answer, Readback)
    assert (registers.held[12], answer.reverts) == (25, True)


@pytest.mark.parametrize(("held", "reverts"), [(1800, True), (0, False), (0xFFFF, False)])
def test_only_a_timer_that_runs_is_one(held: int, *, reverts: bool) -> None:
    registers = {"reversion_s": PlainRegister(address=1, type="uint16", nan=0xFFFF)}
    image = Image([(Span(start=1, count=1), [held])])
    assert Plain("der", registers).held(BES, image).reverts is reverts


def test_without_a_timer_nothing_reverts(open_field: Open) -> None:
    answer = open_field(bes(), BES, BES_MAP).write([setpoint(1)])["der"]
    assert isinstance(answer, Readback)
    assert not answer.reverts


@pytest.mark.parametrize(
    ("register", "asked", "problem"),
    [
        (PlainRegister(address=0, scale=100, offset=50), "0", "counts are -50 and 50"),
        (PlainRegister(address=0, scale=100, offset=50), "-20", "counts are -50 and 50"),
        (PlainRegister(address=0, scale=200, offset=-50), "60", "counts are -50 and 150"),
    ],
)
def test_a_setpoint_is_refused_rather_than_rounded_away_from_zero(
    register: PlainRegister, asked: str, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        encoded(register, Decimal(asked), floor=False)


def test_a_refused_and_a_swallowed_write_are_found_out(open_field: Open) -> None:
    refusing = pv()
    refusing.refused = {100}
    answer = open_field(refusing, PV, PV_MAP).write([cap(50)])["der"]
    assert isinstance(answer, RefusedWrite)
    assert "exception 3" in str(answer)
    assert "on cap_kw…reversion_kw, nothing was written" in str(answer)
    deaf = pv()
    deaf.deaf = True
    answer = open_field(deaf, PV, PV_MAP).write([cap(50)])["der"]
    assert isinstance(answer, DeviceError)
    assert not isinstance(answer, RefusedWrite)
    assert "cap_kw: asked 500, held 1000" in str(answer)


def test_a_map_that_lacks_what_its_device_needs_is_bad_input_all_at_once(
    open_field: Open,
) -> None:
    with pytest.raises(BadInput) as caught:
        open_field(bes(), BES, "p_kw = { address = 0 }")
    assert [str(f) for f in caught.value.faults] == [
        "der: its registers lack q_kvar",
        "der: its registers lack p_set_kw",
        "der: its registers lack soc_pct",
    ]


def test_a_map_without_a_timer_says_that_its_device_holds_on() -> None:
    maps = (BES_MAP, PV_MAP, "p_kw = { address = 1 }")
    tables = ({"host": "h", "registers": tomllib.loads(text)} for text in maps)
    devices = [*map(Device.model_validate, tables), Device(host="h")]
    assert [d.holds_on for d in devices] == [
        True, False, False, False,
    ]  # fmt: skip
