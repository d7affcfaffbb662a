"""The dispatch's way to the server: programs of its own, one control after another, no flooding."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from ems.clock import SteppedClock
from ems.derms.board import Board, Latest
from ems.derms.link import DispatchLink
from ems.derms.server import DermsServer
from ems.derms.settings import ServerSettings
from ems.errors import GeemsError
from ems.gateways.ieee2030_5.port import ControlServer
from ems.protocols.ieee2030_5 import codec, sep

START = datetime(2026, 7, 1, 12, tzinfo=UTC)
AT = int(START.timestamp())
LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
HALF, WHOLE = sep.DERControlBase(opModMaxLimW=5000), sep.DERControlBase(opModMaxLimW=10_000)


class World:
    """A board behind a server that does not run: calls go straight to it."""

    def __init__(self, clock: SteppedClock | None = None) -> None:
        self.clock = clock or SteppedClock(START)
        self.board = Board(clock=self.clock)
        self.board.add_program("feeder", primacy=5)
        self.board.add_device("roof", lfdi=LFDI, groups=("feeder",))
        self.server = DermsServer(ServerSettings(trusted_proxy_header="x-lfdi"), self.board)
        self.link = DispatchLink(self.server, self.board, {"pv": "roof", "bes": "shed"})

    def pass_s(self, seconds: float) -> None:
        self.clock.move_to(self.clock.now() + timedelta(seconds=seconds))

    def mirror(self, uom: int = 38) -> None:
        mirror = self.board.put_mirror(mrid="A1", lfdi=LFDI, owner=LFDI, body="")
        now = self.board.now()
        latest = Latest(
            mrid="B1", description="power", value=1000.0, uom=uom, kind=37, flow=19, phase=0,
            qualifier=0, quality=1, time=now, received=now,
        )  # fmt: skip
        self.board.read(mirror, latest, "")


@pytest.fixture
def world() -> World:
    return World()


def asked(world: World) -> list[sep.DERControlBase]:
    """What other programs ask of the plant."""
    return list(world.link.look(("pv",))["pv"].others)


def export(limit_w: int) -> sep.DERControlBase:
    return sep.DERControlBase(opModExpLimW=sep.ActivePower(multiplier=0, value=limit_w))


def test_a_der_has_a_program_of_its_own_that_goes_first_besides_its_others(world: World) -> None:
    world.link.publish({"pv": HALF}, {"pv": 300})
    assert world.board.program("dispatch-pv").primacy == 0
    assert world.board.device("roof").groups == ("feeder", "dispatch-pv")


def test_a_program_that_somebody_took_away_is_assigned_again(world: World) -> None:
    world.link.publish({"pv": HALF}, {"pv": 300})
    world.board.change_device("roof", groups=("feeder",))
    world.link.keep_defaults({"pv": HALF})
    assert "dispatch-pv" in world.board.device("roof").groups


def test_what_is_published_and_answered_is_seen(world: World) -> None:
    link: ControlServer = world.link
    order = link.publish({"pv": HALF}, {"pv": 300})["pv"]
    world.board.seen(LFDI, AT + 1)
    world.board.respond(subject=order.mrid, lfdi=LFDI, status=1, time=AT)
    world.board.respond(subject=order.mrid, lfdi="0" * 40, status=4, time=AT)
    seen = link.look(("pv", "bes"))
    assert set(seen) == {"pv"}
    assert [o.mrid for o in seen["pv"].orders] == [order.mrid]
    assert [t.status for t in seen["pv"].told[order.mrid]] == [1]
    assert (seen["pv"].last_seen, seen["pv"].poll_s) == (AT + 1, 30.0)
    world.pass_s(300)
    assert not link.look(("pv",))["pv"].orders


def test_a_default_is_set_where_it_differs_and_only_there(world: World) -> None:
    world.link.keep_defaults({"pv": HALF})
    version = world.board.program("dispatch-pv").version
    world.link.keep_defaults({"pv": HALF})
    assert world.board.program("dispatch-pv").version == version
    world.link.keep_defaults({"pv": WHOLE})
    assert world.link.look(("pv",))["pv"].default == WHOLE


def test_the_newest_control_comes_first_and_those_before_are_cancelled(world: World) -> None:
    first = world.link.publish({"pv": HALF}, {"pv": 300})["pv"]
    world.pass_s(1)
    second = world.link.publish({"pv": WHOLE}, {"pv": 300})["pv"]
    assert [o.mrid for o in world.link.look(("pv",))["pv"].orders] == [second.mrid, first.mrid]
    assert world.board.control(first.mrid).cancelled == AT + 1
    assert world.board.control(second.mrid).cancelled is None


def test_a_clock_that_is_set_back_brings_no_older_control_back(world: World) -> None:
    first = world.link.publish({"pv": HALF}, {"pv": 300})["pv"]
    world.pass_s(200)
    second = world.link.publish({"pv": WHOLE}, {"pv": 300})["pv"]
    # Whatever the time: a cancelled one runs at none.
    running = [c.mrid for c in world.board.controls("dispatch-pv") if c.cancelled is None]
    assert first.mrid not in running
    assert running == [second.mrid]


def test_what_other_programs_ask_now_is_seen_a_default_only_while_no_control_holds(
    world: World,
) -> None:
    world.link.publish({"pv": WHOLE}, {"pv": 300})
    assert not world.link.look(("pv",))["pv"].others
    world.board.set_default("feeder", WHOLE)
    assert list(world.link.look(("pv",))["pv"].others) == [WHOLE]
    limit = world.board.publish("feeder", base=HALF, start=AT, duration=100)
    world.board.publish("feeder", base=WHOLE, start=AT + 1000, duration=100)
    assert list(world.link.look(("pv",))["pv"].others) == [HALF]
    world.board.cancel("feeder", limit.mrid)
    assert list(world.link.look(("pv",))["pv"].others) == [WHOLE]


def test_an_event_limits_beside_a_newer_one_for_other_kinds_of_devices(world: World) -> None:
    world.link.publish({"pv": WHOLE}, {"pv": 300})
    for base, category in ((HALF, None), (WHOLE, 4)):
        world.board.publish("feeder", base=base, start=AT, duration=100, category=category)
    world.pass_s(10)
    assert asked(world) == [WHOLE, HALF]


def test_a_default_holds_beside_a_control_that_asks_for_another_mode(world: World) -> None:
    world.link.publish({"pv": WHOLE}, {"pv": 300})
    world.board.set_default("feeder", HALF)
    world.board.publish("feeder", base=sep.DERControlBase(opModConnect=True), start=AT, duration=9)
    assert [base.opModMaxLimW for base in asked(world)] == [None, HALF.opModMaxLimW]


def test_what_other_programs_will_ask_is_seen_with_its_earliest_start(world: World) -> None:
    world.link.publish({"pv": WHOLE}, {"pv": 300})
    limit = world.board.publish("feeder", base=HALF, start=AT + 100, duration=9, random_start=-30)
    world.board.publish("feeder", base=WHOLE, start=AT, duration=9)
    seen = world.link.look(("pv",))["pv"]
    assert [(c.base, c.start) for c in seen.coming] == [(HALF, AT + 70)]
    world.board.cancel("feeder", limit.mrid)
    assert not world.link.look(("pv",))["pv"].coming


def test_a_default_that_a_control_holds_off_begins_when_that_ends(world: World) -> None:
    world.link.publish({"pv": WHOLE}, {"pv": 300})
    world.board.set_default("feeder", HALF)
    world.board.publish("feeder", base=WHOLE, start=AT, duration=90, random_duration=-20)
    seen = world.link.look(("pv",))["pv"]
    assert list(seen.others) == [WHOLE]
    assert [(c.base, c.start) for c in seen.coming] == [(HALF, AT + 70)]


def test_a_control_that_was_superseded_by_one_that_has_ended_asks_nothing_more(
    world: World,
) -> None:
    """It does not come back, and the default that it held off holds again."""
    world.link.publish({"pv": WHOLE}, {"pv": 300})
    world.board.set_default("feeder", export(1500))
    world.board.publish("feeder", base=export(10_000), start=AT, duration=7200)
    world.pass_s(60)
    world.board.publish("feeder", base=export(5000), start=AT + 60, duration=600)
    world.pass_s(60)
    assert asked(world) == [export(5000)]
    world.pass_s(600)
    assert asked(world) == [export(1500)]


@pytest.mark.parametrize(("random_start", "until_s"), [(300, 900), (-300, 600)])
def test_a_control_lasts_until_the_last_device_has_begun_the_newer_one(
    world: World, random_start: int, until_s: int
) -> None:
    """The server tells it as superseded from when the first one may begin that."""
    world.link.publish({"pv": WHOLE}, {"pv": 300})
    world.board.publish("feeder", base=HALF, start=AT, duration=7200)
    newer = world.board.publish(
        "feeder", base=WHOLE, start=AT + 600, duration=1200, random_start=random_start
    )
    world.pass_s(until_s - 10)
    assert asked(world) == [WHOLE, HALF]
    world.pass_s(10)
    assert asked(world) == [WHOLE]
    world.board.cancel("feeder", newer.mrid)
    assert not asked(world)


@pytest.mark.parametrize("early_s", [0, 200])
def test_one_that_is_published_when_devices_may_have_begun_it_they_begin_at_random_from_then(
    world: World, early_s: int
) -> None:
    world.link.publish({"pv": WHOLE}, {"pv": 300})
    world.board.publish("feeder", base=HALF, start=AT, duration=7200)
    world.pass_s(600)
    start = AT + 600 + early_s
    world.board.publish("feeder", base=WHOLE, start=start, duration=1200, random_start=-300)
    world.pass_s(299)
    assert HALF in asked(world)
    world.pass_s(1)
    assert asked(world) == [WHOLE]


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_control_that_one_has_ended_does_not_last_until_another_one_that_is_newer(
    world: World, is_cancelled: bool
) -> None:
    world.link.publish({"pv": WHOLE}, {"pv": 300})
    world.board.publish("feeder", base=HALF, start=AT, duration=7200)
    first = world.board.publish("feeder", base=WHOLE, start=AT + 60, duration=90, random_start=60)
    world.board.publish("feeder", base=WHOLE, start=AT + 900, duration=60, random_start=60)
    world.pass_s(110)
    assert asked(world) == [WHOLE, HALF]
    world.pass_s(20)
    assert asked(world) == [WHOLE]
    if is_cancelled:
        world.board.cancel("feeder", first.mrid)
    else:
        world.pass_s(90)
    assert not asked(world)


def test_a_control_ends_where_the_device_has_begun_the_newer_one(world: World) -> None:
    world.link.publish({"pv": WHOLE}, {"pv": 300})
    world.board.publish("feeder", base=HALF, start=AT, duration=7200)
    newer = world.board.publish(
        "feeder", base=WHOLE, start=AT + 60, duration=1200, random_start=300
    )
    world.pass_s(90)
    assert asked(world) == [WHOLE, HALF]
    world.board.respond(subject=newer.mrid, lfdi=LFDI, status=2, time=AT + 90)
    assert asked(world) == [WHOLE]


def test_a_control_that_one_of_a_program_before_its_own_took_over_holds_off_no_default(
    world: World,
) -> None:
    world.board.add_program("grid", primacy=3)
    world.board.change_device("roof", groups=("feeder", "grid"))
    world.board.set_default("feeder", HALF)
    world.board.publish("feeder", base=sep.DERControlBase(opModMaxLimW=9000), start=AT, duration=99)
    world.board.publish("grid", base=WHOLE, start=AT, duration=10)
    world.pass_s(20)
    assert HALF in asked(world)


@pytest.mark.parametrize("statuses", [(252,), (253,), (1, 254), (1, 2, 4), (4, 5, 4), (1, 2, 3)])
def test_a_control_that_a_device_does_not_follow_holds_off_no_default(
    world: World, statuses: tuple[int, ...]
) -> None:
    world.board.set_default("feeder", HALF)
    control = world.board.publish("feeder", base=WHOLE, start=AT, duration=7200)
    for status in statuses:
        world.board.respond(subject=control.mrid, lfdi=LFDI, status=status, time=AT)
    assert asked(world) == [HALF]


def test_a_control_that_a_device_follows_holds_off_the_default_whatever_others_say(
    world: World,
) -> None:
    world.board.set_default("feeder", HALF)
    control = world.board.publish("feeder", base=WHOLE, start=AT, duration=7200)
    world.board.respond(subject=control.mrid, lfdi="0" * 40, status=252, time=AT)
    for status in (1, 4, 5, 14):
        world.board.respond(subject=control.mrid, lfdi=LFDI, status=status, time=AT)
    assert asked(world) == [WHOLE]


@pytest.mark.parametrize(("started", "after_s"), [(True, 0), (False, 100)])
def test_a_default_holds_until_the_device_has_begun_an_event_or_must_have(
    world: World, *, started: bool, after_s: int
) -> None:
    world.board.set_default("feeder", HALF)
    control = world.board.publish(
        "feeder", base=WHOLE, start=AT, duration=7200, random_start=100, random_duration=-30
    )
    assert asked(world) == [WHOLE, HALF]
    if started:
        world.board.respond(subject=control.mrid, lfdi=LFDI, status=2, time=AT)
    world.pass_s(after_s)
    assert asked(world) == [WHOLE]
    world.pass_s(7200 - 30 - after_s)
    assert asked(world) == [WHOLE, HALF]


# --- what was left over --------------------------------------------------------------


def renamed(world: World, devices: dict[str, str]) -> DispatchLink:
    """The same server, started again with another site file."""
    link = DispatchLink(world.server, world.board, devices)
    link.drop_left_over()
    return link


def test_a_der_that_has_another_name_is_taken_out_of_the_program_of_the_old_one(
    world: World,
) -> None:
    """Else the old default counts as another program's limit."""
    world.link.keep_defaults({"pv": HALF})
    control = world.link.publish({"pv": HALF}, {"pv": 300})["pv"]
    link = renamed(world, {"house": "roof"})
    link.publish({"house": WHOLE}, {"house": 300})
    assert world.board.device("roof").groups == ("feeder", "dispatch-house")
    assert world.board.program("dispatch-pv").default is None
    assert world.board.control(control.mrid).cancelled == AT
    assert not link.look(("house",))["house"].others


