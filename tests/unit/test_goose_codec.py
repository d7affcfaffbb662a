"""GOOSE as octets: what is written is what is read, and what is wrong is refused with its place."""

import math
from dataclasses import replace

import pytest

from ems.protocols.goose import (
    Array,
    Bcd,
    BinaryTime,
    BitString,
    Boolean,
    Data,
    Float32,
    Float64,
    Int32,
    Int64,
    MalformedFrame,
    MmsString,
    OctetString,
    Structure,
    Timestamp,
    Uint32,
    UtcTime,
    VisibleString,
    decode,
    encode,
    integer,
)
from ems.protocols.goose.ber import DEEPEST, read_sequence, sequence_octets, tlv
from tests.goose_frames import frame, saying

TAGGED_HEAD = 18
"""Addresses, tag and ethertype."""
MESSAGE = TAGGED_HEAD + 8
"""Where the message begins."""

# Each value beside the octets that X.690 and ISO 9506-2 give it.
OCTETS: list[tuple[Data, str]] = [
    (Boolean(True), "830101"),
    (Boolean(False), "830100"),
    (Int32(0), "850100"),
    (Int32(-1), "8501ff"),
    (Int32(128), "85020080"),
    (Int32(-128), "850180"),
    (Int32(-(1 << 31)), "850480000000"),
    (Int64(1 << 31), "85050080000000"),
    (Uint32(255), "860200ff"),
    (Uint32(0xFFFF_FFFF), "860500ffffffff"),
    (Float32(1.5), "8705083fc00000"),
    (Float64(1.5), "87090b3ff8000000000000"),
    (BitString(0b0110000000000, 13), "8403036000"),
    (BitString(0b10, 2), "84020680"),
    (BitString(0, 0), "840100"),
    (OctetString(b"\x00\xff"), "890200ff"),
    (VisibleString("ok"), "8a026f6b"),
    (MmsString("é"), "9002c3a9"),
    (Timestamp(UtcTime(1, 0x800000, 0x0A)), "9108000000018000000a"),
    (BinaryTime(b"\x00\x00\x00\x01\x00\x02"), "8c06000000010002"),
    (Bcd(b"\x12"), "8d0112"),
    (Structure((Boolean(True), Int32(5))), "a206830101850105"),
    (Array(()), "a100"),
]


