"""Run a study: every day somewhere, its rows into the folder, and on after whatever interrupts.

Workers get all they need as arguments and give back bytes; this process alone writes. A study that
is run again in its folder goes on where it stopped. Neither the number of workers nor what kind
they are changes a row.
"""

import os
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from ems.backtest.case import STEPS_USUAL, DayInput, Profiles
from ems.backtest.chains import ChainRun, Over, Step, Steps
from ems.backtest.forecasts import Foreseen, foresee
from ems.backtest.keeping import Failed, Results
from ems.backtest.pools import DaskPool, LocalPool, Pool
from ems.backtest.profiles import generated
from ems.backtest.study import Chain, Study, StudySite, study_faults, versions
from ems.backtest.working import (
    Answer,
    Done,
    FeederFiles,
    SimulateDay,
    Task,
    Undone,
    feeder_files,
    usual_day,
)
from ems.errors import BadInput, GeemsError

WAITING = 2
"""Days asked for per worker: one it is at, and one so that it never waits."""
DEADLY = 3
"""A day over which so many workers died is to blame for it."""
HOPELESS = 3
"""So many days that killed their workers, and none that did not: it is not the days."""
HELD = 4
"""Sites and seeds whose sun and forecasts are held at least, some MB each for a year; more where
more of them take turns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How far a study is."""

    over: int
    """Days that are kept, or failed."""
    days: int
    """Of all chains."""
    failed: int
    deaths: int
    """How often workers died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run came to."""

    days: int
    """Of all chains."""
    simulated: int
    """By this run; days of run-in and of mended seams count too."""
    mended: int
    """Days that ran again after a seam."""
    deaths: int
    """How often workers died."""
    failed: tuple[Failed, ...]


Tell = Callable[[Told], None]


def run(
    study: Study,
    folder: Path,
    *,
    jobs: int | None = None,
    scheduler: str | None = None,
    workers: Callable[[], Pool] | None = None,
    tell: Tell = lambda _told: None,
    simulate: SimulateDay = usual_day,
) -> Outcome:
    """Simulate all days of a study that its folder does not hold yet.

    Args:
        study: what is asked.
        folder: of its results.
        jobs: processes of this machine; None: one per core.
        scheduler: address of a Dask scheduler, in place of them.
        workers: opens workers of another kind, in place of either.
        tell: called whenever a day is over.
        simulate: one day; a function that workers can import.

    Raises:
        BadInput: it is no study, the folder is another's, or the scheduler does not answer.
        GeemsError: the scheduler is gone, or workers are of no use.
        KeyboardInterrupt: as it came; what was over by then is kept.
    """
    faults = study_faults(study)
    if faults:
        raise BadInput(faults)

    def usual() -> Pool:
        if scheduler:
            return DaskPool(scheduler)
        strands = sum(len(chain.blocks) for chain in study.chains())
        return LocalPool(min(jobs or cores(), strands))

    with Results.opened(folder, study.asked()) as results:
        running = _Running(study, results, workers or usual, simulate, tell)
        try:
            running.all()
        finally:
            results.tell_failed(running.failed())
        return running.outcome()


def cores() -> int:
    """Of this machine that this process may use."""
    return len(os.sched_getaffinity(0))


@dataclass(slots=True, kw_only=True, eq=False)
class _Strand:
    """Days of a chain that follow each other; one is asked for at a time."""

    run: ChainRun
    steps: Steps
    step: Step
    """What it asks for."""
    deaths: int = 0
    """How often a worker died while this step was under way."""


