"""One connection, shared by all units behind it: TCP, TLS or a serial line.

One request at a time, and none is ever repeated behind the caller's back. pymodbus carries the
octets; what counts as an answer is decided in `wire`.
"""

import asyncio
import errno
import heapq
import logging
import re
import ssl
import struct
from functools import lru_cache, partial

from pymodbus.framer import FramerRTU
from pymodbus.transport import CommParams, CommType, ModbusProtocol

from ems.domain import DeviceAddress
from ems.domain.address import SerialLine, TlsFiles
from ems.gateways.wire import CRC, MBAP, NoAnswer, Request, from_rtu, from_tcp, to_rtu, to_tcp

BITS_PER_CHARACTER = 11
"""Start, eight data, parity or second stop, stop; MODBUS over Serial Line V1.02, 2.5.1."""
SILENT_CHARACTERS = 3.5
"""Least silence between two frames; ibid., 2.5.1.1."""
LEAST_SILENCE_S = 1.75e-3
"""The same above 19200 baud; ibid. [s]."""
TRANSACTIONS = 0x10000
HEADER = struct.Struct(">HHHB")
"""Transaction, protocol, length, unit; MODBUS Messaging on TCP/IP V1.0b, 3.1.3."""
SPEAKS_TLS = "; does it speak TLS?"
NOT_MODBUS = "not Modbus"
"""Said of noise: no frame, or frames of transactions that nobody began."""
HALF_A_FRAME = "no whole Modbus frame came in time"
NO_SOUND_FRAME = "no Modbus frame with a sound checksum came in time; check baud and parity"
LEAST_FRAME = 4
"""Octets of the shortest frame on a serial line: fewer are a glitch as the line turns around.

MODBUS over Serial Line V1.02, 2.3: unit, function, checksum."""
PLAIN = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset at the other end",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "no route to its network",
    errno.ETIMEDOUT: "timed out",
}
"""Why a connection could not be opened; the event loop only names the address once more."""
BUFFER = 4 * FramerRTU.MAX_SIZE
"""Octets that may wait for the rest of their frame: more is noise."""

# Every failure comes back to the caller; without a handler of its own the library would also
# print it on standard error.
logging.getLogger("pymodbus").addHandler(logging.NullHandler())


class LineFault(Exception):
    """No connection, or it was lost; says why."""


