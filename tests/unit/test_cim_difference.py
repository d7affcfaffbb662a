"""CIM difference messages: what they say, which sign they have, and that they read back."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from ems.protocols.cim_difference import (
    BadDifference,
    DeviceChange,
    SignConvention,
    decode,
    difference_document,
    difference_mrid,
    encode,
)

NOON = datetime(2026, 6, 1, 19, 0, tzinfo=UTC)
ROOF = DeviceChange(mrid="PV1", p_w=4200.0, q_var=-800.0, p_before_w=5000.0, q_before_var=0.0)
DIESEL = DeviceChange(
    mrid="G1",
    p_w=1.0,
    q_var=2.0,
    p_before_w=3.0,
    q_before_var=4.0,
    attribute="RotatingMachine",
)
TRANSFORMER = {"mrid": "T1", "name": "xfmr_35a"}


def document(*changes: DeviceChange, sign: SignConvention = SignConvention.INJECTION) -> str:
    return encode(
        difference_document(
            changes,
            simulation_id="sim1",
            timestamp=NOON,
            service_transformer=TRANSFORMER,
            sign=sign,
        )
    )


def test_a_document_says_what_replaces_what() -> None:
    data = json.loads(document(ROOF))
    message = data["input"]["message"]
    assert data["command"] == "update"
    assert data["input"]["simulation_id"] == "sim1"
    assert message["timestamp"] == int(NOON.timestamp())
    assert message["forward_differences"] == [
        {"object": "PV1", "attribute": "PowerElectronicsConnection.p", "value": 4200.0},
        {"object": "PV1", "attribute": "PowerElectronicsConnection.q", "value": -800.0},
    ]
    assert message["reverse_differences"] == [
        {"object": "PV1", "attribute": "PowerElectronicsConnection.p", "value": 5000.0},
        {"object": "PV1", "attribute": "PowerElectronicsConnection.q", "value": 0.0},
    ]
    assert data["service_transformer"] == TRANSFORMER


def test_a_document_states_its_sign_convention() -> None:
    given, standard = (json.loads(document(ROOF, sign=s)) for s in SignConvention)
    assert given["sign_convention"].startswith("injection: ")
    assert standard["sign_convention"].startswith("consumption: ")
    values = [
        [d["value"] for d in x["input"]["message"]["forward_differences"]]
        for x in (given, standard)
    ]
    assert values == [[4200.0, -800.0], [-4200.0, 800.0]]


@pytest.mark.parametrize("sign", SignConvention)
def test_a_document_reads_back_as_it_was_meant(sign: SignConvention) -> None:
    message = decode(document(ROOF, DIESEL, sign=sign))
    assert message.changes == (ROOF, DIESEL)
    assert message.sign_convention is sign
    assert message.timestamp == NOON
    assert message.service_transformer == "T1"
    assert message.simulation_id == "sim1"


def test_the_same_second_has_the_same_mrid_and_another_has_another() -> None:
    one = difference_mrid("sim1", "T1", NOON)
    elsewhere = NOON.astimezone(timezone(timedelta(hours=-7)))
    assert difference_mrid("sim1", "T1", elsewhere) == one
    later = NOON + timedelta(minutes=15)
    others = {difference_mrid(*x) for x in (("sim1", "T2", NOON), ("sim2", "T1", NOON))}
    assert len({one, difference_mrid("sim1", "T1", later), *others}) == 4


def test_devices_on_the_primary_have_a_document_without_transformer() -> None:
    made = difference_document([ROOF], simulation_id="s", timestamp=NOON)
    assert decode(encode(made)).service_transformer == ""


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ([replace(ROOF, p_w=float("nan"))], "PV1: p_w is nan"),
        ([replace(ROOF, q_before_var=float("inf"))], "PV1: q_before_var is inf"),
        ([ROOF, ROOF], "PV1: comes twice"),
    ],
)
def test_what_cannot_be_set_is_refused(changes: list[DeviceChange], told: str) -> None:
    with pytest.raises(BadDifference, match=told):
        difference_document(changes, simulation_id="s", timestamp=NOON)


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(BadDifference, match="has no zone"):
        difference_document([ROOF], simulation_id="s", timestamp=NOON.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "document: give an object"),
        ("{}", "sign_convention: give injection or consumption"),
        (document(ROOF).replace("injection:", "up:"), "sign_convention"),
        (document(ROOF).replace("4200.0", "NaN"), r"forward_differences\[0\].value"),
        (document(ROOF).replace("4200.0", "1" + "0" * 400), r"forward_differences\[0\].value"),
        (document(ROOF).replace("4200.0", "true"), r"forward_differences\[0\].value"),
        (document(ROOF).replace("Connection.q", "Connection.s"), "attribute: give"),
        (document(ROOF).replace('"PV1"', "7"), "object: give an mRID"),
        (document(ROOF).replace("forward_d", "toward_d"), "forward_differences: give a list"),
        (document(ROOF).replace(f"{int(NOON.timestamp())}", '"noon"'), "timestamp: give whole"),
        (document(ROOF).replace(f"{int(NOON.timestamp())}", "1e99"), "timestamp: give whole"),
    ],
)
def test_a_text_that_is_no_difference_message_is_refused(text: str, told: str) -> None:
    with pytest.raises(BadDifference, match=told):
        decode(text)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(BadDifference) as raised:
        decode('{"input": {"message": {"forward_differences": [3]}}}')
    told = str(raised.value)
    assert all(
        part in told
        for part in (
            "sign_convention",
            "reverse_differences",
            "forward_differences[0]",
            "timestamp",
        )
    )
