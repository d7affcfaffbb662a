"""`geems forecast evaluate`: its document, its table, its picture, and what it refuses."""

import errno
import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.image import imread

from ems.cli import main
from ems.cli.outcome import Exit
from forecasting.day_ahead.scores import judge_day_ahead
from forecasting.judging.evaluate import NAMES
from forecasting.record import plant_record
from forecasting.sky import sky_seen
from models import artefact, champion
from models.champions import promote
from tests.cloudy import ROOF, power_kw, write_csv

Evaluate = Callable[..., "click.testing.Result"]

PLACE = (
    *("--lat", str(ROOF.latitude_deg), "--lon", str(ROOF.longitude_deg)),
    *("--capacity-kw", str(ROOF.rated_kw), "--tilt", "30", "--azimuth", "180"),
)
SHORT = ("--calibration-days", "10")


@pytest.fixture
def evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    """Runs the command in a folder that holds 24 days of a roof."""
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "roof.csv", power_kw(24, minutes=5))

    def run(*arguments: str) -> click.testing.Result:
        return CliRunner().invoke(main, ["forecast", "evaluate", *arguments])

    return run


def test_json_is_one_document_with_the_scores_of_every_model(evaluate: Evaluate) -> None:
    result = evaluate("roof.csv", *PLACE, *SHORT, "--json")
    assert result.exit_code == Exit.OK, result.stderr
    document = json.loads(result.stdout)
    assert (document["site"], document["resolution_min"]) == ("roof", 5)
    assert document["n"] > 300
    assert set(document["models"]) == set(NAMES)
    assert set(document["models"]["geems"]) == {
        *("nrmse_pct", "nmae_pct", "mbe_pct", "skill_pct", "pinball_pct"),
        *("coverage50_pct", "coverage80_pct", "coverage90_pct"),
    }
    assert document["branches"]["lstm"] == document["n"]
    assert "6/6" in result.stderr


def test_the_table_marks_the_best_and_fits_eighty_columns(evaluate: Evaluate) -> None:
    result = evaluate("roof.csv", *PLACE, *SHORT, "--resolution", "15min", "--site", "my roof")
    assert result.exit_code == Exit.OK, result.stderr
    assert "my roof" in result.stdout
    assert "polls every 15 min" in result.stdout
    rows = [
        line for line in result.stdout.splitlines() if line.split()[:1] and line.split()[0] in NAMES
    ]
    assert [row.split()[0] for row in rows] == list(NAMES)
    assert sum("*" in row.split()[1] for row in rows) >= 1
    assert "…" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_picture_is_drawn_where_one_is_asked_for(evaluate: Evaluate, tmp_path: Path) -> None:
    assert evaluate("roof.csv", *PLACE, *SHORT, "--plot", "roof.png").exit_code == Exit.OK
    assert (tmp_path / "roof.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_a_picture_that_cannot_be_written_costs_nothing_else(
    evaluate: Evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_json: tuple[str, ...]
) -> None:
    def full(_evaluation: object, path: Path, _ahead: None) -> None:
        path.write_bytes(b"")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("forecasting.judging.plots.draw", full)
    result = evaluate("roof.csv", *PLACE, *SHORT, "--plot", "roof.png", *as_json)
    assert result.exit_code == Exit.FAULT
    if as_json:
        assert set(json.loads(result.stdout)["models"]) == set(NAMES)
    else:
        assert "smart_persistence" in result.stdout
    assert result.stderr.endswith("--plot: roof.png cannot be written: No space left on device\n")
    assert not (tmp_path / "roof.png").exists()


@pytest.mark.parametrize("name", ["roof.jpg", "roof"])
def test_a_picture_that_would_be_no_png_is_refused(evaluate: Evaluate, name: str) -> None:
    result = evaluate("roof.csv", *PLACE, *SHORT, "--plot", name)
    assert result.exit_code == Exit.BAD_INPUT
    assert f"--plot: '{name}' is no name of a PNG" in result.stderr


def test_a_keras_file_is_said_to_be_never_loaded(evaluate: Evaluate, tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"PK")
    for name in ("model.keras", "nowhere/MODEL.H5"):
        result = evaluate("roof.csv", *PLACE, *SHORT, "--model", name)
        assert result.exit_code == Exit.BAD_INPUT
        assert "can run code and are never loaded" in result.stderr


