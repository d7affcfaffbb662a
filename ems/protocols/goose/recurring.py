"""Reading octets of which most is what was read before.

A publisher sends the same tags and lengths again and again, and few values in them are new. So
the octets are compared as one number each with those of before: where nothing but contents
differs, only these contents are read, by the readers that read everything else. What comes out
is what `decode` and `read_sequence` give, only sooner; the values that did not change are the
same objects, by which whoever uses them sees what is new.
"""

from collections.abc import Collection, Iterator, Sequence

from ems.protocols.goose.ber import (
    ARRAY,
    STRUCTURE,
    MalformedFrame,
    head,
    read_sequence,
    read_time,
    read_unsigned,
)
from ems.protocols.goose.frame import Frame, GooseMessage, decode, field_places
from ems.protocols.goose.values import Data

PLACE = 26
"""Octets by which a publisher's frames are told from others: addresses, tag, APPID, length."""
MOST_KNOWN = 256
"""Frames that are remembered, some kilobytes each; beyond that it begins anew."""
LIFE, TIME, STATE, REPETITION, VALUES = 0x81, 0x84, 0x85, 0x86, 0xAB
"""Tags of timeAllowedtoLive, t, stNum, sqNum and allData."""
MOVING = (LIFE, TIME, STATE, REPETITION)
"""Fields that are not always the same, beside the values; in the order of the message."""


class Layout:
    """Where contents stand in octets; everything beside them is fixed."""

    def __init__(self, octets: bytes, contents: Sequence[tuple[int, int]]) -> None:
        """Take the first and the last-but-one octet of each content, in order."""
        fixed = bytearray(b"\xff" * len(octets))
        self._bits = 8 * len(octets)
        self._owner = [0] * len(octets)
        self._behind = [(1 << 8 * (len(octets) - stop)) - 1 for _, stop in contents]
        for number, (start, stop) in enumerate(contents):
            fixed[start:stop] = bytes(stop - start)
            self._owner[start:stop] = [number] * (stop - start)
        self._fixed = int.from_bytes(fixed)

    def differing(self, one: int, other: int) -> list[int] | None:
        """Which contents of two differ, in order; None where anything else does."""
        apart = one ^ other
        if apart & self._fixed:
            return None
        found = []
        while apart:
            number = self._owner[(self._bits - apart.bit_length()) >> 3]
            found.append(number)
            apart &= self._behind[number]
        return found


class SequenceReader:
    """Reads one data set again and again."""

    def __init__(self, octets: bytes = b"", values: tuple[Data, ...] = ()) -> None:
        """Begin with what was read before, if anything was: octets and their values."""
        self._octets, self._values = octets, values
        self._number = int.from_bytes(octets)
        self._layout: Layout | None = None
        self._entries: list[tuple[int, int]] = []
        self._entry_of: list[int] = []

    def read(self, octets: bytes) -> tuple[Data, ...]:
        """The values that fill these octets.

        Raises:
            MalformedFrame: as `read_sequence`.
        """
        found = self._again(octets) if len(octets) == len(self._octets) else None
        if found is None:
            found, self._layout = read_sequence(octets, 0, len(octets)), None
            self._number = int.from_bytes(octets)
        self._octets, self._values = octets, found
        return found

    def _again(self, octets: bytes) -> tuple[Data, ...] | None:
        """The values, if they stand as those of before did."""
        if self._layout is None:
            self._layout = self._lay_out()
        number = int.from_bytes(octets)
        differing = self._layout.differing(self._number, number)
        if differing is None:
            return None
        values = self._values
        if differing:
            new = list(values)
            for entry in {self._entry_of[content] for content in differing}:
                (new[entry],) = read_sequence(octets, *self._entries[entry])
            values = tuple(new)
        self._number = number
        return values

    def _lay_out(self) -> Layout:
        """Only once octets come again: most that come once are somebody's damage."""
        self._entries, self._entry_of, contents = [], [], []
        at = 0
        while at < len(self._octets):
            stop = head(self._octets, at, len(self._octets))[2]
            for place in _contents(self._octets, at, stop):
                contents.append(place)
                self._entry_of.append(len(self._entries))
            self._entries.append((at, stop))
            at = stop
        return Layout(self._octets, contents)


def _contents(octets: bytes, at: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the contents of simple values stand, in order."""
    while at < end:
        tag, start, stop = head(octets, at, end)
        if tag in {ARRAY, STRUCTURE}:
            yield from _contents(octets, start, stop)
        else:
            yield start, stop
        at = stop


class FrameReader:
    """Reads the frames of all publishers of a link."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Publisher] = {}

    def read(self, octets: bytes) -> Frame:
        """The frame.

        Raises:
            MalformedFrame: as `decode`.
        """
        known = self._known.get(octets[:PLACE])
        found = None if known is None else known.read(octets)
        if found is None:
            found = decode(octets)
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[octets[:PLACE]] = _Publisher(octets, found)
        return found


class _Publisher:
    """The last of some frames that have the same addresses, APPID and length."""

    def __init__(self, octets: bytes, frame: Frame) -> None:
        self._octets, self._frame = octets, frame
        self._layout: Layout | None = None
        self._places: dict[int, tuple[int, int]] = {}
        self._number = self._start = self._end = 0
        self._data = SequenceReader()

    def read(self, octets: bytes) -> Frame | None:
        """The next one; None where `decode` has to look at all of it."""
        if self._layout is None:
            self._layout = self._lay_out()
        if len(octets) != len(self._octets) or octets[self._end :] != self._octets[self._end :]:
            return None
        number = int.from_bytes(octets[: self._start])
        differing = self._layout.differing(self._number, number)
        if differing is None:
            return None
        moved = {MOVING[content] for content in differing}
        try:
            message = self._message(octets, moved)
        except MalformedFrame:
            return None
        if message is None:
            return None
        before = self._frame
        self._number = number
        self._frame = Frame(
            dst=before.dst,
            src=before.src,
            vlan_id=before.vlan_id,
            vlan_priority=before.vlan_priority,
            appid=before.appid,
            simulation=before.simulation,
            message=message,
        )
        return self._frame

    def _message(self, octets: bytes, moved: Collection[int]) -> GooseMessage | None:
        """The message, of which these fields and the values may be new."""
        data = octets[self._start : self._end]
        values, before = self._data.read(data), self._frame.message
        if len(values) != len(before.all_data):  # numDatSetEntries is that of before
            return None
        counts = [
            read_unsigned(octets, *self._places[tag]) if tag in moved else was
            for tag, was in (
                (LIFE, before.time_allowed_to_live_ms),
                (STATE, before.st_num),
                (REPETITION, before.sq_num),
            )
        ]
        return GooseMessage(
            gocb_ref=before.gocb_ref,
            time_allowed_to_live_ms=counts[0],
            dat_set=before.dat_set,
            go_id=before.go_id,
            t=read_time(octets, *self._places[TIME]) if TIME in moved else before.t,
            st_num=counts[1],
            sq_num=counts[2],
            simulation=before.simulation,
            conf_rev=before.conf_rev,
            nds_com=before.nds_com,
            all_data=values,
            octets=data,
        )

    def _lay_out(self) -> Layout:
        """Where the fields stand, once a second frame comes."""
        self._places = field_places(self._octets)
        self._start, self._end = self._places[VALUES]
        data = self._octets[self._start : self._end]
        self._data = SequenceReader(data, self._frame.message.all_data)
        header = self._octets[: self._start]
        self._number = int.from_bytes(header)
        return Layout(header, [self._places[tag] for tag in MOVING])
