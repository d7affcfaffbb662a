"""The plant's server against requests that no honest client sends: it stays up and stays right."""

import asyncio
import random
import struct
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from ems.domain import Pv
from ems.outstation.server import DeviceServer
from ems.plant.field_device import FieldDevice
from ems.protocols.loop_thread import LoopThread
from ems.protocols.sunspec import MARKER, MAX_WRITE, ModelBlock, model

REQUESTS = 100_000
CLIENTS = 400
"""At once: a request that has no answer is waited for, by one of many."""
NOW = datetime(2024, 6, 3, 20, tzinfo=UTC)
CONTROLS = 40_002 + sum(model(m).length for m in (1, 701, 702))
"""Where the controls begin, and with them all that may be written."""
MISFRAMED = 0.05
"""Share of requests whose header belies their length [1]."""


class Client(asyncio.Protocol):
    """Sends one request at a time, and reads whatever comes."""

    def __init__(self) -> None:
        self.buffer = b""
        self.answer: asyncio.Future[bytes] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        size = 6 + int.from_bytes(self.buffer[4:6], "big")
        if len(self.buffer) >= size and self.answer is not None and not self.answer.done():
            found, self.buffer = self.buffer[:size], self.buffer[size:]
            self.answer.set_result(found)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(ConnectionResetError())

    async def ask(self, octets: bytes) -> bytes:
        assert self.transport is not None
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(octets)
        return await self.answer


@pytest.fixture
def device() -> FieldDevice:
    return FieldDevice(Pv(name="pv", bus="B1", rated_kw=1000, q_max_kvar=100), NOW, 60)


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    loop = LoopThread("test-devices")
    yield loop
    loop.close()


def random_pdu(rng: random.Random) -> bytes:
    """Functions that exist and that do not, with arguments that mostly make no sense."""
    address = rng.choice((40_000, CONTROLS, rng.randrange(0x10000))) + rng.randrange(-3, 70)
    address %= 0x10000
    count = rng.choice((0, 1, 2, 6, 125, 126, rng.randrange(0x10000)))
    function = rng.choice((3, 3, 6, 16, 16, 16, rng.randrange(0x80)))
    if function == 6:
        return struct.pack(">BHH", 6, address, rng.randrange(0x10000))
    if function == 16:
        length = rng.randint(1, MAX_WRITE) if rng.random() < 0.2 else rng.randint(1, 14)
        said = length if rng.random() < 0.8 else rng.randrange(0x10000)
        octets = 2 * length if rng.random() < 0.8 else rng.randrange(256)
        return struct.pack(">BHHB", 16, address, said, octets) + rng.randbytes(2 * length)
    if function == 3 or rng.random() < 0.5:
        return struct.pack(">BHH", function, address, count)
    return bytes([function]) + rng.randbytes(rng.randint(0, 30))


def kept(blocks: dict[int, ModelBlock]) -> dict[int, list[int]]:
    """Registers that no client may change."""
    return {m: list(b.registers) for m, b in blocks.items() if m in (1, 701, 702)}


async def fuzz(server: DeviceServer, seed: int, requests: int) -> tuple[int, int]:
    """Requests answered, and answers that were no refusals."""
    loop = asyncio.get_running_loop()
    rng = random.Random(seed)
    client: Client | None = None
    answered = carried_out = 0
    for number in range(requests):
        if client is None:
            _, client = await loop.create_connection(Client, "127.0.0.1", server.port)
        assert client.transport is not None
        pdu = random_pdu(rng)
        transaction = number % 0x10000
        if rng.random() < MISFRAMED:
            head = struct.pack(">HHHB", transaction, rng.randrange(3), rng.randrange(0x10000), 1)
            client.transport.write(head + pdu)
            client.transport.close()  # whether it waits for more or has given up
            client = None
            continue
        octets = struct.pack(">HHHB", transaction, 0, len(pdu) + 1, 1) + pdu
        try:
            async with asyncio.timeout(SILENCE_S):
                found = await client.ask(octets)
        except (TimeoutError, ConnectionError):
            client = None  # its server has hung up, or says nothing any more
            continue
        answered += 1
        assert int.from_bytes(found[:2], "big") == transaction
        # What pymodbus cannot decode it refuses as function 0.
        assert found[7] in (pdu[0], pdu[0] | 0x80, 0x80)
        if not found[7] & 0x80:
            carried_out += 1
    if client is not None and client.transport is not None:
        client.transport.close()
    return answered, carried_out


SILENCE_S = 5.0
"""After so long a request counts as not answered [s]."""


def test_a_hundred_thousand_requests_leave_the_server_up_and_its_registers_right(
    device: FieldDevice, loop: LoopThread
) -> None:
    server = DeviceServer("pv", device.registers)
    loop.run(server.start())
    before = kept(_blocks(device))

    async def all_of_them() -> list[tuple[int, int]]:
        each = REQUESTS // CLIENTS
        return await asyncio.gather(*(fuzz(server, seed, each) for seed in range(CLIENTS)))

    done = loop.run(all_of_them())
    marker = loop.run(_marker(server))
    loop.run(server.stop())
    assert sum(answered for answered, _ in done) > 0.9 * REQUESTS
    assert sum(carried_out for _, carried_out in done) > 0.05 * REQUESTS
    assert marker == MARKER
    assert kept(_blocks(device)) == before
    controls = _blocks(device)[704]
    assert controls.raw("WMaxLimPctEna") in (0, 1)
    assert 0 <= (controls.raw("WMaxLimPct") or 0) <= 10_000
    assert abs(controls.raw("VarSet") or 0) <= 100_000
    assert controls.raw("WSet") is None  # a PV plant has none, and nobody made it one


def _blocks(device: FieldDevice) -> dict[int, ModelBlock]:
    return {b.model.id: b for b in device.registers._blocks}


async def _marker(server: DeviceServer) -> tuple[int, ...]:
    _, client = await asyncio.get_running_loop().create_connection(Client, "127.0.0.1", server.port)
    found = await client.ask(struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, 40_000, 2))
    assert client.transport is not None
    client.transport.close()
    return struct.unpack(">HH", found[9:13])
