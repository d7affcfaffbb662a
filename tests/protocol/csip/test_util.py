"""UTIL-001 … UTIL-004: a utility's server and an aggregator of four inverters.

Source, where a test names CTP 1.3: the SunSpec CSIP Conformance Test Procedures, version 1.3 with
its errata, in the public catalogue `testdata/catalog/catalog.json` of
github.com/dsizzle83/csip-tls-test. The topology is that of its figure of aggregator tests:
`utility.FLEET`.
"""

import pytest

from ems.protocols.ieee2030_5 import sep, values
from tests.protocol.csip.utility import (
    AVAILABILITY,
    CAPABILITY,
    FLEET,
    SETTINGS,
    STATUS,
    Client,
    Got,
    Listener,
    Utility,
)

RECEIVED, STARTED, COMPLETED = 1, 2, 3


@pytest.fixture
def aggregator(utility: Utility) -> Client:
    utility.fleet()
    return utility.client("aggregator")


def devices(utility: Utility, aggregator: Client) -> dict[str, Got]:
    """The EndDevices of the fleet, as the aggregator finds them."""
    return {name: aggregator.device_of(utility.issued(name).lfdi) for name in FLEET}


def program_lists(aggregator: Client, device: Got) -> list[str]:
    assigned = device.link("FunctionSetAssignmentsListLink")
    listed = aggregator.every(assigned, "FunctionSetAssignments")
    return listed.links("FunctionSetAssignments/DERProgramListLink")


def test_util_001_every_device_gets_the_programs_of_all_nodes_above_it(
    utility: Utility, aggregator: Client
) -> None:
    """CTP 1.3, UTIL-001 startup: five EndDevices, and for each inverter seven programs by level."""
    listed = aggregator.every(aggregator.get("/dcap").link("EndDeviceListLink"), "EndDevice")
    expected = {utility.issued(name).lfdi for name in (*FLEET, "aggregator")}
    assert set(listed.texts("EndDevice/lFDI")) == expected
    own = aggregator.own()
    for link in ("SubscriptionListLink", "LogEventListLink"):
        assert own.has(link)
    for name, device in devices(utility, aggregator).items():
        for link in ("FunctionSetAssignmentsListLink", "DERListLink", "LogEventListLink"):
            assert device.has(link)
        programs = aggregator.programs(device)
        assert [int(p.text("primacy")) for p in programs] == [4, 5, 6, 7, 8, 9, 10]
        assert [p.text("description") for p in programs] == list(reversed(FLEET[name]))


def test_util_002_the_aggregator_is_commissioned(utility: Utility, aggregator: Client) -> None:
    """CTP 1.3, UTIL-002 commissioning, erratum 3: its own PIN, then what its inverters are."""
    own = aggregator.own()
    assert own.text("sFDI") == str(utility.issued("aggregator").sfdi)
    assert aggregator.get(own.link("RegistrationLink")).text("pIN") == "111115"
    for device in devices(utility, aggregator).values():
        [der] = aggregator.get(device.link("DERListLink")).links("DER")
        links = aggregator.get(der)
        for link, body in (
            ("DERCapabilityLink", CAPABILITY),
            ("DERSettingsLink", SETTINGS),
            ("DERStatusLink", STATUS),
            ("DERAvailabilityLink", AVAILABILITY),
        ):
            href = links.link(link)
            aggregator.put(href, body)
            assert aggregator.put(href, body).status == 204
            assert aggregator.get(href).href == href
    # A device may read what its aggregator put for it, and nobody else may.
    alone = utility.client("eda1")
    [der] = alone.get(alone.own().link("DERListLink")).links("DER")
    settings = alone.get(der).link("DERSettingsLink")
    assert alone.get(settings).text("setMaxW/value") == "4500"
    assert utility.client("eda2").ask("GET", settings).status == 403


def test_util_003_the_aggregator_subscribes_to_programs_and_controls(
    utility: Utility, aggregator: Client
) -> None:
    """CTP 1.3, UTIL-003 group assignments, erratum 12: each program list, each control list."""
    listener, own = utility.listener("aggregator"), aggregator.own()
    lists: set[str] = set()
    controls: set[str] = set()
    for device in devices(utility, aggregator).values():
        lists |= set(program_lists(aggregator, device))
        controls |= {p.link("DERControlListLink") for p in aggregator.programs(device)}
    assert (len(lists), len(controls)) == (4, 13)
    for path in sorted(lists | controls):
        made = aggregator.subscribe(path, listener.uri, limit=100, device=own)
        assert made.status == 201
        assert aggregator.get(made.location).text("subscribedResource") == path
    held = aggregator.every(own.link("SubscriptionListLink"), "Subscription")
    assert set(held.texts("Subscription/subscribedResource")) == lists | controls


@pytest.mark.parametrize(
    ("node", "members"),
    [
        ("SPA1", ["eda1"]),
        ("SPB2", ["edb2"]),
        ("FDA", ["eda1", "eda2"]),
        ("FDB", ["edb1", "edb2"]),
        ("SY", ["eda1", "eda2", "edb1", "edb2"]),
    ],
)
def test_util_004_a_control_reaches_the_devices_below_its_node(
    utility: Utility, aggregator: Client, node: str, members: list[str]
) -> None:
    """CTP 1.3, UTIL-004 DER retrieval: notified, read, and answered for each device below."""
    listener = subscribed(utility, aggregator, node)
    factor = values.power_factor_with_excitation(0.95, absorbs_vars=False)
    base = sep.DERControlBase(opModFixedPFInjectW=factor)
    begins = utility.now + 120
    published = utility.do(
        lambda: utility.board.publish(node, base=base, start=begins, duration=120)
    )
    told = listener.next()
    [control] = told.all("Resource/DERControl")
    got = aggregator.get(control.get("href"))
    assert got.text("mRID") == published.mrid
    assert got.text("DERControlBase/opModFixedPFInjectW/displacement") == "9500"
    for status, at in ((RECEIVED, utility.now), (STARTED, begins), (COMPLETED, begins + 120)):
        utility.pass_s(at - utility.now)
        for name in members:
            lfdi = utility.issued(name).lfdi
            assert aggregator.respond(got.xml, status, at, lfdi).status == 201
    for name in set(FLEET) - set(members):
        lfdi = utility.issued(name).lfdi
        assert aggregator.respond(got.xml, RECEIVED, begins, lfdi).status == 403
    answered = utility.do(lambda: utility.board.responses(published.mrid))
    by_device = {utility.issued(name).lfdi: [1, 2, 3] for name in members}
    assert {
        lfdi: [r.status for r in answered if r.lfdi == lfdi] for lfdi in {r.lfdi for r in answered}
    } == by_device


def subscribed(utility: Utility, aggregator: Client, node: str) -> Listener:
    """To the control list of a node."""
    listener = utility.listener("aggregator")
    number = utility.board.program(node).number
    made = aggregator.subscribe(f"/derp/{number}/derc", listener.uri, limit=10)
    assert made.status == 201
    return listener
