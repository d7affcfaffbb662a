"""Defaults and lists of the administration, without a network."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ems.clock import SteppedClock
from ems.derms.board import Board
from ems.protocols.ieee2030_5 import sep
from tests.derms_admin import Administered

LFDIS = [f"{n:X}" * 40 for n in (1, 2, 3)]
WHOLE: dict[str, Any] = {
    "base": {"max_lim_w_pct": 50.0, "volt_var": "curve1"},
    "description": "as agreed",
    "set_grad_w_pct_per_s": 0.5,
    "set_soft_grad_w_pct_per_s": 2.25,
    "enter_service": {
        "delay_s": 300.0,
        "high_hz": 60.1,
        "low_hz": 59.5,
        "high_v_pct": 105.0,
        "low_v_pct": 91.7,
        "ramp_tms_s": 300.0,
        "random_delay_s": 10.0,
    },
}
"""All that a default can have."""
DEFAULT = "/programs/program1/default"


@pytest.fixture
def admin() -> Administered:
    """Three of everything."""
    board = Board(clock=SteppedClock(datetime(2026, 7, 1, 12, tzinfo=UTC)))
    for n, lfdi in enumerate(LFDIS, start=1):
        board.add_curve(f"curve{n}", type=11, points=((0, 0), (1, 1)))
        board.add_program(f"program{n}", primacy=n)
        board.add_device(f"device{n}", lfdi=lfdi, groups=["program1"])
        board.add_group(f"group{n}", programs=["program1"])
        half = sep.DERControlBase(opModMaxLimW=5000)
        control = board.publish("program1", base=half, start=board.now() + n, duration=60)
        board.respond(subject=control.mrid, lfdi=LFDIS[0], status=1, time=None)
        board.subscribe(1, path=f"/derp/{n}", uri="https://a/", limit=1, level="+S1")
    return Administered(board)


# --- the default of a program ------------------------------------------------------------


def test_a_default_is_put_whole_read_whole_and_served_whole(admin: Administered) -> None:
    assert admin.ask("GET", DEFAULT).status == 404
    shown = admin.ask("PUT", DEFAULT, WHOLE).json
    assert shown["default"] == WHOLE
    assert admin.ask("GET", DEFAULT).json == WHOLE
    held = admin.board.program("program1").default
    assert held is not None
    assert (held.setESDelay, held.setESLowVolt, held.setGradW) == (30000, 9170, 50)


def test_a_default_that_is_put_back_as_it_was_read_is_no_other_one(admin: Administered) -> None:
    admin.ask("PUT", DEFAULT, WHOLE)
    before = admin.board.program("program1")
    admin.ask("PUT", DEFAULT, admin.ask("GET", DEFAULT).json)
    assert admin.board.program("program1") == before


def test_what_is_left_out_of_a_default_goes(admin: Administered) -> None:
    admin.ask("PUT", DEFAULT, WHOLE)
    admin.ask("PUT", DEFAULT, {"base": {}, "enter_service": {"delay_s": 1.0}})
    told = admin.ask("GET", DEFAULT).json
    del told["description"]  # it stays until there is another one
    assert told == {"base": {}, "enter_service": {"delay_s": 1.0}}


@pytest.mark.parametrize(
    "change",
    [
        {"set_grad_w_pct_per_s": 100.0},
        {"set_soft_grad_w_pct_per_s": 1.0},
        {"enter_service": {"delay_s": 1.0}},
        {"base": {"max_lim_w_pct": 10.0}},
    ],
)
def test_the_audit_holds_a_default_whole(admin: Administered, change: dict[str, Any]) -> None:
    admin.ask("PUT", DEFAULT, WHOLE)
    admin.ask("PUT", DEFAULT, WHOLE | change)
    [entry] = admin.board.audit.last(1)
    assert entry.before["default"] == WHOLE
    assert entry.after["default"] == WHOLE | change


def test_a_setting_that_no_default_can_have_is_refused_with_its_key(admin: Administered) -> None:
    wrong = {"base": {}, "enter_service": {"delay_s": -1.0}}
    [fault] = admin.ask("PUT", DEFAULT, wrong).faults
    assert fault.startswith("enter_service.delay_s: ")


# --- lists -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/devices", "devices"),
        ("/devices/device1/responses", "responses"),
        ("/devices/device1/subscriptions", "subscriptions"),
        ("/subscriptions", "subscriptions"),
        ("/groups", "groups"),
        ("/programs", "programs"),
        ("/programs/program1/controls", "controls"),
        ("/curves", "curves"),
    ],
)
def test_every_list_has_one_shape_and_is_read_by_pages(
    admin: Administered, path: str, name: str
) -> None:
    whole = admin.ask("GET", path).json
    assert whole.keys() == {"all", name}
    assert (whole["all"], len(whole[name])) == (3, 3)
    assert admin.ask("GET", f"{path}?offset=1&limit=1").json == {"all": 3, name: [whole[name][1]]}
    assert admin.ask("GET", f"{path}?offset=3").json == {"all": 3, name: []}
    assert admin.ask("GET", f"{path}?limit=0").status == 422


def test_the_audit_tells_how_many_entries_there_are(admin: Administered) -> None:
    for primacy in (5, 6, 7):
        admin.ask("PATCH", "/programs/program1", {"primacy": primacy})
    told = admin.ask("GET", "/audit?most=2").json
    assert told.keys() == {"all", "entries"}
    assert (told["all"], [one["number"] for one in told["entries"]]) == (3, [2, 3])
