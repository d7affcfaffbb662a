"""Sweeps on two short days of the reference segment, with the real cycle and the real truth."""

from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from ems.backtest import simulate_day, sweeps
from ems.backtest.case import Case, DayInput, DayResult, DayState
from ems.backtest.period import Period
from ems.backtest.study import Study, StudySite
from ems.backtest.sweeps import forecast_error, hosting, hosting_capacity
from ems.cli import main
from ems.errors import BadInput
from ems.settings import TEMPLATE, load_settings
from tests.backtests import part

DAYS = Period(first=date(2019, 7, 3), last=date(2019, 7, 4), zone="America/Los_Angeles")
SUMMER = ("--from", "2019-07-03", "--to", "2019-07-04")
NOON = 50
"""First of the four intervals that are simulated of a day: 12:30 local."""


def noon(case: Case, given: DayInput, state: DayState) -> DayResult:
    return simulate_day(case, part(given, NOON, NOON + 4), state)


def test_geems_hosts_more_pv_at_a_bus_than_the_feeder_does_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hosting, "HALVINGS", 5)
    of = StudySite.of(load_settings(TEMPLATE, {}))

    def largest_kw(*, with_geems: bool) -> float:
        found = hosting_capacity(
            of, "B13", with_geems=with_geems, period=DAYS, most_kw=16_000.0,
            forecast="clear_sky", given_up=0.2, simulate=noon, steps=1,
        )  # fmt: skip
        assert not found.at_least
        assert found.limited_by
        return found.rated_kw

    alone = largest_kw(with_geems=False)
    assert 2000.0 < alone < largest_kw(with_geems=True)


def test_the_command_sweeps_two_days_and_writes_table_document_and_figures(
    tmp_path: Path,
) -> None:
    import json

    site = tmp_path / "site.toml"
    site.write_bytes(TEMPLATE.read_bytes())
    days = ["--from", "2019-07-03", "--to", "2019-07-04", "--policies", "none", "--jobs", "1"]
    told = CliRunner().invoke(
        main,
        ["sweep", "forecast-error", str(site), "--errors", "0,1", "--forecast", "clear_sky",
         *days, "--out", str(tmp_path / "out"), "--json"],
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    document = json.loads(told.stdout)
    assert [p["error"] for p in document["points"]] == [0.0, 1.0]
    assert {p["days"] for p in document["points"]} == {2}
    assert document["points"][0]["cost_usd"] == document["points"][1]["cost_usd"], "nobody decides"
    assert document["points"][0]["nrmse_pct"] == pytest.approx(0.0, abs=1e-9)
    assert document["points"][1]["nrmse_pct"] > 1.0
    written = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"sweep.json", "forecast_error.png", "forecast_error.svg"} <= written


def test_a_sweep_that_cannot_begin_leaves_no_folder_behind(tmp_path: Path) -> None:
    from ems.errors import GeemsError

    site, out = tmp_path / "site.toml", tmp_path / "out"
    site.write_bytes(TEMPLATE.read_bytes())

    def hopeless(*_arguments: object, **_named: object) -> None:
        raise GeemsError("no worker starts")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sweeps, "forecast_error", hopeless)
        told = CliRunner().invoke(
            main, ["sweep", "forecast-error", str(site), *SUMMER, "--out", str(out)]
        )
    assert told.exit_code == 1
    assert "no worker starts" in told.output
    assert not out.exists()


def test_hosting_without_days_tells_the_worst_hours_of_each_bus(tmp_path: Path) -> None:
    import json

    site = tmp_path / "site.toml"
    site.write_bytes(TEMPLATE.read_bytes())
    buses, out = ["--bus", "B13", "--bus", "b7"], ["--out", str(tmp_path / "out")]
    told = CliRunner().invoke(main, ["sweep", "hosting", str(site), *buses, *out, "--json"])
    assert told.exit_code == 0, told.output
    document = json.loads(told.stdout)
    assert [(c["bus"], c["over"]) for c in document["capacities"]] == [
        ("B13", "worst hours"),
        ("b7", "worst hours"),
    ]
    assert document["capacities"][0]["rated_kw"] > 1000.0
    assert all(Path(figure).exists() for figure in document["figures"])


def test_all_that_is_wrong_with_a_sweep_is_told_at_once(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_bytes(TEMPLATE.read_bytes())
    told = CliRunner().invoke(
        main,
        ["sweep", "battery", str(site), "--capacity-kwh", "400,much", "--battery", "bess",
         "--from", "2019-07-32", "--policies", "gems", "--out", str(tmp_path / "out")],
    )  # fmt: skip
    assert told.exit_code == 2
    for words in (
        '--capacity-kwh: "much" is no number', '--from: "2019-07-32" is no day',
        "--to: missing", "did you mean geems?", "no battery is called bess; the site has bes",
    ):  # fmt: skip
        assert words in told.output
    assert not (tmp_path / "out").exists()
    told = CliRunner().invoke(main, ["sweep", "hosting", str(site), "--bus", "B31"])
    assert told.exit_code == 2
    assert 'the feeder has no bus "B31"; did you mean B' in told.output


@pytest.mark.parametrize("what", [("hosting", "--bus", "B13"), ("battery", *SUMMER)])
def test_a_folder_that_cannot_be_made_is_told_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: tuple[str, ...]
) -> None:
    def computed(*_args: object, **_more: object) -> None:
        pytest.fail("it was computed first")

    monkeypatch.setattr(sweeps, "hosting_capacity", computed)
    monkeypatch.setattr(sweeps, "battery_size", computed)
    site = tmp_path / "site.toml"
    site.write_bytes(TEMPLATE.read_bytes())
    (tmp_path / "file").touch()
    kind, *more = what
    out = str(tmp_path / "file" / "out")
    told = CliRunner().invoke(main, ["sweep", kind, str(site), *more, "--out", out])
    assert told.exit_code == 2
    assert f"--out: {out} cannot be written: Not a directory" in told.output


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            ("forecast-error", "--forecast", "perfect", "--errors", "0,1", *SUMMER),
            "--forecast: perfect has no error that a share could be left of; name another forecast",
        ),
        (("hosting", "--bus", "B13", "--bus", "b13"), "--bus: b13 is given twice"),
        (("hosting", "--bus", "B13", "--from", "0001-01-01"), "--from: 0001-01-01 is out of reach"),
        (("hosting", "--bus", "B13", "--most-kw", "1e-9"), "1e-09 is not in the range 1.0<=x"),
    ],
)
def test_a_sweep_that_would_tell_nothing_is_refused(
    asked: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    site, (which, *options) = tmp_path / "site.toml", asked
    site.write_bytes(TEMPLATE.read_bytes())
    done = CliRunner().invoke(
        main, ["sweep", which, str(site), *options, "--out", str(tmp_path / "out")]
    )
    assert done.exit_code == 2
    assert done.output.count(told) == 1
    assert not (tmp_path / "out").exists()


def test_an_error_of_the_forecast_that_there_is_not_is_no_study(tmp_path: Path) -> None:
    of = StudySite.of(load_settings(TEMPLATE, {}))
    asked = Study(
        sites=(of,), first=DAYS.first, last=DAYS.last, policies=("none",), forecast="perfect"
    )
    with pytest.raises(BadInput, match="perfect has no error"):
        forecast_error(asked, tmp_path, [0.0, 1.0])
