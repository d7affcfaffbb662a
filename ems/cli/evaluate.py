"""`geems forecast evaluate`: how good the forecasts are on a measured file."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ems.cli.outcome import Exit, json_option, print_json
from ems.cli.series_options import series_options
from ems.errors import BadInput, Fault

if TYPE_CHECKING:
    from ems.cli.contestants import Contestants
    from forecasting.data.formats import Kind
    from forecasting.day_ahead.horizon import DayAhead
    from forecasting.day_ahead.scores import DayAheadScore
    from forecasting.judging.evaluate import Evaluation, Progress, Span
    from forecasting.judging.judged import Asked
    from models import Artefact

_COLUMNS = {
    "nrmse_pct": ("nRMSE", 2),
    "nmae_pct": ("nMAE", 2),
    "mbe_pct": ("MBE", 2),
    "skill_pct": ("skill", 1),
    "pinball_pct": ("pinball", 2),
    "coverage50_pct": ("in 50", 1),
    "coverage80_pct": ("in 80", 1),
    "coverage90_pct": ("in 90", 1),
}
"""Key of the document, title of the column, decimals: 80 characters hold the table."""

_TARGETS = {"mbe_pct": 0.0, "coverage50_pct": 50.0, "coverage80_pct": 80.0, "coverage90_pct": 90.0}
"""What the best comes nearest to; of the others skill is best high, errors low."""

_KEPT = {
    "smart_persistence": "smart persistence: the last clear-sky index kept",
    "last_hour": "that of the last hour of daylight kept",
    "faded": "the last kept, one of low sun giving way to the usual one",
}
"""What a day ahead is measured against, by its name there."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@series_options
@click.option(
    "--test-span",
    type=click.Choice(["last-third", "after-calibration"]),
    default="last-third",
    show_default=True,
    help="What is scored.",
)
@click.option(
    "--horizon",
    type=click.Choice(["15min", "24h"]),
    default="15min",
    show_default=True,
    help="24h: judge the path of the day ahead too.",
)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="PNG to draw.")
@click.option("--site", help="Name to show; default: the file's.")
@click.option(
    "--model",
    help="Id or folder of an artefact; with 24h also one of the day ahead. Default: the champions.",
)
@json_option
def evaluate(
    file: Path,
    lat: float | None,
    lon: float | None,
    capacity_kw: float | None,
    column: str | None,
    zone: str | None,
    tilt: float | None,
    azimuth: float | None,
    kind: "Kind | None",
    resolution: str | None,
    calibration_days: int,
    test_span: "Span",
    horizon: str,
    plot: Path | None,
    site: str | None,
    model: str | None,
    *,
    as_json: bool,
) -> None:
    """Judge the forecast of the next 15 minutes on FILE, beside simpler ones.

    FILE holds time_utc (interval start) and value, or has the form of an archive (MIDC, SURFRAD,
    PVDAQ); a folder holds files of one form. Each forecast uses only what was measured before its
    interval.
    """
    from forecasting.judging.judged import Asked

    asked = Asked(
        path=file,
        latitude_deg=lat,
        longitude_deg=lon,
        capacity_kw=capacity_kw,
        column=column,
        zone=zone,
        tilt_deg=tilt,
        azimuth_deg=azimuth,
        kind=kind,
        minutes=None if resolution is None else int(resolution.removesuffix("min")),
        calibration_days=calibration_days,
        site=site,
    )
    found, judging, warnings = _evaluation(asked, model, horizon, test_span, plot)
    ahead = None if judging.day_ahead is None else _day_ahead(found, judging.day_ahead)
    if as_json:
        more = {} if ahead is None else {"day_ahead": asdict(ahead)}
        behind = {a.kind: {"id": a.id, "sha256": a.sha256} for a in judging.artefacts}
        print_json({**found.to_json(), **more, "artefacts": behind, "warnings": warnings})
    else:
        _print_table(found)
        if ahead is not None:
            click.echo(_day_ahead_lines(ahead))
    for warning in warnings:
        click.echo(f"! {warning}", err=True)
    if plot is not None:
        _draw(found, plot, ahead)


def _draw(found: "Evaluation", plot: Path, ahead: "DayAheadScore | None") -> None:
    """Draw what was printed already: a full disk costs the picture and nothing else."""
    from forecasting.judging.plots import draw

    is_new = not plot.exists()
    try:
        draw(found, plot, ahead)
    except OSError as fault:
        if is_new:
            with suppress(OSError):
                plot.unlink(missing_ok=True)
        problem = f"{plot} cannot be written: {fault.strerror or fault}"
        click.echo(str(Fault(place="--plot", problem=problem)), err=True)
        raise click.exceptions.Exit(Exit.FAULT) from fault


def _evaluation(
    asked: "Asked", model: str | None, horizon: str, span: "Span", plot: Path | None
) -> "tuple[Evaluation, Contestants, list[str]]":
    """The evaluation, of what, and what to warn of.

    Raises:
        BadInput: Something is wrong with what was given; carries all faults.
    """
    from ems.cli.contestants import contestants
    from forecasting.judging.evaluate import evaluate as evaluate_record
    from forecasting.judging.judged import Judged, judged
    from forecasting.runtime import PaperLstm
    from forecasting.series import SeriesFault
    from models import champion

    faults: list[Fault] = []
    if plot is not None:
        faults.extend(_not_drawn(plot))
    judging = contestants(model, horizon, faults)
    case: Judged | None = None
    try:
        case = judged(asked)
    except SeriesFault as fault:
        faults.extend(map(_fault, fault.faults))
    if case is None or judging is None or faults:
        raise BadInput(faults)
    published = champion("paper_lstm").artefact
    paper = PaperLstm(published)
    try:
        with _progress() as progress:
            found = evaluate_record(
                case,
                model=judging.model,
                paper=paper,
                calibration_days=asked.calibration_days,
                span=span,
                progress=progress,
            )
    except SeriesFault as fault:
        raise BadInput(map(_fault, fault.faults)) from fault
    seen = [line for a in judging.artefacts for line in _seen(a, asked, found)]
    known = replace(judging, artefacts=(*judging.artefacts, published))
    return found, known, [*judging.notes, *seen, *found.warnings]


