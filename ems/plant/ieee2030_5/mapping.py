"""What a control asks of an inverter: settings and orders, or why it cannot be followed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ems.domain import Bes, Pv
from ems.enddevice.application import INVALID, NOT_APPLICABLE, ControlInForce, Value
from ems.plant.devices import PowerFactor
from ems.plant.ieee2030_5 import curves
from ems.plant.ieee2030_5.curves import Curve, WattPf
from ems.plant.inverter import (
    DEFAULTS,
    EnterService,
    InverterSettings,
    NotConform,
    adjustable,
    apparent_kva,
)
from ems.protocols.ieee2030_5 import modes, sep, values

RIDE_THROUGH = frozenset(
    {
        "opModHVRTMustTrip",
        "opModHVRTMomentaryCessation",
        "opModLVRTMustTrip",
        "opModLVRTMomentaryCessation",
        "opModHFRTMustTrip",
        "opModLFRTMustTrip",
    }
)
"""How long it rides through (may trip) is fixed by its category, so it takes no curve for that."""
OF_ALL = RIDE_THROUGH | {
    "opModConnect",
    "opModEnergize",
    "opModFixedPFInjectW",
    "opModFixedVar",
    "opModFixedW",
    "opModFreqDroop",
    "opModFreqWatt",
    "opModMaxLimW",
    "opModTargetVar",
    "opModTargetW",
    "opModVoltVar",
    "opModVoltWatt",
    "opModWattPF",
    "opModWattVar",
}
OF_STORAGE = OF_ALL | {"opModFixedPFAbsorbW"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an inverter is asked for. None: nothing."""

    settings: InverterSettings = DEFAULTS
    cap_kw: float | None = None
    """Most active power [kW]."""
    p_kw: float | None = None
    """Setpoint of active power; a PV plant gives at most that [kW]."""
    q_kvar: float | None = None
    pf: PowerFactor | None = None
    """While active power is injected."""
    pf_charging: PowerFactor | None = None
    frequency_watt: Curve | None = None
    watt_pf: WattPf | None = None


def supported(der: Pv | Bes) -> frozenset[str]:
    """Modes that an inverter follows."""
    return OF_STORAGE if isinstance(der, Bes) else OF_ALL


def least_pf(der: Pv | Bes) -> float:
    """Least power factor: at rated active power all reactive power is there [1]."""
    return float(der.rated_kw / (der.rated_kw**2 + der.q_max_kvar**2) ** 0.5)


def refusal(der: Pv | Bes, control: Mapping[str, Value]) -> int | None:
    """The Response that refuses a control; None: it can be followed whole."""
    if not frozenset(control) <= supported(der):
        return NOT_APPLICABLE
    try:
        _asked(der, control)
    except NotConform:
        return INVALID
    return None


def asked(der: Pv | Bes, control: ControlInForce) -> Asked:
    """What the controls in force ask for; they have been judged before.

    Raises:
        NotConform: they had not.
    """
    wanted = {mode: ordered.value for mode, ordered in control.ordered.items()}
    found = _asked(der, wanted)
    service = _entering(found.settings.enter_service, control.default)
    return replace(found, settings=replace(found.settings, enter_service=service))


def _asked(der: Pv | Bes, control: Mapping[str, Value]) -> Asked:
    found = Asked()
    for mode, value in control.items():
        found = _with(found, der, mode, value)
    return found


