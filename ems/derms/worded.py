"""From what a person writes (tables of a file, requests of the administration) to what is served.

Limits are rounded to the safe side: never more is asked than was written.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ems.protocols.ieee2030_5 import modes, sep, values
from ems.settings.ieee2030_5 import (
    CATEGORIES,
    CURVE_MODES,
    DER_TYPES,
    MODES,
    ControlBaseTable,
    CurveTable,
    EndDeviceDerTable,
    EnterServiceTable,
    EventTable,
)

Y_REFERENCES = (
    "none", "set_max_w", "set_max_var", "stat_var_avail", "set_effective_v", "set_max_charge_w",
    "set_max_discharge_w", "stat_w_avail",
)  # fmt: skip
"""IEEE 2030.5-2018, DERUnitRefType 0 to 7."""
_USUAL_Y = {
    "freq_watt": "set_max_w",
    "volt_watt": "set_max_w",
    "volt_var": "set_max_var",
    "watt_var": "set_max_var",
    **{m: "set_effective_v" for m in CURVE_MODES if m.startswith(("hv", "lv"))},
}
"""What y is a share of where nothing else is said; of other curves it is no share."""
_FINEST = -4
"""Power of ten of the finest number of a curve that is written: 0.01 % of 1."""
_EXACT = 1e-9
"""Binary fractions of a decimal number, far below the finest step."""
_POWERS = {
    "target_kw": "opModTargetW",
    "target_kvar": "opModTargetVar",
    "import_limit_kw": "opModImpLimW",
    "export_limit_kw": "opModExpLimW",
    "generation_limit_kw": "opModGenLimW",
    "load_limit_kw": "opModLoadLimW",
}
_FACTORS = {"fixed_pf_inject": "opModFixedPFInjectW", "fixed_pf_absorb": "opModFixedPFAbsorbW"}
_HUNDREDTHS = {
    "fixed_w_pct": "opModFixedW", "max_lim_w_pct": "opModMaxLimW", "ramp_tms_s": "rampTms",
}  # fmt: skip
_GRADIENTS = {"set_grad_w_pct_per_s": "setGradW", "set_soft_grad_w_pct_per_s": "setSoftGradW"}
_ENTER_SERVICE = {
    "delay_s": "setESDelay",
    "high_hz": "setESHighFreq",
    "low_hz": "setESLowFreq",
    "high_v_pct": "setESHighVolt",
    "low_v_pct": "setESLowVolt",
    "ramp_tms_s": "setESRampTms",
    "random_delay_s": "setESRandomDelay",
}
_RESPONSES = {"received": 1, "events": 2, "customer": 4}


def base_of(table: ControlBaseTable, href: Callable[[str], str]) -> sep.DERControlBase:
    """What a control asks for.

    Args:
        table: as written.
        href: path of a curve, by name.
    """
    asked: dict[str, Any] = {
        "opModConnect": table.connect,
        "opModEnergize": table.energize,
        "rampTms": _hundredths(table.ramp_tms_s),
    }
    if table.fixed_w_pct is not None:
        asked["opModFixedW"] = values.signed_percent(table.fixed_w_pct / 100, "down")
    if table.max_lim_w_pct is not None:
        asked["opModMaxLimW"] = values.percent(table.max_lim_w_pct / 100, "down")
    for key, element in _POWERS.items():
        power_kw = getattr(table, key)
        if power_kw is not None:
            reactive = element == "opModTargetVar"
            made = values.reactive_power if reactive else values.active_power
            asked[element] = made(power_kw * 1000, "down")
    for key, element in _FACTORS.items():
        factor = getattr(table, key)
        if factor is not None:
            asked[element] = values.power_factor_with_excitation(
                factor.pf, absorbs_vars=factor.excitation == "under"
            )
    if table.fixed_var is not None:
        reference = Y_REFERENCES.index(table.fixed_var.of)
        asked["opModFixedVar"] = values.fixed_var(table.fixed_var.pct / 100, reference)
    if (droop := table.freq_droop) is not None:
        asked["opModFreqDroop"] = sep.FreqDroop(
            dBOF=round(droop.dbof_hz * 1000),
            dBUF=round(droop.dbuf_hz * 1000),
            kOF=round(droop.kof * 1000),
            kUF=round(droop.kuf * 1000),
            openLoopTms=round(droop.open_loop_tms_s * 100),
        )
    for mode, name in table.curves.items():
        asked[CURVE_MODES[mode]] = sep.Link(href=href(name))
    return sep.DERControlBase(**asked)


def worded(base: sep.DERControlBase, name: Callable[[str], str]) -> dict[str, Any]:
    """A control as a person would write it; the inverse of `base_of`.

    Args:
        base: what is served.
        name: of a curve, by its path.
    """
    said: dict[str, Any] = {"connect": base.opModConnect, "energize": base.opModEnergize}
    for key, element in _HUNDREDTHS.items():
        count = getattr(base, element)
        said[key] = None if count is None else count / 100
    for key, element in _POWERS.items():
        power = getattr(base, element)
        said[key] = None if power is None else values.number(power) / 1000
    for key, element in _FACTORS.items():
        factor = getattr(base, element)
        if factor is not None:
            side = "under" if factor.excitation else "over"
            said[key] = {"pf": values.displacement(factor), "excitation": side}
    if (fixed := base.opModFixedVar) is not None:
        said["fixed_var"] = {"pct": fixed.value / 100, "of": Y_REFERENCES[fixed.refType]}
    if (droop := base.opModFreqDroop) is not None:
        said["freq_droop"] = {
            "dbof_hz": droop.dBOF / 1000,
            "dbuf_hz": droop.dBUF / 1000,
            "kof": droop.kOF / 1000,
            "kuf": droop.kUF / 1000,
            "open_loop_tms_s": droop.openLoopTms / 100,
        }
    for mode, element in CURVE_MODES.items():
        link = getattr(base, element)
        said[mode] = None if link is None else name(link.href)
    return {key: value for key, value in said.items() if value is not None}


def curve_of(table: CurveTable) -> dict[str, Any]:
    """A curve as `Board.add_curve` takes it, but for name and mRID."""
    x_multiplier = _multiplier(x for x, _ in table.points)
    y_multiplier = _multiplier(y for _, y in table.points)
    points: list[tuple[int, int] | tuple[int, int, bool]] = [
        (_count(x, x_multiplier), _count(y, y_multiplier)) for x, y in table.points
    ]
    if table.type == "watt_pf":
        sides = table.excitation or ["over"] * len(points)
        points = [(p[0], p[1], side == "under") for p, side in zip(points, sides, strict=True)]
    usual = _USUAL_Y.get(table.type, "none")
    options = {
        "autonomousVRefEnable": table.autonomous_vref,
        "autonomousVRefTimeConstant": _hundredths(table.autonomous_vref_tms_s),
        "openLoopTms": _hundredths(table.open_loop_tms_s),
        "rampDecTms": _hundredths(table.ramp_dec_pct_per_s),
        "rampIncTms": _hundredths(table.ramp_inc_pct_per_s),
        "rampPT1Tms": _hundredths(table.ramp_pt1_tms_s),
        "vRef": _hundredths(table.v_ref_pct),
    }
    return {
        "type": modes.curve_type(CURVE_MODES[table.type]),
        "points": points,
        "x_multiplier": x_multiplier,
        "y_multiplier": y_multiplier,
        "y_ref_type": Y_REFERENCES.index(table.y_ref or usual),
        "description": table.description or table.name,
        "options": {key: value for key, value in options.items() if value is not None},
    }


def capability_of(der: EndDeviceDerTable) -> sep.DERCapability:
    """Nameplate ratings as they are served."""
    rated: dict[str, Any] = {
        "rtgMaxW": values.active_power(der.rated_kw * 1000),
        "rtgMaxA": _optional(sep.CurrentRMS, der.rated_a),
        "rtgMaxChargeRateW": _optional(sep.ActivePower, der.rated_charge_kw, 1000),
        "rtgMaxDischargeRateW": _optional(sep.ActivePower, der.rated_discharge_kw, 1000),
        "rtgMaxV": _optional(sep.VoltageRMS, der.max_v),
        "rtgMaxVA": _optional(sep.ApparentPower, der.rated_kva, 1000),
        "rtgMaxVar": _optional(sep.ReactivePower, der.rated_kvar, 1000),
        "rtgMaxVarNeg": _optional(sep.ReactivePower, der.rated_absorb_kvar, -1000),
        "rtgMaxWh": _optional(sep.WattHour, der.rated_kwh, 1000),
        "rtgMinV": _optional(sep.VoltageRMS, der.min_v),
        "rtgVNom": _optional(sep.VoltageRMS, der.rated_v),
        "rtgMaxAh": _optional(sep.AmpereHour, der.rated_ah),
        "rtgMaxChargeRateVA": _optional(sep.ApparentPower, der.rated_charge_kva, 1000),
        "rtgMaxDischargeRateVA": _optional(sep.ApparentPower, der.rated_discharge_kva, 1000),
        "rtgOverExcitedW": _optional(sep.ActivePower, der.over_excited_kw, 1000),
        "rtgUnderExcitedW": _optional(sep.ActivePower, der.under_excited_kw, 1000),
        "rtgNormalCategory": der.normal_category and 1 + "AB".index(der.normal_category),
        "rtgAbnormalCategory": der.abnormal_category and len(der.abnormal_category),
    }
    if der.reactive_susceptance_s is not None:
        susceptance = der.reactive_susceptance_s
        # The finest power of ten whose 16 bits hold it.
        exponent = next(m for m in range(-6, 1) if round(susceptance * 10.0**-m) <= 0xFFFF)
        rated["rtgReactiveSusceptance"] = sep.ReactiveSusceptance(
            multiplier=exponent, value=round(susceptance * 10.0**-exponent)
        )
    for element, factor in (
        ("rtgMinPFOverExcited", der.min_pf_over),
        ("rtgMinPFUnderExcited", der.min_pf_under),
        ("rtgOverExcitedPF", der.over_excited_pf),
        ("rtgUnderExcitedPF", der.under_excited_pf),
    ):
        if factor is not None:
            rated[element] = values.power_factor(factor)
    return sep.DERCapability(modesSupported=modes_of(der.modes), type_=DER_TYPES[der.type], **rated)


def settings_of(der: EndDeviceDerTable, now: int) -> sep.DERSettings:
    """Settings as they are served; updated at `now` [s since 1970]."""
    return sep.DERSettings(
        modesEnabled=modes_of(der.modes if der.status_modes is None else der.status_modes),
        setGradW=_hundredths(der.set_grad_w_pct_per_s) or 0,
        setMaxW=values.active_power((der.set_max_kw or der.rated_kw) * 1000),
        updatedTime=now,
    )


def modes_of(names: list[str]) -> str:
    """`modesSupported` of control modes by the names used in files."""
    standard = {"charge": modes.CHARGE, "discharge": modes.DISCHARGE}
    return modes.bits_of(standard.get(name) or MODES[name] for name in names)


def category_of(names: list[str]) -> int:
    """DeviceCategoryType, bits."""
    return sum(1 << CATEGORIES.index(name) for name in set(names))


def event_of(table: EventTable, now: int) -> dict[str, Any]:
    """Times and responses of an event as `Board.publish` takes them."""
    start = now + (table.start_in_s or 0)
    return {
        "start": start if table.start is None else int(table.start.timestamp()),
        "duration": table.duration_s,
        "random_start": table.random_start_s,
        "random_duration": table.random_duration_s,
        "response_required": responses_of(table.responses),
        "description": table.description,
    }


def responses_of(names: list[str] | list[Any]) -> int:
    """`responseRequired`, bits."""
    return sum(_RESPONSES[name] for name in set(names))


def default_settings(
    grad: float | None, soft_grad: float | None, enter_service: EnterServiceTable | None
) -> Mapping[str, int]:
    """What a default control has beside what it asks, as `Board.set_default` takes it.

    Args:
        grad: ramp rate [%/s].
        soft_grad: ramp rate after a start [%/s].
        enter_service: when and how a DER begins.
    """
    found = {"setGradW": _hundredths(grad), "setSoftGradW": _hundredths(soft_grad)}
    for key, element in _ENTER_SERVICE.items():
        found[element] = _hundredths(getattr(enter_service, key, None))
    return {key: value for key, value in found.items() if value is not None}


def worded_default(default: sep.DefaultDERControl, name: Callable[[str], str]) -> dict[str, Any]:
    """A default control as a person would write it, whole.

    Args:
        default: what is served.
        name: of a curve, by its path.
    """
    said: dict[str, Any] = {"base": worded(default.DERControlBase_, name)}
    if default.description:
        said["description"] = default.description
    service = _found(default, _ENTER_SERVICE)
    return said | _found(default, _GRADIENTS) | ({"enter_service": service} if service else {})


def _found(default: sep.DefaultDERControl, named: Mapping[str, str]) -> dict[str, float]:
    counts = {key: getattr(default, element) for key, element in named.items()}
    return {key: count / 100 for key, count in counts.items() if count is not None}


def _optional(kind: Any, number: float | None, scale: int = 1) -> Any:
    return None if number is None else values.quantity(kind, number * scale)


def _hundredths(value: float | None) -> int | None:
    return None if value is None else round(value * 100)


def _multiplier(numbers: Any) -> int:
    """The coarsest power of ten that holds all numbers, down to the finest."""
    held = list(numbers)
    for exponent in range(0, _FINEST, -1):
        scaled = [x * 10**-exponent for x in held]
        if all(abs(x - round(x)) < _EXACT * max(1.0, abs(x)) for x in scaled):
            return exponent
    return _FINEST


def _count(number: float, multiplier: int) -> int:
    return round(number * 10.0**-multiplier)
