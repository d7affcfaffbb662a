"""Subscriptions: who is told of changes, and the end of that."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from ems.derms.admin import views
from ems.derms.admin.changes import Changes
from ems.derms.board import Board, NotFound, Subscribed


def subscriptions_of(board: Board, changes: Changes, end: Callable[[int, int], None]) -> APIRouter:
    """Subscriptions of all devices, and of one.

    Args:
        board: what is served.
        changes: makes them.
        end: ends a subscription, by the numbers of its device and of itself.
    """
    api = APIRouter(tags=["subscriptions"])

    @api.get("/subscriptions")
    async def every(
        offset: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> dict[str, Any]:
        """Those of all devices."""
        known = board.subscriptions()
        some = known[offset : offset + limit]
        return {"all": len(known), "subscriptions": [views.subscription(board, s) for s in some]}

    @api.get("/devices/{name}/subscriptions")
    async def of_one(name: str) -> list[dict[str, Any]]:
        """Those of one device, by number."""
        held = board.subscriptions(board.device(name).number)
        return [views.subscription(board, one) for one in held]

    @api.delete("/devices/{name}/subscriptions/{number}", status_code=204)
    async def remove(request: Request, name: str, number: int) -> None:
        """End a subscription; its subscriber is told so, once."""
        device = board.device(name).number

        def found() -> Subscribed:
            held = board.subscription(device, number)
            if held is None:
                raise NotFound(f"device {name!r} has no subscription {number}")
            return held

        await changes.make(
            request, lambda: end(device, number), lambda: views.subscription(board, found())
        )

    return api
