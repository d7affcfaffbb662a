"""Volt-var (705), volt-watt (706), frequency droop (711) and watt-var (712) in registers.

Ranges of adjustability: IEEE Std 1547-2018, category B and III; the table stands at each function.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from ems.plant.functions.stored import Layout, NotConform, number, within
from ems.plant.inverter import FrequencyDroop, VoltVar, VoltWatt, WattVar
from ems.protocols.sunspec import ModelBlock

PERCENT = 100.0
W_MAX, VAR_MAX, VA_MAX = 0, 1, 3
"""DeptRef of models 705 and 712: percent of which rating."""
W_MAX_ONLY = (0,).__contains__
REACTIVE_PRIORITY = (1,).__contains__
"""What volt-var and watt-var ask for: active power makes room, clauses 5.3.3 and 5.3.4."""
ON_OFF = (0, 1).__contains__
AT_RATED = 1.0


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
    """The active points of a curve, in percent."""
    active = block.raw(f"{prefix}.ActPt") or 0
    counted = block.model.counts["Pt"]
    if not 2 <= active <= counted:
        raise NotConform(f"{prefix} has {active} active points; 2 to {counted} are allowed")
    return [
        (number(block, f"{prefix}.Pt[{i}].{x}"), number(block, f"{prefix}.Pt[{i}].{y}"))
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


def _rising(values: Sequence[float], what: str) -> None:
    if any(b < a for a, b in pairwise(values)):
        raise NotConform(f"{what} must not fall from point to point")


# --- 705 -----------------------------------------------------------------------------


def volt_var(base: QBase) -> Layout[VoltVar]:
    """Layout of model 705; ranges of table 8."""

    def write(block: ModelBlock, prefix: str, part: VoltVar) -> None:
        block.set_raw(f"{prefix}.DeptRef", VA_MAX)
        block.set_raw(f"{prefix}.Pri", 1)
        block.set_value(f"{prefix}.VRef", part.v_ref_pu * PERCENT)
        block.set_value(f"{prefix}.VRefAuto", part.v_ref_pu * PERCENT)
        block.set_raw(f"{prefix}.VRefAutoEna", int(part.tracks_v_ref))
        block.set_value(f"{prefix}.VRefAutoTms", part.v_ref_s)
        block.set_value(f"{prefix}.RspTms", part.response_s)
        _put(block, prefix, ("V", "Var"), list(zip(part.v_pu, part.q_pu, strict=True)))

    def read(block: ModelBlock, prefix: str, part: VoltVar) -> VoltVar:
        points = _points(block, prefix, "V", "Var")
        points += [points[-1]] * (4 - len(points))
        share = base.share(block, prefix)
        v = tuple(at[0] / PERCENT for at in points)
        q = tuple(at[1] / PERCENT * share for at in points)
        _rising(v, "V")
        _rising([-x for x in q], "-Var")
        within(v[0], 0.82, 1.0, "V1")
        within(v[3], 1.0, 1.18, "V4")
        within(max(map(abs, q)), 0.0, AT_RATED, "Var")
        return replace(
            part,
            v_pu=(v[0], v[1], v[2], v[3]),
            q_pu=(q[0], q[1], q[2], q[3]),
            v_ref_pu=within(number(block, f"{prefix}.VRef") / PERCENT, 0.95, 1.05, "VRef"),
            tracks_v_ref=block.raw(f"{prefix}.VRefAutoEna") == 1,
            v_ref_s=within(number(block, f"{prefix}.VRefAutoTms"), 300, 5000, "VRefAutoTms"),
            response_s=within(number(block, f"{prefix}.RspTms"), 1, 90, "RspTms"),
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
    """Layout of model 706; ranges of table 10.

    Args:
        absorbs: whether the far point may lie in charging.
    """

    def write(block: ModelBlock, prefix: str, part: VoltWatt) -> None:
        block.set_raw(f"{prefix}.DeptRef", W_MAX)
        block.set_value(f"{prefix}.RspTms", part.response_s)
        _put(block, prefix, ("V", "W"), list(zip(part.v_pu, part.p_pu, strict=True)))

    def read(block: ModelBlock, prefix: str, part: VoltWatt) -> VoltWatt:
        (v1, p1), (v2, p2) = _points(block, prefix, "V", "W")
        within(v1 / PERCENT, 1.05, 1.09, "V1")
        within(v2 / PERCENT, v1 / PERCENT + 0.01, 1.10, "V2")
        within(p1 / PERCENT, AT_RATED, AT_RATED, "P1")
        within(p2 / PERCENT, -AT_RATED if absorbs else 0.0, AT_RATED, "P2")
        response_s = within(number(block, f"{prefix}.RspTms"), 0.5, 60, "RspTms")
        return replace(
            part,
            v_pu=(v1 / PERCENT, v2 / PERCENT),
            p_pu=(p1 / PERCENT, p2 / PERCENT),
            response_s=response_s,
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
    """Layout of model 711; ranges of table 24."""
    lowest = -AT_RATED if absorbs else 0.0

    def write(block: ModelBlock, prefix: str, part: FrequencyDroop) -> None:
        block.set_value(f"{prefix}.DbOf", part.deadband_over_hz)
        block.set_value(f"{prefix}.DbUf", part.deadband_under_hz)
        block.set_value(f"{prefix}.KOf", part.k_over)
        block.set_value(f"{prefix}.KUf", part.k_under)
        block.set_value(f"{prefix}.RspTms", part.response_s)
        p_min = lowest if part.p_min_pu is None else part.p_min_pu
        block.set_value(f"{prefix}.PMin", p_min * PERCENT)

    def read(block: ModelBlock, prefix: str, part: FrequencyDroop) -> FrequencyDroop:
        return replace(
            part,
            deadband_over_hz=within(number(block, f"{prefix}.DbOf"), 0.017, 1.0, "DbOf"),
            deadband_under_hz=within(number(block, f"{prefix}.DbUf"), 0.017, 1.0, "DbUf"),
            k_over=within(number(block, f"{prefix}.KOf"), 0.02, 0.05, "KOf"),
            k_under=within(number(block, f"{prefix}.KUf"), 0.02, 0.05, "KUf"),
            response_s=within(number(block, f"{prefix}.RspTms"), 0.2, 10, "RspTms"),
            p_min_pu=within(number(block, f"{prefix}.PMin") / PERCENT, lowest, AT_RATED, "PMin"),
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
    """Layout of model 712; ranges of table 9: six points with charging, three without."""
    first = 0 if absorbs else 3

    def write(block: ModelBlock, prefix: str, part: WattVar) -> None:
        block.set_raw(f"{prefix}.DeptRef", VA_MAX)
        block.set_raw(f"{prefix}.Pri", 1)
        points = list(zip(part.p_pu, part.q_pu, strict=True))[first:]
        _put(block, prefix, ("W", "Var"), points)

    def read(block: ModelBlock, prefix: str, part: WattVar) -> WattVar:
        points = _points(block, prefix, "W", "Var")
        if len(points) != 6 - first:
            raise NotConform(f"{len(points)} points; this device takes {6 - first}")
        share = base.share(block, prefix)
        p = [at[0] / PERCENT for at in points]
        q = [at[1] / PERCENT * share for at in points]
        _rising(p, "W")
        within(p[-2], 0.4, 0.8, "P2")
        within(p[-1], p[-2] + 0.1, AT_RATED, "P3")
        within(p[-3], 0.0, p[-2] - 0.1, "P1")
        within(max(map(abs, q)), 0.0, AT_RATED, "Var")
        if absorbs:
            within(p[0], -AT_RATED, p[1], "P'3")
            within(p[2], p[1], 0.0, "P'1")
            return replace(part, p_pu=tuple(p), q_pu=tuple(q))
        # Below its least point the curve goes on flat.
        return replace(part, p_pu=(-1.0, -0.5, 0.0, *p), q_pu=(q[0], q[0], q[0], *q))

    return Layout(
        model_id=712,
        points=6,
        scale_factors={"W_SF": -2, "DeptRef_SF": -2},
        write=write,
        read=read,
        values={"DeptRef": base.accepts, "Pri": REACTIVE_PRIORITY},
    )
