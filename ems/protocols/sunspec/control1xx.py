"""Immediate controls of the older models, 123 and 124: a command as registers, and back.

What these models know: a cap in percent of WMax, reactive power in percent of WMax or VArMax, and
for storage two rates that bound discharging and charging. What they do not know is a value to
fall back to: when a timer runs out the control is lifted, and the device does as it likes.

Every share is rounded towards zero, so what is ordered is never more than what was asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from ems.protocols.sunspec.definitions import Point
from ems.protocols.sunspec.registers import ModelBlock, to_registers
from ems.protocols.sunspec.scaling import Rounding, counts, scaled

DISABLED, ENABLED = 0, 1
OF_W_MAX, OF_VAR_MAX = 1, 2
"""VArPct_Mod: what the percentage of reactive power relates to."""
CHARGE_AND_DISCHARGE = 0b11
"""StorCtl_Mod: both rates hold."""
LONGEST_TIMER_S = 0xFFFE
"""Timers of these models have 16 bits, and the highest value says that there is none [s]."""
_WATTS_PER_KW = Decimal(1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsWrite:
    """One FC16 write of points in a row."""

    model_id: int
    points: tuple[Point, ...]
    registers: tuple[int, ...]


def cap(block: ModelBlock, cap_kw: float | None, w_max_w: float, timer_s: int) -> PointsWrite:
    """The write that caps active power.

    Args:
        block: model 123 as the device holds it.
        cap_kw: None lifts the cap [kW].
        w_max_w: what the percentage relates to [W].
        timer_s: until the device lifts the cap by itself; 0: never [s].

    Raises:
        ValueError: the device does not implement the control.
    """
    sf = _scale_factor(block, "WMaxLimPct", "WMaxLim_Ena")
    full = counts(100, sf, Rounding.FLOOR)
    share = full if cap_kw is None else _share(cap_kw, w_max_w, sf)
    wanted = {
        "WMaxLimPct": max(0, min(full, share)),
        "WMaxLim_Ena": DISABLED if cap_kw is None else ENABLED,
    }
    timers = {"WMaxLimPct_WinTms": 0, "WMaxLimPct_RvrtTms": timer_s}
    return _write(block, "WMaxLimPct", "WMaxLim_Ena", wanted, timers)


def held_cap(block: ModelBlock, w_max_w: float) -> float | None:
    """The cap in force; None: none [kW]."""
    if block.raw("WMaxLim_Ena") != ENABLED:
        return None
    return _kilo(block, "WMaxLimPct", w_max_w)


def reactive(
    block: ModelBlock, q_kvar: float, w_max_w: float, var_max_var: float | None, timer_s: int
) -> PointsWrite | None:
    """The write that orders reactive power; None where there is none to order and none to order it.

    Args:
        block: model 123 as the device holds it.
        q_kvar: injection positive [kvar].
        w_max_w: WMax [W].
        var_max_var: VArMax of the quadrant; None where the device does not tell [var].
        timer_s: until the device lifts the order by itself, which leaves 0 kvar [s].

    Raises:
        ValueError: the device does not implement the control.
    """
    if var_max_var and block.raw("VArMaxPct") is not None:
        point, mode, whole = "VArMaxPct", OF_VAR_MAX, var_max_var
    elif block.raw("VArWMaxPct") is not None:
        point, mode, whole = "VArWMaxPct", OF_W_MAX, w_max_w
    elif q_kvar == 0.0:
        return None
    else:
        raise ValueError(
            "the device takes no reactive power (neither VArMaxPct with a VArMax nor VArWMaxPct of "
            "model 123); set q_max_kvar = 0"
        )
    sf = _scale_factor(block, point, "VArPct_Ena")
    limit = counts(100, sf, Rounding.FLOOR)
    wanted = {
        point: max(-limit, min(limit, _share(q_kvar, whole, sf))),
        "VArPct_Mod": mode,
        "VArPct_Ena": ENABLED,
    }
    timers = {"VArPct_WinTms": 0, "VArPct_RvrtTms": timer_s}
    return _write(block, point, "VArPct_Ena", wanted, timers)


def held_reactive(block: ModelBlock, w_max_w: float, var_max_var: float | None) -> float | None:
    """The reactive power ordered; None: none that these models name in percent [kvar]."""
    if block.raw("VArPct_Ena") != ENABLED:
        return None
    mode = block.raw("VArPct_Mod")
    if mode == OF_VAR_MAX and var_max_var:
        return _kilo(block, "VArMaxPct", var_max_var)
    return _kilo(block, "VArWMaxPct", w_max_w) if mode == OF_W_MAX else None


def storage(
    block: ModelBlock, p_kw: float, discharge_w: float, charge_w: float, timer_s: int
) -> tuple[PointsWrite, PointsWrite]:
    """The writes that make a battery discharge (positive) or charge at one power.

    The two rates bound power from above and below; the bound of the other direction is negative,
    so that nothing but the power itself is left.

    Args:
        block: model 124 as the device holds it.
        p_kw: discharge positive [kW].
        discharge_w: largest discharge power, what `OutWRte` relates to [W].
        charge_w: largest charge power, what `InWRte` relates to [W].
        timer_s: until the device lifts the order by itself [s].

    Raises:
        ValueError: the device does not implement the control.
    """
    sf = _scale_factor(block, "OutWRte", "StorCtl_Mod")
    if block.raw("InWRte") is None:
        raise ValueError("the device does not implement InWRte of model 124")
    limit = counts(100, sf, Rounding.FLOOR)
    rates = {"OutWRte": _share(p_kw, discharge_w, sf), "InWRte": _share(-p_kw, charge_w, sf)}
    wanted = {name: max(-limit, min(limit, rate)) for name, rate in rates.items()}
    timers = {"InOutWRte_WinTms": 0, "InOutWRte_RvrtTms": timer_s}
    return (
        _write(block, "OutWRte", "InOutWRte_RmpTms", wanted, timers),
        _write(block, "StorCtl_Mod", "StorCtl_Mod", {"StorCtl_Mod": CHARGE_AND_DISCHARGE}, {}),
    )


def held_storage(block: ModelBlock, discharge_w: float, charge_w: float) -> float | None:
    """The power ordered; None where the rates leave the device a choice [kW]."""
    if block.raw("StorCtl_Mod") != CHARGE_AND_DISCHARGE:
        return None
    out, into = block.raw("OutWRte"), block.raw("InWRte")
    if out is None or into is None or (out > 0 and into > 0):
        return None
    if out > 0:
        return _kilo(block, "OutWRte", discharge_w)
    charge = _kilo(block, "InWRte", charge_w)
    return None if charge is None else min(0.0, -charge)


def _share(kilo: float, whole: float, sf: int) -> int:
    """Counts of the percentage that a power is of a rating, towards zero."""
    part = Decimal(repr(float(kilo))) * _WATTS_PER_KW * 100 / Decimal(repr(float(whole)))
    return counts(part, sf, Rounding.TOWARDS_ZERO)


def _kilo(block: ModelBlock, name: str, whole: float) -> float | None:
    raw, sf = block.raw(name), block.scale_factor(name)
    if raw is None or sf is None:
        return None
    return float(scaled(raw, sf) * Decimal(repr(float(whole))) / 100 / _WATTS_PER_KW)


def _scale_factor(block: ModelBlock, name: str, enable: str) -> int:
    sf = block.scale_factor(name)
    if block.raw(enable) is None or block.raw(name) is None:
        raise ValueError(f"the device does not implement {name} of model {block.model.id}")
    if sf is None:
        factor = block.model.points[name].sf
        raise ValueError(f"{factor} of model {block.model.id} reads as not available (NaN)")
    return sf


def _write(
    block: ModelBlock, first: str, last: str, wanted: Mapping[str, int], maybe: Mapping[str, int]
) -> PointsWrite:
    """Points from first to last; those GEEMS has no say in, or that are not there, as they stand.

    Args:
        block: the registers as they stand.
        first: first point of the write.
        last: last one.
        wanted: raw values.
        maybe: likewise, for points that a device may lack.
    """
    start, end = block.model.points[first].offset, block.model.points[last].end
    points = tuple(p for p in block.model.points.values() if start <= p.offset < end)
    raw = dict(wanted) | {n: v for n, v in maybe.items() if block.raw(n) is not None}
    registers: list[int] = []
    for point in points:
        standing = block.registers[point.offset : point.end]
        registers += to_registers(point, raw[point.name]) if point.name in raw else standing
    return PointsWrite(model_id=block.model.id, points=points, registers=tuple(registers))
