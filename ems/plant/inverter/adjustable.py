"""Settings in the ranges of adjustability of IEEE Std 1547-2018, category B and III.

Whoever sets an inverter from outside, by registers or by DERCurves, makes its settings here.
Curves are per unit: voltage of the nominal one, active power of its rating, reactive power of the
apparent power rating.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ems.plant.inverter.settings import (
    EnterService,
    FrequencyDroop,
    TripStep,
    VoltVar,
    VoltWatt,
    WattVar,
)

Points = Sequence[tuple[float, float]]
AT_RATED = 1.0


class NotConform(ValueError):
    """A setting that the inverter cannot follow, or that the standard does not allow."""


def within(value: float, low: float, high: float, what: str) -> float:
    """A value that lies in its range of adjustability.

    Raises:
        NotConform: it does not.
    """
    rounding = 1e-9  # percent and per unit differ by one rounding of a float
    if not low - rounding <= value <= high + rounding:
        raise NotConform(f"{what} is {value:g}; {low:g} to {high:g} are allowed")
    return value


def volt_var(
    points: Points, *, v_ref_pu: float, tracks_v_ref: bool, v_ref_s: float, response_s: float
) -> VoltVar:
    """Voltage–reactive power of two to four points, table 8.

    Raises:
        NotConform: out of range, or not falling.
    """
    if not 2 <= len(points) <= 4:
        raise NotConform(f"{len(points)} points; a volt-var curve has 2 to 4")
    points = [*points, *[points[-1]] * (4 - len(points))]
    v, q = [at[0] for at in points], [at[1] for at in points]
    _rising(v, "V")
    _rising([-x for x in q], "-Var")
    within(v[0], 0.82, 1.0, "V1")
    within(v[3], 1.0, 1.18, "V4")
    within(max(map(abs, q)), 0.0, AT_RATED, "Var")
    return VoltVar(
        enabled=True,
        v_pu=(v[0], v[1], v[2], v[3]),
        q_pu=(q[0], q[1], q[2], q[3]),
        v_ref_pu=within(v_ref_pu, 0.95, 1.05, "VRef"),
        tracks_v_ref=tracks_v_ref,
        v_ref_s=within(v_ref_s, 300, 5000, "VRefAutoTms"),
        response_s=within(response_s, 1, 90, "RspTms"),
    )


def volt_watt(points: Points, *, response_s: float, absorbs: bool) -> VoltWatt:
    """Voltage–active power of two points, table 10.

    Args:
        points: voltage and power.
        response_s: open loop response time [s].
        absorbs: whether the far point may lie in charging.

    Raises:
        NotConform: out of range.
    """
    if len(points) != 2:
        raise NotConform(f"{len(points)} points; a volt-watt curve has 2")
    (v1, p1), (v2, p2) = points
    within(v1, 1.05, 1.09, "V1")
    within(v2, v1 + 0.01, 1.10, "V2")
    within(p1, AT_RATED, AT_RATED, "P1")
    within(p2, -AT_RATED if absorbs else 0.0, AT_RATED, "P2")
    return VoltWatt(
        enabled=True,
        v_pu=(v1, v2),
        p_pu=(p1, p2),
        response_s=within(response_s, 0.5, 60, "RspTms"),
    )


def watt_var(points: Points, *, absorbs: bool) -> WattVar:
    """Active power–reactive power, table 9: six points of a battery, charging first; three else.

    Raises:
        NotConform: out of range, or of another number.
    """
    expected = 6 if absorbs else 3
    if len(points) != expected:
        raise NotConform(f"{len(points)} points; this device takes {expected}")
    p, q = [at[0] for at in points], [at[1] for at in points]
    _rising(p, "W")
    within(p[-2], 0.4, 0.8, "P2")
    within(p[-1], p[-2] + 0.1, AT_RATED, "P3")
    within(p[-3], 0.0, p[-2] - 0.1, "P1")
    within(max(map(abs, q)), 0.0, AT_RATED, "Var")
    if absorbs:
        within(p[0], -AT_RATED, p[1], "P'3")
        within(p[2], p[1], 0.0, "P'1")
        return WattVar(enabled=True, p_pu=tuple(p), q_pu=tuple(q))
    # Below its least point the curve goes on flat.
    return WattVar(enabled=True, p_pu=(-1.0, -0.5, 0.0, *p), q_pu=(q[0], q[0], q[0], *q))


def frequency_droop(
    *,
    deadband_over_hz: float,
    deadband_under_hz: float,
    k_over: float,
    k_under: float,
    response_s: float,
    p_min_pu: float | None,
    absorbs: bool,
) -> FrequencyDroop:
    """Frequency–active power, table 24.

    Raises:
        NotConform: out of range.
    """
    lowest = -AT_RATED if absorbs else 0.0
    least = None if p_min_pu is None else within(p_min_pu, lowest, AT_RATED, "PMin")
    return FrequencyDroop(
        enabled=True,
        deadband_over_hz=within(deadband_over_hz, 0.017, 1.0, "DbOf"),
        deadband_under_hz=within(deadband_under_hz, 0.017, 1.0, "DbUf"),
        k_over=within(k_over, 0.02, 0.05, "KOf"),
        k_under=within(k_under, 0.02, 0.05, "KUf"),
        response_s=within(response_s, 0.2, 10, "RspTms"),
        p_min_pu=least,
    )


def enter_service(service: EnterService) -> EnterService:
    """When an inverter may connect, clause 4.10.

    Raises:
        NotConform: out of range.
    """
    within(service.v_high_pu, 1.05, 1.06, "ESVHi")
    within(service.v_low_pu, 0.88, 0.95, "ESVLo")
    within(service.hz_high, 60.1, 61.0, "ESHzHi")
    within(service.hz_low, 59.0, 59.9, "ESHzLo")
    within(service.delay_s, 0, 600, "ESDlyTms")
    within(service.random_s, 0, 1000, "ESRndTms")
    within(service.ramp_s, 0, 1000, "ESRmpTms")
    return service


@dataclass(frozen=True, slots=True, kw_only=True)
class TripRange:
    """What one of the four sides of normal operation takes, tables 13 and 18."""

    low: bool
    """Whether abnormal means below."""
    near: tuple[tuple[float, float], tuple[float, float]]
    """Threshold (per unit or Hz) and seconds that the near step may have."""
    far: tuple[tuple[float, float], tuple[float, float]]

    def nearest(self, *thresholds: float) -> float:
        """The one next to normal operation."""
        return max(thresholds) if self.low else min(thresholds)


LOW_VOLTAGE_RANGE = TripRange(
    low=True, near=((0.0, 0.88), (21, 50)), far=((0.0, 0.50), (2, 21))
)  # fmt: skip
HIGH_VOLTAGE_RANGE = TripRange(
    low=False, near=((1.10, 1.20), (1, 13)), far=((1.20, 1.20), (0.16, 0.16))
)
LOW_FREQUENCY_RANGE = TripRange(
    low=True, near=((50.0, 59.0), (180, 1000)), far=((50.0, 57.0), (0.16, 1000))
)
HIGH_FREQUENCY_RANGE = TripRange(
    low=False, near=((61.0, 66.0), (180, 1000)), far=((61.8, 66.0), (0.16, 1000))
)


def must_trip(points: Points, allowed: TripRange) -> tuple[TripStep, TripStep | None]:
    """The two steps of a staircase of thresholds and seconds; where a level begins it trips.

    The inverter knows two steps on each side, a slow one next to normal operation and a fast one
    beyond.

    Raises:
        NotConform: no staircase, more than two levels of time, or out of range.
    """
    if not points:
        raise NotConform("a must-trip curve needs points")
    for (x0, t0), (x1, t1) in pairwise(points):
        if x0 != x1 and t0 != t1:
            raise NotConform("a must-trip curve goes up or along, never across")
    levels = {t: allowed.nearest(*(x for x, s in points if s == t)) for _, t in points}
    ordered = sorted(levels.items(), reverse=True)  # the slowest first
    if len(ordered) > 2:
        raise NotConform(f"{len(ordered)} levels of time; this device knows two")
    steps = [TripStep(threshold=x, seconds=t) for t, x in ordered]
    if len(steps) == 2 and steps[1].threshold == allowed.nearest(
        steps[0].threshold, steps[1].threshold
    ):
        raise NotConform("the faster step must lie further out")
    for step, ranges in zip(steps, (allowed.near, allowed.far), strict=False):
        within(step.threshold, *ranges[0], "threshold")
        within(step.seconds, *ranges[1], "time")
    return steps[0], steps[1] if len(steps) == 2 else None


def momentary_cessation(points: Points, allowed: TripRange) -> float | None:
    """Voltage from which it ceases to deliver for the moment: the one nearest to normal.

    No point means that it never does [pu].

    Raises:
        NotConform: it would cease in normal operation.
    """
    if not points:
        return None
    at = allowed.nearest(*(x for x, _ in points))
    low, high = (0.0, 0.88) if allowed.low else (1.10, 2.0)
    return within(at, low, high, "cessation")


def _rising(values: Sequence[float], what: str) -> None:
    if any(b < a for a, b in pairwise(values)):
        raise NotConform(f"{what} must not fall from point to point")
