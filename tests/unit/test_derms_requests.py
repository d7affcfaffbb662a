"""Methods, media, statuses; documents that devices put; reports; log events; subscriptions."""

import logging
from dataclasses import replace

import pytest

from ems.derms.settings import ServerSettings
from ems.protocols.ieee2030_5 import sep
from tests.derms_asked import ALICE, BOB, NAMESPACE, Asked, Got

MEDIA = "application/sep+xml"
OLDER = "http://zigbee.org/sep"
SETTINGS = (
    f'<DERSettings xmlns="{NAMESPACE}"><setGradW>100</setGradW>'
    "<setMaxW><multiplier>0</multiplier><value>5000</value></setMaxW>"
    "<updatedTime>5</updatedTime></DERSettings>"
)


@pytest.fixture
def asked() -> Asked:
    made = Asked()
    made.neighbours()
    return made


def _send(asked: Asked, method: str, path: str, body: str | bytes, who: str = ALICE) -> Got:
    return asked.ask(who, method, path, body, content_type=MEDIA)


# ---- methods, media, statuses


def test_head_answers_as_get_without_the_body(asked: Asked) -> None:
    got, head = asked.get(ALICE, "/dcap"), asked.ask(ALICE, "HEAD", "/dcap")

    assert (head.status, head.headers, head.body) == (200, got.headers, b"")
    assert int(head.headers["content-length"]) == len(got.body)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/dcap", "GET, HEAD"),
        ("POST", "/tm", "GET, HEAD"),
        ("PUT", "/edev", "GET, HEAD, POST"),
        ("DELETE", "/derp/1/derc/1", "GET, HEAD"),
        ("POST", "/edev/1/der/1/dercap", "GET, HEAD, PUT"),
    ],
)
def test_a_method_that_a_resource_lacks_is_told_with_those_it_has(
    asked: Asked, method: str, path: str, allow: str
) -> None:
    got = asked.ask(ALICE, method, path)

    assert (got.status, got.headers["allow"]) == (405, allow)


@pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_a_method_the_standard_lacks_is_not_implemented(asked: Asked, method: str) -> None:
    assert asked.ask(ALICE, method, "/dcap").status == 501


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (MEDIA, 200),
        ("*/*", 200),
        ("application/*;q=0.5", 200),
        ("application/sep+xml; level=+S1, application/sep-exi", 200),
        ("application/sep-exi", 406),
        ("text/html", 406),
        ("application/sep+xml;q=0", 406),
    ],
)
def test_only_the_media_type_of_the_standard_is_written(
    asked: Asked, accept: str, status: int
) -> None:
    assert asked.ask(ALICE, "GET", "/dcap", accept=accept).status == status


@pytest.mark.parametrize(
    ("media", "status"),
    [
        (MEDIA, 204),
        ("Application/SEP+XML; charset=utf-8", 204),
        ("application/json", 415),
        ("application/sep-exi", 415),
    ],
)
def test_only_the_media_type_of_the_standard_is_read(asked: Asked, media: str, status: int) -> None:
    got = asked.ask(ALICE, "PUT", "/edev/1/der/1/derg", SETTINGS, content_type=media)

    assert got.status == status


@pytest.mark.parametrize(
    ("path", "location"),
    [("/edev/", "/edev"), ("/edev/?l=3", "/edev?l=3"), ("/sep2/dcap", "/dcap")],
)
def test_what_moved_is_told_where_it_is(path: str, location: str) -> None:
    asked = Asked(ServerSettings(moved={"/sep2/dcap": "/dcap"}))

    got = asked.ask(ALICE, "GET", path)

    assert (got.status, got.headers["location"]) == (301, location)


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/edev/01", "/edev/-1", "/edev/x", "/edev//1", "/edev/1/", "/EDEV"]
)
def test_a_resource_has_one_path(asked: Asked, path: str) -> None:
    status = 301 if path == "/edev/1/" else 404

    assert asked.ask(ALICE, "GET", path).status == status


def test_a_refusal_says_why_and_is_counted(asked: Asked) -> None:
    got = asked.ask(ALICE, "GET", "/edev/2")

    assert got.text("reasonCode") == "1"
    assert "not a resource of" in got.headers["warning"]
    assert asked.application.refusals.counts["403"] == 1
    last = asked.application.refusals.last[-1]
    assert (last.who, last.where) == (ALICE, "GET /edev/2")


