"""Lists read whole, page by page (query parameters s and l)."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from ems.enddevice.session import Lost
from ems.protocols.ieee2030_5 import sep

PAGE = 100
"""Items asked for at once."""
MOST_ITEMS = 100_000
"""A list longer than this is a server gone wrong."""
TRIES = 3
"""How often a list that changes while it is read is read anew."""

L = TypeVar("L", bound=sep.ListResource)
I = TypeVar("I", bound=sep.Resource)  # noqa: E741 - an item


class Reader(Protocol):
    """Whoever reads resources."""

    async def get(self, href: str, kind: type[L], **query: int) -> L:
        """Read one resource."""
        ...


async def whole(
    reader: Reader, href: str, kind: type[L], items_of: Callable[[L], Sequence[I] | None]
) -> tuple[list[I], L]:
    """All items of a list, and its first page.

    Args:
        reader: a session.
        href: of the list.
        kind: of the list.
        items_of: the items of a page.

    Raises:
        Lost, Refused: as the reader; Lost also where it does not stand still for three times.
    """
    for _ in range(TRIES):
        first = await reader.get(href, kind, s=0, l=PAGE)
        items = list(items_of(first) or ())
        page = first
        while len(items) < min(first.all_, MOST_ITEMS) and page.all_ == first.all_:
            page = await reader.get(href, kind, s=len(items), l=PAGE)
            more = items_of(page) or ()
            items += more
            if not more:
                break
        hrefs = [item.href for item in items if item.href is not None]
        if len(items) == first.all_ == page.all_ and len(set(hrefs)) == len(hrefs):
            return items, first
    raise Lost(f"{href} changes faster than it can be read")
