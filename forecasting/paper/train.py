"""Train the published model and write it as an artefact: model, manifest, card."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from forecasting.baselines import persistence_share, smart_persistence_share
from forecasting.clearsky import Floats
from forecasting.data.sources import SourceSeries, TrainingSource, read_sources
from forecasting.paper.card import render_card
from forecasting.paper.features import FEATURES, Samples, make_samples
from forecasting.paper.lstm import Exported, Fitted, Progress, TrainingFault
from forecasting.record import plant_record
from forecasting.runtime import INPUT_SHAPE, LiteModel, power_from_share_kw
from forecasting.series import SeriesFault
from forecasting.sky import sky_seen
from forecasting.worker import Task, fit_and_export
from models.register import CARD, MODEL, is_artefact_id
from models.writing import write_artefact

KIND = "paper_lstm"

TRAINING_SHARE = 0.70
VALIDATION_SHARE = 0.15

EPOCHS = 40
"""Most epochs, when not said otherwise."""

LEAST_SAMPLES = 400
"""Samples a source must give; about eight days of summer beyond the five of the lags."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceScore:
    """How the model did on the held-out tail of one source.

    The errors are daylight nRMSE: root mean square error over the intervals with the sun above 5°
    that were measured, as was the one before; in percent of the rating, same for every method.
    """

    source: str
    first: str
    """First day of the series, UTC."""
    last: str
    tested_from: str
    """First day of the held-out tail, UTC."""
    samples: int
    """Intervals scored."""
    with_lags_pct: float
    """Measured daylight intervals whose five lags all exist [%]."""
    lstm_pct: float
    persistence_pct: float
    smart_persistence_pct: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingReport:
    """What was trained, and how good it is."""

    artefact_id: str
    out_dir: Path
    sha256: str
    seed: int
    epochs: int
    """Epochs run."""
    parameters: int
    validation_rmse: float
    """As a share of the rating [1]."""
    parity_error: float
    """Largest difference of Keras and LiteRT on the stored vectors [1]."""
    scores: tuple[SourceScore, ...]
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Split:
    """Samples of one source in three parts, in order of time."""

    series: SourceSeries
    training: Samples
    validation: Samples
    test: Samples
    with_lags: float


def train(
    sources: Sequence[TrainingSource],
    out_dir: Path,
    *,
    seed: int = 1,
    epochs: int = EPOCHS,
    version: int = 1,
    progress: Progress = lambda _epoch, _epochs, _rmse: None,
) -> TrainingReport:
    """Train on one or several sources and write `out_dir` / model.tflite, manifest.json, card.md.

    Each source is split by time: the first 70 % of its samples train, the next 15 % stop the
    training, the last 15 % are held out and only scored. The id of the artefact is the name of
    `out_dir`. Nothing is written unless the converted model passes its parity gate.

    Raises:
        SeriesFault: some file is wrong or gives too few samples; carries the faults of all.
        TrainingFault: no source, a folder name that is no artefact id, or TensorFlow is not
            installed.
        ParityFault: the converted model answers otherwise than the trained one.
        FolderFault: `out_dir` cannot be written, or an artefact has appeared there.
    """
    began = time.perf_counter()
    if not is_artefact_id(out_dir.name):
        raise TrainingFault(
            f"'{out_dir.name}' cannot name an artefact; end the output folder in a name of small "
            f"letters, digits and underscores"
        )
    splits = _split(sources)
    task = Task(
        training=[s.training for s in splits],
        validation=[s.validation for s in splits],
        examples=np.concatenate([s.test.x for s in splits]),
        seed=seed,
        epochs=epochs,
    )
    fitted, exported = fit_and_export(task, progress)
    scores = tuple(_score(s, exported) for s in splits)
    report = TrainingReport(
        artefact_id=out_dir.name,
        out_dir=out_dir,
        sha256=hashlib.sha256(exported.content).hexdigest(),
        seed=seed,
        epochs=fitted.epochs,
        parameters=fitted.parameters,
        validation_rmse=fitted.validation_rmse,
        parity_error=exported.parity_error,
        scores=scores,
        duration_s=time.perf_counter() - began,
    )
    _write(report, splits, version, fitted, exported)
    return report