def test_a_handler_that_fails_is_a_500_and_the_next_request_is_answered(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(lfdi: str) -> None:  # noqa: ARG001  its signature
        raise ZeroDivisionError

    with monkeypatch.context() as patched, caplog.at_level(logging.ERROR):
        patched.setattr(asked.board, "device_by_lfdi", broken)
        got = asked.ask(ALICE, "GET", "/mup")

    assert got.status == 500
    assert got.text("reasonCode")
    assert "ZeroDivisionError" in caplog.text
    assert asked.ask(ALICE, "GET", "/mup").status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no xml",
        b"<DERSettings>",
        b'<DERStatus xmlns="urn:ieee:std:2030.5:ns"><readingTime>1</readingTime></DERStatus>',
        b'<!DOCTYPE x [<!ENTITY a "b">]><DERSettings>&a;</DERSettings>',
        b"\xff\xfe<DERSettings/>",
    ],
)
def test_what_cannot_be_read_changes_nothing(asked: Asked, body: bytes) -> None:
    got = _send(asked, "PUT", "/edev/1/der/1/derg", body)

    assert (got.status, got.text("reasonCode")) == (400, "0")
    assert asked.board.filed(ALICE, "settings") is None


def test_a_body_that_is_too_long_is_refused_while_it_comes() -> None:
    asked = Asked(ServerSettings(max_body_bytes=100))
    asked.neighbours()

    assert _send(asked, "PUT", "/edev/1/der/1/derg", SETTINGS).status == 413
    told = asked.ask(ALICE, "PUT", "/edev/1/der/1/derg", "", content_length="101")
    assert told.status == 413


# ---- documents


def test_a_document_is_read_back_as_it_was_put(asked: Asked) -> None:
    assert asked.ask(ALICE, "GET", "/edev/1/der/1/derg").status == 404
    assert _send(asked, "PUT", "/edev/1/der/1/derg", SETTINGS).status == 204

    got = asked.get(ALICE, "/edev/1/der/1/derg")
    assert got.text("setMaxW/value") == "5000"
    assert got.xml.get("href") == "/edev/1/der/1/derg"
    found = asked.board.filed(ALICE, "settings")
    assert found is not None
    assert isinstance(found[0], sep.DERSettings)


@pytest.mark.parametrize("missing", ["setGradW", "setMaxW", "updatedTime"])
def test_partial_settings_are_refused_whole(asked: Asked, missing: str) -> None:
    _send(asked, "PUT", "/edev/1/der/1/derg", SETTINGS)
    parts = SETTINGS.split(f"<{missing}>")
    partial = parts[0] + parts[1].partition(f"</{missing}>")[2].replace("5000", "4000")

    assert _send(asked, "PUT", "/edev/1/der/1/derg", partial).status == 400
    assert asked.get(ALICE, "/edev/1/der/1/derg").text("setMaxW/value") == "5000"


def test_a_second_der_of_a_device_appears_with_its_first_document(asked: Asked) -> None:
    assert asked.get(ALICE, "/edev/1/der").counts == (1, 1)
    assert _send(asked, "PUT", "/edev/1/der/2/derg", SETTINGS).status == 204

    assert asked.get(ALICE, "/edev/1/der").counts == (2, 1)
    assert asked.get(ALICE, "/edev?l=9").all("EndDevice/DERListLink")[0].get("all") == "2"
    assert _send(asked, "PUT", "/edev/1/der/65/derg", SETTINGS).status == 404


def test_a_document_of_the_older_namespace_reads_back_in_it(asked: Asked) -> None:
    told = (
        f'<PowerStatus xmlns="{OLDER}"><batteryStatus>1</batteryStatus>'
        "<changedTime>5</changedTime><currentPowerSource>1</currentPowerSource></PowerStatus>"
    )
    assert _send(asked, "PUT", "/edev/1/ps", told).status == 204

    assert asked.get(ALICE, "/edev/1/ps").xml.tag == f"{{{OLDER}}}PowerStatus"
    found = asked.board.filed(ALICE, "power_status")
    assert found is not None


def test_a_device_cannot_say_that_it_is_another(asked: Asked) -> None:
    told = (
        f'<DeviceInformation xmlns="{NAMESPACE}"><lFDI>{BOB}</lFDI><mfDate>0</mfDate>'
        "<mfHwVer>1</mfHwVer><mfID>1</mfID><mfModel>m</mfModel><mfSerNum>1</mfSerNum>"
        "<primaryPower>1</primaryPower><secondaryPower>0</secondaryPower>"
        "<swActTime>0</swActTime><swVer>1</swVer></DeviceInformation>"
    )

    assert _send(asked, "PUT", "/edev/1/di", told).status == 400
    assert _send(asked, "PUT", "/edev/1/di", told.replace(BOB, ALICE)).status == 204


