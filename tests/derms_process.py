"""`geems ieee2030-5 serve` in a process of its own, and a plain client of the standard library."""

import http.client
import json
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from lxml import etree

from ems.derms.certificates import Issued, Pki

NAMESPACE = "urn:ieee:std:2030.5:ns"
PATIENCE_S = 60.0
"""For a loaded machine; what is awaited happens within seconds [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def location(self) -> str:
        assert self.status == 201, (self.status, self.headers, self.body)
        return self.headers["location"]

    def texts(self, path: str) -> list[str]:
        steps = "/".join(f"{{{NAMESPACE}}}{step}" for step in path.split("/"))
        return [str(found.text) for found in etree.fromstring(self.body).iterfind(steps)]

    def attribute(self, name: str) -> str:
        return str(etree.fromstring(self.body).get(name))


class Caller:
    """One end of one connection that is kept alive."""

    def __init__(self, host: str, port: int, pki: Pki, who: Issued) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0")
        context.load_verify_locations(pki.ca_file)
        context.load_cert_chain(who.cert_file, who.key_file)
        self._connection = http.client.HTTPSConnection(
            host, port, context=context, timeout=PATIENCE_S
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Got:
        """One request; `content_type` and the like are headers."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        self._connection.request(method, path, body or None, named)
        return self._got()

    def ask_in_pieces(self, method: str, path: str, pieces: Sequence[bytes]) -> Got:
        """A request whose body does not say how long it is."""
        chunked = {"Transfer-Encoding": "chunked"}
        self._connection.request(method, path, iter(pieces), chunked, encode_chunked=True)
        return self._got()

    def _got(self) -> Got:
        answer = self._connection.getresponse()
        known = {key.lower(): value for key, value in answer.getheaders()}
        return Got(status=answer.status, headers=known, body=answer.read())

    def get(self, path: str) -> Got:
        got = self.ask("GET", path)
        assert got.status == 200, (path, got.status, got.headers, got.body)
        return got

    def send(self, method: str, path: str, xml: str) -> Got:
        """A resource; its root gets the namespace."""
        root, _, rest = xml.partition(">")
        mark = "/" if root.endswith("/") else ""
        body = f'{root.removesuffix("/")} xmlns="{NAMESPACE}"{mark}>{rest}'
        return self.ask(method, path, body.encode(), content_type="application/sep+xml")

    def told(self, method: str, path: str, document: Any, **headers: str) -> Got:
        """A document for the administration."""
        body = json.dumps(document).encode()
        return self.ask(method, path, body, content_type="application/json", **headers)


class Serving:
    """A server process that answers."""

    def __init__(self, file: Path, pki: Pki) -> None:
        self.pki = pki
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ems.cli", "ieee2030-5", "serve", str(file), "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.announced = self._announced()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.said.extend(self.process.stderr)

    def _announced(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        text = ""
        for line in self.process.stdout:
            text += line
            if line == "}\n":
                found: dict[str, Any] = json.loads(text)
                if "url" in found:
                    return found
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        raise AssertionError(f"it ended: {text} {''.join(self.said)}")

    def caller(self, who: Issued) -> Caller:
        return Caller(self.announced["host"], self.announced["port"], self.pki, who)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


@contextmanager
def serving(file: Path, pki: Pki) -> Iterator[Serving]:
    """A process that answers; ended with the context, if it was not before."""
    server = Serving(file, pki)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()
        server.process.communicate(timeout=PATIENCE_S)


def write_file(folder: Path, pki: Pki, rest: str = "", **keys: str) -> Path:
    """A server's file; `keys` are TOML."""
    known = {
        "port": "0",
        "cert_file": f'"{pki.server.cert_file}"',
        "key_file": f'"{pki.server.key_file}"',
        "ca_file": f'"{pki.ca_file}"',
        "administrators": json.dumps([one.lfdi for one in pki.administrator.values()]),
        **keys,
    }
    head = "\n".join(f"{key} = {value}" for key, value in known.items())
    file = folder / "derms.toml"
    file.write_text(f"[ieee2030_5]\n{head}\n{rest}", encoding="utf-8")
    return file