def test_everything_wrong_is_told_at_once(evaluate: Evaluate, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("time_utc,value\n2023-01-01T00:00Z,one\n", encoding="utf-8")
    result = evaluate(
        *("bad.csv", "--lat", "95", "--tilt", "-1", "--calibration-days", "0"),
        *("--plot", "nowhere/roof.png", "--model", "no_such_model", "--json"),
    )
    assert result.exit_code == Exit.BAD_INPUT
    faults = {fault["place"]: fault["problem"] for fault in json.loads(result.stdout)["faults"]}
    assert set(faults) == {
        *("bad.csv", "--lat", "--lon", "--capacity-kw", "--tilt", "--calibration-days"),
        *("--plot", "--model"),
    }
    assert "not a number ('one')" in result.stderr


def test_a_file_that_is_not_there_is_told_with_the_rest(evaluate: Evaluate) -> None:
    result = evaluate("none.csv")
    assert result.exit_code == Exit.BAD_INPUT
    assert "none.csv: no such file" in result.stderr
    assert "--lat: missing" in result.stderr


def test_a_resolution_finer_than_the_file_is_refused(evaluate: Evaluate) -> None:
    result = evaluate("roof.csv", *PLACE, *SHORT, "--resolution", "1min")
    assert result.exit_code == Exit.BAD_INPUT
    assert "--resolution: 1min is finer than roof.csv" in result.stderr


def test_a_given_orientation_that_the_power_contradicts_is_warned_of(
    evaluate: Evaluate, tmp_path: Path
) -> None:
    write_csv(tmp_path / "long.csv", power_kw(64, seed=4))
    turned = (*PLACE[:-1], "270")
    result = evaluate("long.csv", *turned, "--calibration-days", "60")
    assert result.exit_code == Exit.OK, result.stderr
    assert "! the modules seem to face" in result.stderr
    assert "kept as given" in result.stderr


def test_a_model_may_be_given_by_its_folder_and_a_changed_one_is_refused(
    evaluate: Evaluate, tmp_path: Path
) -> None:
    shutil.copytree(champion("pv_pooled").artefact.path.parent, tmp_path / "mine")
    manifest = tmp_path / "mine" / "manifest.json"
    text = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps({**text, "id": "mine"}), encoding="utf-8")
    assert evaluate("roof.csv", *PLACE, *SHORT, "--model", "mine").exit_code == Exit.OK
    model = tmp_path / "mine" / text.get("file", "model.tflite")
    model.write_bytes(model.read_bytes()[:-1] + b"!")
    result = evaluate("roof.csv", *PLACE, *SHORT, "--model", "mine")
    assert result.exit_code == Exit.BAD_INPUT
    assert "--model: " in result.stderr
    assert "SHA-256" in result.stderr


def test_the_day_ahead_is_judged_too_where_it_is_asked_for(evaluate: Evaluate) -> None:
    result = evaluate("roof.csv", *PLACE, *SHORT, "--horizon", "24h", "--json")
    assert result.exit_code == Exit.OK, result.stderr
    document = json.loads(result.stdout)
    score = document["day_ahead"]
    for against in score["references"].values():
        assert against["ratio"] == pytest.approx(score["nrmse_pct"] / against["nrmse_pct"])
    assert [hour["hour"] for hour in score["hours"]] == list(range(1, 25))
    assert document["artefacts"]["pv_day_ahead"] == {
        "id": "pv_day_ahead",
        "sha256": champion("pv_day_ahead").artefact.sha256,
    }
    table = evaluate("roof.csv", *PLACE, *SHORT, "--horizon", "24h").stdout
    assert f"{score['references']['smart_persistence']['ratio']:.2f} × smart persistence" in table
    assert max(map(len, table.splitlines())) <= 80


def test_the_picture_of_a_day_ahead_has_its_errors_and_bands_by_hour(
    evaluate: Evaluate, tmp_path: Path
) -> None:
    heights = []
    for horizon in ("15min", "24h"):
        asked = ("roof.csv", *PLACE, *SHORT, "--horizon", horizon, "--plot", "roof.png")
        assert evaluate(*asked).exit_code == Exit.OK
        heights.append(imread(tmp_path / "roof.png").shape[0])
    assert heights[1] == pytest.approx(1.5 * heights[0], rel=0.02)


