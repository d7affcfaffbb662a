"""Who changed what: an entry for every change, each sealed with the hash of the one before it.

Whoever alters or removes an entry breaks the chain from there on; whoever removes the newest ones
breaks it at its head, which is kept apart.
"""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ems.derms.keeping import Change, Entry, Keeper, Kept
from ems.derms.served import NotFound

AUDIT = "audit"
"""Kind of the entries, and of the document that holds the head of the chain."""
_HEAD = "head"
"""Key of that document."""
FILE = "file"
"""Who made what a file declares."""
FIRST = "0" * 64
"""What stands for the hash before the first entry."""
Head = tuple[int, str]
"""Number and hash of an entry: the last one of a chain as it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """One entry."""

    number: int
    """From 1 on, without gaps."""
    time: int
    """[s since 1970, UTC]."""
    who: str
    """LFDI of the certificate; `token` for the bearer of the token, `file` for the server's."""
    what: str
    """Method and path, for example `PATCH /admin/v1/devices/inverter-1`; what of which file."""
    before: Any
    """What was changed, as it was; None where there was nothing."""
    after: Any
    """What it became; None where there is nothing any more."""
    previous: str
    """Hash of the entry before it."""
    hash: str
    """Hash of all this, SHA-256."""


@dataclass(slots=True)
class Noted:
    """What a change says of itself."""

    before: Any = None
    after: Any = None


class Audit:
    """Entries are made on the server's loop, as the board's changes are.

    Those that were kept are read from any other thread: that waits for the disk.
    """

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self.durable: Future[None] = Future()
        """Done when the entry made last is, and all that came before it."""
        self.durable.set_result(None)
        self._head = head_of(keeper)
        """Number and hash of the entry made last."""

    @property
    def made_so_far(self) -> int:
        """How many entries there are."""
        return self._head[0]

    @contextmanager
    def change(self, who: str, what: str, now: int, *, always: bool = True) -> Iterator[Noted]:
        """A change and its entry, kept together; where it fails there is no entry.

        Args:
            who: makes it.
            what: is asked.
            now: [s since 1970, UTC].
            always: False: where it stands as before, there is no entry.
        """
        noted = Noted()
        with self._together():
            yield noted
            if always or noted.before != noted.after:
                self._add(who, what, noted, now)

    def made(
        self,
        who: str,
        what: str,
        now: int,
        act: Callable[[], object],
        shown: Callable[[], Any],
        *,
        always: bool = True,
    ) -> Noted:
        """Make a change, and enter it; see `change`.

        Args:
            who: makes it.
            what: is asked.
            now: [s since 1970, UTC].
            act: makes the change; where it raises, there is no entry.
            shown: what is changed, as it stands; raises NotFound where it does not.
            always: see `change`.
        """
        with self.change(who, what, now, always=always) as noted:
            noted.before = _or_none(shown)
            act()
            noted.after = _or_none(shown)
        return noted

    def entries(self, since: int = 0, newest: int | None = None) -> Iterator[Audited]:
        """Those made from `since` on, oldest first; with `newest` hardly more than the last."""
        for entry in self._keeper.entries(AUDIT, since=since, newest=newest):
            yield Audited(**json.loads(entry.body))

    def last(self, most: int) -> list[Audited]:
        """The newest ones, oldest first."""
        return list(deque(self.entries(newest=most), maxlen=most))

    def page(self, most: int, *, since: int = 0, after: int = 0) -> list[Audited]:
        """The first ones of those made from `since` on, and behind the entry `after`.

        Args:
            most: so many at most.
            since: [s since 1970, UTC].
            after: number of an entry, of the last one of the page before.
        """
        return list(islice((one for one in self.entries(since) if one.number > after), most))

    def fault(self) -> str:
        """Where the chain is broken; empty: it is whole."""
        return _broken(self._keeper, lambda _: self._head)

    def _together(self) -> AbstractContextManager[None]:
        together = getattr(self._keeper, "together", None)
        return nullcontext() if together is None else together()

    def _add(self, who: str, what: str, noted: Noted, now: int) -> None:
        number, previous = self._head
        held = {
            "number": number + 1,
            "time": now,
            "who": who,
            "what": what,
            "before": noted.before,
            "after": noted.after,
            "previous": previous,
        }
        seal = sealed(held)
        body = _written(held | {"hash": seal})
        head = json.dumps({"number": held["number"], "hash": seal})
        self.durable = self._keeper.keep(
            Entry(kind=AUDIT, owner=who, key=what, body=body, time=now),
            Change(kind=AUDIT, key=_HEAD, owner="", body=head, time=now),
        )
        self._head = (number + 1, seal)


