"""Hosts: what may be written as one, and which of them can only be this machine."""

import re
from ipaddress import ip_address

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)*(?!\d+$){_LABEL}", re.IGNORECASE)
"""A last label that is a number is refused: it is a slip in an address."""
_LONGEST = 253


def host(text: str) -> str:
    """A name that a resolver may be asked for, or an address, as written.

    RFC 1123, section 2.1, and underscores, which some networks use.

    Raises:
        ValueError: It is neither.
    """
    try:
        ip_address(text)
    except ValueError:
        try:
            name = text.encode("idna").decode("ascii").removesuffix(".")
        except UnicodeError:
            name = ""
        if not _NAME.fullmatch(name) or len(name) > _LONGEST:
            raise ValueError(
                f'"{text}" is no host name or address; write for example "10.0.0.5", "::1" or '
                '"inverter-1.lan", without http:// and without a port'
            ) from None
    return text


def is_loopback(host: str) -> bool:
    """True when a host can only be this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