# ---- readings

TYPE = (
    "<ReadingType><flowDirection>1</flowDirection><kind>37</kind>"
    "<powerOfTenMultiplier>-1</powerOfTenMultiplier><uom>38</uom></ReadingType>"
)
POINT = (
    f'<MirrorUsagePoint xmlns="{NAMESPACE}"><mRID>0A</mRID><description>meter</description>'
    "<roleFlags>49</roleFlags><serviceCategoryKind>0</serviceCategoryKind><status>1</status>"
    f"<deviceLFDI>{ALICE}</deviceLFDI><MirrorMeterReading><mRID>0B</mRID>"
    f"<description>W</description>{TYPE}</MirrorMeterReading></MirrorUsagePoint>"
)


def _readings(mrid: str, start: int, *values: int, declared: str = "") -> str:
    read = "".join(
        f"<Reading><timePeriod><duration>60</duration><start>{start + 60 * n}</start></timePeriod>"
        f"<value>{value}</value></Reading>"
        for n, value in enumerate(values)
    )
    return (
        f'<MirrorMeterReading xmlns="{NAMESPACE}"><mRID>{mrid}</mRID>'
        f"<MirrorReadingSet><mRID>0C</mRID><timePeriod><duration>{60 * len(values)}</duration>"
        f"<start>{start}</start></timePeriod>{read}</MirrorReadingSet>{declared}"
        "</MirrorMeterReading>"
    )


def test_readings_are_mirrored_once_declared_and_read_back(asked: Asked) -> None:
    made = _send(asked, "POST", "/mup", POINT)
    assert (made.status, made.headers["location"]) == (201, "/mup/1")
    assert _send(asked, "POST", "/mup", POINT).status == 204

    told = _send(asked, "POST", "/mup/1", _readings("0B", 120, 700, 800))
    assert (told.status, told.headers["location"]) == (201, "/upt/1/mr/1")

    latest = asked.board.latest(ALICE)["0B"]
    assert (latest.value, latest.uom, latest.time) == (80.0, 38, 240)
    assert asked.get(ALICE, "/mup").counts == (1, 1)
    assert asked.get(ALICE, "/mup/1").text("MirrorMeterReading/ReadingType/uom") == "38"
    assert asked.get(ALICE, "/upt/1/mr/1/r").text("value") == "800"
    assert asked.get(ALICE, "/upt/1/mr/1/rt").text("uom") == "38"
    sets = asked.get(ALICE, "/upt/1/mr/1/rs?l=9")
    assert sets.counts == (1, 1)
    [href] = sets.hrefs("ReadingSet/ReadingListLink")
    assert asked.get(ALICE, f"{href}?l=9").texts("Reading/value") == ["700", "800"]

    _send(asked, "POST", "/mup/1", _readings("0B", 240, 900))
    assert asked.get(ALICE, "/upt/1/mr/1/rs?l=9").hrefs("ReadingSet") == [
        "/upt/1/mr/1/rs/2",
        "/upt/1/mr/1/rs/1",
    ]
    assert asked.get(ALICE, "/upt/1/mr/1/r").text("value") == "900"


def test_a_reading_dated_ahead_counts_from_when_it_came_and_blocks_no_later_one(
    asked: Asked,
) -> None:
    _send(asked, "POST", "/mup", POINT)
    _send(asked, "POST", "/mup/1", _readings("0B", asked.now + 86_400, 700))
    ahead = asked.board.latest(ALICE)["0B"]
    assert (ahead.value, ahead.time, ahead.role) == (70.0, asked.now, 0x49)

    asked.pass_s(60)
    _send(asked, "POST", "/mup/1", _readings("0B", asked.now - 60, 0))

    true = asked.board.latest(ALICE)["0B"]
    assert (true.value, true.time) == (0.0, asked.now)
    assert asked.get(ALICE, "/upt/1/mr/1/r").text("value") == "0"


