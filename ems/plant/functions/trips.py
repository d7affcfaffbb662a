"""Trip curves: low and high voltage (707, 708), low and high frequency (709, 710).

The inverter knows two steps on each side, a slow one next to normal operation and a fast one
beyond: a must-trip curve is a staircase of one or two levels of time. Momentary cessation begins
at the curve's voltage nearest to normal. The may-trip curve tells how long the inverter rides
through; its times are fixed by the category, so it is shown and otherwise without effect.
Ranges of adjustability: `ems/plant/inverter/adjustable.py`; ride-through: IEEE Std 1547-2018,
tables 16 and 19.
"""

from dataclasses import dataclass, replace

from ems.plant.functions.stored import Layout, number
from ems.plant.inverter import NotConform, Trip
from ems.plant.inverter.adjustable import (
    HIGH_FREQUENCY_RANGE,
    HIGH_VOLTAGE_RANGE,
    LOW_FREQUENCY_RANGE,
    LOW_VOLTAGE_RANGE,
    Points,
    TripRange,
    momentary_cessation,
    must_trip,
)
from ems.protocols.sunspec import ModelBlock

PERCENT = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the four sides of normal operation. Thresholds per unit or in Hz."""

    model_id: int
    x: str
    """Name of the threshold in a point."""
    scale: float
    """Register units in one unit of the threshold."""
    end: float
    """Where a curve ends on the far side."""
    allowed: TripRange
    """What its settings may be."""
    rides_through: Points
    """May-trip curve of the category."""
    cessation_s: tuple[float, ...] = ()
    """Times shown with the momentary cessation curve: begin at the latest, end at the earliest."""


LOW_VOLTAGE = Side(
    model_id=707,
    x="V",
    scale=PERCENT,
    end=0.0,
    allowed=LOW_VOLTAGE_RANGE,
    rides_through=((0, 1), (0.5, 1), (0.5, 10), (0.7, 10), (0.7, 20), (0.88, 20)),
    cessation_s=(0.08, 1.0),
)
HIGH_VOLTAGE = Side(
    model_id=708,
    x="V",
    scale=PERCENT,
    end=1.3,
    allowed=HIGH_VOLTAGE_RANGE,
    rides_through=((1.1, 12), (1.2, 12), (1.2, 0)),
    cessation_s=(0.08, 12.0),
)
LOW_FREQUENCY = Side(
    model_id=709,
    x="Hz",
    scale=1.0,
    end=50.0,
    allowed=LOW_FREQUENCY_RANGE,
    rides_through=((57.0, 299), (58.8, 299)),
)
HIGH_FREQUENCY = Side(
    model_id=710,
    x="Hz",
    scale=1.0,
    end=66.0,
    allowed=HIGH_FREQUENCY_RANGE,
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
        near, far = must_trip(_points(block, f"{prefix}.MustTrip", side), side.allowed)
        _points(block, f"{prefix}.MayTrip", side)
        ceases = _points(block, f"{prefix}.MomCess", side)
        return replace(
            part, near=near, far=far, cessation_pu=momentary_cessation(ceases, side.allowed)
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
    return sorted(ends, key=lambda at: (at[0], at[1] if side.allowed.low else -at[1]))


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
