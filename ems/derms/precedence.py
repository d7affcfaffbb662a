"""When controls stand, what they ask for, and which goes before which.

Rules of events and primacy: IEEE Std 2030.5-2018, 10.2.3.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise

from ems.derms.board import Control
from ems.derms.controls import RESPOND_SPECIFIC
from ems.protocols.ieee2030_5 import events, modes, sep
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


def has_begun(event: Control) -> int:
    """When the last device begins it [s].

    One that a device hears of while it runs it begins at random from then.
    """
    random_s = event.random_start or 0
    begun = event.start + max(0, random_s)
    return max(begun, event.created + abs(random_s)) if event.created > event.start else begun


def goes_before(other: Ranked, event: Ranked) -> bool:
    """Whether an event goes before another one and asks for as much: where it begins, that ends."""
    return _rank(other) < _rank(event) and functions(event[0].base) <= functions(other[0].base)


def may_last(
    event: events.Event,
    others: Iterable[events.Event],
    has_started: Callable[[str], bool],
    never_starts: Callable[[events.Event], bool],
    now: int,
) -> bool:
    """Whether a device may follow an event yet that its server tells is superseded.

    The server tells so from when the first device may begin the newer one. Each begins it at a time
    of its own, and leaves no gap before.

    Args:
        event: of others.
        others: all that are known of its program, those that have ended too.
        has_started: whether the device has begun that of an mRID.
        never_starts: whether it has surely given one up before that.
        now: the server's time [s].
    """
    newer = [
        other
        for other in others
        if other.goes_before(event) and event.modes <= other.modes and events.overlap(other, event)
    ]
    if event.cancelled is not None or any(has_started(other.mrid) for other in newer):
        return False
    begun = [o for o in newer if o.is_for_all_of(event) and _has_begun_by(o, now)]
    # What nobody is left to wait for ends at once.
    is_awaited = any(o.cancelled is None and o not in begun for o in newer)
    return is_awaited and all(never_starts(other) for other in begun)


def _has_begun_by(event: events.Event, now: int) -> bool:
    """Whether all devices have begun an event.

    One that a device hears of while it runs may be over before the device begins it.
    """
    begun, ends = event.start + max(0, event.random_start), event.latest_end
    if event.created > event.earliest_start:
        begun = max(begun, event.created + abs(event.random_start))
        ends = event.end + min(0, event.random_duration)
    return begun <= now and begun < (ends if event.cancelled is None else event.cancelled)


def is_met_at_random(event: Ranked, newer: Ranked) -> bool:
    """Whether an event lasts until a newer one of its program begins, and nobody knows when.

    Each device has a time of its own, and leaves no gap between the two of one program.
    """
    (ours, _), (theirs, _) = event, newer
    return (
        theirs.program == ours.program
        and bool(theirs.random_start)
        and begins(theirs) < ours.ends
        and begins(ours) < theirs.ends
        and goes_before(newer, event)
    )


def parts_of(event: Control, ahead: Iterable[Control], start: int) -> list[Part]:
    """In which parts an event is asked again: until one begins that goes before it, and from then.

    What is new to a device, and what another program's event will take over, it gives up as a
    whole; the event itself had begun, and lasted until then. So a device that follows the other one
    gives up no more than the part that this one meets, and one that does not, nothing. Where that
    one begins at random, nobody knows when it does so here: of the short parts of that time those
    are followed that end before. That is for the first one that all devices follow, and before.
    One that is scheduled before the event, and meets it by chance alone, takes nothing over: where
    it is asked again too, until its latest end, the event is from then on.

    Args:
        event: of others.
        ahead: those that go before it.
        start: when it begins [s].
    """
    others = sorted(ahead, key=begins)
    follows_on = {o.ends for o in others if o.start + o.duration <= event.start}
    edges, is_over = {start, event.ends, *follows_on}, False
    for other in (o for o in others if has_begun(o) > start):
        first, last = begins(other), has_begun(other)
        edges |= {first, last, *(() if is_over else range(first, last, RANDOM_PART_S))}
        is_over = is_over or other.category in (None, event.category)
    return list(pairwise(sorted(edge for edge in edges if start <= edge <= event.ends)))


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


def _rank(event: Ranked) -> tuple[int, int, int]:
    """The lower one goes first; of the same second, that of the higher mRID."""
    control, primacy = event
    return primacy, -control.created, -int(control.mrid, 16)