def test_no_program_of_the_dispatch_is_another_program(world: World) -> None:
    world.link.keep_defaults({"pv": HALF})
    link = DispatchLink(world.server, world.board, {"house": "roof"})
    heard: list[str] = []
    link.watch(lambda: heard.append("something"))
    world.link.publish({"pv": HALF}, {"pv": 300})
    assert not link.look(("house",))["house"].others
    assert not heard


def test_a_der_that_is_another_end_device_leaves_nothing_on_the_one_before(world: World) -> None:
    world.board.add_device("barn", lfdi="A" * 40, groups=("feeder",))
    world.link.keep_defaults({"pv": HALF})
    link = renamed(world, {"pv": "barn"})
    link.keep_defaults({"pv": WHOLE})
    assert world.board.device("roof").groups == ("feeder",)
    assert world.board.device("barn").groups == ("feeder", "dispatch-pv")


def test_a_restart_of_the_same_site_leaves_what_devices_hold(world: World) -> None:
    world.link.keep_defaults({"pv": HALF})
    control = world.link.publish({"pv": HALF}, {"pv": 300})["pv"]
    seen = renamed(world, {"pv": "roof"}).look(("pv",))["pv"]
    assert [o.mrid for o in seen.orders if o.cancelled is None] == [control.mrid]
    assert seen.default == HALF