def with_weights(folder: Path, weight: float, **more: object) -> None:
    """A copy of the day ahead that ships, all weights of its mean replaced by one."""
    shutil.copytree(champion("pv_day_ahead").artefact.path.parent, folder)
    weights = folder / "coefficients.json"
    blend = json.loads(weights.read_text(encoding="utf-8"))
    blend["mean"] = [[weight] * len(row) for row in blend["mean"]]
    weights.write_text(json.dumps({**blend, **more}), encoding="utf-8")
    manifest = folder / "manifest.json"
    text = json.loads(manifest.read_text(encoding="utf-8"))
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    changed = {**text, "id": folder.name, "sha256": digest}
    manifest.write_text(json.dumps(changed), encoding="utf-8")


def test_a_blend_of_ones_own_is_judged_in_place_of_the_champion(
    evaluate: Evaluate, tmp_path: Path
) -> None:
    with_weights(tmp_path / "mine", 0.0)
    asked = ("roof.csv", *PLACE, *SHORT, "--horizon", "24h", "--json")
    own = json.loads(evaluate(*asked, "--model", "mine").stdout)
    shipped = json.loads(evaluate(*asked).stdout)
    assert own["day_ahead"]["nrmse_pct"] > shipped["day_ahead"]["nrmse_pct"]
    assert own["models"] == shipped["models"]


