"""Options that tell what a measured series is, and what plant it is of."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

# Numbers are checked with the file, so that one call tells everything that is wrong.
_OPTIONS = (
    click.option(
        "--lat", type=float, help="Latitude, north positive [°]; needed where FILE does not tell."
    ),
    click.option("--lon", type=float, help="Longitude, east positive [°]. Likewise."),
    click.option("--capacity-kw", type=float, help="Rating of the plant [kW]. Needed with FILE."),
    click.option("--column", help="Column or sensor to read; default: the known one of the form."),
    click.option(
        "--zone",
        help="Zone of local times (PVDAQ), such as Etc/GMT+7; default: by the longitude.",
    ),
    click.option(
        "--tilt",
        type=float,
        help="Tilt of the modules [°]; for power give both this and --azimuth, or neither: fitted.",
    ),
    click.option(
        "--azimuth", type=float, help="Where they face, clockwise from north [°]; as for --tilt."
    ),
    click.option(
        "--kind",
        type=click.Choice(["power", "ghi"]),
        help="What is measured; default: by the column.",
    ),
    click.option(
        "--resolution",
        type=click.Choice(["15min", "5min", "1min"]),
        help="Judge with polls as far apart as this; default: as in the file.",
    ),
    click.option(
        "--calibration-days",
        type=int,
        default=60,
        show_default=True,
        help="Days at the start that are never scored; plant and bands are fitted to them.",
    ),
)


def series_options(command: F) -> F:
    """Add them to a command, in this order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
