"""Lists: all of them have one shape, and are read by pages."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query

T = TypeVar("T")


class _Page:
    """Which part of a list is asked for."""

    def __init__(
        self,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> None:
        self._offset = offset
        self._limit = limit

    def of(self, name: str, held: Sequence[T], show: Callable[[T], Any]) -> dict[str, Any]:
        """Some of a list, and how many there are in all.

        Args:
            name: of the list.
            held: all of it.
            show: one of it.
        """
        some = held[self._offset : self._offset + self._limit]
        return {"all": len(held), name: [show(one) for one in some]}


Page = Annotated[_Page, Depends()]
"""What a list takes: `offset` and `limit`."""
