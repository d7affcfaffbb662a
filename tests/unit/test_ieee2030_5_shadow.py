"""What a device would have given up without any dispatch is not asked again; all else is.

Nothing may let a device above what it would be limited to if there had been no dispatch.
"""

from typing import Any

import pytest

from ems.clock import SteppedClock
from ems.derms.answered import Answered
from ems.derms.board import Board, Control
from ems.derms.controls import RETAINED_S
from ems.derms.keeping import MemoryKeeper
from ems.protocols.ieee2030_5 import sep
from tests.unit.test_ieee2030_5_given_way import following, of, shares
from tests.unit.test_ieee2030_5_link import AT, LFDI, START, World, asked
from tests.unit.test_ieee2030_5_published import (
    HOUR_S,
    dispatched,
    event,
    left_programs,
    limit,
    said,
)

RECEIVED, REFUSED, OPTED_OUT, SUPERSEDED = 1, 252, 4, 7


def told(world: World, program: str, start: int, lasts_s: int, *, answers: tuple[int, ...] = (
    RECEIVED,), **more: Any) -> Control:  # fmt: skip
    """An event that a device has answered as soon as it was published."""
    made = of(world, program, 500, start, lasts_s, **more)
    for status in answers:
        world.board.respond(subject=made.mrid, lfdi=LFDI, status=status, time=world.board.now())
    return made


def gives_up(world: World, control: Control, board: Board | None = None) -> bool:
    """Whether the device has surely given an event up, without any dispatch."""
    board = board or world.board
    return control.mrid in Answered(board, board.device("roof")).given_up


def descriptions(world: World) -> set[str]:
    """Which events are asked again: mRIDs."""
    board = world.board
    return {c.description for name in left_programs(world) for c in board.controls(name)}


# --- the rules -----------------------------------------------------------------------


def test_what_waits_is_given_up_as_a_whole_for_another_programs_event_as_soon_as_it_is_known() -> (
    None
):
    world, _ = following("grid@3")
    ours = told(world, "feeder", AT + 600, 600)
    assert not gives_up(world, ours)
    theirs = told(world, "grid", AT + 1100, 600)
    assert gives_up(world, ours)
    assert not gives_up(world, theirs)


def test_what_runs_is_given_up_where_the_other_one_begins() -> None:
    world, _ = following("grid@3")
    ours = told(world, "feeder", AT, 600)
    told(world, "grid", AT + 300, 600)
    world.pass_s(299)
    assert not gives_up(world, ours)
    world.pass_s(1)
    assert gives_up(world, ours)


@pytest.mark.parametrize("behind_s", [0, HOUR_S, AT])
def test_what_runs_has_not_waited_by_a_clock_that_shows_less_than_when_it_was_published(
    behind_s: int,
) -> None:
    world, _ = following("grid@3")
    ours = of(world, "feeder", 500, AT, 1800)
    theirs = of(world, "grid", 8000, AT + 900, 600)
    for control in (ours, theirs):
        world.pass_s(60)
        told_at = world.board.now() - behind_s
        world.board.respond(subject=control.mrid, lfdi=LFDI, status=RECEIVED, time=told_at)
    assert not gives_up(world, ours)
    world.pass_s(900)
    assert gives_up(world, ours)


def test_what_waits_lasts_until_one_of_its_own_program_begins() -> None:
    world, _ = following()
    ours = told(world, "feeder", AT + 100, 600)
    world.pass_s(1)
    newer = told(world, "feeder", AT + 300, 600)
    assert not gives_up(world, ours)
    world.board.cancel("feeder", newer.mrid)
    world.pass_s(400)
    assert not gives_up(world, ours)


def test_what_waited_does_not_come_back_when_what_took_it_over_is_cancelled() -> None:
    world, _ = following("grid@3")
    ours = told(world, "feeder", AT + 600, 600)
    theirs = told(world, "grid", AT + 600, 600)
    world.pass_s(10)
    world.board.cancel("grid", theirs.mrid)
    late = told(world, "feeder", AT + 2000, 600)
    assert gives_up(world, ours)
    assert not gives_up(world, late)