def head_of(kept: Kept) -> Head:
    """The end of the chain, as it is kept apart.

    Raises:
        ValueError: what is kept there is none.
    """
    for document in kept.documents(AUDIT):
        if document.key == _HEAD:
            held = _parsed(document.body or "")
            match held:
                case {"number": int(number), "hash": str(seal)} if number > 0:
                    return number, seal
            raise ValueError("no end of a chain")
    return 0, FIRST


def checked(kept: Kept, earlier: Sequence[Head] = ()) -> tuple[Head, str]:
    """The end of a chain as it is kept, and where the chain is broken; empty: it is whole.

    Args:
        kept: where it is kept; more may be entered meanwhile.
        earlier: ends that were noted elsewhere: who rewrites all of it, rewrites not these.
    """
    try:
        return head_of(kept), _broken(kept, head_of, earlier)
    except ValueError:
        return (0, FIRST), "its end was altered"


def _broken(kept: Kept, head: Callable[[Kept], Head], earlier: Sequence[Head] = ()) -> str:
    """Where a chain is broken; empty: it is whole.

    Args:
        kept: where it is kept; more may be entered meanwhile.
        head: tells its end.
        earlier: ends that it had: it must pass through all of them.
    """
    known: dict[int, set[str]] = {}
    for at, seal in (head(kept), *earlier):
        if at:
            known.setdefault(at, set()).add(seal)
    number, last = 0, FIRST
    for kept_entry in kept.entries(AUDIT):
        number += 1
        entry = _sound(kept_entry)
        if entry is None:
            return f"entry {number} was altered"
        if entry.number != number or entry.previous != last:
            return f"entry {number} is missing or was altered"
        if known.get(number, {entry.hash}) != {entry.hash}:
            return f"entry {number} was altered"
        last = entry.hash
    if number < max(known, default=0):
        return f"entries behind {number} are missing"
    # An entry and the end are kept together: whatever was read is no longer than the end is now.
    end, seal = head(kept)
    if number > end:
        return f"its end is missing, or entries behind {end} were put in"
    return f"entry {number} was altered" if number == end and last != seal else ""


def _sound(kept: Entry) -> Audited | None:
    """An entry as it was made; None where anything of it was altered, even how it is written."""
    try:
        entry = Audited(**_parsed(kept.body))
        held = _plain(entry)
        intact = (
            kept.body == _written(held | {"hash": sealed(held)})
            and (kept.owner, kept.key, kept.time) == (entry.who, entry.what, entry.time)
        )  # fmt: skip
    except (ValueError, TypeError):
        return None
    return entry if intact else None


def _parsed(text: str) -> Any:
    """A JSON text.

    Raises:
        ValueError: it is none, or nothing that was ever written here.
    """
    try:
        return json.loads(text)
    except (TypeError, RecursionError) as fault:
        raise ValueError(str(fault)) from fault


def _written(held: Mapping[str, Any]) -> str:
    """An entry's members, as they are kept."""
    return json.dumps(held, ensure_ascii=False, separators=(",", ":"))


def _or_none(shown: Callable[[], Any]) -> Any:
    try:
        return shown()
    except NotFound:
        return None


def sealed(held: Mapping[str, Any]) -> str:
    """Hash of an entry's members: SHA-256 over them as JSON, in order of their names."""
    text = json.dumps(held, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(entry: Audited) -> dict[str, Any]:
    names: Iterable[str] = ("number", "time", "who", "what", "before", "after", "previous")
    return {name: getattr(entry, name) for name in names}