def test_what_is_handed_back_goes_behind_the_other_programs_of_a_device(world: World) -> None:
    """Its safe state still holds what none of them orders."""
    world.link.keep_defaults({"pv": HALF})
    control = world.link.publish({"pv": HALF}, {"pv": 300})["pv"]
    world.link.hand_back(["pv"])
    program = world.board.program("dispatch-pv")
    assert program.default is not None
    assert (program.primacy, program.default.DERControlBase_) == (255, HALF)
    assert world.board.control(control.mrid).cancelled == AT
    world.link.publish({"pv": HALF}, {"pv": 300})
    assert world.board.program("dispatch-pv").primacy == 0


def test_what_was_handed_back_since_it_was_looked_at_is_not_lowered(world: World) -> None:
    """A limit may be published meanwhile: it holds by itself."""
    world.link.keep_defaults({"pv": WHOLE})
    control = world.link.publish({"pv": WHOLE}, {"pv": 300})["pv"]
    world.link.hand_back(["pv"])
    world.link.lower({"pv": HALF}, {"pv": HALF}, {"pv": 300})
    program = world.board.program("dispatch-pv")
    assert program.default is not None
    assert (program.primacy, program.default.DERControlBase_) == (255, WHOLE)
    assert [c.mrid for c in world.board.controls("dispatch-pv")] == [control.mrid]


