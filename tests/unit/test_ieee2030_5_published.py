"""What is left of the dispatch when it ends at a device, as the real client follows it.

No process of the dispatch runs any more then: whatever is to hold, or to end, does so by itself.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ems.assembly import OpenSite
from ems.derms import elements
from ems.derms.board import Control
from ems.derms.controls import RETAINED_S
from ems.derms.link import DispatchLink
from ems.domain import EndDeviceAddress, InForce, Policy, Setpoint
from ems.enddevice.programs import ReadControl, ReadDefault, ReadProgram, values_of
from ems.enddevice.schedule import Schedule, Turn
from ems.gateways.ieee2030_5.field import Ieee2030Field
from ems.protocols.ieee2030_5 import codec, sep
from ems.record import from_json
from ems.store import Store
from ems.tariff import flat
from tests.ieee2030_5_field import PV, SITE, end_device
from tests.sites import NOW, ports, segment
from tests.unit.test_ieee2030_5_link import AT, LFDI, World
from tests.unit.test_record import SAMPLE

OTHER = "A" * 40
"""LFDI of another device."""
SAFE = 1000
"""The safe state of the plant, as opModMaxLimW."""
HOUR_S = 3600


def limit(share: int) -> sep.DERControlBase:
    return sep.DERControlBase(opModMaxLimW=share)


class Client:
    """A device: the real client's schedule, fed with the XML of what the board serves."""

    def __init__(self, world: World, device: str = "roof", *, lacks: str = "",
                 category: int | None = None) -> None:  # fmt: skip
        self._board, self._name = world.board, device
        lfdi = world.board.device(device).lfdi
        self._schedule = Schedule(lfdi, lambda values: 252 if lacks in values else None, category)

    def polls(self) -> Any:
        """Ask the server, answer it, and tell what opModMaxLimW is in force."""
        turn = self._turn()
        board, lfdi = self._board, self._board.device(self._name).lfdi
        for answer in turn.answers:
            board.respond(
                subject=answer.subject, lfdi=lfdi, status=int(answer.status), time=board.now()
            )
        return turn.control.value("opModMaxLimW")

    def turns(self) -> Mapping[str, Sequence[int]]:
        """Ask the server, and keep what there is to answer, by event."""
        found: dict[str, list[int]] = {}
        for answer in self._turn().answers:
            found.setdefault(answer.subject, []).append(int(answer.status))
        return found

    def holds(self) -> Mapping[str, Any]:
        """What is in force, by mode."""
        return self._schedule.advance(self._board.now()).control.ordered

    def _turn(self) -> Turn:
        board, now = self._board, self._board.now()
        device = board.device(self._name)
        self._schedule.learn([self._read(n) for n in board.programs_of(device)], now)
        return self._schedule.advance(now)

    def _read(self, number: int) -> ReadProgram:
        program = self._board.program_by_number(number)
        assert program is not None
        standing = self._board.standing(program.name)
        controls = []
        for held, state in zip(standing.controls, standing.states, strict=True):
            body = codec.encode(elements.control(number, held, state))
            control = codec.decode(body, sep.DERControl)
            values = values_of(control.DERControlBase_, {})
            controls.append(ReadControl(control=control, values=values))
        default = None
        if program.default is not None:
            values = values_of(program.default.DERControlBase_, {})
            default = ReadDefault(control=program.default, values=values)
        return ReadProgram(
            mrid=program.mrid, primacy=program.primacy, controls=controls, default=default
        )


@pytest.fixture
def world() -> World:
    """A plant that follows a feeder's default of 90 %."""
    made = World()
    made.board.set_default("feeder", limit(9000))
    return made


@pytest.fixture
def client(world: World) -> Client:
    return Client(world)


def dispatched(world: World, client: Client, share: int = SAFE, link: DispatchLink | None = None,
               der: str = "pv") -> None:  # fmt: skip
    """A command of the dispatch, over its safe state, which the device takes."""
    link = link or world.link
    link.keep_defaults({der: limit(SAFE)})
    link.publish({der: limit(share)}, {der: 300})
    assert client.polls() == share


def event(world: World, share: int, *, lasts_s: int = HOUR_S, **more: Any) -> Control:
    """An event of the feeder, from now on."""
    start = more.pop("start", world.board.now())
    return world.board.publish("feeder", base=limit(share), start=start, duration=lasts_s, **more)


