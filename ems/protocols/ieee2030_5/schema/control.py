"""Programs, controls, default controls, curves."""

# The names of the standard are those of its documents.
# ruff: noqa: N815

from collections.abc import Mapping
from typing import ClassVar

from pydantic_xml import attr, element

from ems.protocols.ieee2030_5.schema.base import (
    DateTimeInterval,
    Element,
    EventStatus,
    IdentifiedObject,
    Link,
    ListLink,
    ListResource,
    PolledSubscribableList,
    RespondableResource,
    SubscribableIdentifiedObject,
    SubscribableList,
)
from ems.protocols.ieee2030_5.schema.primitives import (
    HexBinary32,
    HexBinary128,
    Int16,
    Int32,
    Multiplier,
    OneHourRange,
    PerCent,
    SignedPerCent,
    String192,
    TimeType,
    UInt8,
    UInt16,
    UInt32,
)
from ems.protocols.ieee2030_5.schema.quantities import (
    ActivePower,
    FixedVar,
    FreqDroop,
    PowerFactorWithExcitation,
    ReactivePower,
)


class DERControlBase(Element):
    """What a DER shall do. Curves are links."""

    OLDER_NAMES: ClassVar[Mapping[str, str]] = {
        "opModVoltVAr": "opModVoltVar",
        "opModTargetVAr": "opModTargetVar",
        "opModFixedVAr": "opModFixedVar",
        "opModWattVAr": "opModWattVar",
    }

    opModConnect: bool | None = element(default=None)
    opModEnergize: bool | None = element(default=None)
    opModFixedPFAbsorbW: PowerFactorWithExcitation | None = element(default=None)
    opModFixedPFInjectW: PowerFactorWithExcitation | None = element(default=None)
    opModFixedVar: FixedVar | None = element(default=None)
    opModFixedW: SignedPerCent | None = element(default=None)
    """Discharge positive, of setMaxDischargeRateW (charging: setMaxChargeRateW) [0.01 %]."""
    opModFreqDroop: FreqDroop | None = element(default=None)
    opModFreqWatt: Link | None = element(default=None)
    opModHFRTMayTrip: Link | None = element(default=None)
    opModHFRTMustTrip: Link | None = element(default=None)
    opModHVRTMayTrip: Link | None = element(default=None)
    opModHVRTMomentaryCessation: Link | None = element(default=None)
    opModHVRTMustTrip: Link | None = element(default=None)
    opModLFRTMayTrip: Link | None = element(default=None)
    opModLFRTMustTrip: Link | None = element(default=None)
    opModLVRTMayTrip: Link | None = element(default=None)
    opModLVRTMomentaryCessation: Link | None = element(default=None)
    opModLVRTMustTrip: Link | None = element(default=None)
    opModMaxLimW: PerCent | None = element(default=None)
    """Of setMaxW [0.01 %]."""
    opModTargetVar: ReactivePower | None = element(default=None)
    opModTargetW: ActivePower | None = element(default=None)
    opModVoltVar: Link | None = element(default=None)
    opModVoltWatt: Link | None = element(default=None)
    opModWattPF: Link | None = element(default=None)
    opModWattVar: Link | None = element(default=None)
    rampTms: UInt16 | None = element(default=None)
    """[0.01 s]."""
    opModImpLimW: ActivePower | None = element(ns="csipaus", default=None)
    opModExpLimW: ActivePower | None = element(ns="csipaus", default=None)
    opModGenLimW: ActivePower | None = element(ns="csipaus", default=None)
    opModLoadLimW: ActivePower | None = element(ns="csipaus", default=None)
    opModStorageTargetW: ActivePower | None = element(ns="csipaus", default=None)


class DERControl(RespondableResource):
    """A control for a time."""

    mRID: HexBinary128 = element()
    description: String192 | None = element(default=None)
    version: UInt16 | None = element(default=None)
    subscribable: UInt8 | None = attr(default=None)
    creationTime: TimeType = element()
    EventStatus_: EventStatus = element(tag="EventStatus")
    interval: DateTimeInterval = element()
    randomizeDuration: OneHourRange | None = element(default=None)
    """[s]."""
    randomizeStart: OneHourRange | None = element(default=None)
    """[s]."""
    DERControlBase_: DERControlBase = element(tag="DERControlBase")
    deviceCategory: HexBinary32 | None = element(default=None)


class DERControlList(SubscribableList):
    """Controls, ordered by start, then newest first, then mRID downwards."""

    DERControl_: list[DERControl] | None = element(tag="DERControl", default=None)


class DefaultDERControl(SubscribableIdentifiedObject):
    """What holds while no control of the program is in force."""

    DERControlBase_: DERControlBase = element(tag="DERControlBase")
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
    setGradW: UInt16 | None = element(default=None)
    """[0.01 % of setMaxW per second]."""
    setSoftGradW: UInt16 | None = element(default=None)
    """[0.01 % of setMaxW per second]."""


class DERProgram(SubscribableIdentifiedObject):
    """Controls, a default and curves of one provider; lower primacy goes first."""

    ActiveDERControlListLink: ListLink | None = element(default=None)
    DefaultDERControlLink: Link | None = element(default=None)
    DERControlListLink: ListLink | None = element(default=None)
    DERCurveListLink: ListLink | None = element(default=None)
    primacy: UInt8 = element()


class DERProgramList(PolledSubscribableList):
    """Programs, ordered by primacy, then mRID downwards."""

    DERProgram_: list[DERProgram] | None = element(tag="DERProgram", default=None)


class CurveData(Element):
    """One point of a curve."""

    excitation: bool | None = element(default=None)
    """For power factors: true where reactive power is absorbed."""
    xvalue: Int32 = element()
    yvalue: Int32 = element()


class DERCurve(IdentifiedObject):
    """A function of voltage, frequency, power or time."""

    autonomousVRefEnable: bool | None = element(default=None)
    autonomousVRefTimeConstant: UInt32 | None = element(default=None)
    """[0.01 s]."""
    creationTime: TimeType = element()
    CurveData_: list[CurveData] = element(tag="CurveData")
    """One to ten points."""
    curveType: UInt8 = element()
    """`modes.CURVE_TYPES`."""
    openLoopTms: UInt16 | None = element(default=None)
    """[0.01 s]."""
    rampDecTms: UInt16 | None = element(default=None)
    """[0.01 %/s]."""
    rampIncTms: UInt16 | None = element(default=None)
    """[0.01 %/s]."""
    rampPT1Tms: UInt16 | None = element(default=None)
    """[0.01 s]."""
    vRef: PerCent | None = element(default=None)
    """Of the rated voltage [0.01 %]."""
    xMultiplier: Multiplier = element()
    yMultiplier: Multiplier = element()
    yRefType: UInt8 = element()
    """What a percentage on the y axis is a share of (DERUnitRefType)."""


class DERCurveList(ListResource):
    """Curves, newest first."""

    DERCurve_: list[DERCurve] | None = element(tag="DERCurve", default=None)