def _split(sources: Sequence[TrainingSource]) -> list[_Split]:
    if not sources:
        raise TrainingFault("no series to train on: name at least one source")
    splits: list[_Split] = []
    short: list[str] = []
    for series in read_sources(tuple(sources)):
        samples, with_lags = make_samples(series.power_kw, series.source.geometry)
        n = len(samples)
        if n < LEAST_SAMPLES:
            short.append(
                f"{series.source.path.name}: only {n} daylight intervals have all five previous "
                f"days, {LEAST_SAMPLES} are needed; give a longer series, and check that its "
                f"times are UTC and its longitude is right"
            )
        a, b = int(n * TRAINING_SHARE), int(n * (TRAINING_SHARE + VALIDATION_SHARE))
        splits.append(
            _Split(
                series=series,
                training=samples.part(0, a),
                validation=samples.part(a, b),
                test=samples.part(b, n),
                with_lags=with_lags,
            )
        )
    if short:
        raise SeriesFault(tuple(short))
    return splits


def _score(split: _Split, exported: Exported) -> SourceScore:
    """Score on the held-out tail, with the very model and code the service runs."""
    source, power, test = split.series.source, split.series.power_kw, split.test
    rated = source.geometry.rated_kw
    record = plant_record(power, 15)
    sky = sky_seen(record, source.geometry)
    rows = record.starts.get_indexer(test.starts)
    shares = LiteModel(exported.content)(test.x)
    lstm = power_from_share_kw(shares, test.clear * rated, rated) / rated
    truth = sky.power[rows]
    scored = sky.daylight[rows] & np.isfinite(sky.power[rows - 1])

    def nrmse_pct(forecast: Floats) -> float:
        error = (forecast - truth)[scored]
        return round(100 * float(np.sqrt(np.mean(error**2))), 2)

    return SourceScore(
        source=source.name,
        first=f"{power.index[0]:%Y-%m-%d}",
        last=f"{power.index[-1]:%Y-%m-%d}",
        tested_from=f"{test.starts[0]:%Y-%m-%d}",
        samples=int(scored.sum()),
        with_lags_pct=round(100 * split.with_lags, 1),
        lstm_pct=nrmse_pct(lstm),
        persistence_pct=nrmse_pct(persistence_share(sky)[rows]),
        smart_persistence_pct=nrmse_pct(smart_persistence_share(sky)[rows]),
    )


def _write(
    report: TrainingReport,
    splits: Sequence[_Split],
    version: int,
    fitted: Fitted,
    exported: Exported,
) -> None:
    manifest = _manifest(report, splits, version, fitted, exported)
    card = render_card(manifest).encode()
    manifest["files"] = {CARD: hashlib.sha256(card).hexdigest()}
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    write_artefact(report.out_dir, {MODEL: exported.content, CARD: card}, text.encode())


def _manifest(
    report: TrainingReport,
    splits: Sequence[_Split],
    version: int,
    fitted: Fitted,
    exported: Exported,
) -> dict[str, Any]:
    """Everything about the artefact but this machine: no paths, no clock."""
    sources = [s.series.source for s in splits]
    checksums = [hashlib.sha256(s.path.read_bytes()).hexdigest() for s in sources]
    return {
        "id": report.artefact_id,
        "kind": KIND,
        "version": version,
        "file": MODEL,
        "sha256": report.sha256,
        "training_window": {
            split.series.source.name: _window(split, checksum)
            for split, checksum in zip(splits, checksums, strict=True)
        },
        "metrics": {s.source: _metrics(s) for s in report.scores},
        "versions": fitted.versions,
        "input": {"shape": list(INPUT_SHAPE), "features": list(FEATURES)},
        "output": "mean power of the 15-minute interval as a share of the rating",
        "training": {
            "seed": report.seed,
            "epochs": report.epochs,
            "parameters": report.parameters,
            "validation_rmse": round(report.validation_rmse, 6),
            "shares": [TRAINING_SHARE, VALIDATION_SHARE],
            "versions": fitted.versions,
            "sources": [
                {
                    "name": s.name,
                    "file": s.path.name,
                    "sha256": checksum,
                    "quantity": s.quantity,
                    "geometry": asdict(s.geometry),
                    "licence": s.licence,
                    "origin": s.origin,
                }
                for s, checksum in zip(sources, checksums, strict=True)
            ],
        },
        "scores": [asdict(s) for s in report.scores],
        "parity": exported.parity,
    }


def _window(split: _Split, checksum: str) -> dict[str, Any]:
    """What training and its early stop saw."""
    geometry = split.series.source.geometry
    return {
        "first": f"{split.series.power_kw.index[0]:%Y-%m-%d}",
        "last": f"{split.validation.starts[-1]:%Y-%m-%d}",
        "sha256": checksum,
        "latitude_deg": geometry.latitude_deg,
        "longitude_deg": geometry.longitude_deg,
    }


def _metrics(score: SourceScore) -> dict[str, float]:
    skill = 100.0 * (1.0 - score.lstm_pct / score.smart_persistence_pct)
    return {"nrmse_pct": score.lstm_pct, "skill_pct": round(skill, 1)}
