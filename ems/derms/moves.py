"""Devices whose certificate was changed: what they said under the LFDI before is theirs still.

Entries of what happened are never changed, so each bears the LFDI under which it was said.
"""

from collections.abc import Iterator

from ems.derms.keeping import Change, Keeper

_MOVED = "moved"
"""Kind of the documents, one for each change."""


class Moves:
    """Which LFDI took the place of which, and when."""

    def __init__(self, keeper: Keeper) -> None:
        """Take up what the keeper kept."""
        self._of: dict[str, list[tuple[int, int, str]]] = {}
        """By LFDI: (number of the move, when [s], the LFDI after it)."""
        self._before: dict[str, set[str]] = {}
        self._count = 0
        for kept in keeper.documents(_MOVED):
            self._take(kept.key.partition("/")[0], kept.body or "", kept.time)

    def add(self, old: str, new: str, now: int) -> Change:
        """Take down a move; returns what is to be kept of it."""
        self._take(old, new, now)
        key = f"{old}/{now}/{self._count}"
        return Change(kind=_MOVED, key=key, owner=new, body=new, time=now)

    def holder(self, lfdi: str, time: int) -> str:
        """The LFDI by now of who had one at a time [s]."""
        last = 0
        while True:
            later = (m for m in self._of.get(lfdi, ()) if m[0] > last and m[1] >= time)
            move = next(later, None)
            if move is None:
                return lfdi
            last, _, lfdi = move

    def before(self, lfdi: str) -> Iterator[str]:
        """Itself, and all from which moves lead to it."""
        found, todo = {lfdi}, [lfdi]
        while todo:
            one = todo.pop()
            yield one
            more = self._before.get(one, set()) - found
            found |= more
            todo += sorted(more)

    def _take(self, old: str, new: str, at: int) -> None:
        self._count += 1
        self._of.setdefault(old, []).append((self._count, at, new))
        self._before.setdefault(new, set()).add(old)
