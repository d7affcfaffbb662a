"""A reader that remembers reads what one reads that does not."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ems.protocols.goose import Data, Float32, Frame, GooseMessage, MalformedFrame, decode, encode
from ems.protocols.goose.ber import sequence_octets
from ems.protocols.goose.frame import SHORTEST_FRAME
from ems.protocols.goose.recurring import FrameReader, SequenceReader
from tests.goose_frames import frame, saying, values
from tests.property.test_goose_codec import NUMBERS, TIMES, VALUES, frames

MOVES = st.fixed_dictionaries(
    {},
    optional={
        "t": TIMES,
        "st_num": NUMBERS,
        "sq_num": NUMBERS,
        "time_allowed_to_live_ms": NUMBERS,
        "p_kw": st.floats(width=32),
        "conf_rev": NUMBERS,
    },
)
"""What changes from one frame of a publisher to the next."""
PADDED = saying(
    replace(frame(), vlan_id=None, vlan_priority=0),
    gocb_ref="",
    dat_set="",
    go_id=None,
    all_data=(),
)
"""So short that zeros follow on the wire."""


def said(reader: FrameReader, octets: bytes) -> Frame | str:
    try:
        return reader.read(octets)
    except MalformedFrame as fault:
        return str(fault)


def plainly(octets: bytes) -> Frame | str:
    try:
        return decode(octets)
    except MalformedFrame as fault:
        return str(fault)


def moved(message: GooseMessage, move: dict[str, Any]) -> GooseMessage:
    changes = dict(move)
    p_kw = changes.pop("p_kw", None)
    if p_kw is not None and message.all_data:
        changes["all_data"] = (Float32(p_kw), *message.all_data[1:])
    return replace(message, **changes)


@given(st.lists(MOVES, max_size=12), st.sampled_from((frame(), PADDED)))
def test_the_frames_of_one_publisher_are_read_as_each_alone(
    moves: list[dict[str, Any]], sent: Frame
) -> None:
    reader = FrameReader()
    for move in moves:
        sent = replace(sent, message=moved(sent.message, move))
        octets = encode(sent).ljust(SHORTEST_FRAME, b"\0")
        found = reader.read(octets)
        assert found == decode(octets) == sent
        assert found.message.octets == decode(octets).message.octets


@given(st.lists(frames(), min_size=1, max_size=2), st.data())
def test_damage_is_told_as_if_no_frame_had_come_before(
    sent: list[Frame], data: st.DataObject
) -> None:
    """Same octet, same reason; and what comes after it is read as ever."""
    reader = FrameReader()
    for base in sent * 2:
        octets = bytearray(encode(base))
        assert said(reader, bytes(octets)) == base
        for _ in range(data.draw(st.integers(0, 3))):
            octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
        assert said(reader, bytes(octets)) == plainly(bytes(octets))


@given(st.lists(st.lists(VALUES, max_size=4).map(tuple), max_size=4))
def test_data_sets_are_read_as_each_alone(sets: list[tuple[Data, ...]]) -> None:
    reader = SequenceReader()
    for data in sets * 2:
        assert reader.read(sequence_octets(data)) == data


def test_values_that_did_not_change_are_the_same_objects() -> None:
    reader = FrameReader()
    first, second, third = (
        reader.read(encode(saying(frame(), all_data=values(p_kw, local=local)))).message.all_data
        for p_kw, local in ((7.25, False), (8.25, False), (8.25, True))
    )
    assert [a is b for a, b in zip(first, second, strict=True)] == [False, True, True, True, True]
    assert [a is b for a, b in zip(second, third, strict=True)] == [True, True, True, True, False]
