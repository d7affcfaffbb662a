"""A diesel generator set: start, governor, ramps, unloading and cool-down.

Values only, no registers and no clock. A step of any length is lived through from event to
event in closed form, so that one long step and many short ones under the same orders come to
the same.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from ems.domain import Dg
from ems.plant.devices import SECONDS_PER_HOUR, Orders
from ems.plant.terminal import NOMINAL, NOMINAL_HZ, Terminal


class GensetState(StrEnum):
    """What the set is doing."""

    OFF = "off"
    STARTING = "starting"
    """Cranks, runs up and synchronises; its breaker is open."""
    RUNNING = "running"
    """On the grid, between its least power and its rating, or on the way there."""
    UNLOADING = "unloading"
    """On the grid, on the way to no load; then its breaker opens."""
    COOLING = "cooling"
    """Runs without load, its breaker open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GensetSettings:
    """How quick a set is. The defaults are ordinary of a diesel of some hundred kW."""

    governor_s: float = 1.0
    """Time constant of governor and engine [s]."""
    start_s: float = 15.0
    """From the order to the closed breaker, from standstill [s]."""
    synchronise_s: float = 5.0
    """The same while it still runs without load [s]."""
    cool_s: float = 180.0
    """How long it runs without load before it stands still [s]."""
    open_share: float = 0.02
    """Share of its rating below which the breaker opens when it unloads [1]."""
    droop: float | None = None
    """Change of frequency over nominal that moves it by its whole rating; None: none [1]."""
    droop_band_hz: float = 0.036
    """Deviation that droop leaves alone; as the default of IEEE 1547-2018, 6.5.2.7 [Hz]."""
    s_kva: float | None = None
    """Rating of the alternator, P² + Q² ≤ S²; None: it never limits [kVA]."""

    def __post_init__(self) -> None:
        """Refuse what no set has.

        Raises:
            ValueError: names every setting that is out of its range.
        """
        wrong = [
            f"{name} must be a number of at least 0, got {getattr(self, name)}"
            for name in ("governor_s", "start_s", "synchronise_s", "cool_s", "droop_band_hz")
            if not 0.0 <= getattr(self, name) < math.inf
        ]
        if not 0.0 < self.open_share < 1.0:
            wrong.append(f"open_share must be between 0 and 1, got {self.open_share}")
        wrong += [
            f"{name} must be a number above 0, got {value}"
            for name, value in (("droop", self.droop), ("s_kva", self.s_kva))
            if value is not None and not 0.0 < value < math.inf
        ]
        if wrong:
            raise ValueError("; ".join(wrong))