def test_what_was_given_up_takes_nothing_over() -> None:
    world, _ = following("grid@3", "top@2")
    ours = told(world, "feeder", AT + 600, 600)
    told(world, "top", AT + 1500, 600)
    grid = told(world, "grid", AT + 1000, 600)
    assert gives_up(world, grid)
    assert not gives_up(world, ours)


def test_what_runs_lasts_until_one_begins_that_was_not_given_up_itself() -> None:
    """Others have marked it as superseded by one that the device never begins."""
    world, client = following("grid@3")
    client.polls()
    event(world, 700, lasts_s=1800)
    client.polls()
    of(world, "feeder", 8000, AT + 600, 600)
    of(world, "feeder", 500, AT + 1500, 600)
    theirs = of(world, "grid", 9000, AT + 1190, 60)
    client.polls()
    world.pass_s(30)
    world.board.cancel("grid", theirs.mrid)
    assert shares(world, client, AT + 1000) == [700]
    dispatched(world, client, 700)
    assert 700 in [base.opModMaxLimW for base in asked(world)]
    world.link.hand_back(["pv"])
    assert shares(world, client, AT + 1490) == [700]


def test_what_runs_lasts_where_a_device_may_have_heard_of_the_newer_one_too_late_to_begin_it() -> (
    None
):
    """It begins it at random from then, by 500 s; that one is over by 150 s."""
    world, _ = following()
    event(world, 700, lasts_s=1800)
    of(world, "feeder", 500, AT + 1500, 600)
    world.pass_s(20)
    of(world, "feeder", 6000, AT, 150, random_start=-480)
    world.pass_s(500)
    assert 700 in [base.opModMaxLimW for base in asked(world)]


@pytest.mark.parametrize("required", [3, 1])
def test_one_that_was_begun_has_taken_over_whatever_it_gave_way_to_later(required: int) -> None:
    world, client = following("grid@3")
    ours = event(world, 700, lasts_s=1800, response_required=0)
    client.polls()
    of(world, "feeder", 8000, AT + 100, 800, response_required=required)
    of(world, "feeder", 500, AT + 1500, 600)
    client.polls()
    assert shares(world, client, AT + 200) == [700, 8000]
    of(world, "grid", 6000, AT + 300, 600)
    assert shares(world, client, AT + 400) == [8000, 6000]
    dispatched(world, client, 6000)
    world.link.hand_back(["pv"])
    assert ours.mrid not in descriptions(world)


def test_one_that_is_cancelled_after_it_was_superseded_is_not_asked_again() -> None:
    """Though the device may follow it until the newer one begins there, at random."""
    world, client = following()
    ours = event(world, 700, lasts_s=1800)
    client.polls()
    of(world, "feeder", 8000, AT + 100, 800, random_start=3600)
    world.pass_s(110)
    assert client.polls() == 700
    world.board.cancel("feeder", ours.mrid)
    dispatched(world, client)
    assert 700 not in [base.opModMaxLimW for base in asked(world)]
    world.link.hand_back(["pv"])
    assert ours.mrid not in descriptions(world)


def test_one_that_asks_for_less_takes_nothing_over() -> None:
    world, _ = following("grid@3")
    ours = told(world, "feeder", AT + 600, 600)
    other = sep.DERControlBase(opModConnect=True)
    made = world.board.publish("grid", base=other, start=AT + 600, duration=600)
    world.board.respond(subject=made.mrid, lfdi=LFDI, status=RECEIVED, time=AT)
    assert not gives_up(world, ours)


@pytest.mark.parametrize("answer", [RECEIVED, 2, SUPERSEDED, 14])
def test_one_of_which_the_device_has_told_anything_takes_over(answer: int) -> None:
    """It need not be required to answer that it has received it."""
    world, _ = following("grid@3")
    ours = told(world, "feeder", AT + 600, 600)
    told(world, "grid", AT + 500, 600, answers=(answer,))
    assert gives_up(world, ours)


@pytest.mark.parametrize("answers", [(), (RECEIVED, REFUSED), (RECEIVED, OPTED_OUT)])
def test_one_that_the_device_may_not_follow_takes_nothing_over(answers: tuple[int, ...]) -> None:
    world, _ = following("grid@3")
    ours = told(world, "feeder", AT + 600, 600)
    told(world, "grid", AT + 500, 600, answers=answers)
    assert not gives_up(world, ours)


