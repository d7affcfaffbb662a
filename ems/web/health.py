"""How the service does: what its owner tells the web, and the web tells everybody."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from pydantic import ConfigDict

_DOCUMENTED = ConfigDict(use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceHealth:
    """Whether one device answers."""

    __pydantic_config__: ClassVar[ConfigDict] = _DOCUMENTED

    reachable: bool
    """Whether it answered the newest poll."""
    last_seen: datetime | None = None
    """When it last answered, UTC."""
    note: str = ""
    """Why it did not answer."""
    response: str = ""
    """Whether its measurement follows its command: `followed`, `waiting`, `ignored`, `ramping`
    (a generator is led to its setpoint); empty where no command of this service is in force."""
    ramps_to_kw: float | None = None
    """Setpoint that a generator is led to step by step along its ramp [kW]; null once it was asked
    for all of it."""
    response_note: str = ""
    """Why it does not follow, or why its command is no longer refreshed; else empty."""
    refreshed: datetime | None = None
    """When its command was last written and read back, UTC; null where none is in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The state of the service at one instant."""

    __pydantic_config__: ClassVar[ConfigDict] = _DOCUMENTED

    ready: bool
    """Whether the lease is held and a cycle of this or the interval before has finished."""
    site: str
    now: datetime
    """The service's clock, UTC; simulated time where the plant is simulated."""
    speed: float
    """Simulated seconds per second; 1 on the wall clock."""
    version: str
    mode: str
    """`advisory`: setpoints are shown, never written; `auto`: they are written."""
    lease_held: bool
    """Whether this process is the site's only writer; cycles run only then."""
    lease_holder: str
    """Who holds the lease; empty when nobody does."""
    cycles: int
    """Cycles finished since the start of the service."""
    failures: int
    """Cycles that ended in an error since the start of the service."""
    missed: int
    """Intervals for which no cycle ran since the start of the service."""
    last_cycle: datetime | None = None
    """Interval decided for last, UTC."""
    last_status: str | None = None
    """`verified`, `degraded` or `infeasible`."""
    last_cycle_s: float | None = None
    """How long the last cycle took [s]."""
    last_error: str = ""
    """The last error of a cycle, a poll or the database, with its time; empty: none."""
    last_missed: str = ""
    """The last interval missed, and why; empty: none."""
    next_run: datetime | None = None
    """When the next cycle is due, UTC, on the service's clock."""
    devices: Mapping[str, DeviceHealth] = field(default_factory=dict)
    """One entry per DER and one for the load meter (`load`)."""
    links: Mapping[str, str] = field(default_factory=dict)
    """What else this process serves or follows, and how that does: `ieee2030_5`, `utility`."""
    alarms: tuple[str, ...] = ()
    """What an operator must look at now, beside the alarms of the last cycle; refused models of the
    forecast are among both."""
