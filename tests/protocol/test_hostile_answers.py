"""Our client against answers that are wrong, late, cut or somebody else's: none is believed."""

import asyncio
import random
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from ems.domain import Command, DerReading, DeviceAddress, Limits, Pv, Readback, Site
from ems.errors import DeviceError, RefusedWrite, Unreachable
from ems.gateways import wire
from ems.gateways.modbus import ExceptionAnswer, ModbusLink
from ems.gateways.sunspec import SunSpecField
from ems.protocols.loop_thread import LoopThread
from tests.protocol import reference
from tests.protocol.reference import ReferenceDevice, Served

Answer = Callable[[bytes], list[bytes]]
"""From a request to the segments that are sent back."""
FUZZED = 100_000
BUDGET_S = 0.3
"""What a silent device costs here [s]."""
NOW = datetime(2024, 6, 3, 20, tzinfo=UTC)
VALUES = [7, 11, 13]


def frame(transaction: int, unit: int, pdu: bytes, protocol: int = 0) -> bytes:
    return struct.pack(">HHHB", transaction, protocol, len(pdu) + 1, unit) + pdu


def good(request: bytes) -> bytes:
    """The right answer to a read of three registers."""
    return frame(int.from_bytes(request[:2], "big"), request[6], bytes([3, 6, 0, 7, 0, 11, 0, 13]))


