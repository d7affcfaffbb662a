"""DERCurves in plain numbers, and as settings of the inverter.

Axes by IEEE Std 2030.5-2018, DERCurveType: volt-var, volt-watt and watt-var hold percentages;
frequency-watt begins in hertz; of ride-through curves x is the time [s], and y the voltage [% of
the effective one] or the frequency [Hz].
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ems.domain import Bes, Pv
from ems.plant.devices import PowerFactor
from ems.plant.inverter import (
    FrequencyDroop,
    InverterSettings,
    NotConform,
    Trip,
    VoltVar,
    VoltWatt,
    WattVar,
    adjustable,
    apparent_kva,
)
from ems.protocols.ieee2030_5 import modes, sep, values

Points = list[tuple[float, float]]
PERCENT = 100.0
NOT_GIVEN, MAX_W, MAX_VAR, VAR_AVAILABLE, EFFECTIVE_V, MAX_DISCHARGE_W = 0, 1, 2, 3, 4, 6
"""DERUnitRefType."""
TO_90_FROM_95 = math.log(10.0) / math.log(20.0)
"""rampPT1Tms is the time of a low-pass filter to 95 % of a step, a response time that to 90 %."""


def checked(curve: sep.DERCurve, mode: str) -> sep.DERCurve:
    """A curve that is of the mode it is linked from, and asks for no ramp that is not there.

    Raises:
        NotConform: it is not, or does.
    """
    if curve.curveType != modes.curve_type(mode):
        raise NotConform(f"curve type {curve.curveType} is not that of {mode}")
    if curve.rampDecTms or curve.rampIncTms:
        raise NotConform("the inverter does not limit how fast it follows a curve")
    return curve


def points_of(curve: sep.DERCurve) -> Points:
    """X and y, multipliers applied."""
    x, y = 10.0**curve.xMultiplier, 10.0**curve.yMultiplier
    return [(at.xvalue * x, at.yvalue * y) for at in curve.CurveData_]


def response_s(curve: sep.DERCurve, default: float) -> float:
    """Open loop response time: 90 % of a step [s]."""
    if curve.openLoopTms is not None:
        return curve.openLoopTms / 100
    if curve.rampPT1Tms:
        return curve.rampPT1Tms / 100 * TO_90_FROM_95
    return default


def volt_var(curve: sep.DERCurve, der: Pv | Bes) -> VoltVar:
    """Volt-var; raises NotConform."""
    share = var_share(curve.yRefType, der)
    default = VoltVar()
    constant = curve.autonomousVRefTimeConstant
    points = [(v / PERCENT, q / PERCENT * share) for v, q in points_of(curve)]
    return adjustable.volt_var(
        _without_flat_ends(points, 4),
        v_ref_pu=1.0 if curve.vRef is None else values.share(curve.vRef),
        tracks_v_ref=bool(curve.autonomousVRefEnable),
        v_ref_s=default.v_ref_s if constant is None else constant / 100,
        response_s=response_s(curve, default.response_s),
    )


def volt_watt(curve: sep.DERCurve, der: Pv | Bes) -> VoltWatt:
    """Volt-watt; raises NotConform."""
    _of_power(curve)
    points = [(v / PERCENT, p / PERCENT) for v, p in points_of(curve)]
    return adjustable.volt_watt(
        _without_flat_ends(points, 2),
        response_s=response_s(curve, VoltWatt().response_s),
        absorbs=isinstance(der, Bes),
    )


def watt_var(curve: sep.DERCurve, der: Pv | Bes) -> WattVar:
    """Watt-var; raises NotConform."""
    share = var_share(curve.yRefType, der)
    points = [(p / PERCENT, q / PERCENT * share) for p, q in points_of(curve)]
    return adjustable.watt_var(points, absorbs=isinstance(der, Bes))


def frequency_watt(curve: sep.DERCurve) -> "Curve":
    """Most active power over frequency, per unit of its rating; raises NotConform."""
    _of_power(curve)
    points = [(hz, p / PERCENT) for hz, p in points_of(curve)]
    for hz, p in points:
        adjustable.within(hz, 50.0, 66.0, "Hz")
        adjustable.within(p, -1.0, 1.0, "W")
    return Curve.of(points)


def watt_pf(curve: sep.DERCurve, least_pf: float) -> "WattPf":
    """Power factor over active power; raises NotConform."""
    x, y = 10.0**curve.xMultiplier, 10.0**curve.yMultiplier
    points: Points = []
    for at in curve.CurveData_:
        factor = at.yvalue * y
        adjustable.within(at.xvalue * x, -PERCENT, PERCENT, "W")
        adjustable.within(factor, least_pf, 1.0, "PF")
        points.append((at.xvalue * x / PERCENT, factor - 1.0 if at.excitation else 1.0 - factor))
    return WattPf(curve=Curve.of(points))


def frequency_droop(droop: sep.FreqDroop, der: Pv | Bes) -> FrequencyDroop:
    """Droop by its parameters; raises NotConform."""
    return adjustable.frequency_droop(
        deadband_over_hz=droop.dBOF / 1000,
        deadband_under_hz=droop.dBUF / 1000,
        k_over=droop.kOF / 1000,
        k_under=droop.kUF / 1000,
        response_s=droop.openLoopTms / 100,
        p_min_pu=None,
        absorbs=isinstance(der, Bes),
    )


SIDES = {
    "opModHVRT": ("high_voltage", adjustable.HIGH_VOLTAGE_RANGE, PERCENT),
    "opModLVRT": ("low_voltage", adjustable.LOW_VOLTAGE_RANGE, PERCENT),
    "opModHFRT": ("high_frequency", adjustable.HIGH_FREQUENCY_RANGE, 1.0),
    "opModLFRT": ("low_frequency", adjustable.LOW_FREQUENCY_RANGE, 1.0),
}
"""By the beginning of a mode: the side of normal operation, its ranges, units of y in one."""
_SIDE = len("opModHVRT")


def ride_through(settings: InverterSettings, mode: str, curve: sep.DERCurve) -> InverterSettings:
    """Settings with one must-trip or momentary cessation curve taken over; raises NotConform."""
    side, allowed, scale = SIDES[mode[:_SIDE]]
    if scale == PERCENT and curve.yRefType not in {NOT_GIVEN, EFFECTIVE_V}:
        raise NotConform(f"yRefType {curve.yRefType}; a voltage is one of the effective voltage")
    points = [(y / scale, seconds) for seconds, y in points_of(curve)]
    trip: Trip = getattr(settings, side)
    if mode.endswith("MustTrip"):
        near, far = adjustable.must_trip(points, allowed)
        trip = replace(trip, near=near, far=far)
    else:
        trip = replace(trip, cessation_pu=adjustable.momentary_cessation(points, allowed))
    changed: dict[str, Trip] = {side: trip}
    return replace(settings, **changed)  # type: ignore[arg-type]  # every side is a Trip


def var_share(ref_type: int, der: Pv | Bes) -> float:
    """Per unit of the apparent power rating in one per unit of a reference.

    What is available is the rating: reactive power goes first in these inverters.

    Raises:
        NotConform: a reference that this device does not have.
    """
    va = apparent_kva(der)
    match ref_type:
        case values.REF_MAX_W:
            return der.rated_kw / va
        case values.REF_MAX_VAR | values.REF_VAR_AVAILABLE:
            return der.q_max_kvar / va
    raise NotConform(f"reference {ref_type} is none of reactive power here; 1, 2 and 3 are")


def _of_power(curve: sep.DERCurve) -> None:
    if curve.yRefType not in {NOT_GIVEN, MAX_W, MAX_DISCHARGE_W}:
        raise NotConform(f"yRefType {curve.yRefType}; 1, a share of setMaxW, is known")


def _without_flat_ends(points: Points, most: int) -> Points:
    """The same curve with fewer points: level ends go on as they are."""
    while len(points) > most and points[0][1] == points[1][1]:
        points = points[1:]
    while len(points) > most and points[-1][1] == points[-2][1]:
        points = points[:-1]
    return points


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A curve that the plant evaluates itself, level beyond its ends."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    @classmethod
    def of(cls, points: Sequence[tuple[float, float]]) -> "Curve":
        """From points with rising x; raises NotConform."""
        if not points:
            raise NotConform("a curve needs points")
        if any(b[0] < a[0] for a, b in pairwise(points)):
            raise NotConform("x must not fall from point to point")
        return cls(x=tuple(at[0] for at in points), y=tuple(at[1] for at in points))

    def at(self, x: float) -> float:
        """Its value."""
        if x <= self.x[0]:
            return self.y[0]
        for (x0, y0), (x1, y1) in pairwise(zip(self.x, self.y, strict=True)):
            if x < x1:
                return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
        return self.y[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class WattPf:
    """Power factor over active power, evaluated second by second."""

    curve: Curve
    """Distance of the power factor from 1 over active power per unit; injection positive."""

    def at(self, p_pu: float) -> PowerFactor:
        """What it asks for at an active power."""
        distance = self.curve.at(p_pu)
        return PowerFactor(pf=1.0 - abs(distance), over_excited=distance >= 0.0)
