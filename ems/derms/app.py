"""The server as an ASGI application: routes, methods, media types, errors.

It is raw ASGI: a framework would cost a third of the requests per second. Handlers are synchronous
and short; what they change is durable before the answer goes out.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from ems.derms import access
from ems.derms.allowance import Registrations
from ems.derms.asking import (
    Answer,
    Reason,
    Refusal,
    Rendered,
    Request,
    Route,
    refused,
)
from ems.derms.board import Board, Conflict, NotFound
from ems.derms.recall import recalling
from ems.derms.refused import RefusedLog
from ems.derms.resources import (
    der,
    device_capability,
    end_devices,
    log_events,
    metering,
    mirrors,
    programs,
    responses,
    subscriptions,
)
from ems.derms.settings import ServerSettings
from ems.errors import BadInput
from ems.protocols.ieee2030_5 import codec
from ems.store import StoreFault

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

ROUTES: tuple[Route, ...] = (
    *device_capability.ROUTES,
    *end_devices.ROUTES,
    *programs.ROUTES,
    *der.ROUTES,
    *mirrors.ROUTES,
    *metering.ROUTES,
    *responses.ROUTES,
    *log_events.ROUTES,
    *subscriptions.ROUTES,
)
"""Every path of the server."""
ADMINISTRATION = "/admin"
"""What is below it is another application's."""

_log = logging.getLogger(__name__)
_KNOWN_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE"})
_MOST_DIGITS = 10
_RETRY_S = b"5"


