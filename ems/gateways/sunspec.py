"""All devices of a site over SunSpec Modbus TCP."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from ems.domain import Command, DerReading, DeviceAddress, LoadReading, Readback, Site
from ems.errors import BadInput, DeviceError, Fault, GeemsError
from ems.gateways.sunspec_device import SunSpecDevice
from ems.protocols.loop_thread import LoopThread

LOAD = "load"
"""Key of the aggregate load meter among the addresses."""
T = TypeVar("T")


class SunSpecField:
    """The field of a site, one link per device, all in parallel (`ems.ports.Field`).

    May be called from several threads. A device that does not answer costs its own
    `timeout_s` and delays no other.
    """

    def __init__(self, site: Site, addresses: Mapping[str, DeviceAddress]) -> None:
        """Open no connection yet: that happens at every call, wherever one is missing.

        Args:
            site: what is installed.
            addresses: one per DER name, and one for the meter under `LOAD`.

        Raises:
            BadInput: a DER or the meter has no address, or an address no DER.
        """
        wanted = {*site.names, LOAD}
        faults = [Fault(place=n, problem="has no address") for n in sorted(wanted - {*addresses})]
        faults += [
            Fault(place=n, problem="has an address, but the site has no such DER")
            for n in sorted({*addresses} - wanted)
        ]
        if faults:
            raise BadInput(faults)
        self._ders = {d.name: d for d in site.ders}
        self._devices = {name: SunSpecDevice(name, a) for name, a in addresses.items()}
        self._loop = LoopThread("geems-field")

    def read(self, now: datetime) -> Mapping[str, DerReading | DeviceError]:
        """Read every DER; never raises. Readings carry `now` as their time."""
        return self._all(
            {name: self._devices[name].read_der(der, now) for name, der in self._ders.items()}
        )

    def read_load(self, now: datetime) -> LoadReading | DeviceError:
        """Read the aggregate load meter; never raises."""
        return self._all({LOAD: self._devices[LOAD].read_load(now)})[LOAD]

    def write(self, commands: Sequence[Command]) -> Mapping[str, Readback | DeviceError]:
        """Write each command and read it back, devices in parallel; never raises.

        A `RefusedWrite` says that nothing was written; any other `DeviceError` that what
        the device now holds is not known, or is not what was asked.

        Raises:
            ValueError: a command names no DER of the site, or two name the same.
        """
        names = [c.der for c in commands]
        if len(set(names)) != len(names) or not set(names) <= set(self._ders):
            raise ValueError(f"commands must name DERs of the site, each once: {names}")
        return self._all(
            {c.der: self._devices[c.der].write(self._ders[c.der], c) for c in commands}
        )

    def close(self) -> None:
        """End all connections. May be called twice."""
        if self._loop.loop.is_closed():
            return
        self._loop.run(self._drop_all())
        self._loop.close()

    async def _drop_all(self) -> None:
        for device in self._devices.values():
            device.close()

    def _all(self, work: Mapping[str, Awaitable[T]]) -> dict[str, T | DeviceError]:
        """Do all at once; what goes wrong with one device is that device's answer."""

        async def one(name: str, awaitable: Awaitable[T]) -> T | DeviceError:
            try:
                return await awaitable
            except DeviceError as fault:
                return fault
            except (GeemsError, OSError, ValueError, ArithmeticError) as fault:
                return DeviceError(f"{name}: answered something unusable ({fault})")

        async def together() -> list[T | DeviceError]:
            return await asyncio.gather(*(one(n, a) for n, a in work.items()))

        return dict(zip(work, self._loop.run(together()), strict=True))
