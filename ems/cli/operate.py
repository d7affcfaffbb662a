"""`geems run`, `serve` and `demo`: the commands that act."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from ems.cli.ending import Interrupt, hangup_interrupts
from ems.cli.number_types import Speed
from ems.cli.outcome import Exit, interrupted, json_option, print_faults, print_json, site_argument
from ems.errors import Fault

if TYPE_CHECKING:  # heavy imports live inside commands
    from ems.domain import CycleRecord


@click.command()
@site_argument
@click.option("--once", is_flag=True, required=True, help="One cycle, now.")
@json_option
def run(site: str, *, once: bool, as_json: bool) -> None:  # noqa: ARG001 - `serve` is the other way
    """Run one cycle and print it with its reasons.

    Ends with code 3 when the cycle was degraded: it lacked a measurement, stood on a lower
    rung, found no safe dispatch, or could not write all setpoints. A lower rung of the forecast
    degrades nothing: what is sent is proved all the same.
    """
    import json

    from ems.assembly import open_site
    from ems.cli.site_check import checked_settings
    from ems.cli.tables import print_cycle
    from ems.record import to_json

    settings = checked_settings(Path(site))
    try:
        with open_site(settings) as opened:
            record = opened.run_once(datetime.now(UTC))
    except KeyboardInterrupt:
        if settings.to_policy().control != "auto":  # it writes nothing
            raise
        code = interrupted("devices may hold what was written until their reversion timers end")
        raise click.exceptions.Exit(code) from None
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
    with hangup_interrupts():
        serve_site(settings)


ENDED = "the demo has ended, and nothing of it is left"


@contextmanager
def _interruptible(cycles: int | None) -> Iterator[Interrupt]:
    """An interrupt ends a demo: in order where it was to run on, else before its time."""
    interrupt = Interrupt()
    try:
        with interrupt.handling():
            yield interrupt
    except KeyboardInterrupt:
        if cycles is None:
            click.echo(ENDED, err=True)
            raise click.exceptions.Exit(Exit.OK) from None
        problem = f"interrupted before the last of {cycles} cycles; {ENDED}"
        print_faults([Fault(place="", problem=problem)])
        raise click.exceptions.Exit(Exit.INTERRUPTED) from None


def _announce_demo(url: str) -> None:
    click.echo(f"the page: {url}   (interrupt to end)", err=True)
    if sys.stdin.isatty():
        click.echo(
            "type pv, bes, dg or load to pull that device's plug, again to put it back", err=True
        )


@click.command()
@click.option("--cycles", type=click.IntRange(min=1), help="Stop after so many; default: serve on.")
@click.option(
    "--speed",
    type=Speed(),
    default="60",
    show_default=True,
    help="Simulated seconds per real second, without --cycles at most 250; max steps the clock and "
    "waits for nothing.",
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
@click.option(
    "--field",
    type=click.Choice(["modbus", "goose"]),
    default="modbus",
    show_default=True,
    help="Between plant and EMS: Modbus, or IEC 61850 GOOSE, an RTU and Modbus (as root).",
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
    field: Literal["modbus", "goose"],
    *,
    as_json: bool,
) -> None:
    """Run the simulated plant, the service and the page: no hardware, no network.

    Without --cycles it keeps running and serves the page until it is interrupted: code 0. With
    --cycles it ends with code 3 when a cycle was degraded, or when a limit was broken, and with
    code 130 when it is interrupted. SIGTERM interrupts too.

    Its records are gone when it ends: explain and replay need a service with a site file (geems
    init, geems plant, geems run).
    """
    if (pv_file is None) != (day is None):
        raise click.UsageError("--pv and --day go together")
    if as_json and cycles is None:
        raise click.UsageError("--json prints one document at the end: give --cycles")
    with _interruptible(cycles) as interrupt:
        # Within, for they take seconds, in which one may think better of it.
        with interrupt.put_off():
            from ems.cli.tables import cycle_progress, print_demo
            from ems.demo import run_demo

        with cycle_progress(cycles) as progress:

            def after(record: "CycleRecord") -> None:
                progress(record)
                interrupt.again()

            def announce(url: str) -> None:
                interrupt.again()
                _announce_demo(url)

            result = run_demo(
                cycles=cycles,
                speed=speed,
                pv_file=pv_file,
                day=None if day is None else day.date(),
                port=port,
                seed=seed,
                unplug=unplug,
                field=field,
                progress=after,
                announce=announce,
                # Typed names pull plugs; a pipe or a service manager types nothing.
                plugs=sys.stdin if sys.stdin.isatty() else (),
            )
    if result is None:
        click.echo(ENDED, err=True)
        return
    if as_json:
        print_json(result)
    else:
        print_demo(result)
    broken = result["violations"] + result["violations_within"]
    if broken or any(cycle["status"] != "verified" for cycle in result["cycles"]):
        raise click.exceptions.Exit(Exit.DEGRADED)
