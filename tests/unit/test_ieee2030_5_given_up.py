"""What a device would have given up for others, dispatched or not, is not asked again."""

import pytest

from ems.protocols.ieee2030_5 import sep
from tests.unit.test_ieee2030_5_given_way import following, highest, of, shares
from tests.unit.test_ieee2030_5_link import AT, World
from tests.unit.test_ieee2030_5_published import HOUR_S, Client, dispatched, event, said


def two_of_the_utility(created_after_s: int = 10, *, answered: bool = True) -> tuple[World, Client]:
    """A dispatched plant under 4000 that is to be followed by 8500 of the feeder from AT + 200 on.

    That waits still when 6000 of another program is published, which meets it at AT + 900.
    """
    world, client = following("older@6", "also@3")
    of(world, "older", 4000, AT, HOUR_S)
    client.polls()
    dispatched(world, client)
    event(world, 8500, start=AT + 200, lasts_s=1800)
    client.polls()
    world.pass_s(created_after_s)
    of(world, "also", 6000, AT + 900, 300, response_required=3 if answered else 0)
    client.polls()
    return world, client


def test_an_event_that_others_took_over_before_it_began_is_not_asked_again() -> None:
    world, client = two_of_the_utility()
    world.link.hand_back(["pv"])
    client.polls()
    assert shares(world, client, AT + 890) == [4000]


def test_nor_where_what_took_it_over_was_cancelled_after_it() -> None:
    """A device does not take up again what was superseded."""
    world, client = two_of_the_utility()
    world.pass_s(20)
    (taker,) = world.board.controls("also")
    world.board.cancel("also", taker.mrid)
    world.link.hand_back(["pv"])
    client.polls()
    assert shares(world, client, AT + 890) == [4000]


def test_one_is_asked_again_where_the_primacy_changed_after_it_had_begun() -> None:
    world, client = following("grid@6")
    older = of(world, "grid", 6000, AT + 400, 60)
    client.polls()
    dispatched(world, client)
    world.pass_s(10)
    event(world, 500, start=AT + 60)
    client.polls()
    world.pass_s(100)
    world.board.change_program("grid", primacy=3)
    client.polls()
    world.board.cancel("grid", older.mrid)
    world.link.hand_back(["pv"])
    assert client.polls() == 500


def test_one_that_gave_way_to_others_beside_the_dispatch_is_not_asked_again() -> None:
    """The command asked for something else: it was not for that."""
    world, client = following("older@6", "also@3")
    of(world, "older", 4000, AT, HOUR_S)
    client.polls()
    world.link.publish({"pv": sep.DERControlBase(opModFixedW=5000)}, {"pv": 300})
    theirs = event(world, 8500, start=AT + 200, lasts_s=1800)
    client.polls()
    of(world, "also", 6000, AT + 900, 300)
    client.polls()
    assert said(world, theirs) == [1, 14]
    world.link.hand_back(["pv"])
    client.polls()
    assert shares(world, client, AT + 890) == [4000]


@pytest.mark.parametrize(
    ("created_after_s", "answered"), [(220, True), (10, False)], ids=["begun", "not known of"]
)
def test_one_that_may_have_begun_before_is_asked_again(
    created_after_s: int, answered: bool
) -> None:
    world, client = two_of_the_utility(created_after_s, answered=answered)
    world.link.hand_back(["pv"])
    client.polls()
    assert shares(world, client, AT + 890)[-1] == 8500


def test_one_is_asked_again_where_the_other_one_may_have_been_given_up_itself() -> None:
    world, client = following("grid@3", "top@2")
    dispatched(world, client)
    of(world, "grid", 6000, AT + 900, 1200)
    of(world, "top", 7000, AT + 1800, 600)
    client.polls()
    event(world, 500, start=AT + 200, lasts_s=1200)
    client.polls()
    world.link.hand_back(["pv"])
    client.polls()
    world.pass_s(200)
    assert client.polls() == 500
    assert highest(world, client, AT + 890) == 500


def test_one_that_the_other_one_meets_only_by_chance_is_asked_again() -> None:
    world, client = following("grid@3")
    dispatched(world, client)
    event(world, 500, start=AT + 200, lasts_s=600)
    of(world, "grid", 6000, AT + 700, 600, random_start=600)
    client.polls()
    world.link.hand_back(["pv"])
    client.polls()
    world.pass_s(200)
    assert client.polls() == 500
