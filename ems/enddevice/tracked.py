"""One event, and what a device did with it."""

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
    window: events.Window
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
