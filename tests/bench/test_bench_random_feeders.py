"""A thousand random small feeders: what becomes of each, how long it takes, and who confirms it.

Every dispatch that is sent is solved again from outside in all corners of its interval; for every
refusal a search of its own kind looks for setpoints that would have done.
"""

import statistics
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.bench.table import median_ms, tell
from tests.random_feeders_search import decided_and_judged

SEEDS = range(1000, 2000)
"""Others than those of the property test."""
PROCESSES = 2
"""Side by side; each decision is timed in one of them."""
MOST_ON_THE_WAY = 0.01
"""Share of dispatches that may be safe without being an optimum."""
ALL = "of all"


@pytest.mark.timeout(1800)  # six to ten minutes of processor time, shared with whatever else runs
def test_bench_random_feeders(tmp_path: Path) -> None:
    spent_s: dict[str, list[float]] = defaultdict(list)
    wrong: dict[str, int] = defaultdict(int)
    faults: list[str] = []
    judge = partial(decided_and_judged, folder=tmp_path)
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        judgements = pool.map(judge, SEEDS, chunksize=10)
        for seed, (found, seconds) in zip(SEEDS, judgements, strict=True):
            for outcome in (found.outcome, ALL):
                spent_s[outcome].append(seconds)
                wrong[outcome] += bool(found.faults)
            faults += [f"random_feeder({seed}), {found.outcome}: {x}" for x in found.faults]
    tell(
        "random_feeders",
        [
            {
                "outcome": outcome, "feeders": len(some), "confirmed": len(some) - wrong[outcome],
                "median_ms": median_ms(some), "p95_ms": _p95_ms(some), "most_ms": 1e3 * max(some),
            }
            for outcome, some in sorted(spent_s.items())
        ],
    )  # fmt: skip
    assert not faults, "\n".join(faults)
    assert len(spent_s["on the way"]) <= MOST_ON_THE_WAY * len(SEEDS)


def _p95_ms(seconds: list[float]) -> float:
    if len(seconds) == 1:
        return 1e3 * seconds[0]
    return 1e3 * statistics.quantiles(seconds, n=20, method="inclusive")[-1]
