"""Mutual TLS 1.2, and HTTP connections that know whose they are.

IEEE 2030.5-2018 clause 6.7: TLS 1.2 with ECDHE-ECDSA-AES128-CCM-8 on P-256, both sides with a
certificate. The peer's LFDI follows from the certificate that TLS verified, once per connection.
"""

import logging
import ssl
import sys
from asyncio import sslproto
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from cryptography import x509
from cryptography.x509.oid import ExtensionOID
from httptools import HttpParserInvalidMethodError
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from ems.derms.refused import RefusedLog
from ems.derms.settings import ServerSettings
from ems.protocols.ieee2030_5 import identity

CIPHERS = {
    # OpenSSL counts the 8-octet tag of CCM8 as less than its level 1 asks for.
    "strict": "ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0",
    "compat": "ECDHE-ECDSA-AES128-CCM8:ECDHE-ECDSA-AES128-GCM-SHA256"
    ":ECDHE-ECDSA-AES256-GCM-SHA384:@SECLEVEL=0",
}
_FORBIDDEN = {
    ExtensionOID.NAME_CONSTRAINTS: "name constraints",
    ExtensionOID.POLICY_MAPPINGS: "policy mappings",
}
_DER = 2
"""ENCODING_DER of the module _ssl."""
# asyncio zeroes a buffer of 256 KiB for each TLS connection: 1.3 GB for 5000 devices. What they
# send is small, and a longer body comes in pieces of one TLS record.
sslproto.SSLProtocol.max_size = 16 * 1024
_MOST_HEADER_BYTES = 16 * 1024
_MOST_DISCARDED_BYTES = 64 << 20
"""A body that was refused as too long is still taken off the line, so that the client reads why."""
_FINGERPRINT_DIGITS = 64
_UNKNOWN_METHOD = b"HTTP/1.1 501 Not Implemented\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"connection: close\r\ncontent-length: 0\r\n\r\n"
)


def context(
    cert: Path, key: Path, ca: Path, cipher: Literal["strict", "compat"] = "strict"
) -> ssl.SSLContext:
    """TLS as a server of IEEE 2030.5 speaks it; sessions can be resumed.

    Args:
        cert: the server's certificate and its chain, PEM.
        key: its key, PEM.
        ca: the authorities whose devices may speak, PEM.
        cipher: `strict`, or `compat` for devices that lack CCM-8.

    Raises:
        OSError: a file cannot be read; ssl.SSLError where it is no certificate or key.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers(CIPHERS[cipher])
    made.set_ecdh_curve("prime256v1")
    made.load_cert_chain(cert, key)
    made.load_verify_locations(ca)
    made.verify_mode = ssl.CERT_REQUIRED
    # A utility may trust one manufacturer's authority, and not the root above it.
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    made.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    return made


def own_lfdi(cert: Path) -> str:
    """LFDI of the first certificate in a PEM file."""
    text = cert.read_text(encoding="utf-8")
    begin = text.index("-----BEGIN CERTIFICATE-----")
    end = text.index("-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----")
    return identity.lfdi_of(ssl.PEM_cert_to_DER_cert(text[begin:end]))


def noting(made: ssl.SSLContext, refusals: RefusedLog) -> None:
    """Have the handshakes that fail in this context taken down, with the reason."""

    class Noting(ssl.SSLObject):
        failed: ssl.SSLError | None = None

        def do_handshake(self) -> None:
            if self.failed is not None:
                raise self.failed
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, ssl.SSLSyscallError):
                raise
            except ssl.SSLError as error:
                refusals.note("handshake", _why(error))
                # Where it fails asyncio drops the alert that OpenSSL has written; where it wants
                # more it sends it. Whatever comes then, the end or an octet, finds it failed.
                self.failed = error
                raise ssl.SSLWantReadError from error
            for authority in _authorities(self):
                if forbidden := _forbidden(authority):
                    refusals.note("handshake", forbidden)
                    raise ssl.SSLError(forbidden)

    made.sslobject_class = Noting


def _authorities(secured: ssl.SSLObject) -> list[bytes]:
    """The certificates above the peer's, DER; none where a session was resumed."""
    held: Any = secured
    if sys.version_info >= (3, 13):
        return list(held.get_verified_chain()[1:])
    # The same, before the ssl module made it public.
    chain = held._sslobj.get_verified_chain() or []  # noqa: SLF001
    return [certificate.public_bytes(_DER) for certificate in chain[1:]]


@lru_cache(maxsize=256)
def _forbidden(authority: bytes) -> str:
    """Why an authority is refused that OpenSSL accepts; empty: it is not.

    IEEE 2030.5-2018, 6.11.10: name constraints and policy mappings are not supported, and
    certificates that have them must be rejected, whether critical or not.
    """
    try:
        extensions = x509.load_der_x509_certificate(authority).extensions
    except ValueError as error:
        return f"certificate refused: an authority's extensions cannot be read: {error}"
    found = [name for oid, name in _FORBIDDEN.items() if any(e.oid == oid for e in extensions)]
    return f"certificate refused: an authority has {' and '.join(found)}" if found else ""


