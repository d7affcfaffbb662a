"""`geems ieee2030-5 serve`: the server alone, without the service that dispatches."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ems.cli.ending import until_told_to_stop
from ems.cli.fleet import keep_for_good
from ems.cli.outcome import json_option, print_json

if TYPE_CHECKING:  # heavy imports live inside commands
    from ems.derms.assembled import Served


@click.command()
@click.argument("config", metavar="CONFIG", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def serve(config: Path, *, as_json: bool) -> None:
    """Serve DERs by IEEE 2030.5 until it is interrupted.

    CONFIG holds an [ieee2030_5] table, alone or in a site file. With --json the first and only
    document tells the address as soon as it answers. Interrupted, or ended by SIGTERM, it closes
    in order; ended otherwise, it loses nothing that it acknowledged.
    """
    from ems.derms.assembled import opened
    from ems.derms.published import follow_alone
    from ems.settings.ieee2030_5.file import load_server

    file = load_server(config)
    logging.getLogger("ems").setLevel(logging.INFO)
    with opened(file) as served:
        # Not before: while the database is opened, nothing would look at the event.
        stop = until_told_to_stop()
        served.server.call(lambda: follow_alone(served.board))
        served.start()
        keep_for_good()
        _announce(served, as_json=as_json)
        stop.wait()
    click.echo("ended in order", err=True)


def _announce(served: "Served", *, as_json: bool) -> None:
    host, port = served.server.address
    url = served.server.url
    if as_json:
        print_json(
            {
                "url": f"{url}/dcap",
                "admin": f"{url}/admin/openapi.json",
                "host": host,
                "port": port,
                "devices": len(served.board.devices()),
                "programs": len(served.board.programs()),
                "store": str(served.store.path),
                "notes": list(served.notes),
            }
        )
    for note in served.notes:
        click.echo(f"note: {note}", err=True)
    click.echo(f"serving {url}/dcap   (interrupt to end)", err=True)
