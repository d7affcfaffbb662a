"""The DERs of a site that are IEEE 2030.5 clients, as a field (`ems.ports.Field`).

A command becomes a DERControl of the DER's own program for the time after which it shall fall
back, under a DefaultDERControl that is what it falls back to. It counts when the device has
answered that it takes it. A refresh publishes a new control only when less than half of the time
of the last one is left, so that devices are not flooded; the one before counts meanwhile.

The DER's own program goes before all others, so what these limit, now and while a control of ours
runs, is laid into what is told; and into what was told as soon as such a limit is published.
"""

import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from ems.domain import Command, Der, DerReading, EndDeviceAddress, LoadReading, Readback, Site
from ems.errors import DeviceError, GeemsError, RefusedWrite
from ems.gateways.ieee2030_5.ahead import asked_for_long, asked_until, fitted
from ems.gateways.ieee2030_5.beside import limits, lowered, shown
from ems.gateways.ieee2030_5.following import running
from ems.gateways.ieee2030_5.measured import Voltages
from ems.gateways.ieee2030_5.port import ControlServer, EndDevice
from ems.gateways.ieee2030_5.ratings import ratings
from ems.gateways.ieee2030_5.readings import der_reading, load_reading
from ems.gateways.ieee2030_5.wanted import Wanted, answer, deadline, is_due, wanted
from ems.protocols.ieee2030_5 import sep

log = logging.getLogger(__name__)

