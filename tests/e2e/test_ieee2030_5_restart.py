"""A server that is killed at any moment loses nothing that it acknowledged."""

import subprocess
import sys
import textwrap
import threading
from http.client import HTTPException
from pathlib import Path

import pytest

from ems.derms.certificates import Pki, make_pki
from ems.store import DermsStore
from tests.derms_process import Caller, Serving, serving, write_file

EVENT = "5509D69F8B3535950000000000009182"
PROGRAM = """
[[ieee2030_5.device]]
name = "one"
lfdi = "{one}"
pin = 111115
groups = ["feeder"]

[[ieee2030_5.program]]
name = "feeder"
default = {{ max_lim_w_pct = 90.0 }}

[[ieee2030_5.program.control]]
mrid = "{event}"
start_in_s = 600
duration_s = 3600
base = {{ max_lim_w_pct = 50.0 }}
"""
SUBSCRIPTION = (
    "<Subscription><subscribedResource>/derp/1/derc</subscribedResource><encoding>0</encoding>"
    "<level>+S1</level><limit>1</limit>"
    "<notificationURI>https://127.0.0.1:9/ntfy</notificationURI></Subscription>"
)
CAPABILITY = (
    "<DERCapability><modesSupported>00100000</modesSupported><rtgMaxW><multiplier>0</multiplier>"
    "<value>5000</value></rtgMaxW><type>4</type></DERCapability>"
)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    folder = tmp_path_factory.mktemp("pki")
    return make_pki(folder, ["one", "two"], administrators=["operator"])


def usage_point(lfdi: str) -> str:
    return (
        f"<MirrorUsagePoint><mRID>{lfdi[:8]:0>32}</mRID><roleFlags>0049</roleFlags>"
        "<serviceCategoryKind>0</serviceCategoryKind><status>1</status>"
        f"<deviceLFDI>{lfdi}</deviceLFDI></MirrorUsagePoint>"
    )


def reading(value: int, end: int) -> str:
    return (
        "<MirrorMeterReading><mRID>0A0B</mRID><description>RealPower</description><Reading>"
        f"<timePeriod><duration>1</duration><start>{end - 1}</start></timePeriod>"
        f"<value>{value}</value></Reading><ReadingType><powerOfTenMultiplier>0"
        "</powerOfTenMultiplier><uom>38</uom></ReadingType></MirrorMeterReading>"
    )


def response(lfdi: str, status: int, time: int) -> str:
    return (
        f"<DERControlResponse><createdDateTime>{time}</createdDateTime><endDeviceLFDI>{lfdi}"
        f"</endDeviceLFDI><status>{status}</status><subject>{EVENT}</subject>"
        "</DERControlResponse>"
    )


def config(folder: Path, pki: Pki) -> Path:
    rest = PROGRAM.format(one=pki.device["one"].lfdi, event=EVENT)
    return write_file(folder, pki, rest, registration='"open"')


def now_of(caller: Caller) -> int:
    return int(caller.get("/tm").texts("currentTime")[0])


def test_after_a_kill_registrations_events_subscriptions_readings_and_responses_are_there(
    tmp_path: Path, pki: Pki
) -> None:
    file = config(tmp_path, pki)
    one, two, operator = pki.device["one"], pki.device["two"], pki.administrator["operator"]
    with serving(file, pki) as server:
        with server.caller(two) as device:
            told = f"<EndDevice><sFDI>{two.sfdi}</sFDI><changedTime>0</changedTime></EndDevice>"
            registered = device.send("POST", "/edev", told).location
        with server.caller(operator) as admin:
            new = {"duration_s": 7200, "base": {"fixed_w_pct": -10.0}, "start_in_s": 900}
            published = admin.told("POST", "/admin/v1/programs/feeder/controls", new)
            assert published.status == 201
            assert admin.told("PUT", "/admin/v1/rates", {"poll_s": 17}).status == 200
        with server.caller(one) as device:
            assert device.send("PUT", "/edev/1/der/1/dercap", CAPABILITY).status in (201, 204)
            subscribed = device.send("POST", "/edev/1/sub", SUBSCRIPTION).location
            mirror = device.send("POST", "/mup", usage_point(one.lfdi)).location
            end = now_of(device)
            assert device.send("POST", mirror, reading(4321, end)).status == 201
            for status in (1, 2):
                assert (
                    device.send(
                        "POST", "/rsps/1/r", response(one.lfdi, status, end + status)
                    ).status
                    == 201
                )
        server.kill()

    with serving(file, pki) as server, server.caller(one) as device:
        assert server.announced["devices"] == 2
        controls = device.get("/derp/1/derc?l=10")
        assert controls.attribute("all") == "2"  # the file's event was not published again
        assert controls.texts("DERControl/mRID") == [EVENT, published.json["mrid"]]
        assert device.get("/dcap").attribute("pollRate") == "17"
        assert device.get("/edev/1/reg").texts("pIN") == ["111115"]
        assert device.get("/edev/1/der/1/dercap").texts("rtgMaxW/value") == ["5000"]
        assert device.get(subscribed).texts("subscribedResource") == ["/derp/1/derc"]
        assert device.get(mirror).texts("deviceLFDI") == [one.lfdi]
        assert device.get("/rsps/1/r?l=10").texts("*/status") == ["2", "1"]
        with server.caller(operator) as admin:
            points = admin.get("/admin/v1/points/one").json
            assert points["b113_W"] == 4321.0
            assert admin.get("/admin/v1/audit/check").json["whole"]
            entries = admin.get("/admin/v1/audit").json["entries"]
            assert sum("/admin/" in entry["what"] for entry in entries) == 2
            declared = [entry["what"] for entry in entries if entry["who"] == "file"]
            assert len(declared) == len(set(declared))  # the restart declared nothing again
        with server.caller(two) as other:
            assert other.get(registered).texts("lFDI") == [two.lfdi]
        # What is new comes after what was kept.
        assert device.send("POST", "/rsps/1/r", response(one.lfdi, 3, end + 3)).status == 201
        assert device.get("/rsps/1/r?l=10").texts("*/status") == ["3", "2", "1"]
        assert server.end() == 0
    assert "ended in order" in "".join(server.said)