class GensetBehaviour:
    """One set. Power follows dp/dt = (target − p)/τ, never faster than its ramps."""

    def __init__(self, dg: Dg, settings: GensetSettings | None = None) -> None:
        """At its reversion power where that lets it run, off otherwise."""
        self._dg = dg
        self.settings = settings or GensetSettings()
        self.at: Terminal = NOMINAL
        """The grid at its terminals, whose frequency droop answers; set it before a step."""
        target = self._target(dg.reversion_kw)
        self.state = GensetState.RUNNING if target > 0.0 else GensetState.OFF
        self.p_kw = target
        self.q_kvar = 0.0
        self._left_s = 0.0
        """Until `STARTING` or `COOLING` is over [s]."""

    @property
    def connected(self) -> bool:
        """Whether its breaker is closed."""
        return self.state in (GensetState.RUNNING, GensetState.UNLOADING)

    def step(self, hours: float, orders: Orders, available_kw: float) -> None:  # noqa: ARG002 - the protocol's signature
        """Live through one step; orders and grid stay as they are.

        Args:
            hours: length of the step [h].
            orders: active power below half of its least power, or none, sends it off.
            available_kw: means nothing to it.
        """
        target = self._target(orders.p_kw or 0.0)
        self._heed(wanted=target > 0.0)
        left_s = hours * SECONDS_PER_HOUR
        aim = self._aim(target)
        while (event_s := self._until_event(aim)) <= left_s:
            self._live(event_s, aim)
            left_s -= event_s
            self._pass_event(wanted=target > 0.0)
            aim = self._aim(target)
        self._live(left_s, aim)
        self.q_kvar = self._reactive(orders.q_kvar or 0.0)

    # --- what it aims at --------------------------------------------------------------

    def _target(self, ordered_kw: float) -> float:
        """Power it settles at: between off and least power it goes to whichever is nearer [kW]."""
        dg = self._dg
        target = min(ordered_kw, dg.rated_kw)
        return 0.0 if target <= 0.0 or target < dg.min_kw / 2.0 else max(target, dg.min_kw)

    def _aim(self, target: float) -> float:
        """Where power goes in the present state [kW]."""
        if self.state is not GensetState.RUNNING:
            return 0.0
        droop = self.settings.droop
        if droop is None:
            return target
        off = self.at.hz - NOMINAL_HZ
        beyond = math.copysign(max(0.0, abs(off) - self.settings.droop_band_hz), off)
        moved = target - beyond / NOMINAL_HZ / droop * self._dg.rated_kw
        return max(self._dg.min_kw, min(self._dg.rated_kw, moved))

    # --- states -----------------------------------------------------------------------

    def _heed(self, *, wanted: bool) -> None:
        """Change state where an order, and no passing of time, asks for it."""
        match self.state, wanted:
            case GensetState.OFF, True:
                self.state, self._left_s = GensetState.STARTING, self.settings.start_s
            case GensetState.COOLING, True:
                self.state, self._left_s = GensetState.STARTING, self.settings.synchronise_s
            case GensetState.STARTING, False:
                # It has cranked: it cools down as after a run.
                self.state, self._left_s = GensetState.COOLING, self.settings.cool_s
            case GensetState.RUNNING, False:
                self.state = GensetState.UNLOADING
            case GensetState.UNLOADING, True:
                self.state = GensetState.RUNNING
            case _:
                pass

    def _until_event(self, aim: float) -> float:
        """Time until the state changes by itself [s]."""
        match self.state:
            case GensetState.STARTING | GensetState.COOLING:
                return self._left_s
            case GensetState.UNLOADING:
                return self._until_open(aim)
            case _:
                return math.inf

    def _pass_event(self, *, wanted: bool) -> None:
        """The state that follows by itself."""
        match self.state:
            case GensetState.STARTING:
                self.state = GensetState.RUNNING if wanted else GensetState.COOLING
            case GensetState.UNLOADING:
                self.p_kw = 0.0
                self.state, self._left_s = GensetState.COOLING, self.settings.cool_s
            case GensetState.COOLING:
                self.state = GensetState.OFF
            case _:
                pass

    def _live(self, seconds: float, aim: float) -> None:
        """Time passes without an event."""
        match self.state:
            case GensetState.STARTING | GensetState.COOLING:
                self._left_s -= seconds
            case GensetState.RUNNING | GensetState.UNLOADING:
                self.p_kw = self._power_after(seconds, aim)
            case GensetState.OFF:
                pass

    # --- power ------------------------------------------------------------------------

    def _ramp_kw_per_s(self, aim: float) -> float:
        dg = self._dg
        per_h = dg.ramp_up_kw_per_h if aim > self.p_kw else dg.ramp_down_kw_per_h
        return per_h / SECONDS_PER_HOUR

    def _power_after(self, seconds: float, aim: float) -> float:
        """Along the ramp while the governor would go faster, then as it settles [kW]."""
        tau, ramp = self.settings.governor_s, self._ramp_kw_per_s(aim)
        gap = abs(aim - self.p_kw)
        if gap == 0.0 or seconds == 0.0:
            # No time moves nothing, unless nothing takes time.
            return aim if tau == 0.0 and ramp == math.inf else self.p_kw
        sign = math.copysign(1.0, aim - self.p_kw)
        if ramp == 0.0:
            return self.p_kw
        knee = min(gap, ramp * tau)
        """Distance from which the governor, not the ramp, is the slower."""
        ramping_s = 0.0 if ramp == math.inf else (gap - knee) / ramp
        if seconds < ramping_s:
            return self.p_kw + sign * ramp * seconds
        rest = 0.0 if tau == 0.0 else knee * math.exp(-(seconds - ramping_s) / tau)
        return aim - sign * rest

    def _until_open(self, aim: float) -> float:
        """Time until the breaker opens on the way to no load [s]."""
        tau, ramp = self.settings.governor_s, self._ramp_kw_per_s(aim)
        threshold = self.settings.open_share * self._dg.rated_kw
        if self.p_kw <= threshold:
            return 0.0
        if ramp == 0.0:
            return math.inf
        knee = max(threshold, min(self.p_kw, ramp * tau))
        ramping_s = 0.0 if ramp == math.inf else (self.p_kw - knee) / ramp
        return ramping_s + tau * math.log(knee / threshold)

    def _reactive(self, ordered_kvar: float) -> float:
        """Reactive power at the present active power, none while the breaker is open [kvar].

        All of it from `Dg.full_q_kw` on; below, as much less as there is less active power.
        """
        if not self.connected:
            return 0.0
        dg, s_kva = self._dg, self.settings.s_kva
        share = min(1.0, self.p_kw / dg.full_q_kw) if dg.full_q_kw > 0.0 else 1.0
        bound = dg.q_max_kvar * share
        if s_kva is not None:
            bound = min(bound, math.sqrt(max(0.0, s_kva**2 - self.p_kw**2)))
        return max(-bound, min(bound, ordered_kvar))
