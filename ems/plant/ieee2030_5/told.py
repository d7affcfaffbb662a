"""What a simulated inverter tells of itself, in the resources of IEEE 2030.5."""

import math

from ems.domain import Bes, Pv
from ems.plant.ieee2030_5.mapping import bits, least_pf
from ems.plant.inverter import (
    BesInverter,
    InverterSettings,
    PvInverter,
    State,
    TripCauses,
    apparent_kva,
)
from ems.plant.nameplate import V_NOM
from ems.plant.operation import inverter_operation
from ems.protocols.ieee2030_5 import sep, values

PHOTOVOLTAIC, STORAGE = 4, 80
"""DERType."""
CATEGORY_B, CATEGORY_III = 2, 3
CONNECTED, AVAILABLE, OPERATING, FAULT = 1 << 0, 1 << 1, 1 << 2, 1 << 4
"""Bits of ConnectStatus."""
OVER_VOLTAGE, UNDER_VOLTAGE, OVER_FREQUENCY, UNDER_FREQUENCY = 1 << 1, 1 << 2, 1 << 3, 1 << 4
"""Bits of alarmStatus."""
OFF, OPERATIONAL, REMOTE = 1, 2, 1
CHARGING, DISCHARGING, HOLDING = 0, 1, 2
"""StorageModeStatus."""
MAINS, NORMAL, NO_BATTERY = 1, 1, 4
"""PowerSourceType; batteryStatus."""
MADE, MADE_BY, WATT = 1_704_067_200, 32473, 1e-3
"""2024-01-01T00:00Z; the enterprise number kept for examples (RFC 5612); one watt [kW]."""


def capability(der: Pv | Bes) -> sep.DERCapability:
    """Nameplate."""
    w, va, var = der.rated_kw * 1000, apparent_kva(der) * 1000, der.q_max_kvar * 1000
    at_pf = min(w, 0.9 * va)
    least = values.power_factor(_up(least_pf(der)))
    specified = values.power_factor(0.9)
    storage = isinstance(der, Bes)
    return sep.DERCapability(
        modesSupported=bits(der),
        rtgAbnormalCategory=CATEGORY_III,
        rtgMaxChargeRateVA=values.apparent_power(va) if storage else None,
        rtgMaxChargeRateW=values.active_power(w) if storage else None,
        rtgMaxDischargeRateVA=values.apparent_power(va) if storage else None,
        rtgMaxDischargeRateW=values.active_power(w) if storage else None,
        rtgMaxVA=values.apparent_power(va),
        rtgMaxVar=values.reactive_power(var),
        rtgMaxVarNeg=values.reactive_power(-var),
        rtgMaxW=values.active_power(w),
        rtgMaxWh=values.quantity(sep.WattHour, der.capacity_kwh * 1000)
        if isinstance(der, Bes)
        else None,
        rtgMinPFOverExcited=least,
        rtgMinPFUnderExcited=least,
        rtgNormalCategory=CATEGORY_B,
        rtgOverExcitedPF=specified,
        rtgOverExcitedW=values.active_power(at_pf),
        rtgUnderExcitedPF=specified,
        rtgUnderExcitedW=values.active_power(at_pf),
        rtgVNom=values.quantity(sep.VoltageRMS, V_NOM),
        type_=STORAGE if storage else PHOTOVOLTAIC,
    )


def settings(
    der: Pv | Bes,
    inverter: InverterSettings,
    default: sep.DefaultDERControl | None,
    now: int,
) -> sep.DERSettings:
    """Settings: ratings, gradients, when it enters service."""
    service = inverter.enter_service
    w, va, var = der.rated_kw * 1000, apparent_kva(der) * 1000, der.q_max_kvar * 1000
    storage = isinstance(der, Bes)
    least = values.power_factor(_up(least_pf(der)))
    return sep.DERSettings(
        modesEnabled=bits(der),
        setESDelay=round(service.delay_s * 100),
        setESHighFreq=round(service.hz_high * 100),
        setESHighVolt=round(service.v_high_pu * values.FULL),
        setESLowFreq=round(service.hz_low * 100),
        setESLowVolt=round(service.v_low_pu * values.FULL),
        setESRampTms=round(service.ramp_s * 100),
        setESRandomDelay=round(service.random_s * 100),
        setGradW=0 if default is None else default.setGradW or 0,
        setMaxChargeRateVA=values.apparent_power(va) if storage else None,
        setMaxChargeRateW=values.active_power(w) if storage else None,
        setMaxDischargeRateVA=values.apparent_power(va) if storage else None,
        setMaxDischargeRateW=values.active_power(w) if storage else None,
        setMaxVA=values.apparent_power(va),
        setMaxVar=values.reactive_power(var),
        setMaxVarNeg=values.reactive_power(-var),
        setMaxW=values.active_power(w),
        setMaxWh=values.quantity(sep.WattHour, der.capacity_kwh * 1000)
        if isinstance(der, Bes)
        else None,
        setMinPFOverExcited=least,
        setMinPFUnderExcited=least,
        setSoftGradW=round(values.FULL / service.ramp_s) if service.ramp_s else 0,
        setVNom=values.quantity(sep.VoltageRMS, V_NOM),
        setVRef=values.quantity(sep.VoltageRMS, V_NOM),
        updatedTime=now,
    )