def _why(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    return (error.reason or str(error)).replace("_", " ").lower()


class Connections:
    """All open connections: how many, whose, and which are held up."""

    def __init__(self, settings: ServerSettings, refusals: RefusedLog) -> None:
        self.settings = settings
        self.refusals = refusals
        self.open: set[DeviceProtocol] = set()
        self.per_device: Counter[str] = Counter()

    def sweep(self, now_s: float) -> None:
        """Close the connections on which nothing was asked for too long, or that are held up."""
        for connection in tuple(self.open):
            connection.end_if_late(now_s)


class DeviceProtocol(HttpToolsProtocol):
    """One HTTP connection, and whose it is."""

    def __init__(
        self,
        connections: Connections,
        config: Config,
        server_state: ServerState,
        now_s: Callable[[], float],
    ) -> None:
        super().__init__(config, server_state, {})
        # It would write a line per junk request; refusals are taken down here.
        self.logger = _quiet
        self.access_log = False  # a line for each of 200 requests a second would be no record
        self._all = connections
        self._now_s = now_s
        self._lfdi: str | None = None
        self._since_s = now_s()
        self._idle = True
        self._whole = True
        self._unparsed = 0
        self._body_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """See asyncio.Protocol."""
        super().connection_made(transport)
        secured = transport.get_extra_info("ssl_object")
        held = self._all
        if secured is not None:
            lfdi = identity.lfdi_of(secured.getpeercert(binary_form=True) or b"")
            self._lfdi = held.settings.aliases.get(lfdi, lfdi)
            held.per_device[self._lfdi] += 1
        held.open.add(self)
        many = self._lfdi is not None and (
            held.per_device[self._lfdi] > held.settings.most_per_device
        )
        if many or len(held.open) > held.settings.most_connections:
            why = "too many connections of this certificate" if many else "too many connections"
            held.refusals.note("connection", why, who=self._lfdi or str(self.client))
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._all.open.discard(self)
        if self._lfdi is not None:
            self._all.per_device[self._lfdi] -= 1
            if not self._all.per_device[self._lfdi]:
                del self._all.per_device[self._lfdi]
        super().connection_lost(exc)
        # Uvicorn leaves it after a reset: it would hold the connection's memory for minutes.
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._idle:
            self._idle = False
            self._since_s = self._now_s()
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > _MOST_HEADER_BYTES and not self.transport.is_closing():
            self._refuse("the headers are too long")
            self.transport.write(_TOO_LONG)
            self.transport.close()

    def on_message_begin(self) -> None:
        """A request begins: it is this device's."""
        super().on_message_begin()
        self._whole = False
        self._body_bytes = 0
        scope: Any = self.scope
        scope["lfdi"] = self._lfdi

    def on_headers_complete(self) -> None:
        """The request can be handled; its body may still come."""
        self._unparsed = -(1 << 62)
        header = self._all.settings.trusted_proxy_header
        if header is not None:
            scope: Any = self.scope
            told = told_by_proxy(self.headers, header)
            scope["lfdi"] = told and self._all.settings.aliases.get(told, told)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._body_bytes += len(body)
        if self._body_bytes > self._all.settings.max_body_bytes + _MOST_DISCARDED_BYTES:
            self._refuse("a body without end")
            self.transport.abort()
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is all there."""
        self._unparsed = 0
        self._whole = True
        super().on_message_complete()
        self._rest()

    def on_response_complete(self) -> None:
        """The answer is on its way."""
        super().on_response_complete()
        self._rest()

    def _rest(self) -> None:
        """Nothing is to be done until the peer asks again."""
        if self._whole and self.cycle.response_complete and not self.pipeline:
            self._idle = True
            self._since_s = self._now_s()

    def send_400_response(self, msg: str) -> None:
        """No HTTP, or a method that HTTP does not know."""
        if isinstance(sys.exc_info()[1], HttpParserInvalidMethodError):
            self._refuse("the method is unknown")
            self.transport.write(_UNKNOWN_METHOD)
            self.transport.close()
            return
        self._refuse(msg)
        super().send_400_response(msg)

    def end_if_late(self, now_s: float) -> None:
        """Close it if the peer keeps it waiting for too long."""
        settings = self._all.settings
        waited_s = now_s - self._since_s
        if self._idle:
            if waited_s > settings.idle_s:
                self.transport.close()
        elif waited_s > settings.request_s:
            self._refuse("the request, or the taking of its answer, was too slow")
            self.transport.abort()

    def _refuse(self, why: str) -> None:
        self._all.refusals.note("http", why, who=self._lfdi or str(self.client))


_quiet = logging.getLogger("ems.derms.uvicorn")
_quiet.setLevel(logging.CRITICAL)


def told_by_proxy(headers: list[tuple[bytes, bytes]], header: str) -> str | None:
    """The LFDI a proxy names: as LFDI, as SHA-256 fingerprint, or as the certificate in PEM."""
    wanted = header.lower().encode()
    values = [value for name, value in headers if name == wanted]
    if len(values) != 1:
        return None
    text = unquote(values[0].decode("latin-1")).strip()
    if "BEGIN CERTIFICATE" in text:
        try:
            return identity.lfdi_of(ssl.PEM_cert_to_DER_cert(text))
        except ValueError:
            return None
    digits = text.replace(":", "").upper()
    is_hex = bool(digits) and not digits.strip("0123456789ABCDEF")
    if is_hex and len(digits) in {identity.LFDI_DIGITS, _FINGERPRINT_DIGITS}:
        return digits[: identity.LFDI_DIGITS]
    return None
