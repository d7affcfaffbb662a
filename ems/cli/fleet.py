"""Running a fleet of simulated DERs from the command line."""

import gc
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ems.cli.ending import until_told_to_stop
from ems.cli.outcome import print_json
from ems.errors import BadInput

if TYPE_CHECKING:  # heavy imports live inside commands
    from ems.domain import DeviceAddress
    from ems.plant.events import EventList
    from ems.plant.fleet import AnyFleet, Fleet


def serve_fleet(
    count: int,
    *,
    events: Path | None,
    mix: Mapping[str, int],
    rated: tuple[float, ...],
    sun: float,
    inverter: Any,
    seconds: int | None,
    speed: float | None,
    start: datetime | None,
    base_port: int | None,
    record: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Serve a fleet until it is over or interrupted; the options are those of `geems plant`."""
    from ems.plant.events import read_events
    from ems.plant.fleet import QUIET, Fleet, ders_of, run_fleet

    # What its library thinks of our nameplates is the plant's to weigh, not an operator's.
    logging.getLogger("opender").setLevel(logging.ERROR)
    stop = until_told_to_stop()
    ders = ders_of(count, mix, rated)
    happens = QUIET if events is None else read_events(events, [d.name for d in ders], start)
    began = start or happens.start or datetime.now(UTC)
    fleet = Fleet(ders, began, happens, sun=sun, inverter=inverter)
    with watched(fleet, happens, seconds, record, plot) as each:
        try:
            _announce(fleet, fleet.start(base_port), happens, as_json=as_json)
            keep_for_good()
            behind = run_fleet(fleet, seconds=seconds, speed=speed, stop=stop, each=each)
        finally:
            fleet.stop()
    tell_the_end(fleet, behind)


def keep_for_good() -> None:
    """Collect now and never again: a thousand DERs would stand still for 0.2 s each time."""
    gc.collect()
    gc.freeze()


def tell_the_end(fleet: "AnyFleet", behind_s: float) -> None:
    """Say what was lived through, and how late."""
    late = f"; behind its pace by up to {behind_s:.1f} s" if behind_s >= 1.0 else ""
    click.echo(f"lived through {fleet.t_s} s{late}", err=True)


@contextmanager
def watched(
    fleet: "AnyFleet",
    events: "EventList",
    seconds: int | None,
    record: Path | None,
    plot: Path | None,
) -> Iterator[Callable[["AnyFleet"], None]]:
    """A callable for every step: moves the bar, records, remembers what is drawn at the end."""
    from ems.plant.fleet_record import FleetPlot, fleet_csv

    if plot is not None and not plot.absolute().parent.is_dir():
        raise BadInput.at("--plot", f"{plot}: there is no such folder")
    drawn = None if plot is None else FleetPlot(fleet.names, events)
    with ExitStack() as open_:
        rows = open_.enter_context(fleet_csv(record))
        tell = open_.enter_context(_progress(seconds))

        def each(fleet: "AnyFleet") -> None:
            tell(fleet.t_s)
            seen = fleet.seen() if rows or drawn else ()
            if rows:
                rows.add(fleet, seen)
            if drawn:
                drawn.add(fleet, seen)

        yield each
    if drawn is not None and plot is not None:
        drawn.draw(plot)


def _announce(
    fleet: "Fleet",
    addresses: Mapping[str, "DeviceAddress"],
    events: "EventList",
    *,
    as_json: bool,
) -> None:
    """Say where everybody answers."""
    if as_json:
        rows = [
            {**address_row(der.name, addresses[der.name]), "kind": type(der).__name__.lower(),
             "rated_kw": der.rated_kw}
            for der in fleet.ders
        ]  # fmt: skip
        start = f"{fleet.started:%Y-%m-%dT%H:%M:%SZ}"
        print_json({"start": start, "last_event_s": events.last_s, "devices": rows})
    else:
        for name, address in addresses.items():
            click.echo(f"{name}: {address.host}:{address.port}")
    click.echo("serving; interrupt to end", err=True)


def address_row(name: str, address: "DeviceAddress") -> dict[str, Any]:
    """Where one device answers, as JSON."""
    return {"name": name, "host": address.host, "port": address.port, "unit": address.unit}


@contextmanager
def _progress(seconds: int | None) -> Iterator[Callable[[int], object]]:
    """A callable that is told how many seconds are lived through; a bar where the end is known."""
    if seconds is None:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    bar = Progress(console=Console(stderr=True))
    task = bar.add_task("simulated", total=seconds)

    def tell(t_s: int) -> None:
        bar.start()  # with the first second, after all that is printed before
        bar.update(task, completed=t_s)

    try:
        yield tell
    finally:
        bar.stop()
