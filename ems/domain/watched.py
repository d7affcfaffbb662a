"""What is seen of the devices between two cycles: what they hold, and whether they follow."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ems.domain.decided import Setpoint
from ems.domain.measured import DerReading

UNKEPT_S = 1800.0
"""Timer of a record that does not tell it: what was the default when none did [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What a device may hold since it was last written."""

    setpoints: tuple[Setpoint, ...]
    """The one it confirmed; several where it did not. Of a generator that is led to its setpoint
    step by step, the step."""
    written: datetime
    """When it was last written or refreshed for certain, UTC."""
    reverts_from: datetime | None = None
    """When its timer runs out at the earliest, UTC; None: not kept, see `earliest`."""
    reverts_until: datetime | None = None
    """When its timer runs out at the latest, UTC; None: as `reverts_from`. The two differ where
    it is not known which refresh was the last to arrive."""
    reverts: bool = True
    """False: it has no timer, and holds what it was written until it is written again."""

    @property
    def earliest(self) -> datetime:
        """When it may fall back by itself, UTC."""
        return self.reverts_from or self.written + timedelta(seconds=UNKEPT_S)

    @property
    def latest(self) -> datetime:
        """When it has fallen back for certain, UTC."""
        return self.reverts_until or self.earliest


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """The measurement shows what was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The measurement does not show it yet, and there is time left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """The device acknowledged a command, and its measurement does not follow."""

    reason: str
    """What was asked, what is shown, and since when."""


Response = Followed | Waiting | Ignored


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """The first of a run of readings of one device that do not differ."""

    first: DerReading
    v_pu: float | None
    """Median voltage that the site's devices measured then; None where none does [pu]."""
    beats: bool = False
    """Whether its heartbeat has been seen to move; one that never did tells nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What polls and refreshes told since the cycle before."""

    in_force: Mapping[str, InForce] = field(default_factory=dict)
    """What the devices hold now; a device never written to is missing."""
    readings: Mapping[str, DerReading] = field(default_factory=dict)
    """The last good reading of each device."""
    alike: Mapping[str, Alike] = field(default_factory=dict)
    """Since when each device shows the same."""
    responses: Mapping[str, Response] = field(default_factory=dict)
    """Of the devices that have a command in force."""