def test_what_is_lowered_is_the_default_and_the_control_at_once(world: World) -> None:
    world.link.keep_defaults({"pv": WHOLE})
    world.link.publish({"pv": WHOLE}, {"pv": 300})
    world.link.lower({"pv": HALF}, {"pv": HALF}, {"pv": 200})
    seen = world.link.look(("pv",))["pv"]
    assert seen.default == HALF
    assert [(o.base, o.duration) for o in seen.orders if o.cancelled is None] == [(HALF, 200)]


def test_what_has_not_confirmed_its_safe_state_is_not_handed_back(world: World) -> None:
    world.link.keep_defaults({"pv": HALF})
    control = world.link.publish({"pv": HALF}, {"pv": 300})["pv"]
    world.link.hand_back([])
    assert world.board.program("dispatch-pv").primacy == 0
    assert world.board.control(control.mrid).cancelled is None


def test_a_device_that_has_no_other_program_keeps_its_safe_state_behind_any_that_comes(
    world: World,
) -> None:
    world.board.change_device("roof", groups=())
    world.link.keep_defaults({"pv": HALF})
    world.link.publish({"pv": WHOLE}, {"pv": 300})
    world.link.hand_back(["pv"])
    program = world.board.program("dispatch-pv")
    assert program.default is not None
    assert (program.primacy, program.default.DERControlBase_) == (255, HALF)
    assert all(c.cancelled is not None for c in world.board.controls("dispatch-pv"))
    world.link.publish({"pv": WHOLE}, {"pv": 300})
    assert world.board.program("dispatch-pv").primacy == 0


