"""The administration as a FastAPI application; it runs on the server's own loop."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from ems.derms.admin.changes import Changes
from ems.derms.admin.devices import devices_of
from ems.derms.admin.entrance import Entrance
from ems.derms.admin.forms import RatesChange
from ems.derms.admin.points import points_of
from ems.derms.admin.programs import curves_of, programs_of
from ems.derms.admin.subscriptions import subscriptions_of
from ems.derms.admin.views import utc
from ems.derms.board import Board, Conflict, NotFound
from ems.derms.refused import RefusedLog
from ems.errors import BadInput
from ems.store import StoreFault

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
ROOT = "/admin/v1"
MOST_BYTES = 1 << 20
"""A control with all its modes has 2 kB, a curve 1 kB."""
_TOO_LONG = f"the body is longer than {MOST_BYTES} B"
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def create_admin(
    board: Board,
    entrance: Entrance,
    refused: RefusedLog,
    version: str,
    end: Callable[[int, int], None],
) -> FastAPI:
    """The application; it answers nobody but administrators.

    Args:
        board: what is served; the application runs on the loop that owns it.
        entrance: who may administer.
        refused: what the server refused.
        version: of GEEMS.
        end: ends a subscription, by the numbers of its device and of itself.
    """
    app = FastAPI(
        title="GEEMS IEEE 2030.5 administration",
        summary="Devices, groups, programs, controls, curves, rates and points of one server.",
        description=(
            "Percentages are in %, powers in kW and kvar, times in s; instants are UTC. A fault "
            "names the key and the mend; all faults of a request are told at once. Every change "
            "is audited."
        ),
        version=version,
        openapi_url="/admin/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    changes = Changes(board, entrance)
    for router in (
        _state(board, changes, refused),
        devices_of(board, changes),
        subscriptions_of(board, changes, end),
        programs_of(board, changes),
        curves_of(board, changes),
        points_of(board, changes),
    ):
        app.include_router(router, prefix=ROOT)
    app.add_middleware(Limited)
    # The last one comes first: nothing is read of who may not administer.
    app.middleware("http")(_guarded(entrance))
    for kind, answer in _FAULTS.items():
        app.add_exception_handler(kind, answer)
    return app


def _guarded(
    entrance: Entrance,
) -> Callable[[Request, Callable[[Request], Awaitable[Response]]], Awaitable[Response]]:
    """Nobody learns from an answer, not even from a 404, what is here."""

    async def guard(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        try:
            entrance.who(request)
        except HTTPException as refusal:
            detail = {"detail": refusal.detail}
            return JSONResponse(detail, refusal.status_code, headers=refusal.headers)
        if (refused := _too_long(request)) is not None:
            return refused
        response = await call_next(request)
        response.headers.update(_HEADERS)
        return response

    return guard


def _too_long(request: Request) -> Response | None:
    """Where a body says before that it is too long, nothing of it is read."""
    length = request.headers.get("content-length", "0")
    if int(length) <= MOST_BYTES:
        return None
    return JSONResponse({"detail": _TOO_LONG}, 413)


class Limited:
    """A body is read whole, and counted while it comes: it need not say how long it is."""

    def __init__(self, app: Asgi) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            if len(body) > MOST_BYTES:
                await JSONResponse({"detail": _TOO_LONG}, 413)(scope, receive, send)
                return
            if not message.get("more_body"):
                break
        whole: list[MutableMapping[str, Any]] = [
            {"type": "http.request", "body": body, "more_body": False}
        ]

        async def read() -> MutableMapping[str, Any]:
            return whole.pop() if whole else await receive()

        await self._app(scope, read, send)


def _bad_input(_: Request, error: Exception) -> JSONResponse:
    faults = error.faults if isinstance(error, BadInput) else ()
    return JSONResponse({"detail": [asdict(fault) for fault in faults]}, status_code=422)


def _misshapen(_: Request, error: Exception) -> JSONResponse:
    """What pydantic found, in the form of all other faults."""
    found = error.errors() if isinstance(error, RequestValidationError) else ()
    faults = [
        {
            "place": ".".join(str(part) for part in one["loc"][1:]),
            "problem": str(one["msg"]).removeprefix("Value error, "),
        }
        for one in found
    ]
    return JSONResponse({"detail": faults}, status_code=422)


def _not_found(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=404)


def _conflict(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=409)


def _database_failed(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=503)


_FAULTS: Mapping[type[Exception], Callable[[Request, Exception], JSONResponse]] = {
    RequestValidationError: _misshapen,
    BadInput: _bad_input,
    NotFound: _not_found,
    Conflict: _conflict,
    StoreFault: _database_failed,
}


def _state(board: Board, changes: Changes, refused: RefusedLog) -> APIRouter:
    api = APIRouter(tags=["state"])

    @api.get("/status")
    async def status() -> dict[str, Any]:
        """How much is served and refused, and why a change is not on the disk (null: all are)."""
        now = board.now()
        return {
            "now": utc(now),
            "devices": len(board.devices()),
            "programs": len(board.programs()),
            "controls": sum(len(board.standing(p.name, now).controls) for p in board.programs()),
            "subscriptions": len(board.subscriptions()),
            "refused": dict(refused.counts),
            "unkept": board.unkept or None,
            "given_up": board.given_up,
        }

    @api.get("/rates")
    async def rates() -> dict[str, int]:
        """How often devices shall ask and report [s]."""
        return asdict(board.rates)

    @api.put("/rates")
    async def set_rates(request: Request, asked: RatesChange) -> Any:
        """Change them; devices learn of it when they next ask."""
        wanted = asked.model_dump(exclude_none=True)
        return await changes.make(
            request, lambda: board.set_rates(**wanted), lambda: asdict(board.rates)
        )

    @api.get("/refused")
    async def was_refused() -> dict[str, Any]:
        """What was refused: counts since the start, and the last ones, oldest first."""
        last = [asdict(one) | {"time": utc(one.time)} for one in refused.last]
        return {"counts": dict(refused.counts), "last": last}

    # No coroutines: what reads the database runs in a thread of its own, and holds nobody up.

    @api.get("/audit", response_model=dict[str, Any])
    def audited(
        since: Annotated[int | None, Query(ge=0, description="[s since 1970, UTC]")] = None,
        after: Annotated[int | None, Query(ge=0, description="Number of an entry.")] = None,
        most: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    ) -> Response:
        """Who changed what, oldest first: the newest, or the first from `since` or `after` on."""
        audit = board.audit
        if since is None and after is None:
            found = audit.last(most)
        else:
            found = audit.page(most, since=since or 0, after=after or 0)
        entries = [asdict(one) | {"time": utc(one.time)} for one in found]
        return JSONResponse({"all": audit.made_so_far, "entries": entries})

    @api.get("/audit/check")
    def check() -> dict[str, Any]:
        """Whether the chain of hashes is whole."""
        fault = board.audit.fault()
        return {"whole": not fault, "fault": fault or None}

    return api