def status(
    inverter: PvInverter | BesInverter,
    now: int,
    *,
    available_kw: float | None,
    soc_pct: float | None,
    disconnected: bool,
) -> sep.DERStatus:
    """What it does, its alarms, its state of charge.

    Args:
        inverter: as it stands.
        now: the time to tell.
        available_kw: what the sun offers; None: it is no PV plant [kW].
        soc_pct: state of charge; None: it is no battery [%].
        disconnected: it was told to disconnect, by a control.
    """
    shown = inverter_operation(
        inverter.state,
        inverter.causes,
        idle=available_kw is not None and available_kw <= 0.0,
        held_back=available_kw is not None and available_kw > inverter.p_kw + WATT,
    )
    alarms = _alarms(inverter.causes)
    tripped = inverter.state is State.TRIPPED
    value = f"{_connected(inverter, alarms=alarms, disconnected=disconnected):02X}"
    connect = sep.ConnectStatus(dateTime=now, value=value)
    return sep.DERStatus(
        alarmStatus=f"{alarms:08X}",
        genConnectStatus=connect if soc_pct is None else None,
        # The words are those of SunSpec model 701, counted from 1 there and from 2 here.
        inverterStatus=sep.StatusValue(dateTime=now, value=shown["InvSt"] + 1),
        localControlModeStatus=sep.StatusValue(dateTime=now, value=REMOTE),
        operationalModeStatus=sep.StatusValue(dateTime=now, value=OFF if tripped else OPERATIONAL),
        readingTime=now,
        stateOfChargeStatus=None
        if soc_pct is None
        else sep.StateOfChargeStatus(dateTime=now, value=values.percent(soc_pct / 100)),
        storageModeStatus=None
        if soc_pct is None
        else sep.StatusValue(dateTime=now, value=_storage_mode(inverter.p_kw)),
        storConnectStatus=None if soc_pct is None else connect,
    )


def availability(
    der: Pv | Bes,
    inverter: PvInverter | BesInverter,
    now: int,
    *,
    available_kw: float,
    soc_pct: float | None,
) -> sep.DERAvailability:
    """What it could deliver, absorb and charge beyond what it does: its reserve.

    Args:
        der: its nameplate.
        inverter: as it stands.
        now: the time to tell.
        available_kw: what the sun offers a PV plant [kW].
        soc_pct: state of charge; None: it is no battery [%].
    """
    rated, p, q = der.rated_kw, inverter.p_kw, inverter.q_kvar
    out = inverter.state is State.TRIPPED
    var = 0.0 if out else max(der.q_max_kvar - abs(q), 0.0)
    left = sep.DERAvailability(
        readingTime=now, statVarAvail=values.reactive_power(var * 1000, "down")
    )
    if isinstance(der, Bes) and soc_pct is not None:
        above_kwh = max(soc_pct - der.soc_min_pct, 0.0) / 100 * der.capacity_kwh * der.eta_discharge
        below_kwh = max(der.soc_max_pct - soc_pct, 0.0) / 100 * der.capacity_kwh / der.eta_charge
        more = 0.0 if out or above_kwh <= 0.0 else max(rated - p, 0.0)
        charge = 0.0 if out or below_kwh <= 0.0 else max(rated + p, 0.0)
        left.availabilityDuration = int(above_kwh / more * 3600) if more else 0
        left.maxChargeDuration = int(below_kwh / charge * 3600) if charge else 0
        left.reserveChargePercent = values.percent(charge / rated, "down")
    else:
        more = 0.0 if out else max(available_kw - p, 0.0)
    left.reservePercent = values.percent(more / rated, "down")
    left.statWAvail = values.active_power(more * 1000, "down")
    return left


def information(der: Pv | Bes, lfdi: str) -> sep.DeviceInformation:
    """Who made it."""
    return sep.DeviceInformation(
        lFDI=lfdi,
        mfDate=MADE,
        mfHwVer="1",
        mfID=MADE_BY,
        mfInfo="simulated",
        mfModel=f"GEEMS {type(der).__name__.upper()}",
        mfSerNum=der.name[:32],
        primaryPower=MAINS,
        secondaryPower=0,
        swActTime=MADE,
        swVer="1",
    )


def power_status(soc_pct: float | None, now: int) -> sep.PowerStatus:
    """Fed by the grid; a battery's charge."""
    return sep.PowerStatus(
        batteryStatus=NO_BATTERY if soc_pct is None else NORMAL,
        changedTime=now,
        currentPowerSource=MAINS,
        estimatedChargeRemaining=None if soc_pct is None else values.percent(soc_pct / 100),
    )


def _alarms(causes: TripCauses) -> int:
    return (
        OVER_VOLTAGE * causes.high_voltage
        | UNDER_VOLTAGE * causes.low_voltage
        | OVER_FREQUENCY * causes.high_frequency
        | UNDER_FREQUENCY * causes.low_frequency
    )


def _connected(inverter: PvInverter | BesInverter, *, alarms: int, disconnected: bool) -> int:
    """De-energized it stays connected; tripped or told to disconnect it does not."""
    if inverter.state is not State.TRIPPED:
        delivers = inverter.state in {State.RUNNING, State.RIDING_THROUGH, State.STARTING}
        return CONNECTED | AVAILABLE | OPERATING * delivers
    if not inverter.settings.enter_service.permitted and not disconnected:
        return CONNECTED
    return FAULT if alarms else 0


def _storage_mode(p_kw: float) -> int:
    if abs(p_kw) < WATT:
        return HOLDING
    return DISCHARGING if p_kw > 0.0 else CHARGING


def _up(pf: float) -> float:
    """Rounded up to four digits: what is told can be delivered."""
    return min(math.ceil(pf * 1e4) / 1e4, 1.0)