def is_asked_again(world: World) -> bool:
    """Whether something is asked of the plant in the place of an event of others."""
    return "dispatch-left@5-roof" in world.board.device("roof").groups


EXPORT = sep.DERControlBase(opModExpLimW=sep.ActivePower(multiplier=0, value=0))
"""A mode that no control of the dispatch has."""


@pytest.mark.parametrize(
    ("base", "start", "response_required", "said", "gave_way"),
    [
        (HALF, AT, 0, (), True),
        (HALF, AT + 200, 0, (1,), True),
        (HALF, AT, 3, (1, 2), True),
        (HALF, AT + 300, 0, (), False),
        (HALF, AT + 300, 3, (1, 14), True),
        (HALF, AT, 3, (1, 252), False),
        (HALF, AT, 3, (1, 2, 4), False),
        (EXPORT, AT, 0, (), True),
        (EXPORT, AT, 3, (1, 2), False),
    ],
)
def test_an_event_that_a_control_of_ours_reaches_into_counts_as_given_way_unless_it_is_over(
    world: World,
    base: sep.DERControlBase,
    start: int,
    response_required: int,
    said: tuple[int, ...],
    gave_way: bool,
) -> None:
    """Where no response is required the device never answers 14."""
    theirs = world.board.publish(
        "feeder", base=base, start=start, duration=3600, response_required=response_required
    )
    world.link.keep_defaults({"pv": HALF})
    world.link.publish({"pv": HALF}, {"pv": 300})
    for status in said:
        world.board.respond(subject=theirs.mrid, lfdi=LFDI, status=status, time=AT)
    world.link.hand_back(["pv"])
    assert is_asked_again(world) == gave_way


def test_an_event_that_was_cancelled_or_came_after_our_control_has_not_given_way(
    world: World,
) -> None:
    world.link.keep_defaults({"pv": HALF})
    theirs = world.board.publish("feeder", base=HALF, start=AT, duration=3600)
    ours = world.link.publish({"pv": HALF}, {"pv": 300})["pv"]
    world.board.respond(subject=theirs.mrid, lfdi=LFDI, status=14, time=AT)
    world.board.cancel("feeder", theirs.mrid)
    world.board.cancel("dispatch-pv", ours.mrid)
    world.pass_s(10)
    world.board.publish("feeder", base=HALF, start=AT + 10, duration=3600)
    world.link.hand_back(["pv"])
    assert not is_asked_again(world)


# --- what a default tells beside its modes -------------------------------------------


def settings(world: World) -> tuple[int | None, int | None]:
    default = world.board.program("dispatch-pv").default
    assert default is not None
    return default.setGradW, default.setESDelay


def test_the_dispatchs_default_has_the_ramp_rate_and_enter_service_of_the_one_it_goes_before(
    world: World,
) -> None:
    """A client may take the first default control as a whole."""
    world.board.add_program("later", primacy=9)
    world.board.set_default("later", WHOLE, setGradW=99)
    world.board.set_default("feeder", WHOLE, setGradW=27, setESDelay=60_000)
    world.board.change_device("roof", groups=("later", "feeder"))
    world.link.keep_defaults({"pv": HALF})
    assert settings(world) == (27, 60_000)
    assert world.link.look(("pv",))["pv"].default == HALF


