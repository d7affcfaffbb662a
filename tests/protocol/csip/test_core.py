"""CORE-001 … CORE-011 and CORE-014: HTTP, lists, time, devices and what they tell.

Source, where a test names CTP 1.3: the SunSpec CSIP Conformance Test Procedures, version 1.3 with
its errata, in the public catalogue `testdata/catalog/catalog.json` of
github.com/dsizzle83/csip-tls-test. Version 1.2 dropped CORE-007, 008 and 020; 015 … 017 are of
other profiles.
"""

import socket
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from lxml import etree

from tests.protocol.csip.utility import (
    ANSWER_S,
    AVAILABILITY,
    CAPABILITY,
    NAMESPACE,
    PIN,
    SETTINGS,
    STATUS,
    Client,
    Start,
    Utility,
    canonical,
    tls,
)

MINUTE_S = 60

RESOURCES: dict[str, str] = {
    "/dcap": "GET, HEAD",
    "/tm": "GET, HEAD",
    "/edev": "GET, HEAD, POST",
    "/derp": "GET, HEAD",
    "/rsps": "GET, HEAD",
    "/mup": "GET, HEAD, POST",
    "/upt": "GET, HEAD",
    "/sdev": "GET, HEAD",
    "/edev/1/der/1/derg": "GET, HEAD, PUT",
    "/edev/1/reg": "GET, HEAD",
}
"""What device capability and the own device lead to, and the methods of each."""


def said(utility: Utility, name: str, request: str) -> bytes:
    """What the server answers to bytes that no HTTP library would send."""
    context = tls(utility.pki, utility.issued(name))
    with (
        socket.create_connection(utility.server.address, ANSWER_S) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as secured,
    ):
        secured.sendall(request.replace("\n", "\r\n").encode())
        return secured.recv(65536)


# ---- HTTP


@pytest.mark.parametrize("path", RESOURCES)
def test_core_001_methods_of_every_resource(utility: Utility, client: Client, path: str) -> None:
    """CTP 1.3, CORE-001 HTTP methods: what may be done, 405 with Allow, 400, 501."""
    got = client.get(path)
    assert int(got.headers["content-length"]) == len(got.body)
    head = client.ask("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]
    for method in {"PUT", "POST", "DELETE"} - set(RESOURCES[path].split(", ")):
        refused = client.ask(method, path, SETTINGS if method != "DELETE" else "")
        assert refused.status == 405
        assert refused.headers["allow"] == RESOURCES[path]
    assert client.ask("FOO", path).status == 501
    assert said(utility, "client", f"GET {path} HTTP/1.1\nHost: a\nb c\n\n").startswith(
        b"HTTP/1.1 400"
    )
    assert client.ask("GET", path, Accept="application/sep-exi").status == 406
    assert client.get(path).status == 200


def test_core_001_a_body_of_another_type_is_refused(client: Client) -> None:
    """CTP 1.3, CORE-001: a request with a wrong header is refused; here its media type (415)."""
    wrong = client.ask("PUT", "/edev/1/der/1/derg", SETTINGS, **{"Content-Type": "text/plain"})
    assert wrong.status == 415


def test_core_002_status_codes(utility: Utility, client: Client) -> None:
    """CTP 1.3, CORE-002 HTTP response: 201 with Location, 204, 400, 404, 405 with Allow, 501."""
    assert client.put("/edev/1/der/1/derg", SETTINGS).status == 204
    assert client.get("/edev/1/der/1/derg").text("setGradW") == "27"
    logged = client.post(client.own().link("LogEventListLink"), log_event(1))
    assert logged.status == 201
    assert client.get(logged.location).text("logEventCode") == "1"
    no_host = said(utility, "client", "GET /dcap HTTP/1.1\n\n")
    assert no_host.startswith(b"HTTP/1.1 400")
    assert client.ask("GET", "/nowhere").status == 404
    refused = client.post("/tm", SETTINGS)
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
    assert client.ask("FOO", "/tm").status == 501
    assert client.put("/edev/1/der/1/derg", "<DERSettings").status == 400


def test_core_002_a_resource_that_moved_is_answered_with_its_new_place(start: Start) -> None:
    """CTP 1.3, CORE-002: 301 with Location, which the client follows.

    The procedure sends from plain HTTP to TLS; the plain port here serves dcap itself, so that the
    move is one between two paths.
    """
    utility = start(moved={"/old/dcap": "/dcap"})
    utility.register("client")
    client = utility.client("client")
    moved = client.ask("GET", "/old/dcap")
    assert moved.status == 301
    assert client.get(moved.location).xml is not None


def log_event(code: int) -> str:
    return (
        f'<LogEvent xmlns="{NAMESPACE}"><createdDateTime>1780315200</createdDateTime>'
        f"<functionSet>11</functionSet><logEventCode>{code}</logEventCode><logEventID>1</logEventID>"
        "<logEventPEN>32473</logEventPEN><profileID>2</profileID></LogEvent>"
    )


# ---- lists, rates, time


def test_core_003_every_polled_resource_says_how_often_and_may_say_otherwise_while_it_runs(
    utility: Utility, client: Client
) -> None:
    """CTP 1.3, CORE-003 polling: pollRate of dcap, devices, assignments and programs is served.

    The procedure watches the client; here the server sets the rates at run time, as it asks.
    """
    device = client.own()
    assigned = client.get(device.link("FunctionSetAssignmentsListLink"))
    programs = assigned.all("FunctionSetAssignments")[0].find(f"{{{NAMESPACE}}}DERProgramListLink")
    polled = ["/dcap", "/edev", assigned.href, str(programs.get("href"))]
    assert client.get(device.link("RegistrationLink")).text("pIN") == str(PIN)
    assert {client.get(path).xml.get("pollRate") for path in polled} == {"30"}
    utility.do(lambda: utility.board.set_rates(poll_s=17, post_s=23))
    assert {client.get(path).xml.get("pollRate") for path in polled} == {"17"}
    assert client.own().text("postRate") == "23"


@pytest.fixture
def listed(utility: Utility) -> tuple[Client, list[str]]:
    """An aggregator with five devices in its list, and their SFDIs as they are listed."""
    utility.fleet()
    client = utility.client("aggregator")
    return client, client.every("/edev", "EndDevice").texts("EndDevice/sFDI")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?s=0", [0]),
        ("", [0]),
        ("?l=0", []),
        ("?l=1000", [0, 1, 2, 3, 4]),
        ("?s=1&l=1&s=2", [1]),
        ("?l=0&l=2", []),
        ("?l=1&b=2", [0]),
        ("?s=3&l=255", [3, 4]),
        ("?s=5", []),
        ("?s=4&l=2", [4]),
    ],
)
def test_core_004_list_queries(
    listed: tuple[Client, list[str]], query: str, found: Sequence[int]
) -> None:
    """CTP 1.3, CORE-004 list handling, with errata 15 … 17: s, l, twice the same, unknown ones."""
    client, order = listed
    page = client.get(f"/edev{query}")
    assert page.texts("EndDevice/sFDI") == [order[n] for n in found]
    assert (page.xml.get("all"), page.xml.get("results")) == ("5", str(len(found)))


