"""`geems ieee2030-5 import`: the configuration of the GridAPPS-D server becomes ours."""

from dataclasses import asdict
from pathlib import Path

import click

from ems.cli.outcome import Exit, json_option, print_json
from ems.errors import BadInput


@click.command("import")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the TOML here, never over a file; default: standard output.",
)
@json_option
def import_configuration(file: Path, out: Path | None, *, as_json: bool) -> None:
    """Turn a configuration of the GridAPPS-D IEEE 2030.5 server (YAML) into one of geems.

    What is changed, left out or not needed is listed with its place and what to do, on standard
    error and at the head of the TOML. Exit code 3 when something was left out.
    """
    from ems.derms.gridappsd import imported

    made = imported(_text(file), file.name)
    if out is not None:
        _store(out, made.toml)
    if as_json:
        told = [asdict(finding) for finding in made.findings]
        print_json({"ok": made.complete, "findings": told, "document": made.document, "out": out})
    else:
        for finding in made.findings:
            click.echo(str(finding), err=True)
        if out is None:
            click.echo(made.toml, nl=False)
        else:
            click.echo(f"{out}: written; `geems ieee2030-5 serve {out}` serves it", err=True)
    if not made.complete:
        raise click.exceptions.Exit(Exit.DEGRADED)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as fault:
        raise BadInput.at(str(file), f"cannot be read: {fault.strerror}") from None
    except UnicodeDecodeError:
        raise BadInput.at(str(file), "is no text in UTF-8") from None


def _store(out: Path, text: str) -> None:
    try:
        with out.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise BadInput.at(f"--out {out}", "exists; nothing is ever overwritten") from None
    except OSError as fault:
        raise BadInput.at(f"--out {out}", f"cannot be written: {fault.strerror}") from None
