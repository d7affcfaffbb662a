"""Which events of others are asked again when the dispatch ends, and how, as the client follows it.

Nothing may let a device above what it would be limited to if there had been no dispatch.
"""

from datetime import datetime
from typing import Any

import pytest

from ems.clock import SteppedClock
from ems.derms.answered import CLOCK_S
from ems.derms.board import Control
from ems.derms.controls import RETAINED_S
from ems.derms.published import follow_alone
from ems.protocols.ieee2030_5 import sep
from tests.unit.test_ieee2030_5_clock import SetClock
from tests.unit.test_ieee2030_5_link import AT, LFDI, START, World
from tests.unit.test_ieee2030_5_published import (
    HOUR_S,
    OTHER,
    SAFE,
    Client,
    dispatched,
    event,
    left_programs,
    limit,
    said,
    started,
)

STEP_S = 10


def following(*programs: str, clock: SteppedClock | None = None) -> tuple[World, Client]:
    """A plant that follows a feeder's default of 90 %, and other programs, `name@primacy`."""
    world = World(clock)
    world.board.set_default("feeder", limit(9000))
    names = []
    for name, _, primacy in (one.partition("@") for one in programs):
        world.board.add_program(name, primacy=int(primacy))
        names.append(name)
    world.board.change_device("roof", groups=("feeder", *names))
    return world, Client(world)


def of(world: World, program: str, share: int, start: int, lasts_s: int, **more: Any) -> Control:
    return world.board.publish(program, base=limit(share), start=start, duration=lasts_s, **more)


def highest(world: World, client: Client, until: int) -> int:
    """The highest that a client is limited to until then, from the next step on."""
    found = 0
    while world.board.now() + STEP_S < until:
        world.pass_s(STEP_S)
        found = max(found, client.polls())
    return found


def held_of_all(client: Client) -> set[str]:
    """The modes that a device holds."""
    client.polls()
    return set(client.holds())


# --- what has given way --------------------------------------------------------------


def test_an_event_that_gave_way_while_its_der_had_another_name_is_asked_again() -> None:
    world, client = following()
    event(world, 500)
    dispatched(world, client, 500)
    world.pass_s(120)
    link = started(world, {"house": "roof"})
    world.pass_s(120)
    dispatched(world, client, 500, link, "house")
    world.pass_s(60)
    link.hand_back(["house"])
    assert client.polls() == 500


def test_what_is_asked_again_for_a_control_that_nobody_read_is_asked_again_after_the_next() -> None:
    """The device gave the event up for what repeats it, not for the control."""
    world, client = following()
    theirs = event(world, 500)
    assert client.polls() == 500
    world.link.publish({"pv": limit(SAFE)}, {"pv": 300})
    link = started(world, {"house": "roof"})
    assert client.polls() == 500
    world.pass_s(120)
    dispatched(world, client, 500, link, "house")
    world.pass_s(60)
    link.hand_back(["house"])
    assert said(world, theirs)[-1] == 7
    assert client.polls() == 500


def test_one_that_gave_way_to_others_between_two_dispatches_is_not_asked_again() -> None:
    """It would go before an older one, which the device follows since those have cancelled."""
    world, client = following("grid@3", "also@5")
    dispatched(world, client)
    world.link.hand_back(["pv"])
    world.pass_s(600)
    client.polls()
    base = sep.DERControlBase(opModMaxLimW=500, opModConnect=True)
    world.board.publish("feeder", base=base, start=AT + 800, duration=600)
    newer = of(world, "also", 6000, AT + 800, 600)
    first = of(world, "grid", 4000, AT + 800, 5)
    client.polls()
    assert 14 in said(world, newer)
    world.pass_s(120)
    world.board.cancel("grid", first.mrid)
    dispatched(world, client)
    world.link.hand_back(["pv"])
    client.polls()
    world.pass_s(80)
    assert client.polls() == 500


@pytest.mark.parametrize("known_s", [120, 20])
def test_one_that_was_known_beside_a_command_for_a_while_gave_way_to_others(known_s: int) -> None:
    """What asks for something else goes on beside a command, on a device that takes them so."""
    world, client = following("grid@3")
    dispatched(world, client)
    kw = [sep.DERControlBase(opModGenLimW=sep.ActivePower(multiplier=3, value=n)) for n in (2, 6)]
    ours = world.board.publish("feeder", base=kw[0], start=AT + 200, duration=900)
    client.polls()
    world.pass_s(known_s)
    world.board.publish("grid", base=kw[1], start=AT + 200, duration=900, response_required=0)
    client.polls()
    assert said(world, ours)[-1] == 14
    world.board.change_program("feeder", primacy=2)
    world.pass_s(180)
    world.link.hand_back(["pv"])
    client.polls()
    held_kw = client.holds()["opModGenLimW"].value.value
    assert held_kw == (6 if known_s > CLOCK_S else 2), "else it may have given way to the command"


