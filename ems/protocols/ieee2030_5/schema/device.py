"""Device capability, time, end devices and what describes them."""

# The names of the standard are those of its documents.
# ruff: noqa: N815

from pydantic_xml import attr, element

from ems.protocols.ieee2030_5.schema.base import (
    Element,
    Link,
    ListLink,
    PolledSubscribableList,
    Resource,
    SubscribableResource,
)
from ems.protocols.ieee2030_5.schema.primitives import (
    HexBinary32,
    HexBinary64,
    HexBinary128,
    HexBinary160,
    Int16,
    Int32,
    PerCent,
    String32,
    String42,
    String192,
    TimeType,
    UInt8,
    UInt16,
    UInt32,
    UInt40,
)
from ems.protocols.ieee2030_5.schema.quantities import ActivePower, RealEnergy


class _FunctionSets(Resource):
    CustomerAccountListLink: ListLink | None = element(default=None)
    DemandResponseProgramListLink: ListLink | None = element(default=None)
    DERProgramListLink: ListLink | None = element(default=None)
    FileListLink: ListLink | None = element(default=None)
    MessagingProgramListLink: ListLink | None = element(default=None)
    PrepaymentListLink: ListLink | None = element(default=None)
    ResponseSetListLink: ListLink | None = element(default=None)
    TariffProfileListLink: ListLink | None = element(default=None)
    TimeLink: Link | None = element(default=None)
    UsagePointListLink: ListLink | None = element(default=None)


class DeviceCapability(_FunctionSets):
    """Where a client begins."""

    pollRate: UInt32 | None = attr(default=None)
    EndDeviceListLink: ListLink | None = element(default=None)
    MirrorUsagePointListLink: ListLink | None = element(default=None)
    SelfDeviceLink: Link | None = element(default=None)


class FunctionSetAssignments(_FunctionSets):
    """What a device is given to follow."""

    mRID: HexBinary128 = element()
    description: String192 | None = element(default=None)
    version: UInt16 | None = element(default=None)
    subscribable: UInt8 | None = attr(default=None)


class FunctionSetAssignmentsList(PolledSubscribableList):
    """The assignments of one device."""

    FunctionSetAssignments_: list[FunctionSetAssignments] | None = element(
        tag="FunctionSetAssignments", default=None
    )


class Time(Resource):
    """The server's clock."""

    pollRate: UInt32 | None = attr(default=None)
    currentTime: TimeType = element()
    dstEndTime: TimeType = element()
    dstOffset: Int32 = element()
    """[s]."""
    dstStartTime: TimeType = element()
    localTime: TimeType | None = element(default=None)
    quality: UInt8 = element()
    """3 authoritative … 7 intentionally uncoordinated."""
    tzOffset: Int32 = element()
    """[s]."""


class _Device(SubscribableResource):
    ConfigurationLink: Link | None = element(default=None)
    DERListLink: ListLink | None = element(default=None)
    deviceCategory: HexBinary32 | None = element(default=None)
    DeviceInformationLink: Link | None = element(default=None)
    DeviceStatusLink: Link | None = element(default=None)
    FileStatusLink: Link | None = element(default=None)
    IPInterfaceListLink: ListLink | None = element(default=None)
    lFDI: HexBinary160 | None = element(default=None)
    LoadShedAvailabilityListLink: ListLink | None = element(default=None)
    LogEventListLink: ListLink | None = element(default=None)
    PowerStatusLink: Link | None = element(default=None)
    sFDI: UInt40 = element()


class SelfDevice(_Device):
    """The server as a device."""

    pollRate: UInt32 | None = attr(default=None)


class EndDevice(_Device):
    """A device that the server knows."""

    changedTime: TimeType = element()
    enabled: bool | None = element(default=None)
    FlowReservationRequestListLink: ListLink | None = element(default=None)
    FlowReservationResponseListLink: ListLink | None = element(default=None)
    FunctionSetAssignmentsListLink: ListLink | None = element(default=None)
    postRate: UInt32 | None = element(default=None)
    """How often the device shall post readings [s]."""
    RegistrationLink: Link | None = element(default=None)
    SubscriptionListLink: ListLink | None = element(default=None)


class EndDeviceList(PolledSubscribableList):
    """Devices, ordered by SFDI."""

    EndDevice_: list[EndDevice] | None = element(tag="EndDevice", default=None)


class Registration(Resource):
    """That a device is registered, and the PIN by which it knows its server."""

    pollRate: UInt32 | None = attr(default=None)
    dateTimeRegistered: TimeType = element()
    pIN: UInt32 = element()
    """Six digits, the last a check digit."""


