"""`geems init` and `geems validate`: the site file."""

from pathlib import Path

import click

from ems.cli.outcome import Exit, json_option, print_faults, print_json, site_argument
from ems.errors import BadInput


@click.command()
@click.argument("directory", default=".", metavar="[DIR]", type=click.Path(path_type=str))
@click.option(
    "--example",
    type=click.Choice(["segment13", "ieee123"]),
    default="segment13",
    show_default=True,
    help="segment13: the reference feeder with a PV plant, a battery and a generator; "
    "ieee123: the IEEE 123 node test feeder with 85 PV plants.",
)
def init(directory: str, example: str) -> None:
    """Write a commented site.toml to start from.

    It validates as it is. An existing file is never overwritten.
    """
    from ems.cli.examples import EXAMPLES

    text = EXAMPLES[example]()
    target = Path(directory) / "site.toml"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
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
    """Check a site file and its feeder, and name all faults at once.

    Of a sound site it tells whether setpoints would be written, and what is hardly meant.
    A file that holds nothing but [ieee2030_5] and [store] is checked as that server's.
    """
    from ems.cli.server_check import is_server_file, server_faults
    from ems.cli.site_check import all_faults, remarks
    from ems.settings import load_settings

    alone = is_server_file(Path(site))
    faults, notes = server_faults(Path(site)) if alone else (all_faults(Path(site)), [])
    if faults:
        print_faults(faults)
        raise click.exceptions.Exit(Exit.BAD_INPUT)
    control: dict[str, str] | None = None
    if not alone:
        notes = remarks(Path(site))
        mode, why = load_settings(Path(site)).control_mode()
        control = {"mode": mode, "why": why}
    if as_json:
        print_json({"ok": True, "faults": [], "notes": notes, "control": control})
        return
    click.echo(f"{site}: ok")
    if control is not None:
        click.echo(f"mode: {control['mode']} ({control['why']})")
    click.echo("".join(f"note: {line}\n" for line in notes), nl=False)
