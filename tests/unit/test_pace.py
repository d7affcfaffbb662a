"""What of a cycle depends on time, noted and taken again."""

from dataclasses import replace
from pathlib import Path

import pytest

from ems.domain import Dispatch, LateSolve, Plan, SolverStatus, Timed
from ems.errors import SolverFault
from ems.pace import FOREVER_S, AsRecorded, Pace
from ems.record import from_json

FOUND = from_json(Path(__file__).with_name("test_record_sample.json").read_text()).free
OPTIMAL = replace(FOUND, status=SolverStatus.OPTIMAL, solver="ipopt")
PLAN = Plan(
    starts=(), price_usd_per_kwh=(), load_kw=(), p_kw={}, storage={}, grid_kw=(), cost_usd=(),
    status=SolverStatus.OPTIMAL, gap_usd=0.0, either_or=2, wall_s=0.0,
)  # fmt: skip
LONG_S, NO_S = 1e3, 0.0
"""A limit that no solve here comes near, and one that every solve has met."""


def answer(dispatch: Dispatch = OPTIMAL, plan: Plan | None = None) -> tuple[Dispatch, Plan | None]:
    return dispatch, plan


def late() -> tuple[Dispatch, Plan | None]:
    raise SolverFault("too late")


def test_an_optimum_in_time_depends_on_nothing_and_is_not_noted() -> None:
    pace = Pace()
    assert pace.solved(answer, LONG_S) == (OPTIMAL, None)
    assert pace.timed == Timed()


def test_what_met_its_limit_or_is_no_optimum_is_noted_with_its_place() -> None:
    pace = Pace()
    worse = replace(OPTIMAL, status=SolverStatus.ACCEPTABLE)
    pace.solved(answer, LONG_S)
    pace.solved(answer, NO_S)
    pace.solved(lambda: answer(worse), LONG_S)
    with pytest.raises(SolverFault):
        pace.solved(late, LONG_S)
    assert pace.timed.solves == (
        LateSolve(number=1, dispatch=OPTIMAL),
        LateSolve(number=2, dispatch=worse),
        LateSolve(number=3, fault="too late"),
    )


def test_a_plan_without_either_ors_is_not_cut_short_whatever_it_took() -> None:
    pace = Pace()
    pace.solved(lambda: answer(plan=replace(PLAN, either_or=0)), NO_S)
    assert not pace.timed.solves
    pace.solved(lambda: answer(plan=PLAN), NO_S)
    pace.solved(lambda: answer(plan=PLAN), NO_S, keep_plan=True)
    noted = tuple(pace.timed.solves)
    assert noted == (
        LateSolve(number=1, dispatch=OPTIMAL),
        LateSolve(number=2, dispatch=OPTIMAL, plan=PLAN),
    )


def test_a_solver_that_stands_in_for_the_only_one_asked_is_noted() -> None:
    pace = Pace()
    pace.solved(answer, LONG_S, by="ipopt")
    pace.solved(lambda: answer(replace(OPTIMAL, solver="highs")), LONG_S, by="ipopt")
    pace.solved(lambda: answer(replace(OPTIMAL, solver="highs")), LONG_S, by="auto")
    assert [one.number for one in pace.timed.solves] == [1]


def test_a_record_answers_what_was_late_and_nothing_else() -> None:
    pace = Pace()
    pace.solved(answer, LONG_S)
    pace.solved(lambda: answer(plan=PLAN), NO_S)
    with pytest.raises(SolverFault):
        pace.solved(late, LONG_S)
    again = AsRecorded(pace.timed, PLAN)
    fresh = replace(OPTIMAL, grid_kw=1.0)
    assert again.solved(lambda: answer(fresh), NO_S) == (fresh, None)
    assert again.solved(late, LONG_S) == (OPTIMAL, PLAN)
    with pytest.raises(SolverFault, match="too late"):
        again.solved(answer, LONG_S)
    assert again.timed == pace.timed
    assert again.allowed_s(20.0) == FOREVER_S


def test_load_flows_end_where_the_recorded_ones_ended() -> None:
    pace = Pace()
    asked = [pace.too_late(found) for found in (False, False, True, True)]
    assert asked == [False, False, True, True]
    assert pace.timed.proofs == 2
    again = AsRecorded(pace.timed, None)
    assert [again.too_late(False) for _ in range(4)] == asked
    assert again.timed == pace.timed
    unhurried = AsRecorded(Timed(), None)
    assert not any(unhurried.too_late(True) for _ in range(4))


def test_stages_add_up_also_when_they_fail() -> None:
    pace = Pace()
    with pace.stage("dispatch"):
        pass
    with pytest.raises(SolverFault), pace.stage("dispatch"):
        raise SolverFault("late")
    assert pace.part_of("command", lambda x: x + 1)(1) == 2
    assert set(pace.stage_s) == {"dispatch", "command"}
