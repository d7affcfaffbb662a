"""Values of a data set as octets, and back (ASN.1 BER, ITU-T X.690; tags of MMS, ISO 9506-2).

What is read is trusted in nothing. Every length is checked against what encloses it before an
octet is touched; structures nest to a fixed depth; what is not understood is refused, with its
place. What is written is the shortest form. What is read may be longer where publishers of fixed
layout make it so: a length in one or two octets more, an integer with leading sign octets up to
the width of its type.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ems.errors import GeemsError
from ems.protocols.goose.utc_time import UtcTime
from ems.protocols.goose.values import (
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
    MmsString,
    OctetString,
    Structure,
    Timestamp,
    Uint32,
    VisibleString,
    integer,
)

ARRAY, STRUCTURE = 0xA1, 0xA2
DEEPEST = 8
"""Structures within structures. A data attribute lies at most five deep in IEC 61850-7-3."""
WIDEST_INTEGER = 8
"""Octets of an INT64."""
WIDEST_UNSIGNED = 5
"""Octets of an INT32U: four, and one for the sign."""
_SINGLE, _DOUBLE = struct.Struct(">Bf"), struct.Struct(">Bd")
_SINGLE_EXPONENT, _DOUBLE_EXPONENT = 8, 11
"""Bits of the exponent: the octet before the number."""


class MalformedFrame(GeemsError):
    """Octets that are no GOOSE frame; nothing of them is used."""

    def __init__(self, offset: int, reason: str) -> None:
        """Say where and why.

        Args:
            offset: octet of the frame, counted from 0.
            reason: what is wrong there.
        """
        super().__init__(offset, reason)
        self.offset = offset
        self.reason = reason

    def __str__(self) -> str:
        return f"octet {self.offset}: {self.reason}"


# Writing


def tlv(tag: int, content: bytes) -> bytes:
    """Tag, shortest length, content."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    if size <= 0xFF:
        return bytes((tag, 0x81, size)) + content
    if size <= 0xFFFF:
        return bytes((tag, 0x82, size >> 8, size & 0xFF)) + content
    raise ValueError(f"{size} octets do not fit into a frame")


def integer_octets(value: int) -> bytes:
    """Two's complement in the fewest octets."""
    return value.to_bytes(((value if value >= 0 else ~value).bit_length() >> 3) + 1, signed=True)


def time_octets(time: UtcTime) -> bytes:
    """The eight octets of a time stamp."""
    return (time.seconds << 32 | time.fraction << 8 | time.quality).to_bytes(8)


def _bit_octets(bits: BitString) -> bytes:
    unused = -bits.size & 7
    return bytes((unused,)) + (bits.value << unused).to_bytes((bits.size + 7) >> 3)


_WRITERS: dict[type, tuple[int, Callable[[Any], bytes]]] = {
    Array: (ARRAY, lambda d: sequence_octets(d.value)),
    Structure: (STRUCTURE, lambda d: sequence_octets(d.value)),
    Boolean: (0x83, lambda d: b"\x01" if d.value else b"\x00"),
    BitString: (0x84, _bit_octets),
    Int32: (0x85, lambda d: integer_octets(d.value)),
    Int64: (0x85, lambda d: integer_octets(d.value)),
    Uint32: (0x86, lambda d: integer_octets(d.value)),
    Float32: (0x87, lambda d: _SINGLE.pack(_SINGLE_EXPONENT, d.value)),
    Float64: (0x87, lambda d: _DOUBLE.pack(_DOUBLE_EXPONENT, d.value)),
    OctetString: (0x89, lambda d: d.value),
    VisibleString: (0x8A, lambda d: d.value.encode("ascii")),
    BinaryTime: (0x8C, lambda d: d.value),
    Bcd: (0x8D, lambda d: d.value),
    MmsString: (0x90, lambda d: d.value.encode()),
    Timestamp: (0x91, lambda d: time_octets(d.value)),
}


def sequence_octets(data: Sequence[Data]) -> bytes:
    """Values one after the other."""
    parts = []
    for value in data:
        tag, content = _WRITERS[type(value)]
        parts.append(tlv(tag, content(value)))
    return b"".join(parts)


# Reading. A reader is given the frame and the first and the last-but-one octet of its content,
# which the caller has proved to lie inside the frame.


