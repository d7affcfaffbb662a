"""What is served, and what devices said: the one state of the server.

It is owned by the server's event loop: other threads reach it through `DermsServer.call`. Before
the server starts, whoever made the board may use it. Every method that changes something checks the
change whole, makes it in memory, hands it to the keeper and tells who listens; `durable` is done
when all of it is safe. Faults are `BadInput`, `Conflict` and `NotFound`.

    Kept      the keeper, the clock, who listens
    Groups    groups of programs, rates
    Registry  devices
    Curves → Programs → Controls
    Readings  what devices mirrored
    Reports   documents they put, responses, log events
    Board     subscriptions
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass

from ems.clock import Clock
from ems.derms.audit import Audit
from ems.derms.controls import (
    RESPOND_ALL,
    RESPOND_RECEIVED,
    RESPOND_SPECIFIC,
    RETAINED_S,
    Standing,
)
from ems.derms.keeping import Keeper
from ems.derms.kept import PEN
from ems.derms.readings import Mirror
from ems.derms.reports import FILED, Reports
from ems.derms.served import (
    Conflict,
    Control,
    Curve,
    Device,
    Filed,
    Group,
    Latest,
    NotFound,
    Program,
    Rates,
    Responded,
)

__all__ = [
    "FILED",
    "RESPOND_ALL",
    "RESPOND_RECEIVED",
    "RESPOND_SPECIFIC",
    "Board",
    "Conflict",
    "Control",
    "Curve",
    "Device",
    "Filed",
    "Group",
    "Latest",
    "Mirror",
    "NotFound",
    "Program",
    "Rates",
    "Responded",
    "Standing",
    "Subscribed",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribed:
    """A Subscription: who is told when a resource changes."""

    number: int
    """Its place in the paths: /edev/{device}/sub/{number}."""
    device: int
    """Number of the device whose subscription it is."""
    path: str
    """The resource, without the query."""
    uri: str
    """Where notifications go."""
    limit: int
    """Most list items in a notification."""
    level: str
    """Schema level that the subscriber asked for."""
    created: int
    """When it was made [s]."""
    renewed: int
    """When it was last made or confirmed by the subscriber [s]."""


class Board(Reports):
    """Everything that is served."""

    def __init__(
        self,
        keeper: Keeper | None = None,
        clock: Clock | None = None,
        *,
        pen: int = PEN,
        retained_s: int = RETAINED_S,
    ) -> None:
        """Take up what the keeper kept.

        Args:
            keeper: keeps the state over a restart; None: nothing does.
            clock: the server's time; None: the machine's.
            pen: private enterprise number for the mRIDs made here.
            retained_s: how long a control can still be read after it has ended [s].
        """
        super().__init__(keeper, clock, pen=pen, retained_s=retained_s)
        self.audit = Audit(self.keeper)
        """Who changed what."""
        self._subscriptions: dict[int, dict[int, Subscribed]] = {}
        self._subscribed_to: dict[str, dict[tuple[int, int], Subscribed]] = {}
        self._lists_of: dict[int, set[str]] = {}
        """By device: the lists of its programs to which somebody subscribed."""
        for kept in self.keeper.documents("subscription"):
            self._index_subscription(Subscribed(**json.loads(kept.body or "")))

    def subscriptions(self, device: int | None = None) -> tuple[Subscribed, ...]:
        """All, or those of one device, by number."""
        if device is not None:
            return tuple(self._subscriptions.get(device, {}).values())
        return tuple(s for held in self._subscriptions.values() for s in held.values())

    def subscribed_to(self, path: str) -> tuple[Subscribed, ...]:
        """The subscriptions to one resource."""
        return tuple(self._subscribed_to.get(path, {}).values())

    def subscribed_paths(self) -> tuple[str, ...]:
        """The resources to which somebody subscribed."""
        return tuple(self._subscribed_to)

    def subscribed_lists(self, device: int | None = None) -> Mapping[int, Collection[str]]:
        """By device: lists of its programs to which somebody subscribed; those of one, or all."""
        if device is None:
            return self._lists_of
        return {device: self._lists_of.get(device, frozenset())}

    def subscription(self, device: int, number: int) -> Subscribed | None:
        """The one at /edev/{device}/sub/{number}."""
        return self._subscriptions.get(device, {}).get(number)

    def subscribe(self, device: int, *, path: str, uri: str, limit: int, level: str) -> Subscribed:
        """Make a subscription; the same one again only renews it."""
        now = self.now()
        mine = self.subscriptions(device)
        same = next((s for s in mine if (s.path, s.uri) == (path, uri)), None)
        subscribed = Subscribed(
            number=same.number if same else 1 + max((s.number for s in mine), default=0),
            device=device,
            path=path,
            uri=uri,
            limit=limit,
            level=level,
            created=same.created if same else now,
            renewed=now,
        )
        self._index_subscription(subscribed)
        self._keep(self._put("subscription", f"{device}/{subscribed.number}", asdict(subscribed)))
        self.described += 1
        self.tell(f"/edev/{device}/sub")
        return subscribed

    def unsubscribe(self, device: int, number: int) -> None:
        """Drop a subscription.

        Raises:
            NotFound: there is no such subscription.
        """
        subscribed = self.subscription(device, number)
        if subscribed is None:
            raise NotFound(f"device {device} has no subscription {number}")
        del self._subscriptions[device][number]
        self._unindex_subscription(subscribed)
        self._keep(self._drop("subscription", f"{device}/{number}"))
        self.described += 1
        self.tell(f"/edev/{device}/sub")

    def remove_device(self, name: str) -> Device:
        """See `Registry.remove_device`."""
        device = super().remove_device(name)
        for subscribed in self.subscriptions(device.number):
            self.unsubscribe(device.number, subscribed.number)
        return device

    def _index_subscription(self, subscribed: Subscribed) -> None:
        self._subscriptions.setdefault(subscribed.device, {})[subscribed.number] = subscribed
        held = self._subscribed_to.setdefault(subscribed.path, {})
        held[subscribed.device, subscribed.number] = subscribed
        listed = _whose_programs(subscribed.path)
        if listed is not None:
            self._lists_of.setdefault(listed, set()).add(subscribed.path)

    def _unindex_subscription(self, subscribed: Subscribed) -> None:
        held = self._subscribed_to[subscribed.path]
        del held[subscribed.device, subscribed.number]
        if held:
            return
        del self._subscribed_to[subscribed.path]
        listed = _whose_programs(subscribed.path)
        if listed is not None:
            self._lists_of[listed].discard(subscribed.path)
            if not self._lists_of[listed]:
                del self._lists_of[listed]


def _whose_programs(path: str) -> int | None:
    """The device of a list of its programs, /edev/#/derp or /edev/#/fsa/#/derp; None: another."""
    parts = path.split("/")
    listing = len(parts) in {4, 6} and parts[1] == "edev" and parts[-1] == "derp"
    return int(parts[2]) if listing else None
