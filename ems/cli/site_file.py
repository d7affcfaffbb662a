"""`geems init` and `geems validate`: the site file."""

from pathlib import Path

import click

from ems.cli.outcome import Exit, json_option, print_faults, print_json, site_argument
from ems.errors import BadInput


@click.command()
@click.argument("directory", default=".", metavar="[DIR]", type=click.Path(path_type=str))
def init(directory: str) -> None:
    """Write a commented site.toml to start from.

    It describes the reference feeder `segment13` with a PV plant, a battery and a
    generator, and validates as it is. An existing file is never overwritten.
    """
    from ems.settings import TEMPLATE

    target = Path(directory) / "site.toml"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE.read_text(encoding="utf-8"))
    except FileExistsError:
        raise BadInput.at(
            str(target), "is there already and is left as it is; give another DIR"
        ) from None
    except OSError as fault:
        raise BadInput.at(str(target), f"cannot be written: {fault.strerror}") from None
    click.echo(f"{target}: written. Next: geems validate {target}")


@click.command()
@site_argument
@json_option
def validate(site: str, *, as_json: bool) -> None:
    """Check a site file and its feeder, and name all faults at once."""
    from ems.cli.site_check import all_faults, remarks

    faults = all_faults(Path(site))
    if faults:
        print_faults(faults)
        raise click.exceptions.Exit(Exit.BAD_INPUT)
    notes = remarks(Path(site))
    if as_json:
        print_json({"ok": True, "faults": [], "notes": notes})
    else:
        click.echo("\n".join([f"{site}: ok", *(f"note: {line}" for line in notes)]))