class GPSLocation(Element):
    """Where a device is."""

    lat: String32 = element()
    """[deg], north positive."""
    lon: String32 = element()
    """[deg], east positive."""


class DRLCCapabilities(Element):
    """What a device can shed."""

    averageEnergy: RealEnergy = element()
    maxDemand: ActivePower = element()
    optionsImplemented: HexBinary32 = element()


class DeviceInformation(Resource):
    """Maker, model, serial number, versions."""

    pollRate: UInt32 | None = attr(default=None)
    DRLCCapabilities_: DRLCCapabilities | None = element(tag="DRLCCapabilities", default=None)
    functionsImplemented: HexBinary64 | None = element(default=None)
    gpsLocation: GPSLocation | None = element(default=None)
    lFDI: HexBinary160 = element()
    mfDate: TimeType = element()
    mfHwVer: String32 = element()
    mfID: UInt32 = element()
    """The maker's private enterprise number."""
    mfInfo: String32 | None = element(default=None)
    mfModel: String32 = element()
    mfSerNum: String32 = element()
    primaryPower: UInt8 = element()
    secondaryPower: UInt8 = element()
    SupportedLocaleListLink: ListLink | None = element(default=None)
    swActTime: TimeType = element()
    swVer: String32 = element()


class Temperature(Element):
    """A temperature [°C] of a part of the device."""

    multiplier: Int16 = element()
    subject: UInt8 = element()
    value: Int16 = element()


class DeviceStatus(Resource):
    """Whether a device runs, since when."""

    pollRate: UInt32 | None = attr(default=None)
    changedTime: TimeType = element()
    onCount: UInt16 | None = element(default=None)
    opState: UInt8 | None = element(default=None)
    opTime: UInt32 | None = element(default=None)
    """[s]."""
    Temperature_: list[Temperature] | None = element(tag="Temperature", default=None)
    TimeLink: Link | None = element(default=None)


class PEVInfo(Element):
    """An electric vehicle that charges."""

    chargingPowerNow: ActivePower = element()
    energyRequestNow: RealEnergy = element()
    maxForwardPower: ActivePower = element()
    minimumChargingDuration: UInt32 = element()
    """[s]."""
    targetStateOfCharge: PerCent = element()
    timeChargeIsNeeded: TimeType = element()
    timeChargingStatusPEV: TimeType = element()


class PowerStatus(Resource):
    """From what a device is fed, and how long that lasts."""

    pollRate: UInt32 | None = attr(default=None)
    batteryStatus: UInt8 = element()
    changedTime: TimeType = element()
    currentPowerSource: UInt8 = element()
    estimatedChargeRemaining: PerCent | None = element(default=None)
    estimatedTimeRemaining: UInt32 | None = element(default=None)
    """[s]."""
    PEVInfo_: PEVInfo | None = element(tag="PEVInfo", default=None)
    sessionTimeOnBattery: UInt32 | None = element(default=None)
    """[s]."""
    totalTimeOnBattery: UInt32 | None = element(default=None)
    """[s]."""


class PowerConfiguration(Element):
    """When the battery was put in, and when it counts as low."""

    batteryInstallTime: TimeType | None = element(default=None)
    lowChargeThreshold: UInt32 | None = element(default=None)
    """[s]."""


class TimeConfiguration(Element):
    """The zone a device shows."""

    dstEndRule: HexBinary32 = element()
    dstOffset: Int32 = element()
    """[s]."""
    dstStartRule: HexBinary32 = element()
    tzOffset: Int32 = element()
    """[s]."""


class Configuration(SubscribableResource):
    """Settings of a device that are no settings of a DER."""

    pollRate: UInt32 | None = attr(default=None)
    currentLocale: String42 = element()
    PowerConfiguration_: PowerConfiguration | None = element(tag="PowerConfiguration", default=None)
    PriceResponseCfgListLink: ListLink | None = element(default=None)
    TimeConfiguration_: TimeConfiguration | None = element(tag="TimeConfiguration", default=None)
    userDeviceName: String32 = element()


class LogEvent(Resource):
    """Something a device noticed."""

    createdDateTime: TimeType = element()
    details: String32 | None = element(default=None)
    extendedData: UInt32 | None = element(default=None)
    functionSet: UInt8 = element()
    """11: distributed energy resources."""
    logEventCode: UInt8 = element()
    logEventID: UInt16 = element()
    logEventPEN: UInt32 = element()
    profileID: UInt8 = element()
    """2: IEEE 2030.5."""


class LogEventList(PolledSubscribableList):
    """Newest first."""

    LogEvent_: list[LogEvent] | None = element(tag="LogEvent", default=None)
