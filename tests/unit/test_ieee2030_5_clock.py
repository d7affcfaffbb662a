"""The clock of the server is set back: what a device has begun goes on, and is taken back in time.

The device is that of the real client, `ems.enddevice.schedule`, fed with what the board serves.
"""

from datetime import timedelta

import pytest

from ems.clock import SteppedClock
from ems.derms import elements
from ems.derms.board import Board, Control, Latest, Program
from ems.derms.link import DispatchLink
from ems.domain import DerReading, EndDeviceAddress, Readback
from ems.enddevice.programs import ReadControl, ReadDefault, ReadProgram
from ems.enddevice.schedule import Schedule
from ems.errors import Unreachable
from ems.gateways.ieee2030_5.field import Ieee2030Field
from ems.protocols.ieee2030_5 import codec, modes, sep
from tests.ieee2030_5_field import (
    ANSWER_S,
    PV,
    REVERSION_S,
    SITE,
    cap,
    end_device,
    limit_of,
)
from tests.sites import NOW
from tests.unit.test_ieee2030_5_link import LFDI, START, World

POLL_S = 30
"""How often the client asks [s]."""


class SetClock(SteppedClock):
    """One that its owner can set back."""

    def set_back(self, seconds: float) -> None:
        self._now -= timedelta(seconds=seconds)


