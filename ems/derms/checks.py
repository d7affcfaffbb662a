"""Checks that several parts of the board share."""

from typing import Any

from ems.errors import BadInput, Fault
from ems.settings.ieee2030_5.controls import UNWRITABLE

MRID_DIGITS = 32
HEX_DIGITS = frozenset("0123456789ABCDEF")


def writable(text: str) -> str:
    """A text that was kept, without what XML cannot hold: else its whole list could not be read."""
    return UNWRITABLE.sub("", text)


def known_keys(changes: dict[str, Any], may: frozenset[str], place: str) -> None:
    """Refuse keys that cannot be changed, all at once."""
    unknown = sorted(set(changes) - may)
    if unknown:
        raise BadInput(
            Fault(place=f"{place}: {key}", problem=f"cannot be changed; these can: {sorted(may)}")
            for key in unknown
        )


def mrid_faults(mrid: str, place: str) -> list[Fault]:
    """What is wrong with an mRID."""
    if 0 < len(mrid) <= MRID_DIGITS and set(mrid) <= HEX_DIGITS:
        return []
    return [Fault(place=f"{place}: mrid", problem=f"{mrid!r}: it has up to 32 hexadecimal digits")]
