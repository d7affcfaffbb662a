"""What a backtest prints: policies that can be compared, and why some cannot."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ems.backtest.metrics import measured, summed_up
from ems.backtest.report import write_report
from ems.cli.backtest_table import print_backtest
from ems.domain import Site
from tests.backtest_days import FIRST, study
from tests.backtest_reports import kept_study


def printed(folder: Path, site: Site, capsys: pytest.CaptureFixture[str], **changed: Any) -> str:
    rows = [row | changed for row in summed_up(measured(folder, {site.name: site}))]
    print_backtest(
        {
            "from": "2019-06-01", "to": "2019-06-03", "policies": rows, "simulated": 6,
            "seconds": 1.0, "mended": 0, "rows_sha256": "0" * 64, "folder": str(folder),
            "workers_died": 0, "failed": [],
        }
    )  # fmt: skip
    return capsys.readouterr().out


def test_batteries_that_end_alike_are_not_said_to_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = kept_study(tmp_path)
    site = asked.sites[0].site
    rows = summed_up(measured(tmp_path, {site.name: site}))
    rows[0]["soc_end_pct"] = {"bes": 50.0 + 1e-9}
    document = {
        "from": "", "to": "", "policies": rows, "simulated": 0, "seconds": 0.0, "mended": 0,
        "rows_sha256": "", "folder": "", "workers_died": 0, "failed": [],
    }  # fmt: skip
    print_backtest(document)
    assert "end differently" not in capsys.readouterr().out
    rows[0]["soc_end_pct"] = {"bes": 50.1}
    print_backtest(document)
    assert "Batteries end differently" in capsys.readouterr().out


def test_days_that_one_policy_lacks_are_compared_under_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = kept_study(tmp_path, without=("geems", FIRST))
    text = printed(tmp_path, asked.sites[0].site, capsys)
    assert "do not have the same days (geems 2, none 3): only the 2 that all have" in text
    assert "of both on days all have" in text


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
