"""The values a data set may hold, one class for each choice of MMS `Data`.

Each has its content in `value`, and refuses what its type cannot hold. On the wire there is one
`integer` of any width: what fits into 32 bits is an `Int32`, only what does not is an `Int64`
(`integer` makes the right one), so that what is decoded is what was encoded.
"""

import math
import struct
from dataclasses import dataclass
from typing import TypeAlias

from ems.protocols.goose.utc_time import UtcTime

_SINGLE = struct.Struct(">f")
_BINARY_TIME_OCTETS = (4, 6)
"""Milliseconds of the day, without and with the day."""


@dataclass(frozen=True, slots=True)
class Boolean:
    """True or false."""

    value: bool


@dataclass(frozen=True, slots=True)
class Int32:
    """A signed integer of at most 32 bits (INT8 to INT32, enumerations)."""

    value: int

    def __post_init__(self) -> None:
        if not -0x8000_0000 <= self.value <= 0x7FFF_FFFF:
            raise ValueError(f"{self.value} does not fit into 32 bits")


@dataclass(frozen=True, slots=True)
class Int64:
    """A signed integer that needs more than 32 bits (INT64)."""

    value: int

    def __post_init__(self) -> None:
        if not -(1 << 63) <= self.value < 1 << 63:
            raise ValueError(f"{self.value} does not fit into 64 bits")
        if -0x8000_0000 <= self.value <= 0x7FFF_FFFF:
            raise ValueError(f"{self.value} fits into 32 bits: use Int32, or integer()")


@dataclass(frozen=True, slots=True)
class Uint32:
    """An unsigned integer of at most 32 bits (INT8U to INT32U)."""

    value: int

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 0xFFFF_FFFF:
            raise ValueError(f"{self.value} does not fit into 32 bits without a sign")


@dataclass(frozen=True, slots=True, eq=False)
class Float32:
    """A number of single precision; NaN where there is none.

    Two that are not a number are equal here: they say the same. So are 0.0 and -0.0.
    """

    value: float

    def __post_init__(self) -> None:
        try:
            (single,) = _SINGLE.unpack(_SINGLE.pack(self.value))
        except OverflowError:
            raise ValueError(f"{self.value} is too large for single precision") from None
        object.__setattr__(self, "value", single)

    def __eq__(self, other: object) -> bool:
        return type(other) is Float32 and _same_number(self.value, other.value)

    def __hash__(self) -> int:
        return hash(None if math.isnan(self.value) else self.value)


@dataclass(frozen=True, slots=True, eq=False)
class Float64:
    """A number of double precision; equal as `Float32` is."""

    value: float

    def __eq__(self, other: object) -> bool:
        return type(other) is Float64 and _same_number(self.value, other.value)

    def __hash__(self) -> int:
        return hash(None if math.isnan(self.value) else self.value)


@dataclass(frozen=True, slots=True)
class BitString:
    """Bits in order; the first one is the most significant bit of `value`."""

    value: int
    """The bits read as one number."""
    size: int
    """Number of bits."""

    def __post_init__(self) -> None:
        if self.size < 0 or not 0 <= self.value < 1 << self.size:
            raise ValueError(f"{self.value:#x} does not fit into {self.size} bits")

    def bit(self, index: int) -> bool:
        """Bit `index`, counted from 0 at the front."""
        if not 0 <= index < self.size:
            raise IndexError(f"bit {index} of {self.size}")
        return bool(self.value >> (self.size - 1 - index) & 1)


@dataclass(frozen=True, slots=True)
class OctetString:
    """Octets without a meaning here."""

    value: bytes


@dataclass(frozen=True, slots=True)
class VisibleString:
    """Printable ASCII."""

    value: str

    def __post_init__(self) -> None:
        if self.value and not (self.value.isascii() and self.value.isprintable()):
            raise ValueError(f"{self.value!r} holds more than printable ASCII")


@dataclass(frozen=True, slots=True)
class MmsString:
    """Text in UTF-8."""

    value: str


@dataclass(frozen=True, slots=True)
class Timestamp:
    """An instant (UTC time)."""

    value: UtcTime


@dataclass(frozen=True, slots=True)
class BinaryTime:
    """A time of day of the older kind; its octets are carried and not read."""

    value: bytes

    def __post_init__(self) -> None:
        if len(self.value) not in _BINARY_TIME_OCTETS:
            raise ValueError(f"a binary time has 4 or 6 octets, not {len(self.value)}")


@dataclass(frozen=True, slots=True)
class Bcd:
    """Decimal digits; its octets are carried and not read."""

    value: bytes

    def __post_init__(self) -> None:
        if not self.value:
            raise ValueError("a BCD has at least one octet")


@dataclass(frozen=True, slots=True)
class Structure:
    """Members of different types, in order."""

    value: tuple["Data", ...]


@dataclass(frozen=True, slots=True)
class Array:
    """Elements of one type, in order."""

    value: tuple["Data", ...]


Data: TypeAlias = (
    Boolean
    | Int32
    | Int64
    | Uint32
    | Float32
    | Float64
    | BitString
    | OctetString
    | VisibleString
    | MmsString
    | Timestamp
    | BinaryTime
    | Bcd
    | Structure
    | Array
)
"""A value of a data set."""


def integer(value: int) -> Int32 | Int64:
    """The class for a signed integer of up to 64 bits."""
    if -0x8000_0000 <= value <= 0x7FFF_FFFF:
        return Int32(value)
    return Int64(value)


def _same_number(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