@pytest.mark.parametrize("query", ["?a={now}", "?s=3&a={now}", "?s=1&a={now}&a={tomorrow}"])
def test_core_004_after_now_the_list_of_devices_is_empty(
    utility: Utility, listed: tuple[Client, list[str]], query: str
) -> None:
    """CTP 1.3, CORE-004, erratum 29: the list is ordered by changedTime, so nothing comes after."""
    client, _ = listed
    asked = query.format(now=utility.now, tomorrow=utility.now + 86400)
    assert client.get(f"/edev{asked}").items("EndDevice") == []
    earlier = client.get(f"/edev?a={utility.now - 1}&l=255")
    assert len(earlier.items("EndDevice")) == 5


@pytest.mark.parametrize("query", ["?l=x", "?s=-1", "?a=1e9", "?l=" + "9" * 40])
def test_core_004_a_query_that_is_no_number_is_refused(
    listed: tuple[Client, list[str]], query: str
) -> None:
    """No text of the procedure covers it; IEEE 2030.5-2018, 4.6: the parameters are integers."""
    assert listed[0].ask("GET", f"/edev{query}").status == 400


def test_core_005_basic_time(utility: Utility, client: Client) -> None:
    """CTP 1.3, CORE-005 basic time: linked from dcap, quality 7, the time that events go by."""
    told = client.get(client.get("/dcap").link("TimeLink"))
    assert told.text("quality") == "7"
    assert int(told.text("currentTime")) == utility.now
    utility.pass_s(3600)
    assert int(client.get("/tm").text("currentTime")) == utility.now
    order = " ".join(etree.QName(child).localname for child in told.xml)
    assert order == "currentTime dstEndTime dstOffset dstStartTime localTime quality tzOffset"


def test_core_006_local_time_with_daylight_saving(start: Start) -> None:
    """CORE-006 is in no public text that was found (version 1.3 has dropped it).

    Instead: the Time resource as IEEE 2030.5-2018, 11.1, describes it, for a zone with daylight
    saving: offsets, their begin and end, local time.
    """
    utility = start(timezone="America/Los_Angeles")
    utility.register("client")
    told = utility.client("client").get("/tm")
    assert (told.text("tzOffset"), told.text("dstOffset")) == ("-28800", "3600")
    begin, end = int(told.text("dstStartTime")), int(told.text("dstEndTime"))
    assert datetime.fromtimestamp(begin, UTC) == datetime(2026, 3, 8, 10, tzinfo=UTC)
    assert datetime.fromtimestamp(end, UTC) == datetime(2026, 11, 1, 9, tzinfo=UTC)
    assert int(told.text("localTime")) == utility.now - 28800 + 3600


# ---- devices and what they are assigned to