def test_one_that_the_device_may_not_follow_may_take_over_what_would_take_over() -> None:
    """It may not be known whether it is for devices of this kind."""
    world, _ = following("grid@3", "top@2")
    ours = told(world, "feeder", AT + 600, 600)
    told(world, "top", AT + 1100, 600, answers=())
    told(world, "grid", AT + 1000, 600)
    assert not gives_up(world, ours)


@pytest.mark.parametrize(
    ("answers", "required"), [((RECEIVED,), 3), ((RECEIVED, SUPERSEDED), 3), ((RECEIVED,), 1)]
)
def test_one_that_may_have_given_way_to_what_is_forgotten_takes_nothing_over(
    answers: tuple[int, ...], required: int
) -> None:
    world, _ = following("grid@3")
    told(world, "grid", AT, 4 * HOUR_S, answers=answers, response_required=required)
    world.pass_s(RETAINED_S + 1)
    ours = told(world, "feeder", world.board.now() + 600, 600)
    assert gives_up(world, ours) == (answers == (RECEIVED,) and required == 3)


# --- chance --------------------------------------------------------------------------


def test_what_may_begin_too_late_to_meet_it_takes_nothing_over() -> None:
    world, _ = following("grid@3")
    ours = told(world, "feeder", AT + 600, 600)
    told(world, "grid", AT + 1100, 600, random_start=200)
    assert not gives_up(world, ours)
    sure = told(world, "feeder", AT + 1200, 600)
    assert gives_up(world, sure)


def test_what_runs_lasts_until_the_other_one_has_begun_on_any_device() -> None:
    world, _ = following("grid@3")
    ours = told(world, "feeder", AT, 900)
    told(world, "grid", AT + 300, 900, random_start=200)
    world.pass_s(499)
    assert not gives_up(world, ours)
    world.pass_s(1)
    assert gives_up(world, ours)


def test_one_that_is_heard_of_when_it_may_have_begun_begins_at_random_from_then() -> None:
    world, _ = following("grid@3")
    ours = told(world, "feeder", AT, 900)
    world.pass_s(100)
    told(world, "grid", AT + 150, 900, random_start=-200)
    world.pass_s(199)
    assert not gives_up(world, ours)
    world.pass_s(1)
    assert gives_up(world, ours)


def test_of_two_that_follow_on_one_another_at_random_nothing_is_sure() -> None:
    """The later one may wait for the end of the earlier one, or end it."""
    world, _ = following("grid@3")
    ours = told(world, "feeder", AT + 1000, 900)
    world.pass_s(1)
    told(world, "grid", AT + 900, 600)
    assert gives_up(world, ours)
    told(world, "grid", AT + 300, 600, random_duration=100)
    assert not gives_up(world, ours)


# --- primacy -------------------------------------------------------------------------


def test_the_primacy_counts_that_programs_had_then_also_after_a_restart() -> None:
    keeper = MemoryKeeper()
    clock = SteppedClock(START)
    world, _ = following("grid@3", clock=clock)
    world.board = Board(keeper, clock)
    for name, primacy in (("feeder", 5), ("grid", 3)):
        world.board.add_program(name, primacy=primacy)
    world.board.add_device("roof", lfdi=LFDI, groups=("feeder", "grid"))
    before = told(world, "feeder", AT + 600, 600)
    told(world, "grid", AT + 600, 600)
    world.pass_s(60)
    world.board.change_program("grid", primacy=9)
    after = told(world, "feeder", AT + 600, 600)
    for board in (world.board, Board(keeper, clock)):
        assert board.program("grid").primacy == 9
        assert gives_up(world, before, board)
        assert not gives_up(world, after, board)


def test_a_change_of_primacy_counts_once_the_device_has_read_it() -> None:
    world, _ = following("grid@9")
    ours = told(world, "feeder", AT + 600, 600)
    more = sep.DERControlBase(opModMaxLimW=500, opModConnect=True)
    made = world.board.publish("grid", base=more, start=AT + 600, duration=600)
    world.board.respond(subject=made.mrid, lfdi=LFDI, status=RECEIVED, time=AT)
    world.pass_s(60)
    world.board.change_program("grid", primacy=3)
    world.pass_s(30)
    assert not gives_up(world, ours)
    told(world, "feeder", AT + 3000, 600)
    assert gives_up(world, ours)