def test_the_blend_that_is_promoted_in_the_folder_the_environment_names_is_judged(
    evaluate: Evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_weights(tmp_path / "kept" / "mine", 0.0)
    asked = ("roof.csv", *PLACE, *SHORT, "--horizon", "24h", "--json")
    shipped = json.loads(evaluate(*asked).stdout)
    own = json.loads(evaluate(*asked, "--model", "kept/mine").stdout)
    promote(
        artefact("mine", tmp_path / "kept"),
        tmp_path / "kept",
        over=champion("pv_day_ahead").artefact,
        why="for the test",
        when=datetime(2026, 1, 1, tzinfo=UTC),
    )
    monkeypatch.setenv("GEEMS_FORECAST__MODELS", str(tmp_path / "kept"))
    promoted = json.loads(evaluate(*asked).stdout)
    assert promoted["day_ahead"] == own["day_ahead"]
    assert promoted["day_ahead"] != shipped["day_ahead"]


def test_the_day_ahead_is_judged_on_the_span_that_is_asked_for(evaluate: Evaluate) -> None:
    asked = ("roof.csv", *PLACE, *SHORT, "--horizon", "24h", "--json")
    last = json.loads(evaluate(*asked).stdout)["day_ahead"]["n"]
    after = json.loads(evaluate(*asked, "--test-span", "after-calibration").stdout)["day_ahead"][
        "n"
    ]
    # 14 days after the calibration, 8 in the last third, of which the last is in a path only.
    assert after / last == pytest.approx(13 / 7, rel=0.03)


def test_the_day_ahead_begins_with_the_forecast_of_the_next_interval(evaluate: Evaluate) -> None:
    result = evaluate(
        "roof.csv", *PLACE, *SHORT, "--horizon", "24h", "--resolution", "15min", "--json"
    )
    found = json.loads(result.stdout)["day_ahead"]
    record = plant_record(power_kw(24, minutes=5).resample("15min").mean(), 15)
    dawn = 16 * 96 + int(np.argmax(sky_seen(record, ROOF).daylight[16 * 96 :]))
    alone = judge_day_ahead(record, ROOF, first=dawn)
    assert found["n"] == alone.n
    assert found["hours"][0]["nrmse_pct"] != pytest.approx(alone.hours[0].nrmse_pct, rel=1e-3)
    assert found["hours"][23]["nrmse_pct"] == pytest.approx(alone.hours[23].nrmse_pct, rel=0.1)


def test_less_than_a_day_to_be_judged_on_is_told_as_that(evaluate: Evaluate) -> None:
    short = evaluate("roof.csv", *PLACE, "--calibration-days", "23", "--horizon", "24h")
    assert short.exit_code == Exit.BAD_INPUT
    assert "--horizon 24h: less than a whole day is left" in short.stderr


def test_a_plant_that_stands_still_has_no_ratio(evaluate: Evaluate, tmp_path: Path) -> None:
    still = power_kw(24).copy()
    still.iloc[14 * 96 :] = 0.0
    write_csv(tmp_path / "still.csv", still)
    result = evaluate("still.csv", *PLACE, *SHORT, "--horizon", "24h", "--json")
    assert result.exit_code == Exit.OK, result.stderr
    assert (
        json.loads(result.stdout)["day_ahead"]["references"]["smart_persistence"]["ratio"] is None
    )
    table = evaluate("still.csv", *PLACE, *SHORT, "--horizon", "24h")
    assert "no error to compare with: smart persistence" in table.stdout


def test_where_nothing_but_zeros_is_scored_a_warning_says_so(
    evaluate: Evaluate, tmp_path: Path
) -> None:
    still = power_kw(24).copy()
    still.iloc[12 * 96 :] = 0.0
    write_csv(tmp_path / "still.csv", still)
    result = evaluate("still.csv", *PLACE, *SHORT, "--json")
    assert result.exit_code == Exit.OK, result.stderr
    told = (
        "nothing changes in what is scored: every value is 0 kW; the scores say nothing. Choose "
        "another span, or leave out where the plant was down"
    )
    assert told in json.loads(result.stdout)["warnings"]
    assert f"! {told}" in result.stderr


def test_a_file_of_zeros_alone_is_told_as_that_once_and_has_no_skill(
    evaluate: Evaluate, tmp_path: Path
) -> None:
    write_csv(tmp_path / "zero.csv", 0.0 * power_kw(24))
    result = evaluate("zero.csv", *PLACE, *SHORT, "--json")
    document = json.loads(result.stdout)
    assert {scores["skill_pct"] for scores in document["models"].values()} == {None}
    assert [w for w in document["warnings"] if "the scores say nothing" in w] == [
        "no sun in this file: every value is 0; the scores say nothing. Check its column of values"
    ]
    table = evaluate("zero.csv", *PLACE, *SHORT).stdout
    [geems] = [line for line in table.splitlines() if line.startswith("geems")]
    assert geems.split()[4] == "–", "errors of nothing, and no skill"


def test_a_blend_judged_on_what_it_was_trained_on_is_said_to_be_flattered(
    evaluate: Evaluate, tmp_path: Path
) -> None:
    with_weights(tmp_path / "mine", 0.0)
    manifest = tmp_path / "mine" / "manifest.json"
    text = json.loads(manifest.read_text(encoding="utf-8"))
    here = {"latitude_deg": ROOF.latitude_deg, "longitude_deg": ROOF.longitude_deg}
    span = {"first": "2023-01-01", "last": "2023-03-20", "sha256": "ab" * 32, **here}
    manifest.write_text(json.dumps({**text, "training_window": {"roof": span}}), encoding="utf-8")
    result = evaluate("roof.csv", *PLACE, *SHORT, "--model", "mine", "--horizon", "24h")
    assert "'mine' was trained on this sky" in result.stderr


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("knots", [0.0] * 200 + [95.0], "'knots' are not numbers, 96 at most"),
        ("lasting", [9.0] * 10, "'lasting' are not shares"),
        ("lasting", ["0.5"] * 10, "'lasting' are no numbers"),
    ],
)
def test_a_damaged_blend_is_refused(
    evaluate: Evaluate, tmp_path: Path, key: str, value: list[object], told: str
) -> None:
    with_weights(tmp_path / "mine", 0.0, **{key: value})
    result = evaluate("roof.csv", *PLACE, *SHORT, "--model", "mine", "--horizon", "24h")
    assert result.exit_code == Exit.BAD_INPUT
    assert f"--model: {told}" in result.stderr


def test_a_blend_is_judged_over_the_day_only(evaluate: Evaluate, tmp_path: Path) -> None:
    with_weights(tmp_path / "mine", 0.0)
    result = evaluate("roof.csv", *PLACE, *SHORT, "--model", "mine")
    assert result.exit_code == Exit.BAD_INPUT
    assert "with --horizon 24h" in result.stderr


def test_a_blend_that_is_none_is_refused(evaluate: Evaluate, tmp_path: Path) -> None:
    with_weights(tmp_path / "mine", 1e6)
    result = evaluate("roof.csv", *PLACE, *SHORT, "--model", "mine", "--horizon", "24h")
    assert result.exit_code == Exit.BAD_INPUT
    assert "--model: 'mean' are not" in result.stderr


