"""Time zones by name, and what was meant where there is none of a name.

`zone_of(name) -> ZoneInfo`
"""

import re
from difflib import get_close_matches
from zoneinfo import ZoneInfo, available_timezones

_OFFSET = re.compile(r"(?:UTC|GMT|Z)?\s*[+-]?0?(\d{1,2})(?::?00)?", re.IGNORECASE)
_MOST_HOURS = 12


class UnknownZone(ValueError):
    """There is no time zone of a name; says which may be meant."""


def zone_of(name: str) -> ZoneInfo:
    """The time zone of a name, such as Etc/GMT+7 or America/Denver.

    Raises:
        UnknownZone: there is none.
    """
    try:
        return ZoneInfo(name)
    except (LookupError, OSError, ValueError) as fault:  # unknown; a folder of zones; no name
        raise UnknownZone(f"no time zone '{name}'; {_meant(name)}") from fault


def _meant(name: str) -> str:
    """What to write instead."""
    if (offset := _OFFSET.fullmatch(name)) and 0 < (hours := int(offset[1])) <= _MOST_HOURS:
        return (
            f"did you mean Etc/GMT+{hours}, {hours} h behind UTC, or Etc/GMT-{hours}, "
            f"{hours} h ahead of it?"
        )
    known = {zone.lower(): zone for zone in sorted(available_timezones())}
    wanted = name.lower().replace(" ", "_")
    same = [z for low, z in known.items() if wanted and low.rpartition("/")[2] == wanted]
    near = same or [known[low] for low in get_close_matches(wanted, known, n=1, cutoff=0.75)]
    return f"did you mean {near[0]}?" if near else "write it as Etc/GMT+7 or America/Denver"