def test_of_readings_that_come_together_one_dated_ahead_goes_last(asked: Asked) -> None:
    _send(asked, "POST", "/mup", POINT)
    both = _readings("0B", asked.now - 60, 500).replace(
        "</MirrorReadingSet>",
        "<Reading><timePeriod><duration>0</duration>"
        f"<start>{asked.now + 86_400}</start></timePeriod><value>900</value></Reading>"
        "</MirrorReadingSet>",
    )
    _send(asked, "POST", "/mup/1", both)
    assert asked.board.latest(ALICE)["0B"].value == 50.0


def test_a_reading_of_the_future_that_was_kept_gives_way_to_a_later_one(asked: Asked) -> None:
    _send(asked, "POST", "/mup", POINT)
    _send(asked, "POST", "/mup/1", _readings("0B", asked.now - 60, 700))
    board, [point] = asked.board, asked.board.mirrors()
    kept = board.latest(ALICE)["0B"]
    board.read(point, replace(kept, time=asked.now + 86_400), "")
    board.read(point, replace(kept, value=1.0), "")
    assert board.latest(ALICE)["0B"].value == 1.0


def test_a_reading_of_no_declared_type_is_refused_whole(asked: Asked) -> None:
    _send(asked, "POST", "/mup", POINT)
    both = (
        f'<MirrorMeterReadingList xmlns="{NAMESPACE}">'
        + _readings("0B", 120, 7)
        + _readings("0D", 120, 7)
        + "</MirrorMeterReadingList>"
    )

    assert _send(asked, "POST", "/mup/1", both).status == 400
    assert asked.board.latest(ALICE) == {}
    declared = both.replace("</MirrorReadingSet>", f"</MirrorReadingSet>{TYPE}")
    assert _send(asked, "POST", "/mup/1", declared).status == 201
    assert set(asked.board.latest(ALICE)) == {"0B", "0D"}


def test_nobody_reports_for_another(asked: Asked) -> None:
    assert _send(asked, "POST", "/mup", POINT, who=BOB).status == 403
    _send(asked, "POST", "/mup", POINT)
    assert _send(asked, "POST", "/mup", POINT.replace(ALICE, BOB), who=BOB).status == 400
    assert _send(asked, "POST", "/mup/1", _readings("0B", 1, 7), who=BOB).status == 403
    assert asked.get(BOB, "/upt").counts == (0, 0)
    assert asked.ask(ALICE, "DELETE", "/mup/1").status == 204
    assert asked.board.mirrors() == ()


# ---- log events, rates, subscriptions


def test_log_events_come_newest_first(asked: Asked) -> None:
    for at, code in ((5, 1), (9, 2), (7, 3)):
        told = (
            f'<LogEvent xmlns="{NAMESPACE}"><createdDateTime>{at}</createdDateTime>'
            f"<functionSet>11</functionSet><logEventCode>{code}</logEventCode>"
            "<logEventID>1</logEventID><logEventPEN>37244</logEventPEN><profileID>2</profileID>"
            "</LogEvent>"
        )
        assert _send(asked, "POST", "/edev/1/lel", told).status == 201

    assert asked.get(ALICE, "/edev/1/lel?l=9").texts("LogEvent/logEventCode") == ["2", "3", "1"]
    assert asked.get(ALICE, "/edev/1/lel?a=6&l=9").texts("LogEvent/logEventCode") == ["2", "3"]
    assert asked.get(ALICE, "/edev/1/lel/2").text("logEventCode") == "2"


def test_rates_are_what_they_were_last_set_to(asked: Asked) -> None:
    asked.board.set_rates(poll_s=30, post_s=20)
    assert asked.get(ALICE, "/dcap").xml.get("pollRate") == "30"
    assert asked.get(ALICE, "/edev/1").text("postRate") == "20"
    asked.board.change_device("alice", poll_rate_s=7, post_rate_s=8)
    assert asked.get(ALICE, "/edev/1/fsa").xml.get("pollRate") == "7"
    assert asked.get(ALICE, "/edev/1").text("postRate") == "8"


def _subscription(path: str, uri: str = "https://localhost/ntfy", more: str = "") -> str:
    return (
        f'<Subscription xmlns="{NAMESPACE}"><subscribedResource>{path}</subscribedResource>{more}'
        "<encoding>0</encoding><level>+S1</level><limit>5</limit>"
        f"<notificationURI>{uri}</notificationURI></Subscription>"
    )


