"""What is sent to the devices, what became of it, and the record of it all."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ems.domain.ahead import Horizon, Plan
from ems.domain.decided import Dispatch, Infeasible, Secured, Setpoint, Verified
from ems.domain.expected import Forecast
from ems.domain.explained import Ledger
from ems.domain.given import Before, Setup, Timed
from ems.domain.imposed import Imposed
from ems.domain.measured import Snapshot
from ems.domain.mismatch import BusMismatch
from ems.domain.watched import InForce, Watched


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What is written to one device in one go."""

    der: str
    p_kw: float | None
    """Active-power setpoint; None for a PV plant, which takes a cap [kW]."""
    q_kvar: float
    cap_kw: float | None
    """PV: cap; None lifts it [kW]."""
    reversion_kw: float
    """Cap or setpoint the device falls back to [kW]."""
    reversion_s: int
    """After how long without a refresh [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readback:
    """What the device's registers hold after a write."""

    p_kw: float | None
    q_kvar: float
    cap_kw: float | None
    reverts: bool = True
    """Whether a timer was started that ends the command; False: the device has none, and keeps
    its last command when nobody refreshes it."""
    ends_s: float | None = None
    """How long its timer runs, from the reading that the write rests on where there is one, else
    from the write; None: as long as was commanded [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """Written, read back, equal."""

    command: Command
    readback: Readback


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """Written, but what the device holds is not what was asked, or is not known."""

    command: Command
    reason: str
    readback: Readback | None = None
    fell_back: bool = False
    """Whether the device said that it does what it falls back to instead."""
    contested: bool = False
    """Whether it said that it does what somebody else asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Not written: the device refused, or GEEMS did."""

    command: Command
    reason: str
    waited: bool = False
    """Nothing is wrong with the device: it waited for one that did not relieve the network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advised:
    """Advisory mode: shown, never written."""

    command: Command


Outcome = Sent | Partial | Refused | Advised


def first_step_kw(target: Setpoint, outcome: Outcome | None) -> float | None:
    """What a generator was sent that is led to its setpoint along its ramp [kW].

    None where it was asked for all of it, or nothing is known to be in force.
    """
    if not isinstance(outcome, Sent) or (sent_kw := outcome.command.p_kw) is None:
        return None
    return None if same_kw(sent_kw, target.p_kw) else sent_kw


def same_kw(sent_kw: float, target_kw: float) -> bool:
    """Whether what was sent is all of a setpoint, but for what registers round."""
    return math.isclose(sent_kw, target_kw, rel_tol=1e-4, abs_tol=0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a device answered to one write."""

    readback: Readback | None = None
    fault: str = ""
    """Why there is no read-back."""
    refused: bool = False
    """Whether nothing was written; else what the device holds is not known."""
    fell_back: bool = False
    """Whether the device said that it does what it falls back to instead."""
    contested: bool = False
    """Whether it said that it does what somebody else asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleRecord:
    """Everything one cycle saw, decided and did."""

    start: datetime
    """Interval it decided for."""
    site: str
    snapshot: Snapshot
    forecast: Forecast
    free: Dispatch
    secured: Secured
    ledger: Ledger
    outcomes: Mapping[str, Outcome]
    alarms: tuple[str, ...] = ()
    """What an operator must look at, one line each."""
    stage_s: Mapping[str, float] = field(default_factory=dict)
    """Wall time per stage [s]."""
    versions: Mapping[str, str] = field(default_factory=dict)
    in_force: Mapping[str, InForce] = field(default_factory=dict)
    """What the devices hold after this cycle; a device never written to is missing."""
    mismatch: Mapping[str, BusMismatch] = field(default_factory=dict)
    """How measured buses differ from the model, by bus; voltages of `secured` are corrected by
    it."""
    plan: Plan | None = None
    """The day ahead whose first interval was sent; None where the interval was decided alone."""
    kept: Mapping[str, Setpoint] = field(default_factory=dict)
    """What devices were left at, being within the deadband of what was decided."""
    watched: Watched | None = None
    """How devices followed since the cycle before, and what they held; None where nobody
    watched."""
    setup: Setup | None = None
    """Site and policy as they were; None: an older version did not keep them."""
    before: Before | None = None
    """What the cycle before left to this decision; None likewise."""
    horizon: Horizon | None = None
    """The day ahead as it was foretold; None where it was not asked for, or not known."""
    no_horizon: str = ""
    """Why the day ahead could not be foretold."""
    answers: Mapping[str, tuple[Answer, ...]] = field(default_factory=dict)
    """What devices answered to the writes, in their order."""
    timed: Timed = field(default_factory=Timed)
    """What depended on how long things took."""
    imposed: Imposed | None = None
    """What a utility limited the site to; None: nobody did."""

    @property
    def model_faults(self) -> tuple[str, ...]:
        """Alarms that tell of refused or missing models of the forecast."""
        ahead = self.horizon.faults if self.horizon is not None else ()
        return tuple(dict.fromkeys((*self.forecast.faults, *ahead)))

    @property
    def status(self) -> str:
        """`verified`, `degraded` or `infeasible`; partial writes degrade.

        A refused model does not: what was decided is proved, whatever was forecast.
        """
        if isinstance(self.secured, Infeasible):
            return "infeasible"
        written = all(isinstance(o, Sent | Advised) for o in self.outcomes.values())
        others = set(self.alarms).difference(self.model_faults)
        good = isinstance(self.secured, Verified) and written and not others
        return "verified" if good else "degraded"
