"""What is served: checked whole, kept, and told."""

import re
from dataclasses import replace
from typing import Any

import pytest

from ems.clock import SteppedClock
from ems.derms.board import Board, Conflict, Latest, NotFound
from ems.derms.curves import Point
from ems.derms.keeping import MemoryKeeper
from ems.errors import BadInput
from ems.protocols.ieee2030_5 import codec, sep
from tests.derms_asked import ALICE, BOB, START, Asked

LIMIT = sep.DERControlBase(opModMaxLimW=5000)
CURVE = ((9500, 5000), (10500, -5000))


@pytest.fixture
def board() -> Board:
    made = Board(clock=SteppedClock(START))
    made.add_program("feeder", primacy=3)
    return made


def test_a_device_gets_the_short_form_of_its_identifier(board: Board) -> None:
    device = board.add_device("one", lfdi="3E4F45AB31EDFE5B67E343E5E4562E31984E23E5")

    assert device.sfdi == 167261211391


def test_all_faults_of_a_device_are_told_at_once(board: Board) -> None:
    with pytest.raises(BadInput) as told:
        board.add_device("one", lfdi="3E4F", pin=123456, groups=["nowhere"], poll_rate_s=0)

    places = [fault.place for fault in told.value.faults]
    assert places == [f"device 'one': {key}" for key in ("lfdi", "pin", "groups", "poll_rate_s")]
    assert board.devices() == ()


@pytest.mark.parametrize(("name", "lfdi"), [("one", BOB), ("two", ALICE)])
def test_a_name_and_a_certificate_belong_to_one_device(board: Board, name: str, lfdi: str) -> None:
    board.add_device("one", lfdi=ALICE)

    with pytest.raises(Conflict):
        board.add_device(name, lfdi=lfdi)


def test_a_change_that_changes_nothing_is_none(board: Board) -> None:
    device = board.add_device("one", lfdi=ALICE, groups=["feeder"])
    told: list[str] = []
    board.listeners.append(told.append)

    assert board.change_device("one", groups=["feeder"], category=0) is device
    assert told == []


def test_what_cannot_be_changed_is_named(board: Board) -> None:
    board.add_device("one", lfdi=ALICE)

    with pytest.raises(BadInput, match="device 'one': number: cannot be changed"):
        board.change_device("one", number=7)


def test_a_group_hands_its_programs_to_its_devices(board: Board) -> None:
    other = board.add_program("substation", primacy=5)
    board.add_group("west", programs=["feeder", "substation"])
    device = board.add_device("one", lfdi=ALICE, groups=["west"])

    assert board.programs_of(device) == {board.program("feeder").number, other.number}
    board.change_group("west", programs=["substation"])
    assert board.programs_of(device) == {other.number}
    assert board.members("substation") == (device,)
    board.remove_group("west")
    assert board.device("one").groups == ()


def test_a_duplicate_mrid_is_refused_whatever_has_it(board: Board) -> None:
    mrid = board.publish("feeder", base=LIMIT, start=board.now(), duration=60).mrid

    with pytest.raises(Conflict, match=mrid):
        board.publish("feeder", base=LIMIT, start=board.now(), duration=60, mrid=mrid.lower())
    with pytest.raises(Conflict, match=mrid):
        board.add_program("other", primacy=1, mrid=mrid)


def test_all_faults_of_a_control_are_told_at_once(board: Board) -> None:
    with pytest.raises(BadInput) as told:
        board.publish(
            "feeder",
            base=LIMIT,
            start=board.now(),
            duration=0,
            random_start=4000,
            random_duration=-3601,
            mrid="no hex",
            description="d" * 33,
        )

    keys = {fault.place.rpartition(": ")[2] for fault in told.value.faults}
    assert keys == {"mrid", "duration", "random_start", "random_duration", "description"}
    assert board.controls("feeder") == ()


def test_a_control_that_is_over_is_not_published(board: Board) -> None:
    with pytest.raises(BadInput, match="has ended already"):
        board.publish("feeder", base=LIMIT, start=board.now() - 61, duration=60)


