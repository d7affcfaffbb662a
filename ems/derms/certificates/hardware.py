"""The name a device's certificate carries: HardwareModuleName (RFC 4108, section 5).

In DER (ITU-T X.690): a sequence of hwType, an object identifier, and hwSerialNum, an octet string;
each element a tag, a length, the content. The library's own module for this is not yet stable.
"""

from cryptography.x509 import ObjectIdentifier

HARDWARE_MODULE_NAME = ObjectIdentifier("1.3.6.1.5.5.7.8.4")
"""id-on-hardwareModuleName (RFC 4108), named by IEEE 2030.5-2018, 6.11.7.4."""

ENTERPRISES = (1, 3, 6, 1, 4, 1)
"""Arc of the private enterprise numbers (RFC 1155)."""

_SEQUENCE, _OBJECT_IDENTIFIER, _OCTET_STRING = 0x30, 0x06, 0x04
_LONG = 0x80
"""Lengths from here on say first how many octets they have."""


def hardware_module_name(pen: int, serial: str) -> bytes:
    """The name of a device of the maker with this private enterprise number, in DER."""
    kind = _element(_OBJECT_IDENTIFIER, _arcs((*ENTERPRISES, pen, 1)))
    return _element(_SEQUENCE, kind + _element(_OCTET_STRING, serial.encode()))


def serial_number(name: bytes) -> str:
    """What stands as hwSerialNum in a HardwareModuleName; empty where it is none."""
    try:
        parts, _ = _content(_SEQUENCE, name)
        _, rest = _content(_OBJECT_IDENTIFIER, parts)
        serial, _ = _content(_OCTET_STRING, rest)
    except (IndexError, ValueError):
        return ""
    text = serial.decode("ascii", "replace")
    return text if text.isascii() and text.isprintable() else serial.hex()


def _element(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < _LONG:
        return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([tag, _LONG | len(octets)]) + octets + content


def _content(tag: int, der: bytes) -> tuple[bytes, bytes]:
    """Content of the first element, and what follows it."""
    if der[0] != tag:
        raise ValueError(der[0])
    length, begin = der[1], 2
    if length >= _LONG:
        begin += length - _LONG
        length = int.from_bytes(der[2:begin])
    if begin + length > len(der):
        raise ValueError(length)
    return der[begin : begin + length], der[begin + length :]


def _arcs(arcs: tuple[int, ...]) -> bytes:
    # X.690, 8.19: the first two arcs share an octet; the others are base 128, high bit: more.
    octets = bytes([arcs[0] * 40 + arcs[1]])
    for arc in arcs[2:]:
        digits = [arc & 0x7F]
        while arc := arc >> 7:
            digits.append(0x80 | arc & 0x7F)
        octets += bytes(reversed(digits))
    return octets
