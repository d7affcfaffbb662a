"""A GOOSE frame: Ethernet with its tag, the header of the message, the message.

Layout after public sources: the dissector of Wireshark and its ASN.1 module of the message
(goose.asn). The message is `IECGoosePdu`, [APPLICATION 1].
"""

import struct
from dataclasses import dataclass, field

from ems.protocols.goose.ber import (
    MalformedFrame,
    head,
    integer_octets,
    read_boolean,
    read_sequence,
    read_text,
    read_time,
    read_unsigned,
    sequence_octets,
    time_octets,
    tlv,
)
from ems.protocols.goose.utc_time import UtcTime
from ems.protocols.goose.values import Data

ETHERTYPE = 0x88B8
TAGGED = 0x8100
"""Ethertype of a tag, IEEE 802.1Q."""
GOOSE_PDU = 0x61
SIMULATED = 0x8000
"""First bit of the first reserved field, edition 2."""
HEADER = struct.Struct(">HHHH")
"""APPID, length from here to the end of the message, two reserved fields."""
LONGEST = 1500
"""What Ethernet carries after the ethertype."""
SHORTEST_FRAME = 60
"""What is shorter is padded with zeros on the wire; 64 with the check sequence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GooseMessage:
    """What a control block says at one time."""

    gocb_ref: str
    """Reference of the control block."""
    time_allowed_to_live_ms: int
    """How long a subscriber may hold the values for true [ms]."""
    dat_set: str
    """Reference of the data set."""
    go_id: str | None = None
    """Name of the message; the standard lets it be absent."""
    t: UtcTime
    """When the state number last changed."""
    st_num: int
    """Counts the changes of the values."""
    sq_num: int
    """Counts the repetitions of one state, 0 for its first frame."""
    simulation: bool = False
    """The message is of a simulator (edition 1: of a test)."""
    conf_rev: int
    """Revision of the data set."""
    nds_com: bool = False
    """The control block is not completely configured."""
    all_data: tuple[Data, ...]
    """The values, in the order of the data set."""
    octets: bytes = field(default=b"", compare=False, repr=False)
    """The values as they were read, to be passed on as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame, without preamble and check sequence."""

    dst: bytes
    """Destination address, six octets."""
    src: bytes
    """Source address, six octets."""
    vlan_id: int | None = None
    """VLAN of the tag; None without a tag."""
    vlan_priority: int = 0
    """Priority of the tag; 0 without one."""
    appid: int
    """Application identifier."""
    simulation: bool = False
    """The mark in the header that the frame is of a simulator."""
    message: GooseMessage

    @property
    def simulated(self) -> bool:
        """Whether header or message say so."""
        return self.simulation or self.message.simulation


def encode(frame: Frame) -> bytes:
    """The octets of a frame.

    Raises:
        ValueError: the message is longer than an Ethernet frame can carry.
    """
    values = frame.message.all_data
    return assemble(frame, len(values), sequence_octets(values))


def assemble(frame: Frame, count: int, all_data: bytes) -> bytes:
    """The octets of a frame around values that are octets already; its own are not looked at."""
    pdu = tlv(GOOSE_PDU, _message_octets(frame.message, count, all_data))
    length = HEADER.size + len(pdu)
    if length > LONGEST:
        raise ValueError(
            f"{frame.message.gocb_ref}: a message of {length} octets; Ethernet carries {LONGEST}:"
            " divide the data set"
        )
    tag = b""
    if frame.vlan_id is not None:
        tag = struct.pack(">HH", TAGGED, frame.vlan_priority << 13 | frame.vlan_id)
    header = HEADER.pack(frame.appid, length, SIMULATED if frame.simulation else 0, 0)
    return frame.dst + frame.src + tag + ETHERTYPE.to_bytes(2) + header + pdu


def _message_octets(m: GooseMessage, count: int, all_data: bytes) -> bytes:
    return b"".join(
        (
            tlv(0x80, m.gocb_ref.encode("ascii")),
            tlv(0x81, integer_octets(m.time_allowed_to_live_ms)),
            tlv(0x82, m.dat_set.encode("ascii")),
            b"" if m.go_id is None else tlv(0x83, m.go_id.encode("ascii")),
            b"\x84\x08" + time_octets(m.t),
            tlv(0x85, integer_octets(m.st_num)),
            tlv(0x86, integer_octets(m.sq_num)),
            b"\x87\x01\x01" if m.simulation else b"\x87\x01\x00",
            tlv(0x88, integer_octets(m.conf_rev)),
            b"\x89\x01\x01" if m.nds_com else b"\x89\x01\x00",
            tlv(0x8A, integer_octets(count)),
            tlv(0xAB, all_data),
        )
    )


def decode(octets: bytes) -> Frame:
    """Read a frame that is GOOSE from its first octet to its last.

    Raises:
        MalformedFrame: anything about it is not as it must be.
    """
    if len(octets) < 14:
        raise MalformedFrame(len(octets), "ends within the addresses and the ethertype")
    at, vlan_id, priority = 12, None, 0
    ethertype = octets[12] << 8 | octets[13]
    if ethertype == TAGGED:
        if len(octets) < 18:
            raise MalformedFrame(len(octets), "ends within the tag")
        tag = octets[14] << 8 | octets[15]
        vlan_id, priority = tag & 0xFFF, tag >> 13
        at = 16
        ethertype = octets[16] << 8 | octets[17]
    if ethertype != ETHERTYPE:
        raise MalformedFrame(at, "the ethertype is not that of GOOSE")
    at += 2
    appid, simulation, end = _header(octets, at)
    message = _message(octets, at + HEADER.size, end)
    if simulation and not message.simulation:
        raise MalformedFrame(at + 4, "the header says simulation, the message does not")
    return Frame(
        dst=octets[0:6],
        src=octets[6:12],
        vlan_id=vlan_id,
        vlan_priority=priority,
        appid=appid,
        simulation=simulation,
        message=message,
    )


def _header(octets: bytes, at: int) -> tuple[int, bool, int]:
    """APPID, whether simulated, and where the message ends."""
    if len(octets) - at < HEADER.size:
        raise MalformedFrame(len(octets), "ends within the header of the message")
    appid, length, reserved, security = HEADER.unpack_from(octets, at)
    end = at + length
    if length < HEADER.size or end > len(octets):
        raise MalformedFrame(at + 2, "the length is not that of the frame")
    if end < len(octets):
        shortest = SHORTEST_FRAME + at - 14  # a tag comes on top, whoever put it on
        if len(octets) > shortest or any(octets[end:]):
            raise MalformedFrame(end, "octets after the message that are no padding")
    if reserved & ~SIMULATED or security:
        raise MalformedFrame(at + 4, "reserved bits are set: a security extension is not read")
    return appid, reserved == SIMULATED, end


_REQUIRED = {
    0x80: "gocbRef",
    0x81: "timeAllowedtoLive",
    0x82: "datSet",
    0x84: "t",
    0x85: "stNum",
    0x86: "sqNum",
    0x88: "confRev",
    0x8A: "numDatSetEntries",
    0xAB: "allData",
}
_OPTIONAL = {0x83: "goID", 0x87: "simulation", 0x89: "ndsCom"}
_NAMES = _REQUIRED | _OPTIONAL
"""Fields of the message by tag. Their order is that of the tags, so each stands once."""


def _fields(octets: bytes, at: int, end: int) -> dict[int, tuple[int, int]]:
    """Start and end of each field's content, by tag."""
    fields: dict[int, tuple[int, int]] = {}
    before = 0
    while at < end:
        tag, start, stop = head(octets, at, end)
        if tag not in _NAMES:
            raise MalformedFrame(at, "no field of the message has this tag")
        if tag <= before:
            raise MalformedFrame(at, f"{_NAMES[tag]} stands twice or out of order")
        fields[tag] = start, stop
        before, at = tag, stop
    if len(fields) < len(_NAMES):
        for tag, name in _REQUIRED.items():
            if tag not in fields:
                raise MalformedFrame(end, f"{name} is missing")
    return fields