def test_a_control_links_to_a_curve_that_exists_and_fits(board: Board) -> None:
    curve = board.add_curve("droop", type=11, points=CURVE)
    wrong = sep.DERControlBase(
        opModVoltVar=sep.Link(href="/dc/9"), opModVoltWatt=sep.Link(href=curve.href)
    )

    with pytest.raises(BadInput) as told:
        board.publish("feeder", base=wrong, start=board.now(), duration=60)
    assert len(told.value.faults) == 2

    right = sep.DERControlBase(opModVoltVar=sep.Link(href=curve.href))
    board.publish("feeder", base=right, start=board.now(), duration=60)
    assert board.program("feeder").curves == ("droop",)
    with pytest.raises(Conflict, match="used by the program"):
        board.remove_curve("droop")


def test_a_program_leaves_only_when_its_devices_can_have_heard(board: Board) -> None:
    board.add_device("one", lfdi=ALICE, groups=["feeder"])
    mrid = board.publish("feeder", base=LIMIT, start=board.now(), duration=60).mrid

    with pytest.raises(Conflict, match="cancel them first"):
        board.remove_program("feeder")
    board.cancel("feeder", mrid)
    board.remove_program("feeder")

    assert board.device("one").groups == ()
    with pytest.raises(NotFound):
        board.control(mrid)


def test_of_two_controls_of_one_second_the_later_one_is_the_newer(board: Board) -> None:
    first = board.publish("feeder", base=LIMIT, start=board.now(), duration=60)
    second = board.publish("feeder", base=LIMIT, start=board.now(), duration=60)
    apart = board.publish("feeder", base=LIMIT, start=board.now() + 60, duration=60)

    assert second.created > first.created
    assert apart.created == board.now()


def test_the_version_of_a_default_grows_with_each_change(board: Board) -> None:
    board.set_default("feeder", LIMIT, setGradW=100)
    first = board.program("feeder").default
    board.set_default("feeder", LIMIT, setGradW=100)
    assert board.program("feeder").default is first
    board.set_default("feeder", LIMIT, setGradW=200)
    second = board.program("feeder").default

    assert first is not None
    assert second is not None
    assert (second.version, second.mRID) == ((first.version or 0) + 1, first.mRID)


def test_whoever_listens_is_told_the_paths_that_changed(board: Board) -> None:
    told: list[str] = []
    board.listeners.append(told.append)
    number = board.program("feeder").number

    board.publish("feeder", base=LIMIT, start=board.now(), duration=60)

    assert f"/derp/{number}/derc" in told


def test_controls_long_over_are_forgotten() -> None:
    asked = Asked()
    asked.board.add_program("feeder", primacy=1)
    mrid = asked.publish("feeder")
    asked.pass_s(60 + 3599)
    asked.board.prune(asked.now)
    assert asked.board.control(mrid)
    asked.pass_s(1)
    asked.board.prune(asked.now)

    with pytest.raises(NotFound):
        asked.board.control(mrid)


def test_a_new_server_knows_all_that_was_kept() -> None:
    keeper, clock = MemoryKeeper(), SteppedClock(START)
    board = Board(keeper, clock)
    board.set_rates(poll_s=30, post_s=20)
    board.add_curve("droop", type=11, points=CURVE, options={"openLoopTms": 500})
    board.add_program("feeder", primacy=3)
    board.set_default("feeder", LIMIT, setGradW=100)
    board.add_group("west", programs=["feeder"])
    device = board.add_device("one", lfdi=ALICE, groups=["west"], pin=111115)
    control = board.publish("feeder", base=LIMIT, start=board.now(), duration=60)
    board.cancel("feeder", control.mrid)
    board.subscribe(device.number, path="/edev", uri="https://a/b", limit=1, level="+S1")
    board.file(ALICE, "status", codec.encode(sep.DERStatus(readingTime=5)), 1)
    board.respond(subject=control.mrid, lfdi=ALICE, status=6, time=5)
    board.log(ALICE, "<LogEvent/>")
    point = board.put_mirror(mrid="0A", lfdi=ALICE, owner=ALICE, body="<MirrorUsagePoint/>")
    point = board.put_meter(point, "0B", "<MirrorMeterReading/>")
    board.read(point, _latest(7.0, time=9), "<MirrorMeterReading/>")

    again = Board(keeper, clock)

    for name in ("rates", "devices", "groups", "programs", "curves", "subscriptions", "mirrors"):
        mine, kept = getattr(board, name), getattr(again, name)
        assert (mine() if callable(mine) else mine) == (kept() if callable(kept) else kept), name
    assert again.control(control.mrid) == board.control(control.mrid)
    assert again.responses(control.mrid) == board.responses(control.mrid)
    assert again.latest(ALICE) == board.latest(ALICE)
    assert again.logs(ALICE) == board.logs(ALICE)
    assert again.filed(ALICE, "status") == board.filed(ALICE, "status")