def test_without_a_usable_blend_the_usual_sky_of_the_day_is_judged_and_said_so(
    evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise ValueError("no weights")

    monkeypatch.setattr("forecasting.day_ahead.blend.Blend.from_artefact", broken)
    result = evaluate("roof.csv", *PLACE, *SHORT, "--horizon", "24h", "--json")
    assert result.exit_code == Exit.OK, result.stderr
    document = json.loads(result.stdout)
    assert "geems goes without its blend of the day ahead: no weights" in document["warnings"]
    assert document["day_ahead"]["n"] > 0


def test_a_file_without_one_value_is_told_to_be_empty(evaluate: Evaluate, tmp_path: Path) -> None:
    write_csv(tmp_path / "empty.csv", np.nan * power_kw(24))
    result = evaluate("empty.csv", *PLACE, *SHORT)
    assert result.exit_code == Exit.BAD_INPUT
    assert "empty.csv: no row of it holds a value" in result.stderr


def test_power_by_night_is_told_and_a_little_is_not(evaluate: Evaluate, tmp_path: Path) -> None:
    for less, told in ((-0.3, True), (-0.02, False)):
        write_csv(tmp_path / "less.csv", power_kw(24) + less)
        result = evaluate("less.csv", *PLACE, *SHORT)
        assert result.exit_code == Exit.OK, result.stderr
        assert ("of the night the file says power, -0.3 kW usually" in result.stderr) is told


def test_power_on_some_nights_is_told(evaluate: Evaluate, tmp_path: Path) -> None:
    power = power_kw(24).copy()
    for night in (3, 9):
        power.iloc[night * 96 - 8 : night * 96 + 8] += 4.0
    write_csv(tmp_path / "nights.csv", power)
    result = evaluate("nights.csv", *PLACE, *SHORT)
    assert "of the night the file says power, 4 kW usually" in result.stderr


def test_one_fill_value_does_not_reach_the_usual_sky_of_later_days(
    evaluate: Evaluate, tmp_path: Path
) -> None:
    power = power_kw(24).copy()
    power.iloc[5 * 96] = 9.96921e36  # in the dark, and in no test span
    write_csv(tmp_path / "filled.csv", power)
    write_csv(tmp_path / "clean.csv", power_kw(24))
    filled, clean = (
        json.loads(evaluate(name, *PLACE, *SHORT, "--json").stdout)["models"]["smart_persistence"]
        for name in ("filled.csv", "clean.csv")
    )
    assert filled["nrmse_pct"] == pytest.approx(clean["nrmse_pct"], rel=0.05)


def test_a_model_judged_on_what_it_was_trained_on_is_said_to_be_flattered(
    evaluate: Evaluate, tmp_path: Path
) -> None:
    shutil.copytree(champion("pv_pooled").artefact.path.parent, tmp_path / "mine")
    manifest = tmp_path / "mine" / "manifest.json"
    text = json.loads(manifest.read_text(encoding="utf-8"))
    here = {"latitude_deg": ROOF.latitude_deg, "longitude_deg": ROOF.longitude_deg}
    for last, flattered in (("2023-03-20", True), ("2023-03-17", False)):
        span = {"first": "2023-01-01", "last": last, "sha256": "ab" * 32, **here}
        changed = {**text, "id": "mine", "training_window": {"roof": span}}
        manifest.write_text(json.dumps(changed), encoding="utf-8")
        result = evaluate("roof.csv", *PLACE, *SHORT, "--model", "mine")
        assert result.exit_code == Exit.OK, result.stderr
        assert ("its scores flatter it" in result.stderr) is flattered


def test_without_a_usable_champion_the_next_rung_is_judged_and_said_so(
    evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise ValueError("not a model")

    monkeypatch.setattr("forecasting.pooled.PooledLstm", broken)
    result = evaluate("roof.csv", *PLACE, *SHORT, "--json")
    assert result.exit_code == Exit.OK
    document = json.loads(result.stdout)
    assert document["branches"]["lstm"] == 0
    assert "geems goes without its model, 'pv_pooled': not a model" in document["warnings"]
