"""What all parts of the board share: keeper, clock, numbers and mRIDs, who is told of changes."""

import json
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta

from ems.clock import Clock, WallClock
from ems.derms.keeping import Change, Entry, Keeper, MemoryKeeper
from ems.derms.owed import Owed
from ems.derms.served import Conflict
from ems.protocols.ieee2030_5 import identity

PEN = 0
"""Private enterprise number in the mRIDs that the server makes; 0: none is registered."""
_NUMBER = "number"
"""Kind of the documents that hold the highest numbers of what is gone."""
_SET = timedelta(milliseconds=500)
"""Times here are whole seconds: what is less than half of one is none."""

Touched = Callable[[str], None]
"""Told the path of a resource that changed."""


class Kept:
    """State in memory that a keeper keeps."""

    def __init__(
        self, keeper: Keeper | None = None, clock: Clock | None = None, *, pen: int = PEN
    ) -> None:
        """Take up what the keeper kept.

        Args:
            keeper: keeps the state over a restart; None: nothing does.
            clock: the server's time; None: the machine's, see `follow`.
            pen: private enterprise number for the mRIDs made here.
        """
        self.keeper: Keeper = keeper or MemoryKeeper()
        self.clock: Clock = clock or WallClock()
        self._own_clock = clock is None
        self.pen = pen
        self.assigned = 0
        """One higher with each change of a device, or of which device has which programs."""
        self.described = 0
        """One higher with each change of how much there is below a device."""
        self.mrids: set[str] = set()
        """Those that are taken."""
        self.listeners: list[Touched] = []
        self._numbers: dict[str, int] = {
            kept.key: int(kept.body or "0") for kept in self.keeper.documents(_NUMBER)
        }
        """The highest number given so far, by kind: paths are not given twice."""
        self._durable = _done()
        self._told = False
        """Whether `durable` was asked for since the last change."""

    def now(self) -> int:
        """The server's time [s since 1970, UTC]."""
        return int(self.clock.now().timestamp())

    def follow(self) -> bool:
        """Go by the machine's clock where that was set meanwhile; returns whether it was.

        Devices take their time from here. A clock that was handed in is its owner's to set.
        """
        if not self._own_clock or abs(self.clock.astray()) < _SET:
            return False
        self.clock.follow()
        return True

    @property
    def durable(self) -> "Future[None]":
        """Done when all changes so far are durable; raises where the last could not be kept.

        A fault is told once, to whoever made the change: it says nothing of what others do then.
        """
        if self._told and self._durable.done() and self._durable.exception() is not None:
            self._durable = _done()
        self._told = True
        return self._durable

    @property
    def unkept(self) -> str:
        """Why something that is served is not on the disk; empty: everything is."""
        owed: Owed | None = getattr(self.keeper, "owed", None)
        return "" if owed is None else owed.why

    @property
    def given_up(self) -> int:
        """How many changes are served that no disk would keep: with a restart they are gone."""
        owed: Owed | None = getattr(self.keeper, "owed", None)
        return 0 if owed is None else owed.given_up

    def keep_again(self) -> None:
        """Try what could not be kept; it stands in memory meanwhile."""
        owed: Owed | None = getattr(self.keeper, "owed", None)
        if owed is not None:
            owed.again()

    def mrid(self) -> str:
        """A new one."""
        return identity.mrid(pen=self.pen)

    def new_mrid(self, mrid: str) -> str:
        """The one that is wanted, where it is free, else one that is made.

        Raises:
            Conflict: something has it.
        """
        wanted = (mrid or self.mrid()).upper()
        if wanted in self.mrids:
            raise Conflict(f"mRID {wanted} is taken")
        return wanted

    def taken(self, kind: str, number: int) -> None:
        """A number was given."""
        self._numbers[kind] = max(number, self._numbers.get(kind, 0))

    def next(self, kind: str) -> int:
        """The number that is given next."""
        return self._numbers.get(kind, 0) + 1

    def retired(self, kind: str, number: int) -> tuple[Change, ...]:
        """What has to be kept with a removal, so that no restart gives its number again.

        A client that comes late must not meet another's resource at the path it knows.
        """
        if number < self._numbers.get(kind, 0):
            return ()
        return (self.put(_NUMBER, kind, number),)

    def keep(self, *what: Change | Entry) -> None:
        """Have all of it kept, or nothing; see `durable`."""
        self._durable, self._told = self.keeper.keep(*what), False

    def put(self, kind: str, key: str, body: object, owner: str = "") -> Change:
        """A document with `body` as JSON."""
        text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
        return Change(kind=kind, key=key, owner=owner, body=text, time=self.now())

    def drop(self, kind: str, key: str, owner: str = "") -> Change:
        """What drops a document."""
        return Change(kind=kind, key=key, owner=owner, body=None, time=self.now())

    def tell(self, *paths: str) -> None:
        """What is at these paths changed: whoever listens is told."""
        for path in paths:
            for listener in self.listeners:
                listener(path)


def _done() -> "Future[None]":
    done: Future[None] = Future()
    done.set_result(None)
    return done
