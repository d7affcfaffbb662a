"""Points over REST: one value, all values, a setpoint, the registry."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse

from ems.derms import points
from ems.derms.admin.changes import Changes
from ems.derms.admin.forms import SetPoint
from ems.derms.board import Board, NotFound


def points_of(board: Board, changes: Changes) -> APIRouter:
    """Points of a device by SunSpec-style names."""
    api = APIRouter(prefix="/points", tags=["points"])

    @api.get("/{device}")
    async def scrape_all(device: str) -> dict[str, Any]:
        """All points that have a value now."""
        return points.scrape_all(board, board.device(device))

    @api.get("/{device}/registry.csv", response_class=PlainTextResponse)
    async def registry(device: str) -> PlainTextResponse:
        """The points of the device as a registry for VOLTTRON."""
        text = points.registry(board, board.device(device))
        return PlainTextResponse(text, media_type="text/csv")

    @api.get("/{device}/{point:path}")
    async def get_point(device: str, point: str) -> dict[str, Any]:
        """One value."""
        return {"value": points.get_point(board, board.device(device), point)}

    @api.put("/{device}/{point:path}")
    async def set_point(request: Request, device: str, point: str, asked: SetPoint) -> Any:
        """Publish a DERControl that holds the point; answers with what is asked then."""
        one = board.device(device)

        def shown() -> Any:
            try:
                return {"value": points.get_point(board, one, point)}
            except NotFound:
                return {"value": None}

        return await changes.make(
            request,
            lambda: points.set_point(board, one, point, asked.value, duration_s=asked.duration_s),
            shown,
        )

    return api
