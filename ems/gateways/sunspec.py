"""All devices of a site over Modbus: SunSpec or registers named one by one; TCP, TLS or serial."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from ems.domain import (
    Bes,
    Command,
    Der,
    DerReading,
    DeviceAddress,
    LoadReading,
    Pv,
    Readback,
    Site,
)
from ems.domain.address import lacking
from ems.errors import BadInput, DeviceError, Fault, GeemsError, RefusedWrite
from ems.gateways.line import Line, client_context
from ems.gateways.sunspec_device import SunSpecDevice
from ems.gateways.writer import claim, give_back
from ems.protocols.loop_thread import LoopThread

LOAD = "load"
"""Key of the aggregate load meter among the addresses."""
T = TypeVar("T")


class SunSpecField:
    """The field of a site, all links in parallel (`ems.ports.Field`).

    Units behind one host and port, or on one serial line, share a connection and take turns on it.
    May be called from several threads. A device that does not answer costs its own
    `timeout_s` and delays no other; on a shared connection it goes last.
    """

    def __init__(
        self, site: Site, addresses: Mapping[str, DeviceAddress], *, meter: bool = True
    ) -> None:
        """Open no connection yet: that happens at every call, wherever one is missing.

        Args:
            site: what is installed.
            addresses: one per DER name, and one for the meter under `LOAD`.
            meter: whether the meter of the load answers here.

        Raises:
            BadInput: a DER or the meter has no address, or an address no DER; a register map lacks
                what its device needs; a file for TLS cannot be used.
        """
        wanted = {*site.names, *((LOAD,) if meter else ())}
        faults = [Fault(place=n, problem="has no address") for n in sorted(wanted - {*addresses})]
        faults += [
            Fault(place=n, problem="has an address, but the site has no such DER")
            for n in sorted({*addresses} - wanted)
        ]
        self._ders = {d.name: d for d in site.ders}
        for name, address in addresses.items():
            faults += _address_faults(name, address, self._ders.get(name))
        if faults:
            raise BadInput(faults)
        self._addresses = dict(addresses)
        self._writes_to: set[str] = set()
        lines: dict[tuple[str, int], Line] = {}
        self._devices = {
            name: SunSpecDevice(name, a, lines.setdefault(a.line, Line(a)))
            for name, a in addresses.items()
        }
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
        others = {name: why for name in names if (why := self._claimed(name))}
        mine = [c for c in commands if c.der not in others]
        refused = {
            name: RefusedWrite(f"{name}: {why}; nothing was written")
            for name, why in others.items()
        }
        written = self._all({c.der: self._devices[c.der].write(self._ders[c.der], c) for c in mine})
        return {**refused, **written}

    def _claimed(self, name: str) -> str:
        """Be the only process here that writes to a device; why not, where another is."""
        if name in self._writes_to:
            return ""
        why = claim(self._addresses[name])
        if not why:
            self._writes_to.add(name)
        return why

    def close(self) -> None:
        """End all connections. May be called twice."""
        if self._loop.loop.is_closed():
            return
        self._loop.run(self._drop_all())
        self._loop.close()
        for name in self._writes_to:
            give_back(self._addresses[name])

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


def _kind(der: Der | None) -> str:
    if der is None:
        return "load"
    return "pv" if isinstance(der, Pv) else "bes" if isinstance(der, Bes) else "dg"


def _address_faults(name: str, address: DeviceAddress, der: Der | None) -> list[Fault]:
    """What is wrong with one address, as far as that shows without asking."""
    faults = []
    if address.registers is not None:
        reactive = der is not None and der.q_max_kvar > 0
        missing = lacking(_kind(der), address.registers, reactive=reactive)
        faults += [Fault(place=name, problem=f"its registers lack {m}") for m in missing]
    if address.tls is not None:
        try:
            client_context(address.tls)
        except OSError as fault:
            faults.append(
                Fault(
                    place=name,
                    problem=f"TLS cannot be set up with ca_file, cert_file and key_file ({fault})",
                )
            )
    return faults
