"""A disk that holds up whoever reads old entries holds up nobody else."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest

from ems.clock import SteppedClock
from ems.derms.app import Application
from ems.derms.board import Board
from ems.derms.keeping import Entry, MemoryKeeper
from ems.derms.settings import ServerSettings
from ems.store import StoreFault
from tests.derms_admin import Administered
from tests.derms_asked import ALICE, NAMESPACE, START, Asked, Got

PATIENCE_S = 60.0
"""For a loaded machine [s]."""
READING = (
    f'<MirrorMeterReading xmlns="{NAMESPACE}"><mRID>B1</mRID>'
    "<Reading><value>{value}</value></Reading></MirrorMeterReading>"
)


class HeldUp(MemoryKeeper):
    """Once it is told to, its entries come when a test lets them."""

    def __init__(self) -> None:
        super().__init__()
        self.holding = self.broken = False
        self.asked, self.go_on = threading.Event(), threading.Event()

    def entries(
        self,
        kind: str,
        *,
        owner: str | None = None,
        key: str | None = None,
        since: int = 0,
        newest: int | None = None,
    ) -> Iterator[Entry]:
        if self.broken:
            raise StoreFault("the disk reports an input/output error")
        found = list(super().entries(kind, owner=owner, key=key, since=since, newest=newest))
        if self.holding:
            self.asked.set()
            assert self.go_on.wait(PATIENCE_S)
        yield from found


class Held(Asked):
    """A board whose keeper may be held up, served to devices and to an administrator."""

    def __init__(self) -> None:
        super().__init__()
        self.keeper = HeldUp()
        self.restart()
        self.board.add_device("alice", lfdi=ALICE)
        point = (
            f'<MirrorUsagePoint xmlns="{NAMESPACE}"><mRID>A1</mRID><roleFlags>49</roleFlags>'
            "<serviceCategoryKind>0</serviceCategoryKind><status>1</status>"
            f"<deviceLFDI>{ALICE}</deviceLFDI><MirrorMeterReading><mRID>B1</mRID>"
            "<ReadingType><uom>38</uom></ReadingType></MirrorMeterReading></MirrorUsagePoint>"
        )
        assert self.ask(ALICE, "POST", "/mup", point).status == 201

    def restart(self) -> None:
        self.board = Board(self.keeper, SteppedClock(START))
        self.application = Application(self.board, ServerSettings(), own=(ALICE, 1))
        self.administered = Administered(self.board)

    def report(self, value: int) -> None:
        assert self.ask(ALICE, "POST", "/mup/1", READING.format(value=value)).status == 201

    async def meanwhile(
        self, slow: Awaitable[object], does: Callable[[], Awaitable[None]]
    ) -> object:
        """Have something done while a read is held up."""
        self.keeper.holding = True
        waits = asyncio.ensure_future(slow)
        assert await asyncio.to_thread(self.keeper.asked.wait, PATIENCE_S)
        await does()
        assert not waits.done()
        self.keeper.holding = False
        self.keeper.go_on.set()
        return await waits

    async def one(self, method: str, path: str, body: str = "") -> Got:
        return await self._ask(ALICE, method, path, body, {})


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.mark.parametrize("path", ["/audit", "/audit?since=0&most=2", "/audit/check"])
def test_devices_are_answered_while_an_administrator_waits_for_the_audit(
    held: Held, path: str
) -> None:
    async def devices_ask() -> None:
        assert (await held.one("GET", "/edev")).status == 200
        assert (await held.one("POST", "/mup/1", READING.format(value=7))).status == 201

    async def asked() -> object:
        return await held.meanwhile(held.administered.asked("GET", path), devices_ask)

    told = asyncio.run(asked())
    assert getattr(told, "status", None) == 200


def test_a_change_while_the_chain_is_checked_does_not_break_it(held: Held) -> None:
    async def change() -> None:
        await held.administered.asked("PUT", "/rates", {"poll_s": 7})

    async def asked() -> object:
        await change()
        return await held.meanwhile(held.administered.asked("GET", "/audit/check"), change)

    assert getattr(asyncio.run(asked()), "json", None) == {"whole": True, "fault": None}


def test_readings_of_before_a_restart_hold_nobody_up_and_each_is_there_once(held: Held) -> None:
    for value in (1, 2):
        held.report(value)
    held.restart()
    sets = "/upt/1/mr/1/rs"

    async def reports_another() -> None:
        assert (await held.one("POST", "/mup/1", READING.format(value=3))).status == 201

    async def asked() -> object:
        return await held.meanwhile(held.one("GET", f"{sets}?l=9"), reports_another)

    got = asyncio.run(asked())
    assert isinstance(got, Got)
    assert got.counts == (3, 3)
    held.report(4)
    values = [held.get(ALICE, f"{sets}/{n}/r").text("Reading/value") for n in (1, 2, 3, 4)]
    assert values == ["1", "2", "3", "4"]


def test_a_device_that_asks_for_what_the_disk_does_not_give_is_told_to_come_again(
    held: Held,
) -> None:
    held.report(1)
    held.restart()
    held.keeper.broken = True
    got = held.ask(ALICE, "GET", "/upt/1/mr/1/r")
    assert (got.status, got.headers["retry-after"]) == (503, "5")
    held.keeper.broken = False
    assert held.get(ALICE, "/upt/1/mr/1/r").text("value") == "1"


def test_the_audit_is_read_page_by_page_in_its_order(held: Held) -> None:
    for poll_s in range(1, 6):
        held.administered.ask("PUT", "/rates", {"poll_s": poll_s})
    told = held.administered.ask("GET", "/audit?most=2").json
    assert [one["number"] for one in told["entries"]] == [4, 5]
    pages, after = [], 0
    while page := held.administered.ask("GET", f"/audit?after={after}&most=2").json["entries"]:
        pages.append([one["number"] for one in page])
        after = pages[-1][-1]
    assert pages == [[1, 2], [3, 4], [5]]
    later = held.administered.ask("GET", f"/audit?since={held.now + 1}").json
    assert later["entries"] == []


def test_the_status_tells_why_a_change_is_not_on_the_disk(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert held.administered.ask("GET", "/status").json["unkept"] is None
    monkeypatch.setattr(Board, "unkept", "the disk is full; free some space")
    assert held.administered.ask("GET", "/status").json["unkept"].startswith("the disk is full")
