"""What a backtest leaves on disk: days that are whole or not there, of one study."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from ems.backtest.case import DayState
from ems.backtest.keeping import ChainKey, Failed, Results, days_of, hash_of, packed, write_whole
from ems.backtest.study import sources_of, versions
from ems.errors import BadInput, GeemsError
from tests.backtest_days import rows
from tests.backtests import case, given

ASKED = {"policies": ["none"], "errors": {"load_noise": 0.02}}
CHAIN = ChainKey(site="segment13", policy="none", seed=0)
DAY = date(2019, 7, 15)


def a_day(results: Results, *, soc_pct: float = 60.0, **told: Any) -> bytes:
    of = case("none")
    state = DayState.at_start(of)
    start = replace(state, devices={**state.devices})
    table = rows(of, given(of), soc_pct=soc_pct, **told)
    return packed(table, results.digest, start, state.to_bytes())


def test_a_day_is_read_back_with_the_states_at_both_its_ends(tmp_path: Path) -> None:
    with Results.opened(tmp_path, ASKED) as results:
        assert results.read(CHAIN, DAY) is None
        results.keep(CHAIN, DAY, a_day(results))
        kept = results.read(CHAIN, DAY)
    assert kept is not None
    state = DayState.at_start(case("none"))
    assert kept.start == state
    assert DayState.from_bytes(kept.end) == state
    path = tmp_path / "rows/site=segment13/policy=none/seed=0/day=2019-07-15.parquet"
    assert parquet.ParquetFile(path).metadata.num_rows == 8
    assert days_of(tmp_path) == {CHAIN: [path]}


def test_a_crash_while_a_day_is_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Results.opened(tmp_path, ASKED) as results:
        results.keep(CHAIN, DAY, a_day(results, soc_pct=10.0))
        before = hash_of(tmp_path)

        def crashing(_file: int) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr("ems.backtest.keeping.os.fsync", crashing)
            with pytest.raises(KeyboardInterrupt):
                results.keep(CHAIN, DAY, a_day(results, soc_pct=20.0))
        assert hash_of(tmp_path) == before
        assert list(tmp_path.rglob("*.part"))
    with Results.opened(tmp_path, ASKED):
        assert not list(tmp_path.rglob("*.part"))
        assert hash_of(tmp_path) == before


@pytest.mark.parametrize("harm", ["cut short", "empty", "of another study"])
def test_a_day_that_is_damaged_or_strange_is_not_there(tmp_path: Path, harm: str) -> None:
    with Results.opened(tmp_path, ASKED) as results:
        data = a_day(results)
        if harm == "of another study":
            data = a_day(Results(tmp_path, "another"))
        results.keep(CHAIN, DAY, data[: {"cut short": -9, "empty": 0}.get(harm)])
        assert results.read(CHAIN, DAY) is None


@pytest.mark.parametrize("kept", [slice(0, 2000), slice(4000, None)])
def test_rows_that_are_damaged_are_told_with_their_file(tmp_path: Path, kept: slice) -> None:
    with Results.opened(tmp_path, ASKED) as results:
        results.keep(CHAIN, DAY, a_day(results))
        path = results.path(CHAIN, DAY)
    path.write_bytes(path.read_bytes()[kept])
    with pytest.raises(BadInput, match=r"day=2019-07-15\.parquet: cannot be read .* delete it"):
        hash_of(tmp_path)


def test_another_study_in_the_same_folder_is_refused_with_what_differs(tmp_path: Path) -> None:
    with Results.opened(tmp_path, ASKED) as results:
        results.keep(CHAIN, DAY, a_day(results))
    other = {"policies": ["none", "geems"], "errors": {"load_noise": 0.1}, "steps": 3}
    with pytest.raises(BadInput) as told, Results.opened(tmp_path, other):
        pass
    assert [str(f).partition("study.json: ")[2] for f in told.value.faults] == [
        "errors.load_noise: another study: it has 0.02, this one 0.1; give another --out",
        "policies: another study: it has ['none'], this one ['none', 'geems']; give another --out",
        "steps: another study: it has nothing, this one 3; give another --out",
    ]
    assert json.loads((tmp_path / "study.json").read_text()) == ASKED


@pytest.mark.parametrize("left", [(), (".study.json.part",), ("failed.json",), ("rows",)])
def test_a_folder_that_keeps_no_day_may_be_begun_anew_by_another_study(
    tmp_path: Path, left: tuple[str, ...]
) -> None:
    def killed() -> None:
        with Results.opened(tmp_path, {"versions": {}, "policies": ["nune"]}):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    for name in left:
        (tmp_path / name).mkdir() if name == "rows" else (tmp_path / name).touch()
    mended = {"versions": {}, "policies": ["none"]}
    with Results.opened(tmp_path, mended) as results:
        assert json.loads((tmp_path / "study.json").read_text()) == mended
        results.keep(CHAIN, DAY, a_day(results))
    with pytest.raises(BadInput, match="another study"), Results.opened(tmp_path, ASKED):
        pass


@pytest.mark.parametrize("name", ["report.html", "thesis.tex"])
def test_a_folder_that_holds_more_than_an_empty_study_is_never_begun_anew(
    tmp_path: Path, name: str
) -> None:
    with Results.opened(tmp_path, {"versions": {}, "policies": ["nune"]}):
        pass
    (tmp_path / name).write_text("precious")
    with pytest.raises(BadInput, match="another study"), Results.opened(tmp_path, ASKED):
        pass


@pytest.mark.parametrize("text", ['{"of": "another program"}', "[1, 2]", "3"])
def test_a_study_of_another_program_is_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(BadInput, match="another study"), Results.opened(tmp_path, ASKED):
        pass
    assert (tmp_path / "study.json").read_text() == text


def test_a_study_that_runs_is_not_begun_anew_before_its_first_day(tmp_path: Path) -> None:
    first, second = ({"versions": {}, "seeds": [seed]} for seed in (1, 2))
    with Results.opened(tmp_path, first):
        with pytest.raises(BadInput, match="another backtest"), Results.opened(tmp_path, second):
            pass
        assert json.loads((tmp_path / "study.json").read_text()) == first


def test_what_computes_is_pinned_with_the_sources_it_computes_by() -> None:
    told = versions()
    assert {
        *("geems", "sources", "python", "numpy", "pandas", "pvlib", "pyarrow", "ai-edge-litert")
    } <= told.keys()


def test_an_edited_checkout_is_another_version_and_its_caches_are_none(tmp_path: Path) -> None:
    (tmp_path / "ems").mkdir()
    module = tmp_path / "ems" / "cycle.py"
    module.write_text("PACE = 1\n")
    before = sources_of(tmp_path)
    (tmp_path / "ems" / "__pycache__").mkdir()
    (tmp_path / "ems" / "__pycache__" / "cycle.pyc").write_bytes(b"bytecode")
    assert sources_of(tmp_path) == before
    module.write_text("PACE = 2\n")
    assert sources_of(tmp_path) != before


def test_a_study_that_was_cut_off_while_it_was_written_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / ".study.json.part").write_text('{"versio')
    with Results.opened(tmp_path, ASKED):
        assert not days_of(tmp_path)


def test_a_folder_of_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(BadInput, match="holds other files"), Results.opened(tmp_path, ASKED):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    (tmp_path / ".lock").write_text("another program's")
    with pytest.raises(BadInput, match="holds other files"), Results.opened(tmp_path, ASKED):
        pass
    assert (tmp_path / ".lock").read_text() == "another program's"


def test_two_runs_never_write_into_one_folder(tmp_path: Path) -> None:
    with Results.opened(tmp_path, ASKED):  # noqa: SIM117 - one inside the other is the matter
        with pytest.raises(BadInput, match="another backtest"), Results.opened(tmp_path, ASKED):
            pass
    with Results.opened(tmp_path, ASKED):
        pass


def test_what_fails_before_a_day_is_kept_leaves_nothing(tmp_path: Path) -> None:
    def failing(folder: Path, fault: type[BaseException], *, keeps: bool = False) -> set[str]:
        def run() -> None:
            with Results.opened(folder, ASKED) as results:
                if keeps:
                    results.keep(CHAIN, DAY, a_day(results))
                raise fault

        with pytest.raises(fault):
            run()
        return {p.name for p in folder.iterdir()} if folder.exists() else {"no folder"}

    there = tmp_path / "there"
    there.mkdir()
    assert failing(tmp_path / "new", GeemsError) == {"no folder"}
    assert failing(there, GeemsError) == set()
    assert failing(there, KeyboardInterrupt) == {"study.json", ".lock"}
    assert failing(there, GeemsError) == {"study.json", ".lock"}, "another run began it"
    assert failing(tmp_path / "kept", GeemsError, keeps=True) == {"study.json", ".lock", "rows"}


def test_the_hash_knows_rows_and_no_wall_time(tmp_path: Path) -> None:
    hashes = []
    for name, told in {
        "one": {}, "slower": {"s.total": 9.0}, "warmer": {"soc_pct": 61.0},
        "worded": {"why": "a limit"},
    }.items():  # fmt: skip
        with Results.opened(tmp_path / name, ASKED) as results:
            results.keep(CHAIN, DAY, a_day(results, **told))  # type: ignore[arg-type]
        hashes.append(hash_of(tmp_path / name))
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_nothing_told_hashes_alike_however_it_is_written(tmp_path: Path) -> None:
    tables = (pa.table({"x": pa.array([1.0, None])}), pa.table({"x": [1.0, float("nan")]}))
    found = []
    for number, table in enumerate(tables):
        folder = tmp_path / str(number)
        path = Results(folder, "").path(CHAIN, DAY)
        path.parent.mkdir(parents=True)
        parquet.write_table(table, path)
        found.append(hash_of(folder))
    assert found[0] == found[1]


def test_failed_days_are_listed_until_there_are_none(tmp_path: Path) -> None:
    failed = Failed(chain=CHAIN, day=DAY, why="no such feeder")
    with Results.opened(tmp_path, ASKED) as results:
        results.tell_failed([failed])
        (told,) = json.loads((tmp_path / "failed.json").read_text())
        assert told == {
            "chain": {"site": "segment13", "policy": "none", "seed": 0},
            "day": "2019-07-15",
            "why": "no such feeder",
        }
        results.tell_failed([])
    assert not (tmp_path / "failed.json").exists()


def test_a_file_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["study.json"]
