"""Lists read whole, page by page (query parameters s and l)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole(Generic[L, I]):
    """A list, read whole."""

    items: list[I]
    page: L
    """Its first page."""
    unread: tuple[sep.Unread, ...]
    """Members that are no such resource; the others stand."""


async def whole(
    reader: Reader, href: str, kind: type[L], items_of: Callable[[L], Sequence[I] | None]
) -> Whole[L, I]:
    """All items of a list that can be read.

    Args:
        reader: a session.
        href: of the list.
        kind: of the list.
        items_of: the items of a page.

    Raises:
        Lost, Refused: as the reader; Lost also where it does not stand still for three times.
    """
    for _ in range(TRIES):
        first = page = await reader.get(href, kind, s=0, l=PAGE)
        items, unread = list(items_of(first) or ()), [*first.unread]
        while (count := len(items) + len(unread)) < min(first.all_, MOST_ITEMS):
            if page.all_ != first.all_:
                break
            page = await reader.get(href, kind, s=count, l=PAGE)
            items += items_of(page) or ()
            unread += page.unread
            if len(items) + len(unread) == count:
                break
        hrefs = [i.href for i in items if i.href] + [u.href for u in unread if u.href]
        found = len(items) + len(unread)
        if found == first.all_ == page.all_ and len(set(hrefs)) == len(hrefs):
            return Whole(items=items, page=first, unread=tuple(unread))
    raise Lost(f"{href} changes faster than it can be read")
