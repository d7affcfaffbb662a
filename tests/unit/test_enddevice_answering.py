"""Responses on their way: one that a server never takes holds up no other, and no server is run
over."""

import asyncio
from typing import Any

import pytest

from ems.enddevice.answering import IN_A_ROW, MOST_TRIES, Answers
from ems.enddevice.responses import Answer, Status
from ems.enddevice.session import Lost, Refused

LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
BAD, GOOD = "BA" * 16, "00" * 16


class Server:
    """Takes Responses, but for some."""

    def __init__(self) -> None:
        self.fails: set[str] = set()
        """Events whose Responses it fails on."""
        self.is_gone = False
        self.asked = 0
        self.said: list[tuple[str, int]] = []

    async def post(self, _href: str, resource: Any) -> str:
        self.asked += 1
        if self.is_gone:
            raise Lost("no connection")
        if resource.subject in self.fails or "*" in self.fails:
            raise Lost("POST /rsp: 500", 500)
        if resource.subject.startswith("4"):
            raise Refused("POST /rsp: 400", 400)
        self.said.append((resource.subject, resource.status))
        return ""


class Device:
    """The Responses of a device, told in steps of its clock."""

    def __init__(self) -> None:
        self.server, self.now = Server(), 1000.0
        self.answers = Answers(self.server, LFDI)  # type: ignore[arg-type]

    def add(self, subject: str, *statuses: Status, at: int = 1000) -> None:
        for status in statuses:
            self.answers.add(Answer(subject=subject, status=status, time=at, reply_to="/rsp"))

    def pass_s(self, seconds: float) -> None:
        """Tell whatever comes due within some time."""
        ends = self.now + seconds
        while (due := self.answers.due()) is not None and due <= ends:
            self.now = max(self.now, due)
            asyncio.run(self.answers.post(self.now))
        self.now = ends


@pytest.fixture
def device() -> Device:
    return Device()


def test_responses_are_told_in_order_and_then_nothing_is_due(device: Device) -> None:
    device.add(GOOD, Status.RECEIVED, Status.STARTED)
    device.pass_s(0.0)
    assert device.server.said == [(GOOD, 1), (GOOD, 2)]
    assert device.answers.due() is None


def test_a_response_that_is_never_taken_holds_up_no_other(device: Device) -> None:
    device.server.fails = {BAD}
    device.add(BAD, Status.RECEIVED, Status.STARTED)
    for number in range(20):
        device.add(f"{number:032X}", Status.RECEIVED)
    device.pass_s(0.0)
    assert len(device.server.said) == 20
    assert "500" in device.answers.trouble


def test_several_that_are_never_taken_hold_up_no_other_either(device: Device) -> None:
    bad = [f"BAD{number:029X}" for number in range(IN_A_ROW + 2)]
    device.server.fails = set(bad)
    for subject in bad:
        device.add(subject, Status.RECEIVED)
    device.add(GOOD, Status.RECEIVED)
    device.pass_s(5.0)
    assert device.server.said == [(GOOD, 1)]


def test_a_later_response_to_an_event_goes_ahead_of_one_that_failed_often(device: Device) -> None:
    device.server.fails = {BAD}
    device.add(BAD, Status.RECEIVED, Status.COMPLETED)
    device.pass_s(0.0)
    assert device.server.asked == 1
    device.pass_s(600.0)
    device.server.fails = set()
    device.pass_s(120.0)
    assert sorted(device.server.said) == [(BAD, 1), (BAD, 3)]
    assert device.answers.trouble == ""


def test_a_server_that_takes_none_is_not_run_over_by_a_thousand(device: Device) -> None:
    device.server.fails = {"*"}
    for number in range(1000):
        device.add(f"{number:032X}", Status.RECEIVED)
    device.pass_s(3600.0)
    assert device.server.asked < 150
    device.server.fails = set()
    device.pass_s(60.0)
    assert len(device.server.said) == 1000


def test_what_no_server_takes_in_a_day_is_given_up(device: Device) -> None:
    device.server.fails = {BAD}
    device.add(BAD, Status.RECEIVED)
    device.pass_s(2 * 86_400.0)
    assert device.server.asked == MOST_TRIES
    assert device.answers.due() is None


def test_responses_wait_for_a_server_that_is_gone(device: Device) -> None:
    device.server.is_gone = True
    device.add(GOOD, Status.RECEIVED)
    for _ in range(5):
        with pytest.raises(Lost):
            asyncio.run(device.answers.post(device.now))
    device.server.is_gone = False
    device.pass_s(0.0)
    assert device.server.said == [(GOOD, 1)]


def test_one_that_is_refused_or_cannot_be_written_is_given_up(device: Device) -> None:
    device.add("4" * 32, Status.RECEIVED)
    device.add(BAD, Status.RECEIVED, at=1 << 70)
    device.add(GOOD, Status.RECEIVED)
    device.pass_s(0.0)
    assert device.server.said == [(GOOD, 1)]
    assert device.answers.due() is None
