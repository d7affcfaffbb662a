"""Raw Ethernet for GOOSE (Linux, AF_PACKET).

The kernel keeps everything but GOOSE from the socket. It takes the 802.1Q tag off frames that it
receives and tells it beside them; it is put back here, so that what is read is what was sent.
Numbers that Python does not name stand in Linux's headers if_packet.h, if_ether.h and filter.h.
"""

import array
import errno
import select
import socket
import struct
from collections.abc import Iterable
from types import TracebackType
from typing import Final, Self

from ems.errors import GeemsError
from ems.protocols.goose.frame import ETHERTYPE, TAGGED

_EVERY_PROTOCOL = 0x0003
"""ETH_P_ALL. A socket for one ethertype is handed its frames after their tag is forgotten."""
_SOL_PACKET: Final = 263
_ADD_MEMBERSHIP: Final = 1
_STATISTICS: Final = 6
_AUXDATA: Final = 8
_MULTICAST, _PROMISCUOUS = 0, 1
_ATTACH_FILTER: Final = 26
_AUX = struct.Struct("IIIHHHH")
"""tpacket_auxdata: status, length, captured, two offsets, tag, ethertype of the tag."""
_BESIDE = socket.CMSG_SPACE(_AUX.size)
_TAG_IS_VALID, _TAG_TYPE_IS_VALID = 0x10, 0x40
_LONGEST = 2048
"""Longest frame read; longer ones cannot be GOOSE and are dropped by the filter."""
_BUFFER_OCTETS = 1 << 20
"""Frames that wait while the process is held back: some thousands."""
CAPABILITY = (
    "raw Ethernet needs the capability CAP_NET_RAW: run as root, give it to the service with "
    "AmbientCapabilities=CAP_NET_RAW in its systemd unit, or to the interpreter with "
    "setcap cap_net_raw+ep"
)


class LinkFault(GeemsError):
    """The interface cannot be used; the message names it and the mend."""


class LinkDown(LinkFault):
    """The interface takes and gives nothing now; it may again, and the link with it."""


def _filter() -> bytes:
    """Classic BPF: frames that came in, with the ethertype of GOOSE, bare or behind a tag."""
    load_half, load_word, load_length = 0x28, 0x20, 0x80
    jump_equal, jump_greater, give = 0x15, 0x25, 0x06
    kind = 0xFFFF_F000 + 4  # SKF_AD_OFF + SKF_AD_PKTTYPE
    outgoing = 4  # what this host sends, which a socket for every protocol sees too
    program = (
        (load_word, 0, 0, kind),
        (jump_equal, 8, 0, outgoing),
        (load_length, 0, 0, 0),
        (jump_greater, 6, 0, _LONGEST),
        (load_half, 0, 0, 12),
        (jump_equal, 3, 0, ETHERTYPE),
        (jump_equal, 0, 3, TAGGED),
        (load_half, 0, 0, 16),
        (jump_equal, 0, 1, ETHERTYPE),
        (give, 0, 0, 0xFFFF),
        (give, 0, 0, 0),
    )
    return b"".join(struct.pack("HBBI", *step) for step in program)


class RawLink:
    """One interface."""

    def __init__(
        self, interface: str, groups: Iterable[bytes] = (), *, promiscuous: bool = False
    ) -> None:
        """Open the interface.

        Args:
            interface: its name, for example `eth0`.
            groups: multicast addresses to receive, six octets each.
            promiscuous: receive whatever passes, for looking on.

        Raises:
            LinkFault: no such interface, or no right to it.
        """
        self.interface = interface
        self._index = 0
        try:
            # Bound to no protocol until the filter is in place, so nothing slips in before.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError:
            raise LinkFault(f"{interface}: {CAPABILITY}") from None
        try:
            self._open(groups, promiscuous)
        except OSError as fault:
            self._socket.close()
            raise self._told(fault) from None

    def _open(self, groups: Iterable[bytes], promiscuous: bool) -> None:
        self._index = socket.if_nametoindex(self.interface)
        program = _filter()
        steps = array.array("B", program)
        self._socket.setsockopt(
            socket.SOL_SOCKET,
            _ATTACH_FILTER,
            struct.pack("HP", len(program) // 8, steps.buffer_info()[0]),
        )
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_OCTETS)
        self._socket.setsockopt(_SOL_PACKET, _AUXDATA, 1)
        self._socket.bind((self.interface, _EVERY_PROTOCOL))
        wanted = [(_MULTICAST, group) for group in set(groups)]
        if promiscuous:
            wanted.append((_PROMISCUOUS, bytes(6)))
        for kind, address in wanted:
            membership = struct.pack("iHH8s", self._index, kind, len(address), address)
            self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, membership)
        self._socket.setblocking(False)

    @property
    def mac(self) -> bytes:
        """The address of the interface, six octets."""
        address: bytes = self._socket.getsockname()[4]
        return address

    def fileno(self) -> int:
        """For `select`: readable when a frame waits."""
        return self._socket.fileno()

    def send(self, octets: bytes) -> None:
        """Send one frame, addresses and all.

        Raises:
            LinkDown: the interface is down.
            LinkFault: it is gone.
        """
        try:
            self._socket.send(octets)
        except OSError as fault:
            raise self._told(fault) from None

    def receive(self, timeout_s: float | None = 0.0) -> bytes | None:
        """The next frame with its tag, or None where none comes in time [s]; None waits for ever.

        Raises:
            LinkDown: the interface is down.
            LinkFault: it is gone.
        """
        if timeout_s != 0.0 and not select.select([self._socket], [], [], timeout_s)[0]:
            return None
        try:
            octets, beside, _, _ = self._socket.recvmsg(_LONGEST, _BESIDE)
        except BlockingIOError:
            return None
        except OSError as fault:
            raise self._told(fault) from None
        for level, kind, told in beside:
            if level == _SOL_PACKET and kind == _AUXDATA and len(told) >= _AUX.size:
                return _with_tag(octets, told)
        return octets

    def overrun(self) -> int:
        """Frames that the kernel dropped since this was last asked: they came too fast."""
        found = self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 8)
        return int(struct.unpack("II", found)[1])

    def close(self) -> None:
        """Close the interface."""
        self._socket.close()

    def _told(self, fault: OSError) -> LinkFault:
        """What went wrong, and the mend."""
        name = self.interface
        if fault.errno in {errno.EPERM, errno.EACCES}:
            return LinkFault(f"{name}: {CAPABILITY}")
        known = {name: index for index, name in socket.if_nameindex()}
        if name not in known:
            return LinkFault(f"{name}: no such interface; there are {', '.join(known)}")
        if known[name] != self._index:
            return LinkFault(f"{name}: the interface was replaced by another of that name")
        if fault.errno == errno.ENETDOWN:
            return LinkDown(f"{name}: the interface is down: ip link set {name} up")
        if fault.errno in {errno.ENOBUFS, errno.EAGAIN}:
            return LinkDown(f"{name}: the interface takes no more frames; it is too slow for them")
        return LinkFault(f"{name}: {fault.strerror or fault}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _with_tag(octets: bytes, told: bytes) -> bytes:
    """The frame with the tag that the kernel took off."""
    status, _, _, _, _, tag, ethertype = _AUX.unpack_from(told)
    if not status & _TAG_IS_VALID:
        return octets
    kind = ethertype if status & _TAG_TYPE_IS_VALID else TAGGED
    return octets[:12] + struct.pack(">HH", kind, tag) + octets[12:]
