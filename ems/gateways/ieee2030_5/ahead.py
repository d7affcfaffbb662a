"""What other programs will limit while a control of ours runs.

A client may ask seldom, and the EMS may die: so what is known of the time ahead is in a control
from its beginning, and nobody has to act when somebody else's limit begins.
"""

from dataclasses import dataclass

from ems.clock import INTERVAL
from ems.gateways.ieee2030_5.beside import limits, lowered
from ems.gateways.ieee2030_5.port import EndDevice
from ems.gateways.ieee2030_5.ratings import Ratings
from ems.protocols.ieee2030_5 import sep

NEAR_S = int(INTERVAL.total_seconds())
"""A limit that begins within it holds for the whole of our control; before a later one our control
ends. The next decision comes within an interval, and none is proved for longer [s]."""
EARLY_S = 5
"""How long before a limit that it does not keep a control ends. It is published later than the time
that its end is reckoned from, a call or two of the server, and a device gives up the whole of an
event that it reaches into by a second [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A control that keeps what others limit, now and ahead."""

    base: sep.DERControlBase
    ends: int
    """Until when it may run, `EARLY_S` before a limit that it does not keep [s]."""

    def is_outlasted(self, ends: int) -> bool:
        """Whether a control that runs until `ends` reaches into such a limit [s]."""
        return ends > self.ends + EARLY_S


def fitted(base: sep.DERControlBase, device: EndDevice, of: Ratings, at: int, ends: int) -> Fitted:
    """A control from now on, as it keeps within the limits of others.

    Args:
        base: what is ordered.
        device: what the server knows of it.
        of: its ratings.
        at: the server's time [s].
        ends: until when it is to run [s].
    """
    base = lowered(base, limits(asked_until(device, at, ends), of), of)
    later = [
        coming.start - EARLY_S
        for coming in device.coming
        if coming.start >= _held_until(at, ends)
        and lowered(base, limits([coming.base], of), of) != base
    ]
    return Fitted(base=base, ends=max(min([ends, *later]), at + 1))


def asked_for_long(device: EndDevice, ends: int) -> list[sep.DERControlBase]:
    """What others ask now, or will ask without an event that a device follows.

    Our default may be left alone with it: with a default of theirs that comes back, and with the
    time of an event that a control of ours reaches into. The device has given that up as a whole,
    and does not take it up again where our control ends or is cancelled before.

    Args:
        device: what the server knows of it.
        ends: until when a control runs that is about to be published; else the present [s].
    """
    ours = max([ends + EARLY_S, *(o.start + o.duration for o in device.orders)])
    return [*device.others, *(c.base for c in device.coming if c.lasts or c.start < ours)]


def asked_until(device: EndDevice, at: int, ends: int) -> list[sep.DERControlBase]:
    """What others ask now, or will soon while a control of ours still runs.

    Args:
        device: what the server knows of it.
        at: the server's time [s].
        ends: until when the control runs [s].
    """
    near = [c.base for c in device.coming if c.start < _held_until(at, ends)]
    return [*device.others, *near]


def _held_until(at: int, ends: int) -> int:
    """Limits that begin before it are in the control that runs until `ends` [s]."""
    return min(ends, at + NEAR_S + 1)
