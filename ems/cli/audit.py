"""`geems audit verify`: whether the record of who changed what is whole."""

import re
from pathlib import Path
from typing import Any

import click

from ems.cli.outcome import Exit, json_option, print_json
from ems.cli.recorded import site_option


class Noted(click.ParamType[tuple[int, str]]):
    """`NUMBER:HASH`, an end of the chain as it was told before."""

    name = "number:hash"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, str]:
        """Number and hash."""
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"([1-9]\d{0,17}):([0-9a-f]{64})", value)
        if found is None:
            self.fail(f"{value} is not NUMBER:HASH, as `geems audit verify` tells it", param, ctx)
        return int(found[1]), found[2]


@click.group()
def audit() -> None:
    """Who changed what at the IEEE 2030.5 server, and whether that record is whole."""


@audit.command()
@click.argument("database", required=False, type=click.Path(path_type=Path))
@click.option(
    "--noted",
    "noted",
    type=Noted(),
    multiple=True,
    help="An end that was noted before, elsewhere: the chain must pass through it.",
)
@site_option
@json_option
def verify(
    database: Path | None, noted: tuple[tuple[int, str], ...], site: Path, *, as_json: bool
) -> None:
    """Prove that no entry was altered, removed or put in between.

    Reads the database of the site, beside a server that runs, or the copy DATABASE that `geems
    backup` made. Each entry is sealed with the hash of the one before it. Who can write the
    database can seal all of it anew: note the end that is told here elsewhere, and give it as
    --noted next time.

    Ends with code 1 where the chain is broken.
    """
    from ems.derms.audit import checked
    from ems.derms.stored import StoreReader
    from ems.settings import load_settings
    from ems.store import DermsRecords

    path = database or load_settings(site).store_path()
    with DermsRecords.read(path) as records:
        (number, seal), fault = checked(StoreReader(records), noted)
    end = f"{number}:{seal}" if number else None
    if as_json:
        faults = [{"place": str(path), "problem": fault}] if fault else []
        print_json({"ok": not fault, "entries": number, "end": end, "faults": faults})
    elif fault:
        click.echo(f"{path}: {fault}", err=True)
    elif end is None:
        click.echo(f"{path}: nothing was ever changed")
    else:
        click.echo(f"{path}: all {number} entries are whole; the chain ends with")
        click.echo(end)
    if fault:
        raise click.exceptions.Exit(Exit.FAULT)
