"""`geems models`: which trained models there are, which is used, and how another becomes that."""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ems.cli.outcome import Exit, json_option, print_json
from ems.cli.series_options import series_options

if TYPE_CHECKING:
    from models import Artefact, ArtefactFault

F = TypeVar("F", bound=Callable[..., Any])

FOLDER_VARIABLE = "GEEMS_FORECAST__MODELS"
"""The same that lays a folder over `[forecast] models` of the site file: one folder for both."""


def _folder_option(command: F) -> F:
    """`--models`: the user's own models."""
    return click.option(
        "--models",
        "folder",
        envvar=FOLDER_VARIABLE,
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder of your own models; default: forecast.models of ./site.toml, else ./models.",
    )(command)


def _plant_option(command: F) -> F:
    """`--plant`: a champion of one plant only."""
    return click.option("--plant", metavar="NAME", help="For this plant only; default: for all.")(
        command
    )


@click.group()
def models() -> None:
    """List trained forecast models, promote one that wins, or roll back."""


@models.command("list")
@_folder_option
@json_option
def list_models(folder: Path | None, *, as_json: bool) -> None:
    """List every model: what it was trained on, how good it is, whether it is in use.

    Exit code 3 when one cannot be used.
    """
    from ems.cli.models_table import print_models
    from models.register import own_root, refused_files

    root = models_folder(folder)
    entries, in_use, notes = _register(root)
    document = {
        "ok": not notes and all("fault" not in entry for entry in entries),
        "folder": None if own_root(root) is None else str(root),
        "artefacts": entries,
        "champions": in_use,
        "notes": notes,
        "never_loaded": list(refused_files(root)),
    }
    if as_json:
        print_json(document)
    else:
        print_models(document)
    if not document["ok"]:
        raise click.exceptions.Exit(Exit.DEGRADED)


@models.command()
@click.argument("artefact_id", metavar="ID")
@_folder_option
@json_option
def show(artefact_id: str, folder: Path | None, *, as_json: bool) -> None:
    """Show one model: its card, its promotions, and every verdict on it."""
    from ems.cli.models_table import print_model
    from models.champions import history
    from models.verdicts import verdicts

    root = models_folder(folder)
    found = _known(artefact_id, root)
    described, _, _ = _register(root)
    sides = ("champion", "challenger")
    document = {
        **next(entry for entry in described if entry["id"] == found.id),
        "manifest": {key: value for key, value in found.manifest.items() if key != "parity"},
        "card": found.card.read_text(encoding="utf-8") if found.card.is_file() else None,
        "promotions": [asdict(p) for p in history(root) if p.id == found.id],
        "verdicts": [v for v in verdicts(root) if found.id in [v[side]["id"] for side in sides]],
    }
    if as_json:
        print_json(document)
    else:
        print_model(document)


@models.command()
@click.argument("artefact_id", metavar="ID")
@click.option(
    "--on",
    "measured",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Measured series that neither model has trained on: time_utc,value, or an archive's form.",
)
@series_options
@_plant_option
@_folder_option
@json_option
def promote(
    artefact_id: str,
    measured: Path | None,
    calibration_days: int,
    plant: str | None,
    folder: Path | None,
    *,
    as_json: bool,
    **place: Any,
) -> None:
    """Make a model the one in use, if it wins against the present one.

    With --on both are judged on a series that neither has trained on. Without, the last verdict on
    these two counts, if there is one. Exit code 3 when it does not win. A series that does not fit
    its plant judges for that alone (--plant).
    """
    from ems.cli.models_table import print_verdict
    from ems.cli.models_verdict import verdict_on
    from models.champions import champion
    from models.champions import promote as make_champion

    root = models_folder(folder)
    challenger = _known(artefact_id, root)
    present = champion(challenger.kind, root, plant=plant)
    for note in present.notes:
        click.echo(f"! {note}", err=True)
    verdict = verdict_on(
        challenger,
        present.artefact,
        root,
        measured,
        plant=plant,
        calibration_days=calibration_days,
        **place,
    )
    if verdict["won"]:
        make_champion(
            challenger,
            root,
            over=present.artefact,
            why=verdict["sentence"],
            when=datetime.now(UTC),
            plant=plant,
        )
    if as_json:
        print_json({**verdict, "promoted": verdict["won"]})
    else:
        print_verdict(verdict)
    if not verdict["won"]:
        raise click.exceptions.Exit(Exit.DEGRADED)


