"""A command on its way to a device: what it is told, whether that is news, what it answers."""

from dataclasses import dataclass, replace
from itertools import takewhile

from ems.domain import Command, Der, EndDeviceAddress, Readback
from ems.errors import Contested, DeviceError, FellBack, RefusedWrite, Unreachable
from ems.gateways.ieee2030_5.ahead import EARLY_S, asked_for_long, fitted
from ems.gateways.ieee2030_5.beside import limits, lowered
from ems.gateways.ieee2030_5.following import is_foreign, is_taken, refusal, running
from ems.gateways.ieee2030_5.orders import fallback, held, order
from ems.gateways.ieee2030_5.port import EndDevice, Order
from ems.gateways.ieee2030_5.ratings import Ratings, ratings
from ems.gateways.ieee2030_5.readings import is_local
from ems.protocols.ieee2030_5 import sep

RENEWED_AT = 0.5
"""Share of a control's time that is left when it is renewed: a device that asks a few times in the
other half hears of it in time [1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A command, as it is told to a device."""

    der: Der
    command: Command
    of: Ratings
    asked: sep.DERControlBase
    """What was commanded."""
    back: sep.DERControlBase
    """What it shall fall back to."""
    base: sep.DERControlBase
    """What it is told: what was commanded, within what others limit."""
    default: sep.DERControlBase
    """What it is told to fall back to, likewise."""
    began: int
    """Since when [s]."""
    ends: int
    """Until when [s]."""

    @property
    def is_ours(self) -> bool:
        """Whether it is what was commanded; False: others limit it to less."""
        return self.base == self.asked

    @property
    def is_limited(self) -> bool:
        """Whether others limit a setpoint to less than was asked; a cap only shows lower."""
        told, asked = self.base, self.asked
        return (told.opModFixedW, told.opModFixedVar) != (asked.opModFixedW, asked.opModFixedVar)

    @property
    def is_between(self) -> bool:
        """Whether what it is told lies between what was commanded and what it falls back to."""
        # Reactive power is cut to none, which is what it falls back to.
        bases = (self.base, self.asked, self.back)
        of_modes = [[b.opModFixedW or 0 for b in bases], [b.opModMaxLimW or 0 for b in bases]]
        return all(min(ends) <= told <= max(ends) for told, *ends in of_modes)

    def still(self, device: EndDevice, at: int) -> "Wanted":
        """The same as it is published, within what others limit by now."""
        published = running(device, at)[:1]
        ends = min([self.ends, *(o.start + o.duration for o in published)])
        return replace(self, ends=ends).within(device, at)

    def within(self, device: EndDevice, at: int) -> "Wanted":
        """The same within what others limit until it ends."""
        found = fitted(self.base, device, self.of, at, self.ends)
        long = limits(asked_for_long(device, found.ends), self.of)
        default = lowered(self.default, long, self.of)
        return replace(self, base=found.base, default=default, ends=found.ends)


def wanted(
    der: Der,
    command: Command,
    device: EndDevice | None,
    at: int,
    fresh_s: float,
    address: EndDeviceAddress,
) -> Wanted:
    """What a device is to be told.

    Args:
        der: the device.
        command: what it is asked.
        device: what the server knows of it; None: it is not registered.
        at: the server's time [s].
        fresh_s: how old what it tells of itself may be [s].
        address: which end device it is.

    Raises:
        RefusedWrite: it cannot be told, or must not.
    """
    if device is None:
        what = f"its end device ({address.enddevice}) is not registered"
        raise RefusedWrite(f"{der.name}: {what}; nothing was written")
    of = ratings(device)
    if of is None:
        raise RefusedWrite(
            f"{der.name}: its end device has not told its rating (DERCapability), and controls are "
            "percentages of it; nothing was written"
        )
    if is_local(device, at, fresh_s):
        raise RefusedWrite(
            f"{der.name}: under local control (localControlModeStatus); nothing was written"
        )
    asked = order(der, command, of, disconnects=address.disconnect_at_zero)
    back = fallback(der, command, of, disconnects=address.disconnect_at_zero)
    plain = Wanted(
        der=der, command=command, of=of, asked=asked, back=back, base=asked, default=back,
        began=at, ends=at + command.reversion_s,
    )  # fmt: skip
    return plain.within(device, at)


def same(want: Wanted, device: EndDevice | None, at: int) -> list[Order]:
    """The newest controls in a row that ask just this, newest first."""
    held_now = [] if device is None else running(device, at)
    return list(takewhile(lambda o: o.base == want.base, held_now))


def is_due(want: Wanted, device: EndDevice, at: int) -> bool:
    """Whether a control is to be published: nothing newer than half its time asks the same."""
    known = same(want, device, at)
    if not known:
        return True
    if known[0].start > at:
        return True  # the clock was set back: it would be held for longer than was asked
    ends = known[0].start + known[0].duration
    shortened = want.ends < at + want.command.reversion_s
    if shortened and ends > want.ends + EARLY_S:
        return True  # it would outlast the beginning of somebody else's limit
    whole_s = (
        min(want.command.reversion_s, known[0].duration) if shortened else want.command.reversion_s
    )
    return ends - at <= RENEWED_AT * whole_s


def answer(
    want: Wanted, device: EndDevice | None, at: int, since: int, address: EndDeviceAddress
) -> Readback | DeviceError | None:
    """What a device has answered; None while there is time left.

    Args:
        want: what it was told.
        device: what the server knows of it.
        at: the server's time [s].
        since: the instant that the caller counts times from, by the same clock [s].
        address: which end device it is.
    """
    name, known = want.der.name, same(want, device, at)
    if device is None or not known:
        return Unreachable(f"{name}: its control is gone: cancelled, or its device removed")
    told = device.told.get(known[0].mrid, ())
    if is_foreign(told):
        # No FellBack: what somebody else asks of it is not what it falls back to.
        return Contested(f"{name}: {refusal(told)}; it does what somebody else asks")
    if why := refusal(told):
        return FellBack(f"{name}: {why}; its default holds")
    if want.is_limited:
        limited = f"{name}: another program of the server limits it to less than asked"
        # Neither what it was asked nor what it falls back to bounds a cut below both.
        return FellBack(limited) if want.is_between else Contested(limited)
    # One that begins after the newest is of before the clock was set back: nobody knows for how
    # long it is held.
    sure = (o for o in known if o.start <= known[0].start)
    taken = next((o for o in sure if is_taken(device.told.get(o.mrid, ()))), None)
    if taken is not None:
        # From an instant that the caller knows, not from when the answer came.
        ends = min(o.start + o.duration for o in (taken, known[0]))
        return replace(held(want.der, want.base, want.of), ends_s=float(ends - since))
    if at < deadline(want, device, at, address):
        return None
    asked = "never" if device.last_seen is None else f"{at - device.last_seen} s ago"
    return Unreachable(
        f"{name}: no Response to control {known[0].mrid} within {address.answer_s:g} s of its "
        f"command (its end device asked {asked}); its default holds unless it took it"
    )


def deadline(want: Wanted, device: EndDevice, at: int, address: EndDeviceAddress) -> float:
    """Until when a command is to be answered, however often others limit it meanwhile [s]."""
    published = (o.start for o in same(want, device, at)[:1])
    return min([want.began, *published]) + address.answer_s
