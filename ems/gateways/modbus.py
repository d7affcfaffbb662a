"""Requests to one Modbus unit, and what its answers mean.

A connection on which an answer is missing is dropped: a late answer must not be taken for the
next one.
"""

import asyncio

from pymodbus.constants import ExcCodes

from ems.domain import DeviceAddress
from ems.errors import DeviceError, Unreachable
from ems.gateways import wire
from ems.gateways.line import Line, LineFault
from ems.gateways.wire import READ_HOLDING, NoAnswer, NotModbus, Request

BUSY_PAUSE_S = 0.1
"""Wait before a device that said it is busy is asked again [s]."""


class ExceptionAnswer(DeviceError):
    """The device answered with a Modbus exception."""

    def __init__(self, place: str, code: int) -> None:
        self.code = code
        name = ExcCodes(code).name.replace("_", " ").lower() if code in set(ExcCodes) else "?"
        super().__init__(f"{place}: Modbus exception {code} ({name})")

    @property
    def nothing_done(self) -> bool:
        """Illegal function, address or value: the device did not begin to act.

        MODBUS Application Protocol V1.1b3, state diagrams of clause 6.
        """
        return self.code in (1, 2, 3)

    @property
    def nobody(self) -> bool:
        """A gateway has no path to the unit, or the unit did not answer it."""
        return self.code in (10, 11)

    @property
    def busy(self) -> bool:
        """Acknowledge or busy: worth asking again."""
        return self.code in (5, 6)


class Foreign(DeviceError):
    """Whoever answers speaks no Modbus, and will not for another unit."""


class ModbusLink:
    """Requests to one unit over a line that others may share."""

    def __init__(self, name: str, address: DeviceAddress, line: Line | None = None) -> None:
        """Open nothing yet.

        Args:
            name: of the device, for messages.
            address: where it answers.
            line: shared with others; None for one of its own.
        """
        self.place = f"{name} at {address}"
        """How messages name the device."""
        self.line = Line(address) if line is None else line
        self.line.units += 1
        self.busy = False
        """Whether it last said that it is busy."""
        self._unit = address.unit

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self.line.connected

    async def connect(self) -> None:
        """Open a new connection; the old one, if any, is dropped.

        Raises:
            Unreachable: nobody answers there.
        """
        try:
            await self.line.connect()
        except LineFault as fault:
            raise Unreachable(f"{self.place}: {fault}") from fault

    def drop(self) -> None:
        """Close the connection without ceremony."""
        self.line.drop()

    async def read(self, address: int, count: int, function: int = READ_HOLDING) -> list[int]:
        """Holding registers, or with function 4 input registers.

        Raises:
            Unreachable: no connection, or it was lost.
            ExceptionAnswer: the device refuses.
            DeviceError: what came is no answer to this.
        """
        return wire.registers(await self._ask(wire.read(self._unit, function, address, count)))

    async def write(self, address: int, registers: list[int]) -> None:
        """Write holding registers, function code 16.

        Raises:
            Unreachable: no connection, or it was lost; what the device did is not known.
            ExceptionAnswer: the device refuses.
            DeviceError: what came is no answer to this; what the device did is not known.
        """
        await self._ask(wire.write(self._unit, address, registers))

    async def _ask(self, request: Request) -> bytes:
        """Ask, and ask again while the device says it is busy: only then is that safe."""
        while True:
            try:
                pdu = await self._answer(request)
            except ExceptionAnswer as fault:
                if not fault.busy:
                    raise
                self.busy = True
                await asyncio.sleep(BUSY_PAUSE_S)
            else:
                self.busy = False
                return pdu

    async def _answer(self, request: Request) -> bytes:
        try:
            pdu = await self.line.ask(request)
        except LineFault as fault:
            raise Unreachable(f"{self.place}: {fault}") from fault
        except NotModbus as fault:
            raise Foreign(f"{self.place}: {fault}") from fault
        except NoAnswer as fault:
            raise DeviceError(f"{self.place}: {fault}") from fault
        code = wire.refusal(pdu)
        if code is not None:
            raise ExceptionAnswer(self.place, code)
        return pdu