class Tree:
    """Finds what is at a path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root: dict[str, Any] = {}
        for route in routes:
            node = self._root
            for part in route.pattern.split("/")[1:]:
                node = node.setdefault(part, {})
            node[""] = route

    def find(self, path: str) -> tuple[Route, tuple[int, ...]] | None:
        """The route of a path, and the numbers in it."""
        node = self._root
        numbers: list[int] = []
        for part in path.split("/")[1:]:
            found = node.get(part) if part else None
            if found is None and _is_number(part):
                numbers.append(int(part))
                found = node.get("#")
            if found is None:
                return None
            node = found
        route = node.get("")
        return None if route is None else (route, tuple(numbers))


def _is_number(part: str) -> bool:
    """Without leading zeros: one resource has one path."""
    return (
        part.isascii()
        and part.isdigit()
        and len(part) <= _MOST_DIGITS
        and (part == "0" or part[0] != "0")
    )


class Application:
    """Answers requests from the board."""

    def __init__(
        self,
        board: Board,
        settings: ServerSettings,
        *,
        own: tuple[str, int] | None = None,
        refusals: RefusedLog | None = None,
        administration: Asgi | None = None,
    ) -> None:
        """Serve a board.

        Args:
            board: what is served.
            settings: how.
            own: LFDI and SFDI of the server's certificate.
            refusals: takes down what is refused.
            administration: answers below /admin.
        """
        self.board = board
        self.settings = settings
        self.own = own
        self.rendered = Rendered()
        self.registrations = Registrations(
            each=settings.registrations_each_per_minute,
            together=settings.registrations_per_minute,
        )
        self.refusals = refusals or RefusedLog(board.now)
        self.answered = 0
        """Requests so far."""
        self._administration = administration
        self._tree = Tree(ROUTES)

    def find(self, path: str) -> tuple[Route, tuple[int, ...]] | None:
        """What is at a path, and the numbers in it."""
        return self._tree.find(path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if self._administration and (path + "/").startswith(ADMINISTRATION + "/"):
            await self._administration(scope, receive, send)
            return
        answer = await self._answer(scope, receive)
        self.answered += 1
        body = b"" if scope["method"] == "HEAD" else answer.body
        start = {
            "type": "http.response.start",
            "status": answer.status,
            "headers": list(answer.headers),
        }
        await send(start)
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        try:
            return await self._handled(scope, receive)
        except Refusal as refusal:
            caught = refusal
        except (BadInput, Conflict) as error:
            caught = Refusal(400, str(error))
        except NotFound as error:
            caught = Refusal(404, str(error))
        except StoreFault as error:
            caught = _unkept(str(error))
        except Exception:  # noqa: BLE001  see below
            # One broken handler must not end the connection, let alone the server.
            _log.exception("%s %s failed", scope["method"], scope["path"])
            caught = Refusal(500, "the server failed; its log says how", code=Reason.RESOURCES)
        where = f"{scope['method']} {scope['path']}"
        who = scope.get("lfdi") or str(scope.get("client"))
        self.refusals.note(str(caught.status), caught.reason, who=who, where=where)
        return refused(caught)

    async def _handled(self, scope: Scope, receive: Receive) -> Answer:
        method: str = scope["method"]
        path: str = scope["path"]
        if method not in _KNOWN_METHODS:
            raise Refusal(501, f"{method} is not implemented", code=Reason.FORMAT)
        lfdi = scope.get("lfdi")
        if lfdi is None:
            raise Refusal(403, "no certificate says who asks")
        found = self._tree.find(path)
        if found is None:
            raise self._elsewhere(scope)
        route, numbers = found
        handler = route.handlers.get(method)
        if handler is None:
            raise Refusal(
                405, f"{method} cannot be done at {path}", headers=((b"allow", route.allow),)
            )
        board = self.board
        now = board.now()
        board.seen(lfdi, now)
        request = Request(
            method=method,
            path=path,
            numbers=numbers,
            query=scope["query_string"],
            peer=access.peer_of(lfdi, board, self.settings.administrators),
            serves=self,
            now=now,
        )
        _check_headers(scope)
        route.rule(request, board)
        if method in {"GET", "HEAD"}:
            return await recalling(lambda: handler(request, board))
        if method != "DELETE":
            request.body = await self._body(scope, receive)
        answer = handler(request, board)
        await self._durable()
        return answer

    async def _durable(self) -> None:
        """What was changed survives from here on."""
        kept = self.board.durable
        try:
            if not kept.done():
                # Several requests may wait for one commit: none may cancel it.
                await asyncio.shield(asyncio.wrap_future(kept))
            kept.result()
        except Exception as error:
            _log.exception("the change could not be kept")
            raise _unkept("the change could not be kept") from error

    def _elsewhere(self, scope: Scope) -> Refusal:
        """Nothing is at this path: it moved, or never was."""
        path: str = scope["path"]
        moved = self.settings.moved.get(path)
        if moved is None and path != "/" and path.endswith("/") and self.find(path.rstrip("/")):
            moved = path.rstrip("/")
        if moved is None:
            return Refusal(404, f"there is nothing at {path[:200]}")
        query: bytes = scope["query_string"]
        location = moved.encode() + (b"?" + query if query else b"")
        return Refusal(301, f"it is at {moved}", headers=((b"location", location),))

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """What came with the request; too much is refused while it comes."""
        most = self.settings.max_body_bytes
        _check_body(scope["headers"], most)
        parts: list[bytes] = []
        length = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise Refusal(400, "the request ended before its body did", code=Reason.FORMAT)
            part: bytes = message.get("body", b"")
            length += len(part)
            if length > most:
                raise too_long(most)
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)


def _unkept(reason: str) -> Refusal:
    """The database does not do what it should; it may do so later."""
    headers = ((b"retry-after", _RETRY_S),)
    return Refusal(503, reason, code=Reason.RESOURCES, headers=headers)


def too_long(most: int) -> Refusal:
    """The answer to a body that is too long; what is left of it is not read."""
    return Refusal(
        413,
        f"the body is longer than {most} bytes",
        code=Reason.RESOURCES,
    )


def _check_body(headers: Iterable[tuple[bytes, bytes]], most: int) -> None:
    for name, value in headers:
        if name == b"content-length" and int(value) > most:
            raise too_long(most)
        if name == b"content-type":
            media = value.split(b";")[0].strip().lower().decode("latin-1")
            if media != codec.MEDIA:
                problem = f"{media[:64]} is not read here; send {codec.MEDIA}"
                raise Refusal(415, problem, code=Reason.FORMAT)


def _check_headers(scope: Scope) -> None:
    hosts = 0
    for name, value in scope["headers"]:
        if name == b"accept" and not _accepts(value.decode("latin-1")):
            raise Refusal(
                406, f"only {codec.MEDIA} is written here, not {value[:64]!r}", code=Reason.FORMAT
            )
        hosts += name == b"host"
    if hosts != 1 and scope.get("http_version") == "1.1":
        raise Refusal(400, f"{hosts} Host headers; HTTP/1.1 has one", code=Reason.FORMAT)


def _accepts(value: str) -> bool:
    if value in {codec.MEDIA, "*/*"}:
        return True
    for wanted in value.lower().split(","):
        media, *parameters = (part.strip() for part in wanted.split(";"))
        if media in {codec.MEDIA, "application/*", "*/*", ""}:
            return not any(p.replace(" ", "") in {"q=0", "q=0.0", "q=0.00"} for p in parameters)
    return False


def plain(board: Board) -> Asgi:
    """The application of the plain port: it serves /dcap, and nothing else."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001  ASGI
        found = device_capability.plain_dcap(board)
        if scope["path"] != "/dcap":
            found = refused(Refusal(404, "only /dcap is served without TLS"))
        elif scope["method"] not in {"GET", "HEAD"}:
            allow = ((b"allow", b"GET, HEAD"),)
            found = refused(Refusal(405, "it can only be read", headers=allow))
        headers = list(found.headers)
        start = {"type": "http.response.start", "status": found.status, "headers": headers}
        await send(start)
        body = b"" if scope["method"] == "HEAD" else found.body
        await send({"type": "http.response.body", "body": body})

    return answer
