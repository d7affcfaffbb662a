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


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A control that keeps what others limit, now and ahead."""

    base: sep.DERControlBase
    ends: int
    """Until when it may run [s]."""


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
        coming.start
        for coming in device.coming
        if coming.start > at + NEAR_S and lowered(base, limits([coming.base], of), of) != base
    ]
    return Fitted(base=base, ends=min([ends, *later]))


def asked_for_long(device: EndDevice) -> list[sep.DERControlBase]:
    """What others ask now, or whenever an event of theirs is over: our default may be left alone.

    Args:
        device: what the server knows of it.
    """
    return [*device.others, *(c.base for c in device.coming if c.lasts)]


def asked_until(device: EndDevice, at: int, ends: int) -> list[sep.DERControlBase]:
    """What others ask now, or will soon while a control of ours still runs.

    Args:
        device: what the server knows of it.
        at: the server's time [s].
        ends: until when the control runs [s].
    """
    near = [c.base for c in device.coming if c.start < min(ends, at + NEAR_S + 1)]
    return [*device.others, *near]
