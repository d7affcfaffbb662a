"""The quality of a value: thirteen bits.

Order of the bits after public sources (Wireshark, libiec61850's documentation of its constants).
"""

from dataclasses import dataclass
from enum import IntEnum

from ems.protocols.goose.values import BitString

QUALITY_BITS = 13


class Validity(IntEnum):
    """The first two bits."""

    GOOD = 0
    INVALID = 1
    RESERVED = 2
    QUESTIONABLE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How far a value can be trusted."""

    validity: Validity = Validity.GOOD
    """Whether the value may be used at all."""
    overflow: bool = False
    """The value is beyond what its type can hold."""
    out_of_range: bool = False
    """The value is beyond its range."""
    bad_reference: bool = False
    """The reference of the measurement is out of calibration."""
    oscillatory: bool = False
    """A binary value that changes too often."""
    failure: bool = False
    """A supervision found a fault."""
    old_data: bool = False
    """The value was not updated in time."""
    inconsistent: bool = False
    """An evaluation found a contradiction."""
    inaccurate: bool = False
    """The value does not keep its accuracy."""
    substituted: bool = False
    """An operator entered the value."""
    test: bool = False
    """The value belongs to a test and must not act on the process."""
    operator_blocked: bool = False
    """An operator holds the value."""

    @classmethod
    def of(cls, bits: BitString) -> "Quality":
        """Read thirteen bits.

        Raises:
            ValueError: another number of bits.
        """
        if bits.size != QUALITY_BITS:
            raise ValueError(f"a quality has {QUALITY_BITS} bits, not {bits.size}")
        flags = {name: bits.bit(2 + i) for i, name in enumerate(FLAGS)}
        return cls(validity=Validity(bits.value >> (QUALITY_BITS - 2)), **flags)

    @property
    def bits(self) -> BitString:
        """The thirteen bits."""
        value = int(self.validity)
        for name in FLAGS:
            value = value << 1 | getattr(self, name)
        return BitString(value, QUALITY_BITS)

    @property
    def usable(self) -> bool:
        """Whether the value may act: good, of no test, and not held by an operator."""
        return self.validity is Validity.GOOD and not self.test and not self.operator_blocked


FLAGS = (
    "overflow",
    "out_of_range",
    "bad_reference",
    "oscillatory",
    "failure",
    "old_data",
    "inconsistent",
    "inaccurate",
    "substituted",
    "test",
    "operator_blocked",
)
"""The bits after the validity, in order."""
GOOD = Quality().bits
INVALID = Quality(validity=Validity.INVALID).bits
