"""Train the day ahead on measured series and write it as an artefact: weights, manifest, card.

The first two thirds of each series train, the last third is scored, and so is a blend trained
without that plant: what a new plant can expect. What ships is the blend that was scored.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from forecasting.data.sources import SourceRows, TrainingSource, read_source_rows
from forecasting.day_ahead.blend import COEFFICIENTS, Blend
from forecasting.day_ahead.card import PlantScore, render_day_ahead_card
from forecasting.day_ahead.features import DAY
from forecasting.day_ahead.fit import Lesson, fit
from forecasting.day_ahead.horizon import DayAhead
from forecasting.day_ahead.scores import TEST_SHARE, DayAheadScore, judge_day_ahead
from forecasting.series import SeriesFault
from models.register import CARD, is_artefact_id
from models.writing import write_artefact

KIND = "pv_day_ahead"

LEAST_DAYS = 60
"""Days a series must cover: the usual sky is that of 30 of them."""

Progress = Callable[[int, int, str], None]
"""Called with the blends fitted so far, of how many, and the plant just left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayAheadReport:
    """What a training gave."""

    out_dir: Path
    sha256: str
    """Of the weights."""
    scores: tuple[PlantScore, ...]
    duration_s: float
    """Wall time [s]."""


def train_day_ahead(
    sources: Sequence[TrainingSource],
    out_dir: Path,
    *,
    version: int = 1,
    leave_one_out: bool = True,
    progress: Progress = lambda _done, _all, _left_out: None,
) -> DayAheadReport:
    """Train on one or several series and write coefficients.json, manifest.json and card.md.

    No seed: nothing is random, the same series give the same bytes on one machine.

    Args:
        sources: Series to learn from.
        out_dir: Folder of the artefact; its name becomes the id.
        version: Of the artefact.
        leave_one_out: Whether also to score, for each plant, a blend that never saw it.
        progress: Called after each fit.

    Raises:
        SeriesFault: a file is wrong, or a series too short; carries all faults.
        ValueError: the name of `out_dir` is no id.
        FolderFault: it cannot be written, or an artefact has appeared there.
    """
    if not is_artefact_id(out_dir.name):
        raise ValueError(f"'{out_dir.name}' is no id: small letters, digits and underscores")
    began = time.perf_counter()
    rows = read_source_rows(tuple(sources))
    lessons = [Lesson(record=r.record(), geometry=r.source.geometry) for r in rows]
    _refuse_short(rows, lessons)
    fits = 1 + (len(lessons) if leave_one_out and len(lessons) > 1 else 0)
    blend = fit([_first_part(lesson) for lesson in lessons])
    progress(1, fits, "")
    scores = []
    for k, (row, lesson) in enumerate(zip(rows, lessons, strict=True)):
        left_out = None
        if fits > 1:
            others = fit([_first_part(o) for j, o in enumerate(lessons) if j != k])
            left_out = _judged(others, lesson)
            progress(k + 2, fits, row.source.name)
        scores.append(_plant_score(row, lesson, _judged(blend, lesson), left_out))
    report = _written(blend, rows, tuple(scores), out_dir, version)
    return DayAheadReport(
        out_dir=out_dir,
        sha256=report,
        scores=tuple(scores),
        duration_s=time.perf_counter() - began,
    )


def _refuse_short(rows: Sequence[SourceRows], lessons: Sequence[Lesson]) -> None:
    faults = tuple(
        f"{r.source.path.name}: {len(lesson.record) / DAY:.0f} days; a day ahead is learnt from "
        f"{LEAST_DAYS} at least: give a longer series"
        for r, lesson in zip(rows, lessons, strict=True)
        if len(lesson.record) < LEAST_DAYS * DAY
    )
    if faults:
        raise SeriesFault(faults)


def _split(lesson: Lesson) -> int:
    """First interval of the last third."""
    return round(len(lesson.record) * (1 - TEST_SHARE))


def _first_part(lesson: Lesson) -> Lesson:
    return Lesson(record=lesson.record.part(0, _split(lesson)), geometry=lesson.geometry)


def _judged(blend: Blend, lesson: Lesson) -> DayAheadScore:
    return judge_day_ahead(lesson.record, lesson.geometry, DayAhead(blend), first=_split(lesson))


def _plant_score(
    row: SourceRows, lesson: Lesson, shipped: DayAheadScore, left_out: DayAheadScore | None
) -> PlantScore:
    starts = lesson.record.starts
    return PlantScore(
        source=row.source.name,
        first=f"{starts[0]:%Y-%m-%d}",
        tested_from=f"{starts[_split(lesson)]:%Y-%m-%d}",
        last=f"{starts[-1]:%Y-%m-%d}",
        shipped=shipped,
        left_out=left_out,
    )


def _written(
    blend: Blend,
    rows: Sequence[SourceRows],
    scores: tuple[PlantScore, ...],
    out_dir: Path,
    version: int,
) -> str:
    """Write the three files; the checksum of the weights."""
    content = (json.dumps(blend.to_json(), indent=1) + "\n").encode()
    sha256 = hashlib.sha256(content).hexdigest()
    card = render_day_ahead_card(out_dir.name, sha256, [r.source for r in rows], scores).encode()
    manifest = {
        "id": out_dir.name,
        "kind": KIND,
        "version": version,
        "file": COEFFICIENTS,
        "sha256": sha256,
        "files": {CARD: hashlib.sha256(card).hexdigest()},
        "training_window": {
            r.source.name: _window(r, s) for r, s in zip(rows, scores, strict=True)
        },
        "metrics": {s.source: _metrics(s.shipped) for s in scores},
        "metrics_left_out": {s.source: _metrics(s.left_out) for s in scores if s.left_out},
        "versions": {"numpy": np.__version__, "scipy": scipy.__version__},
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    write_artefact(out_dir, {COEFFICIENTS: content, CARD: card}, text.encode())
    return sha256


def _window(row: SourceRows, score: PlantScore) -> dict[str, Any]:
    return {
        "first": score.first,
        "last": score.tested_from,
        "sha256": hashlib.sha256(row.source.path.read_bytes()).hexdigest(),
        "latitude_deg": row.source.geometry.latitude_deg,
        "longitude_deg": row.source.geometry.longitude_deg,
    }


def _metrics(score: DayAheadScore) -> dict[str, float]:
    """Numbers by name; what is not known is left out."""
    found = asdict(score)
    del found["hours"]
    for name, against in found.pop("references").items():
        found |= {f"{name}_{key}": value for key, value in against.items()}
    return {key: round(value, 3) for key, value in found.items() if value is not None}
