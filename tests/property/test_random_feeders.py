"""Over random small feeders: what is sent is safe, what is refused is impossible; from outside."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

from ems.dispatch import dispatch
from ems.domain import Infeasible, Verified
from tests.random_feeders import decided, random_feeder
from tests.random_feeders_search import decided_and_judged, judged

FEEDERS = 48
"""The bench runs a thousand others."""
ONCE_WRONG = (
    203, 289, 468, 580, 610, 843, 908, 982, 1018, 1156, 1223, 1267, 1361, 1640, 2107, 2315,
)  # fmt: skip
"""Seeds on which an unsafe dispatch was sent once, one out of reach, or one refused wrongly."""
JUDGES_JUDGED = 20
"""Feeders on which wrong answers are put before the judge."""


def test_every_dispatch_sent_is_safe_and_every_refusal_is_right(tmp_path: Path) -> None:
    faults, outcomes = [], Counter[str]()
    for seed in (*range(FEEDERS), *ONCE_WRONG):
        found, _ = decided_and_judged(seed, tmp_path)
        outcomes[found.outcome] += 1
        faults += [f"random_feeder({seed}), {found.outcome}: {fault}" for fault in found.faults]
    assert not faults, "\n".join(faults)
    assert min(outcomes[o] for o in ("verified, free", "verified, moved", "infeasible")) > 0


def test_the_judge_is_not_taken_in_by_unsafe_setpoints_nor_by_refusals_without_need(
    tmp_path: Path,
) -> None:
    shown = 0
    for seed in range(100, 100 + JUDGES_JUDGED):
        f = random_feeder(seed)
        secured, _ = decided(f, tmp_path)
        if not (isinstance(secured, Verified) and secured.linearisations):
            continue
        shown += 1
        free = dispatch(f.site, f.snapshot, f.forecast, f.price_usd_per_kwh)
        assert judged(f, replace(secured, dispatch=free)).faults, seed
        refusal = Infeasible(
            dispatch=secured.dispatch, load_flow=secured.load_flow, reason="", violations=()
        )
        assert judged(f, refusal).faults, seed
    assert shown > 0
