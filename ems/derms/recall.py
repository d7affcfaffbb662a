"""What is kept, and not in memory: it is read beside the server's loop, which nobody holds up."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall(Generic[T]):
    """How it comes into memory."""

    read: Callable[[], T]
    """Reads it; for any thread."""
    take: Callable[[T], None]
    """Has the board hold it; on the loop."""


class NotInMemory(Exception):
    """No fault: whoever catches it recalls it, and asks again."""

    def __init__(self, recall: Recall[object]) -> None:
        super().__init__("it lies in the database")
        self.recall = recall


async def recalling(ask: Callable[[], R]) -> R:
    """Ask, as often as something of the answer is not in memory.

    Raises:
        StoreFault: it cannot be read.
    """
    while True:
        try:
            return ask()
        except NotInMemory as missing:
            recall = missing.recall
        recall.take(await asyncio.to_thread(recall.read))