def test_a_response_that_comes_late_tells_of_a_control_that_is_forgotten() -> None:
    world, client = following()
    theirs = event(world, 500, lasts_s=6 * HOUR_S)
    assert client.polls() == 500
    world.link.publish({"pv": limit(SAFE)}, {"pv": 300})
    at = world.board.now()
    late = client.turns()
    world.pass_s(1800)
    for status in late[theirs.mrid]:
        world.board.respond(subject=theirs.mrid, lfdi=LFDI, status=status, time=at)
    world.pass_s(300 + RETAINED_S - 1800 + 60)
    world.board.prune(world.board.now())
    assert not world.board.controls("dispatch-pv")
    started(world, {})
    assert client.polls() == 500


def test_one_of_another_mode_that_ours_excludes_is_asked_again_before_the_device_has_told_it() -> (
    None
):
    world, client = following()
    theirs = world.board.publish(
        "feeder", base=sep.DERControlBase(opModTargetW=sep.ActivePower(multiplier=0, value=5)),
        start=AT, duration=HOUR_S,
    )  # fmt: skip
    client.polls()
    world.link.publish({"pv": sep.DERControlBase(opModFixedW=100)}, {"pv": 300})
    told = client.turns()[theirs.mrid]
    world.link.hand_back(["pv"])
    for status in told:
        world.board.respond(subject=theirs.mrid, lfdi=LFDI, status=status, time=AT)
    assert "opModTargetW" in held_of_all(client)


# --- until when ----------------------------------------------------------------------


def test_until_another_program_takes_over_at_random_at_most_a_minute_goes_unlimited() -> None:
    world, client = following("grid@3")
    event(world, 500)
    dispatched(world, client, 500)
    of(world, "grid", 6000, AT + 600, 600, random_start=600)
    world.link.hand_back(["pv"])
    client.polls()
    held = []
    while 6000 not in held:
        world.pass_s(STEP_S)
        held.append(client.polls())
    assert set(held[:-1]) <= {500, 9000}
    assert held.count(9000) * STEP_S <= 60


def test_one_that_a_newer_event_may_have_ended_at_random_is_asked_again() -> None:
    """The server tells it as superseded, and the device does not begin the newer one yet."""
    world, client = following()
    event(world, 500)
    client.polls()
    of(world, "feeder", 2000, AT + 900, 600, random_start=-600)
    dispatched(world, client, 500)
    world.pass_s(310)  # the command has ended
    world.link.hand_back(["pv"])
    assert client.polls() in (500, 2000)
    assert highest(world, client, AT + 890) <= 2000


def test_until_one_begins_that_takes_over_and_is_asked_again_as_early_as_any_device_may() -> None:
    world, client = following("grid@3", "top@2")
    of(world, "grid", 4000, AT, HOUR_S)
    client.polls()
    dispatched(world, client)
    of(world, "top", 3000, AT + 250, 600, random_start=-60)
    client.polls()
    world.link.hand_back(["pv"])
    assert client.polls() == 4000
    assert highest(world, client, AT + 600) == 4000


def test_one_that_the_device_has_given_up_takes_over_nothing() -> None:
    world, client = following("grid@3", "top@2")
    event(world, 500)
    client.polls()
    grid = of(world, "grid", 6000, AT + 900, 1200)
    of(world, "top", 7000, AT + 1800, 600)
    client.polls()
    assert 14 in said(world, grid)
    world.pass_s(120)
    dispatched(world, client, 500)
    world.link.hand_back(["pv"])
    assert highest(world, client, AT + 1800) == 500


# --- what others ask after it --------------------------------------------------------


def waiting(world: World, client: Client, lasts_s: int = 1800, **more: Any) -> Control:
    """An event of the feeder that is asked again and has not begun: 500 from AT + 200 on."""
    dispatched(world, client, 500)
    theirs = event(world, 500, start=AT + 200, lasts_s=lasts_s, **more)
    client.polls()
    world.link.hand_back(["pv"])
    client.polls()
    return theirs


def shares(world: World, client: Client, until: int) -> list[int]:
    """What a client is limited to until then, from the next step on, without repetition."""
    found: list[int] = []
    while world.board.now() + STEP_S <= until:
        world.pass_s(STEP_S)
        share = client.polls()
        if found[-1:] != [share]:
            found.append(share)
    return found


