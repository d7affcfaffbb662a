"""Chains of days: cut, run side by side, mended at their seams, and gone on with."""

import json
from concurrent.futures import Future
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from ems.backtest import pools, running
from ems.backtest import study as studies
from ems.backtest.case import DayInput, Errors
from ems.backtest.keeping import days_of, hash_of
from ems.backtest.period import intervals_of, midnight
from ems.backtest.running import Outcome, Told, run
from ems.backtest.study import Chain, Study
from ems.backtest.working import Answer, SimulateDay, Task, work
from ems.errors import BadInput, GeemsError
from tests.backtest_days import FIRST, failing_day, forgetful_day, next_soc_pct, study, tiny_day
from tests.backtests import case, given

THIRD = date(2019, 6, 3)
CUT = 6
"""Shorter than usual, so that tests are quick."""


class _Load:
    """Days of a steady load and no sun; in the place of profiles and forecasts."""

    def __init__(self, _study: Study) -> None:
        pass

    def day(self, chain: Chain, day: date, _live: int) -> DayInput:
        count = intervals_of(day, chain.case.zone)
        start = midnight(day, chain.case.zone).replace(tzinfo=None).isoformat()
        return replace(given(case("none"), 0.0, intervals=count, start=start), day=day)

    def feeder(self, _chain: Chain) -> None:
        return None


class Here:
    """Workers that are this process; one of them dies over a day, so many times."""

    def __init__(self, slots: int = 2, *, kills: date | None = None, times: int = 0) -> None:
        self.slots = slots
        self._kills, self._times = kills, times
        self.asked: list[date] = []

    def __call__(self) -> "Here":
        return self

    def submit(self, task: Task) -> "Future[Answer | None]":
        future: Future[Answer | None] = Future()
        self.asked.append(task.given.day)
        if task.given.day == self._kills and self._times:
            self._times -= 1
            future.set_result(None)
        else:
            future.set_result(work(task))
        return future

    def answer(self, future: "Future[Answer | None]") -> Answer | None:
        return future.result()

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _steady_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "CUT", CUT)
    monkeypatch.setattr(running, "_Given", _Load)


def ran(
    asked: Study, folder: Path, simulate: SimulateDay = tiny_day, here: Here | None = None
) -> Outcome:
    return run(asked, folder, workers=here or Here(), simulate=simulate)


def began_with(folder: Path) -> list[float]:
    """Charge with which each day of the only chain began [%]."""
    ((_, paths),) = days_of(folder).items()
    return [parquet.ParquetFile(p).read(columns=["soc_pct.bes"])[0][0].as_py() for p in paths]


def straight(days: int) -> list[float]:
    """The same, had the chain never been cut [%]."""
    soc = [60.0]
    for _ in range(days - 1):
        soc.append(next_soc_pct(soc[-1]))
    return soc


def test_a_short_chain_runs_day_after_day_and_is_never_mended(tmp_path: Path) -> None:
    here = Here()
    outcome = ran(study(5), tmp_path, here=here)
    assert here.asked == [FIRST + timedelta(days=i) for i in range(5)]
    assert (outcome.days, outcome.simulated, outcome.mended) == (5, 5, 0)
    assert began_with(tmp_path) == straight(5)


def test_seams_are_mended_until_the_days_agree(tmp_path: Path) -> None:
    days = 2 * CUT + 3
    outcome = ran(study(days), tmp_path)
    assert began_with(tmp_path) == straight(days)
    # The run-in ends at 36 %, the day before at 30 %; three days later the difference is gone.
    assert outcome.mended == 2 * 3
    assert outcome.simulated == days + 2 + outcome.mended


def test_a_seam_at_which_nothing_differs_costs_one_day_of_run_in(tmp_path: Path) -> None:
    outcome = ran(study(CUT + 2), tmp_path, forgetful_day)
    assert (outcome.mended, outcome.simulated) == (0, CUT + 3)


