"""Volt-var (705), volt-watt (706), frequency droop (711) and watt-var (712) in registers.

Ranges of adjustability: `ems/plant/inverter/adjustable.py`.
"""

from collections.abc import Sequence

from ems.plant.functions.stored import Layout, number
from ems.plant.inverter import FrequencyDroop, NotConform, VoltVar, VoltWatt, WattVar, adjustable
from ems.protocols.sunspec import ModelBlock

PERCENT = 100.0
W_MAX, VAR_MAX, VA_MAX = 0, 1, 3
"""DeptRef of models 705 and 712: percent of which rating."""
W_MAX_ONLY = (0,).__contains__
REACTIVE_PRIORITY = (1,).__contains__
"""What volt-var and watt-var ask for: active power makes room, clauses 5.3.3 and 5.3.4."""
ON_OFF = (0, 1).__contains__


class QBase:
    """What reactive percentages relate to, per unit of the apparent power rating."""

    def __init__(self, *, w_max_pu: float, var_max_pu: float) -> None:
        self._share = {W_MAX: w_max_pu, VAR_MAX: var_max_pu, VA_MAX: 1.0}

    def accepts(self, raw: int) -> bool:
        """Whether this base is known: reactive power available at the moment is not."""
        return raw in self._share

    def share(self, block: ModelBlock, prefix: str) -> float:
        """Per unit of the apparent power rating in one per unit of the curve."""
        return self._share[block.raw(f"{prefix}.DeptRef") or W_MAX]


def _points(block: ModelBlock, prefix: str, x: str, y: str) -> list[tuple[float, float]]:
    """The active points of a curve, per unit."""
    active = block.raw(f"{prefix}.ActPt") or 0
    counted = block.model.counts["Pt"]
    if not 2 <= active <= counted:
        raise NotConform(f"{prefix} has {active} active points; 2 to {counted} are allowed")
    return [
        (
            number(block, f"{prefix}.Pt[{i}].{x}") / PERCENT,
            number(block, f"{prefix}.Pt[{i}].{y}") / PERCENT,
        )
        for i in range(1, active + 1)
    ]


def _put(
    block: ModelBlock,
    prefix: str,
    names: tuple[str, str],
    points: Sequence[tuple[float, float]],
) -> None:
    """Points of a curve, per unit; the places behind them hold 0."""
    block.set_raw(f"{prefix}.ActPt", len(points))
    for i in range(1, block.model.counts["Pt"] + 1):
        at = points[i - 1] if i <= len(points) else (0.0, 0.0)
        for name, value in zip(names, at, strict=True):
            block.set_value(f"{prefix}.Pt[{i}].{name}", value * PERCENT)


# --- 705 -----------------------------------------------------------------------------


def volt_var(base: QBase) -> Layout[VoltVar]:
    """Layout of model 705."""

    def write(block: ModelBlock, prefix: str, part: VoltVar) -> None:
        block.set_raw(f"{prefix}.DeptRef", VA_MAX)
        block.set_raw(f"{prefix}.Pri", 1)
        block.set_value(f"{prefix}.VRef", part.v_ref_pu * PERCENT)
        block.set_value(f"{prefix}.VRefAuto", part.v_ref_pu * PERCENT)
        block.set_raw(f"{prefix}.VRefAutoEna", int(part.tracks_v_ref))
        block.set_value(f"{prefix}.VRefAutoTms", part.v_ref_s)
        block.set_value(f"{prefix}.RspTms", part.response_s)
        _put(block, prefix, ("V", "Var"), list(zip(part.v_pu, part.q_pu, strict=True)))

    def read(block: ModelBlock, prefix: str, _part: VoltVar) -> VoltVar:
        share = base.share(block, prefix)
        points = _points(block, prefix, "V", "Var")
        return adjustable.volt_var(
            [(v, q * share) for v, q in points],
            v_ref_pu=number(block, f"{prefix}.VRef") / PERCENT,
            tracks_v_ref=block.raw(f"{prefix}.VRefAutoEna") == 1,
            v_ref_s=number(block, f"{prefix}.VRefAutoTms"),
            response_s=number(block, f"{prefix}.RspTms"),
        )

    return Layout(
        model_id=705,
        points=4,
        scale_factors={"V_SF": -2, "DeptRef_SF": -2, "RspTms_SF": -1},
        write=write,
        read=read,
        values={"DeptRef": base.accepts, "Pri": REACTIVE_PRIORITY, "VRefAutoEna": ON_OFF},
    )


