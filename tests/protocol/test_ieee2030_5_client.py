"""The IEEE 2030.5 client and a server that is late, unknown, restarted, moved or an impostor."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ems.clock import SteppedClock
from ems.derms.server import DermsServer
from ems.domain import Pv
from ems.enddevice.client import EndDeviceClient
from ems.enddevice.session import Lost, Refused, Session, lfdi_of_file, tls
from ems.errors import BadInput
from ems.plant.fleet import ders_of
from ems.plant.ieee2030_5 import SimulatedDer
from ems.plant.ieee2030_5.fleet import credentials_of
from ems.protocols.ieee2030_5 import sep
from ems.protocols.loop_thread import LoopThread
from tests.ieee2030_5 import Utility, serving

RECEIVED, STARTED, COMPLETED = 1, 2, 3
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def utility(tmp_path: Path) -> Iterator[Utility]:
    with serving(tmp_path, SteppedClock(NOON), ["pv"], {"program": 1}, poll_s=60) as serves:
        yield serves


def session_of(utility: Utility, server_lfdi: str | None = None) -> Session:
    issued = utility.pki.device["pv"]
    context = tls(issued.cert_file, issued.key_file, utility.pki.ca_file, check_name=True)
    return Session(utility.url, context, server_lfdi=server_lfdi)


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """A client, on a loop of its own."""

    client: EndDeviceClient
    loop: LoopThread

    def look(self) -> None:
        """Let it see what time it is."""
        self.loop.loop.call_soon_threadsafe(self.client.poll_now)


@contextmanager
def following(utility: Utility, pin: int | None = None) -> Iterator[Followed]:
    """A client of a PV plant."""
    loop = LoopThread("client")
    der = Pv(name="pv", bus="pv", rated_kw=100.0)

    async def start() -> tuple[EndDeviceClient, "asyncio.Task[None]", Session]:
        session = session_of(utility)
        lfdi = utility.pki.device["pv"].lfdi
        client = EndDeviceClient(session, lfdi, SimulatedDer(der), clock=utility.clock, pin=pin)
        return client, asyncio.create_task(client.run()), session

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await session.close()

    client, task, session = loop.run(start())
    try:
        yield Followed(client=client, loop=loop)
    finally:
        loop.run(end())
        loop.close()


def test_an_event_is_followed_and_answered_although_the_server_restarts_meanwhile(
    utility: Utility,
) -> None:
    clock = utility.clock
    assert isinstance(clock, SteppedClock)
    with following(utility) as followed:
        base, start = sep.DERControlBase(opModMaxLimW=5000), utility.now + 10
        event = utility.do(
            lambda: utility.board.publish("program", base=base, start=start, duration=20)
        )
        utility.heard(followed.client.registered.is_set, bool)
        followed.look()
        utility.answered(event.mrid, 1, RECEIVED)

        port = utility.server.address[1]
        utility.server.stop()
        for _ in range(2):  # it starts, and ends, while nobody can be told
            clock.move_to(clock.now() + timedelta(seconds=20))
            followed.look()
            utility.heard(lambda: followed.client.trouble, bool)
        utility.server = DermsServer(replace(utility.server.settings, port=port), utility.board)
        utility.server.start()

        utility.answered(event.mrid, 1, RECEIVED, STARTED, COMPLETED)
        said = utility.do(lambda: utility.board.responses(event.mrid))
        assert [a.time for a in said if a.status == STARTED] == [start]
        assert [a.time for a in said if a.status == COMPLETED] == [start + 20]


def test_a_device_that_is_registered_later_is_found_then(utility: Utility) -> None:
    lfdi = utility.pki.device["pv"].lfdi
    utility.do(lambda: utility.board.remove_device("pv"))
    with following(utility) as followed:
        told = utility.heard(lambda: followed.client.trouble, bool)
        assert "does not know" in told or "403" in told
        utility.do(lambda: utility.board.add_device("pv", lfdi=lfdi, groups=["program"]))
        utility.heard(followed.client.registered.is_set, bool)


def test_a_server_with_another_pin_is_not_followed(utility: Utility) -> None:
    with following(utility, pin=123457) as followed:
        assert "another PIN" in utility.heard(lambda: followed.client.trouble, bool)
        assert not followed.client.registered.is_set()


def test_only_the_server_that_is_expected_is_talked_to(utility: Utility) -> None:
    server = lfdi_of_file(utility.pki.server.cert_file)

    async def ask(expected: str) -> sep.DeviceCapability:
        session = session_of(utility, server_lfdi=expected)
        try:
            return await session.get("/dcap", sep.DeviceCapability)
        finally:
            await session.close()

    assert asyncio.run(ask(server)).EndDeviceListLink is not None
    with pytest.raises(Refused, match="another certificate"):
        asyncio.run(ask("0" * 40))


def test_a_server_of_another_authority_is_not_talked_to(utility: Utility) -> None:
    issued = utility.pki.device["pv"]

    async def ask() -> None:
        other = tls(issued.cert_file, issued.key_file, issued.cert_file, check_name=True)
        session = Session(utility.url, other)
        try:
            await session.get("/dcap", sep.DeviceCapability)
        finally:
            await session.close()

    with pytest.raises(Lost, match="certificate verify failed"):
        asyncio.run(ask())


def test_certificates_are_taken_by_name_or_one_after_another(
    utility: Utility, tmp_path: Path
) -> None:
    names = [der.name for der in ders_of(2, {"pv": 1})]
    with pytest.raises(BadInput, match="--devices 2"):
        credentials_of(tmp_path, names)
    for name in ("device-10", "device-2"):
        for suffix in (".pem", ".key"):
            there = tmp_path / "devices" / f"pv{suffix}"
            (tmp_path / "devices" / f"{name}{suffix}").write_bytes(there.read_bytes())
    found = credentials_of(tmp_path, names)
    assert [shown.name for shown in found] == ["device-2", "device-10"]
    [own] = credentials_of(tmp_path, ["pv"])
    assert own.lfdi == utility.pki.device["pv"].lfdi
    assert json.dumps(own.sfdi) == str(utility.pki.device["pv"].sfdi)
