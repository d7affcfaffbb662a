"""`geems ieee2030-5 certs`: a test authority's certificates, and what others' say."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ems.cli.outcome import Exit, json_option, print_json

if TYPE_CHECKING:  # heavy imports live inside commands
    from ems.derms.certificates import Issued, Pki, Shown


class _ByFolder(click.Group):
    """`certs DIR` is `certs make DIR`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the command that is meant before a folder or an option of it."""
        if args and args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["make", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ByFolder)
def certs() -> None:
    """Make certificates for tests, or look into any.

    `certs DIR …` is short for `certs make DIR …`.
    """


@certs.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--device", "names", metavar="NAME", multiple=True, help="A device; repeat it.")
@click.option(
    "--devices",
    "count",
    type=click.IntRange(min=1),
    help="As many devices, called device-1, device-2 …",
)
@click.option("--aggregator", "aggregators", metavar="NAME", multiple=True, help="An aggregator.")
@click.option(
    "--administrator", "administrators", metavar="NAME", multiple=True, help="An administrator."
)
@click.option(
    "--host",
    "hosts",
    metavar="HOST",
    multiple=True,
    help="Name or address the server is reached by; default: localhost and 127.0.0.1.",
)
@click.option(
    "--pen",
    type=click.IntRange(min=1),
    help="Private enterprise number of the devices' maker; default: that of examples.",
)
@click.option(
    "--days",
    type=click.IntRange(min=1, max=36_500),
    help="End the devices' certificates after so many days; default: they hold for good.",
)
@json_option
def make(  # every option is one thing a certificate says
    folder: Path,
    names: Sequence[str],
    count: int | None,
    aggregators: Sequence[str],
    administrators: Sequence[str],
    hosts: Sequence[str],
    pen: int | None,
    days: int | None,
    *,
    as_json: bool,
) -> None:
    """Make a test authority in DIR with a server and whoever is named; print LFDI and SFDI.

    What exists is kept: call it again for further devices. Keys can be read by their owner only.
    For the field, use the certificates that manufacturers and the utility's authority issue.
    """
    from ems.derms.certificates import EXAMPLE_PEN, INDEFINITE, LOOPBACK, make_pki

    now = datetime.now(UTC)
    devices = [*names, *(f"device-{n}" for n in range(1, (count or 0) + 1))]
    made = make_pki(
        folder,
        devices,
        aggregators=aggregators,
        administrators=administrators,
        hosts=hosts or LOOPBACK,
        pen=pen or EXAMPLE_PEN,
        not_after=now + timedelta(days=days) if days else INDEFINITE,
        now=now,
    )
    if as_json:
        held = [asdict(issued) | {"role": role, "name": name} for role, name, issued in _all(made)]
        print_json({"ok": True, "ca_file": made.ca_file, "certificates": held})
    else:
        _print_made(made)


@certs.command()
@click.argument(
    "files",
    metavar="FILE…",
    nargs=-1,
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
)
@json_option
def show(files: Sequence[Path], *, as_json: bool) -> None:
    """Show certificates of any origin: LFDI, SFDI, validity, and what strict peers refuse.

    The key of NAME.pem is looked at too where it stands beside it as NAME.key. Exit code 3 when
    something is found.
    """
    from ems.derms.certificates import shown

    found = shown(files, datetime.now(UTC))
    if as_json:
        print_json(
            {"ok": not any(f.findings for f in found), "certificates": [asdict(f) for f in found]}
        )
    else:
        click.echo("\n\n".join(_text(each) for each in found))
    if any(each.findings for each in found):
        raise click.exceptions.Exit(Exit.DEGRADED)


def _all(made: "Pki") -> "Iterator[tuple[str, str, Issued]]":
    yield "server", "server", made.server
    for role in ("device", "aggregator", "administrator"):
        for name, issued in getattr(made, role).items():
            yield role, name, issued


def _print_made(made: "Pki") -> None:
    click.echo(f"trust: {made.ca_file}")
    for role, name, issued in _all(made):
        kept = "" if issued.new else "  (was there)"
        click.echo(f"{role} {name}: {issued.cert_file} {issued.key_file}{kept}")
        click.echo(f"  LFDI {issued.lfdi}  SFDI {issued.sfdi}")


def _text(each: "Shown") -> str:
    lines: list[tuple[str, Any]] = [
        ("name", each.name),
        *((("hosts", ", ".join(each.hosts)),) if each.hosts else ()),
        *(() if each.authority else (("LFDI", each.lfdi), ("SFDI", each.sfdi))),
        ("valid", f"{each.not_before:%Y-%m-%d} to {each.not_after:%Y-%m-%d}"),
        ("policies", ", ".join(each.policies) or "none"),
        *(("finding", finding) for finding in each.findings),
    ]
    kind = "authority" if each.authority else "device"
    return "\n".join([f"{each.file}: {kind}", *(f"  {key:<9}{value}" for key, value in lines)])