def said(world: World, control: Control) -> Sequence[int]:
    return [r.status for r in world.board.responses(control.mrid) if r.lfdi == LFDI]


def left_programs(world: World) -> list[str]:
    return [p.name for p in world.board.programs() if p.name.startswith("dispatch-left@")]


# --- handed back ---------------------------------------------------------------------


def test_an_event_that_gave_way_is_followed_again_and_after_it_what_others_ask_by_then(
    world: World, client: Client
) -> None:
    theirs = event(world, 5000)
    assert client.polls() == 5000
    world.pass_s(10)
    dispatched(world, client)
    assert 7 in said(world, theirs)
    world.link.hand_back(["pv"])
    assert client.polls() == 5000
    world.board.set_default("feeder", limit(500))
    assert client.polls() == 5000
    world.pass_s(HOUR_S - 11)
    assert client.polls() == 5000
    world.pass_s(1)
    assert client.polls() == 500
    assert world.board.program("dispatch-pv").primacy == 255


def test_an_event_that_gave_way_before_it_began_is_followed_in_its_time(
    world: World, client: Client
) -> None:
    dispatched(world, client)
    theirs = event(world, 500, start=AT + 200)
    client.polls()
    assert 14 in said(world, theirs)
    world.link.hand_back(["pv"])
    assert client.polls() == 9000
    world.pass_s(200)
    assert client.polls() == 500


def test_an_event_that_follows_after_the_dispatch_goes_before_what_is_asked_again(
    world: World, client: Client
) -> None:
    event(world, 5000)
    dispatched(world, client)
    world.link.hand_back(["pv"])
    assert client.polls() == 5000
    world.pass_s(60)
    event(world, 500, lasts_s=60)
    assert client.polls() == 500


def test_one_that_another_program_publishes_in_the_second_of_handing_back_does_so_too(
    world: World, client: Client
) -> None:
    """Of two events of one primacy and second a client cannot tell the newer."""
    world.board.add_program("also", primacy=5)
    world.board.change_device("roof", groups=("feeder", "also"))
    event(world, 5000)
    event(world, 6000, start=AT + 600)
    dispatched(world, client)
    world.link.publish({"pv": limit(SAFE)}, {"pv": HOUR_S})
    client.polls()
    world.pass_s(60)
    world.link.hand_back(["pv"])
    world.board.publish("also", base=limit(500), start=AT + 60, duration=HOUR_S)
    assert client.polls() == 500
    world.pass_s(600)
    assert client.polls() == 500


def test_a_newer_event_that_did_not_give_way_is_followed_over_what_is_asked_again(
    world: World, client: Client
) -> None:
    event(world, 5000)
    world.pass_s(1)
    event(world, 500, start=AT + 1000)
    dispatched(world, client)
    world.pass_s(10)
    world.link.hand_back(["pv"])
    client.polls()
    world.pass_s(1000)
    assert client.polls() == 500


def test_what_is_asked_again_is_followed_until_an_event_of_a_program_before_its_own_begins(
    world: World, client: Client
) -> None:
    """One that a device has not begun is given up as a whole where it hears of both."""
    world.board.add_program("grid", primacy=3)
    world.board.change_device("roof", groups=("feeder", "grid"))
    event(world, 500)
    dispatched(world, client)
    world.board.publish("grid", base=limit(6000), start=AT + 600, duration=600)
    world.link.hand_back(["pv"])
    assert client.polls() == 500
    world.pass_s(599)
    assert client.polls() == 500
    world.pass_s(1)
    assert client.polls() == 6000


def test_an_event_that_gave_way_to_others_before_the_dispatch_began_is_not_asked_again(
    world: World, client: Client
) -> None:
    """It would go before an older one, which the device follows since those have cancelled."""
    world.board.add_program("grid", primacy=3)
    world.board.add_program("also", primacy=5)
    world.board.change_device("roof", groups=("feeder", "grid", "also"))
    base = sep.DERControlBase(opModMaxLimW=500, opModConnect=True)
    world.board.publish("feeder", base=base, start=AT + 200, duration=600)
    newer = world.board.publish("also", base=limit(6000), start=AT + 200, duration=600)
    first = world.board.publish("grid", base=limit(4000), start=AT + 200, duration=5)
    client.polls()
    assert 14 in said(world, newer)
    world.pass_s(120)
    world.board.cancel("grid", first.mrid)
    dispatched(world, client)
    world.link.hand_back(["pv"])
    client.polls()
    world.pass_s(80)
    assert client.polls() == 500


