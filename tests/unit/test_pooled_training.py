"""Training of the pooled model: small, but real. TensorFlow stays in child processes."""

import hashlib
import json
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forecasting.data.sources import TrainingSource, read_source_rows
from forecasting.paper.lstm import TrainingFault
from forecasting.pooled import PooledLstm
from forecasting.pooled.augment import capped, gappy, other_losses, with_cap
from forecasting.pooled.card import render_card
from forecasting.pooled.checkpoint import Checkpoints, State
from forecasting.pooled.features import TARGET_FEATURES, WIDTH
from forecasting.pooled.fit import Epoch, Plan
from forecasting.pooled.judge import scores
from forecasting.pooled.observed import HISTORY, LAGS
from forecasting.pooled.samples import site_samples, without_thirds
from forecasting.pooled.train import PooledReport, train
from forecasting.series import SeriesFault
from models import artefact
from tests.pooled_skies import ROOF, roof_record, write_sources

needs_tensorflow = pytest.mark.skipif(
    find_spec("tensorflow") is None, reason="training needs the extra 'train'"
)

TINY = Plan(seed=3, epochs=2, members=1, ghi_plants=2, power_plants=1)
Told = list[tuple[str, Epoch]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingSource, ...]:
    return write_sources(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(
    data: tuple[TrainingSource, ...], tmp_path_factory: pytest.TempPathFactory
) -> tuple[PooledReport, Told]:
    told: Told = []
    out = tmp_path_factory.mktemp("models") / "tiny"
    report = train(
        data,
        out,
        plan=TINY,
        version=7,
        leave_one_out=True,
        progress=lambda name, epoch: told.append((name, epoch)),
    )
    return report, told


def test_a_plant_that_stands_still_leaves_nothing_to_be_better_at(
    data: tuple[TrainingSource, ...],
) -> None:
    """Zero is kept, and right: no skill, where a manifest holds numbers alone."""
    (rows,) = read_source_rows(data[:1])
    still = replace(rows, measured=0.0 * rows.measured)
    (found,) = scores(PooledLstm(artefact("pv_pooled")), still).values()
    assert found["smart_nrmse_pct"] == 0.0
    assert found["skill_pct"] == 0.0


@needs_tensorflow
def test_training_writes_an_artefact_that_the_register_and_the_runtime_accept(
    trained: tuple[PooledReport, Told],
) -> None:
    report, _ = trained
    found = artefact("tiny", report.out_dir.parent)
    assert found.manifest["version"] == 7
    assert found.manifest["kind"] == "pv_pooled"
    assert report.sha256 == hashlib.sha256(found.content).hexdigest()
    assert PooledLstm(found).parity_error <= 1e-5
    answer = PooledLstm(found).series(roof_record(), ROOF)
    assert np.isfinite(answer.mean_kw[1:]).all()


@needs_tensorflow
def test_every_source_is_scored_by_resolution_also_by_a_model_that_never_saw_it(
    trained: tuple[PooledReport, Told],
) -> None:
    report, _ = trained
    for metrics in (report.metrics, report.left_out):
        assert {site: set(found) for site, found in metrics.items()} == {
            "Roof": {"15min"},
            "Field": {"15min", "5min"},
        }
    assert report.metrics["Roof"]["15min"] != report.left_out["Roof"]["15min"]


@needs_tensorflow
def test_training_reports_every_epoch_of_every_model(trained: tuple[PooledReport, Told]) -> None:
    _, told = trained
    assert [(name, e.epoch) for name, e in told] == [
        (name, epoch) for name in ("", "Roof", "Field") for epoch in (1, 2)
    ]
    assert all(0.0 < e.rmse < 1.0 and not e.resumed for _, e in told)


@needs_tensorflow
def test_the_window_ends_where_the_test_span_begins(trained: tuple[PooledReport, Told]) -> None:
    window = artefact("tiny", trained[0].out_dir.parent).manifest["training_window"]
    assert (window["Roof"]["first"], window["Roof"]["last"]) == ("2026-04-01", "2026-04-27")


@needs_tensorflow
def test_the_card_names_data_licences_and_left_out_figures_and_no_path_of_the_machine(
    trained: tuple[PooledReport, Told], data: tuple[TrainingSource, ...]
) -> None:
    out = trained[0].out_dir
    card = (out / "card.md").read_text(encoding="utf-8")
    for words in ("Roof", "Field", "CC0", "made up", "never seen the site", "80 % band"):
        assert words in card
    for file in out.iterdir():
        content = file.read_bytes()
        assert str(data[0].path.parent).encode() not in content
        assert str(out.parent).encode() not in content


def shipped_manifest(**changes: object) -> dict[str, Any]:
    manifest = artefact("pv_pooled").manifest
    sources = [{**source, **changes} for source in manifest["training"]["sources"]]
    return {**manifest, "training": {**manifest["training"], "sources": sources}}


def test_the_card_that_ships_is_the_one_that_is_written_today() -> None:
    found = artefact("pv_pooled")
    assert render_card(found.manifest) == found.card.read_text(encoding="utf-8")


def test_the_card_says_nothing_of_irradiance_where_there_was_none() -> None:
    card = render_card(shipped_manifest(quantity="power_kw"))
    assert "irradiance" not in card
    assert "Each series was seen with 6\nconfigurations of the plant" in card


def test_the_card_of_one_latitude_names_no_span() -> None:
    here = {"latitude_deg": 48.1}
    card = render_card(shipped_manifest(quantity="power_kw", geometry=here))
    assert "Trained on 4 sites at 48.1° of latitude" in card


@needs_tensorflow
def test_broken_off_and_gone_on_with_the_training_gives_the_same_model(
    trained: tuple[PooledReport, Told], data: tuple[TrainingSource, ...], tmp_path: Path
) -> None:
    def stop(_name: str, epoch: Epoch) -> None:
        if epoch.epoch == 1:
            raise KeyboardInterrupt

    kept = tmp_path / "kept"
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "tiny", plan=TINY, checkpoint=kept, progress=stop)
    assert not (tmp_path / "tiny").exists()
    assert any(kept.iterdir())
    told: Told = []
    report = train(
        data,
        tmp_path / "tiny",
        plan=TINY,
        checkpoint=kept,
        progress=lambda name, epoch: told.append((name, epoch)),
    )
    assert told[0][1].resumed
    assert report.sha256 == trained[0].sha256
    assert not kept.exists()


