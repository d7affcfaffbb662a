"""Mirrored and served readings."""

# The names of the standard are those of its documents.
# ruff: noqa: N815

from pydantic_xml import attr, element

from ems.protocols.ieee2030_5.schema.base import (
    DateTimeInterval,
    Element,
    IdentifiedObject,
    Link,
    ListLink,
    ListResource,
    PolledList,
    PolledSubscribableList,
    Resource,
    SubscribableList,
)
from ems.protocols.ieee2030_5.schema.primitives import (
    HexBinary16,
    HexBinary160,
    Int48,
    Int64,
    Multiplier,
    TimeType,
    UInt8,
    UInt32,
    UInt48,
)


class UnitValue(Element):
    """A value and its unit."""

    multiplier: Multiplier = element()
    unit: UInt8 = element()
    value: Int64 = element()


class ReadingType(Resource):
    """What a reading is of."""

    accumulationBehaviour: UInt8 | None = element(default=None)
    calorificValue: UnitValue | None = element(default=None)
    commodity: UInt8 | None = element(default=None)
    conversionFactor: UnitValue | None = element(default=None)
    dataQualifier: UInt8 | None = element(default=None)
    flowDirection: UInt8 | None = element(default=None)
    """1 delivered to the customer, 19 received from the customer."""
    intervalLength: UInt32 | None = element(default=None)
    """[s]."""
    kind: UInt8 | None = element(default=None)
    maxNumberOfIntervals: UInt8 | None = element(default=None)
    numberOfConsumptionBlocks: UInt8 | None = element(default=None)
    numberOfTouTiers: UInt8 | None = element(default=None)
    phase: UInt8 | None = element(default=None)
    powerOfTenMultiplier: Multiplier | None = element(default=None)
    subIntervalLength: UInt32 | None = element(default=None)
    """[s]."""
    supplyLimit: UInt48 | None = element(default=None)
    tieredConsumptionBlocks: bool | None = element(default=None)
    uom: UInt8 | None = element(default=None)
    """29 V, 33 Hz, 38 W, 61 VA, 63 var, 72 Wh, …"""


class Reading(Resource):
    """One value."""

    subscribable: UInt8 | None = attr(default=None)
    consumptionBlock: UInt8 | None = element(default=None)
    qualityFlags: HexBinary16 | None = element(default=None)
    timePeriod: DateTimeInterval | None = element(default=None)
    touTier: UInt8 | None = element(default=None)
    value: Int48 | None = element(default=None)
    localID: HexBinary16 | None = element(default=None)


class ReadingList(SubscribableList):
    """Readings of one set."""

    Reading_: list[Reading] | None = element(tag="Reading", default=None)


class ReadingSet(IdentifiedObject):
    """Readings of one period."""

    timePeriod: DateTimeInterval = element()
    ReadingListLink: ListLink | None = element(default=None)


class ReadingSetList(PolledSubscribableList):
    """Sets of one meter reading, newest first."""

    ReadingSet_: list[ReadingSet] | None = element(tag="ReadingSet", default=None)


class MeterReading(IdentifiedObject):
    """Readings of one type."""

    RateComponentListLink: ListLink | None = element(default=None)
    ReadingLink: Link | None = element(default=None)
    ReadingSetListLink: ListLink | None = element(default=None)
    ReadingTypeLink: Link = element()


class MeterReadingList(SubscribableList):
    """What is metered at one usage point."""

    MeterReading_: list[MeterReading] | None = element(tag="MeterReading", default=None)


class _UsagePointBase(IdentifiedObject):
    roleFlags: HexBinary16 = element()
    """Bits: 0 mirror, 1 premises, 2 PEV, 3 DER, 4 revenue quality, 5 DC, 6 submeter."""
    serviceCategoryKind: UInt8 = element()
    """0: electricity."""
    status: UInt8 = element()
    """0 off, 1 on."""


class UsagePoint(_UsagePointBase):
    """Where something is metered."""

    deviceLFDI: HexBinary160 | None = element(default=None)
    MeterReadingListLink: ListLink | None = element(default=None)


class UsagePointList(SubscribableList):
    """Usage points."""

    UsagePoint_: list[UsagePoint] | None = element(tag="UsagePoint", default=None)


class MirrorReadingSet(IdentifiedObject):
    """Readings that a device posts together."""

    timePeriod: DateTimeInterval = element()
    Reading_: list[Reading] | None = element(tag="Reading", default=None)


class MirrorMeterReading(IdentifiedObject):
    """Readings of one type that a device posts."""

    lastUpdateTime: TimeType | None = element(default=None)
    MirrorReadingSet_: list[MirrorReadingSet] | None = element(tag="MirrorReadingSet", default=None)
    nextUpdateTime: TimeType | None = element(default=None)
    Reading_: Reading | None = element(tag="Reading", default=None)
    ReadingType_: ReadingType | None = element(tag="ReadingType", default=None)


class MirrorMeterReadingList(ListResource):
    """What a device posts in one go; `all` and `results` may be missing in it."""

    all_: UInt32 | None = attr(name="all", default=None)  # type: ignore[assignment]  # posted lists have none
    results: UInt32 | None = attr(default=None)  # type: ignore[assignment]  # posted lists have none
    MirrorMeterReading_: list[MirrorMeterReading] | None = element(
        tag="MirrorMeterReading", default=None
    )


class MirrorUsagePoint(_UsagePointBase):
    """A usage point whose readings a device posts."""

    deviceLFDI: HexBinary160 = element()
    MirrorMeterReading_: list[MirrorMeterReading] | None = element(
        tag="MirrorMeterReading", default=None
    )
    postRate: UInt32 | None = element(default=None)
    """[s]."""


class MirrorUsagePointList(PolledList):
    """Mirrored usage points."""

    MirrorUsagePoint_: list[MirrorUsagePoint] | None = element(tag="MirrorUsagePoint", default=None)