class _Running:
    """A study while it runs."""

    def __init__(
        self,
        study: Study,
        results: Results,
        opened: Callable[[], Pool],
        simulate: SimulateDay,
        tell: Tell,
    ) -> None:
        self._results, self._opened, self._simulate, self._tell = results, opened, simulate, tell
        self._given = _Given(study)
        self._runs = [ChainRun(chain, results) for chain in study.chains()]
        self._blocks_left = {id(r): len(r.chain.blocks) for r in self._runs}
        self._fresh = self._begun()
        self._ready: deque[_Strand] = deque()
        self._under_way: dict[Future[Answer | None], _Strand] = {}
        self._pool: Pool | None = None
        self._simulated = self._deaths = self._fatal = 0

    def all(self) -> None:
        """Until nothing is left to ask for."""
        self._told()
        try:
            while True:
                self._ask()
                if not self._under_way:
                    return
                self._take_answers()
                self._told()
        finally:
            if self._pool is not None:
                self._pool.close()

    def failed(self) -> list[Failed]:
        """Days that could not be simulated."""
        return [failure for r in self._runs for failure in r.failures()]

    def outcome(self) -> Outcome:
        """What it came to."""
        return Outcome(
            days=sum(len(r.chain.days) for r in self._runs),
            simulated=self._simulated,
            mended=sum(r.mended for r in self._runs),
            deaths=self._deaths,
            failed=tuple(self.failed()),
        )

    def _told(self) -> None:
        self._tell(
            Told(
                over=sum(r.over for r in self._runs),
                days=sum(len(r.chain.days) for r in self._runs),
                failed=sum(len(r.failed) for r in self._runs),
                deaths=self._deaths,
            )
        )

    # --- what comes next ---------------------------------------------------------------

    def _begun(self) -> Iterator[list[_Strand]]:
        """The blocks of each chain that have something to ask for.

        They begin together: going on in turn, they end together, and no worker waits for the last.
        """
        for r in self._runs:
            blocks = [r.block(number) for number in range(len(r.chain.blocks))]
            strands = [self._asking(r, steps, next(steps, None)) for steps in blocks]
            yield [strand for strand in strands if strand is not None]

    def _asking(self, r: ChainRun, steps: Steps, step: Step | None) -> _Strand | None:
        """A strand with something to ask for; what follows when it has nothing more."""
        while step is None:
            # The last block of a chain is followed by its seams, which nothing follows.
            self._blocks_left[id(r)] -= 1
            if self._blocks_left[id(r)] != 0:
                return None
            steps = r.seams()
            step = next(steps, None)
        return _Strand(run=r, steps=steps, step=step)

    def _ask(self) -> None:
        """Keep the workers busy."""
        while self._has_room():
            while not self._ready:
                begun = next(self._fresh, None)
                if begun is None:
                    return
                self._ready.extend(begun)
            strand = self._ready.popleft()
            pool = self._pool = self._pool or self._opened()
            self._under_way[pool.submit(self._task(strand.step))] = strand

    def _has_room(self) -> bool:
        return self._pool is None or len(self._under_way) < WAITING * self._pool.slots

    def _task(self, step: Step) -> Task:
        chain = step.chain
        return Task(
            case=chain.case,
            feeder=self._given.feeder(chain),
            given=self._given.day(chain, step.day, self._live()),
            start=step.start,
            study=self._results.digest,
            simulate=self._simulate,
            versions=versions(),
        )

    def _live(self) -> int:
        """How many sites and seeds take turns."""
        strands = (*self._ready, *self._under_way.values())
        keys = (strand.run.chain.key for strand in strands)
        return 1 + len({(key.site, key.seed) for key in keys})

    # --- what came of it ---------------------------------------------------------------

    def _take_answers(self) -> None:
        """Wait for a day to be over, and take all that are."""
        assert self._pool is not None  # noqa: S101 - something is under way in it
        over, _ = wait(self._under_way, return_when=FIRST_COMPLETED)
        for future in [f for f in self._under_way if f in over]:  # in the order they were asked
            strand = self._under_way.pop(future)
            answer = self._pool.answer(future)
            if answer is None:
                self._lost(strand)
            else:
                self._answered(strand, answer)

    def _lost(self, strand: _Strand) -> None:
        """A day whose worker died is asked for again, unless it is to blame."""
        self._deaths += 1
        strand.deaths += 1
        if strand.deaths < DEADLY:
            self._ready.append(strand)
            return
        self._fatal += 1
        if self._fatal >= HOPELESS and not self._simulated:
            raise GeemsError("every worker ends before it has simulated a day")
        why = f"the process that simulated it ended by itself, {strand.deaths} times"
        self._go_on(strand, Over(data=None, end=strand.step.start, why=why))

    def _answered(self, strand: _Strand, answer: Answer) -> None:
        match answer:
            case Done(data=data, end=end):
                self._simulated += 1
                self._go_on(strand, Over(data=data, end=end))
            case Undone(strange=True, why=why):
                raise GeemsError(why)
            case Undone(why=why):
                self._go_on(strand, Over(data=None, end=strand.step.start, why=why))

    def _go_on(self, strand: _Strand, over: Over) -> None:
        """Give a strand its answer; what it asks next comes before chains that have not begun."""
        try:
            step = strand.steps.send(over)
        except StopIteration:
            step = None
        following = self._asking(strand.run, strand.steps, step)
        if following is not None:
            self._ready.append(following)


class _Given:
    """What days are given: sun, load and forecasts of each site and seed, and feeders' files."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._sites = {of.name: of for of in study.sites}
        self._foreseen: OrderedDict[tuple[str, int], Foreseen] = OrderedDict()
        self._feeders: dict[str, FeederFiles | None] = {}

    def day(self, chain: Chain, day: date, live: int) -> DayInput:
        """Of one chain.

        Args:
            chain: whose it is.
            day: of its period.
            live: how many sites and seeds take turns.
        """
        key = (chain.key.site, chain.key.seed)
        if key not in self._foreseen:
            profiles = profiles_of(self._study, self._sites[chain.key.site], chain.key.seed)
            self._foreseen[key] = foresee(chain.case, profiles, chain.period)
            while len(self._foreseen) > max(HELD, live):
                self._foreseen.popitem(last=False)
        self._foreseen.move_to_end(key)
        given = self._foreseen[key].day(chain.case, day)
        # A day on its own is a period of its own, at whose end the battery is as it began.
        return given if chain.linked else replace(given, intervals_left=len(given))

    def feeder(self, chain: Chain) -> FeederFiles | None:
        """As it is sent to workers."""
        source = chain.case.feeder
        if source not in self._feeders:
            self._feeders[source] = feeder_files(source)
        return self._feeders[source]


def profiles_of(study: Study, of: StudySite, seed: int) -> Profiles:
    """Sun and load of a site: of its file, or made up."""
    if of.profiles is not None:
        return of.profiles.profiles
    return generated(of.site, study.period(of), seed=seed, steps=study.steps or STEPS_USUAL)
