"""PV and battery inverters that behave as IEEE Std 1547-2018 asks, second by second."""

from collections import deque
from dataclasses import dataclass, replace
from enum import StrEnum

from ems.domain import Bes, Pv
from ems.plant.devices import SECONDS_PER_HOUR, Battery, Orders
from ems.plant.inverter.model import STEP_S, OpenDer
from ems.plant.inverter.settings import DEFAULTS, InverterSettings
from ems.plant.terminal import NOMINAL, Terminal

RIDE_THROUGH = frozenset(
    {"Momentary Cessation", "Cease to Energize", "Permissive Operation", "Mandatory Operation"}
)
CEASED = frozenset({"Momentary Cessation", "Cease to Energize"})
MOST_DISTURBANCES, WINDOW_S = 3, 1200.0
"""Momentary cessations within a window that are ridden through; with one more the inverter trips,
as IEEE Std 1547-2018, 6.4.2.5, lets it. So a plant that raises its own voltage too far goes out of
service after a few seconds, and does not hunt for hours."""
ROUNDING_S = 1e-6
"""A step is told in hours, and so is off by some rounding [s]."""


class State(StrEnum):
    """What an inverter is doing."""

    TRIPPED = "tripped"
    """Off, and waiting to enter service."""
    STARTING = "starting"
    """Ramping up after it has entered service."""
    RUNNING = "running"
    CEASED = "ceased"
    """Momentary cessation: connected, and delivers nothing until the voltage is back."""
    RIDING_THROUGH = "riding through"


@dataclass(frozen=True, slots=True, kw_only=True)
class TripCauses:
    """What made an inverter trip, kept until somebody asks for the alarms to be reset."""

    high_voltage: bool = False
    low_voltage: bool = False
    high_frequency: bool = False
    low_frequency: bool = False


class _Inverter:
    """What PV and battery inverters have in common: time, settings, reactive power, state."""

    def __init__(self, der: Pv | Bes) -> None:
        self._model = OpenDer(der)
        self._seconds = 0.0
        self._settings = DEFAULTS
        self._model.apply(DEFAULTS)
        self._lived_s = 0.0
        self._ceased_at: deque[float] = deque(maxlen=MOST_DISTURBANCES + 1)
        self.at = NOMINAL
        """The grid at its terminals; set it before a step."""
        self.causes = TripCauses()
        self.p_kw = 0.0
        self.q_kvar = 0.0

    @property
    def settings(self) -> InverterSettings:
        """What it is set to do by itself."""
        return self._settings

    @settings.setter
    def settings(self, settings: InverterSettings) -> None:
        self._settings = settings
        self._model.apply(settings)

    @property
    def state(self) -> State:
        """What it is doing."""
        status = self._model.status
        if status == "Trip":
            return State.TRIPPED
        if status == "Entering Service":
            return State.STARTING
        if status in CEASED:
            return State.CEASED
        return State.RIDING_THROUGH if status in RIDE_THROUGH else State.RUNNING

    @property
    def service_delay_s(self) -> float:
        """What is left of the enter service delay while it is tripped [s]."""
        return self._model.service_delay_s

    def reset_alarms(self) -> None:
        """Forget why it tripped."""
        self.causes = TripCauses()

    def restart(self) -> None:
        """Power-up: out of service, and back by the enter service settings."""
        self._model.trip()
        self._ceased_at.clear()
        self.p_kw = self.q_kvar = 0.0
        self.reset_alarms()

    def _due(self, hours: float) -> int:
        """Whole seconds to live through; what is left over is kept for the next step."""
        self._seconds += hours * SECONDS_PER_HOUR
        steps = int((self._seconds + ROUNDING_S) // STEP_S)
        self._seconds -= steps * STEP_S
        return steps

    def _reactive(self, orders: Orders, *, charging: bool) -> None:
        """Which of the reactive modes is in force: clause 5.3.1 allows one at a time."""
        factor = orders.pf_charging if charging else orders.pf
        if factor is not None:
            self._model.hold_power_factor(factor, charging=charging)
        elif self._settings.volt_var.enabled or self._settings.watt_var.enabled:
            self._model.follow_curve(self._settings)
        else:
            self._model.hold_var(orders.q_kvar or 0.0)

    def _second(self, at: Terminal) -> None:
        before = self._model.status
        self.p_kw, self.q_kvar = self._model.second(at)
        self._lived_s += STEP_S
        if self._model.status in CEASED and before not in CEASED:
            self._ceased_at.append(self._lived_s)
            if self._disturbed_too_often():
                self._model.trip()
                high = at.highest_pu > 1.0
                self.causes = replace(
                    self.causes,
                    high_voltage=self.causes.high_voltage or high,
                    low_voltage=self.causes.low_voltage or not high,
                )
        elif self._model.status == "Trip":
            met, now = self.causes, self._model.trips
            self.causes = TripCauses(
                high_voltage=met.high_voltage or now[0],
                low_voltage=met.low_voltage or now[1],
                high_frequency=met.high_frequency or now[2],
                low_frequency=met.low_frequency or now[3],
            )

    def _disturbed_too_often(self) -> bool:
        full = len(self._ceased_at) > MOST_DISTURBANCES
        return full and self._lived_s - self._ceased_at[0] <= WINDOW_S


class PvInverter(_Inverter):
    """A PV plant behind one inverter."""

    def __init__(self, pv: Pv) -> None:
        super().__init__(pv)
        self._pv = pv
        self._fresh = True

    def step(self, hours: float, orders: Orders, available_kw: float) -> None:
        """Live through whole seconds, sun and grid as they are."""
        steps = self._due(hours)
        if self._fresh:
            # In service since long: the first state is that of a nominal grid, at no time.
            self._live(orders, available_kw, NOMINAL)
            self._fresh = False
        for _ in range(steps):
            self._live(orders, available_kw, self.at)

    def restart(self) -> None:
        """Power-up: out of service, and back by the enter service settings."""
        super().restart()
        self._fresh = False

    def _live(self, orders: Orders, available_kw: float, at: Terminal) -> None:
        self._model.limit(orders.cap_kw)
        self._reactive(orders, charging=False)
        self._model.offer(min(max(available_kw, 0.0), self._pv.rated_kw))
        self._second(at)


class BesInverter(_Inverter):
    """A battery behind one inverter."""

    def __init__(self, bes: Bes, soc_pct: float) -> None:
        super().__init__(bes)
        self._battery = Battery(bes, soc_pct)

    @property
    def soc_pct(self) -> float:
        """State of charge [%]."""
        return self._battery.soc_pct

    def step(self, hours: float, orders: Orders, available_kw: float) -> None:  # noqa: ARG002 - the protocol's signature
        """Live through whole seconds, charging and discharging as far as the energy lasts."""
        hours_a_step = STEP_S / SECONDS_PER_HOUR
        for _ in range(self._due(hours)):
            wanted = self._battery.possible_kw(orders.p_kw or 0.0, hours_a_step)
            if orders.cap_kw is not None:
                wanted = min(wanted, orders.cap_kw)
            self._reactive(orders, charging=wanted < 0.0)
            self._model.discharge(wanted, self._battery.soc_pct)
            self._second(self.at)
            self._battery.move(self.p_kw, hours_a_step)