class Line:
    """The connection; `take` gives it to one unit at a time."""

    def __init__(self, address: DeviceAddress) -> None:
        """Open nothing yet.

        Args:
            address: of any unit behind it.
        """
        self._address = address
        self._wire: _Wire | None = None
        self._turns = _Turns()
        self.units = 0
        """How many share it."""
        self._serial = address.serial
        self._quiet_at = 0.0
        self._understood = False
        self.hint = ""
        """What may be the matter while a connection is being opened, for messages."""

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._wire is not None and self._wire.is_active()

    @property
    def noise(self) -> str:
        """What came after the last request and answers no request at all; empty for nothing."""
        return "" if self._wire is None else self._wire.noise

    async def take(self, rank: int) -> None:
        """Have the line alone until `give`; of those that wait, the lowest rank goes first."""
        if self.units > 1:
            await self._turns.take(rank)

    def give(self) -> None:
        """Let the next one have it."""
        if self.units > 1:
            self._turns.give()

    async def connect(self) -> None:
        """Open a new connection; the old one, if any, is dropped.

        Raises:
            LineFault: nobody is there, or it does not prove who it is.
        """
        self.drop()
        self.hint = "" if self._address.tls is None else SPEAKS_TLS
        try:
            parameters = _parameters(self._address)
        except OSError as fault:
            raise LineFault(f"its TLS files cannot be used ({_reason(fault)})") from fault
        wire = _Wire(parameters, rtu=self._serial is not None)
        try:
            if self._address.tls is not None:
                name = self._address.tls.server_name or self._address.host
                # pymodbus has no parameter for a name that is not the host's.
                wire.call_create = partial(wire.call_create, server_hostname=name)  # type: ignore[call-arg]
            wire.transport, _ = await wire.call_create()
        except (OSError, ValueError) as fault:  # pyserial refuses settings by ValueError
            hint = self.hint if _garbled(fault) else ""
            raise LineFault(f"no connection: {_reason(fault)}{hint}") from fault
        except asyncio.CancelledError:
            wire.close()  # it may stand already, and nobody will use it
            raise
        self._wire = wire
        self.hint = ""

    def drop(self) -> None:
        """Close the connection without ceremony."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    async def ask(self, request: Request) -> bytes:
        """Send a request and wait for its answer, as long as the caller waits.

        Raises:
            LineFault: not connected, or the connection is lost meanwhile.
            NoAnswer: what came is no answer to this request; the connection is dropped.
        """
        wire = self._wire
        if wire is None or not wire.is_active():
            raise LineFault("not connected")
        if self._serial is not None:
            await self._silence(self._serial)
        try:
            pdu = await wire.ask(request)
        except NoAnswer:
            self.drop()
            raise
        except ConnectionError as fault:
            hint = "" if wire.answered else self._guess()
            self.drop()
            raise LineFault(f"connection lost{_because(fault)}{hint}") from fault
        else:
            self._understood = True
            return pdu
        finally:
            self._quiet_at = asyncio.get_running_loop().time()

    def _guess(self) -> str:
        """Why somebody takes the connection and hangs up at the first request."""
        if self._address.tls is not None:
            return "; does the device accept cert_file?"
        # One that was understood before hangs up for another reason: the unit is not its own.
        return "" if self._understood or self._serial is not None else SPEAKS_TLS

    async def _silence(self, line: SerialLine) -> None:
        """Frames on a serial line are told apart by the silence between them."""
        pause = max(LEAST_SILENCE_S, SILENT_CHARACTERS * BITS_PER_CHARACTER / line.baud)
        await asyncio.sleep(self._quiet_at + pause - asyncio.get_running_loop().time())


class _Wire(ModbusProtocol):
    """The octets of one connection."""

    def __init__(self, parameters: CommParams, *, rtu: bool) -> None:
        super().__init__(parameters, is_server=False)
        self.max_buffer_size = BUFFER
        self.answered = False
        """Whether anything ever came."""
        self.noise = ""
        """What came after the last request and answers none, not even late; empty for nothing."""
        self._rtu = rtu
        self._asked = 0
        self._request: Request | None = None
        self._answer: asyncio.Future[bytes] | None = None

    async def ask(self, request: Request) -> bytes:
        """Send, and wait for the answer."""
        self._asked += 1
        self._request = request
        self.noise = ""
        self._answer = self.loop.create_future()
        self.send(to_rtu(request) if self._rtu else to_tcp(request, self._transaction))
        try:
            return await self._answer
        finally:
            self._answer = None

    @property
    def _transaction(self) -> int:
        return self._asked % TRANSACTIONS

    def data_received(self, data: bytes) -> None:
        """More than the buffer holds is thrown away by the library, and nobody is told."""
        if len(self.recv_buffer) + len(data) > self.max_buffer_size:
            self.answered = True
            self.noise = NOT_MODBUS
        super().data_received(data)

    def callback_new_connection(self) -> ModbusProtocol:
        """Only listeners are asked this."""
        raise NotImplementedError

    def callback_connected(self) -> None:
        """Nothing to do: `connect` waits for it."""

    def callback_disconnected(self, exc: Exception | None) -> None:
        """Whoever waits for an answer gets none."""
        if self._answer is not None and not self._answer.done():
            fault = ConnectionError(str(exc) if exc else "")
            self._answer.set_exception(fault)

    def callback_data(self, data: bytes, addr: tuple[str, int] | None = None) -> int:  # noqa: ARG002 - the base class's signature
        """Take what has arrived; what nobody asked for is thrown away."""
        self.answered = True
        if self._request is None or self._answer is None or self._answer.done():
            return len(data)
        try:
            if self._rtu:
                pdu = from_rtu(self._request, data)
                used = 0 if pdu is None else len(data)
            else:
                used, pdu = from_tcp(self._request, self._transaction, data)
        except NoAnswer as fault:
            self._answer.set_exception(fault)
            return len(data)
        if pdu is not None:
            self._answer.set_result(pdu)
        elif self.noise != NOT_MODBUS:  # once said, the octets that follow unsay nothing
            self.noise = self._noise_in(data, used)
        return used

    def _noise_in(self, data: bytes, used: int) -> str:
        """What octets are that hold no answer to the request."""
        if self._rtu:
            if len(data) < LEAST_FRAME:
                return ""
            # Our own echo and a late answer have sound checksums. Either way there are no more
            # octets than these: sending throws away what came before.
            frame, crc = data[:-CRC], int.from_bytes(data[-CRC:], "big")
            return "" if FramerRTU.compute_CRC(frame) == crc else NO_SOUND_FRAME
        at = 0
        while at < used:
            its, _, length, _ = HEADER.unpack_from(data, at)
            if (self._asked - its) % TRANSACTIONS >= self._asked:
                return NOT_MODBUS
            at += MBAP - 1 + length
        return HALF_A_FRAME if used < len(data) else ""


class _Turns:
    """Who has the line: one at a time, and units that were silent last time go last."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrived = 0

    async def take(self, rank: int) -> None:
        """Wait for one's turn."""
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[None] = loop.create_future()
        self._arrived += 1
        heapq.heappush(self._waiting, (rank, self._arrived, mine))
        loop.call_soon(self._next)  # not at once: all that ask in the same breath are ranked
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.give()
            raise

    def give(self) -> None:
        """Let the next one have it."""
        self._taken = False
        self._next()

    def _next(self) -> None:
        while self._waiting and not self._taken:
            _, _, waiting = heapq.heappop(self._waiting)
            if not waiting.done():
                self._taken = True
                waiting.set_result(None)