@asynccontextmanager
async def device(answer: Answer) -> AsyncIterator[ModbusLink]:
    """A link to a device that answers so."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.read(300):
            for segment in answer(request):
                if not segment:
                    writer.close()
                    return
                writer.write(segment)
                await writer.drain()
                await asyncio.sleep(0)

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = ModbusLink("der", DeviceAddress(host="127.0.0.1", port=port, unit=5))
    await link.connect()
    try:
        yield link
    finally:
        link.drop()
        server.close()


async def asked(answer: Answer) -> list[int]:
    async with device(answer) as link, asyncio.timeout(BUDGET_S):
        return await link.read(100, 3)


def changed(place: slice, octets: bytes) -> Answer:
    def answer(request: bytes) -> list[bytes]:
        found = bytearray(good(request))
        found[place] = octets
        return [bytes(found)]

    return answer


def test_the_right_answer_is_taken_whole_or_in_pieces() -> None:
    assert asyncio.run(asked(lambda r: [good(r)])) == VALUES
    assert asyncio.run(asked(lambda r: [bytes([b]) for b in good(r)])) == VALUES


def test_an_answer_to_another_question_is_passed_over() -> None:
    """As a late one is: the right one that follows is taken, and without it there is none."""

    def late_then_right(request: bytes) -> list[bytes]:
        other = bytearray(good(request))
        other[0] ^= 0x40
        other[9:11] = b"\x12\x34"
        return [bytes(other) + good(request)]

    assert asyncio.run(asked(late_then_right)) == VALUES
    with pytest.raises(TimeoutError):
        asyncio.run(asked(changed(slice(0, 2), b"\x00\x00")))
    with pytest.raises(TimeoutError):
        asyncio.run(asked(changed(slice(0, 2), b"\xff\xff")))


@pytest.mark.parametrize(
    ("place", "octets", "problem"),
    [
        (slice(6, 7), b"\x06", "asked unit 5, unit 6 answered"),
        (slice(6, 7), b"\x00", "asked unit 5, unit 0 answered"),
        (slice(7, 8), b"\x04", "function 4 for a request of function 3"),
        (slice(7, 8), b"\x10", "function 16 for a request of function 3"),
        (slice(7, 8), b"\x84", "function 132 for a request of function 3"),
        (slice(7, 8), b"\x83", "a Modbus exception of 8 octets"),
        (slice(8, 9), b"\x04", "asked 3 registers, got 2"),
        (slice(2, 4), b"\x00\x01", "does not speak Modbus TCP"),
        (slice(4, 6), b"\x00\x00", "does not speak Modbus TCP"),
        (slice(4, 6), b"\x7f\xff", "does not speak Modbus TCP"),
    ],
)
def test_an_answer_that_is_none_is_an_error_at_once(
    place: slice, octets: bytes, problem: str
) -> None:
    with pytest.raises(DeviceError, match=problem):
        asyncio.run(asked(changed(place, octets)))


@pytest.mark.parametrize("count", [2, 4, 125])
def test_more_or_fewer_registers_than_asked_are_no_answer(count: int) -> None:
    def answer(request: bytes) -> list[bytes]:
        return [
            frame(int.from_bytes(request[:2], "big"), 5, bytes([3, 2 * count, *[0] * 2 * count]))
        ]

    with pytest.raises(DeviceError, match=r"octets where 8 were due"):
        asyncio.run(asked(answer))


def test_half_an_answer_is_none() -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(asked(lambda r: [good(r)[:-1]]))
    with pytest.raises(Unreachable, match="connection lost"):
        asyncio.run(asked(lambda r: [good(r)[:-1], b""]))


def test_another_protocol_is_told() -> None:
    with pytest.raises(DeviceError, match="does not speak Modbus TCP"):
        asyncio.run(asked(lambda _: [b"HTTP/1.1 400 Bad Request\r\n\r\n"]))


def test_a_write_is_acknowledged_as_it_was_asked_or_not_at_all() -> None:
    async def written(pdu: bytes) -> None:
        def answer(request: bytes) -> list[bytes]:
            return [frame(int.from_bytes(request[:2], "big"), 5, pdu)]

        async with device(answer) as link, asyncio.timeout(BUDGET_S):
            await link.write(100, [1, 2])

    asyncio.run(written(struct.pack(">BHH", 16, 100, 2)))
    for wrong in (struct.pack(">BHH", 16, 101, 2), struct.pack(">BHH", 16, 100, 1)):
        with pytest.raises(DeviceError, match="other registers"):
            asyncio.run(written(wrong))
    with pytest.raises(ExceptionAnswer):
        asyncio.run(written(bytes([0x90, 3])))


def test_a_hundred_thousand_mutated_answers_are_believed_only_where_all_fits() -> None:
    rng = random.Random(5)
    believed = 0
    for _ in range(FUZZED):
        request = _request(rng)
        transaction = rng.randrange(0x10000)
        pdu = _pdu(rng, request)
        octets = _mutated(rng, frame(transaction, request.unit, pdu))
        try:
            used, found = wire.from_tcp(request, transaction, octets)
        except wire.NoAnswer:
            continue
        assert 0 <= used <= len(octets)
        if found is None:
            continue
        believed += 1
        start = used - len(found) - 7
        head = struct.pack(">HHHB", transaction, 0, len(found) + 1, request.unit)
        assert octets[start : start + 7] == head
        _fits(request, found)
    assert believed > FUZZED // 10  # what was not touched is taken


def test_a_hundred_thousand_mutated_frames_on_a_serial_line() -> None:
    rng = random.Random(6)
    believed = 0
    for _ in range(FUZZED):
        request = _request(rng)
        pdu = _pdu(rng, request)
        whole = on_a_line(request.unit, pdu)
        octets = rng.randbytes(rng.choice((0, 0, 3))) + _mutated(rng, whole)
        found = wire.from_rtu(request, octets)
        if found is None:
            continue
        believed += 1
        _fits(request, found)
        # Whatever is believed stands there with its checksum, octet for octet.
        assert on_a_line(request.unit, found) in octets
    assert believed > FUZZED // 10


def test_echoes_noise_and_other_units_on_a_serial_line_are_passed_over() -> None:
    request = wire.read(5, 3, 100, 3)
    right = on_a_line(5, bytes([3, 6, 0, 7, 0, 11, 0, 13]))
    late = on_a_line(6, bytes([3, 6, 0, 1, 0, 1, 0, 1]))
    for before in (b"", wire.to_rtu(request), late, b"\x05\x03\x06", b"\xff\x00"):
        found = wire.from_rtu(request, before + right)
        assert found is not None
        assert wire.registers(found) == VALUES
        assert wire.from_rtu(request, before + right[:-1]) is None
    refused = wire.from_rtu(request, on_a_line(5, b"\x83\x02"))
    assert refused is not None
    assert wire.refusal(refused) == 2
    for wrong in (b"\x84\x02", bytes([3, 4, 0, 7, 0, 11]), bytes([4, 6, 0, 7, 0, 11, 0, 13])):
        assert wire.from_rtu(request, on_a_line(5, wrong)) is None


def on_a_line(unit: int, pdu: bytes) -> bytes:
    """A frame as a device sends it, checksum included."""
    return wire.to_rtu(wire.Request(unit=unit, function=0, address=0, count=0, pdu=pdu))


def _request(rng: random.Random) -> wire.Request:
    unit, address, count = rng.randrange(1, 248), rng.randrange(65_000), rng.randint(1, 12)
    if rng.random() < 0.3:
        return wire.write(unit, address, [rng.randrange(0x10000) for _ in range(count)])
    return wire.read(unit, rng.choice((3, 4)), address, count)


def _pdu(rng: random.Random, request: wire.Request) -> bytes:
    """Mostly the right answer, sometimes an exception."""
    if rng.random() < 0.1:
        return bytes([request.function | 0x80, rng.randrange(256)])
    if request.function == wire.WRITE:
        return request.pdu[:5]
    return bytes([request.function, 2 * request.count]) + rng.randbytes(2 * request.count)


def _mutated(rng: random.Random, octets: bytes) -> bytes:
    found = bytearray(octets)
    kind = rng.randrange(6)
    if kind == 0:
        for _ in range(rng.randint(1, 4)):
            found[rng.randrange(len(found))] = rng.randrange(256)
    elif kind == 1:
        del found[rng.randrange(len(found)) :]
    elif kind == 2:
        found += rng.randbytes(rng.randint(1, 20))
    elif kind == 3:
        found = bytearray(rng.randbytes(rng.randint(0, 40)))
    elif kind == 4:
        at = rng.randrange(len(found))
        found[at:at] = rng.randbytes(rng.randint(1, 3))
    return bytes(found)


def _fits(request: wire.Request, pdu: bytes) -> None:
    if pdu[0] == request.function | 0x80:
        assert len(pdu) == 2
    elif request.function == wire.WRITE:
        assert pdu == request.pdu[:5]
    else:
        assert pdu[0] == request.function
        assert len(pdu) == 2 + pdu[1]
        assert pdu[1] == 2 * request.count


# --- a whole device behind a link that garbles frames -------------------------------------


class Garbler:
    """Stands between client and device, and changes frames, never what registers hold."""

    def __init__(self, target: int, seed: int) -> None:
        self._target = target
        self._rng = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        there, to = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            while request := await reader.read(300):
                to.write(request)
                head = await there.readexactly(6)
                body = await there.readexactly(int.from_bytes(head[4:6], "big"))
                for segment in self._garbled(head + body):
                    if not segment:
                        return
                    writer.write(segment)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            to.close()

    def _garbled(self, octets: bytes) -> list[bytes]:
        found = bytearray(octets)
        kind = self._rng.randrange(40)
        if kind == 0:
            found[self._rng.randrange(9)] ^= 1 << self._rng.randrange(8)
        elif kind == 1:
            return [octets[: self._rng.randrange(len(octets))], b""]
        elif kind == 2:
            return [octets + octets]
        elif kind == 3:
            old = struct.pack(">H", (int.from_bytes(octets[:2], "big") - 1) % 0x10000)
            return [old + octets[2:9] + bytes(len(octets) - 9) + octets]
        elif kind == 4:
            return [octets[:3], octets[3:]]
        return [bytes(found)]


@pytest.fixture
def honest() -> ReferenceDevice:
    """The device at the far end."""
    return reference.newest_pv()


@pytest.fixture
def garbled(honest: ReferenceDevice) -> Iterator[Callable[[int], SunSpecField]]:
    loop = LoopThread("test-devices")
    served = Served({1: honest})
    loop.run(served.start())
    opened: list[tuple[SunSpecField, Garbler]] = []
    pv = Pv(name="pv", bus="B1", rated_kw=100, q_max_kvar=40)
    site = Site(
        name="garbled", latitude_deg=0, longitude_deg=0, ders=(pv,),
        limits=Limits(v_min_pu=0.9, v_max_pu=1.1), load_max_kw=100, load_min_kw=10,
    )  # fmt: skip

    def start(seed: int) -> SunSpecField:
        between = Garbler(served.port, seed)
        loop.run(between.start())
        address = DeviceAddress(host="127.0.0.1", port=between.port, timeout_s=BUDGET_S)
        opened.append((SunSpecField(site, {"pv": address, "load": address}), between))
        return opened[-1][0]

    yield start
    for field, between in opened:
        field.close()
        loop.run(between.stop())
    loop.run(served.stop())
    loop.close()


@pytest.mark.parametrize(
    ("instead_of_the_end", "problem"),
    [
        ([64_001, 1, 0] * 140, "does not end after 128 models"),
        ([0] * 8, "holds models without registers"),
    ],
)
def test_a_device_whose_chain_does_not_end_is_neither_read_nor_commanded(
    instead_of_the_end: list[int], problem: str
) -> None:
    """All models that it needs come first, and are sound."""
    written: list[list[int]] = []

    def watch(_: ReferenceDevice, __: int, values: list[int] | None, ___: int) -> None:
        written.extend([] if values is None else [values])

    device = reference.newest_pv()
    assert device.registers[-2:] == [0xFFFF, 0]
    device.registers = [*device.registers[:-2], *instead_of_the_end]
    device.watch = watch
    loop = LoopThread("test-devices")
    served = Served({1: device})
    loop.run(served.start())
    pv = Pv(name="pv", bus="B1", rated_kw=100, q_max_kvar=40)
    site = Site(
        name="endless", latitude_deg=0, longitude_deg=0, ders=(pv,),
        limits=Limits(v_min_pu=0.9, v_max_pu=1.1), load_max_kw=100, load_min_kw=10,
    )  # fmt: skip
    # Following 128 models is as many requests.
    address = DeviceAddress(host="127.0.0.1", port=served.port, timeout_s=10)
    field = SunSpecField(site, {"pv": address, "load": address})
    command = Command(der="pv", p_kw=None, q_kvar=0, cap_kw=50, reversion_kw=0, reversion_s=1800)
    answers = [field.read(NOW)["pv"], field.write([command])["pv"], field.read_load(NOW)]
    field.close()
    loop.run(served.stop())
    loop.close()
    for answer in answers:
        assert isinstance(answer, DeviceError)
        assert "answers nonsense" in str(answer)
        assert problem in str(answer)
    assert written == []


def test_a_reading_over_a_link_that_garbles_frames_is_right_or_none(
    garbled: Callable[[int], SunSpecField],
) -> None:
    field = garbled(1)
    right = 0
    for _ in range(200):
        found = field.read(NOW)["pv"]
        if isinstance(found, DerReading):
            right += 1
            assert (found.p_kw, found.q_kvar, found.hz, found.rated_kw) == (61.3, -5.2, 59.98, 100)
        else:
            assert isinstance(found, DeviceError)
    assert right > 100


def test_a_command_over_a_link_that_garbles_frames_is_carried_out_or_not_confirmed(
    garbled: Callable[[int], SunSpecField], honest: ReferenceDevice
) -> None:
    field = garbled(2)
    confirmed = 0
    for i in range(200):
        cap_kw = 10.0 + i % 50
        command = Command(
            der="pv", p_kw=None, q_kvar=i % 7, cap_kw=cap_kw, reversion_kw=5, reversion_s=1800
        )
        answer = field.write([command])["pv"]
        held = honest.point(704, "WMaxLimPct"), honest.point(704, "VarSet")
        if isinstance(answer, Readback):
            confirmed += 1
            assert held == (cap_kw, 1000 * (i % 7))
        elif isinstance(answer, RefusedWrite):
            assert held != (cap_kw, 1000 * (i % 7))
    assert confirmed > 50