def test_the_dispatchs_default_follows_when_they_are_changed(world: World) -> None:
    world.link.keep_defaults({"pv": HALF})
    assert settings(world) == (None, None)
    world.board.set_default("feeder", WHOLE, setGradW=27, setESDelay=60_000)
    assert settings(world) == (27, 60_000)
    world.board.set_default("feeder", WHOLE, setGradW=30)
    assert settings(world) == (30, None)
    world.board.add_program("grid", primacy=3)
    world.board.set_default("grid", WHOLE, setGradW=5)
    world.board.change_device("roof", groups=("feeder", "grid", "dispatch-pv"))
    assert settings(world) == (5, None)
    world.board.change_program("feeder", primacy=2)
    assert settings(world) == (30, None)
    world.board.set_default("feeder", None)
    world.board.set_default("grid", None)
    assert settings(world) == (None, None)


def test_whoever_watches_hears_of_what_may_limit_a_device_and_of_nothing_else(
    world: World,
) -> None:
    world.link.publish({"pv": WHOLE}, {"pv": 300})
    heard: list[str] = []
    world.link.watch(lambda: heard.append("something"))
    world.link.publish({"pv": HALF}, {"pv": 300})
    world.link.keep_defaults({"pv": HALF})
    world.mirror()
    assert not heard
    world.board.publish("feeder", base=HALF, start=AT + 100, duration=9)
    assert heard
    heard.clear()
    world.board.set_default("feeder", HALF)
    assert heard
    heard.clear()
    world.board.add_program("other", primacy=3)
    world.board.change_device("roof", groups=("feeder", "other"))
    assert heard


def test_the_dispatchs_program_goes_first_again_where_somebody_moved_it(world: World) -> None:
    world.link.publish({"pv": WHOLE}, {"pv": 300})
    world.board.change_program("dispatch-pv", primacy=200)
    world.link.publish({"pv": HALF}, {"pv": 300})
    assert world.board.program("dispatch-pv").primacy == 0


def test_of_two_controls_in_the_same_second_the_older_is_cancelled(world: World) -> None:
    first = world.link.publish({"pv": HALF}, {"pv": 300})["pv"]
    world.link.publish({"pv": WHOLE}, {"pv": 300})
    assert world.board.control(first.mrid).cancelled == AT


def test_documents_of_a_device_are_read_once_and_again_when_they_change(world: World) -> None:
    def put(soc: int) -> None:
        state = sep.StateOfChargeStatus(dateTime=AT, value=soc)
        body = codec.encode(sep.DERStatus(readingTime=AT, stateOfChargeStatus=state))
        world.board.file(LFDI, "status", body, 1)

    put(5000)
    first = world.link.look(("pv",))["pv"].status
    assert world.link.look(("pv",))["pv"].status is first
    put(6000)
    second = world.link.look(("pv",))["pv"].status
    assert second is not None
    assert second.stateOfChargeStatus is not None
    assert second.stateOfChargeStatus.value == 6000


def test_a_response_ends_a_wait(world: World) -> None:
    before = world.link.wait_for_responses(-1, 0.0)
    answering = threading.Timer(
        0.05, lambda: world.board.respond(subject="A1", lfdi=LFDI, status=1, time=AT)
    )
    answering.start()
    assert world.link.wait_for_responses(before, 30.0) == before + 1
    answering.join()


def test_a_device_is_there_once_it_has_asked_and_mirrors_its_power(world: World) -> None:
    assert world.link.wait_for(("pv",), 0.0, 120.0) == {"pv"}
    world.board.seen(LFDI, AT)
    assert world.link.wait_for(("pv",), 0.0, 120.0) == {"pv"}
    world.mirror()
    assert world.link.wait_for(("pv",), 0.0, 120.0) == frozenset()
    world.pass_s(121)
    assert world.link.wait_for(("pv",), 0.0, 120.0) == {"pv"}


def test_whoever_waits_for_devices_can_be_let_go(world: World) -> None:
    going = threading.Timer(0.05, world.link.stop_waiting)
    going.start()
    assert world.link.wait_for(("pv", "bes"), 30.0, 120.0) == {"pv", "bes"}
    going.join()


def test_a_server_that_does_not_answer_is_waited_for_and_raises_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fails(*_: object, **__: object) -> object:
        asked.append("")
        raise GeemsError("the IEEE 2030.5 server did not answer within 10 s")

    monkeypatch.setattr("ems.derms.link.AGAIN_S", 0.001)
    with monkeypatch.context() as broken:
        broken.setattr(world.link, "look", fails)
        assert world.link.wait_for(("pv", "bes"), 0.05, 60.0) == {"pv", "bes"}
    assert len(asked) > 1
    world.board.seen(LFDI, AT)
    world.mirror()
    assert not world.link.wait_for(("pv",), 0.05, 60.0)
