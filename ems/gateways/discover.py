"""Look for SunSpec devices: any unit, any base address, one connection, a short wait for each."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ems.domain import DeviceAddress
from ems.errors import DeviceError, Unreachable
from ems.gateways.found import Found, describe
from ems.gateways.image import LAST_REGISTER, discover
from ems.gateways.line import Line
from ems.gateways.modbus import ExceptionAnswer, Foreign, ModbusLink
from ems.protocols.sunspec import BASE_ADDRESSES, MARKER, MAX_READ

PATIENCE = 10
"""A device that is there may take so many times the wait for one that may not be."""
NOBODY = (4, 10, 11)
"""Exceptions of a gateway: no path to this unit, or the unit does not answer (MODBUS Application
Protocol V1.1b3, clause 7); and what some servers answer for a unit that they do not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What a look around brought."""

    found: tuple[Found, ...]
    remarks: tuple[str, ...]
    """What answered and is no SunSpec device, or is one that cannot be read."""


def look_around(
    address: DeviceAddress,
    units: Sequence[int],
    *,
    bases: Sequence[int] = (),
    everywhere: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Discovery:
    """Ask every unit behind one host or serial line.

    Args:
        address: of the host or line; its `timeout_s` is waited for each unit.
        units: to ask, in this order.
        bases: where chains may begin, besides 40000, 0 and 50000.
        everywhere: search all 65536 registers of units that have none there.
        progress: called with each unit before it is asked.

    Raises:
        Unreachable: nobody answers at the host, or the line cannot be opened.
    """
    return asyncio.run(
        _look_around(address, units, (*bases, *BASE_ADDRESSES), everywhere, progress)
    )


async def _look_around(
    address: DeviceAddress,
    units: Sequence[int],
    bases: Sequence[int],
    everywhere: bool,
    progress: Callable[[int], None],
) -> Discovery:
    line = Line(address)
    found: list[Found] = []
    problems: dict[str, list[int]] = {}
    try:
        for unit in units:
            progress(unit)
            one = _Unit(replace(address, unit=unit), line)
            try:
                device = await one.look(bases, everywhere=everywhere)
            except DeviceError as fault:
                gone = isinstance(fault, Unreachable) and not await _opens(one)
                if gone and not found and not problems:
                    raise
                problems.setdefault(str(fault).removeprefix(f"{one.place}: "), []).append(unit)
                if gone or isinstance(fault, Foreign):
                    break  # the same would be said of every unit that follows
                continue
            if device is not None:
                found.append(device)
    finally:
        line.drop()
    remarks = (f"{_where(address, units)}: {what}" for what, units in problems.items())
    return Discovery(found=tuple(_distinct(found)), remarks=tuple(remarks))


def _where(address: DeviceAddress, units: Sequence[int]) -> str:
    """The host or line and, folded to ranges, units of it: `device at h:502 units 1–3, 7`."""
    if len(units) == 1:
        return f"device at {replace(address, unit=units[0])}"
    ranges: list[list[int]] = []
    for unit in units:
        if ranges and unit == ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], unit]
        else:
            ranges.append([unit])
    said = ", ".join("–".join(map(str, ends)) for ends in ranges)
    host = replace(address, unit=1)
    line = address.serial.path if address.serial is not None else str(host)
    return f"device at {line} units {said}"


async def _opens(unit: "_Unit") -> bool:
    """Whether anybody is there at all: some devices hang up on a unit that is not theirs."""
    try:
        await unit.connect()
    except Unreachable:
        return False
    return True


class _Unit:
    """One unit while it is looked at."""

    def __init__(self, address: DeviceAddress, line: Line) -> None:
        self._address = address
        self._link = ModbusLink("device", address, line)
        self.place = self._link.place
        """How messages name it."""

    async def connect(self) -> None:
        """Open the line, in time.

        Raises:
            Unreachable: it does not open.
        """
        try:
            async with asyncio.timeout(self._address.timeout_s):
                await self._link.connect()
        except TimeoutError as fault:
            raise Unreachable(f"{self.place}: no connection{self._link.line.hint}") from fault

    async def look(self, bases: Sequence[int], *, everywhere: bool) -> Found | None:
        """The device, or None where nobody answers.

        Raises:
            DeviceError: somebody answers, and not as a SunSpec device should.
        """
        if not self._link.connected:
            await self.connect()
        try:
            base = await self._base(bases, everywhere=everywhere)
        except TimeoutError:
            # An answer that comes too late bears another transaction, or unit, and is no noise.
            if not (noise := self._link.line.noise):
                return None
            if self._address.serial is None:
                self._link.drop()  # where the next frame begins is not known any more
            raise DeviceError(f"{self.place}: something answers, but {noise}") from None
        if base is None:
            return None
        try:
            async with asyncio.timeout(PATIENCE * self._address.timeout_s):
                chain = await discover(self._link, (base,))
                usual = base in BASE_ADDRESSES
                address = self._address if usual else replace(self._address, base=base)
                return await describe(self._link, address, chain)
        except TimeoutError as fault:
            raise DeviceError(
                f"{self._link.place}: has a SunSpec marker at {base}, and stopped answering"
            ) from fault

    async def _base(self, bases: Iterable[int], *, everywhere: bool) -> int | None:
        """Address of the marker; None where a gateway says that nobody is there."""
        for base in dict.fromkeys(bases):
            registers = await self._read(base, len(MARKER))
            if isinstance(registers, int) and registers in NOBODY:
                return None
            if registers == [*MARKER]:
                return base
        found = await self._search() if everywhere else None
        if found is None:
            mend = (
                "its quantities can be named one by one in the site file"
                if everywhere
                else "search all its registers with --scan, or name them in the site file"
            )
            raise DeviceError(
                f"{self._link.place}: answers, but holds no `SunS` at "
                f"{', '.join(map(str, dict.fromkeys(bases)))}; {mend}"
            )
        return found

    async def _search(self) -> int | None:
        """The first marker of all registers, by as long reads as the device takes."""
        waiting = [(0, LAST_REGISTER)]
        while waiting:
            first, last = waiting.pop()
            count = last - first + 1
            if count > MAX_READ:
                # Windows overlap by one register, lest a marker lies across two.
                waiting += reversed(
                    [(at, min(at + MAX_READ - 1, last)) for at in range(first, last, MAX_READ - 1)]
                )
                continue
            registers = await self._read(first, count)
            if isinstance(registers, int):
                if count > len(MARKER):  # part of it may be there
                    middle = first + count // 2
                    waiting += [(middle, last), (first, middle)]
                continue
            for i in range(count - 1):
                if registers[i : i + 2] == [*MARKER]:
                    return first + i
        return None

    async def _read(self, address: int, count: int) -> list[int] | int:
        """Registers, or the code of a Modbus exception.

        Raises:
            TimeoutError: no answer.
        """
        try:
            async with asyncio.timeout(self._address.timeout_s):
                return await self._link.read(address, count)
        except ExceptionAnswer as fault:
            return fault.code


def _distinct(found: Sequence[Found]) -> list[Found]:
    """A device that answers as several units, once: some take any unit for theirs."""
    by_identity: dict[object, Found] = {}
    for device in found:
        # Without a serial number two may be twins.
        key = device.nameplate if device.nameplate.serial else device.address.unit
        first = by_identity.setdefault(key, device)
        if first is not device:
            units = (*first.also_units, device.address.unit)
            by_identity[key] = replace(first, also_units=units)
    return list(by_identity.values())
