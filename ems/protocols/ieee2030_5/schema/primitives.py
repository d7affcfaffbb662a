"""The simple types of IEEE 2030.5-2018, bounded as its schema bounds them."""

from typing import Annotated, Final

from pydantic import Field, StringConstraints


class Hex:
    """Marks text that is a hexadecimal number, and says how many digits it may have."""

    __slots__ = ("digits",)

    def __init__(self, digits: int) -> None:
        self.digits: Final = digits


Int8 = Annotated[int, Field(ge=-(2**7), lt=2**7)]
Int16 = Annotated[int, Field(ge=-(2**15), lt=2**15)]
Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Int48 = Annotated[int, Field(ge=-(2**47), lt=2**47)]
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]
UInt8 = Annotated[int, Field(ge=0, lt=2**8)]
UInt16 = Annotated[int, Field(ge=0, lt=2**16)]
UInt32 = Annotated[int, Field(ge=0, lt=2**32)]
UInt40 = Annotated[int, Field(ge=0, lt=2**40)]
UInt48 = Annotated[int, Field(ge=0, lt=2**48)]

PerCent = Annotated[int, Field(ge=0, le=10000)]
"""Hundredths of a percent."""
SignedPerCent = Annotated[int, Field(ge=-10000, le=10000)]
"""Hundredths of a percent."""
Multiplier = Annotated[int, Field(ge=-9, le=9)]
"""Power of ten; the standard's PowerOfTenMultiplierType ends at ±9."""
TimeType = Int64
"""Seconds since 1970-01-01T00:00:00Z, leap seconds not counted."""
OneHourRange = Annotated[int, Field(ge=-3600, le=3600)]
"""Seconds."""

HexBinary8 = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{1,2}\z"), Hex(2)]
HexBinary16 = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{1,4}\z"), Hex(4)]
HexBinary32 = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{1,8}\z"), Hex(8)]
HexBinary48 = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{1,12}\z"), Hex(12)]
HexBinary64 = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{1,16}\z"), Hex(16)]
HexBinary128 = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{1,32}\z"), Hex(32)]
HexBinary160 = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{1,40}\z"), Hex(40)]

# XML 1.0 cannot carry the other control characters, escaped or not.
_PRINTABLE = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\u{fffe}\u{ffff}]*\z"
String6 = Annotated[str, StringConstraints(max_length=6, pattern=_PRINTABLE)]
String16 = Annotated[str, StringConstraints(max_length=16, pattern=_PRINTABLE)]
String20 = Annotated[str, StringConstraints(max_length=20, pattern=_PRINTABLE)]
String32 = Annotated[str, StringConstraints(max_length=32, pattern=_PRINTABLE)]
String42 = Annotated[str, StringConstraints(max_length=42, pattern=_PRINTABLE)]
String192 = Annotated[str, StringConstraints(max_length=192, pattern=_PRINTABLE)]
Uri = Annotated[str, StringConstraints(max_length=4096, pattern=r"^[^\x00-\x20\x7f<>\"]*\z")]
