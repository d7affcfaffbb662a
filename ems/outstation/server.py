"""The Modbus TCP server of one device."""

import asyncio
import logging
import socket

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from ems.domain import DeviceAddress
from ems.errors import PortInUse
from ems.outstation.registers import RegisterMap

HOST = "127.0.0.1"
UNIT = 1
READS = frozenset({3})
WRITES = frozenset({6, 16})

# What a client does wrong is answered to the client, not printed.
logging.getLogger("pymodbus").addHandler(logging.NullHandler())


class DeviceServer:
    """Serves one register map. Its methods belong on one event loop."""

    def __init__(self, name: str, registers: RegisterMap, *, host: str = HOST) -> None:
        self.name = name
        self.host = host
        """Address it listens on; loopback where it is not told otherwise."""
        self._registers = registers
        self._server: ModbusTcpServer | None = None
        self.port = 0
        """Port it answers on, kept over a stop; 0 until it is known."""
        self.delay_s = 0.0
        """How long it thinks before each answer [s]."""

    @property
    def address(self) -> DeviceAddress:
        """Where clients find it."""
        return DeviceAddress(host=self.host, port=self.port, unit=UNIT)

    async def start(self) -> None:
        """Listen on `port`, or on a free one.

        Raises:
            PortInUse: the port is taken, or may not be opened.
        """
        self._check_free()
        device = SimDevice(
            id=UNIT,
            simdata=[
                SimData(
                    address=self._registers.start,
                    count=self._registers.size,
                    values=0,
                    datatype=DataType.REGISTERS,
                )
            ],
            action=self._act,
        )
        server = ModbusTcpServer(device, address=(self.host, self.port))
        try:
            await server.serve_forever(background=True)
        except RuntimeError as fault:
            raise self._taken(str(fault)) from fault
        self._server = server
        if self.port == 0:
            self.port = int(server.transport.sockets[0].getsockname()[1])  # type: ignore[attr-defined]  # a listener's transport is an asyncio server

    async def stop(self) -> None:
        """Stop listening and cut all connections. May be called twice."""
        if self._server is not None:
            await self._server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus leaves it so
            self._server = None

    def _check_free(self) -> None:
        """Try the port first: the library only says that listening failed, not why."""
        if self.port == 0:
            return
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
            except (OSError, OverflowError) as fault:
                raise self._taken(str(fault)) from fault

    def _taken(self, why: str) -> PortInUse:
        return PortInUse(
            f"port {self.port} on {self.host}, for the device '{self.name}', cannot be "
            f"opened ({why}); choose another port, or end the program that uses it"
        )

    async def _act(
        self,
        function_code: int,
        start_address: int,
        address: int,
        count: int,
        current_registers: list[int],
        set_values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Answer one request from the register map (pymodbus' action)."""
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if set_values is not None and function_code in WRITES:
            code = self._registers.write(address, [int(v) for v in set_values])
            if code is not None:
                return ExcCodes(code)
            count = len(set_values)
        elif function_code not in READS | WRITES:  # FC6 asks again, for the value it echoes
            return ExcCodes.ILLEGAL_FUNCTION
        image = self._registers.read(address, count)
        if isinstance(image, int):
            return ExcCodes(image)
        first = address - start_address
        current_registers[first : first + count] = image
        return None
