"""`geems replay` as its user meets it."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ems.cli import main
from ems.cli.outcome import Exit
from ems.clock import INTERVAL
from ems.cycle import run_cycle
from ems.domain import CycleRecord
from ems.gateways.memory import MemoryField
from ems.settings import TEMPLATE, load_settings
from ems.store import Store
from feeders import fingerprint
from tests.sites import LOAD_KW, NOW, PRICE_USD_PER_KWH, ports

Run = Callable[..., "click.testing.Result"]


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[CycleRecord]:
    """Two cycles of the template's site, in the database beside its file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    file = tmp_path / "site.toml"
    file.write_text(TEMPLATE.read_text())
    settings = load_settings(file)
    site = settings.to_site()
    field = MemoryField(site, load_kw=LOAD_KW, p_kw={"pv": 7953.0, "dg": 2997.0, "bes": 0.0})
    made: list[CycleRecord] = []
    with closing(Store.open(tmp_path / "geems.sqlite")) as store:
        world = replace(ports(site, field), journal=store, feeder=fingerprint("segment13"))
        for k in range(2):
            last = made[-1] if made else None
            now, policy = NOW + k * INTERVAL, settings.to_policy()
            made.append(run_cycle(site, policy, PRICE_USD_PER_KWH, world, now, last))
    monkeypatch.chdir(tmp_path)  # the first feeder of a process goes back to where it started
    return made


@pytest.fixture
def run(recorded: list[CycleRecord]) -> Run:
    assert recorded
    return lambda *arguments: CliRunner().invoke(main, ("replay", *arguments))


def rewritten(**changes: object) -> None:
    """Change the latest record in the database."""
    with sqlite3.connect("geems.sqlite") as raw:
        (newest, text) = raw.execute("select max(id), json from cycles").fetchone()
        text = json.dumps(json.loads(text) | changes)
        raw.execute("update cycles set json = ? where id = ?", (text, newest))


def test_the_latest_record_is_decided_again_to_the_last_bit(run: Run) -> None:
    result = run()
    assert result.exit_code == Exit.OK, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "segment13, 2019-07-15 21:15 UTC: verified"
    assert lines[-1].startswith("Decided again: bit-identical, all ")
    assert "differs" not in result.stdout
    assert "note" not in result.stdout


def test_nothing_is_written_to_the_database(run: Run) -> None:
    def rows() -> list[tuple[int, str]]:
        with sqlite3.connect("geems.sqlite") as raw:
            return raw.execute("select id, json from cycles").fetchall()

    before = rows()
    run(NOW.isoformat())
    run("--set", "load_kw=9000")
    assert rows() == before


def test_as_json_it_is_one_document(run: Run, recorded: list[CycleRecord]) -> None:
    document = json.loads(run(NOW.isoformat(), "--json").stdout)
    assert document["start"] == NOW.isoformat()
    assert document["identical"] is True
    assert document["differences"] == document["inputs"] == document["notes"] == []
    assert document["values"] > 300
    assert document["recorded"] == document["again"]
    at = recorded[0].secured.dispatch.setpoints["pv"]
    assert document["again"]["setpoints"]["pv"] == {
        "p_kw": at.p_kw, "q_kvar": at.q_kvar, "cap_kw": at.cap_kw,
    }  # fmt: skip


def test_otherwise_both_stand_side_by_side_with_the_sentence_of_each(run: Run) -> None:
    result = run("--set", "limits.v_max_pu=1.05", "--set", "load_kw=9000")
    assert result.exit_code == Exit.OK, result.output
    shown = result.stdout
    assert "with limits.v_max_pu=1.05, load_kw=9000" in shown
    assert "decided otherwise" in shown
    assert "Recorded: pv held at 7." in shown
    (other,) = [line for line in shown.splitlines() if line.startswith("With limits.v_max_pu")]
    assert "1.05 pu limit" in other
    document = json.loads(run("--set", "limits.v_max_pu=1.05", "--json").stdout)
    assert document["changes"] == {"limits.v_max_pu": 1.05}
    assert document["again"]["v_max"]["v_pu"] <= 1.05 < document["recorded"]["v_max"]["v_pu"]
    assert "identical" not in document


def test_a_wrong_key_is_bad_input_and_names_its_mend(run: Run) -> None:
    result = run("--set", "limits.v_max=1.05", "--json")
    assert result.exit_code == Exit.BAD_INPUT
    (fault,) = json.loads(result.stdout)["faults"]
    assert fault == {
        "place": "--set limits.v_max", "problem": "unknown key; did you mean v_max_pu?",
    }  # fmt: skip


