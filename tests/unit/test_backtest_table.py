"""What a backtest prints: policies that can be compared, and why some cannot."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner

from ems.backtest import PolicyName
from ems.backtest.comparing import measured
from ems.backtest.fixed_caps import FixedCaps
from ems.backtest.keeping import Failed, Results
from ems.backtest.report import write_report
from ems.backtest.running import Outcome
from ems.backtest.seeds import summed_up
from ems.backtest.study import Study
from ems.cli import main
from ems.cli.backtest_table import print_backtest
from ems.domain import Site
from ems.settings import TEMPLATE
from tests.backtest_days import FIRST, study
from tests.backtest_reports import kept_study


def document(rows: list[dict[str, Any]], folder: str = "out") -> dict[str, Any]:
    """All that is told of three days."""
    return {
        "from": "2019-06-01", "to": "2019-06-03", "policies": rows, "simulated": 6,
        "seconds": 1.0, "mended": 0, "rows_sha256": "0" * 64, "folder": folder,
        "workers_died": 0, "failed": [], "missing": [],
    }  # fmt: skip


def printed(folder: Path, site: Site, capsys: pytest.CaptureFixture[str], **changed: Any) -> str:
    rows = [row | changed for row in summed_up(measured(folder, {site.name: site}))]
    print_backtest(document(rows, str(folder)))
    return capsys.readouterr().out


def test_batteries_that_end_alike_are_not_said_to_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = kept_study(tmp_path)
    site = asked.sites[0].site
    rows = summed_up(measured(tmp_path, {site.name: site}))
    rows[0]["soc_end_pct"] = {"bes": 50.0 + 1e-9}
    print_backtest(document(rows))
    assert "end differently" not in capsys.readouterr().out
    rows[0]["soc_end_pct"] = {"bes": 50.1}
    print_backtest(document(rows))
    assert "Batteries end differently" in capsys.readouterr().out


def test_days_that_one_policy_lacks_are_compared_under_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = kept_study(tmp_path, without=("geems", FIRST))
    text = printed(tmp_path, asked.sites[0].site, capsys)
    assert "do not have the same days (geems 2, none 3): only the 2 that all have" in text
    assert "of both on days all have" in text


@pytest.fixture(scope="module")
def one_row(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("kept")
    asked = kept_study(folder)
    return dict(summed_up(measured(folder, {of.name: of.site for of in asked.sites}))[0])


@pytest.mark.parametrize("width", [20, 30, 40, *range(60, 141)])
def test_no_number_is_cut_however_wide_the_terminal_is(
    width: int,
    one_row: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    rows = [
        one_row | {"policy": policy, "cost_usd": 1_078_139.0 + i, "imported_kwh": 304e6 + i * 1e6}
        for i, policy in enumerate(get_args(PolicyName))
    ]
    print_backtest(document(rows))
    text = capsys.readouterr().out
    told = [line for line in text.splitlines() if "grid energy and fuel" in line]
    costs = re.findall(r"\d[\d\u00a0]*\d", " ".join(told))
    assert costs == [f"1\u00a0078\u00a0{139 + i}" for i in range(len(rows))]
    assert "…" not in text
    tables = [line for line in text.splitlines() if line.startswith("  ") or "──" in line]
    assert max(map(len, tables)) <= max(width, 60), "one column goes beyond a narrow terminal"


def test_the_caps_of_rules_are_told_with_the_load_they_are_for() -> None:
    (of,) = study(1).sites
    caps = FixedCaps(
        pv_share=0.3691, beside_share=0.288, dg_share=1.0, bes_share=1.0,
        lowest_load_kw=8554.2, highest_load_kw=14_395.1,
    )  # fmt: skip
    assert caps.words(of.site) == (
        "every PV plant stands under a fixed cap, 28.8 % of its rating (2,880 kW in all) while a "
        "generator runs, 36.9 % of its rating (3,691 kW in all) while none does; safe from 8,554 "
        "kW to 14,395 kW, the lowest and the highest load of the period, with generators at 3,000 "
        "kW and batteries at 200 kW either way. Nobody knows these loads in advance, so this "
        "favours rules."
    )
    alone = replace(of.site, ders=of.site.pvs)
    assert caps.words(alone).startswith(
        "every PV plant stands under a fixed cap, 36.9 % of its rating (3,691 kW in all); safe "
        "from 8,554 kW to 14,395 kW, the lowest and the highest load of the period. Nobody"
    )


def test_caps_beside_limits_that_are_broken_anyway_are_not_called_safe() -> None:
    (of,) = study(1).sites
    caps = FixedCaps(
        pv_share=0.3, beside_share=0.2, dg_share=1.0, bes_share=1.0,
        lowest_load_kw=2000.0, highest_load_kw=9000.0, broken_idle=True,
    )  # fmt: skip
    assert "safe" not in caps.words(of.site)
    assert (
        "with every device off limits are broken at 2,000 kW or at 9,000 kW, the lowest and the "
        "highest load of the period, and no further so, but for a battery on its way back"
    ) in caps.words(of.site)


def test_all_parts_of_a_table_have_the_same_lines(
    one_row: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    names = get_args(PolicyName)
    rows = [one_row | {"policy": n, "demand_usd": 5.0 * (n == names[-1])} for n in names]
    print_backtest(document(rows))
    text = capsys.readouterr().out
    assert text.count("demand charge, $") == text.count("grid energy and fuel, $") > 1


def test_a_seed_that_one_policy_lacks_is_told_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = kept_study(tmp_path, study(1, "none", "geems", seeds=(1, 2)))
    shutil.rmtree(tmp_path / "rows/site=segment13/policy=geems/seed=2")
    site = asked.sites[0].site
    rows = summed_up(measured(tmp_path, {site.name: site}))
    missing = [{"site": "segment13", "policy": "geems", "seed": 2}]
    print_backtest(document(rows) | {"missing": missing})
    text = capsys.readouterr().out
    assert (
        "segment13: policies do not have the same seeds (geems 1, none 2): they are ranked by the "
        "days that all have (1), and none is held against the oracle."
    ) in text
    assert "Means of 1 to 2 seeds" in text
    assert "! segment13, geems, seed 2: has no day" in text


def test_a_backtest_of_which_every_day_fails_lists_them_and_ends_with_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(asked: Study, folder: Path, **_options: object) -> Outcome:
        (chain,) = asked.chains()
        failed = tuple(Failed(chain=chain.key, day=day, why="no sun") for day in chain.days)
        with Results.opened(folder, asked.asked()) as results:
            results.tell_failed(failed)
        return Outcome(days=2, simulated=0, mended=0, deaths=0, failed=failed)

    monkeypatch.setattr("ems.backtest.running.run", failing)
    monkeypatch.chdir(tmp_path)
    shutil.copy(TEMPLATE, "site.toml")
    days = ("--from", "2019-06-02", "--to", "2019-06-03", "--policies", "none")
    done = CliRunner().invoke(main, ["backtest", *days, "--out", "out"])
    assert done.exit_code == 3, done.output
    assert "! 2019-06-02 (segment13, none, seed 0) failed: no sun" in done.stdout
    assert "! 2019-06-03 (segment13, none, seed 0) failed: no sun" in done.stdout
    assert "! segment13, none, seed 0: has no day" in done.stdout
    assert "defect" not in done.output
    told = CliRunner().invoke(main, ["backtest", *days, "--out", "out", "--json"])
    assert told.exit_code == 3
    assert json.loads(told.stdout)["missing"] == [
        {"site": "segment13", "policy": "none", "seed": 0}
    ]


def test_no_title_ends_in_blanks(
    one_row: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    print_backtest(document([one_row]))
    lines = capsys.readouterr().out.splitlines()
    assert {"segment13, 2019-06-01 to 2019-06-03", "Limits, in the truth"} <= set(lines)


def test_the_same_days_need_no_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = kept_study(tmp_path)
    text = printed(tmp_path, asked.sites[0].site, capsys)
    assert "same days" not in text
    assert "on days all have" not in text
    assert "export, kW" not in text, "the site has no such limit"


def test_intervals_without_an_optimum_are_told_as_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = kept_study(tmp_path)
    text = printed(tmp_path, asked.sites[0].site, capsys, unverified=7)
    assert "leaves out intervals that were not verified as optimal: geems 7, none 7." in text


def test_a_limit_of_the_grid_connection_marks_a_policy_in_table_and_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = study(1, "none")
    (of,) = asked.sites
    asked = replace(asked, sites=(replace(of, site=replace(of.site, export_limit_kw=500.0)),))
    kept_study(tmp_path, asked, quiet=True, export_over_kw=42.5)
    text = printed(tmp_path, asked.sites[0].site, capsys)
    assert "none ¹" in text
    assert "¹ breaks limits of the feeder or of the grid connection" in text
    assert "42.5" in text
    page = write_report(tmp_path).read_text()
    assert "Broke limits: <b>none</b> in 96 of 96 intervals, by up to 42.5" in page
    assert "42.5 kW beyond the export limit" in page


def test_a_demand_charge_is_added_up_and_said_to_be_of_whole_months(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = kept_study(tmp_path)
    site = asked.sites[0].site
    plain = printed(tmp_path, site, capsys)
    assert "together, $" not in plain
    assert "whole months" not in plain
    text = printed(tmp_path, replace(site, demand_charge_usd_per_kw=2.0), capsys)
    assert "together, $" in text
    assert "by the highest import of the days there are (3 of 30 days of June 2019)" in text


def test_the_longest_run_beyond_a_limit_is_not_told_as_one_that_kept_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = kept_study(tmp_path)
    told = printed(tmp_path, asked.sites[0].site, capsys)
    write_report(tmp_path)
    assert re.search(r"longest run beyond a limit, h +[\d.]+", told)
    assert "longest run beyond a limit [h]" in (tmp_path / "report.html").read_text()
