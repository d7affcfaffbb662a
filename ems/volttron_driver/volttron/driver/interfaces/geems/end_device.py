"""Points of an end device of the IEEE 2030.5 server: `2030.5/b120_WRtg`.

The server is asked through its administration, by mutual TLS 1.2. It needs nothing but the standard
library.
"""

import json
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

from volttron.driver.base.interfaces import DriverInterfaceError

PREFIX = "2030.5/"
"""What a reference of such a point begins with."""
CIPHERS = "ECDHE-ECDSA-AES128-CCM8:ECDHE-ECDSA-AES128-GCM-SHA256:@SECLEVEL=0"
"""CCM8, as the standard has it: OpenSSL counts its tag of 8 octets below its level 1."""


class EndDevice:
    """One device of the server."""

    def __init__(
        self,
        url: str,
        name: str,
        *,
        ca_file: str,
        cert_file: str,
        key_file: str,
        token_file: str | None,
        timeout_s: float,
    ) -> None:
        if not url.startswith("https://"):
            raise ValueError(f"server_url '{url}': write https:// and the host")
        self._root = f"{url.rstrip('/')}/admin/v1/points/{quote(name, safe='')}"
        self._place = f"end device {name} of {url}"
        self._timeout_s = timeout_s
        self._headers = {"Content-Type": "application/json"}
        try:
            self._context = _context(ca_file, cert_file, key_file)
            if token_file:
                token = Path(token_file).read_text(encoding="utf-8").splitlines()[0].strip()
                self._headers["Authorization"] = f"Bearer {token}"
        except (OSError, IndexError) as fault:
            raise ValueError(f"ca_file, cert_file, key_file, token_file: {fault}") from fault

    def read(self, references: Iterable[str]) -> tuple[dict[str, Any], dict[str, str]]:
        """Read points, all at once: values by reference, and why the others have none."""
        wanted = list(references)
        try:
            told = self._ask("GET", "")
        except DriverInterfaceError as fault:
            return {}, dict.fromkeys(wanted, str(fault))
        names = {reference: reference.removeprefix(PREFIX) for reference in wanted}
        values = {reference: told[name] for reference, name in names.items() if name in told}
        errors = {
            reference: f"{self._place} has told no {name}"
            for reference, name in names.items()
            if name not in told
        }
        return values, errors

    def write(self, reference: str, value: Any) -> Any:
        """Publish a DERControl that holds the point; None takes it out again.

        Returns:
            What is asked of the device then: never more than `value`.

        Raises:
            DriverInterfaceError: refused, or not answered.
        """
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                raise DriverInterfaceError(f"{reference}: {value!r} is not a number") from None
        name = quote(reference.removeprefix(PREFIX), safe="")
        return self._ask("PUT", f"/{name}", {"value": value})["value"]

    def registry(self) -> str:
        """The points of the device, as the registry's CSV."""
        return self._open("GET", "/registry.csv").decode()

    def _ask(self, method: str, path: str, document: Any = None) -> Any:
        try:
            return json.loads(self._open(method, path, document))
        except ValueError as fault:
            raise DriverInterfaceError(f"{self._place}: no JSON ({fault})") from fault

    def _open(self, method: str, path: str, document: Any = None) -> bytes:
        try:
            body = None if document is None else json.dumps(document, allow_nan=False).encode()
        except ValueError as fault:
            raise DriverInterfaceError(f"{path.strip('/')}: not a finite number") from fault
        asked = Request(  # noqa: S310 - the scheme was checked
            self._root + path, data=body, headers=self._headers, method=method
        )
        try:
            with urlopen(asked, timeout=self._timeout_s, context=self._context) as answer:  # noqa: S310 - as above
                found: bytes = answer.read()
                return found
        except HTTPError as fault:
            raise DriverInterfaceError(f"{self._place}: {_said(fault)}") from fault
        except (URLError, OSError) as fault:
            raise DriverInterfaceError(f"{self._place}: no answer ({fault})") from fault


def _context(ca_file: str, cert_file: str, key_file: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.load_verify_locations(ca_file)
    context.load_cert_chain(cert_file, key_file)
    return context


def _said(fault: HTTPError) -> str:
    """What the server says is wrong."""
    try:
        detail = json.loads(fault.read())["detail"]
    except (ValueError, KeyError, TypeError):
        return f"{fault.code} {fault.reason}"
    if isinstance(detail, list):
        return "; ".join(f"{one.get('place')}: {one.get('problem')}" for one in detail)
    return str(detail)
