"""What all resources are made of: identified objects, lists, links."""

# The names of the standard are those of its documents.
# ruff: noqa: N815

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from envoy_schema.server.schema.sep2.base import BaseXmlModelWithNS
from pydantic import ConfigDict, PrivateAttr
from pydantic_xml import attr, element

from ems.protocols.ieee2030_5.schema.primitives import (
    HexBinary8,
    HexBinary128,
    String192,
    TimeType,
    UInt8,
    UInt16,
    UInt32,
    Uri,
)


class Element(BaseXmlModelWithNS):
    """Anything with elements of its own. A name that it does not have is an error, not ignored."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    OLDER_NAMES: ClassVar[Mapping[str, str]] = {}
    """Element of an older edition → its name now. Read, never written."""


class Resource(Element):
    """Anything with an address."""

    href: Uri | None = attr(default=None)


class SubscribableResource(Resource):
    """A resource whose changes a device may be notified of."""

    subscribable: UInt8 | None = attr(default=None)


class IdentifiedObject(Resource):
    """A resource with a global identifier."""

    mRID: HexBinary128 = element()
    description: String192 | None = element(default=None)
    version: UInt16 | None = element(default=None)


class SubscribableIdentifiedObject(IdentifiedObject):
    """An identified object whose changes a device may be notified of."""

    subscribable: UInt8 | None = attr(default=None)


class RespondableResource(Resource):
    """A resource that asks for Responses."""

    replyTo: Uri | None = attr(default=None)
    responseRequired: HexBinary8 | None = attr(default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A member of a list that is no such resource; it was passed over."""

    tag: str
    """Its element, such as `DERControl`."""
    reason: str
    """What is wrong, with the place."""
    href: str = ""
    mrid: str = ""
    """Upper case; empty where it has none that can be read."""
    reply_to: str = ""
    """replyTo: where Responses to it go; empty: it asks for none."""
    response_required: int = 0
    """responseRequired, bits."""

    def __str__(self) -> str:
        """For people."""
        named = " ".join(filter(None, (self.tag, self.mrid, self.href)))
        return f"{named}: {self.reason}"


class ListResource(Resource):
    """A page of a list."""

    _unread: tuple[Unread, ...] = PrivateAttr(default=())

    all_: UInt32 = attr(name="all")
    """How many items the whole list has."""
    results: UInt32 = attr()
    """How many items this page has."""

    @property
    def unread(self) -> tuple[Unread, ...]:
        """Members that were passed over, where it was read leniently."""
        return self._unread

    def leaves_out(self, unread: tuple[Unread, ...]) -> None:
        """Keep what was passed over."""
        self._unread = unread


class PolledList(ListResource):
    """A list that says how often to ask."""

    pollRate: UInt32 | None = attr(default=None)


class SubscribableList(ListResource):
    """A list whose changes a device may be notified of."""

    subscribable: UInt8 | None = attr(default=None)


class PolledSubscribableList(SubscribableList):
    """A subscribable list that says how often to ask."""

    pollRate: UInt32 | None = attr(default=None)


class Link(Element):
    """A reference to a resource."""

    href: Uri = attr()


class ListLink(Link):
    """A reference to a list, and how long it is."""

    all_: UInt32 | None = attr(name="all", default=None)


class DateTimeInterval(Element):
    """A time and how long from there."""

    duration: UInt32 = element()
    """[s]."""
    start: TimeType = element()


class EventStatus(Element):
    """What has become of an event, as `events.EventState` computes it."""

    currentStatus: UInt8 = element()
    dateTime: TimeType = element()
    potentiallySuperseded: bool = element()
    potentiallySupersededTime: TimeType | None = element(default=None)
    reason: String192 | None = element(default=None)


class Error(Element):
    """Why a request was refused, and when to come back."""

    maxRetryDuration: UInt16 | None = element(default=None)
    """[s]."""
    reasonCode: UInt16 = element()