def test_all_that_is_wrong_with_what_is_set_is_told_at_once(run: Run) -> None:
    wrong = ("--set", "load_kw", "--set", "limits.v_maxpu=1.05", "--set", "load_kw=-3")
    result = run(*wrong, "--json")
    assert result.exit_code == Exit.BAD_INPUT
    places = [fault["place"] for fault in json.loads(result.stdout)["faults"]]
    assert places == ["--set load_kw", "--set limits.v_maxpu", "--set load_kw"]
    result = run(*wrong, "--site", "missing.toml", "--json")
    places = [fault["place"] for fault in json.loads(result.stdout)["faults"]]
    assert places == ["--set load_kw", "missing.toml"]


def test_values_that_are_not_the_same_are_told_and_end_with_code_3(
    run: Run, recorded: list[CycleRecord]
) -> None:
    alarms = ["something was wrong"]
    rewritten(alarms=alarms, versions={**recorded[1].versions, "highspy": "1.0"})
    result = run()
    assert result.exit_code == Exit.DEGRADED
    assert "Decided again: 1 of " in result.stdout
    assert "alarms: recorded ['something was wrong'], now []" in result.stdout
    now = recorded[1].versions["highspy"]
    assert f"differs: versions.highspy: recorded 1.0, now {now}" in result.stdout


def test_another_version_with_the_same_answer_is_told_and_fine(
    run: Run, recorded: list[CycleRecord]
) -> None:
    rewritten(versions={**recorded[1].versions, "geems": "0.0.1"})
    result = run()
    assert result.exit_code == Exit.OK
    assert "bit-identical" in result.stdout
    assert "differs: versions.geems: recorded 0.0.1" in result.stdout


def test_another_feeder_is_told(run: Run, tmp_path: Path) -> None:
    from feeders import shipped

    text = shipped()["segment13"].entry.read_text()
    (tmp_path / "mine.dss").write_text(text.replace("length=1.0 ", "length=1.00 "))
    file = tmp_path / "site.toml"
    file.write_text(file.read_text().replace('source = "segment13"', 'source = "./mine.dss"'))
    result = run()
    assert "bit-identical" in result.stdout, "a mile is written otherwise"
    assert "differs: setup.feeder: recorded segment13 " in result.stdout
    assert ", now mine " in result.stdout


def test_a_site_file_changed_since_is_told_and_the_recorded_one_used(
    run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "site.toml"
    file.write_text(file.read_text().replace("min_kw = 5800", "min_kw = 6000"))
    result = run()
    assert result.exit_code == Exit.OK, result.output
    assert "bit-identical" in result.stdout
    assert (
        "note: the site file has changed since, the recorded one is used: "
        "site.load_min_kw was 5800.0, is 6000.0" in result.stdout
    )


def test_a_record_of_an_older_version_is_decided_with_todays_site_file_and_told(
    run: Run,
) -> None:
    with sqlite3.connect("geems.sqlite") as raw:
        raw.execute("update cycles set setup = null")
    rewritten(before=None, answers={})
    result = run()
    assert result.exit_code == Exit.OK, result.output
    assert "bit-identical" in result.stdout
    assert "note: an older version kept no site and policy with its records" in result.stdout
    assert "the record before it of 2019-07-15 21:00 UTC" in result.stdout


def test_where_limits_cannot_be_kept_nothing_is_said_of_what_keeping_them_costs(run: Run) -> None:
    changed = ("--set", "limits.v_max_pu=1.02", "--set", "load_kw=6000")
    told = json.loads(run(*changed, "--json").stdout)
    assert told["again"]["status"] == "infeasible"
    assert told["again"]["compliance_usd_per_h"] is None
    assert told["recorded"]["compliance_usd_per_h"] > 0.0
    (line,) = [t for t in run(*changed).stdout.splitlines() if "keeping the limits costs" in t]
    assert line.split()[-1] == "–"


def test_a_time_without_a_record_is_bad_input(run: Run) -> None:
    result = run("2019-07-14T12:00")
    assert result.exit_code == Exit.BAD_INPUT
    assert "records in geems.sqlite run from 2019-07-15 21:00 to 2019-07-15 21:15" in result.stderr


def test_a_time_that_is_before_all_times_in_utc_is_bad_input(run: Run) -> None:
    result = run("0001-01-01T00:00+14:00")
    assert result.exit_code == Exit.BAD_INPUT
    assert "is not a time" in result.stderr


@pytest.mark.usefixtures("recorded")
def test_explain_leads_to_it() -> None:
    shown = CliRunner().invoke(main, ("explain",)).stdout
    lines = shown.splitlines()
    assert "Decide it again: geems replay 2019-07-15T21:15" in lines
    assert "Otherwise: geems replay 2019-07-15T21:15 --set KEY=VALUE" in lines
