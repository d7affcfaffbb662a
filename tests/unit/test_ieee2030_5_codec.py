"""Documents of IEEE 2030.5: strict in writing, lenient in reading."""

import pytest
from pydantic import ValidationError

from ems.protocols.ieee2030_5 import codec, sep

CONTROL = sep.DERControl(
    href="/derp/1/derc/2",
    replyTo="/rsps/1/r",
    responseRequired="03",
    mRID="A1" * 16,
    creationTime=1_700_000_000,
    EventStatus_=sep.EventStatus(
        currentStatus=0, dateTime=1_700_000_000, potentiallySuperseded=False
    ),
    interval=sep.DateTimeInterval(duration=900, start=1_700_000_900),
    DERControlBase_=sep.DERControlBase(opModConnect=True, opModMaxLimW=5000),
)


def read(text: str, *kinds: type[sep.Resource]) -> sep.Resource:
    return codec.decode(text.encode(), *kinds)


def test_a_document_has_no_declaration_one_namespace_and_the_order_of_the_schema() -> None:
    assert codec.encode(CONTROL).decode() == (
        '<DERControl xmlns="urn:ieee:std:2030.5:ns" href="/derp/1/derc/2" replyTo="/rsps/1/r"'
        ' responseRequired="03"><mRID>A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1</mRID>'
        "<creationTime>1700000000</creationTime><EventStatus><currentStatus>0</currentStatus>"
        "<dateTime>1700000000</dateTime><potentiallySuperseded>false</potentiallySuperseded>"
        "</EventStatus><interval><duration>900</duration><start>1700000900</start></interval>"
        "<DERControlBase><opModConnect>true</opModConnect><opModMaxLimW>5000</opModMaxLimW>"
        "</DERControlBase></DERControl>"
    )


def test_elements_of_a_profile_are_written_only_where_they_are_set() -> None:
    limit = sep.DERControlBase(opModExpLimW=sep.ActivePower(multiplier=0, value=5000))
    assert b"csipaus" not in codec.encode(CONTROL)
    assert codec.encode(limit) == (
        b'<DERControlBase xmlns="urn:ieee:std:2030.5:ns" xmlns:csipaus="https://csipaus.org/ns/v1.3">'
        b"<csipaus:opModExpLimW><multiplier>0</multiplier><value>5000</value></csipaus:opModExpLimW>"
        b"</DERControlBase>"
    )
    assert codec.decode(codec.encode(limit), sep.DERControlBase) == limit


def test_a_list_made_of_fragments_is_the_list_written_at_once() -> None:
    whole = sep.DERControlList(
        href="/derp/1/derc?s=0&l=2", subscribable=1, all_=5, results=2, DERControl_=[CONTROL] * 2
    )
    joined = codec.list_document(
        "DERControlList",
        href="/derp/1/derc?s=0&l=2",
        subscribable=1,
        all_=5,
        results=2,
        fragments=[codec.fragment(CONTROL)] * 2,
    )
    assert codec.decode(joined, sep.DERControlList) == whole
    assert joined.count(b"xmlns") == 1


def test_a_notification_carries_its_resource_with_its_type() -> None:
    page = sep.DERControlList(href="/derp/1/derc", all_=1, results=1, DERControl_=[CONTROL])
    told = sep.Notification(
        subscribedResource="/derp/1/derc", Resource_=page, status=0, subscriptionURI="/edev/1/sub/1"
    )
    written = codec.encode(told)
    assert b'<Resource xsi:type="DERControlList" href="/derp/1/derc" all="1"' in written
    assert codec.decode(written, sep.Notification) == told


def test_text_is_escaped_in_elements_and_attributes() -> None:
    device = sep.DERProgram(mRID="AB", description='a<b> & "c"', primacy=1, href="/derp/1?a=1&b=2")
    assert b"<description>a&lt;b&gt; &amp; &quot;c&quot;</description>" in codec.encode(device)
    assert codec.decode(codec.encode(device), sep.DERProgram) == device


def test_a_name_that_a_resource_does_not_have_is_no_resource() -> None:
    with pytest.raises(ValidationError, match="setMaxw"):
        sep.DERSettings(
            setMaxw=1,  # type: ignore[call-arg]  # the misspelling is the point
            setGradW=1,
            setMaxW=sep.ActivePower(multiplier=0, value=1),
            updatedTime=0,
        )


def test_hexadecimal_numbers_are_written_as_whole_octets() -> None:
    assert b"<mRID>0ABC</mRID>" in codec.encode(sep.DERProgram(mRID="abc", primacy=1))


@pytest.mark.parametrize(
    "namespace",
    [
        'xmlns="urn:ieee:std:2030.5:ns"',
        'xmlns="http://zigbee.org/sep"',
        'xmlns="http://ieee.org/2030.5"',
        "",
    ],
)
def test_namespaces_of_all_editions_are_read(namespace: str) -> None:
    status = read(
        f"<DERStatus {namespace}><readingTime> 7 </readingTime></DERStatus>", sep.DERStatus
    )
    assert status == sep.DERStatus(readingTime=7)


