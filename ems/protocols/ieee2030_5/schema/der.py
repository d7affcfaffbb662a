"""What a DER says of itself: nameplate, settings, status, availability."""

# The names of the standard are those of its documents.
# ruff: noqa: N815

from collections.abc import Mapping
from typing import ClassVar

from pydantic_xml import attr, element

from ems.protocols.ieee2030_5.schema.base import (
    Element,
    Link,
    ListLink,
    ListResource,
    SubscribableResource,
)
from ems.protocols.ieee2030_5.schema.primitives import (
    HexBinary8,
    HexBinary32,
    Int16,
    PerCent,
    String6,
    TimeType,
    UInt8,
    UInt16,
    UInt32,
)
from ems.protocols.ieee2030_5.schema.quantities import (
    ActivePower,
    AmpereHour,
    ApparentPower,
    CurrentRMS,
    PowerFactor,
    ReactivePower,
    ReactiveSusceptance,
    VoltageRMS,
    WattHour,
)


class DER(SubscribableResource):
    """Where the resources of a DER are."""

    AssociatedDERProgramListLink: ListLink | None = element(default=None)
    AssociatedUsagePointLink: Link | None = element(default=None)
    CurrentDERProgramLink: Link | None = element(default=None)
    DERAvailabilityLink: Link | None = element(default=None)
    DERCapabilityLink: Link | None = element(default=None)
    DERSettingsLink: Link | None = element(default=None)
    DERStatusLink: Link | None = element(default=None)


class DERList(ListResource):
    """The DERs of one device."""

    pollRate: UInt32 | None = attr(default=None)
    DER_: list[DER] | None = element(tag="DER", default=None)


class DERCapability(SubscribableResource):
    """Nameplate ratings."""

    OLDER_NAMES: ClassVar[Mapping[str, str]] = {
        "rtgA": "rtgMaxA",
        "rtgAh": "rtgMaxAh",
        "rtgMaxChargeRate": "rtgMaxChargeRateW",
        "rtgMaxDischargeRate": "rtgMaxDischargeRateW",
        "rtgMinPF": "rtgMinPFOverExcited",
        "rtgMinPFNeg": "rtgMinPFUnderExcited",
        "rtgVA": "rtgMaxVA",
        "rtgVAr": "rtgMaxVar",
        "rtgVArNeg": "rtgMaxVarNeg",
        "rtgW": "rtgMaxW",
        "rtgWh": "rtgMaxWh",
    }

    modesSupported: HexBinary32 = element()
    rtgAbnormalCategory: UInt8 | None = element(default=None)
    rtgMaxA: CurrentRMS | None = element(default=None)
    rtgMaxAh: AmpereHour | None = element(default=None)
    rtgMaxChargeRateVA: ApparentPower | None = element(default=None)
    rtgMaxChargeRateW: ActivePower | None = element(default=None)
    rtgMaxDischargeRateVA: ApparentPower | None = element(default=None)
    rtgMaxDischargeRateW: ActivePower | None = element(default=None)
    rtgMaxV: VoltageRMS | None = element(default=None)
    rtgMaxVA: ApparentPower | None = element(default=None)
    rtgMaxVar: ReactivePower | None = element(default=None)
    rtgMaxVarNeg: ReactivePower | None = element(default=None)
    rtgMaxW: ActivePower = element()
    rtgMaxWh: WattHour | None = element(default=None)
    rtgMinPFOverExcited: PowerFactor | None = element(default=None)
    rtgMinPFUnderExcited: PowerFactor | None = element(default=None)
    rtgMinV: VoltageRMS | None = element(default=None)
    rtgNormalCategory: UInt8 | None = element(default=None)
    rtgOverExcitedPF: PowerFactor | None = element(default=None)
    rtgOverExcitedW: ActivePower | None = element(default=None)
    rtgReactiveSusceptance: ReactiveSusceptance | None = element(default=None)
    rtgUnderExcitedPF: PowerFactor | None = element(default=None)
    rtgUnderExcitedW: ActivePower | None = element(default=None)
    rtgVNom: VoltageRMS | None = element(default=None)
    type_: UInt8 = element(tag="type")
    """4 photovoltaic, 80 other storage, 83 combined PV and storage, …"""
    doeModesSupported: HexBinary8 | None = element(ns="csipaus", default=None)


