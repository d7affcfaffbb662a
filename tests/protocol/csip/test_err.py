"""ERR-001 and ERR-002: what goes wrong between server and client.

Source, where a test names CTP 1.3: the SunSpec CSIP Conformance Test Procedures, version 1.3 with
its errata, in the public catalogue `testdata/catalog/catalog.json` of
github.com/dsizzle83/csip-tls-test.
"""

import asyncio

import httpx2

from ems.enddevice.session import Session
from ems.enddevice.session import tls as own_tls
from ems.protocols.ieee2030_5 import sep
from tests.protocol.csip.utility import MEDIA, Start, Utility, tls


def test_err_001_a_client_follows_a_redirection_over_tls(start: Start) -> None:
    """CTP 1.3, ERR-001 error scenario 1, erratum 8: 301 with Location, all of it over TLS."""
    utility = start(moved={"/old": "/dcap"})
    utility.register("client")
    context = tls(utility.pki, utility.issued("client"))
    with httpx2.Client(base_url=utility.url, verify=context, follow_redirects=True) as client:
        got = client.get("/old", headers={"Accept": MEDIA})
    assert [step.status_code for step in got.history] == [301]
    assert got.status_code == 200
    assert b"<EndDeviceListLink" in got.content


def test_err_001_our_own_client_follows_it_too(start: Start) -> None:
    """CTP 1.3, ERR-001: the client's half of it, and a resource that dcap links to."""
    utility = start(moved={"/old": "/dcap"})
    utility.register("client")
    issued = utility.issued("client")
    context = own_tls(issued.cert_file, issued.key_file, utility.pki.ca_file, check_name=False)

    async def discovered() -> sep.Time:
        session = Session(f"{utility.url}/old", context)
        try:
            dcap = await session.get(session.start, sep.DeviceCapability)
            assert dcap.TimeLink is not None
            return await session.get(dcap.TimeLink.href, sep.Time)
        finally:
            await session.close()

    assert asyncio.run(discovered()).currentTime == utility.now


def test_err_002_subscriptions_survive_a_restart_and_end_as_the_standard_says(
    utility: Utility,
) -> None:
    """CTP 1.3, ERR-002 error scenario 2, erratum 38: restart, change, cancellation (status 1)."""
    utility.group(SY=10)
    utility.register("aggregator")
    listener = utility.listener("aggregator")
    client = utility.client("aggregator")
    assigned = client.own().link("FunctionSetAssignmentsListLink")
    made = client.subscribe(assigned, listener.uri, limit=5)

    utility.restart()
    client = utility.client("aggregator")
    utility.do(lambda: utility.board.change_device("aggregator", groups=("SY",)))
    told = listener.next()
    assert (told.text("status"), told.text("subscriptionURI")) == ("0", made.location)
    [carried] = told.all("Resource")
    now = client.get(f"{assigned}?l=5").xml
    assert [(e.tag, e.text) for e in carried.iter()][1:] == [(e.tag, e.text) for e in now.iter()][
        1:
    ]

    utility.do(lambda: utility.server.notifier.end(1, 1))
    ended = listener.next()
    assert (ended.text("status"), ended.text("subscriptionURI")) == ("1", made.location)
    assert not ended.has("Resource")
    assert client.ask("GET", made.location).status == 404


def test_err_002_a_subscriber_that_answers_400_is_not_told_again(utility: Utility) -> None:
    """CTP 1.3, ERR-002, step 9: on 400 the subscription is deleted, without a notification."""
    utility.group(SY=10, ST=9)
    utility.register("aggregator")
    listener = utility.listener("aggregator")
    listener.answer = 400
    client = utility.client("aggregator")
    assigned = client.own().link("FunctionSetAssignmentsListLink")
    made = client.subscribe(assigned, listener.uri)
    utility.do(lambda: utility.board.change_device("aggregator", groups=("SY",)))
    listener.next()
    utility.until(lambda: client.ask("GET", made.location).status == 404)
    utility.do(lambda: utility.board.change_device("aggregator", groups=("ST",)))
    kept = client.subscribe("/edev", listener.uri)
    utility.do(lambda: utility.board.change_device("aggregator", category=1))
    assert listener.next().text("subscriptionURI") == kept.location
