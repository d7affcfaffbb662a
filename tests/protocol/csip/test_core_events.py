"""CORE-012 … CORE-023: programs, subscriptions, events.

Source, where a test names CTP 1.3: the SunSpec CSIP Conformance Test Procedures, version 1.3 with
its errata, in the public catalogue `testdata/catalog/catalog.json` of
github.com/dsizzle83/csip-tls-test.
"""

from typing import Any

from lxml import etree

from ems.derms.board import Control
from ems.protocols.ieee2030_5 import sep, values
from tests.protocol.csip.utility import NAMESPACE, Client, Got, Utility, canonical

SCHEDULED, ACTIVE, CANCELLED, SUPERSEDED = "0", "1", "2", "4"
RECEIVED, STARTED, COMPLETED, WAS_CANCELLED, WAS_SUPERSEDED = 1, 2, 3, 6, 7
MINUTE_S = 60


def limit(percent: float) -> sep.DERControlBase:
    return sep.DERControlBase(opModMaxLimW=values.percent(percent / 100))


def publish(utility: Utility, program: str, base: sep.DERControlBase, **at: Any) -> Control:
    """A control, `in_s` from now."""
    start = utility.now + at.pop("in_s")
    return utility.do(lambda: utility.board.publish(program, base=base, start=start, **at))


