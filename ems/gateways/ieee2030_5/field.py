"""The DERs of a site that are IEEE 2030.5 clients, as a field (`ems.ports.Field`).

A command becomes a DERControl of the DER's own program for the time after which it shall fall
back, under a DefaultDERControl that is what it falls back to. It counts when the device has
answered that it takes it. A refresh publishes a new control only when less than half of the time
of the last one is left, so that devices are not flooded; the one before counts meanwhile.

The DER's own program goes before all others, so what these limit is laid into what is told, and
into what was told when such a limit comes later.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import takewhile

from ems.domain import Command, Der, DerReading, EndDeviceAddress, LoadReading, Readback, Site
from ems.errors import Contested, DeviceError, FellBack, GeemsError, RefusedWrite, Unreachable
from ems.gateways.ieee2030_5.beside import Limits, limits, lowered, shown
from ems.gateways.ieee2030_5.following import is_foreign, is_taken, refusal, running, runs
from ems.gateways.ieee2030_5.measured import Voltages
from ems.gateways.ieee2030_5.orders import fallback, held, order
from ems.gateways.ieee2030_5.port import ControlServer, EndDevice, Order
from ems.gateways.ieee2030_5.ratings import Ratings, ratings
from ems.gateways.ieee2030_5.readings import der_reading, is_local, load_reading
from ems.protocols.ieee2030_5 import sep

log = logging.getLogger(__name__)

LOAD = "load"
"""Key of the aggregate load meter among the addresses."""
RENEWED_AT = 0.5
"""Share of a control's time that is left when it is renewed: a device that asks a few times in the
other half hears of it in time [1]."""
WITHIN_S = 120.0
"""How long after a reading a write still belongs to it, and its times count from there: rounds of
writes and a solver between them [s]."""
NEVER = -1
"""Fewer Responses than ever came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """A command, as it is told to a device."""

    command: Command
    of: Ratings
    base: sep.DERControlBase
    default: sep.DERControlBase
    limited: bool
    """Whether others limit a setpoint to less than was asked; a cap only shows lower."""
    is_ours: bool
    """Whether it is what was commanded; False: others limit it to less."""


