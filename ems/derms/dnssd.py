"""The server announced on the local network, so that devices find it without an address.

DNS-based service discovery (RFC 6763) of `_smartenergy._tcp` over multicast DNS (RFC 6762), as IEEE
2030.5-2018, section 7, asks. The library is an extra: most servers stand where devices know them.
"""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

from ems.errors import BadInput

log = logging.getLogger(__name__)

SERVICE = "_smartenergy._tcp.local."
LEVEL = "+S1"
"""Schema level of IEEE 2030.5-2018."""
DCAP = "/dcap"
_LONGEST_LABEL = 63
"""Octets of a label of a domain name, RFC 1035."""


@contextmanager
def announced(host: str, port: int, lfdi: str) -> Iterator[None]:
    """Announce a server while the context lasts.

    Args:
        host: address it is served on; 0.0.0.0: on all of the machine.
        port: of HTTPS.
        lfdi: of the server's certificate; makes the name of the instance.

    Raises:
        BadInput: the extra is not installed, or the network has no multicast.
    """
    try:
        from zeroconf import InterfaceChoice, ServiceInfo, Zeroconf  # noqa: PLC0415  an extra
    except ImportError:
        raise BadInput.at(
            "ieee2030_5.dns_sd",
            "needs the package zeroconf: `pip install 'geems[dnssd]'`, or leave dns_sd out",
        ) from None
    everywhere = ip_address(host).is_unspecified
    interfaces = InterfaceChoice.All if everywhere else [host]
    name = f"geems-{lfdi[:10].lower()}"[:_LONGEST_LABEL]
    info = ServiceInfo(
        SERVICE,
        f"{name}.{SERVICE}",
        port=port,
        properties={"txtvers": "1", "dcap": DCAP, "https": str(port), "level": LEVEL},
        server=f"{name}.local.",
        parsed_addresses=_own_addresses() if everywhere else [host],
    )
    try:
        speaking = Zeroconf(interfaces=interfaces)
    except OSError as fault:
        raise BadInput.at(
            "ieee2030_5.dns_sd", f"no multicast DNS on {host}: {fault.strerror}; leave dns_sd out"
        ) from None
    try:
        speaking.register_service(info, allow_name_change=True)
        log.info("announced as %s", info.name)
        yield
    finally:
        speaking.unregister_all_services()
        speaking.close()


def _own_addresses() -> list[str]:
    """Where this machine is reached by others; loopback where by nobody."""
    found = socket.getaddrinfo(socket.gethostname(), None, family=socket.AF_INET)
    addresses = sorted({str(entry[4][0]) for entry in found})
    return [a for a in addresses if not ip_address(a).is_loopback] or addresses