@pytest.mark.parametrize("later_s", [0, 20])
@pytest.mark.parametrize("silent", [{}, {"response_required": 0}])
@pytest.mark.parametrize("more", [{}, {"random_start": 100}, {"category": 0xFF}])
def test_a_newer_event_that_meets_the_end_of_one_that_waits_leaves_it_until_then(
    later_s: int, silent: dict[str, int], more: dict[str, int]
) -> None:
    """The event itself would last until the newer one of its program begins."""
    world, client = following()
    waiting(world, client, **silent)
    world.pass_s(later_s)
    of(world, "feeder", 4000, AT + 1900, 600, **more)
    client.polls()
    assert shares(world, client, AT + 190) == [9000]
    assert shares(world, client, AT + 1890) == [500]
    assert [share for share in shares(world, client, AT + 2700) if share != 500] == [4000, 9000]


def test_a_newer_event_under_way_ends_it_for_good_and_is_itself_followed() -> None:
    world, client = following()
    waiting(world, client)
    newer = of(world, "feeder", 4000, AT + 900, 600)
    assert shares(world, client, AT + 2100) == [9000, 500, 4000, 9000]
    assert said(world, newer) == [1, 2, 3]


def test_several_newer_events_end_it_where_the_first_of_them_begins() -> None:
    world, client = following()
    waiting(world, client)
    of(world, "feeder", 4000, AT + 1200, 300)
    client.polls()
    of(world, "feeder", 6000, AT + 1500, 300)
    client.polls()
    of(world, "feeder", 7000, AT + 600, 100)
    assert shares(world, client, AT + 2100) == [9000, 500, 7000, 9000, 4000, 6000, 9000]


@pytest.mark.parametrize("random_start", [0, 100])
@pytest.mark.parametrize("cancelled_at_s", [20, 400])
def test_it_lasts_to_its_own_end_again_where_the_newer_event_is_cancelled(
    random_start: int, cancelled_at_s: int
) -> None:
    world, client = following()
    waiting(world, client)
    newer = of(world, "feeder", 4000, AT + 900, 600, random_start=random_start)
    client.polls()
    world.pass_s(cancelled_at_s)
    client.polls()
    world.board.cancel("feeder", newer.mrid)
    assert shares(world, client, AT + 190) == [9000] * (cancelled_at_s < 190)
    assert shares(world, client, AT + 1990) == [500]
    assert shares(world, client, AT + 2100) == [9000]


def test_of_two_newer_events_that_begin_together_one_that_is_cancelled_changes_nothing() -> None:
    world, client = following()
    waiting(world, client)
    newer = of(world, "feeder", 4000, AT + 900, 600)
    of(world, "feeder", 6000, AT + 900, 600)
    client.polls()
    before = left_programs(world), world.board.controls(left_programs(world)[0])
    world.board.cancel("feeder", newer.mrid)
    assert before == (left_programs(world), world.board.controls(left_programs(world)[0]))
    assert shares(world, client, AT + 2100) == [9000, 500, 6000, 9000]


@pytest.mark.parametrize("newer", ["feeder", "also", "top"])
def test_one_that_has_begun_is_followed_by_who_hears_of_it_and_a_newer_event_at_once(
    newer: str,
) -> None:
    world, client = following("also@5", "top@2")
    event(world, 500)
    dispatched(world, client, 500)
    world.link.hand_back(["pv"])
    world.pass_s(20)
    of(world, newer, 4000, AT + 900, 600)
    assert client.polls() == 500
    assert shares(world, client, AT + 890) == [500]
    assert shares(world, client, AT + 1400) == [4000]


def test_one_that_a_device_follows_stays_as_it_is_where_a_newer_event_will_begin() -> None:
    world, client = following()
    event(world, 500)
    dispatched(world, client, 500)
    world.link.hand_back(["pv"])
    client.polls()
    (name,) = left_programs(world)
    before = world.board.controls(name)
    world.pass_s(20)
    of(world, "feeder", 4000, AT + 900, 600)
    assert world.board.controls(name) == before
    assert shares(world, client, AT + 1490) == [500, 4000]


def test_a_server_that_does_not_dispatch_follows_what_others_change_too() -> None:
    world, client = following()
    theirs = waiting(world, client)
    world.board.listeners.clear()  # the process ends
    newer = of(world, "feeder", 4000, AT + 1900, 600)
    follow_alone(world.board)
    assert shares(world, client, AT + 400) == [9000, 500]
    world.board.cancel("feeder", newer.mrid)
    assert shares(world, client, AT + 1990) == [500]
    world.board.cancel("feeder", theirs.mrid)
    assert client.polls() == 9000