def _not_drawn(plot: Path) -> "Iterator[Fault]":
    """Why no picture can be drawn there."""
    if plot.suffix.lower() != ".png":
        problem = f"'{plot.name}' is no name of a PNG, which is all that is drawn; end it in .png"
        yield Fault(place="--plot", problem=problem)
    if not plot.resolve().parent.is_dir():
        yield Fault(place="--plot", problem=f"there is no folder {plot.parent}; make it")


def _day_ahead(found: "Evaluation", forecaster: "DayAhead") -> "DayAheadScore":
    """Scores of the day ahead on the same span.

    Raises:
        BadInput: Nothing of it can be scored.
    """
    import numpy as np

    from forecasting.day_ahead.scores import judge_day_ahead

    case = found.judged
    first, begun = int(np.flatnonzero(found.scored)[0]), found.forecasts["geems"]
    try:
        return judge_day_ahead(
            case.record, case.geometry, forecaster, first=first, next_intervals=begun
        )
    except ValueError as fault:
        raise BadInput.at("--horizon 24h", str(fault)) from fault


def _day_ahead_lines(score: "DayAheadScore") -> str:
    errs = f"nRMSE {score.nrmse_pct:.2f} %, {score.coverage80_pct:.1f} % in the 80 % band"
    lines = [f"\nday ahead, mean of the hours 1–24: {errs}"]
    for name, what in _KEPT.items():
        ratio = score.ratio(name)
        told = f"{ratio:.2f} ×" if ratio is not None else "no error to compare with:"
        lines.append(f"  {told} {what}")
    return "\n".join(lines)


def _seen(artefact: "Artefact", asked: "Asked", found: "Evaluation") -> list[str]:
    """A warning where the model was trained on what it is judged on."""
    import hashlib

    from forecasting.judging.seen import NoSpans, first_unseen, training_spans

    geometry, first = found.judged.geometry, found.judged.record.starts[found.scored][0]
    digest = hashlib.sha256(asked.path.read_bytes()).hexdigest() if asked.path.is_file() else None
    try:
        spans = training_spans(artefact.manifest)
    except NoSpans as fault:
        return [str(fault)]
    new = first_unseen(spans, digest, geometry.latitude_deg, geometry.longitude_deg)
    # Spans are told in whole days: training may have ended within the day that scoring begins.
    if new is None or first.floor("D") + timedelta(days=1) >= new:
        return []
    flattered = (
        f"'{artefact.id}' was trained on this sky until {new - timedelta(days=1):%Y-%m-%d}, and "
        f"scoring begins on {first:%Y-%m-%d}: its scores flatter it"
    )
    return [flattered]


def _fault(line: str) -> Fault:
    """A line `PLACE: PROBLEM`, where the place is an option or a file."""
    place, colon, problem = line.partition(": ")
    return Fault(place=place, problem=problem) if colon else Fault(place="", problem=line)


@contextmanager
def _progress() -> "Iterator[Progress]":
    """A bar on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("")

        def tell(name: str, done: int, count: int) -> None:
            bar.update(task, description=name, completed=done, total=count)

        yield tell
        bar.update(task, description="judged", completed=bar.tasks[0].total)


def _print_table(found: "Evaluation") -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    document = found.to_json()
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 0))
    table.add_column("", no_wrap=True)
    for heading, _ in _COLUMNS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    models: Mapping[str, Mapping[str, float | None]] = document["models"]
    best = {key: _best({name: row[key] for name, row in models.items()}, key) for key in _COLUMNS}
    for name, row in models.items():
        cells = [
            _cell(row[key], decimals, is_best=name in best[key])
            for key, (_, decimals) in _COLUMNS.items()
        ]
        table.add_row(name, *cells)
    console = Console()
    console.print(f"{escape(document['site'])}: the next 15 minutes", highlight=False)
    console.print(
        f"{document['n']} daylight intervals from {document['first'][:10]} to "
        f"{document['last'][:10]}, polls every {document['resolution_min']} min\n",
        highlight=False,
    )
    console.print(table)
    for line in (
        "\n* best. Errors in % of the rating; skill: how much smaller the RMSE is, in %,",
        "than that of smart persistence; in 50, 80, 90: truths within that band, in %.",
    ):
        console.print(line, highlight=False)
    used = ", ".join(f"{name} {count}" for name, count in document["branches"].items() if count)
    console.print(f"Rungs behind geems: {used}", highlight=False)


def _cell(value: float | None, decimals: int, *, is_best: bool) -> str:
    """A figure; none where there was nothing to be better at."""
    if value is None:
        return "– "
    return f"[bold]{value:.{decimals}f}*[/bold]" if is_best else f"{value:.{decimals}f} "


def _best(found: "Mapping[str, float | None]", key: str) -> set[str]:
    """Names of the best in a column; several where they are equal as shown."""
    values = {name: value for name, value in found.items() if value is not None}
    if key in _TARGETS:
        loss = {name: abs(value - _TARGETS[key]) for name, value in values.items()}
    else:
        sign = -1.0 if key == "skill_pct" else 1.0
        loss = {name: sign * value for name, value in values.items()}
    least = min(loss.values(), default=0.0)
    return {name for name, value in loss.items() if value - least < 0.005}
