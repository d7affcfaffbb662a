"""The models that say what a device is and how much: 1, 702, 713, and empty 701, 122 and 715."""

import math

from ems.domain import Bes, Der, Pv
from ems.plant.inverter import apparent_kva
from ems.protocols.sunspec import ModelBlock, model, smallest_scale_factor

V_NOM = 480.0
"""Nominal voltage of the devices' terminals, line to line [V]; a transformer's ratio away
from the feeder, so that any feeder voltage fits the registers."""
INT16_MAX, UINT16_MAX = 32767, 65534
CAT_B, CAT_3 = 1, 2
"""Normal and abnormal operating category."""
RATED_PF = 0.9
"""Power factor at which model 702 gives the active power ratings."""


def common(kind: str, name: str) -> ModelBlock:
    """Model 1: who made it, what it is, which one it is."""
    block = ModelBlock(model(1))
    texts = {"Mn": "GEEMS", "Md": f"Simulated {kind}", "Vr": "1", "SN": name}
    for point, text in texts.items():
        block.set_text(point, text)
    return block


def apparent_va(der: Der) -> float:
    """Apparent power rating [VA]."""
    if isinstance(der, Pv | Bes):
        return apparent_kva(der) * 1000
    return math.hypot(der.rated_kw, der.q_max_kvar) * 1000


def measurement(der: Der) -> ModelBlock:
    """Model 701 with its scale factors, and nothing measured yet."""
    block = ModelBlock(model(701))
    block.set_raw("W_SF", power_scale_factor(der))
    block.set_raw("Var_SF", smallest_scale_factor(der.q_max_kvar * 1000, INT16_MAX))
    block.set_raw("VA_SF", smallest_scale_factor(apparent_va(der), INT16_MAX))
    block.set_raw("V_SF", -2)
    block.set_raw("Hz_SF", -3)
    symbols = model(701).points["ACType"].symbols
    kind = {1: "SINGLE_PHASE", 2: "SPLIT_PHASE"}.get(der.phases, "THREE_PHASE")
    block.set_raw("ACType", symbols[kind])
    block.set_raw("St", 1)
    block.set_raw("ConnSt", 1)
    return block


def power_scale_factor(der: Der) -> int:
    """Scale factor of active power in model 701."""
    return smallest_scale_factor(der.rated_kw * 1000, INT16_MAX)


def capacity(der: Der, *, inverter: bool) -> ModelBlock:
    """Model 702: ratings, and settings equal to them."""
    block = ModelBlock(model(702))
    w, va, var = der.rated_kw * 1000, apparent_va(der), der.q_max_kvar * 1000
    block.set_raw("W_SF", smallest_scale_factor(w, UINT16_MAX))
    block.set_raw("VA_SF", smallest_scale_factor(va, UINT16_MAX))
    block.set_raw("Var_SF", smallest_scale_factor(var, UINT16_MAX))
    block.set_raw("V_SF", -2)
    block.set_raw("PF_SF", -2)
    nominal = V_NOM / math.sqrt(3) if der.phases == 1 else V_NOM
    for rating, setting, value in (
        ("WMaxRtg", "WMax", w),
        ("VAMaxRtg", "VAMax", va),
        ("VarMaxInjRtg", "VarMaxInj", var),
        ("VarMaxAbsRtg", "VarMaxAbs", var),
        ("VNomRtg", "VNom", nominal),
    ):
        block.set_value(rating, value)
        block.set_value(setting, value)
    if isinstance(der, Bes):
        for name in ("WChaRteMaxRtg", "WDisChaRteMaxRtg", "WChaRteMax", "WDisChaRteMax"):
            block.set_value(name, w)
        for name in ("VAChaRteMaxRtg", "VADisChaRteMaxRtg", "VAChaRteMax", "VADisChaRteMax"):
            block.set_value(name, va)
    if inverter:
        for name in ("WOvrExtRtg", "WUndExtRtg", "WMaxOvrExt", "WMaxUndExt"):
            block.set_value(name, min(w, RATED_PF * va))
        for name in ("WOvrExtRtgPF", "WUndExtRtgPF", "WOvrExtPF", "WUndExtPF"):
            block.set_value(name, RATED_PF)
        block.set_raw("NorOpCatRtg", CAT_B)
        block.set_raw("AbnOpCatRtg", CAT_3)
    block.set_raw("CtrlModes", _control_modes(der, inverter=inverter))
    return block


def _control_modes(der: Der, *, inverter: bool) -> int:
    """Bits of 702.CtrlModes: what the other models of this device offer."""
    names = ["MAX_W" if isinstance(der, Pv) else "FIXED_W", "FIXED_VAR"]
    if inverter:
        names += [
            "MAX_W", "FIXED_PF", "VOLT_VAR", "FREQ_WATT", "LV_TRIP", "HV_TRIP", "WATT_VAR",
            "VOLT_WATT", "LF_TRIP", "HF_TRIP",
        ]  # fmt: skip
    symbols = model(702).points["CtrlModes"].symbols
    return sum(1 << symbols[name] for name in set(names))


def storage(der: Bes) -> ModelBlock:
    """Model 713 with the energy rating."""
    block = ModelBlock(model(713))
    block.set_raw("WH_SF", smallest_scale_factor(der.capacity_kwh * 1000, UINT16_MAX))
    block.set_raw("Pct_SF", -2)
    block.set_value("WHRtg", der.capacity_kwh * 1000)
    block.set_raw("Sta", 0)
    return block


def extended_status(der: Pv) -> ModelBlock:
    """Model 122, of which only the available power is implemented."""
    block = ModelBlock(model(122))
    block.set_raw("WAval_SF", smallest_scale_factor(der.rated_kw * 1000, UINT16_MAX))
    return block


def remote_control(*, inverter: bool) -> ModelBlock:
    """Model 715: heartbeats, and who is in control."""
    block = ModelBlock(model(715))
    block.set_raw("LocRemCtl", 0)
    block.set_raw("DERHb", 0)
    block.set_raw("ControllerHb", 0)
    if inverter:
        block.set_raw("AlarmReset", 0)
    return block
