"""`geems run`, `serve`, `plant` and `demo`: the commands that act."""

import logging
import math
import signal
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ems.cli.outcome import Exit, json_option, print_json, site_argument

if TYPE_CHECKING:  # heavy imports live inside commands
    from ems.domain import DeviceAddress


@click.command()
@site_argument
@click.option("--once", is_flag=True, required=True, help="One cycle, now.")
@json_option
def run(site: str, *, once: bool, as_json: bool) -> None:  # noqa: ARG001 - `serve` is the other way
    """Run one cycle and print it with its reasons.

    Ends with code 3 when the cycle was degraded: it lacked a measurement, stood on a lower
    rung, found no safe dispatch, or could not write all setpoints.
    """
    import json

    from ems.assembly import open_site
    from ems.cli.site_check import checked_settings
    from ems.cli.tables import print_cycle
    from ems.record import to_json

    with open_site(checked_settings(Path(site))) as opened:
        record = opened.run_once(datetime.now(UTC))
    if as_json:
        print_json(json.loads(to_json(record)))
    else:
        print_cycle(record)
    if record.status != "verified":
        raise click.exceptions.Exit(Exit.DEGRADED)


@click.command()
@site_argument
def serve(site: str) -> None:
    """Run the service: a cycle every quarter of an hour, the REST interface and the page."""
    from ems.cli.site_check import checked_settings

    settings = checked_settings(Path(site))
    from ems.daemon import serve_site

    logging.getLogger("ems").setLevel(logging.INFO)
    serve_site(settings)


@click.command()
@site_argument
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Seed of clouds and load.",
)
def plant(site: str, seed: int) -> None:
    """Simulate the devices of a site: one Modbus TCP server each, at the site's addresses.

    Runs in real time until it is interrupted; `geems serve` and `geems run` talk to it as they
    would to real devices.
    """
    from ems.cli.site_check import checked_settings
    from ems.plant import serve_plant

    def announce(addresses: Mapping[str, "DeviceAddress"]) -> None:
        for name, address in addresses.items():
            click.echo(f"{name}: {address.host}:{address.port}", err=True)
        click.echo("serving; interrupt to end", err=True)

    serve_plant(
        checked_settings(Path(site)),
        start=datetime.now(UTC),
        speed=1.0,
        seed=seed,
        stop=_until_told_to_stop(),
        announce=announce,
    )


def _until_told_to_stop() -> threading.Event:
    """An event that SIGINT and SIGTERM set."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _announce_demo(url: str) -> None:
    click.echo(f"the page: {url}   (interrupt to end)", err=True)
    click.echo(
        "type pv, bes, dg or load to pull that device's plug, again to put it back", err=True
    )


class _Speed(click.ParamType[float | None]):
    """`max`, or simulated seconds per real second."""

    name = "max|NUMBER"

    def convert(
        self, value: str | float | None, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | None:
        """None stands for `max`: time is stepped, nothing waits."""
        if value is None or value == "max":
            return None
        try:
            speed = float(value)
        except ValueError:
            speed = math.nan
        if not (math.isfinite(speed) and speed > 0):
            self.fail(f'{value} is neither "max" nor a number above 0', param, ctx)
        return speed


@click.command()
@click.option("--cycles", type=click.IntRange(min=1), help="Stop after so many; default: serve on.")
@click.option(
    "--speed",
    type=_Speed(),
    default="60",
    show_default=True,
    help="Simulated seconds per real second; max steps the clock and waits for nothing.",
)
@click.option(
    "--pv",
    "pv_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Measured series to play (time_utc,value), scaled to the site; needs --day.",
)
@click.option("--day", type=click.DateTime(formats=["%Y-%m-%d"]), help="Day of the series to play.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True)
@click.option("--unplug", metavar="DEVICE", help="Pull a device's plug after half of the cycles.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Seed of the clouds."
)
@json_option
def demo(
    cycles: int | None,
    speed: float | None,
    pv_file: Path | None,
    day: datetime | None,
    port: int,
    unplug: str | None,
    seed: int,
    *,
    as_json: bool,
) -> None:
    """Run the simulated plant, the service and the page: no hardware, no network.

    Without --cycles it keeps running and serves the page until it is interrupted. With
    --cycles it ends with code 3 when a cycle was degraded, or when a limit was broken.
    """
    if (pv_file is None) != (day is None):
        raise click.UsageError("--pv and --day go together")
    if as_json and cycles is None:
        raise click.UsageError("--json prints one document at the end: give --cycles")
    from ems.cli.tables import cycle_progress, print_demo
    from ems.demo import run_demo

    with cycle_progress(cycles) as progress:
        result = run_demo(
            cycles=cycles,
            speed=speed,
            pv_file=pv_file,
            day=None if day is None else day.date(),
            port=port,
            seed=seed,
            unplug=unplug,
            progress=progress,
            announce=_announce_demo,
            # Typed names pull plugs; a pipe or a service manager types nothing.
            plugs=sys.stdin if sys.stdin.isatty() else (),
        )
    if result is None:
        return
    if as_json:
        print_json(result)
    else:
        print_demo(result)
    broken = result["violations"] + result["violations_within"]
    if broken or any(cycle["status"] != "verified" for cycle in result["cycles"]):
        raise click.exceptions.Exit(Exit.DEGRADED)
