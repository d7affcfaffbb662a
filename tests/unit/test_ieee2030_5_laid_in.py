"""Limits of others that are laid in at once: at the start, and while answers are awaited."""

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from ems.domain import EndDeviceAddress, Readback
from ems.errors import GeemsError, Unreachable
from ems.gateways.ieee2030_5.ahead import EARLY_S
from ems.gateways.ieee2030_5.field import Ieee2030Field
from ems.gateways.ieee2030_5.memory import MemoryComing, MemoryDevice, MemoryServer
from ems.protocols.ieee2030_5 import sep
from tests.ieee2030_5_field import (
    ANSWER_S,
    AT,
    PV,
    REVERSION_S,
    SITE,
    cap,
    end_device,
    field_of,
    limit_of,
)
from tests.sites import NOW
from tests.unit.test_ieee2030_5_clock import Plant


def laid_in() -> None:
    """Return once nothing is being laid in any more."""
    for thread in threading.enumerate():
        if thread.name == "limits":
            thread.join()


def default_of(device: MemoryDevice) -> int | None:
    assert device.default is not None
    return device.default.opModMaxLimW


# --- at the start --------------------------------------------------------------------


def started(server: MemoryServer) -> Ieee2030Field:
    """The field of a process that starts beside what the one before has published."""
    address = EndDeviceAddress(enddevice="PV", answer_s=ANSWER_S)
    return Ieee2030Field(SITE, {"pv": address}, server, fresh_s=120.0)


def test_what_others_limit_is_in_what_a_device_holds_before_the_first_client_is_served() -> None:
    """The site file may bring a lower limit with the start; the first reading comes later."""
    field, server = field_of(pv=end_device(PV))
    field.write([cap(8000.0)])
    field.close()
    device = server.devices["pv"]
    device.others = [limit_of(5.0)]
    device.coming = [MemoryComing(base=limit_of(2.0), start=AT + 200)]
    server.pass_s(10)
    started(server)
    newest = device.orders[0]
    assert (newest.base.opModMaxLimW, newest.start + newest.duration) == (200, AT + REVERSION_S)
    assert default_of(device) == 200


def test_a_client_finds_the_limit_of_a_new_site_file_with_its_first_question() -> None:
    plant = Plant()
    assert isinstance(plant.field.write([cap(8000.0)])["pv"], Readback)
    plant.board.listeners.clear()  # its process has ended
    plant.board.set_default("feeder", limit_of(5.0))
    plant.start()
    plant.client.poll()
    assert plant.client.holds == 500
    plant.pass_s(REVERSION_S)
    plant.client.poll()
    assert plant.client.holds == 500


def test_a_start_beside_which_nobody_limits_anything_changes_nothing() -> None:
    field, server = field_of(pv=end_device(PV))
    field.write([cap(8000.0)])
    before = len(server.published), len(server.defaults)
    started(server)
    assert (len(server.published), len(server.defaults)) == before


def test_a_server_that_cannot_be_asked_at_the_start_is_asked_again_with_the_first_reading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    field, server = field_of(pv=end_device(PV))
    field.write([cap(8000.0)])
    field.close()
    device = server.devices["pv"]
    device.others = [limit_of(5.0)]

    def fails(*_: object) -> Mapping[str, MemoryDevice]:
        raise GeemsError("the IEEE 2030.5 server did not answer within 10 s")

    with monkeypatch.context() as broken:
        broken.setattr(server, "look", fails)
        again = started(server)
    assert device.orders[0].base.opModMaxLimW == 8000
    again.read(NOW)
    assert device.orders[0].base.opModMaxLimW == 500


def test_a_limit_is_not_laid_into_what_was_taken_back_before_it_ended() -> None:
    """The control that took its place has ended, and the default holds."""
    field, server = field_of(pv=end_device(PV))
    field.write([cap(8000.0, reversion_s=36_000)])
    server.limit("pv", limit_of(20.0), AT + 7200)
    laid_in()
    server.pass_s(7199)
    server.limit("pv", limit_of(10.0))
    laid_in()
    assert [o.duration for _, o in server.published] == [36_000, 7200 - EARLY_S]


# --- while control is handed back ----------------------------------------------------


def test_what_others_limit_while_control_is_handed_back_ends_with_their_event() -> None:
    """Nobody would lift it in the safe state that stays behind them."""
    plant = Plant()
    base = sep.DERControlBase(opModConnect=False, opModMaxLimW=500)
    plant.board.publish("feeder", base=base, start=plant.board.now(), duration=600)
    plant.client.poll()
    plant.field.write([cap(1000.0)])  # its safe state
    plant.link.hand_back(["pv"])
    plant.client.poll()
    assert plant.client.holds == 500
    plant.pass_s(630)
    plant.client.poll()
    turn = plant.client.schedule.advance(plant.board.now())
    assert turn.control.value("opModMaxLimW") == 1000
    assert turn.control.value("opModConnect") is not False
    plant.field.write([cap(2000.0)])
    plant.link.hand_back(["pv"])
    plant.client.poll()
    assert plant.client.holds == 1000
    assert plant.board.device("roof").groups == ("feeder", "dispatch-pv")


def test_a_limit_that_is_being_laid_in_while_control_is_handed_back_takes_nothing_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the dispatch would go before the others again, and nobody would be there to end it."""
    plant = Plant()
    plant.field.write([cap(8000.0)])
    lower = plant.link.lower

    def late(*what: Any) -> None:
        plant.link.hand_back(["pv"])
        lower(*what)

    monkeypatch.setattr(plant.link, "lower", late)
    plant.board.set_default("feeder", limit_of(50.0))
    laid_in()
    assert plant.board.program("dispatch-pv").primacy == 255
    assert not plant.ours()
    plant.client.poll()
    assert plant.client.holds == 5000


# --- while answers are awaited -------------------------------------------------------


def test_limits_that_others_lower_again_and_again_hold_up_no_answer() -> None:
    """Each is a control of its own, which the device has not answered when the next one comes."""
    device = end_device(PV)
    device.answers_after_s = 60.0
    field, server = field_of(pv=device)

    def lower() -> None:
        server.time += 30
        server.limit("pv", limit_of(80.0 - len(server.published)))
        laid_in()

    server.while_waiting = lower
    answer = field.write([cap(8000.0)])["pv"]
    assert isinstance(answer, Unreachable)
    assert "no Response" in str(answer)
    # The last wait begins before the time is over; here 30 s pass in it beforehand.
    assert AT + ANSWER_S <= server.now() <= AT + ANSWER_S + 30


def test_a_device_that_takes_the_last_limit_in_time_has_answered() -> None:
    device = end_device(PV)
    device.answers_after_s = 50.0
    field, server = field_of(pv=device)

    def lower() -> None:
        server.while_waiting = lambda: None
        server.time += 10
        server.limit("pv", limit_of(50.0))
        laid_in()

    server.while_waiting = lower
    answer = field.write([cap(8000.0)])["pv"]
    assert isinstance(answer, Readback)
    assert answer.cap_kw == pytest.approx(5000.0)
    assert server.now() == AT + 60


def test_a_control_that_was_not_answered_in_its_time_is_not_waited_for_again() -> None:
    device = end_device(PV)
    device.answers_after_s = None
    field, server = field_of(pv=device)
    field.write([cap(8000.0)])
    server.pass_s(5)
    assert isinstance(field.write([cap(8000.0)])["pv"], Unreachable)
    assert (server.now(), len(server.published)) == (AT + ANSWER_S + 5, 1)
