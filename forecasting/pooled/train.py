"""Train the pooled model and write it as an artefact: model, manifest, card, sources.

    train(sources, out_dir, plan=Plan(seed=1), leave_one_out=True)

Each series is cut by time: the first 55 % train, up to two thirds they stop the training, the
last third is only scored. With `leave_one_out` the same is done once more without each source,
and the model is scored on the one it has never seen.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from forecasting.data.sources import SourceRows, TrainingSource, read_source_rows
from forecasting.paper.lstm import TrainingFault
from forecasting.pooled.card import render_card
from forecasting.pooled.checkpoint import Checkpoints
from forecasting.pooled.features import LAG_FEATURES, TARGET_FEATURES, WIDTH
from forecasting.pooled.fit import Epoch, Plan, PooledTask, Trained, work
from forecasting.pooled.judge import cap_scores, scores
from forecasting.pooled.observed import LAGS
from forecasting.pooled.runtime import PooledLstm
from forecasting.pooled.samples import STOPPED_TO, TRAINED_TO
from forecasting.record import LEVELS
from forecasting.series import SeriesFault
from forecasting.worker import in_child
from models import Artefact
from models.register import CARD, MODEL, is_artefact_id
from models.writing import write_artefact

KIND = "pv_pooled"
SOURCES = "sources.toml"

LEAST_DAYS = 30
"""Shortest series; below, the third that is scored is too short to say anything."""

_CAP_SEED = 45


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledReport:
    """What was trained, and how good it is."""

    artefact_id: str
    out_dir: Path
    sha256: str
    parity_error: float
    """Largest difference of Keras and LiteRT on the stored vectors, share of the rating [1]."""
    metrics: Mapping[str, Mapping[str, Mapping[str, float]]]
    """By source and resolution."""
    left_out: Mapping[str, Mapping[str, Mapping[str, float]]]
    """The same of models that have never seen the source; empty when not asked for."""
    duration_s: float


def train(
    sources: Sequence[TrainingSource],
    out_dir: Path,
    *,
    plan: Plan,
    version: int | str = 1,
    leave_one_out: bool = False,
    sources_file: Path | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[str, Epoch], None] = lambda _name, _epoch: None,
) -> PooledReport:
    """Train on all sources and write `out_dir`, whose name becomes the artefact's id.

    Args:
        sources: Measured series.
        out_dir: Written only when all is done.
        plan: How much is trained.
        version: Of the artefact.
        leave_one_out: Also train once without each source.
        sources_file: Copied beside the model, as it is now.
        checkpoint: Folder that keeps the training after each epoch; deleted when all is done. The
            same call goes on from there, to the same weights.
        progress: Called after each epoch, with the name of the source left out, or "".

    Raises:
        SeriesFault: some file is wrong or too short; carries the faults of all.
        TrainingFault: no source, too few to leave one out, a folder name that is no artefact id,
            or TensorFlow is not installed.
        ParityFault: a converted model answers otherwise than the trained one.
        FolderFault: `out_dir` cannot be written, or an artefact has appeared there.
    """
    began = time.perf_counter()
    _check(sources, out_dir, leave_one_out=leave_one_out)
    as_named = None if sources_file is None else sources_file.read_bytes()
    measured = read_source_rows(tuple(sources))
    _check_length(measured)
    left_out: tuple[int | None, ...] = (None, *(range(len(sources)) if leave_one_out else ()))
    task = PooledTask(
        sources=tuple(sources),
        checksums=tuple(hashlib.sha256(s.path.read_bytes()).hexdigest() for s in sources),
        plan=plan,
        left_out=left_out,
        checkpoint=checkpoint,
    )

    def told(epoch: Epoch) -> None:
        without = left_out[epoch.training]
        progress("" if without is None else sources[without].name, epoch)

    trained = in_child(work, task, told)
    manifest = _manifest(out_dir.name, version, task, measured, trained)
    if sources_file is not None and sources_file.resolve() == (out_dir / SOURCES).resolve():
        as_named = sources_file.read_bytes()  # its own file, which may be edited, stays as it is
    _write(out_dir, trained[0], manifest, as_named)
    report = PooledReport(
        artefact_id=out_dir.name,
        out_dir=out_dir,
        sha256=manifest["sha256"],
        parity_error=trained[0].exported.parity_error,
        metrics=manifest["metrics"],
        left_out=manifest["left_out"],
        duration_s=time.perf_counter() - began,
    )
    Checkpoints(checkpoint, {}).drop()
    return report


def _check(sources: Sequence[TrainingSource], out_dir: Path, *, leave_one_out: bool) -> None:
    if not sources:
        raise TrainingFault("no series to train on: name at least one source")
    if not is_artefact_id(out_dir.name):
        raise TrainingFault(
            f"'{out_dir.name}' cannot name an artefact; end the output folder in a name of small "
            f"letters, digits and underscores"
        )
    names = [s.name for s in sources]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise TrainingFault(f"sources of one name: {', '.join(twice)}; scores are told by name")
    if leave_one_out and len(sources) < 2:
        raise TrainingFault("one source alone cannot be left out: name two or more")


def _check_length(measured: Sequence[SourceRows]) -> None:
    short: list[str] = []
    for rows in measured:
        days = (rows.measured.index[-1] - rows.measured.index[0]) / pd.Timedelta(days=1)
        known = int(rows.measured.notna().sum()) * rows.minutes / 1440
        if min(days, known) < LEAST_DAYS:
            short.append(
                f"{rows.source.path.name}: {known:.1f} days measured, {LEAST_DAYS} are needed; "
                f"give a longer series"
            )
    if short:
        raise SeriesFault(tuple(short))


def _manifest(
    artefact_id: str,
    version: int | str,
    task: PooledTask,
    measured: Sequence[SourceRows],
    trained: Sequence[Trained],
) -> dict[str, Any]:
    """Everything about the artefact but this machine: no paths, no clock."""
    whole = trained[0]
    model = _loaded(artefact_id, whole)
    without = {
        rows.source.name: scores(_loaded(artefact_id, t), rows)
        for rows, t in zip(measured, trained[1:], strict=False)
    }
    return {
        "id": artefact_id,
        "kind": KIND,
        "version": version,
        "file": MODEL,
        "sha256": hashlib.sha256(whole.exported.content).hexdigest(),
        "training_window": {
            rows.source.name: _window(rows, checksum)
            for rows, checksum in zip(measured, task.checksums, strict=True)
        },
        "metrics": {rows.source.name: scores(model, rows) for rows in measured},
        "left_out": without,
        "curtailment": {
            rows.source.name: {k: asdict(v) for k, v in cap_scores(model, rows, _CAP_SEED).items()}
            for rows in measured
        },
        "versions": whole.versions,
        "input": {
            "shape": [WIDTH],
            "lags": LAGS,
            "lag_features": list(LAG_FEATURES),
            "target_features": list(TARGET_FEATURES),
        },
        "output": {
            "what": "available power of the 15-minute interval, share of the rating",
            "columns": ["mean", *(f"q{100 * level:g}" for level in LEVELS)],
        },
        "training": {
            **asdict(task.plan),
            "epochs_run": list(whole.epochs),
            "parameters": whole.parameters,
            "samples": whole.samples,
            "validation_rmse": round(whole.rmse, 6),
            "shares": [TRAINED_TO, round(STOPPED_TO, 4)],
            "sources": [_source(r.source, r.minutes) for r in measured],
        },
        "parity": whole.exported.parity,
    }


def _loaded(artefact_id: str, trained: Trained) -> PooledLstm:
    """The model as the service would load it."""
    return PooledLstm(
        Artefact(
            id=artefact_id,
            path=Path(MODEL),
            manifest={"parity": trained.exported.parity},
            content=trained.exported.content,
        )
    )


def _window(rows: SourceRows, checksum: str) -> dict[str, Any]:
    """What training and its early stop saw."""
    starts = rows.record().starts
    return {
        "first": f"{starts[0]:%Y-%m-%d}",
        "last": f"{starts[max(int(len(starts) * STOPPED_TO) - 1, 0)]:%Y-%m-%d}",
        "sha256": checksum,
        "latitude_deg": rows.source.geometry.latitude_deg,
        "longitude_deg": rows.source.geometry.longitude_deg,
    }


def _source(source: TrainingSource, minutes: int) -> dict[str, Any]:
    return {
        "name": source.name,
        "file": source.path.name,
        "quantity": source.quantity,
        "minutes": minutes,
        "geometry": asdict(source.geometry),
        "licence": source.licence,
        "origin": source.origin,
    }


def _write(
    out_dir: Path, trained: Trained, manifest: dict[str, Any], sources: bytes | None
) -> None:
    beside = {CARD: render_card(manifest).encode()}
    if sources is not None:
        beside[SOURCES] = sources
    files = {name: hashlib.sha256(content).hexdigest() for name, content in beside.items()}
    whole = {k: v for k, v in manifest.items() if k != "parity"}
    whole |= {"files": files, "parity": manifest["parity"]}
    text = json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
    write_artefact(out_dir, {MODEL: trained.exported.content, **beside}, text.encode())
