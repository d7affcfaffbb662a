"""`geems forecast`: the offline work on forecasts."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ems.cli.outcome import json_option, print_json

if TYPE_CHECKING:
    from forecasting.sources import TrainingSource


@click.group()
def forecast() -> None:
    """Train forecasting models."""


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
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Seed of the training."
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    default=40,
    show_default=True,
    help="Most epochs to run.",
)
@json_option
def train(
    sources: Path, data: Path | None, out: Path, seed: int, epochs: int, *, as_json: bool
) -> None:
    """Train the LSTM on the measured series that SOURCES (TOML) names.

    Needs TensorFlow: pip install "geems[train]".
    """
    from dataclasses import asdict

    from rich.console import Console

    from forecasting.train import train as train_model

    err = Console(stderr=True)

    def progress(epoch: int, most: int, rmse: float) -> None:
        err.print(f"epoch {epoch}/{most}: validation RMSE {rmse:.4f}")

    loaded = _sources(sources, data or sources.parent)
    report = train_model(loaded, out, seed=seed, epochs=epochs, progress=progress)
    if as_json:
        print_json(asdict(report))
    else:
        click.echo((out / "card.md").read_text(encoding="utf-8"))


def _sources(path: Path, data: Path) -> "tuple[TrainingSource, ...]":
    """The sources file, with wrong keys told as those of a site file are.

    Raises:
        BadInput: A key is unknown, missing or of the wrong form.
        SeriesFault: Anything else is wrong with the file.
    """
    from pydantic import ValidationError

    from ems.errors import BadInput
    from ems.settings.faults import key_faults
    from forecasting.series import SeriesFault

    # The form of the file is the forecaster's; only how a slip is told is ours.
    from forecasting.sources import _File as SourcesFile
    from forecasting.sources import load_sources

    try:
        return load_sources(path, data)
    except SeriesFault as fault:
        if not isinstance(fault.__cause__, ValidationError):
            raise
        faults, _ = key_faults(fault.__cause__, path.name, {}, SourcesFile)
        raise BadInput(faults) from fault
