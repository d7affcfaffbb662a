"""Requests to one server over mutual TLS, on a connection that stays open."""

import asyncio
import logging
import ssl
from pathlib import Path
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import httpx2

from ems.errors import BadInput, GeemsError
from ems.protocols.ieee2030_5 import codec, identity, sep

# Every single request is more than an operator wants to read.
logging.getLogger("httpx2").setLevel(logging.WARNING)

ALLOWED_CIPHERS = "ECDHE-ECDSA-AES128-CCM8:ECDHE-ECDSA-AES128-GCM-SHA256:@SECLEVEL=0"
"""The cipher that the standard asks for, and the one of servers that cannot do it; the level is
lowered because OpenSSL counts an 8-byte tag among the weak ones. IEEE Std 2030.5-2018, 6.7."""
PATIENCE_S = 30.0
"""A server under load may take its time, but for one whole answer no longer than that [s]."""
MOST_REDIRECTS = 3
LATER = frozenset({408, 429})
"""Answers that blame the moment, not the request: request timeout, too many requests."""
LARGEST_BODY = codec.MOST_BYTES
"""Of an answer: what can be read at all [bytes]."""

R = TypeVar("R", bound=sep.Resource)


class Lost(GeemsError):
    """The server did not answer, or only that it cannot now. Worth another try later."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status
        """HTTP status; 0: there was no answer."""


class Refused(GeemsError):
    """The server answered, and the answer is no, or makes no sense."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status
        """HTTP status; 0: the answer itself was unusable."""


