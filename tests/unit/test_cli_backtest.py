"""`geems backtest` as its user meets it, before the first day is simulated."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from ems.cli import main
from ems.settings import TEMPLATE

DAYS = ("--from", "2019-06-02", "--to", "2019-06-03")


@pytest.mark.parametrize(
    "at",
    [
        "ems.cli.site_check.all_faults",
        "ems.backtest.series_file.profiles_of_file",
        "ems.backtest.running.run",
        "ems.backtest.report.write_report",
    ],
)
def test_ctrl_c_at_any_moment_says_how_to_go_on(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_given: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(at, interrupted)
    shutil.copy(TEMPLATE, "site.toml")
    asked: tuple[str, ...] = ("site.toml", *DAYS, "--profiles", "a.csv")
    if "profiles" not in at:
        asked = asked[:-2]
    if "report" in at:
        asked = ("--report-only", "--out", ".")
    monkeypatch.setattr("sys.argv", ["/usr/bin/geems", "backtest", *asked])
    done = CliRunner().invoke(main, ["backtest", *asked])
    assert done.exit_code == 130
    assert f"Go on with\n  geems backtest {' '.join(asked)}" in done.stderr
    assert "Aborted" not in done.output
    assert "Traceback" not in done.output