def test_core_009_a_device_finds_itself_and_tells_what_it_is(client: Client) -> None:
    """CTP 1.3, CORE-009 advanced end device: SFDI, LFDI, PIN, DERList, PUT and read back."""
    device = client.own()
    assert client.issued is not None
    assert device.text("lFDI") == client.issued.lfdi
    assert device.text("sFDI") == str(client.issued.sfdi)
    assert client.get(device.link("RegistrationLink")).text("pIN") == "111115"
    [der] = client.get(device.link("DERListLink")).links("DER")
    links = client.get(der)
    for link, body, field in (
        ("DERCapabilityLink", CAPABILITY, "rtgMaxW/value"),
        ("DERSettingsLink", SETTINGS, "setMaxW/value"),
        ("DERStatusLink", STATUS, "inverterStatus/value"),
        ("DERAvailabilityLink", AVAILABILITY, "statWAvail/value"),
    ):
        assert client.put(links.link(link), body).status in {201, 204}
        sent = etree.fromstring(body).find(
            "/".join(f"{{{NAMESPACE}}}{p}" for p in field.split("/"))
        )
        assert sent is not None
        assert client.get(links.link(link)).text(field) == sent.text


def test_core_010_a_device_gets_the_seven_programs_of_its_groups(
    utility: Utility, client: Client
) -> None:
    """CTP 1.3, CORE-010 function set assignments: three devices, seven levels, by primacy."""
    utility.register("client-1", groups=("SY",))
    utility.register("client-2", groups=("SY",))
    device = client.own()
    assert client.get(device.link("RegistrationLink")).text("pIN") == "111115"
    [fsa] = client.get(device.link("FunctionSetAssignmentsListLink")).links(
        "FunctionSetAssignments"
    )
    assert client.get(client.get(fsa).link("TimeLink")).has("currentTime")
    programs = client.programs()
    assert [int(p.text("primacy")) for p in programs] == [4, 5, 6, 7, 8, 9, 10]
    assert [p.text("description") for p in programs] == ["SP", "TF", "SG", "FD", "SS", "ST", "SY"]


def test_core_010_the_list_shows_the_device_that_changed_last_first(
    utility: Utility,
) -> None:
    """CTP 1.3, CORE-010, setup: an older changedTime puts a device last in the list.

    A device sees itself alone; the operator's list shows the order.
    """
    for name in ("client", "client-1", "client-2"):
        utility.register(name)
        utility.pass_s(MINUTE_S)
    operator = utility.client("operator")
    listed = operator.every("/edev", "EndDevice").texts("EndDevice/lFDI")
    assert listed == [utility.issued(n).lfdi for n in ("client-2", "client-1", "client")]
    alone = utility.client("client").every("/edev", "EndDevice")
    assert alone.texts("EndDevice/lFDI") == [utility.issued("client").lfdi]


def test_core_011_a_device_has_fifteen_assignments(utility: Utility) -> None:
    """CTP 1.3, CORE-011 advanced function set assignments: fifteen, ordered by mRID."""
    groups = [f"group {n}" for n in range(15)]
    for n, name in enumerate(groups):
        utility.group(**{f"program {n}": n + 1})
        utility.do(lambda g=name, n=n: utility.board.add_group(g, programs=[f"program {n}"]))  # type: ignore[misc]
    utility.register("client", groups=tuple(groups))
    client = utility.client("client")
    listed = client.every(
        client.own().link("FunctionSetAssignmentsListLink"), "FunctionSetAssignments"
    )
    mrids = listed.texts("FunctionSetAssignments/mRID")
    assert len(mrids) == 15
    assert mrids == sorted(mrids, reverse=True)
    assert sorted(int(p.text("primacy")) for p in client.programs()) == list(range(1, 16))


@pytest.mark.parametrize(
    ("link", "body"), [("DERCapabilityLink", CAPABILITY), ("DERSettingsLink", SETTINGS)]
)
def test_core_014_what_a_device_puts_it_gets_back(client: Client, link: str, body: str) -> None:
    """CTP 1.3, CORE-014 basic DER settings, erratum 23: 204 to the PUT, and the same on GET."""
    [der] = client.get(client.own().link("DERListLink")).links("DER")
    href = client.get(der).link(link)
    client.put(href, body)
    assert client.put(href, body).status == 204
    got = client.get(href).xml
    assert got.get("href") == href
    del got.attrib["href"]
    assert canonical(got) == canonical(etree.fromstring(body))


def test_core_014_partial_settings_are_refused_whole(client: Client) -> None:
    """No text of the procedure covers it; IEEE 2030.5-2018: setMaxW and setGradW are required."""
    before = client.get("/edev/1/der/1/derg").body
    partial = f'<DERSettings xmlns="{NAMESPACE}"><setGradW>1</setGradW></DERSettings>'
    assert client.put("/edev/1/der/1/derg", partial).status == 400
    assert client.get("/edev/1/der/1/derg").body == before
