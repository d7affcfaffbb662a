"""Time stamps as GOOSE carries them: eight octets, the last one about the clock.

Layout after the public dissector of Wireshark (packet-goose): 32 bit of seconds since 1970,
24 bit of a second's fraction, 8 bit of quality.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LEAP_SECONDS_KNOWN = 0x80
CLOCK_FAILURE = 0x40
CLOCK_NOT_SYNCHRONISED = 0x20
ACCURACY = 0x1F
"""The bits that hold how many bits of the fraction are significant."""
ACCURACY_UNSPECIFIED = 31
_PARTS = 1 << 24
"""Parts of a second in the fraction."""
_LARGEST_S = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True, order=True)
class UtcTime:
    """An instant, and how far its clock can be trusted. Ordered by time, then by quality."""

    seconds: int
    """Since 1970-01-01 UTC [s]."""
    fraction: int = 0
    """Of a second, in parts of 2^-24."""
    quality: int = ACCURACY_UNSPECIFIED
    """The quality octet."""

    def __post_init__(self) -> None:
        if not 0 <= self.seconds <= _LARGEST_S:
            raise ValueError(f"{self.seconds} s since 1970 does not fit into 32 bits")
        if not 0 <= self.fraction < _PARTS:
            raise ValueError(f"fraction {self.fraction} does not fit into 24 bits")
        if not 0 <= self.quality <= 0xFF:
            raise ValueError(f"quality {self.quality} does not fit into 8 bits")

    @classmethod
    def of(cls, when: datetime, quality: int = ACCURACY_UNSPECIFIED) -> "UtcTime":
        """The instant of an aware datetime; exact to the microsecond there and back."""
        since = when - EPOCH
        fraction = round(since.microseconds * _PARTS / 1_000_000)
        return cls(since.days * 86_400 + since.seconds, fraction, quality)

    @property
    def when(self) -> datetime:
        """The instant, aware, UTC, to the nearest microsecond."""
        micro = round(self.fraction * 1_000_000 / _PARTS)
        return EPOCH + timedelta(seconds=self.seconds, microseconds=micro)

    @property
    def leap_seconds_known(self) -> bool:
        """Whether the clock takes account of all leap seconds."""
        return bool(self.quality & LEAP_SECONDS_KNOWN)

    @property
    def clock_failure(self) -> bool:
        """Whether the clock is known to be wrong."""
        return bool(self.quality & CLOCK_FAILURE)

    @property
    def clock_not_synchronised(self) -> bool:
        """Whether the clock has lost its reference."""
        return bool(self.quality & CLOCK_NOT_SYNCHRONISED)

    @property
    def accuracy_bits(self) -> int | None:
        """Significant bits of the fraction; None where the clock does not say."""
        bits = self.quality & ACCURACY
        return None if bits == ACCURACY_UNSPECIFIED else bits
