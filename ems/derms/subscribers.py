"""The way to subscribers: which hosts are spoken to, and who has to answer there.

A device names the URI to which notifications go, so it could have the server speak to whatever the
server reaches. Hosts that only the server's machine or its link can mean are refused, by name and
once more by address; and who answers must show the certificate of who subscribed.
"""

import asyncio
import socket
import ssl
from contextvars import ContextVar
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from ems.derms.settings import ServerSettings
from ems.derms.tls import CIPHERS
from ems.errors import GeemsError
from ems.protocols.ieee2030_5 import codec, identity
from ems.settings.hosts import is_loopback

_TIMEOUT_S = 10.0
_expected: ContextVar[frozenset[str]] = ContextVar("_expected", default=frozenset())
"""LFDIs of whom the handshake under way may lead to."""


class Unreached(GeemsError):
    """A subscriber could not be told."""


def uri_fault(uri: str, settings: ServerSettings) -> str:
    """Why notifications are not sent to a URI; empty: they may be."""
    schemes = {"https"} if settings.trusted_proxy_header is None else {"https", "http"}
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
        httpx2.URL(uri)
    except (ValueError, httpx2.InvalidURL) as error:
        return f"{uri} is no URI: {error}"
    if parts.scheme not in schemes or not host:
        return f"{uri} is no https URI"
    if "@" in parts.netloc:
        return "names a user; who is told shows a certificate"
    if port == 0:
        return "port 0 is none"
    if settings.notification_hosts is not None:
        known = {name.lower() for name in settings.notification_hosts}
        return "" if host in known else f"{host} is not allowed here"
    address = "127.0.0.1" if is_loopback(host.removesuffix(".")) else host
    return "" if _may(address, settings) else f"{host} is not allowed here"


def _may(host: str, settings: ServerSettings) -> bool:
    """Whether an address is spoken to where no hosts are named; of a name nothing is known yet."""
    try:
        address = ip_address(host)
    except ValueError:
        return True
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback:
        return is_loopback(settings.host)
    return not (address.is_link_local or address.is_unspecified or address.is_multicast)


class Subscribers:
    """Posts to subscribers."""

    def __init__(self, settings: ServerSettings) -> None:
        """Prepare; nothing is opened.

        Args:
            settings: whose certificate the server shows to subscribers, and whom it tells.
        """
        self._settings = settings
        self._client: httpx2.AsyncClient | None = None

    async def post(self, uri: str, body: bytes, lfdis: frozenset[str]) -> int:
        """Send a notification; returns the status of the answer.

        Args:
            uri: where to.
            body: the document.
            lfdis: who may answer there.

        Raises:
            Unreached: nobody answered, somebody else, or it is nowhere notifications go.
        """
        if fault := uri_fault(uri, self._settings):
            raise Unreached(fault)
        _expected.set(lfdis)
        try:
            return await self._posted(httpx2.URL(uri), body)
        # UnicodeError of a name that cannot be looked up is a ValueError.
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise Unreached(str(error) or type(error).__name__) from error

    async def aclose(self) -> None:
        """End."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _posted(self, url: httpx2.URL, body: bytes) -> int:
        """To the first address that is listened on: a name may mean others when asked again."""
        fault: Exception = Unreached(f"{url.host} has no address that is allowed here")
        for address in await self._addresses(url):
            try:
                answer = await self._http().post(
                    url.copy_with(host=address),
                    content=body,
                    headers={"content-type": codec.MEDIA, "host": url.netloc.decode("ascii")},
                    extensions={"sni_hostname": url.raw_host.decode("ascii")},
                )
            except httpx2.ConnectError as error:
                fault = error
            else:
                return answer.status_code
        raise fault

    async def _addresses(self, url: httpx2.URL) -> list[str]:
        loop = asyncio.get_running_loop()
        port = url.port or (443 if url.scheme == "https" else 80)
        found = await loop.getaddrinfo(url.raw_host.decode("ascii"), port, type=socket.SOCK_STREAM)
        addresses = dict.fromkeys(str(address[0]) for *_, address in found)
        named = self._settings.notification_hosts is not None
        return [each for each in addresses if named or _may(each, self._settings)]

    def _http(self) -> httpx2.AsyncClient:
        if self._client is None:
            self._client = httpx2.AsyncClient(
                verify=_context(self._settings),
                timeout=_TIMEOUT_S,
                trust_env=False,
                # A connection that is kept was proven to lead to one subscriber, not to the next.
                limits=httpx2.Limits(max_keepalive_connections=0),
            )
        return self._client


def _context(settings: ServerSettings) -> ssl.SSLContext:
    """TLS as a client: the server shows its own certificate, and checks the subscriber's."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers(CIPHERS[settings.cipher])
    # As towards devices: it may be one manufacturer's authority, and not the root above it.
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if settings.ca_file == Path():  # behind a proxy that ends TLS
        made.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        made.load_verify_locations(settings.ca_file)
    if settings.cert_file != Path():
        made.load_cert_chain(settings.cert_file, settings.key_file)
    # Certificates of devices name hardware, not hosts: who it is is told by the LFDI.
    made.check_hostname = False
    if settings.notification_check:
        made.sslobject_class = _checking(settings)
    return made


def _checking(settings: ServerSettings) -> type[ssl.SSLObject]:
    class Checking(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            lfdi = identity.lfdi_of(self.getpeercert(binary_form=True) or b"")
            if settings.aliases.get(lfdi, lfdi) not in _expected.get():
                raise ssl.SSLError(f"the certificate there, {lfdi}, is not the subscriber's")

    return Checking
