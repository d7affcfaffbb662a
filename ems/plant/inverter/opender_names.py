"""Ratings and settings under the names that OpenDER has for them."""

from typing import Any

from ems.domain import Bes, Pv
from ems.plant.inverter.settings import InverterSettings, Trip

V_BASE = 480.0
"""Any base does: all voltages are given per unit [V]."""
NEVER_LOW, NEVER_HIGH = -1.0, 1e6
"""Thresholds that nothing passes, in place of a step that is off."""
LONGEST_S = 1e6
"""Delay of a step that is off [s]."""


def give_nameplate(file: Any, der: Pv | Bes, va: float) -> None:
    """All ratings; P at the specified power factors from the circle."""
    # The library refuses a rating of 0 var: a millionth of the rating stands for none.
    q_var = max(der.q_max_kvar * 1000, va * 1e-6)
    p_w = der.rated_kw * 1000
    p_at_pf = min(p_w, 0.9 * va)
    for name, value in {
        "NP_PHASE": "SINGLE" if der.phases == 1 else "THREE",
        "NP_NORMAL_OP_CAT": "CAT_B",
        "NP_ABNORMAL_OP_CAT": "CAT_III",
        "NP_VA_MAX": va,
        "NP_P_MAX": p_w,
        "NP_P_MAX_OVER_PF": p_at_pf,
        "NP_OVER_PF": 0.9,
        "NP_P_MAX_UNDER_PF": p_at_pf,
        "NP_UNDER_PF": 0.9,
        "NP_Q_MAX_INJ": q_var,
        "NP_Q_MAX_ABS": q_var,
        "NP_P_MAX_CHARGE": p_w,
        "NP_APPARENT_POWER_CHARGE_MAX": va,
        "NP_AC_V_NOM": V_BASE,
        "NP_REACTIVE_SUSCEPTANCE": 0.0,
        "NP_EFFICIENCY": 1.0,  # what the sun offers is told at the bus
        "NP_PRIO_OUTSIDE_MIN_Q_REQ": "REACTIVE",
    }.items():
        setattr(file, name, value)
    if isinstance(der, Bes):
        file.NP_BESS_CAPACITY = der.capacity_kwh * 1000
        file.NP_BESS_SOC_MIN = der.soc_min_pct / 100
        file.NP_BESS_SOC_MAX = der.soc_max_pct / 100
        file.initialize_NP_BESS_P_MAX_BY_SOC()


def as_opender(settings: InverterSettings, *, battery: bool) -> dict[str, float | bool]:
    """The library's names for our settings."""
    es, vv, vw, wv = (
        settings.enter_service, settings.volt_var, settings.volt_watt, settings.watt_var,
    )  # fmt: skip
    droop = settings.droop
    p_min = (-1.0 if battery else 0.0) if droop.p_min_pu is None else droop.p_min_pu
    named: dict[str, float | bool] = {
        "ES_PERMIT_SERVICE": es.permitted,
        "ES_V_LOW": es.v_low_pu,
        "ES_V_HIGH": es.v_high_pu,
        "ES_F_LOW": es.hz_low,
        "ES_F_HIGH": es.hz_high,
        "ES_DELAY": es.delay_s,
        "ES_RAMP_RATE": es.ramp_s,
        "QV_VREF": vv.v_ref_pu,
        "QV_VREF_AUTO_MODE": vv.tracks_v_ref,
        "QV_VREF_TIME": vv.v_ref_s,
        "QV_OLRT": vv.response_s,
        "PV_MODE_ENABLE": vw.enabled,
        "PV_OLRT": vw.response_s,
        "PF_MODE_ENABLE": droop.enabled,
        "PF_DBOF": droop.deadband_over_hz,
        "PF_DBUF": droop.deadband_under_hz,
        "PF_KOF": droop.k_over,
        "PF_KUF": droop.k_under,
        "PF_OLRT": droop.response_s,
        "NP_P_MIN_PU": p_min,
    }
    for i, (v, q) in enumerate(zip(vv.v_pu, vv.q_pu, strict=True), start=1):
        named |= {f"QV_CURVE_V{i}": v, f"QV_CURVE_Q{i}": q}
    for i, (v, p) in enumerate(zip(vw.v_pu, vw.p_pu, strict=True), start=1):
        named |= {f"PV_CURVE_V{i}": v, f"PV_CURVE_P{i}": p}
    places = ("3_LOAD", "2_LOAD", "1_LOAD", "1_GEN", "2_GEN", "3_GEN")
    for place, p, q in zip(places, wv.p_pu, wv.q_pu, strict=True):
        named |= {f"QP_CURVE_P{place}": p, f"QP_CURVE_Q{place}": q}
    return named | _trips_as_opender(settings)


def _trips_as_opender(settings: InverterSettings) -> dict[str, float | bool]:
    sides = (
        ("UV", "V", settings.low_voltage, NEVER_LOW),
        ("OV", "V", settings.high_voltage, NEVER_HIGH),
        ("UF", "F", settings.low_frequency, NEVER_LOW),
        ("OF", "F", settings.high_frequency, NEVER_HIGH),
    )
    named: dict[str, float | bool] = {}
    for side, unit, trip, never in sides:
        for number, step in ((1, trip.near), (2, trip.far)):
            on = trip.enabled and step is not None
            named[f"{side}{number}_TRIP_{unit}"] = step.threshold if step and on else never
            named[f"{side}{number}_TRIP_T"] = step.seconds if step and on else LONGEST_S
    low, high = _cessation(settings.low_voltage), _cessation(settings.high_voltage)
    return named | {
        "MC_ENABLE": low is not None or high is not None,
        "MC_LVRT_V1": NEVER_LOW if low is None else low,
        "MC_HVRT_V1": NEVER_HIGH if high is None else high,
    }


def _cessation(trip: Trip) -> float | None:
    return trip.cessation_pu if trip.enabled else None