def test_a_device_that_is_removed_takes_what_it_said_along() -> None:
    keeper, clock = MemoryKeeper(), SteppedClock(START)
    board = Board(keeper, clock)
    device = board.add_device("one", lfdi=ALICE)
    board.file(ALICE, "status", codec.encode(sep.DERStatus(readingTime=5)), 1)
    board.put_mirror(mrid="0A", lfdi=ALICE, owner=ALICE, body="<MirrorUsagePoint/>")
    board.subscribe(device.number, path="/edev", uri="https://a/b", limit=1, level="+S1")
    board.remove_device("one")

    for found in (board, Board(keeper, clock)):
        assert not found.devices()
        assert not found.mirrors()
        assert not found.subscriptions()
        assert found.filed(ALICE, "status") is None


def test_the_oldest_responses_are_let_go(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ems.derms.reports.RESPONSES_HELD", 3)
    held = Board(clock=board.clock)
    for status in (1, 2, 3, 6):
        held.respond(subject="0A", lfdi=ALICE if status < 3 else BOB, status=status, time=None)

    assert [said.status for said in held.responses("0a")] == [2, 3, 6]
    assert [said.status for said in held.responses_of([ALICE])] == [2]
    assert [said.status for said in held.responses_of(None)] == [2, 3, 6]
    assert len(list(held.keeper.entries("response"))) == 4


def test_a_late_reading_is_kept_and_does_not_become_the_latest(board: Board) -> None:
    point = board.put_mirror(mrid="0A", lfdi=ALICE, owner=ALICE, body="<MirrorUsagePoint/>")
    board.read(point, _latest(7.0, time=9), "<a/>")
    board.read(point, _latest(5.0, time=8), "<b/>")

    assert board.latest(ALICE)["0B"].value == 7.0
    assert [entry.body for entry in board.keeper.entries("reading")] == ["<a/>", "<b/>"]


def _latest(value: float, *, time: int) -> Latest:
    return Latest(
        mrid="0B",
        description="",
        value=value,
        uom=38,
        kind=37,
        flow=1,
        phase=0,
        qualifier=0,
        quality=1,
        time=time,
        received=9,
    )


# ---- nothing is accepted that cannot be served


def test_a_curve_that_cannot_be_served_is_refused_with_the_element(board: Board) -> None:
    with pytest.raises(BadInput, match=r"curve 'vv': vRef: 10300: .*less than or equal to 10000"):
        board.add_curve("vv", type=11, points=CURVE, options={"vRef": 10_300})
    assert board.curves() == ()
    curve = board.add_curve("vv", type=11, points=CURVE, options={"vRef": 10_000})
    with pytest.raises(BadInput, match="curve 'vv': noSuch: "):
        board.change_curve("vv", options={"noSuch": 1})
    assert board.curve("vv") == curve


def test_texts_that_xml_has_no_characters_for_are_refused(board: Board) -> None:
    base = sep.DERControlBase(opModMaxLimW=1)
    for change in (
        lambda: board.add_program("other", primacy=1, description="\x01"),
        lambda: board.change_program("feeder", description="\x01"),
        lambda: board.add_group("west", programs=["feeder"], description="\x01"),
        lambda: board.set_default("feeder", base, description="\x01"),
        lambda: board.publish(
            "feeder", base=base, start=board.now(), duration=60, description="\x01"
        ),
    ):
        with pytest.raises(BadInput, match=r"description: '.x01': "):
            change()
    assert [p.name for p in board.programs()] == ["feeder"]
    assert board.program("feeder").default is None


def test_settings_of_a_default_and_categories_of_a_device_fit_their_elements(board: Board) -> None:
    base = sep.DERControlBase(opModMaxLimW=1)
    with pytest.raises(BadInput, match="program 'feeder': default: setGradW: 65536: "):
        board.set_default("feeder", base, setGradW=65_536)
    with pytest.raises(BadInput, match="device 'one': deviceCategory: "):
        board.add_device("one", lfdi=ALICE, category=1 << 40)
    with pytest.raises(BadInput, match="poll_s"):
        board.set_rates(poll_s=1 << 32)


def test_after_the_highest_version_the_first_one_comes_again(board: Board) -> None:
    curve = board.add_curve("vv", type=11, points=CURVE)
    board._curves._curves["vv"] = replace(curve, version=0xFFFF)
    assert board.change_curve("vv", description="new").version == 0


# ---- who is told


def test_a_log_event_is_told_to_those_who_listen_for_them(board: Board) -> None:
    device = board.add_device("one", lfdi=ALICE)
    told: list[str] = []
    board.listeners.append(told.append)
    board.log(ALICE, "<LogEvent/>")
    assert told == [f"/edev/{device.number}/lel"]


def test_log_events_keep_their_numbers_over_a_restart() -> None:
    keeper, clock = MemoryKeeper(), SteppedClock(START)
    board = Board(keeper, clock)
    numbers = [board.log(ALICE, f"<LogEvent>{n}</LogEvent>") for n in range(100)]
    keeper.prune(["log"], before=board.now() + 1, most=50)
    again = Board(keeper, clock)
    assert [number for number, _ in again.logs(ALICE)] == numbers[50:]
    assert again.log(ALICE, "<LogEvent/>") == 101


def test_lists_of_programs_are_found_by_device_until_nobody_subscribes(board: Board) -> None:
    for device, path in ((1, "/edev/1/derp"), (2, "/edev/1/derp"), (1, "/edev/1/fsa/2/derp")):
        board.subscribe(device, path=path, uri="https://a", limit=1, level="+S1")
    board.subscribe(1, path="/derp/1", uri="https://a", limit=1, level="+S1")
    assert dict(board.subscribed_lists()) == {1: {"/edev/1/derp", "/edev/1/fsa/2/derp"}}
    for subscribed in board.subscriptions():
        board.unsubscribe(subscribed.device, subscribed.number)
    assert dict(board.subscribed_lists()) == {}
    assert board.subscribed_paths() == ()


def test_the_number_of_what_is_gone_is_never_given_again_not_even_after_a_restart() -> None:
    keeper = MemoryKeeper()

    def make(board: Board, name: str) -> tuple[int, ...]:
        device = board.add_device(name, lfdi=ALICE)
        uri = f"https://{name}/"
        return (
            device.number,
            board.add_program(f"p-{name}", primacy=5).number,
            board.add_group(f"g-{name}", programs=[f"p-{name}"]).number,
            board.add_curve(f"c-{name}", type=11, points=CURVE).number,
            board.put_mirror(mrid="A1", lfdi=ALICE, owner=ALICE, body="").number,
            board.subscribe(device.number, path="/edev", uri=uri, limit=1, level="+S1").number,
        )

    def drop(board: Board, name: str) -> None:
        board.remove_device(name)
        board.remove_group(f"g-{name}")
        board.remove_program(f"p-{name}")
        board.remove_curve(f"c-{name}")

    first = Board(keeper, SteppedClock(START))
    before = make(first, "one")
    drop(first, "one")
    again = Board(keeper, SteppedClock(START))
    after = make(again, "two")
    assert [new - old for new, old in zip(after, before, strict=True)] == [1] * 6


def test_a_subscription_has_a_number_that_no_other_device_s_has(board: Board) -> None:
    board.add_device("one", lfdi=ALICE)
    board.add_device("two", lfdi=BOB)
    wanted: dict[str, Any] = {"path": "/edev", "uri": "https://a/", "limit": 1, "level": "+S1"}
    numbers = [board.subscribe(device, **wanted).number for device in (1, 2)]
    board.unsubscribe(1, numbers[0])
    numbers.append(board.subscribe(1, **wanted).number)
    assert sorted(numbers) == sorted(set(numbers))


@pytest.mark.parametrize(
    ("kind", "points", "fault"),
    [
        (11, ((10500, 1), (9500, 0)), "points[1]: x 9500 is less than that of the point before"),
        (11, ((9500, 1, True), (10500, 0, True)), "points: an excitation belongs to watt_pf"),
        (13, ((0, 1, True), (100, 0)), "points: give each point its excitation, or none of them"),
    ],
)
def test_a_curve_is_checked_whoever_makes_it(
    board: Board, kind: int, points: tuple[Point, ...], fault: str
) -> None:
    with pytest.raises(BadInput, match=re.escape(f"curve 'bent': {fault}")):
        board.add_curve("bent", type=kind, points=points)
    straight = board.add_curve("bent", type=kind, points=[(0, 0), (0, 1), (1, 1)])
    with pytest.raises(BadInput, match=re.escape(f"curve 'bent': {fault}")):
        board.change_curve("bent", points=points)
    assert board.curves() == (straight,)