def test_parts_of_a_chain_take_turns_so_that_they_end_together(tmp_path: Path) -> None:
    here = Here(1)
    ran(study(3 * CUT), tmp_path, forgetful_day, here)
    # The parts but the first begin with a day of run-in, so the first is a day ahead.
    assert [(day - FIRST).days // CUT for day in here.asked[:4]] == [0, 0, 1, 0]
    assert {(day - FIRST).days // CUT for day in here.asked[-3:]} == {1, 2}


def test_a_process_that_cannot_be_started_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refused:
        def __init__(self) -> None:
            raise ValueError("no process today")

    monkeypatch.setattr(pools, "_Worker", Refused)
    with pytest.raises(ValueError, match="no process today"):
        run(study(2), tmp_path, jobs=1, simulate=tiny_day)


@pytest.mark.parametrize("slots", [1, 2, 7])
def test_rows_are_the_same_on_any_number_of_workers(tmp_path: Path, slots: int) -> None:
    asked = study(CUT + 2, "none", "rules", seeds=(1, 2))
    ran(asked, tmp_path / "one")
    ran(asked, tmp_path / "other", here=Here(slots))
    assert hash_of(tmp_path / "one") == hash_of(tmp_path / "other")


@pytest.mark.parametrize(
    ("days", "parts", "longest"), [(6, 1, 6), (7, 2, 4), (31, 6, 6), (365, 6, 61), (732, 12, 61)]
)
def test_a_long_chain_is_cut_into_parts_of_one_length(days: int, parts: int, longest: int) -> None:
    whole = tuple(FIRST + timedelta(days=i) for i in range(days))
    cut = studies.blocks_of(whole)
    assert sum(cut, ()) == whole
    assert (len(cut), max(map(len, cut))) == (parts, longest)
    assert min(map(len, cut)) >= longest - 1


@pytest.mark.parametrize(
    ("first", "days", "begins"),
    [
        (date(2019, 1, 1), 365, ["01-01", "03-01", "05-01", "07-01", "09-01", "11-01"]),
        (date(2019, 6, 17), 29, ["06-17", "07-01"]),
        (date(2019, 6, 2), 28, ["06-02"]),
    ],
)
def test_a_chain_with_a_demand_charge_is_cut_where_months_begin(
    first: date, days: int, begins: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    whole = tuple(first + timedelta(days=i) for i in range(days))
    cut = studies.blocks_of(whole, by_month=True)
    assert sum(cut, ()) == whole
    assert [f"{part[0]:%m-%d}" for part in cut] == begins


def test_independent_days_have_no_seams(tmp_path: Path) -> None:
    outcome = ran(study(CUT + 2, independent_days=True), tmp_path)
    assert outcome.simulated == outcome.days == CUT + 2
    assert set(began_with(tmp_path)) == {60.0}


def test_a_failed_day_is_listed_and_the_chain_goes_on_without_it(tmp_path: Path) -> None:
    outcome = ran(study(5), tmp_path, failing_day)
    (failed,) = outcome.failed
    assert failed.day == THIRD
    assert "the third of June is not to be had" in failed.why
    (told,) = json.loads((tmp_path / "failed.json").read_text())
    assert (told["day"], told["chain"]["policy"]) == ("2019-06-03", "none")
    assert began_with(tmp_path) == straight(4)


def test_the_next_run_tries_a_failed_day_again_and_what_follows_from_it(tmp_path: Path) -> None:
    ran(study(5), tmp_path, failing_day)
    outcome = ran(study(5), tmp_path)
    assert outcome.failed == ()
    assert not (tmp_path / "failed.json").exists()
    assert began_with(tmp_path) == straight(5)


def test_a_study_that_is_complete_asks_for_nothing(tmp_path: Path) -> None:
    ran(study(CUT + 3), tmp_path)
    before = hash_of(tmp_path)
    here = Here()
    outcome = ran(study(CUT + 3), tmp_path, here=here)
    assert here.asked == []
    assert outcome.simulated == 0
    assert hash_of(tmp_path) == before


@pytest.mark.parametrize("at", [1, CUT - 1, CUT + 1, CUT + 2, CUT + 3])
def test_a_run_interrupted_anywhere_and_gone_on_with_leaves_the_same_rows(
    tmp_path: Path, at: int
) -> None:
    asked = study(CUT + 5)
    ran(asked, tmp_path / "whole")
    count = 0

    def interrupting(_told: Told) -> None:
        nonlocal count
        count += 1
        if count > at:
            raise KeyboardInterrupt

    part = tmp_path / "part"
    with pytest.raises(KeyboardInterrupt):
        run(asked, part, workers=Here(1), simulate=tiny_day, tell=interrupting)
    ran(asked, part)
    assert hash_of(part) == hash_of(tmp_path / "whole")


def test_a_day_whose_worker_died_is_simulated_again(tmp_path: Path) -> None:
    here = Here(kills=THIRD, times=1)
    outcome = ran(study(5, "none", "rules"), tmp_path / "shaken", here=here)
    assert (outcome.deaths, outcome.failed) == (1, ())
    ran(study(5, "none", "rules"), tmp_path / "calm")
    assert hash_of(tmp_path / "calm") == hash_of(tmp_path / "shaken")


def test_a_day_that_kills_every_worker_fails_and_the_others_do_not(tmp_path: Path) -> None:
    here = Here(kills=THIRD, times=100)
    outcome = ran(study(5, "none", "rules"), tmp_path, here=here)
    assert {(f.chain.policy, f.day) for f in outcome.failed} == {
        ("none", THIRD),
        ("rules", THIRD),
    }
    assert all("ended by itself, 3 times" in f.why for f in outcome.failed)
    assert outcome.days == 10


def test_workers_that_never_come_to_a_day_end_the_run(tmp_path: Path) -> None:
    asked = study(1, "none", "rules", "paper", "geems")
    with pytest.raises(GeemsError, match="every worker ends before"):
        ran(asked, tmp_path, here=Here(kills=FIRST, times=100))


def test_a_worker_with_other_versions_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "versions", lambda: {"geems": "0.0.1"})
    with pytest.raises(GeemsError, match=r"in place of 0\.0\.1"):
        ran(study(1), tmp_path)


def test_all_that_is_wrong_with_a_study_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    wrong = replace(
        study(3),
        policies=("gems", "none", "none"),  # type: ignore[arg-type]
        last=FIRST - timedelta(days=1),
        seeds=(),
        steps=4,
    )
    folder = tmp_path / "out"
    with pytest.raises(BadInput) as told:
        run(wrong, folder, workers=Here(), simulate=tiny_day)
    places = [fault.place for fault in told.value.faults]
    assert places == ["--to", "--policies", "--policies", "--seeds", "--steps"]
    assert "did you mean geems?" in str(told.value)
    assert not folder.exists()


def test_what_no_day_can_be_simulated_with_is_told_before_any_is(tmp_path: Path) -> None:
    wrong = study(1, seeds=(2**63, -1, 3), errors=Errors(parameter_error=0.31))
    folder = tmp_path / "out"
    with pytest.raises(BadInput) as told:
        run(wrong, folder, workers=Here(), simulate=tiny_day)
    places = [fault.place for fault in told.value.faults]
    assert places == ["--seeds", "--seeds", "--parameter-error"]
    assert not folder.exists()


def test_progress_tells_days_that_are_over_and_those_that_failed(tmp_path: Path) -> None:
    told: list[Told] = []
    run(study(4), tmp_path, workers=Here(), simulate=failing_day, tell=told.append)
    assert [t.over for t in told] == [0, 1, 2, 3, 4]
    assert (told[-1].days, told[-1].failed, told[-1].deaths) == (4, 1, 0)


def test_a_day_has_as_many_intervals_as_its_clock(tmp_path: Path) -> None:
    asked = replace(study(1), first=date(2019, 3, 9), last=date(2019, 3, 11))
    ran(asked, tmp_path / "spring")
    asked = replace(asked, first=date(2020, 2, 28), last=date(2020, 3, 1))
    ran(asked, tmp_path / "leap")
    asked = replace(asked, first=date(2019, 11, 2), last=date(2019, 11, 4))
    ran(asked, tmp_path / "autumn")

    def lengths(folder: Path) -> list[int]:
        ((_, paths),) = days_of(folder).items()
        return [parquet.ParquetFile(p).metadata.num_rows for p in paths]

    assert lengths(tmp_path / "spring") == [96, 92, 96]
    assert lengths(tmp_path / "leap") == [96, 96, 96]
    assert lengths(tmp_path / "autumn") == [96, 100, 96]
    starts = [
        parquet.ParquetFile(p).read(columns=["start"])[0].to_numpy()
        for p in next(iter(days_of(tmp_path / "autumn").values()))
    ]
    apart = np.diff(np.concatenate(starts))
    assert set(apart) == {np.timedelta64(15, "m")}
