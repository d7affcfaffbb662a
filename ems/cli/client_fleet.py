"""Running a fleet of IEEE 2030.5 clients from the command line."""

import logging
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ems.cli.ending import until_told_to_stop
from ems.cli.fleet import keep_for_good, tell_the_end, watched
from ems.cli.outcome import print_json

if TYPE_CHECKING:  # heavy imports live inside commands
    from ems.plant.events import EventList
    from ems.plant.ieee2030_5.fleet import ClientFleet

_AGAIN_S = 10
"""How often it is said who is still waited for [s]."""


def serve_clients(
    count: int,
    *,
    events: Path | None,
    mix: Mapping[str, int],
    rated: tuple[float, ...],
    sun: float,
    seconds: int | None,
    record: Path | None,
    plot: Path | None,
    server: str,
    certs: Path,
    poll: int | None,
    as_json: bool,
) -> None:
    """Run a fleet of IEEE 2030.5 clients; the options are those of `geems plant`."""
    from ems.clock import WallClock
    from ems.plant.events import read_events
    from ems.plant.fleet import QUIET, ders_of, run_fleet
    from ems.plant.ieee2030_5.fleet import ClientFleet, credentials_of

    logging.getLogger("opender").setLevel(logging.ERROR)
    stop = until_told_to_stop()
    clock = WallClock()
    ders = ders_of(count, mix, rated)
    names = [d.name for d in ders]
    happens = QUIET if events is None else read_events(events, names, clock.now())
    fleet = ClientFleet(
        ders,
        credentials_of(certs, names),
        certs / "root.pem",
        server,
        clock=clock,
        events=happens,
        sun=sun,
        poll_s=poll,
    )
    announce = _Registered(fleet, happens, server, as_json=as_json)
    with watched(fleet, happens, seconds, record, plot) as each:

        def second(lived: "ClientFleet") -> None:
            announce.look()
            each(lived)

        try:
            fleet.start()
            keep_for_good()
            behind = run_fleet(fleet, seconds=seconds, speed=1.0, stop=stop, each=second)
        finally:
            fleet.stop()
    tell_the_end(fleet, behind)


class _Registered:
    """Says who has found its server; until all have, again and again how many and why not all."""

    def __init__(
        self, fleet: "ClientFleet", events: "EventList", server: str, *, as_json: bool
    ) -> None:
        self._fleet = fleet
        self._events = events
        self._server = server
        self._as_json = as_json
        self._done = False
        self._next_s = _AGAIN_S
        self._troubled = False

    def look(self) -> None:
        """Once a second."""
        fleet = self._fleet
        if self._done:
            return
        if fleet.registered == len(fleet.names):
            self._done = True
            self._announce()
            return
        trouble = fleet.trouble
        first = bool(trouble) and not self._troubled
        self._troubled = bool(trouble)
        if fleet.t_s < self._next_s and not first:
            return
        self._next_s = fleet.t_s + _AGAIN_S
        of = f"{fleet.registered} of {len(fleet.names)} registered"
        why = "".join(f"; {name}: {told}" for name, told in islice(trouble.items(), 1))
        click.echo(f"{of}{why}", err=True)

    def _announce(self) -> None:
        fleet = self._fleet
        rows = [
            {"name": der.name, "certificate": shown.name, "lfdi": shown.lfdi, "sfdi": shown.sfdi,
             "kind": type(der).__name__.lower(), "rated_kw": der.rated_kw}
            for der, shown in zip(fleet.ders, fleet.credentials, strict=True)
        ]  # fmt: skip
        if self._as_json:
            start = f"{fleet.started:%Y-%m-%dT%H:%M:%SZ}"
            print_json({"start": start, "last_event_s": self._events.last_s,
                        "server": self._server, "devices": rows})  # fmt: skip
        else:
            for row in rows:
                click.echo(f"{row['name']}: {row['lfdi']} {row['sfdi']}")
        click.echo("all registered; interrupt to end", err=True)