def _with(found: Asked, der: Pv | Bes, mode: str, value: Value) -> Asked:
    match value:
        case sep.DERCurve():
            return _with_curve(found, der, mode, curves.checked(value, mode))
        case sep.Link():
            raise NotConform(f"the curve of {mode} is missing")
        case _ if mode in {"opModConnect", "opModEnergize"}:
            service = found.settings.enter_service
            permitted = bool(value) and service.permitted
            return _set(found, enter_service=replace(service, permitted=permitted))
        case int() if mode == "opModMaxLimW":
            share = adjustable.within(values.share(value), 0.0, 1.0, "opModMaxLimW")
            return replace(found, cap_kw=share * der.rated_kw)
        case int() if mode == "opModFixedW":
            return replace(found, p_kw=_setpoint(der, values.share(value) * der.rated_kw))
        case sep.ActivePower() if mode == "opModTargetW":
            return replace(found, p_kw=_setpoint(der, values.watts(value) / 1000))
        case sep.ReactivePower() if mode == "opModTargetVar":
            return replace(found, q_kvar=_reactive(der, values.vars_(value) / 1000))
        case sep.FixedVar():
            q_kvar = values.share(value.value) * curves.var_share(value.refType, der)
            return replace(found, q_kvar=_reactive(der, q_kvar * apparent_kva(der)))
        case sep.PowerFactorWithExcitation():
            factor = PowerFactor(
                pf=adjustable.within(values.displacement(value), least_pf(der), 1.0, "PF"),
                over_excited=not value.excitation,
            )
            if mode == "opModFixedPFAbsorbW":
                return replace(found, pf_charging=factor)
            return replace(found, pf=factor)
        case sep.FreqDroop():
            return _set(found, droop=curves.frequency_droop(value, der))
    raise NotConform(f"{mode} is not set to a {type(value).__name__}")


def _with_curve(found: Asked, der: Pv | Bes, mode: str, curve: sep.DERCurve) -> Asked:
    match mode:
        case "opModVoltVar":
            return _set(found, volt_var=curves.volt_var(curve, der))
        case "opModVoltWatt":
            return _set(found, volt_watt=curves.volt_watt(curve, der))
        case "opModWattVar":
            return _set(found, watt_var=curves.watt_var(curve, der))
        case "opModWattPF":
            return replace(found, watt_pf=curves.watt_pf(curve, least_pf(der)))
        case "opModFreqWatt":
            # The curve takes the place of the droop: both are answers to frequency.
            droop = replace(found.settings.droop, enabled=False)
            there = replace(found, frequency_watt=curves.frequency_watt(curve))
            return _set(there, droop=droop)
        case _:
            return replace(found, settings=curves.ride_through(found.settings, mode, curve))


def _set(found: Asked, **parts: object) -> Asked:
    return replace(found, settings=replace(found.settings, **parts))  # type: ignore[arg-type]  # parts by their names


def _setpoint(der: Pv | Bes, p_kw: float) -> float:
    lowest = -der.rated_kw if isinstance(der, Bes) else 0.0
    return adjustable.within(p_kw, lowest, der.rated_kw, "P")


def _reactive(der: Pv | Bes, q_kvar: float) -> float:
    return adjustable.within(q_kvar, -der.q_max_kvar, der.q_max_kvar, "Q")


def _entering(service: EnterService, default: sep.DefaultDERControl | None) -> EnterService:
    """When to enter service as a default control says, each value within its range."""
    if default is None:
        return service
    given = {
        "v_high_pu": _of(default.setESHighVolt, values.FULL),
        "v_low_pu": _of(default.setESLowVolt, values.FULL),
        "hz_high": _of(default.setESHighFreq, 100),
        "hz_low": _of(default.setESLowFreq, 100),
        "delay_s": _of(default.setESDelay, 100),
        "random_s": _of(default.setESRandomDelay, 100),
        "ramp_s": _of(default.setESRampTms, 100),
    }
    if default.setSoftGradW and given["ramp_s"] is None:
        given["ramp_s"] = values.FULL / default.setSoftGradW
    for name, value in given.items():
        if value is None:
            continue
        changed = {name: value}
        try:
            service = adjustable.enter_service(replace(service, **changed))  # type: ignore[arg-type]  # numbers
        except NotConform:
            continue  # a default control has no Response; settings show what is in force
    return service


def _of(value: int | None, one: int) -> float | None:
    return None if value is None else value / one


def bits(der: Pv | Bes) -> str:
    """`modesSupported`: with charging and discharging, where it does."""
    charging = {modes.CHARGE, modes.DISCHARGE} if isinstance(der, Bes) else {modes.DISCHARGE}
    return modes.bits_of(supported(der) | charging)