def tls(certificate: Path, key: Path, authorities: Path, *, check_name: bool) -> ssl.SSLContext:
    """What this client shows and trusts.

    Args:
        certificate: its own, with the chain below the root.
        key: of the certificate.
        authorities: roots that servers are trusted by.
        check_name: whether the server's certificate must name the address.

    Raises:
        BadInput: a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ALLOWED_CIPHERS)
    context.check_hostname = check_name
    try:
        context.load_verify_locations(authorities)
    except (OSError, ssl.SSLError) as error:
        raise BadInput.at(str(authorities), f"cannot be used: {error}") from error
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise BadInput.at(str(certificate), f"cannot be used with {key}: {error}") from error
    return context


def lfdi_of_file(certificate: Path) -> str:
    """LFDI of the first certificate of a PEM file.

    Raises:
        BadInput: there is none.
    """
    end = "-----END CERTIFICATE-----"
    try:
        text = certificate.read_text(encoding="ascii")
        first = text[text.index("-----BEGIN CERTIFICATE-----") : text.index(end) + len(end)]
        return identity.lfdi_of(ssl.PEM_cert_to_DER_cert(first))
    except (OSError, ValueError) as error:
        raise BadInput.at(str(certificate), f"holds no certificate: {error}") from error


class Session:
    """One connection to a server. Requests go one after another, as small devices send them."""

    def __init__(
        self, server: str, context: ssl.SSLContext | None, *, server_lfdi: str | None = None
    ) -> None:
        """No connection yet.

        Args:
            server: URL of the server, of its DeviceCapability if that is not at /dcap.
            context: what to show and trust; None for plain HTTP.
            server_lfdi: if given, the only server this client talks to.
        """
        path = urlsplit(server).path.strip("/")
        self.start = server if path else urljoin(server, "/dcap")
        """Where discovery begins."""
        self._server_lfdi = server_lfdi
        self._one_at_a_time = asyncio.Lock()
        self._http = httpx2.AsyncClient(
            verify=context if context is not None else False,
            timeout=PATIENCE_S,
            trust_env=False,  # a grid device talks to its server, not to a proxy of its user
            # The connection is kept; a server that closes it meanwhile costs one try.
            limits=httpx2.Limits(
                max_connections=1, max_keepalive_connections=1, keepalive_expiry=None
            ),
            headers={"accept": codec.MEDIA},
        )

    async def get(self, href: str, kind: type[R], **query: int) -> R:
        """Read a resource.

        Raises:
            Lost: no answer now.
            Refused: no such resource, not ours to see, or no such kind.
        """
        answer = await self._send("GET", href, query=query)
        try:
            # One member that is nonsense must not hide the others.
            return codec.decode(answer.content, kind, lenient=True)
        except codec.Misread as error:
            raise Refused(f"{href}: {error}") from error

    async def put(self, href: str, resource: sep.Resource) -> None:
        """Write a resource; raises as `get`."""
        await self._send("PUT", href, resource)

    async def post(self, href: str, resource: sep.Resource) -> str:
        """Create a resource, and return where it is; raises as `get`."""
        answer = await self._send("POST", href, resource)
        return str(answer.headers.get("location", ""))

    async def delete(self, href: str) -> None:
        """Remove a resource; raises as `get`."""
        await self._send("DELETE", href)

    async def close(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    # ---------------------------------------------------------------------------------

    async def _send(
        self,
        method: str,
        href: str,
        resource: sep.Resource | None = None,
        query: dict[str, int] | None = None,
    ) -> httpx2.Response:
        url = _joined(self.start, href)
        body = None if resource is None else codec.encode(resource)
        headers = {} if body is None else {"content-type": codec.MEDIA}
        for _ in range(MOST_REDIRECTS + 1):
            answer = await self._ask(method, url, body, headers, query)
            if answer.status_code not in {301, 302, 307, 308}:
                break
            url = self._moved(url, answer)
            query = None  # the new address says all
        if answer.status_code >= 500 or answer.status_code in LATER:
            raise Lost(f"{method} {href}: {answer.status_code}", answer.status_code)
        if not 200 <= answer.status_code < 300:
            raise Refused(f"{method} {href}: {answer.status_code}", answer.status_code)
        return answer

    async def _ask(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: dict[str, str],
        query: dict[str, int] | None,
    ) -> httpx2.Response:
        async with self._one_at_a_time:
            try:
                # One byte every second is no answer either: the time is that of all of it.
                async with (
                    asyncio.timeout(PATIENCE_S),
                    self._http.stream(
                        method, url, content=body, headers=headers, params=query or None
                    ) as answer,
                ):
                    self._check_server(answer)
                    await _read(answer)
                    return answer
            except TimeoutError as error:
                raise Lost(f"{method} {url}: no whole answer in {PATIENCE_S:g} s") from error
            except (httpx2.RequestError, OSError) as error:  # also a body that is not as coded
                raise Lost(f"{method} {url}: {error or type(error).__name__}") from error
            except (httpx2.InvalidURL, ValueError) as error:
                raise Refused(f"{method} {url}: {error}") from error

    def _moved(self, url: str, answer: httpx2.Response) -> str:
        there = _joined(url, answer.headers.get("location", ""))
        if urlsplit(url).scheme == "https" and urlsplit(there).scheme != "https":
            raise Refused(f"{url} is moved to {there}, which is not encrypted")
        return there

    def _check_server(self, answer: httpx2.Response) -> None:
        if self._server_lfdi is None:
            return
        stream = answer.extensions.get("network_stream")
        secured = None if stream is None else stream.get_extra_info("ssl_object")
        shown = None if secured is None else secured.getpeercert(binary_form=True)
        if shown is None or identity.lfdi_of(shown) != self._server_lfdi:
            raise Refused("the server shows another certificate than the one that is expected")


def _joined(base: str, href: str) -> str:
    """An address that the server gave, in full."""
    try:
        there = urljoin(base, href)
        urlsplit(there)
    except ValueError as error:
        raise Refused(f"{href!r} is no address: {error}") from error
    return there


async def _read(answer: httpx2.Response) -> None:
    """Read the whole body, unless it is larger than any answer may be."""
    body = bytearray()
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > LARGEST_BODY:
            raise Refused(f"{answer.url}: the answer is larger than {LARGEST_BODY} bytes")
    answer._content = bytes(body)  # noqa: SLF001