def test_prefixes_order_comments_and_unknown_elements_do_not_matter() -> None:
    text = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
    <s:DERSettings xmlns:s="urn:ieee:std:2030.5:ns" xmlns:v="urn:vendor" v:a="1" unknown="2">
      <!-- from the field --><?pi x?>
      <s:updatedTime>9</s:updatedTime>
      <v:setGradW>1</v:setGradW>
      <s:setMaxW><s:value>5000</s:value><s:later/><s:multiplier>0</s:multiplier></s:setMaxW>
      <s:notYetInvented><s:deep>1</s:deep></s:notYetInvented>
      <s:setGradW>27</s:setGradW>
    </s:DERSettings>"""
    assert read(text, sep.DERSettings) == sep.DERSettings(
        setGradW=27, setMaxW=sep.ActivePower(multiplier=0, value=5000), updatedTime=9
    )


def test_older_names_are_read_as_those_of_today() -> None:
    text = (
        '<DERCapability xmlns="http://zigbee.org/sep"><modesSupported>0x3</modesSupported>'
        "<rtgW><multiplier>3</multiplier><value>5</value></rtgW>"
        "<rtgVA><multiplier>3</multiplier><value>6</value></rtgVA><type>4</type></DERCapability>"
    )
    capability = codec.decode(text.encode(), sep.DERCapability)
    assert capability.rtgMaxW == sep.ActivePower(multiplier=3, value=5)
    assert capability.rtgMaxVA == sep.ApparentPower(multiplier=3, value=6)
    assert capability.modesSupported == "3"
    assert b"rtgW>" not in codec.encode(capability)


def test_hexadecimal_numbers_may_be_short_or_have_leading_zeros() -> None:
    text = "<EndDevice><lFDI>3e4f</lFDI><sFDI>1</sFDI><deviceCategory>{}</deviceCategory>{}"
    end = "<changedTime>1</changedTime></EndDevice>"
    short = codec.decode(text.format("4", end).encode(), sep.EndDevice)
    long = codec.decode(text.format("0000000000000004", end).encode(), sep.EndDevice)
    assert short.deviceCategory == "4"
    assert short.lFDI == "3E4F"
    assert long.deviceCategory == "00000004"


def test_a_response_may_name_its_type_either_way() -> None:
    inside = "<endDeviceLFDI>AB</endDeviceLFDI><status>1</status><subject>CD</subject>"
    by_type = (
        '<Response xmlns="urn:ieee:std:2030.5:ns"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        f' xsi:type="DERControlResponse">{inside}</Response>'
    )
    by_name = f'<DERControlResponse xmlns="urn:ieee:std:2030.5:ns">{inside}</DERControlResponse>'
    kinds = (sep.DERControlResponse, sep.Response)
    assert read(by_type, *kinds) == read(by_name, *kinds)
    assert type(read(by_type, *kinds)) is sep.DERControlResponse


def test_power_status_of_a_vehicle_round_trips_in_the_older_namespace() -> None:
    text = (
        b'<PowerStatus xmlns="http://zigbee.org/sep" href="/edev/1/ps">'
        b"<batteryStatus>1</batteryStatus><changedTime>1372637000</changedTime>"
        b"<currentPowerSource>1</currentPowerSource>"
        b"<estimatedChargeRemaining>4500</estimatedChargeRemaining><PEVInfo>"
        b"<chargingPowerNow><multiplier>3</multiplier><value>5</value></chargingPowerNow>"
        b"<energyRequestNow><multiplier>3</multiplier><value>22</value></energyRequestNow>"
        b"<maxForwardPower><multiplier>3</multiplier><value>7</value></maxForwardPower>"
        b"<minimumChargingDuration>11280</minimumChargingDuration>"
        b"<targetStateOfCharge>10000</targetStateOfCharge>"
        b"<timeChargeIsNeeded>1372680200</timeChargeIsNeeded>"
        b"<timeChargingStatusPEV>1372637000</timeChargingStatusPEV></PEVInfo></PowerStatus>"
    )
    status = codec.decode(text, sep.PowerStatus)
    assert codec.encode(status, namespace=codec.namespace_of(text)) == text
    assert status.PEVInfo_ is not None
    assert status.PEVInfo_.energyRequestNow == sep.RealEnergy(multiplier=3, value=22)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "no XML"),
        (b"<DERStatus>", "no XML"),
        (b"<DERStatus/>", "readingTime: Field required"),
        (b"<DERStatus><readingTime/></DERStatus>", "readingTime: Input should be a valid integer"),
        (b"<Time/>", "expected DERStatus, found Time"),
        (b"\xff\xfe<\x00a\x00/\x00>\x00", "not UTF-8"),
        (b'<?xml version="1.0" encoding="UTF-16"?><DERStatus/>', "encoding UTF-16"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><DERStatus>&x;</DERStatus>', "document type declaration"),
        (b"<DERStatus>&undefined;</DERStatus>", "no XML"),
        (b"<DERStatus>\x00</DERStatus>", "no XML"),
        (b"<DERStatus>" + b" " * codec.MOST_BYTES + b"</DERStatus>", "longer than"),
        (b"<DERStatus><readingTime>9223372036854775808</readingTime></DERStatus>", "less than"),
        (
            b"<DERStatus><readingTime>1</readingTime><alarmStatus>XY</alarmStatus></DERStatus>",
            "alarmStatus: String should match pattern",
        ),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(body: bytes, reason: str) -> None:
    with pytest.raises(codec.Misread, match=reason):
        codec.decode(body, sep.DERStatus)


def test_an_element_that_stands_twice_where_one_may_is_misread() -> None:
    body = b"<DERStatus><readingTime>1</readingTime><readingTime>2</readingTime></DERStatus>"
    with pytest.raises(codec.Misread, match="DERStatus/readingTime: stands there more than once"):
        codec.decode(body, sep.DERStatus)


def test_entities_are_refused_before_they_can_expand() -> None:
    levels = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))
    bomb = f'<!DOCTYPE DERStatus [<!ENTITY l0 "lol">{levels}]><DERStatus>&l9;</DERStatus>'
    with pytest.raises(codec.Misread, match="document type declaration"):
        read(bomb, sep.DERStatus)
    file = '<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/hostname">]><DERStatus>&f;</DERStatus>'
    with pytest.raises(codec.Misread, match="document type declaration"):
        read(file, sep.DERStatus)


@pytest.mark.parametrize(
    "body",
    [
        b"<DERStatus>" + b"<a/>" * 200_000 + b"<readingTime>1</readingTime></DERStatus>",
        b"<DERStatus " + b" ".join(b"a%d='1'" % n for n in range(50_000)) + b"/>",
        b"<DERStatus><readingTime>" + b"9" * 1_000_000 + b"</readingTime></DERStatus>",
        b"<a>" * 20_000,
    ],
    ids=["elements", "attributes", "digits", "depth"],
)
# The attributes take a minute where each is looked up among all of them, and 0.1 s otherwise.
@pytest.mark.timeout(20)
def test_a_document_made_to_take_long_is_misread_at_once(body: bytes) -> None:
    with pytest.raises(codec.Misread):
        codec.decode(body, sep.DERStatus)


def test_a_partial_der_settings_names_what_is_missing() -> None:
    with pytest.raises(codec.Misread) as misread:
        read("<DERSettings><setGradW>1</setGradW></DERSettings>", sep.DERSettings)
    assert misread.value.place == "DERSettings/setMaxW"
    assert misread.value.reason == "Field required"


def test_values_that_the_standard_reserves_are_read() -> None:
    status = codec.decode(
        b"<DERStatus><inverterStatus><dateTime>1</dateTime><value>99</value></inverterStatus>"
        b"<readingTime>1</readingTime></DERStatus>",
        sep.DERStatus,
    )
    assert status.inverterStatus == sep.StatusValue(dateTime=1, value=99)


@pytest.mark.parametrize("multiplier", [-10, 10, 10**9])
def test_no_power_of_ten_is_read_that_could_not_be_reckoned_with(multiplier: int) -> None:
    text = f"<ActivePower><multiplier>{multiplier}</multiplier><value>1</value></ActivePower>"
    with pytest.raises(codec.Misread, match="ActivePower/multiplier"):
        codec.decode(text.encode(), sep.ActivePower)


# --- lists read leniently ----------------------------------------------------------------------

LISTED = b"""<DERControlList xmlns="urn:ieee:std:2030.5:ns" all="3" results="3" href="/derc">
<DERControl href="/derc/1" replyTo="/rsp" responseRequired="03"><mRID>aB</mRID>
<creationTime>1</creationTime><EventStatus><currentStatus>0</currentStatus><dateTime>1</dateTime>
<potentiallySuperseded>false</potentiallySuperseded></EventStatus>
<interval><duration>%s</duration><start>1</start></interval>
<DERControlBase><opModMaxLimW>5000</opModMaxLimW></DERControlBase></DERControl>
<DERControl href="/derc/2"><mRID>02</mRID></DERControl>
<DERControl href="/derc/3"><mRID>03</mRID><mRID>04</mRID></DERControl>
</DERControlList>"""


def test_members_that_are_no_such_resource_are_passed_over_and_named() -> None:
    read = codec.decode(LISTED % b"60", sep.DERControlList, lenient=True)
    assert [c.mRID for c in read.DERControl_ or ()] == ["AB"]
    assert [(u.href, u.mrid) for u in read.unread] == [("/derc/2", "02"), ("/derc/3", "")]
    assert "creationTime" in str(read.unread[0])
    assert "more than once" in read.unread[1].reason


def test_a_number_beyond_its_range_leaves_the_member_out_and_says_where_to_answer() -> None:
    read = codec.decode(LISTED % b"-1", sep.DERControlList, lenient=True)
    assert not read.DERControl_
    [first, *_] = read.unread
    assert (first.mrid, first.reply_to, first.response_required) == ("AB", "/rsp", 3)
    assert "interval/duration" in first.reason


def test_what_is_read_strictly_is_unreadable_as_a_whole() -> None:
    with pytest.raises(codec.Misread, match="more than once"):
        codec.decode(LISTED % b"60", sep.DERControlList)
