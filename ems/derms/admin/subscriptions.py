"""Subscriptions: who is told of changes, and the end of that."""

from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Request

from ems.derms.admin import views
from ems.derms.admin.changes import Changes
from ems.derms.admin.listing import Page
from ems.derms.board import Board, NotFound, Subscribed


def subscriptions_of(board: Board, changes: Changes, end: Callable[[int, int], None]) -> APIRouter:
    """Subscriptions of all devices, and of one.

    Args:
        board: what is served.
        changes: makes them.
        end: ends a subscription, by the numbers of its device and of itself.
    """
    api = APIRouter(tags=["subscriptions"])
    show = partial(views.subscription, board)

    @api.get("/subscriptions")
    async def every(page: Page) -> dict[str, Any]:
        """Those of all devices."""
        return page.of("subscriptions", board.subscriptions(), show)

    @api.get("/devices/{name}/subscriptions")
    async def of_one(name: str, page: Page) -> dict[str, Any]:
        """Those of one device, by number."""
        held = board.subscriptions(board.device(name).number)
        return page.of("subscriptions", held, show)

    @api.delete("/devices/{name}/subscriptions/{number}", status_code=204)
    async def remove(request: Request, name: str, number: int) -> None:
        """End a subscription; its subscriber is told so, once."""
        device = board.device(name).number

        def found() -> Subscribed:
            held = board.subscription(device, number)
            if held is None:
                raise NotFound(f"device {name!r} has no subscription {number}")
            return held

        await changes.make(request, lambda: end(device, number), lambda: show(found()))

    return api