@needs_tensorflow
def test_the_model_is_the_mean_of_its_members(
    trained: tuple[PooledReport, Told], data: tuple[TrainingSource, ...], tmp_path: Path
) -> None:
    told: Told = []
    plan = replace(TINY, seed=4, epochs=1, members=2)
    other = train(data, tmp_path / "two", plan=plan, progress=lambda *t: told.append(t))
    assert [e.member for _, e in told] == [0, 1]
    one = artefact("tiny", trained[0].out_dir.parent).manifest["training"]["parameters"]
    assert artefact("two", tmp_path).manifest["training"]["parameters"] == 2 * one
    assert other.sha256 != trained[0].sha256


@needs_tensorflow
def test_training_never_brings_tensorflow_into_this_process(
    trained: tuple[PooledReport, Told],
) -> None:
    assert trained
    assert "tensorflow" not in sys.modules


def test_what_cannot_be_trained_is_told_before_it_starts(
    data: tuple[TrainingSource, ...], tmp_path: Path
) -> None:
    with pytest.raises(TrainingFault, match="at least one source"):
        train([], tmp_path / "tiny", plan=TINY)
    with pytest.raises(TrainingFault, match="'My Model' cannot name an artefact"):
        train(data, tmp_path / "My Model", plan=TINY)
    with pytest.raises(TrainingFault, match="sources of one name: Roof"):
        train([data[0], data[0]], tmp_path / "tiny", plan=TINY)
    with pytest.raises(TrainingFault, match="cannot be left out"):
        train(data[:1], tmp_path / "tiny", plan=TINY, leave_one_out=True)


def test_too_short_series_are_all_told(tmp_path: Path) -> None:
    short = write_sources(tmp_path, days=8)
    with pytest.raises(SeriesFault) as caught:
        train(short, tmp_path / "tiny", plan=TINY)
    assert len(caught.value.faults) == 2
    assert "roof.csv: 8.0 days measured, 30 are needed" in caught.value.faults[0]


# --- samples -------------------------------------------------------------------------


