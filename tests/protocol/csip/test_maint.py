"""MAINT-001 … MAINT-006: devices, groups, controls and programs change while the server runs.

Source, where a test names CTP 1.3: the SunSpec CSIP Conformance Test Procedures, version 1.3 with
its errata, in the public catalogue `testdata/catalog/catalog.json` of
github.com/dsizzle83/csip-tls-test. The topology is that of its figure of aggregator tests:
`utility.FLEET`, and for the first two procedures a fifth inverter, EDA1X.
"""

import pytest

from ems.derms.board import Control
from ems.protocols.ieee2030_5 import sep
from tests.protocol.csip.utility import FLEET, Client, Got, Listener, Start, Utility

FIFTH = "eda1x"


def fleet_of_five(utility: Utility) -> Client:
    utility.fleet()
    lfdi = utility.issued("aggregator").lfdi
    utility.register(FIFTH, aggregator=lfdi, groups=FLEET["eda1"])
    return utility.client("aggregator")


def default(percent: int) -> sep.DERControlBase:
    return sep.DERControlBase(opModMaxLimW=percent * 100)


def by_resource(listener: Listener, count: int) -> dict[str, Got]:
    """So many notifications, by what they are about."""
    told = [listener.next() for _ in range(count)]
    return {t.text("subscribedResource"): t for t in told}


def assert_gone(utility: Utility, client: Client, listener: Listener, href: str) -> None:
    """The list and the device are told of, the list has it no more, and its place is empty."""
    told = by_resource(listener, 2)
    assert set(told) == {"/edev", href}
    assert told[href].text("status") == "4"
    assert told["/edev"].text("status") == "0"
    [carried] = told["/edev"].all("Resource")
    assert (carried.get("all"), carried.get("results")) == ("5", "2")
    listed = client.every("/edev", "EndDevice")
    expected = {utility.issued(name).lfdi for name in (*FLEET, "aggregator")}
    assert set(listed.texts("EndDevice/lFDI")) == expected
    assert client.ask("GET", href).status == 404


def subscribed_to_devices(utility: Utility, client: Client) -> tuple[Listener, str]:
    """To the list, two at a time, and to the fifth inverter."""
    listener = utility.listener("aggregator")
    fifth = client.device_of(utility.issued(FIFTH).lfdi).href
    assert client.subscribe("/edev", listener.uri, limit=2).status == 201
    assert client.subscribe(fifth, listener.uri).status == 201
    return listener, fifth


def test_maint_001_a_device_is_removed_out_of_band(utility: Utility) -> None:
    """CTP 1.3, MAINT-001 inverter maintenance out of band: notified by list and by device, 404."""
    client = fleet_of_five(utility)
    listener, fifth = subscribed_to_devices(utility, client)
    utility.do(lambda: utility.board.remove_device(FIFTH))
    assert_gone(utility, client, listener, fifth)


def test_maint_002_a_device_is_removed_in_band(start: Start) -> None:
    """CTP 1.3, MAINT-002 inverter maintenance in band (optional by erratum 32): DELETE by it."""
    utility = start(registration="open")
    client = fleet_of_five(utility)
    listener, fifth = subscribed_to_devices(utility, client)
    assert client.ask("DELETE", fifth).status == 204
    assert_gone(utility, client, listener, fifth)


def test_maint_002_where_devices_are_registered_out_of_band_they_leave_so(
    utility: Utility,
) -> None:
    """No text of the procedure covers it: a closed registration refuses the DELETE."""
    client = fleet_of_five(utility)
    fifth = client.device_of(utility.issued(FIFTH).lfdi).href
    assert client.ask("DELETE", fifth).status == 403
    assert client.get(fifth).has("sFDI")


def test_maint_003_a_device_moves_to_another_group(utility: Utility) -> None:
    """CTP 1.3, MAINT-003 group maintenance: EDB1 goes from SPB1 to SPA1; its FSA list says so."""
    utility.fleet()
    for node, percent in (("TFA", 60), ("TFB", 70)):
        utility.do(lambda n=node, p=percent: utility.board.set_default(n, default(p)))  # type: ignore[misc]
    client, listener = utility.client("aggregator"), utility.listener("aggregator")
    own = client.own()
    assigned: dict[str, str] = {}
    for name in FLEET:
        device = client.device_of(utility.issued(name).lfdi)
        assigned[name] = device.link("FunctionSetAssignmentsListLink")
        made = client.subscribe(assigned[name], listener.uri, limit=10, device=own)
        assert made.status == 201
    assert followed(utility, client, "edb1") == "7000"

    utility.do(lambda: utility.board.change_device("edb1", groups=FLEET["eda1"]))
    told = listener.next()
    assert told.text("subscribedResource") == assigned["edb1"]
    assert followed(utility, client, "edb1") == "6000"
    moved = client.programs(client.device_of(utility.issued("edb1").lfdi))
    assert [p.text("description") for p in moved] == list(reversed(FLEET["eda1"]))
    assert followed(utility, client, "edb2") == "7000"


