"""Whatever can be said in GOOSE reads back as it was said, and nothing else is read."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ems.protocols.goose import (
    Array,
    Bcd,
    BinaryTime,
    BitString,
    Boolean,
    Data,
    Float32,
    Float64,
    Frame,
    GooseMessage,
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
from tests.goose_frames import frame

NUMBERS = st.integers(min_value=0, max_value=0xFFFF_FFFF)
TIMES = st.builds(UtcTime, NUMBERS, st.integers(0, 0xFF_FFFF), st.integers(0, 255))
PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)
BITS = st.integers(0, 40).flatmap(
    lambda size: st.builds(BitString, st.integers(0, (1 << size) - 1), st.just(size))
)
LEAVES: st.SearchStrategy[Data] = st.one_of(
    st.builds(Boolean, st.booleans()),
    st.builds(integer, st.integers(-(1 << 63), (1 << 63) - 1)),
    st.builds(Uint32, NUMBERS),
    st.builds(Float32, st.floats(width=32)),
    st.builds(Float64, st.floats()),
    BITS,
    st.builds(OctetString, st.binary(max_size=20)),
    st.builds(VisibleString, PRINTABLE),
    st.builds(MmsString, st.text(max_size=10).filter(lambda t: t.isprintable())),
    st.builds(Timestamp, TIMES),
    st.builds(
        BinaryTime, st.sampled_from((4, 6)).flatmap(lambda n: st.binary(min_size=n, max_size=n))
    ),
    st.builds(Bcd, st.binary(min_size=1, max_size=4)),
)
VALUES: st.SearchStrategy[Data] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Structure, st.lists(inner, max_size=4).map(tuple)),
        st.builds(Array, st.lists(inner, max_size=4).map(tuple)),
    ),
    max_leaves=8,
)
MESSAGES = st.builds(
    GooseMessage,
    gocb_ref=PRINTABLE,
    time_allowed_to_live_ms=NUMBERS,
    dat_set=PRINTABLE,
    go_id=st.none() | PRINTABLE,
    t=TIMES,
    st_num=NUMBERS,
    sq_num=NUMBERS,
    simulation=st.booleans(),
    conf_rev=NUMBERS,
    nds_com=st.booleans(),
    all_data=st.lists(VALUES, max_size=12).map(tuple),
)
ADDRESSES = st.binary(min_size=6, max_size=6)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    message = draw(MESSAGES)
    tagged = draw(st.booleans())
    return Frame(
        dst=draw(ADDRESSES),
        src=draw(ADDRESSES),
        vlan_id=draw(st.integers(0, 0xFFF)) if tagged else None,
        vlan_priority=draw(st.integers(0, 7)) if tagged else 0,
        appid=draw(st.integers(0, 0xFFFF)),
        simulation=message.simulation and draw(st.booleans()),
        message=message,
    )


def refused_or_understood(octets: bytes) -> None:
    try:
        understood = decode(octets)
    except MalformedFrame as fault:
        offset = fault.offset
    else:
        assert decode(encode(understood)) == understood
        return
    assert 0 <= offset <= len(octets)


@given(frames())
def test_a_frame_reads_back_as_it_was_written(found: Frame) -> None:
    octets = encode(found)
    assert decode(octets) == found
    assert encode(decode(octets)) == octets


@given(st.binary(max_size=300))
@example(b"")
def test_octets_are_a_frame_or_malformed_and_nothing_else(octets: bytes) -> None:
    head = encode(frame())[:20]
    for found in (octets, head + len(octets).to_bytes(2) + octets):
        refused_or_understood(found)


@given(frames(), st.data())
def test_a_frame_with_one_octet_changed_is_refused_or_says_what_its_octets_say(
    found: Frame, data: st.DataObject
) -> None:
    octets = bytearray(encode(found))
    at = data.draw(st.integers(0, len(octets) - 1))
    octets[at] = data.draw(st.integers(0, 255))
    refused_or_understood(bytes(octets))


@given(frames(), st.data())
def test_a_frame_cut_short_is_refused(found: Frame, data: st.DataObject) -> None:
    octets = encode(found)
    size = data.draw(st.integers(0, len(octets) - 1))
    with pytest.raises(MalformedFrame):
        decode(octets[:size])


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2106, 1, 1)))  # noqa: DTZ001
def test_a_time_stamp_is_exact_to_the_microsecond(when: datetime) -> None:
    aware = when.replace(tzinfo=UTC)
    assert UtcTime.of(aware).when == aware


@given(st.floats(width=32), frames())
def test_a_number_of_single_precision_is_not_changed(value: float, found: Frame) -> None:
    told = replace(found.message, all_data=(Float32(value),))
    (back,) = decode(encode(replace(found, message=told))).message.all_data
    assert back == Float32(value)