def field_places(octets: bytes) -> dict[int, tuple[int, int]]:
    """Start and end of each field's content, by tag, in a frame that `decode` has read."""
    at = 18 if octets[12] << 8 | octets[13] == TAGGED else 14
    _, start, stop = head(octets, at + HEADER.size, len(octets))
    return _fields(octets, start, stop)


def _message(octets: bytes, at: int, end: int) -> GooseMessage:
    tag, start, stop = head(octets, at, end)
    if tag != GOOSE_PDU:
        raise MalformedFrame(at, "this is no GOOSE message")
    if stop != end:
        raise MalformedFrame(stop, "octets after the message, within the length")
    fields = _fields(octets, start, stop)
    all_data = read_sequence(octets, *fields[0xAB])
    if read_unsigned(octets, *fields[0x8A]) != len(all_data):
        raise MalformedFrame(fields[0x8A][0], "numDatSetEntries is not the number of values")
    return GooseMessage(
        gocb_ref=read_text(octets, *fields[0x80]),
        time_allowed_to_live_ms=read_unsigned(octets, *fields[0x81]),
        dat_set=read_text(octets, *fields[0x82]),
        go_id=read_text(octets, *fields[0x83]) if 0x83 in fields else None,
        t=read_time(octets, *fields[0x84]),
        st_num=read_unsigned(octets, *fields[0x85]),
        sq_num=read_unsigned(octets, *fields[0x86]),
        simulation=0x87 in fields and read_boolean(octets, *fields[0x87]),
        conf_rev=read_unsigned(octets, *fields[0x88]),
        nds_com=0x89 in fields and read_boolean(octets, *fields[0x89]),
        all_data=all_data,
        octets=octets[slice(*fields[0xAB])],
    )
