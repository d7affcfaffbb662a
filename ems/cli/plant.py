"""`geems plant`: simulated devices, those of a site or a fleet of any size."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ems.cli.client_fleet import serve_clients
from ems.cli.ending import until_told_to_stop
from ems.cli.fleet import address_row, serve_fleet
from ems.cli.number_types import Speed
from ems.cli.outcome import json_option, print_json

if TYPE_CHECKING:  # heavy imports live inside commands
    from ems.domain import DeviceAddress

KINDS = ("pv", "bes", "dg")
LEAST_KW, MOST_KW = 1.0, 20_000.0
"""Ratings of a made-up DER that its registers and documents hold [kW]."""
OF_A_SITE = ("site", "seed")
OF_A_FLEET = (
    *("events", "seconds", "speed", "base_port", "mix", "sun", "inverter", "start", "record"),
    *("plot", "rated", "protocol", "server", "certs", "poll"),
)
OF_MODBUS = ("speed", "base_port", "inverter", "start")
"""A client of IEEE 2030.5 follows its server's time, and has no port of its own."""
OF_IEEE2030_5 = ("server", "certs", "poll")


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


class _Ratings(click.ParamType[tuple[float, ...]]):
    """`50,100,250`."""

    name = "KW,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Ratings [kW]."""
        if isinstance(value, tuple):
            return value
        try:
            ratings = tuple(float(piece) for piece in str(value).split(","))
        except ValueError:
            self.fail(f"{value} holds no ratings; write for example 50,100,250", param, ctx)
        if not all(LEAST_KW <= kw <= MOST_KW for kw in ratings):
            self.fail(f"{value}: a rating is {LEAST_KW:g} to {MOST_KW:g} kW", param, ctx)
        return ratings


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
    "--rated",
    type=_Ratings(),
    default="100",
    show_default=True,
    help="Of a fleet: ratings in kW, one after another.",
)
@click.option(
    "--protocol",
    type=click.Choice(["modbus", "ieee2030_5"]),
    default="modbus",
    show_default=True,
    help="Of a fleet: a Modbus server for each DER, or a client of one IEEE 2030.5 server.",
)
@click.option("--server", metavar="URL", help="Of IEEE 2030.5: the server, https://HOST:PORT.")
@click.option(
    "--certs",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Of IEEE 2030.5: folder made by `geems ieee2030-5 certs`.",
)
@click.option(
    "--poll",
    type=click.IntRange(min=1),
    metavar="SECONDS",
    help="Of IEEE 2030.5: ask at least so often, however seldom the server wants it.",
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
    """Simulate devices: one Modbus TCP server each, on loopback, or one IEEE 2030.5 client each.

    Without --ders those of a site file, on its feeder and at its addresses, in real time; `geems
    serve` and `geems run` talk to them as they would to real devices. With --ders a fleet without a
    feeder: what each feels at its point of connection is what --events says.

    Runs until it is interrupted, or for --seconds. With --json the table of addresses is one
    document on standard output, printed once all answer; of IEEE 2030.5 clients it is the table of
    their identifiers, printed once all have found themselves at the server.
    """
    if ders is None:
        _refuse(ctx, OF_A_FLEET, "is for a fleet: give --ders")
        _serve_site(site or "site.toml", seed, as_json=as_json)
        return
    _refuse(ctx, OF_A_SITE, "is for a site, not for --ders")
    options = dict(of_a_fleet)
    own = {name: options.pop(name) for name in OF_IEEE2030_5}
    if options.pop("protocol") == "ieee2030_5":
        _refuse(ctx, OF_MODBUS, "is for --protocol modbus")
        _check_clients(options["mix"], **own)
        common = {name: value for name, value in options.items() if name not in OF_MODBUS}
        serve_clients(ders, as_json=as_json, **common, **own)
        return
    _refuse(ctx, OF_IEEE2030_5, "is for --protocol ieee2030_5")
    if options["speed"] is None and options["seconds"] is None:
        raise click.UsageError("--speed max ends only after --seconds: give them")
    serve_fleet(ders, as_json=as_json, **options)


def _refuse(ctx: click.Context, names: tuple[str, ...], why: str) -> None:
    """Refuse what means nothing to the kind of plant that was asked for."""
    given = [n for n in names if ctx.get_parameter_source(n) is ParameterSource.COMMANDLINE]
    if given:
        told = ", ".join(n.upper() if n == "site" else f"--{n.replace('_', '-')}" for n in given)
        raise click.UsageError(f"{told} {why}")


def _check_clients(
    mix: Mapping[str, int], *, server: str | None, certs: Path | None, poll: int | None
) -> None:
    """What clients need, and what there is no client of."""
    del poll  # it is optional
    if server is None or certs is None:
        raise click.UsageError(
            "--protocol ieee2030_5 needs --server URL and --certs DIR "
            "(geems ieee2030-5 certs makes one)"
        )
    if not server.startswith("https://"):
        raise click.UsageError(f"--server {server}: write https://HOST:PORT")
    if mix.get("dg"):
        raise click.UsageError("--mix: dg has no IEEE 2030.5 client; write for example pv=2,bes=1")


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
