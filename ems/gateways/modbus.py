"""One Modbus TCP connection to one device.

No request is ever repeated behind the caller's back, and a connection on which an answer
is missing is dropped: a late answer must not be taken for the next one.
"""

import logging

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.constants import ExcCodes
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from ems.domain import DeviceAddress
from ems.errors import DeviceError, Unreachable

# Every failure comes back as a DeviceError; without a handler of its own the library
# would also print it on standard error.
logging.getLogger("pymodbus").addHandler(logging.NullHandler())


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
    def busy(self) -> bool:
        """Acknowledge or busy: worth asking again."""
        return self.code in (5, 6)


class ModbusLink:
    """Requests to one device, one at a time."""

    def __init__(self, name: str, address: DeviceAddress) -> None:
        self.place = f"{name} at {address.host}:{address.port}"
        """How messages name the device."""
        self._address = address
        self._client: AsyncModbusTcpClient | None = None

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._client is not None and self._client.connected

    async def connect(self) -> None:
        """Open a new connection; the old one, if any, is dropped.

        Raises:
            Unreachable: nobody answers there.
        """
        self.drop()
        # reconnect_delay=0: the library's own reconnecting backs off up to five minutes.
        self._client = AsyncModbusTcpClient(
            self._address.host,
            port=self._address.port,
            timeout=self._address.timeout_s,
            retries=0,  # a repeated write may act twice
            reconnect_delay=0,
        )
        if not await self._client.connect():
            self.drop()
            raise Unreachable(f"{self.place}: no connection")

    def drop(self) -> None:
        """Close the connection without ceremony."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def read(self, address: int, count: int) -> list[int]:
        """Holding registers.

        Raises:
            Unreachable: no connection, or no answer.
            ExceptionAnswer: the device refuses.
        """
        client = self._ready()
        try:
            answer = await client.read_holding_registers(
                address, count=count, device_id=self._address.unit
            )
        except ModbusException as fault:
            raise self._lost(fault) from fault
        self._check(answer)
        if len(answer.registers) != count:
            self.drop()
            raise DeviceError(
                f"{self.place}: asked {count} registers from {address}, got {len(answer.registers)}"
            )
        return list(answer.registers)

    async def write(self, address: int, registers: list[int]) -> None:
        """Write holding registers, function code 16.

        Raises:
            Unreachable: no connection, or no answer; what the device did is not known.
            ExceptionAnswer: the device refuses.
        """
        client = self._ready()
        try:
            answer = await client.write_registers(address, registers, device_id=self._address.unit)
        except ModbusException as fault:
            raise self._lost(fault) from fault
        self._check(answer)

    def _ready(self) -> AsyncModbusTcpClient:
        if self._client is None or not self._client.connected:
            raise Unreachable(f"{self.place}: not connected")
        return self._client

    def _lost(self, fault: ModbusException) -> Unreachable:
        self.drop()
        return Unreachable(f"{self.place}: no answer ({fault})")

    def _check(self, answer: ModbusPDU) -> None:
        if answer.isError():
            raise ExceptionAnswer(self.place, int(answer.exception_code))
