"""The dispatch's way to the server: programs of its own, one control after another, no flooding."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from ems.clock import SteppedClock
from ems.derms.board import Board, Latest
from ems.derms.link import DispatchLink
from ems.derms.server import DermsServer
from ems.derms.settings import ServerSettings
from ems.gateways.ieee2030_5.port import ControlServer
from ems.protocols.ieee2030_5 import codec, sep

START = datetime(2026, 7, 1, 12, tzinfo=UTC)
AT = int(START.timestamp())
LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
HALF, WHOLE = sep.DERControlBase(opModMaxLimW=5000), sep.DERControlBase(opModMaxLimW=10_000)


class World:
    """A board behind a server that does not run: calls go straight to it."""

    def __init__(self) -> None:
        self.clock = SteppedClock(START)
        self.board = Board(clock=self.clock)
        self.board.add_program("feeder", primacy=5)
        self.board.add_device("roof", lfdi=LFDI, groups=("feeder",))
        server = DermsServer(ServerSettings(trusted_proxy_header="x-lfdi"), self.board)
        self.link = DispatchLink(server, self.board, {"pv": "roof", "bes": "shed"})

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


def test_a_default_holds_beside_a_control_that_asks_for_another_mode(world: World) -> None:
    world.link.publish({"pv": WHOLE}, {"pv": 300})
    world.board.set_default("feeder", HALF)
    world.board.publish("feeder", base=sep.DERControlBase(opModConnect=True), start=AT, duration=9)
    asked = world.link.look(("pv",))["pv"].others
    assert [base.opModMaxLimW for base in asked] == [None, HALF.opModMaxLimW]


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
