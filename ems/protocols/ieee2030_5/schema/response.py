"""Responses, subscriptions, notifications."""

# The names of the standard are those of its documents.
# ruff: noqa: N815

from pydantic_xml import element

from ems.protocols.ieee2030_5.schema.base import (
    Element,
    IdentifiedObject,
    ListLink,
    ListResource,
    PolledList,
    Resource,
)
from ems.protocols.ieee2030_5.schema.primitives import (
    HexBinary128,
    HexBinary160,
    Int48,
    String16,
    TimeType,
    UInt8,
    UInt32,
    Uri,
)


class Response(Resource):
    """What a device did with an event."""

    createdDateTime: TimeType | None = element(default=None)
    endDeviceLFDI: HexBinary160 = element()
    status: UInt8 | None = element(default=None)
    """1 received, 2 started, 3 completed, 4 opted out, 6 cancelled, 7 superseded, …"""
    subject: HexBinary128 = element()
    """mRID of the event."""


class DERControlResponse(Response):
    """What a device did with a DERControl."""


class ResponseList(ListResource):
    """Responses, newest first."""

    Response_: list[Response] | None = element(tag="Response", default=None)


class ResponseSet(IdentifiedObject):
    """Where Responses go."""

    ResponseListLink: ListLink | None = element(default=None)


class ResponseSetList(PolledList):
    """Response sets."""

    ResponseSet_: list[ResponseSet] | None = element(tag="ResponseSet", default=None)


class Condition(Element):
    """When a change is worth a notification."""

    attributeIdentifier: UInt8 = element()
    lowerThreshold: Int48 = element()
    upperThreshold: Int48 = element()


class Subscription(Resource):
    """A device's wish to be told of changes."""

    subscribedResource: Uri = element()
    Condition_: Condition | None = element(tag="Condition", default=None)
    encoding: UInt8 = element()
    """0: XML."""
    level: String16 = element()
    """`+S1`: the schema of IEEE 2030.5."""
    limit: UInt32 = element()
    """How many items of a list to send; 0: none, only that it changed."""
    notificationURI: Uri = element()


class SubscriptionList(PolledList):
    """Subscriptions of one device."""

    Subscription_: list[Subscription] | None = element(tag="Subscription", default=None)


class Notification(Resource):
    """That a subscribed resource changed, and what it is now."""

    subscribedResource: Uri = element()
    newResourceURI: Uri | None = element(default=None)
    Resource_: Resource | None = element(tag="Resource", default=None)
    """Of the type that its `xsi:type` names."""
    status: UInt8 = element()
    """0 changed, 1 cancelled, 2 moved, 3 definition changed, 4 deleted."""
    subscriptionURI: Uri = element()


class NotificationList(ListResource):
    """Notifications."""

    Notification_: list[Notification] | None = element(tag="Notification", default=None)
