"""Several studies one after the other, with the same workers; each in a folder of its own.

Each of them goes on where it stopped, so a sweep does.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ems.backtest.comparing import measured
from ems.backtest.keeping import Failed
from ems.backtest.metrics import Metrics
from ems.backtest.pools import LocalPool, Pool
from ems.backtest.running import Tell, Told, cores, run
from ems.backtest.study import Study
from ems.backtest.working import Answer, SimulateDay, Task, usual_day


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One study of a sweep."""

    name: str
    """Of its folder."""
    study: Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What became of it."""

    metrics: tuple[Metrics, ...]
    """Of its chains."""
    failed: tuple[Failed, ...]
    """Days that could not be simulated."""


def named(value: float) -> str:
    """A number as part of a folder's name: in full, so that no two share a folder."""
    return repr(float(value)).removesuffix(".0")


def run_points(
    points: Sequence[Point],
    folder: Path,
    *,
    jobs: int | None = None,
    workers: Callable[[], Pool] | None = None,
    tell: Tell = lambda _told: None,
    simulate: SimulateDay = usual_day,
) -> list[Ran]:
    """Simulate what is missing of all points.

    Args:
        points: in order.
        folder: their folders lie in it.
        jobs: processes of this machine; None: one per core.
        workers: opens workers of another kind.
        tell: called whenever a day is over, with the days of all points.
        simulate: one day; a function that workers can import.

    Raises:
        BadInput: a point is no study, or its folder is another's.
        GeemsError: workers are of no use.
    """
    days = [sum(len(chain.days) for chain in p.study.chains()) for p in points]
    found: list[Ran] = []
    failed = 0
    with _lasting(workers or (lambda: LocalPool(jobs or cores()))) as opened:
        for i, point in enumerate(points):
            place = folder / point.name

            def told(t: Told, i: int = i, before: int = failed) -> None:
                over = sum(days[:i]) + t.over
                tell(replace(t, over=over, days=sum(days), failed=before + t.failed))

            outcome = run(point.study, place, workers=opened, tell=told, simulate=simulate)
            sites = {of.name: of.site for of in point.study.sites}
            found.append(Ran(metrics=tuple(measured(place, sites)), failed=outcome.failed))
            failed += len(outcome.failed)
    return found


class _Kept:
    """Workers that outlive a study; implements `Pool`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @property
    def slots(self) -> int:
        """How many days run side by side."""
        return self._pool.slots

    def submit(self, task: Task) -> "Future[Answer | None]":
        """Have a day simulated."""
        return self._pool.submit(task)

    def answer(self, future: "Future[Answer | None]") -> Answer | None:
        """What became of a task."""
        return self._pool.answer(future)

    def close(self) -> None:
        """Nothing yet: the next study uses them."""


@contextmanager
def _lasting(opened: Callable[[], Pool]) -> Iterator[Callable[[], Pool]]:
    """Opens the same workers for every study, and ends them after the last one."""
    pools: list[Pool] = []

    def open_once() -> Pool:
        if not pools:
            pools.append(opened())
        return _Kept(pools[0])

    try:
        yield open_once
    finally:
        for pool in pools:
            pool.close()