def test_what_others_cancel_is_asked_no_more(world: World, client: Client) -> None:
    theirs = event(world, 500)
    dispatched(world, client)
    world.link.hand_back(["pv"])
    assert client.polls() == 500
    world.pass_s(60)
    world.board.cancel("feeder", theirs.mrid)
    assert client.polls() == 9000


def test_what_others_cancelled_while_no_dispatch_ran_is_asked_no_more_from_its_next_start(
    world: World, client: Client
) -> None:
    theirs = event(world, 500)
    dispatched(world, client)
    world.link.hand_back(["pv"])
    client.polls()
    world.board.listeners.clear()  # the process ends
    world.pass_s(60)
    world.board.cancel("feeder", theirs.mrid)
    assert client.polls() == 500
    started(world, {"pv": "roof"})
    assert client.polls() == 9000


def test_an_event_of_every_mode_and_program_is_asked_again_as_it_was(
    world: World, client: Client
) -> None:
    world.board.add_program("grid", primacy=3)
    world.board.change_device("roof", groups=("feeder", "grid"))
    base = sep.DERControlBase(
        opModMaxLimW=4000, opModExpLimW=sep.ActivePower(multiplier=3, value=2)
    )
    theirs = world.board.publish(
        "grid", base=base, start=AT + 60, duration=600, random_start=-20, random_duration=30,
        response_required=1, category=0xFF,
    )  # fmt: skip
    dispatched(world, client)
    world.link.hand_back(["pv"])
    (name,) = left_programs(world)
    (again,) = world.board.controls(name)
    program = world.board.program(name)
    assert (program.name, program.primacy, program.default) == ("dispatch-left@3-roof", 3, None)
    assert (again.base, again.category) == (base, 0xFF)
    assert again.response_required == 3, "when it is over, what gave way to it is asked again"
    assert (again.start, again.ends) == (AT + 40, theirs.ends)
    assert again.description == theirs.mrid


def test_the_next_command_takes_it_back(world: World, client: Client) -> None:
    event(world, 5000)
    dispatched(world, client)
    world.link.hand_back(["pv"])
    client.polls()
    dispatched(world, client, 4000)
    (name,) = left_programs(world)
    assert all(c.cancelled is not None for c in world.board.controls(name))
    world.pass_s(10)
    world.link.hand_back(["pv"])
    assert client.polls() == 5000


def test_a_program_that_asks_nothing_any_more_is_dropped_with_the_next_start(
    world: World, client: Client
) -> None:
    event(world, 5000)
    dispatched(world, client)
    world.link.hand_back(["pv"])
    started(world, {"pv": "roof"})
    assert left_programs(world) == ["dispatch-left@5-roof"]
    world.pass_s(HOUR_S)
    started(world, {"pv": "roof"})
    assert left_programs(world) == []
    assert world.board.device("roof").groups == ("feeder", "dispatch-pv")


def test_what_is_asked_again_is_no_limit_beside_the_event_itself(
    world: World, client: Client
) -> None:
    event(world, 5000)
    dispatched(world, client)
    world.link.hand_back(["pv"])
    client.polls()
    seen = world.link.look(("pv",))["pv"]
    assert [base.opModMaxLimW for base in seen.others] == [5000]


def test_what_was_handed_back_holds_nothing_of_ours_as_far_as_is_known(
    world: World, client: Client
) -> None:
    """Its safe state stands behind the others' programs: it may hold in part, or not at all."""
    dispatched(world, client)
    assert world.link.handed_back(("pv", "bes")) == frozenset()
    world.link.hand_back(["pv"])
    assert world.link.look(("pv",))["pv"].default is None
    assert world.link.handed_back(("pv", "bes")) == {"pv"}
    dispatched(world, client)
    assert world.link.look(("pv",))["pv"].default == limit(SAFE)
    assert world.link.handed_back(("pv", "bes")) == frozenset()


def test_a_limit_of_others_is_not_laid_into_what_was_handed_back(
    world: World, client: Client
) -> None:
    """They may lift it, and nobody would lift it here: an advisory site never commands."""
    told = end_device(PV).capability
    assert told is not None
    world.board.file(LFDI, "capability", codec.encode(told), 1)
    dispatched(world, client)
    world.link.hand_back(["pv"])
    address = EndDeviceAddress(enddevice="roof", answer_s=75.0)
    field = Ieee2030Field(SITE, {"pv": address}, world.link, fresh_s=120.0)
    world.board.set_default("feeder", limit(500))
    field.read(world.clock.now())
    field.close()
    program = world.board.program("dispatch-pv")
    assert program.default is not None
    assert (program.primacy, program.default.DERControlBase_) == (255, limit(SAFE))


