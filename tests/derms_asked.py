"""The IEEE 2030.5 server's application, asked without a network."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from lxml import etree

from ems.clock import SteppedClock
from ems.derms.app import Application
from ems.derms.board import Board
from ems.derms.settings import ServerSettings
from ems.protocols.ieee2030_5 import sep

NAMESPACE = "urn:ieee:std:2030.5:ns"
START = datetime(2026, 6, 1, 12, tzinfo=UTC)
ALICE, BOB, AGGREGATOR, BOSS, STRANGER = (f"{n:040X}" for n in (0xA << 120, 0xB << 120, 3, 4, 5))
"""LFDIs of two devices, of one that acts for devices, of an administrator, of nobody known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """An answer, read by another library than wrote it."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def xml(self) -> Any:
        return etree.fromstring(self.body)

    def all(self, path: str) -> list[Any]:
        return list(self.xml.iterfind("/".join(f"{{{NAMESPACE}}}{p}" for p in path.split("/"))))

    def texts(self, path: str) -> list[str]:
        return [str(found.text) for found in self.all(path)]

    def text(self, path: str) -> str:
        [found] = self.texts(path)
        return found

    def hrefs(self, path: str) -> list[str]:
        return [str(found.get("href")) for found in self.all(path)]

    @property
    def counts(self) -> tuple[int, int]:
        """`all` and `results`."""
        return int(self.xml.get("all")), int(self.xml.get("results"))


class Asked:
    """A board and the application that serves it, at a time that tests move."""

    def __init__(self, settings: ServerSettings | None = None) -> None:
        self.clock = SteppedClock(START)
        self.board = Board(clock=self.clock)
        usual = ServerSettings(administrators=frozenset({BOSS}))
        self.application = Application(self.board, settings or usual, own=(ALICE, 1))

    @property
    def now(self) -> int:
        """[s]."""
        return self.board.now()

    def pass_s(self, seconds: float) -> None:
        self.clock.move_to(self.clock.now() + timedelta(seconds=seconds))

    def ask(
        self, lfdi: str | None, method: str, path: str, body: str | bytes = b"", **headers: str
    ) -> Got:
        """One request; `content_type` and the like are headers."""
        return asyncio.run(self._ask(lfdi, method, path, body, headers))

    async def _ask(
        self, lfdi: str | None, method: str, path: str, body: str | bytes, headers: dict[str, str]
    ) -> Got:
        raw = body.encode() if isinstance(body, str) else body
        bare, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": bare,
            "query_string": query.encode(),
            "headers": [
                (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
            ],
            "lfdi": lfdi,
        }
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.application(scope, receive, send)
        start, end = sent
        return Got(
            status=start["status"],
            headers={name.decode(): value.decode() for name, value in start["headers"]},
            body=end["body"],
        )

    def get(self, lfdi: str, path: str) -> Got:
        got = self.ask(lfdi, "GET", path)
        assert got.status == 200, (path, got.status, got.headers)
        return got

    def neighbours(self) -> None:
        """Alice and Bob, each with a program of her and his own, and one for both."""
        for name, primacy in (("both", 5), ("alices", 1), ("bobs", 1)):
            self.board.add_program(name, primacy=primacy)
        self.board.add_device("alice", lfdi=ALICE, groups=("both", "alices"), pin=111115)
        self.board.add_device("bob", lfdi=BOB, groups=("both", "bobs"))

    def publish(self, program: str, *, start: int = 0, **more: Any) -> str:
        """A control that starts so many seconds from now; returns its mRID."""
        known = {"base": sep.DERControlBase(opModMaxLimW=5000), "duration": 60, **more}
        return self.board.publish(program, start=self.now + start, **known).mrid
