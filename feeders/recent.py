"""What was found last."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Where = TypeVar("Where", bound=Hashable)
Found = TypeVar("Found")


class Recent(Generic[Where, Found]):
    """Keeps what was found or asked for last, up to a number of it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Where, Found] = OrderedDict()

    def get(self, where: Where) -> Found | None:
        """What was found there, if it still is known."""
        found = self._kept.get(where)
        if found is not None:
            self._kept.move_to_end(where)
        return found

    def keep(self, where: Where, found: Found) -> None:
        """Keep it; what nobody asked for longest goes."""
        self._kept[where] = found
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
