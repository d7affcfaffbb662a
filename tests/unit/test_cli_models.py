"""`geems models`: documents, tables, exit codes; what is promoted and what is not."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from ems.cli import main, models_verdict
from ems.cli.outcome import Exit
from forecasting.clearsky import PvGeometry
from forecasting.judging.challenge import Contender
from forecasting.judging.seen import TrainingSpan
from forecasting.record import PlantRecord, QuantileForecast
from models import Artefact, artefact, champion, find
from models.champions import CHAMPIONS, history
from models.manifest import KINDS
from models.verdicts import VERDICTS, keep_verdict, verdicts
from tests.artefacts import write_artefact
from tests.cloudy import power_kw, write_csv

Geems = Callable[..., Result]

ERRORS = {"paper_lstm": 0.10, "summer": 0.08, "winter": 0.12}
"""Standard deviation of what the made-up models are off by [shares of the rating]."""

WIDTHS: dict[str, float] = {}
"""How many times as wide as right their bands are, where not once [1]."""

NORMAL = np.array([-1.644854, -1.281552, -0.674490, 0.0, 0.674490, 1.281552, 1.644854])
ROOF = ("--lat", "48.1", "--lon", "11.6", "--capacity-kw", "20", "--tilt", "30", "--azimuth", "180")


def made_up(artefact: Artefact) -> Contender:
    """Stands in for a trained model: it knows the truth but for a normal error."""

    def method(record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
        sigma_kw = ERRORS[artefact.id] * geometry.rated_kw
        noise = np.random.default_rng(len(artefact.id)).normal(size=len(record))
        mean = record.available_kw + sigma_kw * noise
        width_kw = WIDTHS.get(artefact.id, 1.0) * sigma_kw
        quantiles = mean[:, None] + width_kw * NORMAL
        return QuantileForecast(starts=record.starts, mean_kw=mean, quantiles_kw=quantiles)

    spans = tuple(
        TrainingSpan(site=site, last=span["last"], sha256=None, latitude_deg=0.0, longitude_deg=0.0)
        for site, span in artefact.manifest["training_window"].items()
    )
    return Contender(
        id=artefact.id, kind=artefact.kind, sha256=artefact.sha256, method=method, spans=spans
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site's folder with two retrained models and a measured series; it is the working one."""
    for name in ("summer", "winter"):
        write_artefact(tmp_path / "models", name)
    write_csv(tmp_path / "roof.csv", power_kw(100, seed=7, first="2026-03-01"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models_verdict, "contender", made_up)
    return tmp_path


@pytest.fixture
def geems(folder: Path) -> Geems:  # noqa: ARG001 - the working folder
    return lambda *arguments: CliRunner().invoke(main, ["models", *arguments])


def promote(geems: Geems, name: str, *more: str) -> Result:
    return geems("promote", name, "--on", "roof.csv", *ROOF, *more)


def in_use(folder: Path) -> str:
    return champion("paper_lstm", folder / "models").artefact.id


# --- list and show -------------------------------------------------------------------


def test_list_tells_all_of_every_model(geems: Geems) -> None:
    result = geems("list", "--json")
    assert result.exit_code == Exit.OK
    document = json.loads(result.stdout)
    assert (document["ok"], document["notes"], document["never_loaded"]) == (True, [], [])
    assert document["champions"]["paper_lstm"] == "paper_lstm"
    known = {entry["id"]: entry for entry in document["artefacts"]}
    assert known["paper_lstm"]["champion"]
    assert known["paper_lstm"]["from"] == "shipped"
    assert known["summer"] == {
        "id": "summer",
        "kind": "paper_lstm",
        "version": 2,
        "sha256": find("summer", Path("models")).sha256,
        "from": "own",
        "training_window": known["summer"]["training_window"],
        "metrics": {"Roof": {"nrmse_pct": 9.1, "skill_pct": 5.2}},
        "versions": {"keras": "3.15.1"},
        "champion": False,
        "champion_of_plants": [],
        "verified": True,
    }
    assert known["summer"]["training_window"]["Roof"]["last"] == "2025-06-30"


def test_list_as_a_table_fits_a_terminal(geems: Geems) -> None:
    result = geems("list")
    assert result.exit_code == Exit.OK
    assert max(map(len, result.stdout.splitlines())) <= 80
    line = next(line for line in result.stdout.splitlines() if "summer" in line)
    assert line.split()[:5] == [
        *("summer", "paper_lstm", "2", find("summer", Path("models")).sha256[:8], "2025-06-30"),
    ]
    assert "ok, champion" in result.stdout
    golden = artefact("paper_lstm").manifest["metrics"]["PVDAQ system 50"]
    assert f"{golden['skill_pct']:.1f}" in result.stdout


def test_list_names_what_is_refused_and_ends_degraded(geems: Geems, folder: Path) -> None:
    (folder / "models" / "summer" / "model.tflite").write_bytes(b"another")
    (folder / "models" / "winter" / "checkpoint.keras").write_bytes(b"")
    shutil.copytree(artefact("paper_lstm").path.parent, folder / "models" / "paper_lstm")
    told = geems("list")
    assert told.exit_code == Exit.DEGRADED
    assert "REFUSED" in told.stdout
    assert "artefact 'summer': expected model.tflite with SHA-256" in told.stdout
    assert "the id of an artefact that ships" in told.stdout
    assert "never loaded, since such a file can run code: models/winter/checkpoint" in told.stdout
    document = json.loads(geems("list", "--json").stdout)
    assert not document["ok"]
    assert [e["id"] for e in document["artefacts"] if not e["verified"]] == ["paper_lstm", "summer"]
    assert document["never_loaded"] == ["models/winter/checkpoint.keras"]


def test_list_notes_a_champion_that_was_tampered_with(geems: Geems, folder: Path) -> None:
    promote(geems, "summer")
    (folder / "models" / "summer" / "model.tflite").write_bytes(b"another")
    result = geems("list", "--json")
    assert result.exit_code == Exit.DEGRADED
    document = json.loads(result.stdout)
    assert document["champions"]["paper_lstm"] == "paper_lstm"
    assert "champion 'summer' of paper_lstm is refused" in document["notes"][0]


def test_list_notes_a_history_that_cannot_be_read(geems: Geems, folder: Path) -> None:
    (folder / "models" / CHAMPIONS).write_text("{")
    result = geems("list")
    assert result.exit_code == Exit.DEGRADED
    assert "put a sound copy back" in result.stdout


def test_ids_are_whole_at_eighty_columns_whatever_stands_beside_them(
    geems: Geems, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "roofs_of_2026_june_a"
    write_artefact(folder / "models", name)
    monkeypatch.setitem(ERRORS, name, 0.08)
    assert promote(geems, name, "--plant", "the_western_field").exit_code == Exit.OK
    lines = geems("list").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    for known in ("pv_day_ahead", "paper_lstm", name):
        assert sum(line.split()[:1] == [known] for line in lines) == 2


def test_show_gives_card_promotions_and_verdicts(geems: Geems) -> None:
    promote(geems, "summer")
    geems("rollback", "--why", "snow")
    document = json.loads(geems("show", "summer", "--json").stdout)
    assert document["card"] == "# summer\n"
    assert "parity" not in document["manifest"]
    (promotion,) = document["promotions"]
    assert promotion["withdrawn_why"] == "snow"
    (verdict,) = document["verdicts"]
    assert verdict["won"]
    told = geems("show", "summer").stdout
    assert "summer wins against paper_lstm" in told
    assert "snow" in told
    assert "trained on Roof, 2025-01-01 to 2025-06-30" in told
    assert "parity" not in json.loads(geems("show", "paper_lstm", "--json").stdout)["manifest"]


def test_an_unknown_id_is_bad_input_and_the_known_ones_are_named(geems: Geems) -> None:
    for command in ("show", "promote"):
        result = geems(command, "../summer")
        assert result.exit_code == Exit.BAD_INPUT
        assert "there are paper_lstm" in result.stderr
        assert "summer, winter" in result.stderr


def test_a_broken_model_is_a_fault_to_show_or_promote(geems: Geems, folder: Path) -> None:
    (folder / "models" / "summer" / "model.tflite").write_bytes(b"another")
    for command in ("show", "promote"):
        result = geems(command, "summer")
        assert result.exit_code == Exit.FAULT
        assert "the file was changed after training" in result.stderr


# --- promote -------------------------------------------------------------------------


def test_a_model_that_wins_is_promoted_with_its_figures(geems: Geems, folder: Path) -> None:
    result = promote(geems, "summer", "--json")
    assert result.exit_code == Exit.OK, result.stderr
    document = json.loads(result.stdout)
    assert (document["won"], document["promoted"]) == (True, True)
    assert document["trials"][0]["champion"]["nrmse_pct"] == pytest.approx(10, abs=0.4)
    assert document["trials"][0]["challenger"]["nrmse_pct"] == pytest.approx(8, abs=0.4)
    assert in_use(folder) == "summer"
    assert history(folder / "models")[0].why == document["sentence"]
    assert [v["won"] for v in verdicts(folder / "models")] == [True]


def test_a_model_that_loses_is_not_promoted_and_the_figures_say_why(
    geems: Geems, folder: Path
) -> None:
    result = promote(geems, "winter")
    assert result.exit_code == Exit.DEGRADED
    assert "winter does not win against paper_lstm" in " ".join(result.stdout.split())
    assert "not promoted" in result.stdout
    assert in_use(folder) == "paper_lstm"
    assert not (folder / "models" / CHAMPIONS).exists()
    (verdict,) = verdicts(folder / "models")
    assert verdict["against"] == ["its RMSE is not lower", "its pinball loss is not lower"]


def test_who_comes_next_must_win_against_the_new_champion(geems: Geems, folder: Path) -> None:
    promote(geems, "summer")
    result = promote(geems, "winter", "--json")
    assert json.loads(result.stdout)["champion"]["id"] == "summer"
    assert result.exit_code == Exit.DEGRADED
    assert in_use(folder) == "summer"


def test_a_plant_may_have_its_own(geems: Geems, folder: Path) -> None:
    assert promote(geems, "summer", "--plant", "pv2").exit_code == Exit.OK
    assert in_use(folder) == "paper_lstm"
    assert champion("paper_lstm", folder / "models", plant="pv2").artefact.id == "summer"
    assert "ok, own, champion of pv2" in " ".join(geems("list").stdout.split())
    assert geems("rollback").exit_code == Exit.BAD_INPUT
    assert geems("rollback", "--plant", "pv2").exit_code == Exit.OK


def test_without_data_and_verdict_it_is_said_what_is_missing(geems: Geems, folder: Path) -> None:
    result = geems("promote", "summer")
    assert result.exit_code == Exit.BAD_INPUT
    assert "'summer' was never judged against 'paper_lstm'" in result.stderr
    assert "give a series that neither has trained on" in result.stderr
    assert in_use(folder) == "paper_lstm"


def kept(folder: Path, name: str, *, won: bool) -> None:
    """What a verdict on two models leaves."""
    root = folder / "models"
    sides: dict[str, Any] = {
        side: {"id": a.id, "sha256": a.sha256}
        for side, a in (("champion", artefact("paper_lstm")), ("challenger", find(name, root)))
    }
    told = {"kind": "paper_lstm", "when": "2026-07-01T12:00:00+00:00", "sentence": "So it was."}
    keep_verdict({**told, **sides, "won": won}, root)


def test_the_verdict_of_the_training_counts(geems: Geems, folder: Path) -> None:
    kept(folder, "summer", won=True)
    result = geems("promote", "summer")
    assert result.exit_code == Exit.OK, result.stderr
    assert "So it was." in result.stdout
    assert in_use(folder) == "summer"


def test_a_lost_verdict_of_the_training_counts_as_well(geems: Geems, folder: Path) -> None:
    kept(folder, "summer", won=True)
    kept(folder, "summer", won=False)
    assert geems("promote", "summer").exit_code == Exit.DEGRADED
    assert in_use(folder) == "paper_lstm"


def test_a_verdict_on_what_was_retrained_since_does_not_count(geems: Geems, folder: Path) -> None:
    kept(folder, "summer", won=True)
    write_artefact(folder / "models", "summer", b"trained again")
    assert geems("promote", "summer").exit_code == Exit.BAD_INPUT


def test_the_champion_itself_is_not_promoted(geems: Geems) -> None:
    result = geems("promote", "paper_lstm")
    assert result.exit_code == Exit.BAD_INPUT
    assert "the champion of paper_lstm already" in result.stderr


def test_a_copy_of_the_champion_is_said_to_be_one_by_the_champions_name(
    geems: Geems, folder: Path
) -> None:
    model = artefact("paper_lstm").path.read_bytes()
    write_artefact(folder / "models", "twin", model)
    result = geems("promote", "twin")
    assert result.exit_code == Exit.BAD_INPUT
    assert "'twin' is a copy of 'paper_lstm', the champion of paper_lstm" in result.stderr


def test_everything_wrong_with_the_options_is_told_at_once(geems: Geems, folder: Path) -> None:
    result = geems("promote", "summer", "--on", "no.csv", "--tilt", "91", "--json")
    assert result.exit_code == Exit.BAD_INPUT
    places = [fault["place"] for fault in json.loads(result.stdout)["faults"]]
    assert {"--lat", "--lon", "--capacity-kw", "--tilt", "no.csv"} <= set(places)
    assert not (folder / "models" / VERDICTS).exists()


def test_a_place_without_a_series_is_refused(geems: Geems) -> None:
    result = geems("promote", "summer", *ROOF)
    assert result.exit_code == Exit.BAD_INPUT
    assert "--lat, --lon, --capacity-kw, --tilt, --azimuth: means nothing" in result.stderr


def test_a_series_too_short_to_judge_on_is_refused(geems: Geems, folder: Path) -> None:
    lines = (folder / "roof.csv").read_text().splitlines()[: 96 * 80]
    (folder / "roof.csv").write_text("\n".join(lines))
    result = promote(geems, "summer")
    assert result.exit_code == Exit.BAD_INPUT
    assert "roof.csv: 20 days" in result.stderr


# --- a series that does not fit ------------------------------------------------------

WEST = ("--on", "roof.csv", *ROOF[:-1], "270")
"""The roof, told to face west: it faces south."""


def test_a_series_that_contradicts_its_plant_judges_no_model_of_all_plants(
    geems: Geems, folder: Path
) -> None:
    result = geems("promote", "summer", *WEST, "--json")
    assert result.exit_code == Exit.BAD_INPUT
    (fault,) = json.loads(result.stdout)["faults"]
    assert fault["place"] == "roof.csv"
    assert fault["problem"].startswith("this series does not fit: the modules seem to face")
    assert "(--plant NAME)" in fault["problem"]
    assert in_use(folder) == "paper_lstm"
    assert not (folder / "models" / VERDICTS).exists()


def test_it_judges_for_its_plant_and_that_verdict_counts_for_no_other(
    geems: Geems, folder: Path
) -> None:
    assert geems("promote", "summer", *WEST, "--plant", "pv2").exit_code == Exit.OK
    (verdict,) = verdicts(folder / "models")
    assert verdict["plant"] == "pv2"
    assert "seem to face" in verdict["misfits"][0]
    assert geems("rollback", "--plant", "pv2").exit_code == Exit.OK
    for whom, told in (((), "for all plants"), (("--plant", "pv3"), "for plant pv3")):
        result = geems("promote", "summer", *whom)
        assert result.exit_code == Exit.BAD_INPUT
        assert told in result.stderr
    assert geems("promote", "summer", "--plant", "pv2").exit_code == Exit.OK
    assert in_use(folder) == "paper_lstm"


@pytest.mark.parametrize(
    ("kind", "error", "width", "told"),
    [
        ("paper_lstm", 0.10, 0.5, "the champion's 80 % band covers 4"),
        ("paper_lstm", 0.10, 3.0, "the champion's 80 % band covers 100.0"),
        ("paper_lstm", 0.40, 1.0, "yesterday's power kept by"),
        ("pv_pooled", 0.14, 1.0, "the last power kept by"),
    ],
)
def test_a_series_the_champion_itself_fails_on_judges_no_model_of_all_plants(
    geems: Geems,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    error: float,
    width: float,
    told: str,
) -> None:
    """Which would be won by whoever fails a little less."""
    shipped = folder / "shipped"
    write_artefact(shipped, "pooled", kind="pv_pooled")
    write_artefact(shipped, "paper_lstm", artefact("paper_lstm").content)
    monkeypatch.setattr("models.register.files", lambda _: shipped)
    champions = {"paper_lstm": "paper_lstm", "pv_pooled": "pooled"}
    monkeypatch.setitem(ERRORS, champions[kind], error)
    monkeypatch.setitem(WIDTHS, champions[kind], width)
    write_artefact(folder / "models", "better", kind=kind)
    monkeypatch.setitem(ERRORS, "better", 0.8 * error)
    result = promote(geems, "better", "--json")
    assert result.exit_code == Exit.BAD_INPUT
    (fault,) = json.loads(result.stdout)["faults"]
    assert fault["problem"].startswith("this series does not fit: the champion")
    assert told in fault["problem"]
    assert not (folder / "models" / VERDICTS).exists()
    for_one = promote(geems, "better", "--plant", "pv2")
    assert for_one.exit_code == Exit.OK
    assert told in for_one.stderr


# --- rollback ------------------------------------------------------------------------


def test_rollback_returns_to_the_one_before(geems: Geems, folder: Path) -> None:
    promote(geems, "summer")
    result = geems("rollback", "--json")
    assert result.exit_code == Exit.OK
    assert json.loads(result.stdout) == {
        "kind": "paper_lstm",
        "withdrawn": "summer",
        "champion": "paper_lstm",
        "notes": [],
    }
    assert in_use(folder) == "paper_lstm"


def test_rollback_of_nothing_is_refused(geems: Geems) -> None:
    result = geems("rollback")
    assert result.exit_code == Exit.BAD_INPUT
    assert "nothing was promoted in models" in result.stderr
    assert geems("rollback", "paper_lstm").exit_code == Exit.FAULT


def test_rollback_of_a_kind_that_there_is_not_names_those_there_are(geems: Geems) -> None:
    result = geems("rollback", "nosuch")
    assert result.exit_code == Exit.BAD_INPUT
    assert "KIND: there is no kind 'nosuch' of models; write " in result.stderr
    assert all(kind in result.stderr for kind in KINDS)


def test_rollback_asks_which_when_there_are_several_kinds(
    geems: Geems, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(geems, "summer")
    shipped = folder / "shipped"
    write_artefact(shipped, "pooled", kind="pv_pooled")
    write_artefact(shipped, "paper_lstm", artefact("paper_lstm").content)
    monkeypatch.setattr("models.register.files", lambda _: shipped)
    write_artefact(folder / "models", "pooled2", kind="pv_pooled")
    monkeypatch.setitem(ERRORS, "pooled", 0.05)
    monkeypatch.setitem(ERRORS, "pooled2", 0.04)
    assert promote(geems, "pooled2").exit_code == Exit.OK
    result = geems("rollback")
    assert result.exit_code == Exit.BAD_INPUT
    assert "say which: paper_lstm, pv_pooled" in result.stderr
    assert geems("rollback", "pv_pooled").exit_code == Exit.OK


# --- where one's own models lie ------------------------------------------------------


def test_the_folder_is_the_one_of_the_site_file(geems: Geems, folder: Path) -> None:
    (folder / "models").rename(folder / "trained")
    (folder / "site.toml").write_text('[forecast]\nmodels = "trained"\n')
    assert json.loads(geems("list", "--json").stdout)["folder"] == "trained"


def test_the_folder_may_be_given_or_stand_in_the_environment(
    geems: Geems, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "site.toml").write_text('[forecast]\nmodels = "trained"\n')
    monkeypatch.setitem(os.environ, "GEEMS_FORECAST__MODELS", str(folder / "elsewhere"))
    assert json.loads(geems("list", "--json").stdout)["folder"] == str(folder / "elsewhere")
    document = json.loads(geems("list", "--json", "--models", "models").stdout)
    assert document["folder"] == "models"


def test_a_folder_given_that_is_not_there_is_told_of(geems: Geems) -> None:
    result = geems("list", "--json", "--models", "nowhere")
    assert result.exit_code == Exit.OK
    assert "! --models: there is no folder nowhere" in result.stderr
    assert "no folder" not in geems("list", "--models", "models").stderr


def test_the_folder_that_ships_is_no_folder_of_ones_own(geems: Geems) -> None:
    shipped = str(artefact("paper_lstm").path.parent.parent)
    assert json.loads(geems("list", "--json", "--models", shipped).stdout)["folder"] is None
    assert "holds what ships" in geems("list", "--models", shipped).stdout


def test_doctor_names_models_of_ones_own_that_are_refused(folder: Path) -> None:
    from ems.cli.doctor import _forecaster

    shutil.rmtree(folder / "models" / "winter")
    (folder / "models" / "summer" / "model.tflite").write_bytes(b"another")
    failed = [finding.detail for finding in _forecaster() if not finding.ok]
    assert len(failed) == 1
    assert "artefact 'summer'" in failed[0]
