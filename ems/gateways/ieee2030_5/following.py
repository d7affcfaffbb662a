"""Which of its controls a device holds, as its Responses tell.

IEEE 2030.5-2018, table 27 (response types): 1 received, 2 started, 3 completed, 4 opted out, 5
opted in, 6 cancelled, 7 superseded, 8 and 10 ended without or with half the participation, 11 its
user has seen it, 13 and 14 another server's or program's event went first, 252 to 254 rejected.

A device may repeat a Response, and an older one may come late: what ends a control ends it for
good, and only opting in undoes opting out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ems.gateways.ieee2030_5.port import EndDevice, Order, Told
from ems.protocols.ieee2030_5 import sep

TAKEN = frozenset({1, 2, 5})
"""Statuses of a device that holds a control, or will from its start on."""
OVER = frozenset({3, 6, 7, 9})
"""Statuses of one that held it, until it ended in order."""
OPTED_OUT, OPTED_IN, SUPERSEDED = 4, 5, 7
FOREIGN = frozenset({7, 13, 14})
"""Statuses of one that does what somebody else asks; 7 of the newest of our controls, for nothing
of ours went before that."""
WHY = {
    4: "its user opted out (Response 4)",
    7: "an event of another program superseded it (Response 7)",
    8: "its user opted out while it held (Response 8)",
    10: "its user had opted out (Response 10)",
    13: "an event of another server goes first (Response 13)",
    14: "an event of another program goes first (Response 14)",
    252: "it rejected it: it has no such control (Response 252)",
    253: "it rejected it as invalid (Response 253)",
    254: "it rejected it as received too late (Response 254)",
}
"""Statuses of a device that does not do the newest of our controls, for people."""
FINAL = (OVER | WHY.keys()) - {OPTED_OUT}
"""Statuses after which a device does not take up the control again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What a device holds."""

    base: sep.DERControlBase | None
    """None: nothing of ours is known to be held."""
    until: int | None = None
    """When it ends [s]; None: the default holds."""


def refusal(told: Sequence[Told]) -> str:
    """Why a device does not do the newest control; empty where it did not say so."""
    status = last_status(told)
    return WHY.get(status, "") if status is not None else ""


def is_foreign(told: Sequence[Told]) -> bool:
    """Whether a device does what somebody else asks, in the place of the newest control."""
    return last_status(told) in FOREIGN


def is_taken(told: Sequence[Told]) -> bool:
    """Whether a device has said that it takes a control, and nothing against it."""
    return last_status(told) in TAKEN


def last_status(told: Sequence[Told]) -> int | None:
    """The Response that counts."""
    found: int | None = None
    for status in (t.status for t in told):
        if status in FINAL:
            return status
        out = status == OPTED_OUT or (found == OPTED_OUT and status != OPTED_IN)
        if out:
            found = OPTED_OUT
        elif status in TAKEN:
            found = status
    return found


def running(device: EndDevice, now: int) -> list[Order]:
    """The controls that a device may hold now, newest first.

    All of ours begin when they are published, and a device goes on with what has begun: by a clock
    that was set back meanwhile one that is held may begin ahead. One that was cancelled for a newer
    one is held until the device has heard of that.
    """
    found, replaced = [], False
    for order in device.orders:
        if now < order.start + order.duration and (replaced or order.cancelled is None):
            found.append(order)
        replaced = replaced or order.cancelled is None
    return found


def newest(device: EndDevice, now: int) -> Sequence[Told]:
    """The Responses to the newest control that runs."""
    return next((device.told.get(o.mrid, ()) for o in running(device, now)), ())


def holding(device: EndDevice, now: int) -> Holding:
    """What a device holds now, as far as it told.

    Of its controls the newest that it took; where it refused that one, and where none runs, the
    default. A control that it has not answered yet says nothing: the one before goes on.
    """
    for age, order in enumerate(running(device, now)):
        told = device.told.get(order.mrid, ())
        if is_taken(told):
            return Holding(base=order.base, until=order.start + order.duration)
        if age > 0 and last_status(told) == SUPERSEDED:
            continue  # by the newer one, which it has not answered yet
        if is_foreign(told):
            return Holding(base=None)
        if refusal(told):
            break
    # A device that never asked has no default of ours either.
    return Holding(base=device.default if device.last_seen is not None else None)