# --- what is asked again -------------------------------------------------------------


def test_an_event_that_would_have_given_way_to_others_does_not_end_what_the_device_follows() -> (
    None
):
    """It waited when the other one was published, and was given up as a whole."""
    world, client = following("also@5", "top@2")
    of(world, "also", 2000, AT, 1800)
    client.polls()
    world.pass_s(10)
    of(world, "feeder", 8000, AT + 600, 900)
    dispatched(world, client, 2000)
    of(world, "top", 1000, AT + 1400, 60)
    client.polls()
    world.link.hand_back(["pv"])
    assert shares(world, client, AT + 1390) == [2000]


def test_it_is_asked_no_more_where_it_would_have_given_way_since() -> None:
    world, client = following("also@5", "top@2")
    of(world, "also", 2000, AT, 1800)
    client.polls()
    world.pass_s(10)
    of(world, "feeder", 8000, AT + 200, 1300)
    dispatched(world, client, 2000)
    world.link.hand_back(["pv"])
    assert client.polls() == 2000
    of(world, "top", 1000, AT + 1400, 60)
    client.polls()
    world.pass_s(60)
    of(world, "top", 9000, AT + 7200, 60)
    assert shares(world, client, AT + 1390) == [2000]


def test_what_gave_way_to_a_command_that_lapses_is_asked_again_though_nobody_releases() -> None:
    world, client = following()
    dispatched(world, client, 500)
    event(world, 3000, lasts_s=1800)
    client.polls()
    world.pass_s(299)
    assert client.polls() == 500
    world.pass_s(1)
    client.polls()
    world.pass_s(30)
    assert client.polls() == 3000
    dispatched(world, client, 2000)
    world.link.hand_back(["pv"])
    assert client.polls() == 3000


def test_while_another_command_follows_nothing_is_asked_again() -> None:
    world, client = following()
    dispatched(world, client, 500)
    theirs = event(world, 3000, lasts_s=1800)
    client.polls()
    world.pass_s(300)
    world.link.publish({"pv": limit(700)}, {"pv": 300})
    assert client.polls() == 700
    assert 14 in said(world, theirs) or 7 in said(world, theirs)
    assert not world.board.device("roof").groups[2:]


@pytest.mark.parametrize("required", [3, 0])
def test_what_gave_way_to_what_was_asked_again_longer_than_the_event_lasts_is_asked_after_it(
    required: int,
) -> None:
    """Asked again, an event lasts as long as any device may follow it."""
    world, client = following("grid@3")
    of(world, "grid", 2000, AT, 900, random_duration=300, response_required=required)
    client.polls()
    dispatched(world, client, 2000)
    world.link.hand_back(["pv"])
    assert client.polls() == 2000
    world.pass_s(600)
    theirs = event(world, 1000, start=AT + 950, lasts_s=1800, response_required=required)
    client.polls()
    assert (14 in said(world, theirs)) == (required == 3)
    world.pass_s(600)
    client.polls()
    world.pass_s(10)
    assert client.polls() == 1000


def test_what_gave_way_to_the_event_itself_is_not_asked_after_what_repeats_it() -> None:
    world, client = following("also@6")
    older = of(world, "feeder", 8000, AT + 600, 1800)
    client.polls()
    world.pass_s(1)
    more = sep.DERControlBase(opModMaxLimW=3000, opModConnect=True)
    world.board.publish("feeder", base=more, start=AT + 1, duration=900, random_duration=100)
    client.polls()
    assert said(world, older) == [1, 7]
    of(world, "also", 2000, AT + 950, 1800)
    assert client.polls() == 3000
    world.pass_s(300)
    dispatched(world, client, 3000)
    world.link.hand_back(["pv"])
    assert shares(world, client, AT + 1000) == [3000]
    assert 8000 not in shares(world, client, AT + 2000)
    assert client.polls() == 2000
