"""When controls stand, what they ask for, and which goes before which.

Rules of events and primacy: IEEE Std 2030.5-2018, 10.2.3.
"""

from collections.abc import Iterable
from itertools import pairwise

from ems.derms.board import Control
from ems.derms.controls import RESPOND_SPECIFIC
from ems.protocols.ieee2030_5 import modes, sep
from ems.protocols.ieee2030_5.functions import functions_of_all

Part = tuple[int, int]
"""From when to when something is asked [s]."""
Ranked = tuple[Control, int]
"""An event, and the primacy of its program."""
RANDOM_PART_S = 60
"""For how long at most nothing is asked while it is left to chance when a device begins the event
that takes over [s]."""


def begins(event: Control) -> int:
    """When the first device may begin it [s]."""
    return event.start + min(0, event.random_start or 0)


def parts_of(event: Control, taking: Iterable[Part], start: int) -> list[Part]:
    """When an event is asked again: until one begins that goes before it and asks as much.

    What is new to a device, and what another program's event will take over, it would not begin at
    all; the event itself had begun, and lasted until then. Where that one begins at random, nobody
    knows when it does so here: of the short parts of that time those are followed that end before.

    Args:
        event: of others.
        taking: from when to when each of those begins.
        start: when it begins [s].
    """
    ahead = (at for at in taking if start < at[0] < event.ends)
    first, latest = min(ahead, default=(event.ends, event.ends))
    latest = min(latest, event.ends)
    return list(pairwise([start, *range(first, latest, RANDOM_PART_S), latest]))


def ends_with(event: Control, newer: Control) -> bool:
    """Whether every device that follows an event does so until a newer one of its program begins.

    Where that one begins at random, each device has a time of its own.
    """
    return (
        newer.program == event.program
        and (newer.created, newer.mrid) > (event.created, event.mrid)
        and functions(event.base) <= functions(newer.base)
        and not newer.random_start
        and newer.category in (None, event.category)
    )


def is_met(
    again: Control, event: Control, primacy: int, others: Iterable[Ranked], now: int
) -> bool:
    """Whether a device would give up what it has not begun for one that begins under way.

    Where that is of another program it does so as a whole (10.2.3). The event that is asked again
    would last until then: the other one is of its own program, or it would have begun already.

    Args:
        again: what is asked again.
        event: what it repeats.
        primacy: of both.
        others: that the device has not given up.
        now: server's time [s].
    """
    return any(
        (other.program == event.program or again.start <= now)
        and (goes, -other.created) <= (primacy, -again.created)
        and max(now, again.start) < begins(other) < again.ends
        and functions(again.base) <= functions(other.base)
        for other, goes in others
    )


def is_freed(
    again: Control, event: Control, standing: Iterable[Control], open_: Iterable[Control]
) -> bool:
    """Whether what is asked again ends for one that was cancelled before it began, and no other.

    Args:
        again: what is asked again.
        event: what it repeats.
        standing: the controls of others, cancelled or not.
        open_: those of them that are followed, or will be.
    """
    if event.ends <= again.ends:
        return False
    cancelled = (c for c in standing if c.cancelled is not None and c.cancelled <= begins(c))
    return any(begins(c) == again.ends for c in cancelled) and not any(
        begins(other) == again.ends and functions(again.base) <= functions(other.base)
        for other in open_
    )


def functions(base: sep.DERControlBase) -> frozenset[str]:
    """What a control asks for, so that another one which does so excludes it."""
    return functions_of_all(modes.asked(base))


def takes_over(ours: Control, theirs: Control) -> bool:
    """Whether a control goes before one of another program in a part of its time.

    Two that ask for different things need not exclude one another: a device that takes them so, and
    is to respond, says it.
    """
    shared = functions(ours.base) & functions(theirs.base)
    return meets(ours, theirs) and (bool(shared) or not theirs.response_required & RESPOND_SPECIFIC)


def meets(ours: Control, theirs: Control) -> bool:
    """Whether two controls stand at one time.

    One that was cancelled before the other was published took nothing.
    """
    return (
        ours.start < theirs.ends
        and begins(theirs) < ours.ends
        and (ours.cancelled is None or ours.cancelled >= theirs.created)
    )
