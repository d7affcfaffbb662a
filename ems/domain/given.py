"""What a decision is made from, whole: with it and the feeder a cycle can be decided again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ems.domain.ahead import Horizon, Plan
from ems.domain.decided import Dispatch
from ems.domain.expected import Forecast
from ems.domain.imposed import Imposed
from ems.domain.measured import Snapshot
from ems.domain.mismatch import BusMismatch
from ems.domain.site import Policy, Site
from ems.domain.watched import InForce, Watched


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a cycle is run with; the same for many cycles."""

    site: Site
    policy: Policy
    feeder: str = ""
    """Name of the feeder model and the digest of its files; empty where nobody told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What the cycle before leaves to the next decision; all of it empty where there was none."""

    time: datetime | None = None
    """When that one measured, UTC."""
    acted: bool = False
    """Whether GEEMS had written anything by then; before, the feeder is as it was found."""
    loss_factor: float | None = None
    """K of eq. (2) as its load flow has it; None: the site's [1]."""
    peak_kw: float | None = None
    """The month's highest import until then, by the site's calendar, as far as it is known; None
    where no demand charge applies [kW]."""
    peak_since: datetime | None = None
    """Since when no interval's import is missing in it, UTC; None: since the month began, or no
    demand charge applies."""
    held: Mapping[str, InForce] = field(default_factory=dict)
    """What devices held since; empty where `Watched` tells."""
    mismatch: Mapping[str, BusMismatch] = field(default_factory=dict)
    """How measured buses differed from the model, by bus."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LateSolve:
    """A solve whose answer may depend on how fast the machine was, with that answer."""

    number: int
    """Its place among the solves of its cycle, from 0."""
    fault: str = ""
    """Why it gave no answer; empty where it gave one."""
    dispatch: Dispatch | None = None
    plan: Plan | None = None
    """Where rows of later intervals were found from it; None: the record's, or not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """What of a cycle depended on how long things took: the branches a replay takes again."""

    solves: tuple[LateSolve, ...] = ()
    proofs: int | None = None
    """Load flows of later intervals for which there was time; None: for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What one decision is made from. It asks nothing else but the feeder."""

    setup: Setup
    price_usd_per_kwh: float
    """Grid energy in this interval [$/kWh]."""
    snapshot: Snapshot
    forecast: Forecast
    before: Before
    horizon: Horizon | None = None
    """The day ahead as it was foretold; None where no plan was to be made, or none could."""
    no_horizon: str = ""
    """Why the day ahead could not be foretold."""
    watched: Watched | None = None
    """How devices followed since the cycle before; its readings are in the snapshot."""
    imposed: Imposed | None = None
    """What a utility limits the site to; None: nobody does."""

    @property
    def site(self) -> Site:
        """What is installed, with the limits of the interval."""
        if self.imposed is None:
            return self.setup.site
        return self.imposed.on(self.setup.site)

    @property
    def policy(self) -> Policy:
        """How it is run."""
        return self.setup.policy

    @property
    def held(self) -> Mapping[str, InForce]:
        """What the devices were last written."""
        return self.before.held if self.watched is None else self.watched.in_force