def test_a_subscription_is_made_once_and_renewed(asked: Asked) -> None:
    made = _send(asked, "POST", "/edev/1/sub", _subscription("/derp/1/derc"))
    assert (made.status, made.headers["location"]) == (201, "/edev/1/sub/1")
    asked.pass_s(60)
    assert _send(asked, "POST", "/edev/1/sub", _subscription("/derp/1/derc")).status == 204

    [held] = asked.board.subscriptions(1)
    assert held.renewed - held.created == 60
    assert asked.get(ALICE, "/edev/1/sub").counts == (1, 1)
    assert asked.get(ALICE, "/edev/1").all("SubscriptionListLink")[0].get("all") == "1"
    assert asked.ask(ALICE, "DELETE", "/edev/1/sub/1").status == 204
    assert asked.ask(ALICE, "GET", "/edev/1/sub/1").status == 404


@pytest.mark.parametrize(
    ("told", "status"),
    [
        (_subscription("/nothing"), 400),
        (_subscription("/tm"), 400),
        (_subscription("/derp/3/derc"), 403),
        (_subscription("/edev/2"), 403),
        (_subscription("/derp/1/derc", uri="http://localhost/ntfy"), 400),
        (_subscription("/derp/1/derc", uri="file:///etc/passwd"), 400),
        (_subscription("/derp/1/derc", uri="https://a:b@localhost/ntfy"), 400),
        (_subscription("/derp/1/derc", uri="https://localhost:65536/ntfy"), 400),
        (_subscription("/derp/1/derc", uri="https://localhost:0/ntfy"), 400),
        (_subscription("/derp/1/derc", uri="https://[::1/ntfy"), 400),
        (_subscription("/derp/1/derc", uri="https://169.254.169.254/"), 400),
        (_subscription("/derp/1/derc", uri="https://[fe80::1]/"), 400),
        (_subscription("/derp/1/derc", uri="https://[::ffff:169.254.1.1]/"), 400),
        (_subscription("/derp/1/derc", uri="https://0.0.0.0/"), 400),
        (_subscription("/derp/1/derc", uri="https://224.0.0.251/"), 400),
        (
            _subscription(
                "/derp/1/derc",
                more="<Condition><attributeIdentifier>0</attributeIdentifier>"
                "<lowerThreshold>1</lowerThreshold><upperThreshold>2</upperThreshold></Condition>",
            ),
            400,
        ),
    ],
)
def test_what_cannot_be_subscribed_to_is_refused(asked: Asked, told: str, status: int) -> None:
    assert _send(asked, "POST", "/edev/1/sub", told).status == status
    assert asked.board.subscriptions() == ()


def test_notifications_go_only_to_hosts_that_are_allowed() -> None:
    asked = Asked(ServerSettings(notification_hosts=("der.example",)))
    asked.neighbours()

    here = _subscription("/derp/1/derc", uri="https://der.example:9000/ntfy")
    assert _send(asked, "POST", "/edev/1/sub", here).status == 201
    there = _subscription("/derp/1/derc", uri="https://169.254.169.254/")
    assert _send(asked, "POST", "/edev/1/sub", there).status == 400


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.1.2.3", "[::1]"])
def test_a_server_beyond_loopback_notifies_nobody_on_loopback(host: str) -> None:
    asked = Asked(ServerSettings(host="192.0.2.1"))
    asked.neighbours()

    here = _subscription("/derp/1/derc", uri=f"https://{host}:9000/ntfy")
    assert _send(asked, "POST", "/edev/1/sub", here).status == 400
    there = _subscription("/derp/1/derc", uri="https://192.0.2.7:9000/ntfy")
    assert _send(asked, "POST", "/edev/1/sub", there).status == 201


def test_the_server_tells_local_time_and_when_summer_ends() -> None:
    asked = Asked(ServerSettings(timezone="America/Los_Angeles"))
    got = asked.get(ALICE, "/tm")

    assert int(got.text("currentTime")) == asked.now
    assert (got.text("tzOffset"), got.text("dstOffset")) == ("-28800", "3600")
    assert int(got.text("localTime")) - asked.now == -7 * 3600
    assert (got.text("dstStartTime"), got.text("dstEndTime")) == ("1772964000", "1793523600")


def test_a_negative_set_max_w_is_refused(asked: Asked) -> None:
    told = (
        f'<DERSettings xmlns="{NAMESPACE}"><setGradW>0</setGradW><setMaxW><multiplier>0'
        "</multiplier><value>-5</value></setMaxW><updatedTime>0</updatedTime></DERSettings>"
    )
    assert _send(asked, "PUT", "/edev/1/der/1/derg", told).status == 400