def test_the_last_third_of_a_series_is_never_looked_at(
    data: tuple[TrainingSource, ...],
) -> None:
    for source in read_source_rows(data):
        spoilt = source.measured.copy()
        spoilt.iloc[-len(spoilt) // 3 + 20 :] = 0.0
        one = site_samples(source, 3, [1])
        other = site_samples(replace(source, measured=spoilt), 3, [1])
        for a, b in ((one.training, other.training), (one.validation, other.validation)):
            np.testing.assert_array_equal(a.x, b.x)
            np.testing.assert_array_equal(a.y, b.y)


def test_the_same_seed_gives_the_same_samples_and_plants_differ(
    data: tuple[TrainingSource, ...],
) -> None:
    field = read_source_rows(data)[1]
    one, again = site_samples(field, 3, [1]), site_samples(field, 3, [1])
    np.testing.assert_array_equal(one.training.x, again.training.x)
    other = site_samples(field, 3, [2])
    assert one.training.x.shape[1] == WIDTH
    assert not np.array_equal(one.training.y[-50:], other.training.y[-50:])


def test_synthetic_caps_censor_features_and_keep_the_floor() -> None:
    record = roof_record(days=60)
    held = capped(record, ROOF.rated_kw, np.random.default_rng(2))
    under = ~np.isposinf(held.cap_kw)
    assert 0.1 < under.mean() < 0.6
    assert np.isnan(held.parts_kw[under]).all()
    np.testing.assert_array_equal(held.parts_kw[~under], record.parts_kw[~under])
    assert (held.floor_kw[under] <= record.floor_kw[under] + 1e-9).all()
    told = np.isfinite(held.cap_kw)
    assert (held.floor_kw[told] <= held.cap_kw[told] + 1e-9).all()
    assert held.made_kw is not None
    assert (held.made_kw[told] <= held.cap_kw[told, None] + 1e-9).all()
    np.testing.assert_allclose(held.made_kw[told].mean(axis=1), held.floor_kw[told])
    assert np.isnan(held.cap_kw).any()


def test_a_cap_below_which_the_plant_stays_leaves_its_power_as_it_was() -> None:
    record = roof_record(days=2)
    high = np.full(len(record), 2.0 * ROOF.rated_kw)
    held = with_cap(record, high, high)
    np.testing.assert_allclose(held.floor_kw, record.floor_kw)
    assert np.isnan(held.available_kw).all()


def test_gaps_and_losses_keep_the_record_within_the_rating() -> None:
    record = roof_record(days=30)
    rng = np.random.default_rng(1)
    lossy = other_losses(gappy(record, rng), ROOF.rated_kw, rng)
    lost = np.isnan(lossy.available_kw) & np.isfinite(record.available_kw)
    assert 0.01 < lost.mean() < 0.2
    assert np.nanmax(lossy.parts_kw) <= ROOF.rated_kw


def test_samples_that_lose_their_thirds_look_like_fifteen_minute_data(
    data: tuple[TrainingSource, ...],
) -> None:
    field = read_source_rows(data)[1]
    fine = site_samples(field, 1, [1]).training
    coarse = without_thirds(fine, 1.0, np.random.default_rng(0))
    changed = (fine.x != coarse.x).any(axis=0)
    assert (coarse.x[:, changed] == 0.0).all()
    assert changed.sum() == 4 * LAGS + 1
    assert changed[WIDTH - len(TARGET_FEATURES) + TARGET_FEATURES.index("last_third")]


# --- checkpoints ---------------------------------------------------------------------


def state(epoch: int) -> State:
    numbers = tuple(np.full(3, float(epoch + i)) for i in range(12))
    return State(
        epoch=epoch,
        losses=tuple(1.0 / (i + 1) for i in range(epoch)),
        errors=tuple(0.1 / (i + 1) for i in range(epoch)),
        variables=numbers,
        optimizer=numbers[:2],
        best=numbers[::-1],
    )


def test_a_checkpoint_reads_back_as_it_was_kept(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "c", {"seed": 1})
    assert kept.last("model_0") is None
    kept.keep("model_0", state(2))
    found = kept.last("model_0")
    assert found is not None
    assert (found.epoch, found.losses, found.errors) == (2, (1.0, 0.5), (0.1, 0.05))
    np.testing.assert_array_equal(found.variables, state(2).variables)
    np.testing.assert_array_equal(found.best, state(2).best)


def test_a_checkpoint_of_another_task_or_half_a_file_is_not_gone_on_with(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    Checkpoints(folder, {"seed": 1}).keep("model_0", state(2))
    assert Checkpoints(folder, {"seed": 2}).last("model_0") is None
    whole = (folder / "model_0.npz").read_bytes()
    (folder / "model_0.npz").write_bytes(whole[: len(whole) // 2])
    assert Checkpoints(folder, {"seed": 1}).last("model_0") is None


def test_a_checkpoint_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(TrainingFault, match="cannot be written, where the training is kept: Not a"):
        Checkpoints(tmp_path / "file" / "c", {"seed": 1}).keep("model_0", state(1))


def test_a_checkpoint_holds_numbers_and_no_pickle(tmp_path: Path) -> None:
    Checkpoints(tmp_path, {"seed": 1}).keep("model_0", state(1))
    with np.load(tmp_path / "model_0.npz", allow_pickle=False) as kept:
        assert all(kept[name].dtype.kind in "fU" for name in kept)


def test_the_history_a_row_needs_is_what_the_runtime_passes() -> None:
    assert HISTORY == 5 * 96 + 1
    manifest = json.loads(artefact("pv_pooled").path.with_name("manifest.json").read_text())
    assert manifest["input"]["shape"] == [WIDTH]