# --- whoever follows the other one, and whoever does not ------------------------------


def left_to(world: World, client: Client) -> Client:
    """The client of a plant that is handed back under an event of the feeder: 500 for an hour."""
    event(world, 500)
    dispatched(world, client, 500)
    world.link.hand_back(["pv"])
    assert client.polls() == 500
    return client


@pytest.mark.parametrize(
    ("earlier", "later"), [({"random_duration": 100}, {}), ({}, {"random_start": -100})]
)
def test_of_two_that_meet_by_chance_alone_the_later_one_follows_on_the_earlier_one(
    earlier: dict[str, int], later: dict[str, int]
) -> None:
    """Though that one is newer, and both are asked again as long as any device may follow them."""
    world, client = following()
    of(world, "feeder", 2000, AT + 200, 1200, **later)
    world.pass_s(1)
    of(world, "feeder", 3000, AT, 200, **earlier)
    client.polls()
    dispatched(world, client, 2000)
    world.pass_s(19)
    world.link.hand_back(["pv"])
    assert client.polls() == 3000
    world.board.listeners.clear()  # nothing runs that would ask anything again
    assert shares(world, client, AT + 1290) == [3000, 2000]


@pytest.mark.parametrize("random_start", [None, 120, -120])
def test_an_event_for_other_kinds_of_devices_ends_nothing(random_start: int | None) -> None:
    world, _ = following("grid@3")
    client = Client(world, category=1)
    of(world, "grid", 6000, AT + 600, 600, category=4, random_start=random_start)
    left_to(world, client)
    assert shares(world, client, AT + HOUR_S - 10) == [500]


def test_one_of_its_program_for_other_kinds_of_devices_ends_nothing_asked_again_beside_it() -> None:
    world, _ = following()
    client = Client(world, category=1)
    event(world, 500, category=1)
    world.pass_s(1)
    event(world, 6000, category=4)
    assert client.polls() == 500
    dispatched(world, client, 500)
    world.link.hand_back(["pv"])
    assert shares(world, client, AT + HOUR_S - 10) == [500]


@pytest.mark.parametrize("newer", ["feeder", "also", "top"])
def test_one_for_other_kinds_of_devices_leaves_what_waits_until_its_end(newer: str) -> None:
    world, _ = following("also@5", "top@2")
    client = Client(world, category=1)
    waiting(world, client)
    of(world, newer, 4000, AT + 900, 600, category=4)
    assert shares(world, client, AT + 1990) == [9000, 500]


def test_one_that_the_device_refuses_leaves_what_waits_until_its_end() -> None:
    world, _ = following()
    client = Client(world, lacks="opModEnergize")
    waiting(world, client)
    base = sep.DERControlBase(opModMaxLimW=4000, opModEnergize=True)
    theirs = world.board.publish("feeder", base=base, start=AT + 900, duration=600)
    assert shares(world, client, AT + 1990) == [9000, 500]
    assert said(world, theirs) == [252]


def test_one_that_begins_at_random_just_then_takes_over_where_it_begins() -> None:
    world, client = following("grid@3")
    event(world, 500)
    dispatched(world, client, 500)
    world.pass_s(300)
    begins_later = {"random_start": 900, "mrid": "1" * 32}  # by 348 s at this device
    of(world, "grid", 6000, AT + 300, 1200, **begins_later)
    world.link.hand_back(["pv"])
    assert client.polls() == 500
    held = []
    while 6000 not in held:
        world.pass_s(STEP_S)
        held.append(client.polls())
    assert held.count(9000) * STEP_S <= 60


def test_an_event_keeps_its_place_among_those_of_its_second() -> None:
    world, client = following("also@5")
    mrids = [f"{digit}{7:023X}{world.board.pen:08X}" for digit in "12"]
    first, second = ({"mrid": mrid} for mrid in mrids)
    of(world, "feeder", 500, AT, HOUR_S, **second)
    of(world, "also", 700, AT, HOUR_S, **first)
    dispatched(world, client, 400)
    world.link.hand_back(["pv"])
    assert client.polls() == 500


def test_an_event_whose_mrid_is_the_highest_is_asked_again() -> None:
    world, client = following()
    event(world, 500, mrid="F" * 32)
    dispatched(world, client)
    world.link.hand_back(["pv"])
    assert client.polls() == 500


# --- other programs, and their primacy ------------------------------------------------


