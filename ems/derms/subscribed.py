"""The subscriptions of devices: who is told when what changes."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass

from ems.derms.kept import Kept
from ems.derms.served import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribed:
    """A Subscription: who is told when a resource changes."""

    number: int
    """Its place in the paths: /edev/{device}/sub/{number}; no other one ever has it."""
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


class Subscriptions:
    """Subscriptions."""

    def __init__(self, kept: Kept) -> None:
        """Take up what was kept."""
        self._kept = kept
        self._subscriptions: dict[int, dict[int, Subscribed]] = {}
        self._subscribed_to: dict[str, dict[tuple[int, int], Subscribed]] = {}
        self._lists_of: dict[int, set[str]] = {}
        """By device: the lists of its programs to which somebody subscribed."""
        for document in kept.keeper.documents("subscription"):
            self._index_subscription(Subscribed(**json.loads(document.body or "")))

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
        now = self._kept.now()
        mine = self.subscriptions(device)
        same = next((s for s in mine if (s.path, s.uri) == (path, uri)), None)
        subscribed = Subscribed(
            number=same.number if same else self._kept.next("subscription"),
            device=device,
            path=path,
            uri=uri,
            limit=limit,
            level=level,
            created=same.created if same else now,
            renewed=now,
        )
        self._index_subscription(subscribed)
        self._kept.keep(
            self._kept.put("subscription", f"{device}/{subscribed.number}", asdict(subscribed))
        )
        self._kept.described += 1
        self._kept.tell(f"/edev/{device}/sub")
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
        dropped = self._kept.drop("subscription", f"{device}/{number}")
        self._kept.keep(dropped, *self._kept.retired("subscription", number))
        self._kept.described += 1
        self._kept.tell(f"/edev/{device}/sub")

    def forget(self, device: int) -> None:
        """Drop all subscriptions of a device."""
        for subscribed in self.subscriptions(device):
            self.unsubscribe(device, subscribed.number)

    # What stands behind it

    def _index_subscription(self, subscribed: Subscribed) -> None:
        self._kept.taken("subscription", subscribed.number)
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
