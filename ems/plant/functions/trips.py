"""Trip curves: low and high voltage (707, 708), low and high frequency (709, 710).

The inverter knows two steps on each side, a slow one next to normal operation and a fast one
beyond: a must-trip curve is a staircase of one or two levels of time. Momentary cessation begins
at the curve's voltage nearest to normal. The may-trip curve tells how long the inverter rides
through; its times are fixed by the category, so it is shown and otherwise without effect.
Ranges of adjustability: IEEE Std 1547-2018, table 13 (category III) and table 18; ride-through:
tables 16 and 19.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ems.plant.functions.stored import Layout, NotConform, number, within
from ems.plant.inverter import Trip, TripStep
from ems.protocols.sunspec import ModelBlock

PERCENT = 100.0
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the four sides of normal operation. Thresholds per unit or in Hz."""

    model_id: int
    x: str
    """Name of the threshold in a point."""
    scale: float
    """Register units in one unit of the threshold."""
    low: bool
    """Whether abnormal means below."""
    end: float
    """Where a curve ends on the far side."""
    near_range: tuple[tuple[float, float], tuple[float, float]]
    """Threshold and seconds that the near step may have."""
    far_range: tuple[tuple[float, float], tuple[float, float]]
    rides_through: Points
    """May-trip curve of the category."""
    cessation_s: tuple[float, ...] = ()
    """Times shown with the momentary cessation curve: begin at the latest, end at the earliest."""


LOW_VOLTAGE = Side(
    model_id=707,
    x="V",
    scale=PERCENT,
    low=True,
    end=0.0,
    near_range=((0.0, 0.88), (21, 50)),
    far_range=((0.0, 0.50), (2, 21)),
    rides_through=((0, 1), (0.5, 1), (0.5, 10), (0.7, 10), (0.7, 20), (0.88, 20)),
    cessation_s=(0.08, 1.0),
)
HIGH_VOLTAGE = Side(
    model_id=708,
    x="V",
    scale=PERCENT,
    low=False,
    end=1.3,
    near_range=((1.10, 1.20), (1, 13)),
    far_range=((1.20, 1.20), (0.16, 0.16)),
    rides_through=((1.1, 12), (1.2, 12), (1.2, 0)),
    cessation_s=(0.08, 12.0),
)
LOW_FREQUENCY = Side(
    model_id=709,
    x="Hz",
    scale=1.0,
    low=True,
    end=50.0,
    near_range=((50.0, 59.0), (180, 1000)),
    far_range=((50.0, 57.0), (0.16, 1000)),
    rides_through=((57.0, 299), (58.8, 299)),
)
HIGH_FREQUENCY = Side(
    model_id=710,
    x="Hz",
    scale=1.0,
    low=False,
    end=66.0,
    near_range=((61.0, 66.0), (180, 1000)),
    far_range=((61.8, 66.0), (0.16, 1000)),
    rides_through=((61.2, 299), (61.8, 299)),
)


def trip_layout(side: Side) -> Layout[Trip]:
    """Layout of one trip model."""

    def write(block: ModelBlock, prefix: str, part: Trip) -> None:
        _put(block, f"{prefix}.MustTrip", side, _staircase(side, part))
        _put(block, f"{prefix}.MayTrip", side, side.rides_through)
        cessation = [] if part.cessation_pu is None else [
            (part.cessation_pu, s) for s in side.cessation_s
        ]  # fmt: skip
        _put(block, f"{prefix}.MomCess", side, cessation)

    def read(block: ModelBlock, prefix: str, part: Trip) -> Trip:
        near, far = _steps(side, _points(block, f"{prefix}.MustTrip", side))
        _points(block, f"{prefix}.MayTrip", side)
        ceases = _points(block, f"{prefix}.MomCess", side)
        nearest = max if side.low else min
        return replace(
            part,
            near=near,
            far=far,
            cessation_pu=nearest(at for at, _ in ceases) if ceases else None,
        )

    x_sf = {"V_SF": -2} if side.x == "V" else {"Hz_SF": -3}
    return Layout(
        model_id=side.model_id,
        points=6,
        scale_factors={**x_sf, "Tms_SF": -2},
        write=write,
        read=read,
        values={},
        reverts=False,
    )


def _staircase(side: Side, trip: Trip) -> Points:
    """The must-trip curve of two steps, from low to high thresholds."""
    near, far = trip.near, trip.far
    ends = [(near.threshold, near.seconds)]
    if far is None:
        ends.append((side.end, near.seconds))
    else:
        ends += [
            (far.threshold, near.seconds), (far.threshold, far.seconds), (side.end, far.seconds),
        ]  # fmt: skip
    return sorted(ends, key=lambda at: (at[0], at[1] if side.low else -at[1]))


def _steps(side: Side, points: Points) -> tuple[TripStep, TripStep | None]:
    """The two steps of a staircase; where a level begins is where it trips."""
    if not points:
        raise NotConform("a must-trip curve needs points")
    for (x0, t0), (x1, t1) in pairwise(points):
        if x0 != x1 and t0 != t1:
            raise NotConform("a must-trip curve goes up or along, never across")
    nearest = max if side.low else min
    levels = {t: nearest(x for x, seconds in points if seconds == t) for _, t in points}
    ordered = sorted(levels.items(), reverse=True)  # the slowest first
    if len(ordered) > 2:
        raise NotConform(f"{len(ordered)} levels of time; this device knows two")
    steps = [TripStep(threshold=x, seconds=t) for t, x in ordered]
    if len(steps) == 2 and steps[1].threshold == nearest(steps[0].threshold, steps[1].threshold):
        raise NotConform("the faster step must lie further out")
    for step, ranges in zip(steps, (side.near_range, side.far_range), strict=False):
        within(step.threshold, *ranges[0], "threshold")
        within(step.seconds, *ranges[1], "time")
    return steps[0], steps[1] if len(steps) == 2 else None


def _points(block: ModelBlock, prefix: str, side: Side) -> Points:
    active = block.raw(f"{prefix}.ActPt") or 0
    counted = block.model.counts["Pt"]
    if active > counted:
        raise NotConform(f"{prefix} has {active} active points; at most {counted} are allowed")
    return [
        (
            number(block, f"{prefix}.Pt[{i}].{side.x}") / side.scale,
            number(block, f"{prefix}.Pt[{i}].Tms"),
        )
        for i in range(1, active + 1)
    ]


def _put(block: ModelBlock, prefix: str, side: Side, points: Points) -> None:
    block.set_raw(f"{prefix}.ActPt", len(points))
    for i in range(1, block.model.counts["Pt"] + 1):
        x, seconds = points[i - 1] if i <= len(points) else (0.0, 0.0)
        block.set_value(f"{prefix}.Pt[{i}].{side.x}", x * side.scale)
        block.set_value(f"{prefix}.Pt[{i}].Tms", seconds)
