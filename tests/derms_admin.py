"""The IEEE 2030.5 server's administration, asked without a network."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ems.derms.admin import Entrance, create_admin
from ems.derms.board import Board
from ems.derms.refused import RefusedLog

OPERATOR = "0" * 39 + "7"
"""LFDI of an administrator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An answer of the administration."""

    status: int
    json: Any
    """None where there is no body."""

    @property
    def faults(self) -> list[str]:
        assert self.status == 422, (self.status, self.json)
        return [f"{fault['place']}: {fault['problem']}" for fault in self.json["detail"]]


class Administered:
    """A board and its administration."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.application = create_admin(
            board,
            Entrance(
                administrators=frozenset({OPERATOR}),
                token=None,
                lfdi_of=lambda scope: scope["lfdi"],
            ),
            RefusedLog(board.now),
            "0",
            board.unsubscribe,
        )

    def ask(self, method: str, path: str, body: object = None) -> Told:
        """One request; `path` is below /admin/v1."""
        return asyncio.run(self.asked(method, path, body))

    async def asked(self, method: str, path: str, body: object = None) -> Told:
        """The same on a loop that runs."""
        raw = b"" if body is None else json.dumps(body).encode()
        bare, _, query = path.partition("?")
        scope: Mapping[str, Any] = {
            "type": "http",
            "method": method,
            "path": f"/admin/v1{bare}",
            "raw_path": f"/admin/v1{bare}".encode(),
            "query_string": query.encode(),
            "headers": [(b"content-type", b"application/json")],
            "lfdi": OPERATOR,
        }
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.application(dict(scope), receive, send)
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return Told(status=sent[0]["status"], json=json.loads(content) if content else None)
