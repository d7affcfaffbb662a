"""The dispatch's own programs: an administrator reads them, and changes others."""

from collections.abc import Iterable

from ems.derms.board import Board
from ems.errors import BadInput
from ems.settings.ieee2030_5 import DISPATCH

_MEND = "make a program of another name: what it limits holds for the dispatch, too"


def check_not_dispatched(name: str) -> None:
    """A program may be changed.

    Raises:
        BadInput: it is the dispatch's.
    """
    if name.startswith(DISPATCH):
        raise BadInput.at(f"programs/{name}", f"is the dispatch's own; {_MEND}")


def check_removable(board: Board, name: str) -> None:
    """A program may be removed; of the dispatch's own one whose DER the site has no more.

    Raises:
        BadInput: the dispatch writes it.
    """
    if name in board.dispatched:
        raise BadInput.at(
            f"programs/{name}",
            "is the dispatch's own, which would make it again; take its DER out of the site first",
        )


def check_assigned(key: str, wanted: Iterable[str], held: Iterable[str] = ()) -> None:
    """Programs may be assigned; those that are assigned already may be named again.

    Args:
        key: that names them.
        wanted: names of programs and groups.
        held: those before.

    Raises:
        BadInput: one is the dispatch's, for one device alone.
    """
    for name in wanted:
        if name.startswith(DISPATCH) and name not in held:
            problem = f'"{name}" is the dispatch\'s own, for one device; leave it out, or {_MEND}'
            raise BadInput.at(key, problem)