# --- 706 -----------------------------------------------------------------------------


def volt_watt(*, absorbs: bool) -> Layout[VoltWatt]:
    """Layout of model 706.

    Args:
        absorbs: whether the far point may lie in charging.
    """

    def write(block: ModelBlock, prefix: str, part: VoltWatt) -> None:
        block.set_raw(f"{prefix}.DeptRef", W_MAX)
        block.set_value(f"{prefix}.RspTms", part.response_s)
        _put(block, prefix, ("V", "W"), list(zip(part.v_pu, part.p_pu, strict=True)))

    def read(block: ModelBlock, prefix: str, _part: VoltWatt) -> VoltWatt:
        return adjustable.volt_watt(
            _points(block, prefix, "V", "W"),
            response_s=number(block, f"{prefix}.RspTms"),
            absorbs=absorbs,
        )

    return Layout(
        model_id=706,
        points=2,
        scale_factors={"V_SF": -2, "DeptRef_SF": -2, "RspTms_SF": -1},
        write=write,
        read=read,
        values={"DeptRef": W_MAX_ONLY},
    )


# --- 711 -----------------------------------------------------------------------------


def frequency_droop(*, absorbs: bool) -> Layout[FrequencyDroop]:
    """Layout of model 711."""
    lowest = -1.0 if absorbs else 0.0

    def write(block: ModelBlock, prefix: str, part: FrequencyDroop) -> None:
        block.set_value(f"{prefix}.DbOf", part.deadband_over_hz)
        block.set_value(f"{prefix}.DbUf", part.deadband_under_hz)
        block.set_value(f"{prefix}.KOf", part.k_over)
        block.set_value(f"{prefix}.KUf", part.k_under)
        block.set_value(f"{prefix}.RspTms", part.response_s)
        p_min = lowest if part.p_min_pu is None else part.p_min_pu
        block.set_value(f"{prefix}.PMin", p_min * PERCENT)

    def read(block: ModelBlock, prefix: str, _part: FrequencyDroop) -> FrequencyDroop:
        return adjustable.frequency_droop(
            deadband_over_hz=number(block, f"{prefix}.DbOf"),
            deadband_under_hz=number(block, f"{prefix}.DbUf"),
            k_over=number(block, f"{prefix}.KOf"),
            k_under=number(block, f"{prefix}.KUf"),
            response_s=number(block, f"{prefix}.RspTms"),
            p_min_pu=number(block, f"{prefix}.PMin") / PERCENT,
            absorbs=absorbs,
        )

    return Layout(
        model_id=711,
        group="Ctl",
        scale_factors={"Db_SF": -3, "K_SF": -3, "RspTms_SF": -1},
        write=write,
        read=read,
        values={},
    )


# --- 712 -----------------------------------------------------------------------------


def watt_var(base: QBase, *, absorbs: bool) -> Layout[WattVar]:
    """Layout of model 712: six points with charging, three without."""
    first = 0 if absorbs else 3

    def write(block: ModelBlock, prefix: str, part: WattVar) -> None:
        block.set_raw(f"{prefix}.DeptRef", VA_MAX)
        block.set_raw(f"{prefix}.Pri", 1)
        points = list(zip(part.p_pu, part.q_pu, strict=True))[first:]
        _put(block, prefix, ("W", "Var"), points)

    def read(block: ModelBlock, prefix: str, _part: WattVar) -> WattVar:
        share = base.share(block, prefix)
        points = _points(block, prefix, "W", "Var")
        return adjustable.watt_var([(p, q * share) for p, q in points], absorbs=absorbs)

    return Layout(
        model_id=712,
        points=6,
        scale_factors={"W_SF": -2, "DeptRef_SF": -2},
        write=write,
        read=read,
        values={"DeptRef": base.accepts, "Pri": REACTIVE_PRIORITY},
    )
