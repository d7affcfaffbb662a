"""What an inverter is set to do by itself: the autonomous functions of IEEE Std 1547-2018.

The defaults are those of normal operating category B and abnormal operating category III; the
clause that gives them stands at each class. Curves are held as the inverter works with them:
voltage and power per unit of their ratings, reactive power per unit of the apparent power rating.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterService:
    """When an inverter may connect, clause 4.10, table 4."""

    permitted: bool = True
    """Permit service; taken away, the inverter trips at once."""
    v_low_pu: float = 0.917
    v_high_pu: float = 1.05
    hz_low: float = 59.5
    hz_high: float = 60.1
    delay_s: float = 300.0
    """How long voltage and frequency must be right before it starts [s]."""
    random_s: float = 0.0
    """Longest random delay on top, used where there is no ramp [s]."""
    ramp_s: float = 300.0
    """Time from nothing to rated power [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoltVar:
    """Voltage–reactive power, clause 5.3.3, table 8."""

    enabled: bool = False
    v_pu: tuple[float, float, float, float] = (0.92, 0.98, 1.02, 1.08)
    q_pu: tuple[float, float, float, float] = (0.44, 0.0, 0.0, -0.44)
    v_ref_pu: float = 1.0
    """Shifts the curve along the voltage [pu]."""
    tracks_v_ref: bool = False
    """Whether it finds the reference by itself, slowly."""
    v_ref_s: float = 300.0
    """Time constant of that [s]."""
    response_s: float = 5.0
    """Open loop response time: 90 % of a step [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoltWatt:
    """Voltage–active power, clause 5.4.2, table 10."""

    enabled: bool = False
    v_pu: tuple[float, float] = (1.06, 1.10)
    p_pu: tuple[float, float] = (1.0, 0.0)
    response_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WattVar:
    """Active power–reactive power, clause 5.3.4, table 9: charging first, rising power."""

    enabled: bool = False
    p_pu: tuple[float, ...] = (-1.0, -0.5, -0.2, 0.2, 0.5, 1.0)
    """Six powers of the curve."""
    q_pu: tuple[float, ...] = (0.44, 0.0, 0.0, 0.0, 0.0, -0.44)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrequencyDroop:
    """Frequency–active power, clause 6.5.2.7, table 24."""

    enabled: bool = True
    deadband_over_hz: float = 0.036
    deadband_under_hz: float = 0.036
    k_over: float = 0.05
    """Per unit frequency for one per unit power, above the nominal frequency."""
    k_under: float = 0.05
    response_s: float = 5.0
    p_min_pu: float | None = None
    """Least power it droops to; None: nothing for PV, full charge for a battery [pu]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TripStep:
    """One step of a trip curve: beyond the threshold for that long, the inverter trips."""

    threshold: float
    """Voltage [pu] or frequency [Hz]."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """One side of a mandatory trip characteristic: the near step, and the far one if any."""

    enabled: bool
    near: TripStep
    """The slow step, next to normal operation."""
    far: TripStep | None
    cessation_pu: float | None = None
    """Voltage from which it ceases to deliver for the moment; None: it does not [pu]."""


def _low_voltage() -> Trip:
    near, far = TripStep(threshold=0.88, seconds=21.0), TripStep(threshold=0.50, seconds=2.0)
    return Trip(enabled=True, near=near, far=far, cessation_pu=0.50)


def _high_voltage() -> Trip:
    near, far = TripStep(threshold=1.10, seconds=13.0), TripStep(threshold=1.20, seconds=0.16)
    return Trip(enabled=True, near=near, far=far, cessation_pu=1.10)


def _low_frequency() -> Trip:
    near, far = TripStep(threshold=58.5, seconds=300.0), TripStep(threshold=56.5, seconds=0.16)
    return Trip(enabled=True, near=near, far=far)


def _high_frequency() -> Trip:
    near, far = TripStep(threshold=61.2, seconds=300.0), TripStep(threshold=62.0, seconds=0.16)
    return Trip(enabled=True, near=near, far=far)


@dataclass(frozen=True, slots=True, kw_only=True)
class InverterSettings:
    """Everything an inverter is set to do by itself.

    Voltage ride-through and trip: clause 6.4, tables 13 and 16. Frequency: 6.5, tables 18 and 19.
    """

    enter_service: EnterService = EnterService()
    volt_var: VoltVar = VoltVar()
    volt_watt: VoltWatt = VoltWatt()
    watt_var: WattVar = WattVar()
    droop: FrequencyDroop = FrequencyDroop()
    low_voltage: Trip = field(default_factory=_low_voltage)
    high_voltage: Trip = field(default_factory=_high_voltage)
    low_frequency: Trip = field(default_factory=_low_frequency)
    high_frequency: Trip = field(default_factory=_high_frequency)


DEFAULTS = InverterSettings()