LOAD = "load"
"""Key of the aggregate load meter among the addresses."""
WITHIN_S = 120.0
"""How long after a reading a write still belongs to it, and its times count from there: rounds of
writes and a solver between them [s]."""
NEVER = -1
"""Fewer Responses than ever came."""


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
        """Have what devices hold of a process before this one keep what others limit by now.

        Args:
            site: what is installed.
            addresses: one per DER that is a client, and maybe one of the meter under `LOAD`.
            server: serves them, from now on or later.
            fresh_s: age from which readings do not count any more [s].
        """
        self._ders: dict[str, Der] = {d.name: d for d in site.ders if d.name in addresses}
        self._addresses = addresses
        self._server = server
        self._fresh_s = fresh_s
        self._voltages = Voltages()
        self._writing = threading.Lock()
        """Of one round of writes, until all devices have answered."""
        self._publishing = threading.Lock()
        """From what is known of the devices to what is published for them."""
        self._read_at: int | None = None
        """When the devices were last read, by the server's clock [s]."""
        self._ours: dict[str, bool] = {}
        """Whether what each holds of us is what was commanded, as far as is known."""
        self._waking = threading.Lock()
        self._laying: threading.Thread | None = None
        """Lays in what was just published elsewhere."""
        self._again = False
        """Whether more was published since it looked."""
        server.watch(self._limits_changed)
        self._lay_in()

    def read(self, now: datetime) -> Mapping[str, DerReading | DeviceError]:
        """What each DER told last; never raises. Readings carry the time they were taken."""
        try:
            known, at = self._kept_within(self._ders)
            # Whoever writes now counts from the reading that his cycle began with.
            if self._writing.acquire(blocking=False):
                self._read_at = at
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
        """Wait for what is being laid in; the server is another's."""
        laying = self._laying
        if laying is not None:
            laying.join()

    # --- what others limit ---------------------------------------------------------

    def _reading(
        self, der: Der, device: EndDevice | None, now: datetime, at: int
    ) -> DerReading | DeviceError:
        found = der_reading(der, device, now, at, self._fresh_s, self._voltages)
        of = ratings(device) if device is not None else None
        if isinstance(found, DeviceError) or device is None or of is None:
            return found
        held = running(device, at)
        # After a restart a default may still hold a limit that was lifted meanwhile.
        ours = self._ours.get(der.name, bool(held))
        ends = max((o.start + o.duration for o in held), default=at)
        to = limits(asked_until(device, at, ends), of)
        return shown(der, found, device, of, at, to=to, ours=ours)

    def _limits_changed(self) -> None:
        """Somebody published what may limit one of ours: lay it in now, in a thread of its own.

        Called by the server in the middle of its work; it must not be asked anything there.
        """
        with self._waking:
            self._again = True
            if self._laying is None:
                self._laying = threading.Thread(target=self._lay_in_all, name="limits", daemon=True)
                self._laying.start()

    def _lay_in_all(self) -> None:
        while True:
            with self._waking:
                if not self._again:
                    self._laying = None
                    return
                self._again = False
            self._lay_in()

    def _lay_in(self) -> None:
        try:
            self._kept_within(self._ders)
        except GeemsError as fault:
            # The next reading tries it again.
            log.warning("limits of other programs could not be laid in: %s", fault)

    def _kept_within(self, names: Collection[str]) -> tuple[Mapping[str, EndDevice], int]:
        """What is known of devices, once they are told to keep what others limit; and when."""
        with self._publishing:
            known, at = self._server.look(names), self._server.now()
            if self._lowered(known, at):
                known = self._server.look(names)
            return known, at

    def _lowered(self, known: Mapping[str, EndDevice], at: int) -> bool:
        """Lower what devices hold of us to what others limit; whether there was anything."""
        defaults: dict[str, sep.DERControlBase] = {}
        bases: dict[str, sep.DERControlBase] = {}
        left_s: dict[str, int] = {}
        for name, device in known.items():
            of = ratings(device)
            if of is None or not (device.others or device.coming):
                continue
            if device.default is not None:
                default = lowered(device.default, limits(asked_for_long(device, at), of), of)
                if device.default != default:
                    defaults[name] = default
            newest = next((o for o in running(device, at) if o.cancelled is None), None)
            if newest is None:
                continue
            # Where the clock was set back meanwhile, for no longer than it was to last.
            ends = min(newest.start, at) + newest.duration
            fit = fitted(newest.base, device, of, at, ends)
            if fit.base != newest.base or fit.is_outlasted(ends):
                self._ours[name] = self._ours.get(name, True) and fit.base == newest.base
                bases[name], left_s[name] = fit.base, fit.ends - at
                log.warning("%s: another program of the server limits it; GEEMS follows", name)
        self._server.lower(defaults, bases, left_s)
        return bool(defaults or bases)

    # --- writing -------------------------------------------------------------------

    def _written(self, commands: Sequence[Command]) -> Mapping[str, Readback | DeviceError]:
        answers: dict[str, Readback | DeviceError] = {}
        wants: dict[str, Wanted] = {}
        with self._publishing:
            known, at = self._server.look([c.der for c in commands]), self._server.now()
            for command in commands:
                name = command.der
                try:
                    wants[name] = wanted(
                        self._ders[name], command, known.get(name), at, self._fresh_s,
                        self._addresses[name],
                    )  # fmt: skip
                except RefusedWrite as fault:
                    answers[name] = fault
            self._server.keep_defaults(
                {name: w.default for name, w in wants.items()},
                {name: w.back for name, w in wants.items()},
            )
            new = {n: w for n, w in wants.items() if is_due(w, known[n], at)}
            self._server.publish(
                {name: w.base for name, w in new.items()},
                {name: w.ends - at for name, w in new.items()},
            )
            self._ours |= {name: w.is_ours for name, w in wants.items()}
        read = self._read_at
        since = read if read is not None and 0 <= at - read <= WITHIN_S else at
        return answers | self._answered(wants, since)

    def _answered(
        self, wants: Mapping[str, Wanted], since: int
    ) -> dict[str, Readback | DeviceError]:
        """What the devices answer, each within its time.

        Args:
            wants: what they were told.
            since: the instant that the caller counts times from, by the server's clock [s].
        """
        answers: dict[str, Readback | DeviceError] = {}
        left, heard = dict(wants), NEVER
        while left:
            # Counted before looking: one that comes in between ends the wait at once.
            heard = self._server.wait_for_responses(NEVER, 0.0)
            known, at = self._kept_within(left)
            left = {n: w.still(known[n], at) if n in known else w for n, w in left.items()}
            for name, want in tuple(left.items()):
                found = answer(want, known.get(name), at, since, self._addresses[name])
                if found is not None:
                    answers[name] = found
                    del left[name]
            if left:
                ends = (deadline(w, known[n], at, self._addresses[n]) for n, w in left.items())
                self._server.wait_for_responses(heard, max(min(ends) - at, 0.0))
        return answers
