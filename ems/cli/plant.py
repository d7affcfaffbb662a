"""`geems plant`: simulated devices, those of a site or a fleet of any size."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ems.cli.fleet import address_row, serve_fleet, until_told_to_stop
from ems.cli.outcome import json_option, print_json
from ems.cli.speed import Speed

if TYPE_CHECKING:  # heavy imports live inside commands
    from ems.domain import DeviceAddress

KINDS = ("pv", "bes", "dg")
OF_A_SITE = ("site", "seed")
OF_A_FLEET = (
    *("events", "seconds", "speed", "base_port", "mix", "sun", "inverter", "start", "record"),
    "plot",
)


class _Mix(click.ParamType[Mapping[str, int]]):
    """`pv=2,bes=1`."""

    name = "KIND=PARTS,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Mapping[str, int]:
        """Parts by kind."""
        if isinstance(value, Mapping):
            return value
        mix: dict[str, int] = {}
        for piece in str(value).split(","):
            kind, _, parts = piece.strip().partition("=")
            if kind not in KINDS or kind in mix or not parts.isdecimal():
                known = ", ".join(KINDS)
                self.fail(
                    f"{value} is no mix; write for example pv=2,bes=1 (of {known}, each once)",
                    param,
                    ctx,
                )
            mix[kind] = int(parts)
        if not any(mix.values()):
            self.fail(f"{value} has no part of anything", param, ctx)
        return mix


class _Instant(click.ParamType[datetime]):
    """An ISO 8601 timestamp with its zone."""

    name = "TIMESTAMP"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """The instant, UTC."""
        try:
            when = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value} is no timestamp; write for example 2026-06-01T12:00Z", param, ctx)
        if when.tzinfo is None:
            self.fail(f"{value} has no zone; write {value}Z if it is UTC", param, ctx)
        return when.astimezone(UTC)


@click.command()
@click.argument("site", required=False, type=click.Path(dir_okay=False, path_type=str))
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Of a site: seed of clouds and load.",
)
@click.option(
    "--ders", type=click.IntRange(1, 20_000), help="A fleet of so many, in place of a site."
)
@click.option(
    "--events",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Of a fleet: what each DER feels of the grid, a CSV file (docs/fleet.md).",
)
@click.option(
    "--mix", type=_Mix(), default="pv=2,bes=1", show_default=True, help="Of a fleet: of what kinds."
)
@click.option(
    "--sun",
    type=click.FloatRange(0.0, 1.0),
    default=0.8,
    show_default=True,
    help="Of a fleet: what the sun offers every PV plant, over its rating.",
)
@click.option(
    "--inverter",
    type=click.Choice(["ieee1547", "ideal"]),
    default="ieee1547",
    show_default=True,
    help="Of a fleet: how PV plants and batteries behave.",
)
@click.option(
    "--seconds", type=click.IntRange(min=1), help="Of a fleet: end after so many, simulated."
)
@click.option(
    "--speed",
    type=Speed(),
    default="1",
    show_default=True,
    help="Of a fleet: simulated seconds per real second; max waits for nothing.",
)
@click.option(
    "--start",
    type=_Instant(),
    help="Of a fleet: its first instant; default: now, or the first timestamp of the events.",
)
@click.option(
    "--base-port",
    type=click.IntRange(1, 65_535),
    help="Of a fleet: port of the first, the others follow; default: free ports.",
)
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Of a fleet: CSV file for P, Q, voltage, frequency and state, by the second.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Of a fleet: picture (PNG) of the DERs that something happens to.",
)
@json_option
@click.pass_context
def plant(
    ctx: click.Context,
    /,
    site: str | None,
    seed: int,
    ders: int | None,
    *,
    as_json: bool,
    **of_a_fleet: Any,
) -> None:
    """Simulate devices: one Modbus TCP server each, on loopback.

    Without --ders those of a site file, on its feeder and at its addresses, in real time; `geems
    serve` and `geems run` talk to them as they would to real devices. With --ders a fleet of 100
    kW each, without a feeder: what each feels at its point of connection is what --events says.

    Runs until it is interrupted, or for --seconds. With --json the table of addresses is one
    document on standard output, printed once all answer.
    """
    _refuse_strangers(ctx, OF_A_FLEET if ders is None else OF_A_SITE)
    if ders is None:
        _serve_site(site or "site.toml", seed, as_json=as_json)
    else:
        if of_a_fleet["speed"] is None and of_a_fleet["seconds"] is None:
            raise click.UsageError("--speed max ends only after --seconds: give them")
        serve_fleet(ders, as_json=as_json, **of_a_fleet)


def _refuse_strangers(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Refuse what means nothing to the kind of plant that was asked for."""
    given = [n for n in names if ctx.get_parameter_source(n) is ParameterSource.COMMANDLINE]
    if not given:
        return
    told = ", ".join(n.upper() if n == "site" else f"--{n.replace('_', '-')}" for n in given)
    needs = (
        "is for a fleet: give --ders" if names is OF_A_FLEET else "is for a site, not for --ders"
    )
    raise click.UsageError(f"{told} {needs}")


def _serve_site(site: str, seed: int, *, as_json: bool) -> None:
    from ems.cli.site_check import checked_settings
    from ems.plant import serve_plant

    def announce(addresses: Mapping[str, "DeviceAddress"]) -> None:
        if as_json:
            print_json({"devices": [address_row(n, a) for n, a in addresses.items()]})
        for name, address in addresses.items():
            click.echo(f"{name}: {address.host}:{address.port}", err=True)
        click.echo("serving; interrupt to end", err=True)

    serve_plant(
        checked_settings(Path(site)),
        start=datetime.now(UTC),
        speed=1.0,
        seed=seed,
        stop=until_told_to_stop(),
        announce=announce,
    )
