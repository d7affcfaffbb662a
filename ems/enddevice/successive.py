"""Events that follow on one another: randomisation makes neither conflicts nor gaps of them.

Each of two events has its own random draws, so that the first may end after the second has begun,
or before. Then (IEEE Std 2030.5-2018, 10.2.3, on randomisation and successive events):

- the effective start of the later one goes first: the earlier one ends, and is complete;
- where the later one is of a program that goes after that of the earlier one, it waits for its end;
- within a program the state is kept: an event whose scheduled time touches that of a later one, or
  that a newer one is to supersede, lasts until that one starts.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ems.enddevice.tracked import Tracked
from ems.protocols.ieee2030_5 import events

REACH_S = 3 * 3600
"""How far two windows may be moved towards one another: a start and a duration of the one, the
start of the other, each by an hour at most (OneHourRangeType) [s]."""


def settle(tracked: Iterable[Tracked]) -> None:
    """Set the windows in which events are followed from those that were drawn.

    Args:
        tracked: all events of a device.
    """
    known = sorted(tracked, key=lambda t: (t.event.start, t.event.end))
    for one in known:
        one.window = one.drawn
    able = [t for t in known if _is_to_run(t)]
    pairs = _near(able)
    _set_ends(able, pairs)
    for earlier, later in pairs:
        _wait(earlier, later)


def _is_to_run(tracked: Tracked) -> bool:
    """One that this device will not run ends no other one, and is not waited for."""
    return (
        tracked.live
        and tracked.event.cancelled is None
        and not tracked.opted_out
        and tracked.drawn.start < tracked.drawn.end
    )


def _near(able: Sequence[Tracked]) -> list[tuple[Tracked, Tracked]]:
    """Pairs that may meet, the one that is scheduled to start first before the other one."""
    starts = [t.event.start for t in able]
    return [
        (one, other)
        for at, one in enumerate(able)
        for other in able[at + 1 : bisect_left(starts, one.event.end + REACH_S)]
    ]


def _set_ends(able: Sequence[Tracked], pairs: Sequence[tuple[Tracked, Tracked]]) -> None:
    """By the starts that were drawn: whoever waits does so for one that asks for the same."""
    kept: defaultdict[str, list[int]] = defaultdict(list)
    ended: defaultdict[str, list[int]] = defaultdict(list)
    for one, other in pairs:
        earlier, later = one, other
        same = one.event.program == other.event.program
        follow = not events.overlap(one.event, other.event)
        if not follow and one.rank() < other.rank():
            earlier, later = other, one
        if not earlier.event.modes <= later.event.modes:
            continue
        if same and (not follow or earlier.event.end == later.event.start):
            kept[earlier.event.mrid].append(later.drawn.start)
        if follow and later.event.primacy <= earlier.event.primacy:
            ended[earlier.event.mrid].append(later.drawn.start)
    for one in able:
        end = max(one.drawn.end, min(kept[one.event.mrid], default=one.drawn.end))
        end = min(end, min(ended[one.event.mrid], default=end))
        one.window = replace(one.drawn, end=max(end, one.drawn.start))


def _wait(earlier: Tracked, later: Tracked) -> None:
    """Let one of a program that goes after that of the earlier one wait for its end."""
    if (
        earlier.event.primacy < later.event.primacy
        and later.event.modes <= earlier.event.modes
        and not events.overlap(earlier.event, later.event)
        and earlier.drawn.start <= later.drawn.start < earlier.window.end
    ):
        start = min(max(earlier.window.end, later.window.start), later.window.end)
        later.window = replace(later.window, start=start)