class Client:
    """What the device of a world does."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.listens = True
        self.schedule = Schedule(LFDI, lambda _values: None)
        self.holds: int | None = None
        """Its limit [hundredths of a percent]."""

    def poll(self) -> None:
        """Read all of its programs, do what they say, and answer."""
        if not self.listens:
            return
        board, now = self.board, self.board.now()
        numbers = board.programs_of(board.device("roof"))
        known = (board.program_by_number(number) for number in numbers)
        self.schedule.learn([self._read(p) for p in known if p is not None], now)
        turn = self.schedule.advance(now)
        board.seen(LFDI, now)
        for said in turn.answers:
            board.respond(subject=said.subject, lfdi=LFDI, status=int(said.status), time=now)
        held = turn.control.ordered.get("opModMaxLimW")
        self.holds = None if held is None or not isinstance(held.value, int) else held.value

    def _read(self, program: Program) -> ReadProgram:
        standing, default = self.board.standing(program.name), program.default
        controls = zip(standing.controls, standing.states, strict=True)
        told = [elements.control(program.number, c, state) for c, state in controls]
        return ReadProgram(
            mrid=program.mrid,
            primacy=program.primacy,
            controls=[ReadControl(control=c, values=values(c.DERControlBase_)) for c in told],
            default=(
                ReadDefault(control=default, values=values(default.DERControlBase_))
                if default is not None
                else None
            ),
        )


def values(base: sep.DERControlBase) -> dict[str, int]:
    return {mode: getattr(base, mode) for mode in modes.asked(base)}


class PollingLink(DispatchLink):
    """Time passes where somebody waits for an answer, and the client asks meanwhile."""

    world: "Plant"

    def wait_for_responses(self, after: int, timeout_s: float) -> int:
        if timeout_s > 0.0:
            self.world.pass_s(min(timeout_s, POLL_S))
            self.world.waited_s += min(timeout_s, POLL_S)
            self.world.client.poll()
        return super().wait_for_responses(after, 0.0)


class Plant(World):
    """A plant that is a client, commanded through a field."""

    def __init__(self) -> None:
        super().__init__(SetClock(START))
        self.waited_s = 0.0
        capability = end_device(PV).capability
        assert capability is not None
        self.board.file(LFDI, "capability", codec.encode(capability), 1)
        self.client = Client(self.board)
        self.start()

    def start(self) -> None:
        """A process begins to dispatch it."""
        self.link = PollingLink(self.server, self.board, {"pv": "roof"})
        self.link.world = self
        address = EndDeviceAddress(enddevice="roof", answer_s=ANSWER_S)
        self.field = Ieee2030Field(SITE, {"pv": address}, self.link, fresh_s=120.0)

    def set_back(self, seconds: float) -> None:
        assert isinstance(self.clock, SetClock)
        self.clock.set_back(seconds)

    def reading(self) -> DerReading:
        now = self.board.now()
        mirror = self.board.put_mirror(mrid="A1", lfdi=LFDI, owner=LFDI, body="")
        for mrid, uom in (("B1", 38), ("B2", 63)):
            latest = Latest(
                mrid=mrid, description="power", value=0.0, uom=uom, kind=37, flow=19, phase=0,
                qualifier=0, quality=1, time=now, received=now,
            )  # fmt: skip
            self.board.read(mirror, latest, "")
        shown = self.field.read(NOW)["pv"]
        assert isinstance(shown, DerReading)
        return shown

    def ours(self) -> list[Control]:
        """Our controls that are not cancelled."""
        return [c for c in self.board.controls("dispatch-pv") if c.cancelled is None]


@pytest.fixture
def plant() -> Plant:
    """20 % of its rating for 130 s, then 80 % for 31 s."""
    made = Plant()
    for cap_kw, seconds in ((2000.0, 100.0), (8000.0, 1.0)):
        assert isinstance(made.field.write([cap(cap_kw)])["pv"], Readback)
        made.pass_s(seconds)
    assert made.client.holds == 8000
    made.waited_s = 0.0
    return made


@pytest.mark.parametrize("back_s", [50, 150, 3600])
def test_a_control_that_begins_ahead_by_a_clock_that_was_set_back_is_held_on(
    plant: Plant, back_s: int
) -> None:
    """What has begun goes on."""
    plant.set_back(back_s)
    plant.client.poll()
    assert plant.client.holds == 8000
    assert plant.reading().cap_kw == pytest.approx(8000.0)


@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("back_s", [50, 150, 3600])
def test_it_is_taken_back_by_the_next_command_be_that_the_one_before_it(
    plant: Plant, back_s: int, heard: bool
) -> None:
    """The older one is cancelled, and the device may not have said so yet."""
    plant.set_back(back_s)
    if heard:
        plant.client.poll()
    answer = plant.field.write([cap(2000.0)])["pv"]
    assert isinstance(answer, Readback)
    assert (answer.cap_kw, answer.ends_s) == (2000.0, float(REVERSION_S))
    assert plant.client.holds == 2000
    (order,) = plant.ours()
    assert (order.base.opModMaxLimW, order.duration) == (2000, REVERSION_S)


@pytest.mark.parametrize("back_s", [35, 150, 3600])
def test_a_refresh_publishes_it_anew_so_that_it_lasts_no_longer_than_it_was_to(
    plant: Plant, back_s: int
) -> None:
    """The one before would be held until its own end, of which nobody knows how far off it is."""
    plant.set_back(back_s)
    began = plant.board.now()
    answer = plant.field.write([cap(8000.0)])["pv"]
    (order,) = plant.ours()
    assert order.start + order.duration == began + REVERSION_S
    assert isinstance(answer, Readback)
    assert plant.waited_s == POLL_S
    plant.client.listens = False
    plant.set_back(60)
    assert isinstance(plant.field.write([cap(8000.0)])["pv"], Unreachable)


@pytest.mark.parametrize("back_s", [50, 150, 3600])
def test_a_limit_of_others_is_laid_into_it_for_no_longer_than_it_was_to_last(
    plant: Plant, back_s: int
) -> None:
    plant.set_back(back_s)
    now = plant.board.now()
    plant.board.publish("feeder", base=limit_of(5.0), start=now, duration=3600)
    plant.field.close()
    (order,) = plant.ours()
    assert (order.base.opModMaxLimW, order.start) == (500, now)
    assert order.duration <= REVERSION_S
    plant.client.poll()
    assert plant.client.holds == 500
    assert (plant.reading().cap_kw, plant.reading().most_kw) == (500.0, 500.0)


def test_a_silent_device_is_waited_for_no_longer_than_ever(plant: Plant) -> None:
    plant.client.listens = False
    plant.set_back(3600)
    answer = plant.field.write([cap(4000.0)])["pv"]
    assert isinstance(answer, Unreachable)
    assert "no Response" in str(answer)
    assert plant.waited_s == ANSWER_S


def test_controls_are_as_new_as_they_were_published_whatever_the_clock_said(plant: Plant) -> None:
    plant.set_back(3600)
    plant.field.write([cap(4000.0)])
    orders = plant.link.look(("pv",))["pv"].orders
    assert [order.base.opModMaxLimW for order in orders] == [4000, 8000, 2000]


def test_what_other_programs_ask_is_worked_out_anew_though_the_clock_is_its_owners(
    plant: Plant,
) -> None:
    """Else a limit would stay over that is not, or to come that holds."""
    board = plant.board
    board.publish("feeder", base=limit_of(5.0), start=board.now(), duration=600)
    plant.pass_s(601)
    assert not plant.link.look(("pv",))["pv"].others
    plant.set_back(300)
    assert not board.follow()
    assert list(plant.link.look(("pv",))["pv"].others) == [limit_of(5.0)]