class Ieee2030Field:
    """The DERs behind an IEEE 2030.5 server. May be called from several threads."""

    def __init__(
        self,
        site: Site,
        addresses: Mapping[str, EndDeviceAddress],
        server: ControlServer,
        *,
        fresh_s: float,
    ) -> None:
        """Ask nothing yet.

        Args:
            site: what is installed.
            addresses: one per DER that is a client, and maybe one of the meter under `LOAD`.
            server: serves them.
            fresh_s: age from which readings do not count any more [s].
        """
        self._ders: dict[str, Der] = {d.name: d for d in site.ders if d.name in addresses}
        self._addresses = addresses
        self._server = server
        self._fresh_s = fresh_s
        self._voltages = Voltages()
        self._writing = threading.Lock()
        self._read_at: int | None = None
        """When the devices were last read, by the server's clock [s]."""
        self._ours: dict[str, bool] = {}
        """Whether what each holds of us is what was commanded, as far as is known."""

    def read(self, now: datetime) -> Mapping[str, DerReading | DeviceError]:
        """What each DER told last; never raises. Readings carry the time they were taken."""
        try:
            known, at = self._server.look(self._ders), self._server.now()
            # Whoever writes now lays the limits of others into it himself.
            if self._writing.acquire(blocking=False):
                try:
                    self._keep_within(known, at)
                    self._read_at = at
                finally:
                    self._writing.release()
            return {
                name: self._reading(der, known.get(name), now, at)
                for name, der in self._ders.items()
            }
        except GeemsError as fault:
            return {name: DeviceError(f"{name}: {fault}") for name in self._ders}

    def read_load(self, now: datetime) -> LoadReading | DeviceError:
        """What the meter told last; never raises."""
        try:
            known = self._server.look((LOAD,))
            return load_reading(known.get(LOAD), now, self._server.now(), self._fresh_s)
        except GeemsError as fault:
            return DeviceError(f"load: {fault}")

    def write(self, commands: Sequence[Command]) -> Mapping[str, Readback | DeviceError]:
        """Publish a control for each, and wait until its device has answered; never raises.

        A `RefusedWrite` says that nothing was published; any other `DeviceError` that the device
        did not answer in its time, or answered that it does not do it.

        Raises:
            ValueError: a command names no DER of this field, or two name the same.
        """
        names = [c.der for c in commands]
        if len(set(names)) != len(names) or not set(names) <= set(self._ders):
            raise ValueError(f"commands must name DERs of the field, each once: {names}")
        with self._writing:
            try:
                return self._written(commands)
            except GeemsError as fault:
                log.exception("controls could not be published")
                return {name: DeviceError(f"{name}: {fault}") for name in names}

    def close(self) -> None:
        """Nothing to end: the server is another's."""

    # --- what others limit ---------------------------------------------------------

    def _reading(
        self, der: Der, device: EndDevice | None, now: datetime, at: int
    ) -> DerReading | DeviceError:
        found = der_reading(der, device, now, at, self._fresh_s, self._voltages)
        of = ratings(device) if device is not None else None
        if isinstance(found, DeviceError) or device is None or of is None:
            return found
        # After a restart a default may still hold a limit that was lifted meanwhile.
        ours = self._ours.get(der.name, bool(running(device, at)))
        return shown(der, found, device, of, at, ours=ours)

    def _keep_within(self, known: Mapping[str, EndDevice], at: int) -> None:
        """Lower what devices hold of us to what others have limited since it was told."""
        defaults: dict[str, sep.DERControlBase] = {}
        bases: dict[str, sep.DERControlBase] = {}
        left_s: dict[str, int] = {}
        for name, device in known.items():
            of = ratings(device)
            to = limits(device.others, of) if of is not None else Limits()
            if of is None or not to:
                continue
            if device.default is not None and device.default != lowered(device.default, to, of):
                self._ours[name] = False
                defaults[name] = lowered(device.default, to, of)
            newest = next((o for o in device.orders if runs(o, at)), None)
            if newest is not None and newest.base != lowered(newest.base, to, of):
                self._ours[name] = False
                bases[name] = lowered(newest.base, to, of)
                left_s[name] = newest.start + newest.duration - at
                log.warning("%s: another program of the server limits it; GEEMS follows", name)
        self._server.keep_defaults(defaults)
        self._server.publish(bases, left_s)

    # --- writing -------------------------------------------------------------------

    def _written(self, commands: Sequence[Command]) -> Mapping[str, Readback | DeviceError]:
        known = self._server.look([c.der for c in commands])
        answers: dict[str, Readback | DeviceError] = {}
        wanted: dict[str, _Wanted] = {}
        for command in commands:
            try:
                wanted[command.der] = self._wanted(command, known.get(command.der))
            except RefusedWrite as fault:
                answers[command.der] = fault
        at = self._server.now()
        read = self._read_at
        since = read if read is not None and 0 <= at - read <= WITHIN_S else at
        self._server.keep_defaults({name: w.default for name, w in wanted.items()})
        new = {n: w for n, w in wanted.items() if _is_due(w, known[n], at)}
        self._server.publish(
            {name: w.base for name, w in new.items()},
            {name: w.command.reversion_s for name, w in new.items()},
        )
        self._ours |= {name: w.is_ours for name, w in wanted.items()}
        return answers | self._answered(wanted, since)

    def _wanted(self, command: Command, device: EndDevice | None) -> _Wanted:
        """What a device is to be told.

        Raises:
            RefusedWrite: it cannot be told, or must not.
        """
        name = command.der
        der, disconnects = self._ders[name], self._addresses[name].disconnect_at_zero
        if device is None:
            what = f"its end device ({self._addresses[name].enddevice}) is not registered"
            raise RefusedWrite(f"{name}: {what}; nothing was written")
        of = ratings(device)
        if of is None:
            raise RefusedWrite(
                f"{name}: its end device has not told its rating (DERCapability), and controls are "
                "percentages of it; nothing was written"
            )
        if is_local(device, self._server.now(), self._fresh_s):
            raise RefusedWrite(
                f"{name}: under local control (localControlModeStatus); nothing was written"
            )
        to = limits(device.others, of)
        asked = order(der, command, of, disconnects=disconnects)
        back = fallback(der, command, of, disconnects=disconnects)
        base, default = lowered(asked, to, of), lowered(back, to, of)
        return _Wanted(
            command=command,
            of=of,
            base=base,
            default=default,
            limited=base.opModFixedW != asked.opModFixedW,
            is_ours=(base, default) == (asked, back),
        )

    def _answered(
        self, wanted: Mapping[str, _Wanted], since: int
    ) -> dict[str, Readback | DeviceError]:
        """What the devices answer, each within its time.

        Args:
            wanted: what they were told.
            since: the instant that the caller counts times from, by the server's clock [s].
        """
        answers: dict[str, Readback | DeviceError] = {}
        left, heard = dict(wanted), NEVER
        while left:
            # Counted before looking: one that comes in between ends the wait at once.
            heard = self._server.wait_for_responses(NEVER, 0.0)
            known, at = self._server.look(left), self._server.now()
            for name, want in tuple(left.items()):
                answer = self._answer(name, want, known.get(name), at, since)
                if answer is not None:
                    answers[name] = answer
                    del left[name]
            if left:
                ends = (self._deadline(n, known[n]) for n in left)
                self._server.wait_for_responses(heard, max(min(ends) - at, 0.0))
        return answers

    def _answer(
        self, name: str, want: _Wanted, device: EndDevice | None, at: int, since: int
    ) -> Readback | DeviceError | None:
        """What a device has answered; None while there is time left."""
        same = _same(want, device, at)
        if device is None or not same:
            return Unreachable(f"{name}: its control is gone: cancelled, or its device removed")
        told = device.told.get(same[0].mrid, ())
        if is_foreign(told):
            # No FellBack: what somebody else asks of it is not what it falls back to.
            return Contested(f"{name}: {refusal(told)}; it does what somebody else asks")
        if why := refusal(told):
            return FellBack(f"{name}: {why}; its default holds")
        if want.limited:
            # Between nought and what was asked: what it falls back to is nought.
            return FellBack(f"{name}: another program of the server limits it to less than asked")
        taken = next((o for o in same if is_taken(device.told.get(o.mrid, ()))), None)
        if taken is not None:
            # From an instant that the caller knows, not from when the answer came.
            ends_s = float(taken.start + taken.duration - since)
            return replace(held(self._ders[name], want.base, want.of), ends_s=ends_s)
        if at < self._deadline(name, device):
            return None
        asked = "never" if device.last_seen is None else f"{at - device.last_seen} s ago"
        return Unreachable(
            f"{name}: no Response to control {same[0].mrid} within "
            f"{self._addresses[name].answer_s:g} s (its end device asked {asked}); its default "
            "holds unless it took it"
        )

    def _deadline(self, name: str, device: EndDevice) -> float:
        """Until when the newest control is to be answered [s]."""
        return device.orders[0].start + self._addresses[name].answer_s


def _same(want: _Wanted, device: EndDevice | None, at: int) -> list[Order]:
    """The newest controls in a row that ask just this, newest first."""
    held_now = [] if device is None else running(device, at)
    return list(takewhile(lambda o: o.base == want.base, held_now))


def _is_due(want: _Wanted, device: EndDevice, at: int) -> bool:
    """Whether a control is to be published: nothing newer than half its time asks the same."""
    same = _same(want, device, at)
    if not same:
        return True
    return same[0].start + same[0].duration - at <= RENEWED_AT * want.command.reversion_s