def test_maint_003_a_group_gets_another_program(utility: Utility) -> None:
    """CTP 1.3, MAINT-003, the other way round: the group changes, and its members are told."""
    utility.group(A=1, B=2)
    utility.do(lambda: utility.board.add_group("feeder", programs=["A"]))
    utility.register("client", groups=("feeder",))
    client, listener = utility.client("client"), utility.listener("client")
    assigned = client.own().link("FunctionSetAssignmentsListLink")
    assert client.subscribe(assigned, listener.uri, limit=1).status == 201
    utility.do(lambda: utility.board.change_group("feeder", programs=["A", "B"]))
    told = listener.next()
    [link] = told.all("Resource/FunctionSetAssignments/DERProgramListLink")
    assert link.get("all") == "2"
    assert [int(p.text("primacy")) for p in client.programs()] == [1, 2]


def followed(utility: Utility, client: Client, name: str) -> str:
    """opModMaxLimW of the default that a device follows: of its first program that has one."""
    programs = client.programs(client.device_of(utility.issued(name).lfdi))
    first = next(p for p in programs if p.has("DefaultDERControlLink"))
    return client.get(first.link("DefaultDERControlLink")).text("DERControlBase/opModMaxLimW")


def test_maint_004_a_control_is_added_and_another_cancelled(utility: Utility) -> None:
    """CTP 1.3, MAINT-004 maintenance of controls: a new one in fifteen minutes for five.

    Beyond the procedure: a cancelled one stays in the list, with its status.
    """
    utility.fleet()
    client, listener = utility.client("aggregator"), utility.listener("aggregator")
    number = utility.board.program("TFA").number
    assert client.subscribe(f"/derp/{number}/derc", listener.uri, limit=255).status == 201

    def published(in_s: int) -> Control:
        begins = utility.now + in_s
        return utility.do(
            lambda: utility.board.publish(
                "TFA", base=default(50), start=begins, duration=300, response_required=3
            )
        )

    first = published(900)
    told = listener.next()
    assert told.texts("Resource/DERControl/mRID") == [first.mrid]
    [control] = told.all("Resource/DERControl")
    got = client.get(control.get("href"))
    assert int(got.text("interval/start")) == utility.now + 900
    assert not got.has("randomizeStart")
    for name in ("eda1", "eda2"):
        assert client.respond(got.xml, 1, utility.now, utility.issued(name).lfdi).status == 201

    second = published(1800)
    assert listener.next().texts("Resource/DERControl/mRID") == [first.mrid, second.mrid]
    utility.do(lambda: utility.board.cancel("TFA", first.mrid))
    told = listener.next()
    assert told.texts("Resource/DERControl/EventStatus/currentStatus") == ["2", "0"]


def test_maint_005_programs_swap_their_primacy(utility: Utility) -> None:
    """CTP 1.3, MAINT-005 maintenance of programs, erratum 34: TFA and SGA swap 1 and 2."""
    utility.fleet()
    for node, primacy, percent in (("TFA", 1, 60), ("SGA", 2, 80)):
        utility.do(lambda n=node, p=primacy: utility.board.change_program(n, primacy=p))  # type: ignore[misc]
        utility.do(lambda n=node, p=percent: utility.board.set_default(n, default(p)))  # type: ignore[misc]
    client, listener = utility.client("aggregator"), utility.listener("aggregator")
    own, lists = client.own(), set()
    for name in ("eda1", "eda2"):
        device = client.device_of(utility.issued(name).lfdi)
        assigned = client.every(
            device.link("FunctionSetAssignmentsListLink"), "FunctionSetAssignments"
        )
        [path] = assigned.links("FunctionSetAssignments/DERProgramListLink")
        lists.add(path)
        assert client.subscribe(path, listener.uri, limit=3, device=own).status == 201
    assert followed(utility, client, "eda1") == "6000"

    def swap() -> None:
        utility.board.change_program("TFA", primacy=2)
        utility.board.change_program("SGA", primacy=1)

    utility.do(swap)
    told = by_resource(listener, 2)
    assert set(told) == lists
    for notification in told.values():
        [carried] = notification.all("Resource")
        assert (carried.get("all"), carried.get("results")) == ("7", "3")
        described = notification.texts("Resource/DERProgram/description")
        assert described[:2] == ["SGA", "TFA"]
    assert followed(utility, client, "eda1") == "8000"
    assert followed(utility, client, "eda2") == "8000"


@pytest.mark.parametrize("what", ["default", "curve"])
def test_maint_006_defaults_and_curves_change(utility: Utility, what: str) -> None:
    """MAINT-006 is in no public text that was found (version 1.3 has five).

    Instead: a DefaultDERControl or a curve that changes is served as it is now, with a higher
    version, and who subscribed to the default control is told.
    """
    utility.fleet()
    client, listener = utility.client("aggregator"), utility.listener("aggregator")
    points = [(92, 44), (108, -44)]
    curve = utility.do(lambda: utility.board.add_curve("vv", type=11, points=points))
    base = sep.DERControlBase(opModVoltVar=sep.Link(href=curve.href))
    utility.do(lambda: utility.board.set_default("TFA", base))
    href = f"/derp/{utility.board.program('TFA').number}/dderc"
    assert client.subscribe(href, listener.uri).status == 201
    if what == "default":
        utility.do(lambda: utility.board.set_default("TFA", default(30)))
        told = listener.next()
        assert told.text("Resource/DERControlBase/opModMaxLimW") == "3000"
        assert client.get(href).text("version") == "1"
    else:
        utility.do(lambda: utility.board.change_curve("vv", points=[(90, 44), (110, -44)]))
        changed = client.get(client.get(href).link("DERControlBase/opModVoltVar"))
        assert changed.texts("CurveData/xvalue") == ["90", "110"]
        assert changed.text("version") == "1"