class DERSettings(SubscribableResource):
    """What a DER is set to, within its ratings. `setGradW`, `setMaxW` and the time are required."""

    OLDER_NAMES: ClassVar[Mapping[str, str]] = {
        "setMaxChargeRate": "setMaxChargeRateW",
        "setMaxDischargeRate": "setMaxDischargeRateW",
        "setMaxVAr": "setMaxVar",
        "setMaxVArNeg": "setMaxVarNeg",
        "setMinPF": "setMinPFOverExcited",
        "setMinPFNeg": "setMinPFUnderExcited",
    }

    modesEnabled: HexBinary32 | None = element(default=None)
    setESDelay: UInt32 | None = element(default=None)
    """[0.01 s]."""
    setESHighFreq: UInt16 | None = element(default=None)
    """[0.01 Hz]."""
    setESHighVolt: Int16 | None = element(default=None)
    """[0.01 % of the effective voltage]."""
    setESLowFreq: UInt16 | None = element(default=None)
    """[0.01 Hz]."""
    setESLowVolt: Int16 | None = element(default=None)
    """[0.01 % of the effective voltage]."""
    setESRampTms: UInt32 | None = element(default=None)
    """[0.01 s]."""
    setESRandomDelay: UInt32 | None = element(default=None)
    """[0.01 s]."""
    setGradW: UInt16 = element()
    """[0.01 % of setMaxW per second]."""
    setMaxA: CurrentRMS | None = element(default=None)
    setMaxAh: AmpereHour | None = element(default=None)
    setMaxChargeRateVA: ApparentPower | None = element(default=None)
    setMaxChargeRateW: ActivePower | None = element(default=None)
    setMaxDischargeRateVA: ApparentPower | None = element(default=None)
    setMaxDischargeRateW: ActivePower | None = element(default=None)
    setMaxV: VoltageRMS | None = element(default=None)
    setMaxVA: ApparentPower | None = element(default=None)
    setMaxVar: ReactivePower | None = element(default=None)
    setMaxVarNeg: ReactivePower | None = element(default=None)
    setMaxW: ActivePower = element()
    setMaxWh: WattHour | None = element(default=None)
    setMinPFOverExcited: PowerFactor | None = element(default=None)
    setMinPFUnderExcited: PowerFactor | None = element(default=None)
    setMinV: VoltageRMS | None = element(default=None)
    setSoftGradW: UInt16 | None = element(default=None)
    """[0.01 % of setMaxW per second]."""
    setVNom: VoltageRMS | None = element(default=None)
    setVRef: VoltageRMS | None = element(default=None)
    setVRefOfs: VoltageRMS | None = element(default=None)
    updatedTime: TimeType = element()
    doeModesEnabled: HexBinary8 | None = element(ns="csipaus", default=None)


class ConnectStatus(Element):
    """Bits: 0 connected, 1 available, 2 operating, 3 test, 4 fault."""

    dateTime: TimeType = element()
    value: HexBinary8 = element()


class StatusValue(Element):
    """A status and since when."""

    dateTime: TimeType = element()
    value: UInt8 = element()


class ManufacturerStatus(Element):
    """A status of the maker's own."""

    dateTime: TimeType = element()
    value: String6 = element()


class StateOfChargeStatus(Element):
    """State of charge [0.01 %]."""

    dateTime: TimeType = element()
    value: PerCent = element()


class DERStatus(SubscribableResource):
    """What a DER does now."""

    alarmStatus: HexBinary32 | None = element(default=None)
    genConnectStatus: ConnectStatus | None = element(default=None)
    inverterStatus: StatusValue | None = element(default=None)
    localControlModeStatus: StatusValue | None = element(default=None)
    manufacturerStatus: ManufacturerStatus | None = element(default=None)
    operationalModeStatus: StatusValue | None = element(default=None)
    readingTime: TimeType = element()
    stateOfChargeStatus: StateOfChargeStatus | None = element(default=None)
    storageModeStatus: StatusValue | None = element(default=None)
    storConnectStatus: ConnectStatus | None = element(default=None)


class DERAvailability(SubscribableResource):
    """What a DER could still give."""

    availabilityDuration: UInt32 | None = element(default=None)
    """[s]."""
    maxChargeDuration: UInt32 | None = element(default=None)
    """[s]."""
    readingTime: TimeType = element()
    reserveChargePercent: PerCent | None = element(default=None)
    reservePercent: PerCent | None = element(default=None)
    statVarAvail: ReactivePower | None = element(default=None)
    statWAvail: ActivePower | None = element(default=None)