def head(octets: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Tag, start and end of the content of what begins at `at` and must end by `end`."""
    if end - at < 2:
        raise MalformedFrame(at, "ends within a tag and its length")
    size, start = octets[at + 1], at + 2
    if size >= 0x80:
        more = size & 0x7F
        if more not in (1, 2):
            raise MalformedFrame(at + 1, "a length in one or two octets is needed")
        if end - start < more:
            raise MalformedFrame(at + 1, "ends within a length")
        size, start = int.from_bytes(octets[start : start + more]), start + more
    stop = start + size
    if stop > end:
        raise MalformedFrame(at + 1, "a length reaches beyond what encloses it")
    return octets[at], start, stop


_KNOWN: dict[bytes, Data] = {}
"""Values read before, by their octets: most of what a data set says it has said before."""
MOST_KNOWN = 4096
"""So many are kept, under a megabyte: time stamps are new each time."""


def read_sequence(octets: bytes, at: int, end: int, depth: int = 0) -> tuple[Data, ...]:
    """The values between `at` and `end`, which they fill exactly."""
    found: list[Data] = []
    while at < end:
        tag, start, stop = head(octets, at, end)
        reader = _READERS.get(tag)
        if reader is not None:
            content = octets[at:stop]
            value = _KNOWN.get(content)
            if value is None:
                value = reader(octets, start, stop)
                if len(_KNOWN) >= MOST_KNOWN:
                    _KNOWN.clear()
                _KNOWN[content] = value
            found.append(value)
        elif tag in _NESTING:
            if depth == DEEPEST:
                raise MalformedFrame(at, "structures nest too deep")
            found.append(_NESTING[tag](read_sequence(octets, start, stop, depth + 1)))
        else:
            raise MalformedFrame(at, "no type of value has this tag")
        at = stop
    return tuple(found)


def read_boolean(octets: bytes, start: int, stop: int) -> bool:
    """One octet; anything but zero is true."""
    if stop - start != 1:
        raise MalformedFrame(start, "a boolean has one octet")
    return octets[start] != 0


def read_unsigned(octets: bytes, start: int, stop: int) -> int:
    """An integer from 0 to 2^32-1."""
    if not 1 <= stop - start <= WIDEST_UNSIGNED:
        raise MalformedFrame(start, "an unsigned integer has one to five octets")
    value = int.from_bytes(octets[start:stop], signed=True)
    if not 0 <= value <= 0xFFFF_FFFF:
        raise MalformedFrame(start, "an unsigned integer is not in 0 to 2^32-1")
    return value


def read_text(octets: bytes, start: int, stop: int) -> str:
    """Printable ASCII."""
    text = octets[start:stop].decode("latin-1")
    if text and not (text.isascii() and text.isprintable()):
        raise MalformedFrame(start, "a visible string holds more than printable ASCII")
    return text


def read_time(octets: bytes, start: int, stop: int) -> UtcTime:
    """A time stamp of eight octets."""
    if stop - start != 8:
        raise MalformedFrame(start, "a time stamp has eight octets")
    value = int.from_bytes(octets[start:stop])
    return UtcTime(value >> 32, value >> 8 & 0xFF_FFFF, value & 0xFF)


def _read_integer(octets: bytes, start: int, stop: int) -> Int32 | Int64:
    if not 1 <= stop - start <= WIDEST_INTEGER:
        raise MalformedFrame(start, "an integer has one to eight octets")
    return integer(int.from_bytes(octets[start:stop], signed=True))


def _read_bits(octets: bytes, start: int, stop: int) -> BitString:
    if stop == start:
        raise MalformedFrame(start, "a bit string says first how many bits are unused")
    unused, size = octets[start], 8 * (stop - start - 1)
    if unused > min(7, size):
        raise MalformedFrame(start, "a bit string has more unused bits than its last octet")
    return BitString(int.from_bytes(octets[start + 1 : stop]) >> unused, size - unused)


def _read_float(octets: bytes, start: int, stop: int) -> Float32 | Float64:
    if stop - start == _SINGLE.size and octets[start] == _SINGLE_EXPONENT:
        return Float32(_SINGLE.unpack_from(octets, start)[1])
    if stop - start == _DOUBLE.size and octets[start] == _DOUBLE_EXPONENT:
        return Float64(_DOUBLE.unpack_from(octets, start)[1])
    raise MalformedFrame(start, "a floating point number is of single or double precision")


def _read_mms_string(octets: bytes, start: int, stop: int) -> MmsString:
    try:
        return MmsString(octets[start:stop].decode())
    except UnicodeDecodeError:
        _refuse(start, "an MMS string is not UTF-8")


def _read_binary_time(octets: bytes, start: int, stop: int) -> BinaryTime:
    if stop - start not in (4, 6):
        raise MalformedFrame(start, "a binary time has four or six octets")
    return BinaryTime(octets[start:stop])


def _read_bcd(octets: bytes, start: int, stop: int) -> Bcd:
    if stop == start:
        raise MalformedFrame(start, "a BCD has at least one octet")
    return Bcd(octets[start:stop])


def _refuse(offset: int, reason: str) -> NoReturn:
    """Not chained: what Python says about the octets adds nothing."""
    raise MalformedFrame(offset, reason) from None


_NESTING: dict[int, type[Array | Structure]] = {ARRAY: Array, STRUCTURE: Structure}
_READERS: dict[int, Callable[[bytes, int, int], Data]] = {
    0x83: lambda o, start, stop: Boolean(read_boolean(o, start, stop)),
    0x84: _read_bits,
    0x85: _read_integer,
    0x86: lambda o, start, stop: Uint32(read_unsigned(o, start, stop)),
    0x87: _read_float,
    0x89: lambda o, start, stop: OctetString(o[start:stop]),
    0x8A: lambda o, start, stop: VisibleString(read_text(o, start, stop)),
    0x8C: _read_binary_time,
    0x8D: _read_bcd,
    0x90: _read_mms_string,
    0x91: lambda o, start, stop: Timestamp(read_time(o, start, stop)),
}
