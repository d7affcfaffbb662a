"""What becomes of a control as time passes, as devices read it."""

from datetime import timedelta

import pytest

from ems.clock import WallClock
from ems.derms.app import Application
from ems.derms.board import Board
from ems.derms.settings import ServerSettings
from ems.protocols.ieee2030_5 import sep
from tests.derms_asked import ALICE, START, Asked

SCHEDULED, ACTIVE, CANCELLED, CANCELLED_RANDOMLY, SUPERSEDED = "01234"


@pytest.fixture
def asked() -> Asked:
    made = Asked()
    made.neighbours()
    return made


def _status(asked: Asked, mrid: str) -> str:
    listed = asked.get(ALICE, "/derp/1/derc?l=99")
    known = dict(
        zip(
            listed.texts("DERControl/mRID"),
            listed.texts("DERControl/EventStatus/currentStatus"),
            strict=True,
        )
    )
    return known.get(mrid, "gone")


def test_a_control_is_scheduled_then_active_then_gone(asked: Asked) -> None:
    mrid = asked.publish("both", start=20)

    assert _status(asked, mrid) == SCHEDULED
    assert asked.get(ALICE, "/derp/1/actderc?l=9").counts == (0, 0)
    asked.pass_s(20)
    assert _status(asked, mrid) == ACTIVE
    assert asked.get(ALICE, "/derp/1/actderc?l=9").texts("DERControl/mRID") == [mrid]
    asked.pass_s(59)
    assert _status(asked, mrid) == ACTIVE
    asked.pass_s(1)
    assert _status(asked, mrid) == "gone"
    assert asked.get(ALICE, "/derp/1").all("DERControlListLink")[0].get("all") == "0"
    assert asked.get(ALICE, "/derp/1/derc/1").text("mRID") == mrid


def test_a_control_that_starts_in_the_past_is_active_at_once(asked: Asked) -> None:
    assert _status(asked, asked.publish("both", start=-10)) == ACTIVE


def test_a_randomised_control_lasts_until_its_last_device_ends_it(asked: Asked) -> None:
    mrid = asked.publish("both", start=20, random_start=-10, random_duration=30)

    asked.pass_s(10)
    assert _status(asked, mrid) == ACTIVE
    asked.pass_s(10 + 60 + 29)
    assert _status(asked, mrid) == ACTIVE
    asked.pass_s(1)
    assert _status(asked, mrid) == "gone"


@pytest.mark.parametrize(("randomly", "status"), [(False, CANCELLED), (True, CANCELLED_RANDOMLY)])
def test_a_cancelled_control_stays_listed_so_that_devices_hear_of_it(
    asked: Asked, *, randomly: bool, status: str
) -> None:
    mrid = asked.publish("both", start=20)
    asked.board.cancel("both", mrid, randomly=randomly)

    assert _status(asked, mrid) == status
    asked.pass_s(79)
    assert _status(asked, mrid) == status
    asked.pass_s(1)
    assert _status(asked, mrid) == "gone"


def test_the_newer_control_of_a_program_supersedes_from_its_start(asked: Asked) -> None:
    older = asked.publish("both", start=0, duration=100)
    newer = asked.publish("both", start=50, duration=100)

    assert (_status(asked, older), _status(asked, newer)) == (ACTIVE, SCHEDULED)
    asked.pass_s(50)
    assert (_status(asked, older), _status(asked, newer)) == (SUPERSEDED, ACTIVE)


def test_a_control_of_another_program_supersedes_nothing(asked: Asked) -> None:
    mrid = asked.publish("both", duration=100)
    asked.publish("alices", duration=100)
    asked.pass_s(10)

    assert _status(asked, mrid) == ACTIVE


def test_controls_of_other_modes_stand_beside_each_other(asked: Asked) -> None:
    mrid = asked.publish("both", duration=100)
    asked.publish("both", duration=100, base=sep.DERControlBase(opModConnect=True))
    asked.pass_s(10)

    assert _status(asked, mrid) == ACTIVE


def test_what_was_rendered_before_does_not_outlive_a_change(asked: Asked) -> None:
    mrid = asked.publish("both", start=20)
    assert _status(asked, mrid) == SCHEDULED
    asked.board.cancel("both", mrid)
    assert _status(asked, mrid) == CANCELLED
    other = asked.publish("both", start=90)
    assert _status(asked, other) == SCHEDULED


def test_a_machine_whose_clock_was_set_back_has_a_control_to_come_again() -> None:
    shown = [START]
    asked = Asked()
    board = asked.board = Board()
    board._kept.clock = WallClock(machine=lambda: shown[0], passed_s=lambda: 0.0)
    asked.application = Application(board, ServerSettings())
    asked.neighbours()
    mrid = asked.publish("both", start=20)
    shown[0] = START + timedelta(seconds=30)

    assert _status(asked, mrid) == SCHEDULED
    assert board.follow()
    assert _status(asked, mrid) == ACTIVE
    shown[0] = START
    assert board.follow()
    assert not board.follow()
    assert _status(asked, mrid) == SCHEDULED


def test_a_clock_that_was_handed_in_is_its_owners_to_set() -> None:
    shown = [START]
    board = Board(clock=WallClock(machine=lambda: shown[0], passed_s=lambda: 0.0))
    shown[0] += timedelta(hours=1)

    assert not board.follow()
    assert board.now() == int(START.timestamp())


def test_the_program_in_force_is_the_one_of_lowest_primacy(asked: Asked) -> None:
    asked.publish("both")
    assert asked.get(ALICE, "/edev/1/der/1").hrefs("CurrentDERProgramLink") == ["/derp/1"]
    asked.publish("alices")
    assert asked.get(ALICE, "/edev/1/der/1").hrefs("CurrentDERProgramLink") == ["/derp/2"]