def _parameters(address: DeviceAddress) -> CommParams:
    line = address.serial
    if line is not None:
        return CommParams(
            comm_type=CommType.SERIAL,
            host=line.path,
            baudrate=line.baud,
            bytesize=8,
            parity=line.parity[0].upper(),
            stopbits=line.stop_bits,
            reconnect_delay=0,
        )
    return CommParams(
        comm_type=CommType.TCP if address.tls is None else CommType.TLS,
        host=address.host,
        port=address.port,
        sslctx=None if address.tls is None else client_context(address.tls),
        reconnect_delay=0,  # the library's own reconnecting backs off up to five minutes
    )


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """Both ends prove who they are, TLS 1.2 or newer.

    MODBUS/TCP Security Protocol Specification v21, clauses 6 and 8.

    Raises:
        OSError: a file cannot be read, is no certificate or key, or wants a password.
    """
    paths = (files.ca_file, files.cert_file, files.key_file)
    return _context(files, tuple(path.stat().st_mtime_ns for path in paths))


@lru_cache(maxsize=256)  # a fleet shares its files, and a certificate is renewed while it runs
def _context(files: TlsFiles, _: tuple[int, ...]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=files.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2

    def password() -> str:  # else OpenSSL asks the terminal, time and again, or a service's none
        raise OSError(f"{files.key_file} is encrypted, and nobody can be asked for its password")

    context.load_cert_chain(files.cert_file, files.key_file, password)
    return context


def _reason(fault: Exception) -> str:
    """In plain words where there are some; a host of several addresses fails once for each."""
    numbers = {int(number) for number in re.findall(r"\[Errno (\d+)\]", str(fault))}
    if len(numbers) == 1 and (words := PLAIN.get(numbers.pop())):
        return words
    return getattr(fault, "verify_message", "") or getattr(fault, "strerror", "") or str(fault)


def _garbled(fault: Exception) -> bool:
    """Whether somebody is there and breaks a TLS handshake off, not by a certificate."""
    broken = isinstance(fault, ssl.SSLError | ConnectionResetError | ConnectionAbortedError)
    return broken and not isinstance(fault, ssl.SSLCertVerificationError)


def _because(fault: Exception) -> str:
    return f" ({fault})" if str(fault) else ""
