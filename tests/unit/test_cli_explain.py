"""`geems explain`: a record told again."""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ems.cli import main
from ems.cli.outcome import Exit
from ems.cycle import run_cycle
from ems.domain import CycleRecord, LedgerEntry, LimitPrice, RowKind
from ems.explain import explain
from ems.gateways.memory import MemoryField
from ems.record import from_json
from ems.settings import TEMPLATE, load_settings
from ems.store import Store
from tests.sites import AUTO, LOAD_KW, NOW, PRICE_USD_PER_KWH, ports

SAMPLE = Path(__file__).with_name("test_record_sample.json").read_text()
START = datetime(2026, 7, 1, 14, tzinfo=UTC)

Explain = Callable[..., "click.testing.Result"]


def sample(start: datetime = START) -> CycleRecord:
    base = from_json(SAMPLE)
    return replace(base, start=start, forecast=replace(base.forecast, start=start))


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Explain:
    """Runs `geems explain` beside a site file whose database holds three records."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "site.toml").write_text(TEMPLATE.read_text())
    with closing(Store.open(tmp_path / "geems.sqlite")) as store:
        for hours in (0, 1, 5):
            store.append(sample(START + timedelta(hours=hours)))

    def run(*arguments: str) -> click.testing.Result:
        return CliRunner().invoke(main, ("explain", *arguments))

    return run


def test_without_a_time_the_latest_record_is_told(told: Explain) -> None:
    result = told()
    assert result.exit_code == Exit.OK
    assert result.stdout.startswith("segment13, 2026-07-01 19:00 UTC: verified\n")
    assert "PV plant pv is held at 7,653 kW" in result.stdout
    assert "Compliance: 1274.98 $/h of energy and fuel, 318.75 $ in this quarter" in result.stdout


@pytest.mark.parametrize(
    "time", ["2026-07-01T15:07", "2026-07-01T15:07Z", "2026-07-01T17:00:00+02:00"]
)
def test_any_time_within_an_interval_names_it_and_without_a_zone_is_utc(
    told: Explain, time: str
) -> None:
    assert "2026-07-01 15:00 UTC" in told(time).stdout


def test_a_time_without_a_record_is_bad_input_and_names_what_there_is(told: Explain) -> None:
    result = told("2026-07-01T16:00", "--json")
    assert result.exit_code == Exit.BAD_INPUT
    (fault,) = json.loads(result.stdout)["faults"]
    assert fault == {
        "place": "TIME",
        "problem": "no record of 2026-07-01 16:00 UTC; records in geems.sqlite run from "
        "2026-07-01 14:00 to 2026-07-01 19:00 UTC",
    }


def test_what_is_no_time_is_bad_input_with_an_example(told: Explain) -> None:
    result = told("yesterday")
    assert result.exit_code == Exit.BAD_INPUT
    assert "yesterday is not a time like 2026-07-01T14:00" in result.stderr


@pytest.mark.parametrize("command", ["explain", "replay"])
def test_a_site_file_in_place_of_a_time_is_told_where_it_goes(
    told: Explain,  # noqa: ARG001 - makes the folder
    command: str,
) -> None:
    result = CliRunner().invoke(main, (command, "site.toml"))
    assert result.exit_code == Exit.BAD_INPUT
    assert "site.toml is no time; the site file goes behind --site" in result.stderr


def test_a_site_without_a_database_has_no_records_and_gets_none(
    told: Explain, tmp_path: Path
) -> None:
    (tmp_path / "geems.sqlite").unlink()
    result = told()
    assert result.exit_code == Exit.BAD_INPUT
    assert "no record yet: no such file; run geems run or geems serve" in result.stderr
    assert not (tmp_path / "geems.sqlite").exists()
    Store.open(tmp_path / "geems.sqlite").close()
    assert "holds no record yet" in told().stderr


def test_a_site_file_that_is_not_there_is_bad_input(told: Explain) -> None:
    result = told("--site", "nowhere.toml")
    assert result.exit_code == Exit.BAD_INPUT
    assert "nowhere.toml" in result.stderr


def test_of_a_thousand_ders_twenty_are_listed_and_the_others_summed_up(
    told: Explain, tmp_path: Path
) -> None:
    record = sample(START + timedelta(days=1))
    entry = replace(record.ledger.entries[0], moved_kw=-1.0)
    entries = tuple(replace(entry, der=f"pv{i}") for i in range(1000))
    many = replace(record, ledger=replace(record.ledger, entries=entries))
    with closing(Store.open(tmp_path / "geems.sqlite")) as store:
        store.append(many)
    lines = told().stdout.splitlines()
    assert len({line.split()[0] for line in lines if line.startswith("  pv")}) == 20
    (others,) = [line for line in lines if "980 others" in line]
    assert "-980.0" in others


WIDE = LedgerEntry(
    der="rooftop_of_the_school_north",
    moved_kw=-12_345.6, moved_kvar=-23_456.7,
    limits=("B13 phase 1", "line l650632", "transformer sub"),
    energy_usd_per_kwh=-1_234.5678, limits_usd_per_kwh=-2_345.6789,
    limits_usd_per_kvarh=-3_456.7891,
    cost_usd_per_h=-12_345.67, relief_usd_per_h=-23_456.78, device_usd_per_h=-34_567.89,
)  # fmt: skip
FIGURES = (
    *("-12345.6", "-23456.7", "-12345.67", "-23456.78", "-34567.89"),
    *("-1234.5678", "-2345.6789", "-3456.7891", "-45678.90"),
)


@pytest.fixture
def wide(told: Explain, tmp_path: Path) -> Explain:
    """Its latest record has figures as wide as they get."""
    record = sample(START + timedelta(days=1))
    limit = LimitPrice(
        kind=RowKind.V_MAX, place="B13 phase 1", limit=1.1, price=1.0, slack=0.001,
        relief_usd_per_h=-45_678.9,
    )  # fmt: skip
    ledger = replace(record.ledger, entries=(*record.ledger.entries, WIDE), limits=(limit,))
    with closing(Store.open(tmp_path / "geems.sqlite")) as store:
        store.append(replace(record, ledger=ledger))
    return told


@pytest.mark.parametrize("columns", [80, 120])
def test_the_ledger_fits_the_terminal_and_none_of_its_figures_is_cut(
    wide: Explain, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = wide().stdout
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= columns
    assert set(FIGURES) <= set(shown.split())


def test_on_a_narrow_terminal_a_table_goes_beyond_its_edge_rather_than_cut_a_figure(
    wide: Explain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    shown = wide().stdout
    assert "…" not in shown
    assert set(FIGURES) <= set(shown.split())


# --- a cycle of the reference segment ------------------------------------------------


@pytest.fixture
def cycled(
    told: Explain,  # noqa: ARG001 - makes the folder
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> CycleRecord:
    """A real cycle on devices in memory, in the database of the site file."""
    site = load_settings(tmp_path / "site.toml").to_site()
    powers = {"pv": 7953.0, "dg": 2997.0, "bes": 0.0}
    world = ports(site, MemoryField(site, load_kw=LOAD_KW, p_kw=powers))
    made = run_cycle(site, AUTO, PRICE_USD_PER_KWH, world, NOW)
    monkeypatch.chdir(tmp_path)  # the first feeder of a process goes back to where it started
    made = replace(made, ledger=explain(site, made.free, made.secured))
    with closing(Store.open(tmp_path / "geems.sqlite")) as store:
        store.append(made)
    return made


def test_the_ledger_is_printed_with_its_limits_its_worth_and_its_closing(
    told: Explain, cycled: CycleRecord
) -> None:
    result = told(NOW.isoformat())
    assert result.exit_code == Exit.OK, result.output
    shown = result.stdout
    assert cycled.ledger.sentence.partition(":")[0] in shown
    assert "B13 at its 1.10 pu limit" in shown
    assert "It closes: " in shown
    assert "+ 0.00 unattributed." in shown


def test_json_is_the_ledger_with_its_interval(told: Explain, cycled: CycleRecord) -> None:
    document = json.loads(told(NOW.isoformat(), "--json").stdout)
    assert document["start"] == NOW.isoformat()
    assert document["status"] == "verified"
    assert document["compliance_usd"] == pytest.approx(document["compliance_usd_per_h"] / 4.0)
    (pv,) = [e for e in document["entries"] if e["der"] == "pv"]
    assert pv["limits_usd_per_kwh"] == pytest.approx(pv["energy_usd_per_kwh"], rel=0.02)
    assert document["limits"][0]["place"] == "B13"
    assert document["relief_usd_per_h"] - document["device_usd_per_h"] == pytest.approx(
        document["objective_usd_per_h"], rel=1e-6
    )
    assert cycled.ledger.entries[0].der == "pv"


def test_what_if_decides_the_interval_again_and_proves_it(
    told: Explain, cycled: CycleRecord
) -> None:
    document = json.loads(told(NOW.isoformat(), "--what-if", "--json").stdout)
    proved = [c for c in document["counterfactuals"] if c["verified"]]
    assert proved[0]["what"] == "voltage allowed up to 1.11 instead of 1.10 pu"
    assert 0.0 < proved[0]["saves_usd_per_h"] <= cycled.ledger.objective_usd_per_h + 1.0
    assert proved[1]["what"].startswith("4400 kvar of pv instead of none")
    text = told(NOW.isoformat(), "--what-if").stdout
    assert "With voltage allowed up to 1.11 instead of 1.10 pu: " in text
    assert "proved by load flows" in text


def test_what_if_needs_the_site_the_record_was_decided_with(told: Explain, tmp_path: Path) -> None:
    text = TEMPLATE.read_text().replace('name = "bes"', 'name = "battery"')
    (tmp_path / "site.toml").write_text(text)
    result = told("--what-if")
    assert result.exit_code == Exit.BAD_INPUT
    assert "describes other DERs than the record" in result.stderr