def test_curves_go_with_an_event_that_is_asked_again(world: World) -> None:
    curve = world.board.add_curve("steep", type=11, points=((9000, 100), (11_000, 0)))
    base = sep.DERControlBase(opModVoltVar=sep.Link(href=curve.href), opModMaxLimW=4000)
    world.board.publish("feeder", base=base, start=AT, duration=600)
    world.link.publish({"pv": limit(SAFE)}, {"pv": 300})
    world.link.hand_back(["pv"])
    assert world.board.program("dispatch-left@5-roof").curves == ("steep",)


def test_a_cycle_counts_on_nothing_that_it_inherits_of_what_was_handed_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silent device may do what others ask of it: no timer of ours bounds that."""
    told = Setpoint(der="pv", p_kw=1000.0, q_kvar=0.0, cap_kw=1000.0)
    at = InForce(setpoints=(told,), written=NOW, reverts_from=NOW)
    left = replace(from_json(SAMPLE), in_force={"pv": at, "bes": at})
    monkeypatch.setattr("ems.assembly.run_cycle", lambda *given: given[5])
    link = SimpleNamespace(handed_back=lambda ders: {"pv"} & set(ders))
    with closing(Store.open(tmp_path / "geems.sqlite")) as store:
        site = OpenSite(
            site=segment(), policy=Policy(), tariff=flat(0.2), ports=ports(segment()),
            store=store, previous=left, inherited=True,
            clients=cast("Any", SimpleNamespace(link=link, ders=frozenset({"pv", "bes"}))),
        )  # fmt: skip
        assert set(site.run(NOW).in_force) == {"bes"}
        assert set(site.run(NOW).in_force) == {"bes"}


# --- a site file that has changed ----------------------------------------------------


def started(world: World, devices: dict[str, str]) -> DispatchLink:
    """The same server, started again with another site file."""
    world.board.listeners.clear()
    link = DispatchLink(world.server, world.board, devices)
    link.drop_left_over()
    return link


def test_two_ders_that_swap_their_end_devices_leave_them_within_what_others_limit(
    world: World, client: Client
) -> None:
    world.board.add_device("barn", lfdi=OTHER, groups=("feeder",))
    barn = Client(world, "barn")
    link = started(world, {"pv": "roof", "pw": "barn"})
    dispatched(world, client, 500, link)
    dispatched(world, barn, 800, link, "pw")
    event(world, 500, start=AT + 200)
    client.polls()
    barn.polls()
    world.pass_s(400)
    started(world, {"pv": "barn", "pw": "roof"})
    assert (client.polls(), barn.polls()) == (500, 500)
    world.pass_s(HOUR_S)
    assert (client.polls(), barn.polls()) == (9000, 9000)


@pytest.mark.parametrize("devices", [{}, {"bes": "shed"}, {"house": "roof"}, {"pv": "shed"}])
def test_a_device_that_is_another_der_or_none_keeps_what_others_limit_until_they_lift_it(
    world: World, client: Client, devices: dict[str, str]
) -> None:
    world.board.add_device("shed", lfdi=OTHER, groups=("feeder",))
    dispatched(world, client, 500)
    event(world, 500, start=AT + 200, response_required=0)
    client.polls()
    world.pass_s(400)
    started(world, devices)
    assert "dispatch-pv" not in world.board.device("roof").groups
    assert client.polls() == 500
    world.pass_s(HOUR_S - 201)
    world.board.prune(world.board.now())
    assert client.polls() == 500
    world.board.set_default("feeder", limit(300))
    world.pass_s(1)
    assert client.polls() == 300


def test_an_event_that_began_longer_ago_than_controls_are_remembered_counts_as_given_way(
    world: World, client: Client
) -> None:
    """A device that is not to respond never said that it gave it up."""
    event(world, 500, lasts_s=6 * HOUR_S, response_required=0)
    dispatched(world, client, 500)
    world.pass_s(301 + RETAINED_S)
    world.board.prune(world.board.now())
    assert not world.board.controls("dispatch-pv")
    started(world, {})
    assert client.polls() == 500
    world.pass_s(4 * HOUR_S)
    assert client.polls() == 500
