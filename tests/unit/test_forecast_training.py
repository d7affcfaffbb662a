"""A real, tiny training run. TensorFlow stays in child processes."""

import hashlib
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecasting import worker
from forecasting.clearsky import PvGeometry, clear_sky, clear_sky_kw
from forecasting.data.sources import TrainingSource
from forecasting.paper.lstm import TrainingFault
from forecasting.paper.train import TrainingReport, train
from forecasting.runtime import PaperLstm
from forecasting.series import SeriesFault
from models import artefact

# Not importorskip: that would import TensorFlow while tests are collected.
pytestmark = pytest.mark.skipif(
    find_spec("tensorflow") is None, reason="training needs the extra 'train'"
)

ROOF = PvGeometry(
    latitude_deg=48.1, longitude_deg=11.6, tilt_deg=30.0, azimuth_deg=180.0, rated_kw=5.0
)
Epochs = list[tuple[int, int, float]]


def clouds(count: int, seed: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """A clear-sky index that wanders: seeded, within 0.1…1."""
    steps = np.random.default_rng(seed).normal(0.0, 0.08, count)
    index = np.empty(count)
    level = 0.7
    for i, step in enumerate(steps):
        level = float(np.clip(level + step + 0.02 * (0.7 - level), 0.1, 1.0))
        index[i] = level
    return index


def write(path: Path, column: str, times: pd.DatetimeIndex, values: object) -> None:
    frame = pd.DataFrame({"time_utc": times.strftime("%Y-%m-%dT%H:%M:%SZ"), column: values})
    frame.to_csv(path, index=False)


def sources(folder: Path) -> tuple[TrainingSource, ...]:
    quarter = pd.date_range("2026-04-01", periods=96 * 30, freq="15min", tz="UTC")
    watts = 1000 * clear_sky_kw(ROOF, quarter) * clouds(len(quarter), seed=1)
    write(folder / "roof.csv", "p_ac_w", quarter, watts)
    fine = pd.date_range("2026-05-01", periods=288 * 20, freq="5min", tz="UTC")
    ghi = clear_sky(48.1, 11.6, fine).ghi_wm2 * clouds(len(fine), seed=2)
    write(folder / "field.csv.gz", "ghi_wm2", fine, ghi)
    field = PvGeometry(
        latitude_deg=48.1, longitude_deg=11.6, tilt_deg=35.0, azimuth_deg=180.0, rated_kw=1.0
    )
    return (
        TrainingSource(
            name="Roof",
            path=folder / "roof.csv",
            quantity="power_w",
            geometry=ROOF,
            licence="CC0",
            origin="made up",
        ),
        TrainingSource(
            name="Field",
            path=folder / "field.csv.gz",
            quantity="ghi_wm2",
            geometry=field,
            licence="CC0",
        ),
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingSource, ...]:
    return sources(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(
    data: tuple[TrainingSource, ...], tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainingReport, Epochs]:
    epochs: Epochs = []
    out = tmp_path_factory.mktemp("models") / "tiny"
    report = train(data, out, seed=3, epochs=2, progress=lambda *epoch: epochs.append(epoch))
    return report, epochs


def test_training_writes_an_artefact_that_the_register_and_the_runtime_accept(
    trained: tuple[TrainingReport, Epochs],
) -> None:
    report, _ = trained
    found = artefact("tiny", report.out_dir.parent)
    assert report.sha256 == hashlib.sha256(found.content).hexdigest()
    assert PaperLstm(found).parity_error <= 1e-5


def test_training_reports_every_epoch(trained: tuple[TrainingReport, Epochs]) -> None:
    report, epochs = trained
    assert [(e, n) for e, n, _ in epochs] == [(1, 2), (2, 2)]
    assert all(0 < rmse < 1 for _, _, rmse in epochs)
    assert report.validation_rmse == pytest.approx(min(r for _, _, r in epochs))


def test_every_source_is_scored_on_its_own_tail_beside_both_baselines(
    trained: tuple[TrainingReport, Epochs],
) -> None:
    roof, field = trained[0].scores
    assert (roof.source, field.source) == ("Roof", "Field")
    assert roof.tested_from > "2026-04-22"
    for score in (roof, field):
        assert score.samples > 50
        assert 0 < score.smart_persistence_pct < score.persistence_pct < score.lstm_pct < 60


def test_the_card_names_data_licences_and_the_defeat_and_no_path_of_the_machine(
    trained: tuple[TrainingReport, Epochs], data: tuple[TrainingSource, ...]
) -> None:
    out = trained[0].out_dir
    card = (out / "card.md").read_text(encoding="utf-8")
    for words in ("Roof", "Field", "CC0", "made up", "2026-04-01 to 2026-04-30"):
        assert words in card
    assert "loses to plain persistence on 2 of 2 sources" in card
    for file in out.iterdir():
        content = file.read_bytes()
        assert str(data[0].path.parent).encode() not in content
        assert str(out.parent).encode() not in content


def test_the_same_seed_gives_the_same_model_and_standard_output_is_left_to_the_command(
    trained: tuple[TrainingReport, Epochs],
    data: tuple[TrainingSource, ...],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    again = train(data, tmp_path / "again", seed=3, epochs=2)
    assert again.sha256 == trained[0].sha256
    assert capfd.readouterr().out == ""


def test_another_seed_gives_another_model(
    trained: tuple[TrainingReport, Epochs], data: tuple[TrainingSource, ...], tmp_path: Path
) -> None:
    other = train(data, tmp_path / "other", seed=4, epochs=1)
    assert other.sha256 != trained[0].sha256


def test_training_never_brings_tensorflow_into_this_process(
    trained: tuple[TrainingReport, Epochs],
) -> None:
    """It and the OpenDSS engine end a process that holds both."""
    assert trained
    assert "tensorflow" not in sys.modules


NAN_MODEL = """
import numpy as np
from forecasting.paper.lstm import _build, export, load_keras
model = _build(load_keras()[0])
model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
export(model, np.ones((40, 5, 5), dtype=np.float32))
"""


def test_a_model_that_answers_nan_is_not_exported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NAN_MODEL], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "ParityFault" in done.stderr
    assert "NaN" in done.stderr


TRACED_AGAIN = """
from forecasting.paper.lstm import load_keras
load_keras()
import tensorflow
tensorflow.get_logger().warning("traced again")
"""


def test_what_tensorflow_warns_of_stays_out_of_the_progress_bar() -> None:
    """Such as that it traces anew what is trained anew."""
    done = subprocess.run(
        [sys.executable, "-c", TRACED_AGAIN], capture_output=True, text=True, check=True
    )
    assert "traced again" not in done.stderr


def test_a_training_process_that_dies_is_told(data: tuple[TrainingSource, ...]) -> None:
    empty = worker.Task(
        training=Unreadable(),
        validation=[],
        examples=np.zeros((1, 5, 5), dtype=np.float32),
        seed=1,
        epochs=1,
    )
    assert data
    with pytest.raises(TrainingFault, match="ended with code 7"):
        worker.fit_and_export(empty, lambda *_epoch: None)


class Unreadable(list):  # type: ignore[type-arg]
    """Ends the child that unpickles it."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (7,)


def test_too_short_a_series_is_told_before_training(
    data: tuple[TrainingSource, ...], tmp_path: Path
) -> None:
    text = data[0].path.read_text(encoding="utf-8").splitlines(keepends=True)
    short = tmp_path / "short.csv"
    short.write_text("".join(text[: 96 * 8]), encoding="utf-8")
    source = TrainingSource(
        name="Short", path=short, quantity="power_w", geometry=ROOF, licence="CC0"
    )
    with pytest.raises(SeriesFault, match=r"short\.csv: only \d+ daylight intervals"):
        train([source, source], tmp_path / "tiny")


def test_no_source_and_a_folder_that_cannot_name_an_artefact_are_refused(
    data: tuple[TrainingSource, ...], tmp_path: Path
) -> None:
    with pytest.raises(TrainingFault, match="at least one source"):
        train([], tmp_path / "tiny")
    with pytest.raises(TrainingFault, match="'My Model' cannot name an artefact"):
        train(data, tmp_path / "My Model")
