"""Modbus on the wire: requests, and which octets are an answer to them.

Strict, because a value that belongs to another question moves real power: an answer must carry
the transaction, the unit, the function and the length that were asked for.
(pymodbus' own client takes an answer of transaction 0 for any, and compares no function.)

MODBUS Application Protocol V1.1b3; MODBUS Messaging on TCP/IP V1.0b; MODBUS over Serial Line
V1.02.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from pymodbus.framer import FramerRTU

READ_HOLDING, READ_INPUT, WRITE = 3, 4, 16
EXCEPTION = 0x80
"""Set in the function of an answer: it is a refusal."""
MBAP = 7
"""Octets of the header in front of a function on TCP."""
LONGEST_PDU = 253
CRC = 2
TLS_ALERT = b"\x15\x03"
"""How a TLS server's complaint about anything else begins: content type, major version.

RFC 8446, 5.1."""
_HEADER = struct.Struct(">HHHB")


class NoAnswer(Exception):
    """These octets are no answer to the request; says why."""


class NotModbus(NoAnswer):
    """Whoever answers speaks another protocol, to every unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of one unit."""

    unit: int
    function: int
    address: int
    count: int
    pdu: bytes

    @property
    def answer_size(self) -> int:
        """Octets of the answer's function and data, when it is no refusal."""
        return 5 if self.function == WRITE else 2 + 2 * self.count


def read(unit: int, function: int, address: int, count: int) -> Request:
    """A request for `count` registers from `address` on."""
    pdu = struct.pack(">BHH", function, address, count)
    return Request(unit=unit, function=function, address=address, count=count, pdu=pdu)


def write(unit: int, address: int, registers: Sequence[int]) -> Request:
    """A request to write holding registers."""
    count = len(registers)
    head = struct.pack(">BHHB", WRITE, address, count, 2 * count)
    pdu = head + struct.pack(f">{count}H", *registers)
    return Request(unit=unit, function=WRITE, address=address, count=count, pdu=pdu)


def refusal(pdu: bytes) -> int | None:
    """Code of a Modbus exception; None where the answer is none."""
    return pdu[1] if pdu[0] & EXCEPTION else None


def registers(pdu: bytes) -> list[int]:
    """Registers of a checked answer to a read."""
    return list(struct.unpack(f">{pdu[1] // 2}H", pdu[2:]))


def check(request: Request, pdu: bytes) -> None:
    """Whether these octets answer the request.

    Raises:
        NoAnswer: another function, length or address.
    """
    function = pdu[0] if pdu else 0
    if function == request.function | EXCEPTION:
        if len(pdu) != 2:
            raise NoAnswer(f"a Modbus exception of {len(pdu)} octets")
        return
    if function != request.function:
        raise NoAnswer(f"function {function} for a request of function {request.function}")
    if len(pdu) != request.answer_size:
        raise NoAnswer(f"{len(pdu)} octets where {request.answer_size} were due")
    if request.function == WRITE:
        if pdu[1:5] != request.pdu[1:5]:
            raise NoAnswer("a write of other registers was acknowledged")
    elif pdu[1] != 2 * request.count:
        raise NoAnswer(f"asked {request.count} registers, got {pdu[1] / 2:g}")


def to_tcp(request: Request, transaction: int) -> bytes:
    """The frame on TCP and TLS."""
    return _HEADER.pack(transaction, 0, len(request.pdu) + 1, request.unit) + request.pdu


def from_tcp(request: Request, transaction: int, octets: bytes) -> tuple[int, bytes | None]:
    """Look for the answer at the beginning of what has arrived.

    Returns:
        Octets that are used up, and the answer where it is there.

    Raises:
        NoAnswer: this is no Modbus, or it answers as another unit or another question.
    """
    used = 0
    while len(octets) - used >= MBAP:
        its, protocol, length, unit = _HEADER.unpack_from(octets, used)
        if protocol != 0 or not 2 <= length <= LONGEST_PDU + 1:
            hint = "; does it speak TLS?" if octets[used : used + 2] == TLS_ALERT else ""
            raise NotModbus(f"what answers does not speak Modbus TCP{hint}")
        end = used + MBAP - 1 + length
        if len(octets) < end:
            break
        pdu = octets[used + MBAP : end]
        used = end
        if its != transaction:
            continue  # of a question that was given up
        if unit != request.unit:
            raise NoAnswer(f"asked unit {request.unit}, unit {unit} answered")
        check(request, pdu)
        return used, pdu
    return used, None


def to_rtu(request: Request) -> bytes:
    """The frame on a serial line."""
    frame = bytes([request.unit]) + request.pdu
    return frame + FramerRTU.compute_CRC(frame).to_bytes(CRC, "big")


def from_rtu(request: Request, octets: bytes) -> bytes | None:
    """Look for the answer anywhere in what has arrived: noise, echoes and late frames go before.

    A serial line knows no transactions: unit, function, length and checksum must all fit.
    """
    for start in range(len(octets) - 1):
        if octets[start] != request.unit:
            continue
        size = 2 if octets[start + 1] & EXCEPTION else request.answer_size
        end = start + 1 + size
        if len(octets) < end + CRC:
            continue
        frame = octets[start:end]
        if FramerRTU.compute_CRC(frame) != int.from_bytes(octets[end : end + CRC], "big"):
            continue
        try:
            check(request, frame[1:])
        except NoAnswer:
            continue
        return frame[1:]
    return None