def curve(utility: Utility, points: int) -> str:
    """A volt-var curve of so many points; its path."""
    spaced = [(88 + 24 * n // (points - 1), 44 - 88 * n // (points - 1)) for n in range(points)]
    made = utility.do(
        lambda: utility.board.add_curve("volt-var", type=11, points=spaced, y_ref_type=2)
    )
    return made.href


# ---- programs and controls


def test_core_012_a_program_with_a_control_a_curve_and_a_default(
    utility: Utility, client: Client
) -> None:
    """CTP 1.3, CORE-012 basic DER program: one immediate, one curve mode, in three minutes."""
    href = curve(utility, 10)
    utility.do(lambda: utility.board.set_default("SY", limit(80)))
    base = sep.DERControlBase(opModMaxLimW=5000, opModVoltVar=sep.Link(href=href))
    publish(utility, "SY", base, in_s=3 * MINUTE_S, duration=2 * MINUTE_S)
    program = client.programs()[-1]
    assert (
        client.get(program.link("DefaultDERControlLink")).text("DERControlBase/opModMaxLimW")
        == "8000"
    )
    assert len(client.every(program.link("DERCurveListLink"), "DERCurve").items("DERCurve")) == 1
    control = client.get(client.get(program.link("DERControlListLink")).links("DERControl")[0])
    points = client.get(control.link("DERControlBase/opModVoltVar"))
    assert len(points.all("CurveData")) == 10
    assert points.text("curveType") == "11"
    seen = []
    for _ in range(6):
        seen.append(client.get(control.href).text("EventStatus/currentStatus"))
        utility.pass_s(MINUTE_S)
    assert seen == [SCHEDULED, SCHEDULED, SCHEDULED, ACTIVE, ACTIVE, ACTIVE]
    assert client.get(program.link("DERControlListLink")).xml.get("all") == "0"


def test_core_013_ten_programs_with_a_control_each(utility: Utility) -> None:
    """CTP 1.3, CORE-013 advanced DER program: program N has primacy N, and starts in N minutes."""
    names = {f"program {n}": n for n in range(1, 11)}
    utility.group(**names)
    utility.register("client", groups=tuple(names))
    utility.do(lambda: utility.board.set_default("program 10", limit(100)))
    for name, n in names.items():
        factor = values.power_factor_with_excitation(0.9 + n / 200, absorbs_vars=False)
        base = sep.DERControlBase(opModFixedPFInjectW=factor)
        publish(utility, name, base, in_s=n * MINUTE_S, duration=30)
    client = utility.client("client")
    programs = client.programs()
    assert [int(p.text("primacy")) for p in programs] == list(range(1, 11))
    for minute in range(1, 11):
        utility.pass_s(MINUTE_S)
        active = [client.get(p.link("ActiveDERControlListLink")).xml.get("all") for p in programs]
        assert active == ["1" if n == minute else "0" for n in range(1, 11)]


# ---- subscription and notification


def resource_of(told: Got) -> etree._Element:
    """The resource that a notification carries, as if it had been asked for."""
    [found] = told.all("Resource")
    return found  # type: ignore[no-any-return]


def test_core_018_a_subscriber_is_told_of_its_assignments(utility: Utility) -> None:
    """CTP 1.3, CORE-018 basic subscription: FSA list, 201 with Location, the resource as it is."""
    utility.group(SY=10)
    utility.register("aggregator")
    client = utility.client("aggregator")
    listener = utility.listener("aggregator")
    device = client.own()
    assert device.all("SubscriptionListLink")[0].get("all") == "0"
    assigned = device.link("FunctionSetAssignmentsListLink")
    assert client.get(assigned).xml.get("subscribable") == "1"
    made = client.subscribe(assigned, listener.uri, limit=10)
    assert made.status == 201
    assert client.get(made.location).text("subscribedResource") == assigned
    assert client.own().all("SubscriptionListLink")[0].get("all") == "1"

    utility.do(lambda: utility.board.change_device("aggregator", groups=("SY",)))
    told = listener.next()
    assert told.text("subscribedResource") == assigned
    assert told.text("subscriptionURI") == made.location
    assert told.text("status") == "0"
    found = resource_of(told)
    xsi = "{http://www.w3.org/2001/XMLSchema-instance}type"
    assert found.get(xsi) == "FunctionSetAssignmentsList"
    now = client.get(f"{assigned}?l=10").xml
    assert canonical(found)[1:] == canonical(now)[1:]
    assert found.get("all") == now.get("all") == "1"


def test_core_019_two_subscriptions_and_the_end_of_one(utility: Utility) -> None:
    """CTP 1.3, CORE-019 advanced subscription, errata 42 and 44: device and FSA list subscribed.

    A change of the assignments is told to who subscribed to them. The server ends the subscription
    to the list (status 1); the one to the device ends with the device (status 4).
    """
    utility.fleet()
    client, listener = utility.client("aggregator"), utility.listener("aggregator")
    device = client.device_of(utility.issued("eda1").lfdi)
    assigned = device.link("FunctionSetAssignmentsListLink")
    assert device.xml.get("subscribable") == "1"
    own = client.own()
    of_device = client.subscribe(device.href, listener.uri, device=own)
    of_list = client.subscribe(assigned, listener.uri, device=own, limit=10)
    assert (of_device.status, of_list.status) == (201, 201)
    assert of_device.location != of_list.location

    utility.do(lambda: utility.board.change_device("eda1", groups=("SY", "ST")))
    told = [listener.next(), listener.next()]
    assert {t.text("subscriptionURI") for t in told} == {of_device.location, of_list.location}

    number = int(of_list.location.rpartition("/")[2])
    owner = int(own.href.rpartition("/")[2])
    utility.do(lambda: utility.server.notifier.end(owner, number))
    ended = listener.next()
    assert (ended.text("status"), ended.text("subscriptionURI")) == ("1", of_list.location)

    utility.do(lambda: utility.board.remove_device("eda1"))
    ended = listener.next()
    assert (ended.text("status"), ended.text("subscriptionURI")) == ("4", of_device.location)
    assert not ended.has("Resource")


# ---- events


def test_core_021_randomised_events_are_active_from_their_earliest_start(
    utility: Utility,
) -> None:
    """CTP 1.3, CORE-021 randomised events: none, +30 s, −30 s for start and duration."""
    utility.group(**{"1": 10, "2": 5, "3": 1})
    utility.register("client", groups=("1", "2", "3"))
    client = utility.client("client")
    href = curve(utility, 4)
    by_curve = sep.DERControlBase(opModVoltVar=sep.Link(href=href))
    publish(utility, "1", limit(50), in_s=3 * MINUTE_S, duration=2 * MINUTE_S)
    publish(
        utility,
        "2",
        by_curve,
        in_s=6 * MINUTE_S,
        duration=MINUTE_S,
        random_start=30,
        random_duration=30,
    )
    publish(
        utility,
        "3",
        by_curve,
        in_s=9 * MINUTE_S,
        duration=3 * MINUTE_S,
        random_start=-30,
        random_duration=-30,
    )
    begun: dict[str, int] = {}
    at = utility.now
    controls = {}
    for program in client.programs():
        [control] = client.get(program.link("DERControlListLink")).links("DERControl")
        controls[program.text("description")] = control
    assert not client.get(controls["1"]).has("randomizeStart")
    assert client.get(controls["2"]).text("randomizeStart") == "30"
    assert client.get(controls["3"]).text("randomizeDuration") == "-30"
    assert len(client.get(href).all("CurveData")) == 4
    while utility.now < at + 10 * MINUTE_S:
        for name, control in controls.items():
            if client.get(control).text("EventStatus/currentStatus") == ACTIVE:
                begun.setdefault(name, utility.now - at)
        utility.pass_s(10)
    # CurrentStatus follows the earliest effective start: 3 min, 6 min, 9 min less half a minute.
    assert begun == {"1": 180, "2": 360, "3": 510}


def test_core_022_responses_to_an_event_that_is_cancelled_and_to_one_that_completes(
    utility: Utility, client: Client
) -> None:
    """CTP 1.3, CORE-022 responses: responseRequired 7; 1, 2, 6 and 1, 2, 3 are taken (201)."""
    one = publish(utility, "SY", limit(50), in_s=3 * MINUTE_S, duration=120, response_required=7)
    two = publish(utility, "ST", limit(60), in_s=6 * MINUTE_S, duration=60, response_required=7)

    def held(of: Control) -> Got:
        program = utility.board.program(of.program).number
        return client.get(f"/derp/{program}/derc/{of.number}")

    assert (held(one).xml.get("replyTo"), held(one).xml.get("responseRequired")) == (
        "/rsps/1/r",
        "07",
    )
    for control in (one, two):
        assert client.respond(held(control).xml, RECEIVED, utility.now).status == 201
    utility.pass_s(3 * MINUTE_S)
    assert held(one).text("EventStatus/currentStatus") == ACTIVE
    assert client.respond(held(one).xml, STARTED, utility.now).status == 201
    utility.pass_s(30)
    utility.do(lambda: utility.board.cancel("SY", one.mrid))
    assert held(one).text("EventStatus/currentStatus") == CANCELLED
    assert int(held(one).text("EventStatus/dateTime")) == utility.now
    listed = client.every(client.programs()[-1].link("DERControlListLink"), "DERControl")
    assert listed.texts("DERControl/mRID") == [one.mrid]
    assert client.respond(held(one).xml, WAS_CANCELLED, utility.now).status == 201
    utility.pass_s(150)
    assert client.respond(held(two).xml, STARTED, utility.now).status == 201
    utility.pass_s(60)
    sent = client.respond(held(two).xml, COMPLETED, utility.now)
    assert sent.status == 201
    kept = client.get(sent.location)
    assert (kept.text("status"), kept.text("subject")) == ("3", two.mrid)
    assert kept.text("endDeviceLFDI") == client.lfdi

    def statuses(of: Control) -> list[int]:
        return utility.do(lambda: [r.status for r in utility.board.responses(of.mrid)])

    assert statuses(one) == [RECEIVED, STARTED, WAS_CANCELLED]
    assert statuses(two) == [RECEIVED, STARTED, COMPLETED]


def test_core_023_events_of_several_programs_are_the_clients_to_order(utility: Utility) -> None:
    """CTP 1.3, CORE-023 superseding events (optional): the same start in three programs.

    Which goes first, the client decides by primacy, and says 7 or 14 of the others: the server
    marks none of them superseded.
    """
    utility.group(**{"1": 10, "2": 9, "3": 8})
    utility.register("client", groups=("1", "2", "3"))
    client = utility.client("client")
    href = curve(utility, 10)
    both = sep.DERControlBase(opModMaxLimW=5000, opModVoltVar=sep.Link(href=href))
    for name, base in (("1", both), ("2", limit(60)), ("3", both)):
        publish(utility, name, base, in_s=120, duration=60, response_required=7)
        utility.pass_s(1)
    utility.pass_s(120)
    controls = [
        client.get(client.get(p.link("ActiveDERControlListLink")).links("DERControl")[0])
        for p in client.programs()
    ]
    assert [c.text("EventStatus/currentStatus") for c in controls] == [ACTIVE] * 3
    for control in controls[1:]:
        assert client.respond(control.xml, RECEIVED, utility.now).status == 201
        assert client.respond(control.xml, 14, utility.now).status == 201


def test_core_023_within_a_program_the_newer_event_supersedes(
    utility: Utility, client: Client
) -> None:
    """No text of the procedure covers it; IEEE 2030.5-2018, EventStatus.currentStatus 4."""
    old = publish(utility, "SY", limit(50), in_s=120, duration=600)
    utility.pass_s(10)
    publish(utility, "SY", limit(40), in_s=200, duration=120)
    program = client.programs()[-1]

    def shown() -> dict[str, str]:
        listed = client.every(program.link("DERControlListLink"), "DERControl")
        statuses = listed.texts("DERControl/EventStatus/currentStatus")
        return dict(zip(listed.texts("DERControl/mRID"), statuses, strict=True))

    utility.pass_s(110)
    assert shown()[old.mrid] == ACTIVE
    utility.pass_s(90)
    assert shown()[old.mrid] == SUPERSEDED
    assert sorted(shown().values()) == [ACTIVE, SUPERSEDED]
    active = client.every(program.link("ActiveDERControlListLink"), "DERControl")
    assert active.texts("DERControl/DERControlBase/opModMaxLimW") == ["4000"]
    held = [
        c
        for c in client.every(program.link("DERControlListLink"), "DERControl").all("DERControl")
        if c.findtext(f"{{{NAMESPACE}}}mRID") == old.mrid
    ]
    assert client.respond(held[0], WAS_SUPERSEDED, utility.now).status == 201
