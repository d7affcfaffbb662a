"""How the days of a chain follow from each other, also where parts of it ran side by side.

A chain is cut into blocks at fixed places. Each block but the first begins, after a day of run-in
that is not kept, from the site's initial state; so all of them can run at once. Then the seams are
mended: the first day after a seam runs again from the state that the block before it really left,
and the next one, until a day begins as the one that is kept there did. From there on what is kept
stands. What is compared, `DayState.agrees` says: charge, powers, caps and taps.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import date

from ems.backtest.case import DayState
from ems.backtest.keeping import Failed, KeptDay, Results
from ems.backtest.study import Chain


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A day to simulate next."""

    chain: Chain
    day: date
    start: bytes | None
    """State before it; None: the site's initial one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Over:
    """What became of it."""

    data: bytes | None
    """Of its file; None: it failed."""
    end: bytes | None
    """State it left."""
    why: str = ""


Steps = Generator[Step, Over, None]
"""Asks for one day after the other, and is sent what became of each."""


class ChainRun:
    """A chain while it is simulated: what is kept of it, what failed, what comes next."""

    def __init__(self, chain: Chain, results: Results) -> None:
        """Go on from what is kept."""
        self.chain = chain
        self.mended = 0
        """Days that ran again after a seam."""
        self.failed: dict[date, str] = {}
        self._results = results
        self.kept = {day for day in chain.days if results.read(chain.key, day) is not None}

    @property
    def over(self) -> int:
        """Days that are kept, or failed."""
        return len(self.kept) + len(self.failed)

    def failures(self) -> Iterator[Failed]:
        """Days that could not be simulated."""
        for day, why in self.failed.items():
            yield Failed(chain=self.chain.key, day=day, why=why)

    def block(self, number: int) -> Steps:
        """Simulate what is missing of a block, and what follows from what was missing.

        A run that was interrupted while seams were mended goes on here as well.
        """
        days = self.chain.blocks[number]
        state: bytes | None = None
        if number and self.chain.linked and days[0] not in self.kept:
            run_in = self.chain.blocks[number - 1][-1]
            state = (yield Step(chain=self.chain, day=run_in, start=None)).end
        for place, day in enumerate(days):
            kept = self._read(day)
            if kept is not None and (not place or self._follows(kept, state)):
                state = kept.end
            else:
                state = yield from self._simulated(day, state)

    def seams(self) -> Steps:
        """Simulate again what a block began with in another state than the one before it left.

        All blocks are simulated. Seams are mended in order: what a block leaves may change.
        """
        state: bytes | None = None
        for number, days in enumerate(self.chain.blocks):
            for day in days if number and self.chain.linked else ():
                kept = self._read(day)
                if kept is not None and self._follows(kept, state):
                    break
                state = yield from self._simulated(day, state)
                self.mended += 1
            state = self._left_by(days, state)

    def _simulated(self, day: date, state: bytes | None) -> Generator[Step, Over, bytes | None]:
        """Have a day simulated and kept; the state then: what it left, or if it failed the same."""
        over = yield Step(chain=self.chain, day=day, start=state)
        if over.data is None:
            self._results.drop(self.chain.key, day)
            self.kept.discard(day)
            self.failed[day] = over.why
            return state
        self._results.keep(self.chain.key, day, over.data)
        self.kept.add(day)
        self.failed.pop(day, None)
        return over.end

    def _left_by(self, days: tuple[date, ...], before: bytes | None) -> bytes | None:
        """State that a block leaves: of its last day that did not fail."""
        for day in reversed(days):
            kept = self._read(day)
            if kept is not None:
                return kept.end
        return before

    def _read(self, day: date) -> KeptDay | None:
        return self._results.read(self.chain.key, day) if day in self.kept else None

    def _follows(self, kept: KeptDay, state: bytes | None) -> bool:
        """Whether a kept day began with a state."""
        case = self.chain.case
        before = DayState.at_start(case) if state is None else DayState.from_bytes(state)
        return kept.start.agrees(before)
