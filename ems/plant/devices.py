"""How each kind of device behaves: what it delivers, given what it is ordered.

Values only, no registers and no clock: time comes as the length of a step.
"""

from dataclasses import dataclass
from typing import Protocol

from ems.domain import Bes, Der, Dg, Pv

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerFactor:
    """Constant power factor, IEEE Std 1547-2018, 5.3.2."""

    pf: float = 1.0
    """Magnitude of cos φ, above 0."""
    over_excited: bool = True
    """Whether reactive power is injected; else absorbed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What a device is ordered at present. None: no order."""

    cap_kw: float | None = None
    p_kw: float | None = None
    q_kvar: float | None = None
    pf: PowerFactor | None = None
    """While active power is injected; inverters only."""
    pf_charging: PowerFactor | None = None


class Behaviour(Protocol):
    """What a device does with its orders."""

    p_kw: float
    """Active power at the bus, generation and discharge positive [kW]."""
    q_kvar: float
    """Reactive power at the bus, injection positive [kvar]."""

    def step(self, hours: float, orders: Orders, available_kw: float) -> None:
        """Live through one step.

        Args:
            hours: length of the step; 0 applies what takes no time [h].
            orders: in force over the step.
            available_kw: power the sun offers; means nothing to other devices [kW].
        """
        ...


class PvBehaviour:
    """Delivers what the sun offers, up to its cap and rating."""

    def __init__(self, pv: Pv) -> None:
        self._pv = pv
        self.p_kw = 0.0
        self.q_kvar = 0.0

    def step(self, hours: float, orders: Orders, available_kw: float) -> None:  # noqa: ARG002 - the protocol's signature
        """Follow sun and cap at once."""
        cap = self._pv.rated_kw if orders.cap_kw is None else orders.cap_kw
        self.p_kw = max(0.0, min(available_kw, cap, self._pv.rated_kw))
        self.q_kvar = _within(orders.q_kvar or 0.0, self._pv.q_max_kvar)


class Battery:
    """The energy behind an inverter: charging stores η_c·p·Δt, discharging draws p·Δt/η_d."""

    def __init__(self, bes: Bes, soc_pct: float) -> None:
        self._bes = bes
        self.soc_pct = soc_pct
        """State of charge [%]."""

    def possible_kw(self, p_kw: float, hours: float) -> float:
        """What of an order its rating allows, and its energy for so long [kW]."""
        bes = self._bes
        above_kwh = max(0.0, self.soc_pct - bes.soc_min_pct) / 100 * bes.capacity_kwh
        below_kwh = max(0.0, bes.soc_max_pct - self.soc_pct) / 100 * bes.capacity_kwh
        return max(
            -_power(below_kwh / bes.eta_charge, hours),
            min(_power(above_kwh * bes.eta_discharge, hours), _within(p_kw, bes.rated_kw)),
        )

    def move(self, p_kw: float, hours: float) -> None:
        """Move the state of charge by what was delivered at the bus."""
        bes = self._bes
        drawn = p_kw / bes.eta_discharge if p_kw > 0 else p_kw * bes.eta_charge
        self.soc_pct -= 100 * drawn * hours / bes.capacity_kwh


class BesBehaviour:
    """Charges and discharges within its rating and the energy it holds."""

    def __init__(self, bes: Bes, soc_pct: float) -> None:
        self._bes = bes
        self._battery = Battery(bes, soc_pct)
        self.p_kw = 0.0
        self.q_kvar = 0.0

    @property
    def soc_pct(self) -> float:
        """State of charge [%]."""
        return self._battery.soc_pct

    def step(self, hours: float, orders: Orders, available_kw: float) -> None:  # noqa: ARG002 - the protocol's signature
        """Follow the setpoint as far as the energy lasts, and move the state of charge."""
        self.p_kw = self._battery.possible_kw(orders.p_kw or 0.0, hours)
        self._battery.move(self.p_kw, hours)
        self.q_kvar = _within(orders.q_kvar or 0.0, self._bes.q_max_kvar)


class DgBehaviour:
    """A generator: limited ramps, a least power while it runs, off below half of it."""

    def __init__(self, dg: Dg) -> None:
        self._dg = dg
        self.p_kw = dg.reversion_kw
        self.q_kvar = 0.0

    def step(self, hours: float, orders: Orders, available_kw: float) -> None:  # noqa: ARG002 - the protocol's signature
        """Ramp towards the setpoint; without one, towards off."""
        dg = self._dg
        target = min(orders.p_kw or 0.0, dg.rated_kw)
        # Between off and its least power it cannot stay: it goes to whichever is nearer.
        target = 0.0 if target < dg.min_kw / 2 else max(target, dg.min_kw)
        up, down = _ramp(dg.ramp_up_kw_per_h, hours), _ramp(dg.ramp_down_kw_per_h, hours)
        self.p_kw = max(self.p_kw - down, min(self.p_kw + up, target))
        running = self.p_kw > 0.0
        self.q_kvar = _within(orders.q_kvar or 0.0, dg.q_max_kvar) if running else 0.0


def behaviour_of(der: Der, soc_pct: float) -> Behaviour:
    """The behaviour of a DER in its initial state."""
    match der:
        case Pv():
            return PvBehaviour(der)
        case Bes():
            return BesBehaviour(der, soc_pct)
        case Dg():
            return DgBehaviour(der)


def _within(value: float, bound: float) -> float:
    return max(-bound, min(bound, value))


def _power(energy_kwh: float, hours: float) -> float:
    """Power that uses up an energy in a step; over no time, any power or none [kW]."""
    if hours > 0.0:
        return energy_kwh / hours
    return float("inf") if energy_kwh > 0.0 else 0.0


def _ramp(kw_per_h: float, hours: float) -> float:
    """Largest change in a step; no ramp limit moves at once, even over no time [kW]."""
    return kw_per_h if kw_per_h == float("inf") else kw_per_h * hours
