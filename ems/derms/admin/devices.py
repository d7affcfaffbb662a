"""Devices and what they told."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request

from ems.derms import worded
from ems.derms.admin import views
from ems.derms.admin.changes import Changes
from ems.derms.admin.dispatched import check_assigned
from ems.derms.admin.forms import DeviceChange, GroupChange, NewDevice
from ems.derms.admin.listing import Page
from ems.derms.board import FILED, Board
from ems.settings.ieee2030_5 import GroupTable

_LFDI_DIGITS = 40


def devices_of(board: Board, changes: Changes) -> APIRouter:
    """Devices and groups."""
    api = APIRouter()
    _devices(api, board, changes)
    _groups(api, board, changes)
    return api


def _devices(api: APIRouter, board: Board, changes: Changes) -> None:
    def show(name: str) -> dict[str, Any]:
        return views.device(board, board.device(name))

    @api.get("/devices", tags=["devices"])
    async def devices(page: Page) -> dict[str, Any]:
        """The devices, by number."""
        return page.of("devices", board.devices(), partial(views.device, board))

    @api.post("/devices", status_code=201, tags=["devices"])
    async def register(request: Request, new: NewDevice) -> Any:
        """Register a device (out of band)."""
        check_assigned("groups", new.groups)
        wanted = _device_arguments(board, new.model_dump())
        return await changes.make(
            request, lambda: board.add_device(**wanted), lambda: show(new.name)
        )

    @api.get("/devices/{name}", tags=["devices"])
    async def device(name: str) -> Any:
        """One device."""
        return show(name)

    @api.patch("/devices/{name}", tags=["devices"])
    async def change(request: Request, name: str, asked: DeviceChange) -> Any:
        """Change what is named; the rest stays."""
        wanted = _device_arguments(board, asked.model_dump(exclude_unset=True))
        check_assigned("groups", asked.groups or (), board.device(name).groups)
        return await changes.make(
            request, lambda: board.change_device(name, **wanted), lambda: show(name)
        )

    @api.delete("/devices/{name}", status_code=204, tags=["devices"])
    async def remove(request: Request, name: str) -> None:
        """Forget a device; what it said happened stays kept."""
        await changes.make(request, lambda: board.remove_device(name), lambda: show(name))

    @api.get("/devices/{name}/documents", tags=["devices"])
    async def documents(name: str) -> dict[str, Any]:
        """What the device put, by DER and kind: the elements, and when it came."""
        lfdi = board.device(name).lfdi
        told: dict[str, Any] = {}
        for der in (0, *board.ders(lfdi)):
            for kind in FILED:
                if board.document(lfdi, kind, der) is None:
                    continue
                found = board.filed(lfdi, kind, der)
                if found is not None:
                    resource, received = found
                    elements = resource.model_dump(mode="json", exclude_none=True)
                    told.setdefault(str(der), {})[kind] = elements | {
                        "received": views.utc(received)
                    }
        return told

    @api.get("/devices/{name}/responses", tags=["devices"])
    async def responses(name: str, page: Page) -> dict[str, Any]:
        """The device's last responses to events, oldest first."""
        said = board.responses_of([board.device(name).lfdi])
        return page.of("responses", said, views.response)


def _groups(api: APIRouter, board: Board, changes: Changes) -> None:
    def show(name: str) -> dict[str, Any]:
        return views.group(board.group(name))

    @api.get("/groups", tags=["groups"])
    async def groups(page: Page) -> dict[str, Any]:
        """Groups of several programs; a program by itself is a group, too."""
        return page.of("groups", board.groups(), views.group)

    @api.post("/groups", status_code=201, tags=["groups"])
    async def make(request: Request, new: GroupTable) -> Any:
        """Make a group."""
        check_assigned("programs", new.programs)
        wanted = new.model_dump() | {"mrid": new.mrid or ""}
        return await changes.make(
            request, lambda: board.add_group(**wanted), lambda: show(new.name)
        )

    @api.patch("/groups/{name}", tags=["groups"])
    async def change(request: Request, name: str, asked: GroupChange) -> Any:
        """Change what is named; the rest stays."""
        check_assigned("programs", asked.programs or (), board.group(name).programs)
        wanted = asked.model_dump(exclude_none=True)
        return await changes.make(
            request, lambda: board.change_group(name, **wanted), lambda: show(name)
        )

    @api.delete("/groups/{name}", status_code=204, tags=["groups"])
    async def remove(request: Request, name: str) -> None:
        """Drop a group; its devices leave it."""
        await changes.make(request, lambda: board.remove_group(name), lambda: show(name))


def _device_arguments(board: Board, asked: dict[str, Any]) -> dict[str, Any]:
    """As the board takes them: category as bits, the aggregator by its LFDI."""
    if asked.get("category") is not None:
        asked["category"] = worded.category_of(asked["category"])
    manager = asked.get("aggregator")
    if manager and len(manager) != _LFDI_DIGITS:
        asked["aggregator"] = board.device(manager).lfdi
    return asked
