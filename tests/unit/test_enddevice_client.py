"""Pieces of the IEEE 2030.5 client: the server's time, pauses, lists by pages, the PIN."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ems.clock import SteppedClock
from ems.enddevice.application import Measured
from ems.enddevice.mirror import Mirror
from ems.enddevice.paging import PAGE, whole
from ems.enddevice.registration import NotRegistered, WrongServer, register
from ems.enddevice.session import Lost, Refused
from ems.enddevice.timing import LONGEST_S, ServerTime, backoff_s, sooner
from ems.protocols.ieee2030_5 import identity, sep
from ems.protocols.ieee2030_5.functions import contradict

LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


# --- time ------------------------------------------------------------------------------------


@given(ahead_s=st.floats(-1e6, 1e6), took_s=st.floats(0.0, 5.0))
def test_the_offset_is_known_to_the_length_of_the_answer_and_one_second(
    ahead_s: float, took_s: float
) -> None:
    time = ServerTime(SteppedClock(NOON))
    asked = time.own()
    told = int(asked + took_s / 2 + ahead_s)  # a server tells whole seconds
    time.read(told, asked, asked + took_s)
    assert abs(time.offset_s - ahead_s) <= took_s + 1.0 + 1e-6  # rounding of a float


def test_clocks_that_agree_stay_equal() -> None:
    time = ServerTime(SteppedClock(NOON))
    for _ in range(10):
        time.read(int(time.own()), time.own(), time.own() + 0.2)
    assert time.offset_s == 0.0


def test_pauses_grow_to_a_minute_and_differ_between_devices() -> None:
    pauses = list(islice(backoff_s("a"), 10))
    assert pauses[0] <= 1.0
    assert all(0.5 * LONGEST_S <= pause <= LONGEST_S for pause in pauses[7:])
    assert pauses == list(islice(backoff_s("a"), 10))
    assert pauses != list(islice(backoff_s("b"), 10))


def test_whoever_reads_the_clock_is_told_whether_it_moved() -> None:
    time = ServerTime(SteppedClock(NOON))
    assert not time.read(int(time.own()), time.own(), time.own())
    assert time.read(int(time.own()) + 600, time.own(), time.own())
    assert time.now() - time.own() == 600.0


@pytest.mark.parametrize("told", [1 << 62, 0, -5, int(NOON.timestamp()) + 366 * 86_400])
def test_an_absurd_time_of_a_server_is_not_believed_and_the_last_one_stands(told: int) -> None:
    time = ServerTime(SteppedClock(NOON))
    time.read(int(time.own()) + 600, time.own(), time.own())
    assert not time.read(told, time.own(), time.own())
    assert time.offset_s == 600.0
    assert str(told) in time.doubt
    assert not time.read(int(time.own()) + 600, time.own(), time.own())
    assert time.doubt == ""


def test_a_device_whose_own_clock_was_never_set_takes_the_servers_time() -> None:
    time = ServerTime(SteppedClock(datetime(1970, 1, 2, tzinfo=UTC)))
    assert not time.read(1 << 62, time.own(), time.own())
    assert time.read(int(NOON.timestamp()), time.own(), time.own())
    assert abs(time.now() - NOON.timestamp()) <= 1.0


# --- lists -----------------------------------------------------------------------------------


class Listed:
    """A server of one list that serves at most so many items at once."""

    def __init__(self, count: int, most: int) -> None:
        self.items = [sep.DERProgram(href=f"/derp/{n}", mRID=f"{n:X}", primacy=1)
                      for n in range(count)]  # fmt: skip
        self.most = most
        self.asked: list[int] = []
        self.lost: int | None = None

    async def get(self, href: str, kind: type[Any], **query: int) -> Any:
        start = query["s"]
        self.asked.append(start)
        if self.lost is not None and start:
            del self.items[self.lost]
            self.lost = None
        page = self.items[start : start + min(query["l"], self.most)]
        return kind(href=href, all_=len(self.items), results=len(page), DERProgram_=page)


def read(server: Listed) -> list[sep.DERProgram]:
    async def reading() -> list[sep.DERProgram]:
        found = await whole(server, "/derp", sep.DERProgramList, lambda p: p.DERProgram_)
        return found.items

    return asyncio.run(reading())


@given(count=st.integers(0, 3 * PAGE), most=st.integers(1, 2 * PAGE))
def test_a_list_is_read_whole_whatever_its_server_gives_at_once(count: int, most: int) -> None:
    server = Listed(count, most)
    assert read(server) == server.items


def test_a_list_that_changes_while_it_is_read_is_read_anew() -> None:
    server = Listed(25, 10)
    server.lost = 3
    assert [item.href for item in read(server)] == [item.href for item in server.items]
    assert server.asked.count(0) == 2


def test_a_server_that_tells_more_than_it_has_is_not_asked_for_ever() -> None:
    class Liar(Listed):
        async def get(self, href: str, kind: type[Any], **query: int) -> Any:
            page = await super().get(href, kind, **query)
            page.all_ += 1
            return page

    with pytest.raises(Lost, match="changes faster"):
        read(Liar(5, 10))


# --- registration ------------------------------------------------------------------------------


class Server:
    """Device capability, one end device, its registration."""

    start = "https://server/dcap"

    def __init__(self, *, lfdi: str = LFDI, pin: int | None = 111115, status: int = 403) -> None:
        self.lfdi, self.pin, self.status = lfdi, pin, status

    async def get(self, href: str, kind: type[Any], **_query: int) -> Any:
        if kind is sep.DeviceCapability:
            link = sep.ListLink(href="/edev", all_=1)
            return sep.DeviceCapability(href=href, EndDeviceListLink=link, pollRate=60)
        if kind is sep.Registration:
            return sep.Registration(dateTimeRegistered=0, pIN=self.pin or 0)
        device = sep.EndDevice(
            href="/edev/1",
            lFDI=self.lfdi,
            sFDI=identity.sfdi_of(self.lfdi),
            changedTime=0,
            RegistrationLink=None if self.pin is None else sep.Link(href="/edev/1/rg"),
        )
        return sep.EndDeviceList(href=href, all_=1, results=1, EndDevice_=[device])

    async def post(self, href: str, _resource: sep.Resource) -> str:
        raise Refused(f"POST {href}: {self.status}", self.status)


def registering(server: Server, pin: int | None) -> Any:
    return asyncio.run(register(server, LFDI, pin))  # type: ignore[arg-type]  # a session's part


@pytest.mark.parametrize("pin", [None, 111115])
def test_a_device_finds_itself_by_its_lfdi(pin: int | None) -> None:
    found = registering(Server(), pin)
    assert (found.device.href, found.poll_s) == ("/edev/1", 60)


@pytest.mark.parametrize("told", [123455, None])
def test_a_server_with_another_pin_is_not_followed_and_the_pin_is_not_told(
    told: int | None,
) -> None:
    with pytest.raises(WrongServer) as caught:
        registering(Server(pin=told), 111115)
    assert "123455" not in str(caught.value)
    assert "111115" not in str(caught.value)


def test_a_server_that_registers_out_of_band_says_so() -> None:
    with pytest.raises(NotRegistered, match="does not know"):
        registering(Server(lfdi="0" * 40), None)


# --- the rest ------------------------------------------------------------------------------------


def test_one_reactive_mode_at_a_time() -> None:
    assert contradict(frozenset({"opModFixedVar", "opModVoltVar"}))
    assert contradict(frozenset({"opModFixedW", "opModTargetW"}))
    assert not contradict(frozenset({"opModFixedPFInjectW", "opModFixedPFAbsorbW"}))
    assert not contradict(frozenset({"opModMaxLimW", "opModFixedW", "opModVoltVar"}))


def test_the_mirror_is_the_same_after_a_restart() -> None:
    one, other = (Mirror(None, "/mup", LFDI, 32473) for _ in range(2))  # type: ignore[arg-type]  # nothing is sent
    assert one._mrid("active power") == other._mrid("active power")
    assert one._mrid("active power") != one._mrid("voltage")


def test_a_reading_is_of_when_it_was_measured_if_it_says_when() -> None:
    mirror = Mirror(None, "/mup", LFDI, 32473)  # type: ignore[arg-type]  # nothing is sent
    measured = Measured(name="active power", value=5.0, uom=38)
    for told, start in ((None, 1000), (940.0, 940)):
        reading = mirror._reading(replace(measured, time=told), 1000).Reading_
        assert reading is not None
        assert reading.timePeriod is not None
        assert reading.timePeriod.start == start


@pytest.mark.parametrize(
    ("server_s", "own_s", "expected"),
    [(4294967295, None, 86_400), (4294967295, 5, 5), (60, 300, 60), (60, None, 60)],
)
def test_a_server_cannot_ask_to_be_left_alone_for_longer_than_a_day(
    server_s: int, own_s: int | None, expected: int
) -> None:
    assert sooner(server_s, own_s) == expected
