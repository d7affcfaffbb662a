"""`geems forecast`: the offline work on forecasts."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ems.cli.evaluate import evaluate
from ems.cli.outcome import json_option, print_json
from ems.errors import BadInput, Fault

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from rich.progress import Progress, TaskID

    from forecasting.data.sources import TrainingSource
    from forecasting.day_ahead.train import DayAheadReport
    from forecasting.paper.train import TrainingReport
    from forecasting.pooled.fit import Epoch
    from forecasting.pooled.train import PooledReport


@click.group()
def forecast() -> None:
    """Train forecasting models, and judge them on measured data."""


@forecast.command()
@click.argument("sources", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the series that SOURCES names; default: where SOURCES lies.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write the artefact to; its name becomes the artefact's id.",
)
@click.option(
    "--model",
    type=click.Choice(["pooled", "day-ahead", "paper"]),
    default="pooled",
    show_default=True,
    help="For the next 15 minutes, for the day ahead, or the published reference.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), help="Seed of the training; default: 1. Not: day-ahead."
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    help="Most epochs to run; default: 5, for the published model 40. Not: day-ahead.",
)
@click.option(
    "--leave-one-out",
    is_flag=True,
    help="Also train once without each source, and score on it. Not: paper.",
)
@click.option(
    "--version", type=click.IntRange(min=1), default=1, show_default=True, help="Of the artefact."
)
@json_option
def train(
    sources: Path,
    data: Path | None,
    out: Path,
    model: str,
    seed: int | None,
    epochs: int | None,
    version: int,
    *,
    leave_one_out: bool,
    as_json: bool,
) -> None:
    """Train a model on the measured series that SOURCES (TOML) names.

    Broken off by Ctrl-C, the training of the pooled model is kept beside OUT, and the same
    command goes on from there to the same weights.

    Needs TensorFlow: pip install "geems[train]". The day ahead needs none, and no seed.
    """
    from dataclasses import asdict

    if model == "paper" and leave_one_out:
        raise click.UsageError("--leave-one-out is not for the published model")
    if model == "day-ahead" and (seed is not None or epochs is not None):
        raise click.UsageError("the day ahead is fitted at once: no --seed, no --epochs")
    seed = 1 if seed is None else seed
    with ExitStack() as until_the_end:
        faults = [*_not_new(out)] or [*_not_free(out, until_the_end)]
        loaded = _sources(sources, data or sources.parent, faults)
        if model == "paper":
            report: DataclassInstance = _train_paper(loaded, out, seed, epochs, version)
        elif model == "day-ahead":
            report = _train_day_ahead(loaded, out, version, leave_one_out=leave_one_out)
        else:
            report = _train_pooled(
                loaded,
                sources,
                out,
                seed,
                epochs,
                version,
                leave_one_out=leave_one_out,
            )
    if as_json:
        print_json(asdict(report))
    else:
        click.echo((out / "card.md").read_text(encoding="utf-8"))


def _not_new(out: Path) -> "Iterator[Fault]":
    """Why an artefact must not be written there: nothing that may serve is written over."""
    from models.register import MANIFEST, is_artefact_id

    if not is_artefact_id(out.name):
        problem = f'"{out.name}" cannot be an id; write lower-case letters, digits and "_"'
        yield Fault(place="--out", problem=problem)
    if os.path.lexists(out / MANIFEST):
        problem = f"{out} holds an artefact, which may serve; name another folder, or remove it"
        yield Fault(place="--out", problem=problem)


def _not_free(out: Path, until_the_end: ExitStack) -> "Iterator[Fault]":
    """Why nothing can be written there now; else it is held against other trainings."""
    from models.writing import FolderFault, held

    try:
        until_the_end.enter_context(held(out))
    except FolderFault as fault:
        yield Fault(place="--out", problem=str(fault))


def _train_paper(
    sources: "tuple[TrainingSource, ...]", out: Path, seed: int, epochs: int | None, version: int
) -> "TrainingReport":
    from forecasting.paper.train import EPOCHS, train

    most = epochs or EPOCHS
    with _bar() as bar:
        task = bar.add_task("training", total=most, told="")

        def progress(epoch: int, _most: int, rmse: float) -> None:
            bar.update(task, completed=epoch, told=f"validation RMSE {rmse:.4f}")

        return train(sources, out, seed=seed, epochs=most, version=version, progress=progress)


def _train_day_ahead(
    sources: "tuple[TrainingSource, ...]", out: Path, version: int, *, leave_one_out: bool
) -> "DayAheadReport":
    from forecasting.day_ahead.train import train_day_ahead

    with _bar("fits") as bar:
        task = bar.add_task("training", total=None, told="")

        def progress(done: int, most: int, left_out: str) -> None:
            told = f"without {left_out}" if left_out else ""
            bar.update(task, completed=done, total=most, told=told)

        return train_day_ahead(
            sources, out, version=version, leave_one_out=leave_one_out, progress=progress
        )


def _train_pooled(
    sources: "tuple[TrainingSource, ...]",
    file: Path,
    out: Path,
    seed: int,
    epochs: int | None,
    version: int,
    *,
    leave_one_out: bool,
) -> "PooledReport":
    from forecasting.pooled.fit import Plan
    from forecasting.pooled.train import train

    plan = Plan(seed=seed) if epochs is None else Plan(seed=seed, epochs=epochs)
    kept = out.parent / f"{out.name}.training"
    with _bar() as bar:
        tasks: dict[str, TaskID] = {}
        most = plan.epochs * plan.members

        def progress(without: str, epoch: "Epoch") -> None:
            name = f"without {without}" if without else "training"
            if name not in tasks:
                # Reading the sources, and the training before, are over.
                for task in tasks.values():
                    bar.update(task, completed=most)
                tasks[name] = bar.add_task(name, total=most, told="")
            done = epoch.member * plan.epochs + epoch.epoch
            told = f"validation RMSE {epoch.rmse:.4f}" + (" (kept)" if epoch.resumed else "")
            bar.update(tasks[name], completed=done, told=told)

        return train(
            sources,
            out,
            plan=plan,
            version=version,
            leave_one_out=leave_one_out,
            sources_file=file,
            checkpoint=kept,
            progress=progress,
        )


def _bar(unit: str = "epochs") -> "Progress":
    """A progress bar on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:g} " + unit),
        TimeElapsedColumn(),
        TextColumn("{task.fields[told]}"),
        console=Console(stderr=True),
    )


def _sources(path: Path, data: Path, others: list[Fault]) -> "tuple[TrainingSource, ...]":
    """The sources file, with wrong keys told as those of a site file are.

    Raises:
        BadInput: A key is unknown, missing or of the wrong form, or there are other faults.
        SeriesFault: Anything else is wrong with the file.
    """
    from pydantic import ValidationError

    from ems.settings.faults import key_faults

    # The form of the file is the forecaster's; only how a slip is told is ours.
    from forecasting.data.sources import _File as SourcesFile
    from forecasting.data.sources import load_sources
    from forecasting.series import SeriesFault

    try:
        loaded = load_sources(path, data)
    except SeriesFault as fault:
        if not isinstance(fault.__cause__, ValidationError):
            raise
        faults, _ = key_faults(fault.__cause__, path.name, {}, SourcesFile)
        raise BadInput([*faults, *others]) from fault
    if others:
        raise BadInput(others)
    return loaded


forecast.add_command(evaluate)
