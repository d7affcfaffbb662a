"""`geems backup`, `geems restore`: the database of a site, saved and brought back."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ems.cli.outcome import json_option, print_json
from ems.cli.recorded import site_option

if TYPE_CHECKING:  # heavy imports live inside commands
    from ems.store import Held

_FILES = "the site file, models of your own, keys and certificates are files: copy them likewise"


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@site_option
@json_option
def backup(file: Path | None, site: Path, *, as_json: bool) -> None:
    """Copy a site's database to FILE, as it is at one moment; its service may run.

    The copy is one file, readable by its owner alone, and proved to be sound. Without FILE, or
    where FILE is a folder, its name tells database and time. What is not in it: the site file,
    models, keys.
    """
    from ems.settings import load_settings
    from ems.store import back_up

    database = load_settings(site).store_path()
    now = datetime.now(UTC)
    if file is None or os.path.isdir(file):  # noqa: PTH112 - a name may be too long to be asked for
        name = f"{database.stem}-{now:%Y%m%dT%H%M%SZ}{database.suffix}"
        file = (file or Path()) / name
    with _pages("copying") as progress:
        held = back_up(database, file, progress=progress)
    if as_json:
        print_json({"ok": True, **_described(held)})
    else:
        click.echo(f"{held.file}: {_told(held)}")
        click.echo(f"not in it: {_FILES}", err=True)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@site_option
@json_option
def restore(file: Path, site: Path, *, as_json: bool) -> None:
    """Put a copy that `geems backup` made in the place of a site's database.

    All of it comes back or nothing. What stood there before is kept beside it under another name.
    Stop the service before: it would go on from what it knew.
    """
    from ems.settings import load_settings
    from ems.store import restore as put_back

    settings = load_settings(site)
    database = settings.store_path()
    with _pages("restoring") as progress:
        restored = put_back(file, database, settings.site.name, progress=progress)
    if as_json:
        aside = restored.aside and str(restored.aside)
        print_json({"ok": True, **_described(restored.held), "to": str(database), "aside": aside})
    else:
        click.echo(f"{database}: {_told(restored.held)}")
        if restored.aside is not None:
            click.echo(f"what stood there before is kept as {restored.aside}")


def _described(held: "Held") -> dict[str, Any]:
    return {
        "file": str(held.file),
        "bytes": held.size_bytes,
        "cycles": held.cycles,
        "first": held.first and held.first.isoformat(),
        "last": held.last and held.last.isoformat(),
        "sites": list(held.sites),
        "ieee2030_5_entries": held.entries,
    }


def _told(held: "Held") -> str:
    if held.first is None or held.last is None:
        cycles = "no cycle yet"
    else:
        span = f"{held.first:%Y-%m-%d %H:%M} to {held.last:%Y-%m-%d %H:%M} UTC"
        cycles = f"{_counted(held.cycles, 'cycle')} of {', '.join(held.sites)}, {span}"
    server = (
        f", {_counted(held.entries, 'entry')} of its IEEE 2030.5 server" if held.entries else ""
    )
    return f"{cycles}{server}; {held.size_bytes / 1e6:.1f} MB"


def _counted(count: int, what: str) -> str:
    many = f"{what.removesuffix('y')}ies" if what.endswith("y") else f"{what}s"
    return f"{count:,} {what if count == 1 else many}"


@contextmanager
def _pages(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, nothing in a log; a small database is over before it shows."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, pages: bar.update(task, total=pages, completed=done)