@pytest.mark.parametrize(("value", "octets"), OCTETS, ids=lambda v: str(v)[:40])
def test_a_value_has_its_octets(value: Data, octets: str) -> None:
    assert sequence_octets([value]).hex() == octets
    assert read_sequence(bytes.fromhex(octets), 0, len(octets) // 2) == (value,)


def test_a_frame_has_its_header() -> None:
    octets = encode(frame(st_num=3, sq_num=9))
    assert octets[:12].hex() == "010ccd010001020000000001"
    assert octets[12:18].hex() == "8100800588b8"  # priority 4, VLAN 5
    assert octets[18:20].hex() == "0001"
    assert int.from_bytes(octets[20:22]) == len(octets) - TAGGED_HEAD
    assert octets[22:26].hex() == "00000000"
    assert octets[26] == 0x61


def test_a_frame_reads_back_equal() -> None:
    for found in (
        frame(),
        replace(frame(), vlan_id=None, vlan_priority=0),
        replace(saying(frame(), simulation=True), simulation=True),
        saying(frame(), simulation=True),
        saying(frame(), go_id=None, nds_com=True, st_num=0xFFFF_FFFF, sq_num=0xFFFF_FFFF),
    ):
        assert decode(encode(found)) == found


def test_not_a_number_is_carried_and_equal_to_itself() -> None:
    found = saying(frame(), all_data=(Float32(math.nan), Float64(math.nan)))
    assert decode(encode(found)) == found
    assert hash(Float32(math.nan)) == hash(Float32(-math.nan))
    assert Float32(1.0) != Float64(1.0)


def test_a_short_frame_may_be_padded_and_a_long_one_may_not() -> None:
    fields = "800161 810101 820162 84080000000000000000 850101 860100 880101 8a0100 ab00"
    pdu = tlv(0x61, bytes.fromhex(fields))
    whole = encode(replace(frame(), vlan_id=None, vlan_priority=0))
    octets = whole[:16] + (8 + len(pdu)).to_bytes(2) + bytes(4) + pdu
    assert len(octets) == 57
    assert decode(octets + bytes(3)) == decode(octets)
    for wrong in (octets + bytes(4), octets + b"\x00\x01\x00", encode(frame()) + b"\x00"):
        with pytest.raises(MalformedFrame, match="no padding"):
            decode(wrong)


def test_lengths_and_integers_of_publishers_with_fixed_layout_are_read() -> None:
    assert read_sequence(bytes.fromhex("8581050000000001"), 0, 8) == (Int32(1),)
    assert read_sequence(bytes.fromhex("8605000000000185820001ff"), 0, 12) == (Uint32(1), Int32(-1))
    assert read_sequence(bytes.fromhex("8301ff"), 0, 3) == (Boolean(True),)
    assert read_sequence(bytes.fromhex("8402077f"), 0, 4) == (BitString(0, 1),)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("83", "ends within a tag"),
        ("8302ff", "reaches beyond"),
        ("830200ff", "a boolean has one octet"),
        ("8380", "a length in one or two octets"),
        ("838301000001", "a length in one or two octets"),
        ("838201", "ends within a length"),
        ("8500", "one to eight octets"),
        ("8509000000000000000001", "one to eight octets"),
        ("8601ff", "not in 0 to"),
        ("86050100000000", "not in 0 to"),
        ("8606000000000001", "one to five octets"),
        ("8705073fc00000", "single or double"),
        ("8704083fc000", "single or double"),
        ("8705083fc0", "reaches beyond"),
        ("8400", "how many bits are unused"),
        ("84020800", "more unused bits"),
        ("840101", "more unused bits"),
        ("8a0107", "printable ASCII"),
        ("8a01e9", "printable ASCII"),
        ("9001ff", "not UTF-8"),
        ("910700000001800000", "eight octets"),
        ("8c0100", "four or six"),
        ("8d00", "at least one octet"),
        ("8b00", "no type of value"),
        ("0500", "no type of value"),
        ("9f8100", "no type of value"),
        ("a2038301", "reaches beyond"),
        ("a203830200", "reaches beyond"),
    ],
)
def test_a_value_that_is_none_is_refused(octets: str, reason: str) -> None:
    with pytest.raises(MalformedFrame, match=reason):
        read_sequence(bytes.fromhex(octets), 0, len(octets) // 2)


def test_structures_nest_to_a_fixed_depth() -> None:
    deep = sequence_octets([Boolean(True)])
    for _ in range(DEEPEST):
        deep = tlv(0xA2, deep)
    read_sequence(deep, 0, len(deep))
    deep = tlv(0xA2, deep)
    with pytest.raises(MalformedFrame, match="too deep"):
        read_sequence(deep, 0, len(deep))
    bottomless = b"\xa2\x82\x05\x00" * 400
    with pytest.raises(MalformedFrame):
        read_sequence(bottomless, 0, len(bottomless))


def edited(at: int, *octets: int) -> bytes:
    found = bytearray(encode(frame()))
    found[at : at + len(octets)] = octets
    return bytes(found)


@pytest.mark.parametrize(
    ("octets", "at", "reason"),
    [
        (b"", 0, "addresses"),
        (bytes(13), 13, "addresses"),
        (edited(12, 0x81, 0x00)[:17], 17, "tag"),
        (edited(12, 0x08, 0x00), 12, "ethertype"),
        (edited(16, 0x81, 0x00), 16, "ethertype"),
        (edited(12)[:25], 25, "header"),
        (edited(20, 0x00, 0x07), 20, "length"),
        (edited(20, 0x7F, 0xFF), 20, "length"),
        (edited(22, 0x40, 0x00), 22, "reserved"),
        (edited(24, 0x00, 0x01), 22, "reserved"),
        (edited(22, 0x80, 0x00), 22, "header says simulation"),
        (edited(26, 0x60), 26, "no GOOSE message"),
    ],
)
def test_a_frame_that_is_none_is_refused_with_its_place(
    octets: bytes, at: int, reason: str
) -> None:
    with pytest.raises(MalformedFrame, match=reason) as told:
        decode(octets)
    assert told.value.offset == at
    assert str(told.value).startswith(f"octet {at}: ")


def rebuilt(message: bytes) -> bytes:
    """A frame around the content of a message."""
    pdu = tlv(0x61, message)
    header = encode(frame())[:20] + (8 + len(pdu)).to_bytes(2) + bytes(4)
    return header + pdu


CONTENT = encode(frame())[MESSAGE + 2 :]
"""Fields of the message, which is short enough for a length in one octet."""


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (CONTENT[21:], "gocbRef is missing"),
        (CONTENT + b"\xac\x00", "no field"),
        (CONTENT + CONTENT[:21], "twice or out of order"),
        (CONTENT.replace(b"\x8a\x01\x05", b"\x8a\x01\x04"), "numDatSetEntries"),
        (CONTENT.replace(b"\x8a\x01\x05", b"\x8a\x01\x06"), "numDatSetEntries"),
        (CONTENT.replace(b"\x85\x01\x01", b"\x85\x01\x80", 1), "not in 0 to"),
        (CONTENT.replace(b"\x88\x01\x07", b""), "confRev is missing"),
        (CONTENT[: CONTENT.index(b"\xab")], "allData is missing"),
        (b"", "is missing"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_message_that_lacks_or_repeats_a_field_is_refused(message: bytes, reason: str) -> None:
    assert decode(rebuilt(CONTENT)) == frame()
    with pytest.raises(MalformedFrame, match=reason):
        decode(rebuilt(message))


def test_octets_within_the_length_and_after_the_message_are_refused() -> None:
    octets = bytearray(encode(frame())) + b"\x00"
    octets[20:22] = (len(octets) - TAGGED_HEAD).to_bytes(2)
    with pytest.raises(MalformedFrame, match="within the length"):
        decode(bytes(octets))


def test_every_prefix_of_a_frame_is_refused() -> None:
    octets = encode(frame())
    for size in range(len(octets)):
        with pytest.raises(MalformedFrame):
            decode(octets[:size])


def test_a_message_longer_than_a_frame_is_not_sent() -> None:
    with pytest.raises(ValueError, match="divide the data set"):
        encode(saying(frame(), all_data=(OctetString(bytes(1400)),)))


def test_values_beyond_their_type_are_refused() -> None:
    for wrong in (
        lambda: Int32(1 << 31),
        lambda: Int64(5),
        lambda: Int64(1 << 63),
        lambda: Uint32(-1),
        lambda: Float32(1e39),
        lambda: BitString(4, 2),
        lambda: VisibleString("\n"),
        lambda: BinaryTime(b""),
        lambda: Bcd(b""),
        lambda: UtcTime(-1),
        lambda: UtcTime(0, 1 << 24),
        lambda: UtcTime(0, 0, 256),
    ):
        with pytest.raises(ValueError):
            wrong()
    assert integer(5) == Int32(5)
    assert integer(1 << 40) == Int64(1 << 40)