def report_until_it_dies(server: Serving, pki: Pki, name: str, acknowledged: list[int]) -> None:
    """Responses one after the other; those that were answered with 201 are noted."""
    who = pki.device[name]
    with server.caller(who) as device:
        for time in range(1, 10_000):
            try:
                got = device.send("POST", "/rsps/1/r", response(who.lfdi, 2, time))
            except (OSError, HTTPException):  # the process died while this was asked
                return
            assert got.status == 201, got.body
            acknowledged.append(time)


def test_killed_while_devices_report_it_keeps_every_response_that_it_acknowledged(
    tmp_path: Path, pki: Pki
) -> None:
    file = config(tmp_path, pki)
    two = pki.device["two"]
    acknowledged: dict[str, list[int]] = {"one": [], "two": []}
    with serving(file, pki) as server:
        with server.caller(two) as device:
            told = f"<EndDevice><sFDI>{two.sfdi}</sFDI><changedTime>0</changedTime></EndDevice>"
            assert device.send("POST", "/edev", told).location
        with server.caller(pki.administrator["operator"]) as admin:
            joined = admin.told("PATCH", f"/admin/v1/devices/{two_name(admin)}",
                                {"groups": ["feeder"]})  # fmt: skip
            assert joined.status == 200, joined.body
        reporters = [
            threading.Thread(target=report_until_it_dies, args=(server, pki, name, noted))
            for name, noted in acknowledged.items()
        ]
        for reporter in reporters:
            reporter.start()
        while any(len(noted) < 40 for noted in acknowledged.values()):
            reporters[0].join(0.01)
            assert all(reporter.is_alive() for reporter in reporters)
        server.kill()
        for reporter in reporters:
            reporter.join()
    with serving(file, pki) as server:
        for name, noted in acknowledged.items():
            with server.caller(pki.device[name]) as device:
                kept = device.get("/rsps/1/r?l=255").texts("*/createdDateTime")
                # Newest first; one more may have been kept and not yet acknowledged.
                there = [int(time) for time in kept if int(time) <= noted[-1]]
                assert len(there) >= min(len(noted), 254)
                assert there == noted[::-1][: len(there)]
                assert int(kept[0]) <= noted[-1] + 1


def two_name(admin: Caller) -> str:
    """What the server called the device that registered itself."""
    devices = admin.get("/admin/v1/devices").json["devices"]
    return str(next(d["name"] for d in devices if d["name"] != "one"))


def test_a_second_server_on_the_same_database_is_refused_and_leaves_the_first_alone(
    tmp_path: Path, pki: Pki
) -> None:
    file = config(tmp_path, pki)
    with serving(file, pki) as server:
        with (
            pytest.raises(AssertionError, match="another IEEE"),
            serving(file, pki),
        ):
            pass
        with server.caller(pki.device["one"]) as device:
            assert device.get("/dcap").attribute("href") == "/dcap"


# argv: database. Each line tells how many entries and documents were acknowledged.
WRITER = textwrap.dedent("""
    import sys
    from ems.store import DermsStore, Document, Happening

    store = DermsStore.open(sys.argv[1])
    n = 0
    while True:
        kept = [
            store.keep(
                Happening(kind="reading", owner="A", key=str(n + i), body="1", time=n + i),
                Document(kind="latest", key="x", owner="A", body=str(n + i), time=n + i),
            )
            for i in range(20)
        ]
        kept[-1].result()
        n += 20
        print(n, flush=True)
""")


def test_what_was_handed_over_together_is_there_together_after_a_kill(tmp_path: Path) -> None:
    database = tmp_path / "geems.sqlite"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(database)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    for _ in range(5):
        assert writer.stdout.readline(), "the writer ended by itself"
    writer.kill()
    rest, _ = writer.communicate(timeout=30)
    told = [int(line) for line in rest.split()]
    acknowledged = told[-1] if told else 100
    with DermsStore.open(database) as store:
        kept = [int(h.key) for h in store.happenings("reading")]
        assert kept == list(range(len(kept)))
        assert len(kept) >= acknowledged
        # What was handed over together is there together.
        assert store.documents("latest")[0].body == str(kept[-1])
