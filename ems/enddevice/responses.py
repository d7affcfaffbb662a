"""What a device answers to events."""

from dataclasses import dataclass
from enum import IntEnum

RECEIVED_BIT, SPECIFIC_BIT = 1 << 0, 1 << 1
"""responseRequired: that it was received; what became of it."""


class Status(IntEnum):
    """What a device answers to an event: table 27."""

    RECEIVED = 1
    STARTED = 2
    COMPLETED = 3
    OPTED_OUT = 4
    OPTED_IN = 5
    CANCELLED = 6
    SUPERSEDED = 7
    PARTLY_OPTED_OUT = 8
    PARTLY_OPTED_IN = 9
    NO_PARTICIPATION = 10
    OTHER_PROGRAM = 14
    NOT_APPLICABLE = 252
    INVALID = 253
    EXPIRED = 254


REJECTED = frozenset({Status.NOT_APPLICABLE, Status.INVALID, Status.EXPIRED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A Response that is due."""

    subject: str
    """mRID of the event."""
    status: Status
    time: int
    """When it became so [s]."""
    reply_to: str
    """Where Responses to this event go."""


def asks_for(bits: int, status: Status) -> bool:
    """Whether responseRequired asks for a Response; a refusal answers either question."""
    bit = RECEIVED_BIT if status is Status.RECEIVED else SPECIFIC_BIT
    if status in REJECTED:
        bit = RECEIVED_BIT | SPECIFIC_BIT
    return bool(bits & bit)
