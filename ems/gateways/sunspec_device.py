"""One device: its connection, its measurements, its verified writes.

What differs between generations of devices lies in their faces (`der7xx`, `der1xx`, `plain`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from ems.domain import Command, Der, DerReading, DeviceAddress, LoadReading, Readback
from ems.errors import DeviceError, RefusedWrite, Unreachable
from ems.gateways.der1xx import INVERTERS, Der1xx
from ems.gateways.der7xx import CAPACITY, CONTROLS, MEASURED, Der7xx
from ems.gateways.face import Face, Orders
from ems.gateways.image import Chain, Image, Moved, Span, discover, fetch
from ems.gateways.line import Line
from ems.gateways.modbus import ExceptionAnswer, ModbusLink
from ems.gateways.plain import Plain
from ems.protocols.sunspec import BASE_ADDRESSES

T = TypeVar("T")


class SunSpecDevice:
    """The EMS's end of the link to one device. Every call keeps the time budget.

    Each phase of a call (reading; writing; reading back) has the address's `timeout_s`. Waiting
    for a line that others use does not count.
    """

    def __init__(self, name: str, address: DeviceAddress, line: Line | None = None) -> None:
        """Open no connection yet.

        Args:
            name: in the site file.
            address: where it answers.
            line: shared with other units; None for one of its own.
        """
        self.name = name
        self._link = ModbusLink(name, address, line)
        self._address = address
        self._face: Face | None = None
        self._merged = True
        self._beats = True
        self._turn = _Turn(self._link.line)

    def close(self) -> None:
        """Drop the connection."""
        self._link.drop()

    # --- reading -------------------------------------------------------------------

    async def read_der(self, der: Der, now: datetime) -> DerReading:
        """Measurements, state of charge, cap in force, and available power where it is told.

        Raises:
            DeviceError: no answer, a model is missing, or P or Q is not measured.
        """
        async with self._turn:
            return await self._fresh(
                lambda face: face.to_read(der), lambda face, image: face.reading(der, image, now)
            )

    async def read_load(self, now: datetime) -> LoadReading:
        """Consumption the meter shows.

        Raises:
            DeviceError: no answer, the model is missing, or P is not measured.
        """
        async with self._turn:
            return await self._fresh(
                lambda face: face.to_read_load(), lambda face, image: face.load(image, now)
            )

    # --- writing -------------------------------------------------------------------

    async def write(self, der: Der, command: Command) -> Readback:
        """Write a command, read its registers back, compare.

        Raises:
            RefusedWrite: nothing was written.
            Unreachable: no answer; what the device holds is not known.
            DeviceError: the device holds something else than was asked.
        """
        async with self._turn:
            orders = await self._fresh(
                lambda face: face.to_command(der),
                lambda face, image: face.orders(der, image, command),
            )
            doubt = await self._send(orders)
            try:
                return await self._fresh(
                    lambda face: face.to_confirm(der),
                    lambda face, image: self._confirmed(face, der, orders, image, doubt),
                )
            except (Unreachable, ExceptionAnswer) as fault:
                raise Unreachable(
                    f"written, but not read back, so what it holds is not known: {doubt or fault}"
                ) from fault

    def _confirmed(
        self, face: Face, der: Der, orders: Orders, image: Image, doubt: str
    ) -> Readback:
        differing = [d for order in orders.writes for d in order.differing(image)]
        if orders.meaning != face.meaning(der, image):
            differing.append(
                "its scale factors or ratings changed while it was written, so what the registers "
                "order is not what was asked"
            )
        if differing:
            because = f" (after: {doubt})" if doubt else ""
            raise DeviceError(
                f"{self._link.place}: holds, in {face.controls}, {'; '.join(differing)}{because}"
            )
        return face.held(der, image)

    async def _send(self, orders: Orders) -> str:
        """Write block by block. Returns why the outcome is in doubt, empty where it is not.

        Raises:
            RefusedWrite: the device refused the first block, so nothing was written.
        """
        written = 0
        try:
            async with asyncio.timeout(self._address.timeout_s):
                for order in orders.writes:
                    await self._link.write(order.start, list(order.registers))
                    written += 1
                await self._beat(orders)
        except ExceptionAnswer as fault:
            refused = f"{fault} on {orders.writes[written]}"
            if written == 0 and fault.nothing_done:
                raise RefusedWrite(f"{refused}, nothing was written") from fault
            return refused
        except TimeoutError:
            self._link.drop()
            return self._late
        except DeviceError as fault:  # lost, or answered by something else
            self._link.drop()
            return str(fault)
        return ""

    async def _beat(self, orders: Orders) -> None:
        """Tell the device that its controller lives; one that does not care is not told again."""
        if orders.heartbeat is None or not self._beats:
            return
        try:
            await self._link.write(orders.heartbeat.start, list(orders.heartbeat.registers))
        except ExceptionAnswer:
            self._beats = False

    # --- connection and face ---------------------------------------------------------

    async def _fresh(
        self,
        spans: Callable[[Face], Sequence[Span]],
        made: Callable[[Face, Image], T],
    ) -> T:
        """Make something of registers read within the budget, over a connection that stands.

        A connection kept from the last call may have died unseen, and a device may have got
        another chain: then once more, from the beginning.

        Raises:
            DeviceError: no answer, or one that is of no use.
        """
        try:
            async with asyncio.timeout(self._address.timeout_s):
                made_of_it = await self._twice(lambda: self._made(spans, made))
        except (TimeoutError, Unreachable) as fault:
            self._turn.rank = 1
            self._link.drop()
            if isinstance(fault, Unreachable):
                raise
            raise Unreachable(f"{self._link.place}: {self._late}") from fault
        self._turn.rank = 0
        return made_of_it

    @property
    def _late(self) -> str:
        said = "busy for" if self._link.busy else "no answer within"
        return f"{said} {self._address.timeout_s:g} s{self._link.line.hint}"

    async def _twice(self, work: Callable[[], Awaitable[T]]) -> T:
        standing = self._link.connected
        try:
            return await work()
        except Unreachable:
            if not standing:
                raise
        except Moved:
            self._face = None
        except ExceptionAnswer as fault:
            # What could be read once cannot any more; or one read may not span two models.
            if self._face is None or not fault.nothing_done:
                raise
            self._face = None
            self._merged = False
        return await work()

    async def _made(
        self, spans: Callable[[Face], Sequence[Span]], made: Callable[[Face, Image], T]
    ) -> T:
        if not self._link.connected:
            await self._link.connect()
        if self._face is None:
            self._face = await self._identified()
        return made(self._face, await fetch(self._link, spans(self._face)))

    async def _identified(self) -> Face:
        if self._address.registers is not None:
            return Plain(self._link.place, self._address.registers)
        base = self._address.base
        chain = await discover(self._link, BASE_ADDRESSES if base is None else (base,))
        return face_of(self._link.place, chain, merged=self._merged)


class _Turn:
    """One call at a time to one device, and one device at a time on a line."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._lock = asyncio.Lock()
        self.rank = 0
        """1 after silence: on a shared line it lets the others go first."""

    async def __aenter__(self) -> None:
        await self._lock.acquire()
        try:
            await self._line.take(self.rank)
        except asyncio.CancelledError:
            self._lock.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._line.give()
        self._lock.release()


def face_of(place: str, chain: Chain, *, merged: bool = True) -> Face:
    """The newest generation that a chain speaks in full.

    Args:
        place: how messages name the device.
        chain: its models.
        merged: whether one read may span several models.
    """
    newest = all(m in chain for m in (MEASURED, CAPACITY, CONTROLS))
    if not newest and any(m in chain for m in INVERTERS):
        return Der1xx(place, chain, merged=merged)
    return Der7xx(place, chain, merged=merged)
