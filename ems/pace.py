"""How long things take in one cycle, and what of it depends on that.

No stage sees a clock. A solve has a wall-clock limit all the same, and a plan is improved for as
long as there is time; what comes of that is noted here with its answer, so that a replay takes the
same branch on a machine of any speed.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from ems.domain import Dispatch, LateSolve, Plan, SolverStatus, Timed
from ems.errors import SolverFault

Made = TypeVar("Made")
Solved = tuple[Dispatch, Plan | None]

NEARLY = 0.9
"""Share of its limit from which on a solve may have met it [1]: the solvers' own clocks start a
little later than ours."""
FOREVER_S = 1e6
"""Limit of a solve that has none: twelve days; a solver takes no infinity [s]."""


class Pace:
    """Times one cycle, and notes what depended on it."""

    def __init__(self) -> None:
        self.stage_s: dict[str, float] = {}
        """Wall time per stage [s]."""
        self._late: list[LateSolve] = []
        self._solves = 0
        self._proofs = 0
        self._proofs_in_time: int | None = None

    @property
    def timed(self) -> Timed:
        """What depended on time so far."""
        return Timed(solves=tuple(self._late), proofs=self._proofs_in_time)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the wall time of the block to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.stage_s[name] = self.stage_s.get(name, 0.0) + time.perf_counter() - started

    def part_of(self, name: str, work: Callable[..., Made]) -> Callable[..., Made]:
        """The same work, its wall time added to a stage."""

        def timed(*values: object) -> Made:
            with self.stage(name):
                return work(*values)

        return timed

    def allowed_s(self, limit_s: float) -> float:
        """How long something may take that has this limit [s]."""
        return limit_s

    def solved(
        self,
        work: Callable[[], Solved],
        limit_s: float,
        *,
        by: str = "",
        keep_plan: bool = False,
    ) -> Solved:
        """The answer of a solve, noted where it may depend on time.

        Args:
            work: solves.
            limit_s: the shortest time in which anything in it may have been cut short [s].
            by: the only solver that was to be asked; another one stands in where it was lost.
            keep_plan: whether its plan decides what is done next.

        Raises:
            SolverFault: as `work`.
        """
        number, started = self._next(), time.perf_counter()
        try:
            dispatch, plan = work()
        except SolverFault as fault:
            self._late.append(LateSolve(number=number, fault=str(fault)))
            raise
        hurried = time.perf_counter() - started >= NEARLY * limit_s
        undecided = plan is None or plan.either_or > 0
        stood_in = by == "ipopt" and dispatch.solver != by
        if (hurried and undecided) or stood_in or dispatch.status is not SolverStatus.OPTIMAL:
            kept = plan if keep_plan else None
            self._late.append(LateSolve(number=number, dispatch=dispatch, plan=kept))
        return dispatch, plan

    def too_late(self, found: bool) -> bool:
        """Whether no time is left for the next load flow of an interval ahead; once yes, always."""
        if found and self._proofs_in_time is None:
            self._proofs_in_time = self._proofs
        self._proofs += 1
        return found

    def _next(self) -> int:
        self._solves += 1
        return self._solves - 1


class AsRecorded(Pace):
    """Takes the branches that a recorded cycle took; nothing else is ever late."""

    def __init__(self, timed: Timed, plan: Plan | None) -> None:
        """Follow a record.

        Args:
            timed: what depended on time in it.
            plan: what it planned.
        """
        super().__init__()
        self._known = {late.number: late for late in timed.solves}
        self._last_proof = timed.proofs
        self._plan = plan

    def allowed_s(self, limit_s: float) -> float:
        """As long as it takes."""
        return max(limit_s, FOREVER_S)

    def solved(
        self,
        work: Callable[[], Solved],
        limit_s: float,
        *,
        by: str = "",
        keep_plan: bool = False,
    ) -> Solved:
        """The recorded answer where it was late; else the solve's own."""
        late = self._known.get(self._solves)
        if late is None:
            return super().solved(work, self.allowed_s(limit_s), by=by, keep_plan=keep_plan)
        self._next()
        self._late.append(late)
        if late.dispatch is None:
            raise SolverFault(late.fault)
        return late.dispatch, late.plan or self._plan

    def too_late(self, found: bool) -> bool:
        """As recorded."""
        del found
        return super().too_late(self._last_proof is not None and self._proofs >= self._last_proof)
