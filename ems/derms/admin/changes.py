"""Every change of the administration: made, audited and durable before it is answered."""

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import Request

from ems.derms.admin.entrance import Entrance
from ems.derms.board import Board


class Changes:
    """Makes changes in the name of who asks."""

    def __init__(self, board: Board, entrance: Entrance) -> None:
        self._board = board
        self._entrance = entrance

    async def make(
        self, request: Request, act: Callable[[], object], shown: Callable[[], Any]
    ) -> Any:
        """Change something.

        Args:
            request: who asks, and for what.
            act: makes the change; where it raises, nothing is audited.
            shown: what is changed, as it stands; raises NotFound where it does not.

        Returns:
            What it became; None where it is gone.
        """
        board, who = self._board, self._entrance.who(request)
        what = f"{request.method} {request.url.path}"
        noted = board.audit.made(who, what, board.now(), act, shown)
        # The board's own changes were handed over before, so they are durable, too.
        await asyncio.wrap_future(board.audit.durable)
        return noted.after
