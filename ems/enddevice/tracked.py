"""One event, and what a device did with it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from ems.enddevice.programs import ReadControl
from ems.enddevice.responses import Status
from ems.protocols.ieee2030_5 import events


class Stage(Enum):
    """How far an event has come."""

    WAITING = "waiting"
    RUNNING = "running"
    OVER = "over"


@dataclass(slots=True, kw_only=True)
class Tracked:
    """One event and what this device did with it."""

    event: events.Event
    drawn: events.Window
    """As its own randomisation has it."""
    window: events.Window
    """In which it is followed: what comes before and after it is taken into account."""
    read: ReadControl
    first_seen: int
    stage: Stage = Stage.WAITING
    took_part: bool = False
    opted_out: bool = False
    opted: bool = False
    """Whether the user changed his mind while it ran, or before."""
    superseded_by_server: bool = False

    @property
    def live(self) -> bool:
        """Whether it can still be followed."""
        return self.stage is not Stage.OVER

    def rank(self) -> tuple[int, int, int]:
        """The lower one goes first; of the same second, that of the higher mRID."""
        return self.event.primacy, -self.event.created, -int(self.event.mrid, 16)


def completed(tracked: Tracked) -> Status:
    """What to answer at its end."""
    if not tracked.opted:
        return Status.COMPLETED
    if not tracked.opted_out:
        return Status.PARTLY_OPTED_IN
    return Status.PARTLY_OPTED_OUT if tracked.took_part else Status.NO_PARTICIPATION


def supersedes(newer: Tracked, tracked: Tracked) -> bool:
    """Whether an event is one of those for which its server supersedes another one."""
    return (
        newer.event.program == tracked.event.program
        and _ahead(newer, tracked)
        and bool(newer.event.modes & tracked.event.modes)
    )


def displaces(other: Tracked, tracked: Tracked) -> bool:
    """Whether another event takes everything over that an event asks for.

    Only where they are scheduled for the same time: those that randomisation alone makes overlap
    follow on one another. Of one program the older one lasts until the newer one starts; of two,
    they must meet at this device, too.
    """
    if not (_ahead(other, tracked) and tracked.event.modes <= other.event.modes):
        return False
    # What an event lasts longer, so that nothing is left open, takes nothing from others.
    end = min(other.window.end, other.drawn.end)
    return other.event.program == tracked.event.program or (
        other.window.start < tracked.drawn.end and tracked.drawn.start < end
    )


def follows(later: Tracked, earlier: Tracked) -> bool:
    """Whether an event of a program is scheduled after another one of it."""
    return (
        later.event.program == earlier.event.program
        and earlier.event.end <= later.event.start
        and earlier.event.start < later.event.end
    )


def _ahead(other: Tracked, tracked: Tracked) -> bool:
    """Whether another event is scheduled for the same time, and goes first."""
    return (
        other is not tracked
        and other.live
        and other.event.cancelled is None
        and other.window.start < other.window.end
        and other.rank() < tracked.rank()
        and events.overlap(other.event, tracked.event)
    )


def next_edge(tracked: Iterable[Tracked], now: int) -> int | None:
    """When the next event begins or ends; None: none does [s]."""
    edges = (edge for t in tracked if t.live for edge in (t.window.start, t.window.end))
    return min((edge for edge in edges if edge > now), default=None)
