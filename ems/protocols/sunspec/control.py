"""AC controls, model 704: a command as registers, and registers as what they command.

Each control is one block of writable points in a row, written at once. The blocks are
parted by the read-only time that remains to reversion, and devices refuse a write that
touches a read-only register, so the active and the reactive control of one device take
one write each.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from ems.domain import Command, Readback
from ems.protocols.sunspec.definitions import Point, model
from ems.protocols.sunspec.registers import ModelBlock, from_registers, to_registers
from ems.protocols.sunspec.scaling import Rounding, counts, scaled

DISABLED, ENABLED = 0, 1
WATTS = 1
"""WSetMod: the setpoint is in watts."""
VARS = 4
"""VarSetMod: the setpoint is in vars."""
_WATTS_PER_KW = Decimal(1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlBlock:
    """A run of writable points of model 704 that is written at once."""

    enable: str
    """First point; enables the control."""
    value: str
    """Cap or setpoint in force."""
    reversion: str
    """Cap or setpoint after reversion."""
    enable_reversion: str
    timer: str
    """Last point: seconds until reversion."""
    remaining: str
    """Read-only: seconds left."""

    @property
    def points(self) -> tuple[Point, ...]:
        """All points of the block, in register order."""
        return _points(self.enable, self.timer)


@cache
def _points(first: str, last: str) -> tuple[Point, ...]:
    """Points of model 704 from one to another."""
    points = model(704).points
    low, high = points[first].offset, points[last].offset
    return tuple(p for p in points.values() if low <= p.offset <= high)


CAP = ControlBlock(
    enable="WMaxLimPctEna",
    value="WMaxLimPct",
    reversion="WMaxLimPctRvrt",
    enable_reversion="WMaxLimPctEnaRvrt",
    timer="WMaxLimPctRvrtTms",
    remaining="WMaxLimPctRvrtRem",
)
"""Cap on active power, in percent of WMax of model 702."""
SETPOINT = ControlBlock(
    enable="WSetEna",
    value="WSet",
    reversion="WSetRvrt",
    enable_reversion="WSetEnaRvrt",
    timer="WSetRvrtTms",
    remaining="WSetRvrtRem",
)
"""Active power setpoint, in watts."""
REACTIVE = ControlBlock(
    enable="VarSetEna",
    value="VarSet",
    reversion="VarSetRvrt",
    enable_reversion="VarSetEnaRvrt",
    timer="VarSetRvrtTms",
    remaining="VarSetRvrtRem",
)
"""Reactive power setpoint, in vars."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterWrite:
    """One FC16 write inside model 704."""

    block: ControlBlock
    offset: int
    """Registers from the model's identifier to the first one written."""
    registers: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the control registers of a device order. None: that control is off."""

    cap_kw: float | None
    p_kw: float | None
    q_kvar: float | None

    def readback(self) -> Readback:
        """As the value the cycle passes on; no reactive control means 0 kvar."""
        q_kvar = 0.0 if self.q_kvar is None else self.q_kvar
        return Readback(p_kw=self.p_kw, q_kvar=q_kvar, cap_kw=self.cap_kw)


@dataclass(frozen=True, slots=True, kw_only=True)
class PointMismatch:
    """A point that holds something else than was written."""

    point: str
    asked: int | None
    held: int | None

    def __str__(self) -> str:
        return f"{self.point}: asked {self.asked}, held {self.held}"


def encode(command: Command, controls: ModelBlock, w_max_w: float) -> tuple[RegisterWrite, ...]:
    """The writes that make a device follow a command, active power first.

    Caps are rounded down, setpoints towards zero. Points of a block that GEEMS has no say
    in (percent setpoints, priority) are written back as they stand.

    Args:
        command: what to order; `p_kw` None means that the device takes a cap.
        controls: model 704 as the device holds it; gives scale factors and standing values.
        w_max_w: WMax of model 702, to which the percentage relates [W].

    Raises:
        ValueError: a number is not finite, or the device does not implement the control.
    """
    numbers = (command.p_kw, command.cap_kw, command.q_kvar, command.reversion_kw)
    if not all(math.isfinite(x) for x in numbers if x is not None):
        raise ValueError("a setpoint is not a finite number")
    if command.p_kw is None:
        active = _write(controls, CAP, _cap_points(command, controls, w_max_w))
    else:
        active = _write(controls, SETPOINT, _setpoint_points(command, command.p_kw, controls))
    if controls.raw(REACTIVE.enable) is None and command.q_kvar == 0.0:
        return (active,)  # a device without reactive control holds 0 kvar by itself
    return active, _write(controls, REACTIVE, _reactive_points(command, controls))


def _cap_points(command: Command, controls: ModelBlock, w_max_w: float) -> dict[str, int]:
    sf = _scale_factor(controls, CAP)
    full = counts(100, sf, Rounding.FLOOR)

    def percent(kw: float) -> int:
        share = Decimal(repr(float(kw))) * _WATTS_PER_KW * 100 / Decimal(repr(float(w_max_w)))
        return max(0, min(full, counts(share, sf, Rounding.FLOOR)))

    return {
        "WMaxLimPctEna": DISABLED if command.cap_kw is None else ENABLED,
        "WMaxLimPct": full if command.cap_kw is None else percent(command.cap_kw),
        "WMaxLimPctRvrt": percent(command.reversion_kw),
        "WMaxLimPctEnaRvrt": ENABLED,
        "WMaxLimPctRvrtTms": command.reversion_s,
    }


def _setpoint_points(command: Command, p_kw: float, controls: ModelBlock) -> dict[str, int]:
    sf = _scale_factor(controls, SETPOINT)
    return {
        "WSetEna": ENABLED,
        "WSetMod": WATTS,
        "WSet": _kilo_counts(p_kw, sf),
        "WSetRvrt": _kilo_counts(command.reversion_kw, sf),
        "WSetEnaRvrt": ENABLED,
        "WSetRvrtTms": command.reversion_s,
    }


def _reactive_points(command: Command, controls: ModelBlock) -> dict[str, int]:
    sf = _scale_factor(controls, REACTIVE)
    return {
        "VarSetEna": ENABLED,
        "VarSetMod": VARS,
        "VarSet": _kilo_counts(command.q_kvar, sf),
        "VarSetRvrt": 0,
        "VarSetEnaRvrt": ENABLED,
        "VarSetRvrtTms": command.reversion_s,
    }


def _kilo_counts(kilo: float, sf: int) -> int:
    """Counts of W or var for a setpoint in kW or kvar, towards zero."""
    return counts(Decimal(repr(float(kilo))) * _WATTS_PER_KW, sf, Rounding.TOWARDS_ZERO)


def _scale_factor(controls: ModelBlock, block: ControlBlock) -> int:
    sf = controls.scale_factor(block.value)
    if controls.raw(block.enable) is None:
        raise ValueError(f"the device does not implement {block.value} of model 704")
    if sf is None:
        factor = controls.model.points[block.value].sf
        raise ValueError(f"{factor} of model 704 reads as not available (NaN)")
    return sf


def _write(controls: ModelBlock, block: ControlBlock, raw: dict[str, int]) -> RegisterWrite:
    registers: list[int] = []
    for point in block.points:
        standing = controls.registers[point.offset : point.end]
        registers += to_registers(point, raw[point.name]) if point.name in raw else standing
    return RegisterWrite(block=block, offset=block.points[0].offset, registers=tuple(registers))


def held(controls: ModelBlock, w_max_w: float) -> Held:
    """What the registers of model 704 order.

    Args:
        controls: the registers.
        w_max_w: WMax of model 702 [W].
    """
    cap = p = q = None
    if controls.raw(CAP.enable) == ENABLED:
        raw, sf = controls.raw(CAP.value), controls.scale_factor(CAP.value)
        if raw is not None and sf is not None:
            share = scaled(raw, sf) * Decimal(repr(float(w_max_w)))
            cap = float(share / 100 / _WATTS_PER_KW)
    if controls.raw(SETPOINT.enable) == ENABLED and controls.raw("WSetMod") == WATTS:
        p = _kilo(controls, SETPOINT.value)
    if controls.raw(REACTIVE.enable) == ENABLED and controls.raw("VarSetMod") == VARS:
        q = _kilo(controls, REACTIVE.value)
    return Held(cap_kw=cap, p_kw=p, q_kvar=q)


def _kilo(controls: ModelBlock, name: str) -> float | None:
    raw, sf = controls.raw(name), controls.scale_factor(name)
    return None if raw is None or sf is None else float(scaled(raw, sf) / _WATTS_PER_KW)


def mismatches(writes: Sequence[RegisterWrite], controls: ModelBlock) -> tuple[PointMismatch, ...]:
    """Points of `writes` that the device holds differently, compared register by register."""
    found: list[PointMismatch] = []
    for write in writes:
        for point in write.block.points:
            start = point.offset - write.offset
            asked = list(write.registers[start : start + point.size])
            there = controls.registers[point.offset : point.end]
            if asked != there:
                held_raw = from_registers(point, there) if len(there) == point.size else None
                found.append(
                    PointMismatch(
                        point=point.name, asked=from_registers(point, asked), held=held_raw
                    )
                )
    return tuple(found)
