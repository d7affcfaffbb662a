"""Programs, their defaults and controls; curves."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request

from ems.derms import worded
from ems.derms.admin import views
from ems.derms.admin.changes import Changes
from ems.derms.admin.dispatched import check_not_dispatched, check_removable
from ems.derms.admin.forms import Cancellation, Default, NewControl, NewProgram, ProgramChange
from ems.derms.admin.listing import Page
from ems.derms.board import Board, NotFound
from ems.errors import BadInput
from ems.settings.ieee2030_5 import CurveTable


def programs_of(board: Board, changes: Changes) -> APIRouter:
    """Programs, defaults, controls."""
    api = APIRouter()
    _programs(api, board, changes)
    _controls(api, board, changes)
    return api


def _programs(api: APIRouter, board: Board, changes: Changes) -> None:
    def show(name: str) -> dict[str, Any]:
        return views.program(board, board.program(name))

    @api.get("/programs", tags=["programs"])
    async def programs(page: Page) -> dict[str, Any]:
        """The programs, by number."""
        return page.of("programs", board.programs(), partial(views.program, board))

    @api.post("/programs", status_code=201, tags=["programs"])
    async def make(request: Request, new: NewProgram) -> Any:
        """Make a program."""
        wanted = new.model_dump() | {"mrid": new.mrid or ""}
        return await changes.make(
            request, lambda: board.add_program(**wanted), lambda: show(new.name)
        )

    @api.get("/programs/{name}", tags=["programs"])
    async def program(name: str) -> Any:
        """One program."""
        return show(name)

    @api.patch("/programs/{name}", tags=["programs"])
    async def change(request: Request, name: str, asked: ProgramChange) -> Any:
        """Change what is named; the rest stays."""
        check_not_dispatched(name)
        wanted = asked.model_dump(exclude_none=True)
        return await changes.make(
            request, lambda: board.change_program(name, **wanted), lambda: show(name)
        )

    @api.delete("/programs/{name}", status_code=204, tags=["programs"])
    async def remove(request: Request, name: str) -> None:
        """Drop a program none of whose controls is in force or to come."""
        check_removable(board, name)
        await changes.make(request, lambda: board.remove_program(name), lambda: show(name))

    @api.get("/programs/{name}/default", tags=["programs"])
    async def default(name: str) -> Any:
        """What holds while no control does, whole, as PUT takes it."""
        return views.default(board, board.program(name))

    @api.put("/programs/{name}/default", tags=["programs"])
    async def set_default(request: Request, name: str, asked: Default) -> Any:
        """What holds while no control does; what is left out of it goes."""
        check_not_dispatched(name)
        base = worded.base_of(asked.base, _href(board))
        more: dict[str, Any] = {
            "description": asked.description,
            **worded.default_settings(
                asked.set_grad_w_pct_per_s, asked.set_soft_grad_w_pct_per_s, asked.enter_service
            ),
        }
        return await changes.make(
            request, lambda: board.set_default(name, base, **more), lambda: show(name)
        )

    @api.delete("/programs/{name}/default", tags=["programs"])
    async def drop_default(request: Request, name: str) -> Any:
        """Take the default away."""
        check_not_dispatched(name)
        return await changes.make(
            request, lambda: board.set_default(name, None), lambda: show(name)
        )


def _controls(api: APIRouter, board: Board, changes: Changes) -> None:
    def show(mrid: str) -> dict[str, Any]:
        return views.control(board, board.control(mrid))

    @api.get("/programs/{name}/controls", tags=["controls"])
    async def controls(name: str, page: Page) -> dict[str, Any]:
        """Controls to come, in force, and ended a while ago."""
        return page.of("controls", board.controls(name), partial(views.control, board))

    @api.post("/programs/{name}/controls", status_code=201, tags=["controls"])
    async def publish(request: Request, name: str, new: NewControl) -> Any:
        """Publish a control."""
        check_not_dispatched(name)
        if new.start is not None and new.start_in_s is not None:
            raise BadInput.at("start", "give one of start and start_in_s, or neither: at once")
        if not new.base.model_dump(exclude_none=True):
            raise BadInput.at("base", "asks for nothing; name what the devices are to do")
        board.program(name)
        mrid = new.mrid or board.mrid()
        when = worded.event_of(new, board.now())
        base = worded.base_of(new.base, _href(board))
        return await changes.make(
            request,
            lambda: board.publish(name, base=base, mrid=mrid, **when),
            lambda: show(mrid),
        )

    @api.post("/programs/{name}/controls/{mrid}/cancel", tags=["controls"])
    async def cancel(request: Request, name: str, mrid: str, how: Cancellation) -> Any:
        """Cancel a control; it stays listed, so that devices hear of it."""
        check_not_dispatched(name)
        return await changes.make(
            request,
            lambda: board.cancel(name, mrid, randomly=how.randomly),
            lambda: show(mrid),
        )

    @api.get("/controls/{mrid}", tags=["controls"])
    async def control(mrid: str) -> Any:
        """One control, and what devices answered, oldest first."""
        said = [views.response(one) for one in board.responses(mrid)]
        return show(mrid) | {"responses": said}


def curves_of(board: Board, changes: Changes) -> APIRouter:
    """Curves."""
    api = APIRouter(tags=["curves"])

    def show(name: str) -> dict[str, Any]:
        return views.curve(board.curve(name))

    @api.get("/curves")
    async def curves(page: Page) -> dict[str, Any]:
        """The curves, by number."""
        return page.of("curves", board.curves(), views.curve)

    @api.post("/curves", status_code=201)
    async def make(request: Request, new: CurveTable) -> Any:
        """Make a curve."""
        wanted = worded.curve_of(new) | {"mrid": new.mrid or ""}
        return await changes.make(
            request, lambda: board.add_curve(new.name, **wanted), lambda: show(new.name)
        )

    @api.put("/curves/{name}")
    async def change(request: Request, name: str, asked: CurveTable) -> Any:
        """Put a curve in the place of the one of this name."""
        if asked.name != name:
            raise BadInput.at("name", f"is {asked.name!r}; a curve keeps its name, {name!r}")
        wanted = worded.curve_of(asked)
        return await changes.make(
            request, lambda: board.change_curve(name, **wanted), lambda: show(name)
        )

    @api.delete("/curves/{name}", status_code=204)
    async def remove(request: Request, name: str) -> None:
        """Drop a curve that no program uses."""
        await changes.make(request, lambda: board.remove_curve(name), lambda: show(name))

    return api


def _href(board: Board) -> Any:
    """Path of a curve by name.

    Raises:
        BadInput: a control asks for a curve that is not there.
    """

    def href(name: str) -> str:
        try:
            return board.curve(name).href
        except NotFound as fault:
            raise BadInput.at("base", f"{fault}; make it first") from None

    return href