def test_it_ends_where_the_device_is_taken_out_of_the_program_of_the_event() -> None:
    world, client = following("also@6")
    world.board.set_default("also", limit(8000))
    left_to(world, client)
    groups = world.board.device("roof").groups
    world.board.change_device("roof", groups=[name for name in groups if name != "feeder"])
    assert client.polls() == 8000


def test_it_lasts_where_the_device_is_taken_out_of_the_program_that_would_take_over() -> None:
    world, client = following("grid@3")
    of(world, "grid", 6000, AT + 600, 600)
    left_to(world, client)
    groups = world.board.device("roof").groups
    world.board.change_device("roof", groups=[name for name in groups if name != "grid"])
    assert shares(world, client, AT + HOUR_S - 10) == [500]


def test_it_lasts_where_the_program_that_would_take_over_goes_after_its_own_by_now() -> None:
    world, client = following("grid@3")
    of(world, "grid", 6000, AT + 600, 600)
    left_to(world, client)
    world.pass_s(60)
    world.board.change_program("grid", primacy=9)
    assert shares(world, client, AT + HOUR_S - 10) == [500]


def test_it_goes_by_the_primacy_that_the_program_of_the_event_has_by_now() -> None:
    world, client = following("grid@3")
    left_to(world, client)
    world.board.change_program("feeder", primacy=2)
    of(world, "grid", 6000, AT + 600, 600)
    assert shares(world, client, AT + HOUR_S - 10) == [500]


# --- where ---------------------------------------------------------------------------


def test_it_stands_where_a_device_that_reads_its_programs_just_then_has_not_looked() -> None:
    """It knows of no end of ours then, and would give up for that what is asked again."""
    world, client = following()
    event(world, 500)
    dispatched(world, client, 500)
    world.link.hand_back(["pv"])
    dispatched(world, client, 500)
    known = world.board.programs_of(world.board.device("roof"))
    world.link.hand_back(["pv"])
    (name,) = left_programs(world)
    assert world.board.program(name).number not in known
    assert client.polls() == 500


def test_it_is_asked_of_a_device_that_was_taken_out_of_the_program_of_before() -> None:
    world, client = following()
    event(world, 500)
    dispatched(world, client, 500)
    world.link.hand_back(["pv"])
    client.polls()
    world.board.change_device("roof", groups=("feeder",), lfdi=OTHER)  # a new certificate
    client = Client(world)
    world.pass_s(5)
    dispatched(world, client, 500)
    world.pass_s(5)
    world.link.hand_back(["pv"])
    assert client.polls() == 500


# --- the next command ----------------------------------------------------------------


def test_what_it_asks_for_besides_the_next_command_goes_on_beside_that() -> None:
    world, client = following()
    base = sep.DERControlBase(opModMaxLimW=500, opModEnergize=False)
    world.board.publish("feeder", base=base, start=AT, duration=HOUR_S)
    dispatched(world, client, 500)
    assert held_of_all(client) == {"opModMaxLimW", "opModEnergize"}
    world.link.hand_back(["pv"])
    client.polls()
    dispatched(world, client, 400)
    assert held_of_all(client) == {"opModMaxLimW", "opModEnergize"}
    world.link.hand_back(["pv"])
    assert client.polls() == 500


class TickingClock(SetClock):
    """A second passes when it has been asked for often enough."""

    left = 0

    def tick_after(self, times: int) -> None:
        self.left = times

    def now(self) -> datetime:
        """See `Clock`."""
        if self.left:
            self.left -= 1
            if not self.left:
                self.set_back(-1.0)
        return super().now()


@pytest.mark.parametrize("times", range(1, 12))
def test_what_ends_in_the_second_of_a_command_stops_none(times: int) -> None:
    clock = TickingClock(START)
    world, client = following(clock=clock)
    event(world, 500, lasts_s=100)
    dispatched(world, client, 500)
    world.link.hand_back(["pv"])
    world.pass_s(99)
    clock.tick_after(times)
    world.link.publish({"pv": limit(SAFE)}, {"pv": 300})
    assert client.polls() == SAFE


# --- a DER that is gone --------------------------------------------------------------


def test_its_program_goes_once_nothing_is_known_any_more_that_could_have_gone_before() -> None:
    world, client = following()
    dispatched(world, client)
    started(world, {"house": "roof"})
    assert "dispatch-pv" in {p.name for p in world.board.programs()}
    world.pass_s(300 + RETAINED_S)
    world.board.prune(world.board.now())
    started(world, {"house": "roof"})
    assert [p.name for p in world.board.programs()] == ["feeder"]
    assert client.polls() == 9000