@models.command()
@click.argument("kind", required=False)
@click.option("--why", default="asked for", help="Kept in the history.")
@_plant_option
@_folder_option
@json_option
def rollback(
    kind: str | None, why: str, plant: str | None, folder: Path | None, *, as_json: bool
) -> None:
    """Return to the model that was in use before the last promotion."""
    from models.champions import champion
    from models.champions import rollback as withdraw

    root = models_folder(folder)
    if kind is not None:
        _check_kind(kind)
    gone = withdraw(
        kind or _only_kind(root, plant), root, why=why, when=datetime.now(UTC), plant=plant
    )
    present = champion(gone.kind, root, plant=plant)
    if as_json:
        document = {"kind": gone.kind, "withdrawn": gone.id, "champion": present.artefact.id}
        print_json({**document, "notes": list(present.notes)})
    else:
        click.echo(f"{gone.kind}: {gone.id} is withdrawn, {present.artefact.id} is in use")
        for note in present.notes:
            click.echo(f"! {note}", err=True)


# --- what there is -------------------------------------------------------------------


def models_folder(given: Path | None) -> Path:
    """The user's folder: as given, as the environment or the site file here says, or `models`.

    One that was given and is not there is told of, but no fault: a promotion makes it.
    """
    from ems.settings.sources import read_toml

    if given is not None:
        if not given.is_dir():
            click.echo(f"! --models: there is no folder {given}; only what ships is seen", err=True)
        return given
    if os.environ.get(FOLDER_VARIABLE):
        return Path(os.environ[FOLDER_VARIABLE])
    site = Path("site.toml")
    table = read_toml(site).get("forecast", {}) if site.is_file() else {}
    named = table.get("models", "models") if isinstance(table, dict) else "models"
    return Path(str(named))


def _register(root: Path) -> tuple[list[dict[str, Any]], dict[str, str], list[str]]:
    """Every artefact, the champion of each kind, and what is wrong with champions."""
    from models import Artefact, ArtefactFault, champion, everything
    from models.manifest import KINDS

    entries = everything(root)
    kinds = {entry.kind for entry in entries if isinstance(entry, Artefact)}
    in_use: dict[str, Artefact] = {}
    notes: list[str] = []
    for kind in (k for k in KINDS if k in kinds):
        try:
            present = champion(kind, root)
        except ArtefactFault as fault:
            notes.append(f"no champion of {kind}: {fault.in_short}")
            continue
        in_use[kind] = present.artefact
        notes += [note for note in present.notes if note not in notes]
    described = [_described(entry, in_use, root) for entry in entries]
    return described, {kind: found.id for kind, found in in_use.items()}, notes


def _described(
    entry: "Artefact | ArtefactFault", in_use: "Mapping[str, Artefact]", root: Path
) -> dict[str, Any]:
    """What the list tells of one artefact, given the champion of each kind."""
    from models import Artefact, ChampionsFault
    from models.champions import promoted

    if not isinstance(entry, Artefact):
        return {"id": entry.artefact_id, "verified": False, "fault": str(entry)}
    try:
        plants = [p.plant for p in promoted(root) if p.plant and p.sha256 == entry.sha256]
    except ChampionsFault:
        plants = []
    present = in_use.get(entry.kind)
    return {
        "id": entry.id,
        "kind": entry.kind,
        "version": entry.version,
        "sha256": entry.sha256,
        "from": "shipped" if entry.is_shipped else "own",
        "training_window": entry.manifest.get("training_window", {}),
        "metrics": entry.manifest.get("metrics", {}),
        "versions": entry.manifest.get("versions", {}),
        "champion": present is not None and present.path == entry.path,
        "champion_of_plants": plants,
        "verified": True,
    }


def _known(artefact_id: str, root: Path) -> "Artefact":
    """An artefact that there is.

    Raises:
        BadInput: there is none of this id; names those there are.
        ArtefactFault: it cannot be used.
    """
    from ems.errors import BadInput
    from models import Artefact, everything, find

    known = [e.id if isinstance(e, Artefact) else e.artefact_id for e in everything(root)]
    if artefact_id not in known:
        there = ", ".join(dict.fromkeys(known))
        raise BadInput.at("ID", f"no model is called '{artefact_id}'; there are {there}")
    return find(artefact_id, root)


def _check_kind(kind: str) -> None:
    """Refuse a kind of artefacts that there is none of."""
    from ems.errors import BadInput
    from models.manifest import KINDS

    if kind not in KINDS:
        raise BadInput.at("KIND", f"there is no kind '{kind}' of models; write {', '.join(KINDS)}")


def _only_kind(root: Path, plant: str | None) -> str:
    """The one kind that something was promoted of.

    Raises:
        BadInput: there is none, or more than one.
    """
    from ems.errors import BadInput
    from models.champions import promoted

    kinds = [p.kind for p in promoted(root) if p.plant == plant]
    if len(kinds) == 1:
        return kinds[0]
    if kinds:
        raise BadInput.at("KIND", f"say which: {', '.join(kinds)}")
    whom = f" for plant {plant}" if plant else ""
    raise BadInput.at("KIND", f"nothing was promoted{whom} in {root}: what ships is in use")
