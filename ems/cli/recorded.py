"""Which record a command is about: the site file, a time, and what the database holds of it."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:  # heavy imports live inside commands
    from ems.domain import CycleRecord
    from ems.settings import Settings
    from ems.store import Store

F = TypeVar("F", bound=Callable[..., Any])


def site_option(command: F) -> F:
    """`--site`: the site file whose database holds the records."""
    return click.option(
        "--site",
        default="site.toml",
        show_default=True,
        type=click.Path(dir_okay=False, path_type=Path),
        help="The site file; its database holds the records.",
    )(command)


class Time(click.ParamType[datetime]):
    """A time in ISO 8601; without a zone it is UTC."""

    name = "time"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Aware, UTC."""
        if isinstance(value, datetime):
            return value
        try:
            time = datetime.fromisoformat(value)
            return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):  # the latter of a zone beyond the first or last year
            if value.endswith(".toml"):
                self.fail(f"{value} is no time; the site file goes behind --site", param, ctx)
            self.fail(f"{value} is not a time like 2026-07-01T14:00 (ISO 8601, UTC)", param, ctx)


def recorded(
    settings: "Settings", time: datetime | None
) -> tuple["CycleRecord", "CycleRecord | None"]:
    """The newest record of an interval, or of all; and the one before it.

    Raises:
        BadInput: there is none; names what there is.
    """
    from contextlib import closing

    from ems.errors import BadInput
    from ems.store import Store

    path = settings.store_path()
    if not path.is_file():
        raise BadInput.at(str(path), "no record yet: no such file; run geems run or geems serve")
    with closing(Store.open(path)) as store:
        latest = store.latest()
        if latest is None:
            raise BadInput.at(str(path), "holds no record yet; run geems run or geems serve")
        record = latest if time is None else store.at(time)
        if record is None:
            first, last = _first(store, latest.start), latest.start
            raise BadInput.at(
                "TIME",
                f"no record of {time:%Y-%m-%d %H:%M} UTC; records in {path.name} run from "
                f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC",
            )
        return record, store.before(record)


_AGES_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def _first(store: "Store", last: datetime) -> datetime:
    """Start of the oldest record, by halving: the store tells the newest before a time."""
    first, low = last, _AGES_AGO
    while low < first:
        middle = low + (first - low) / 2
        found = store.between(_AGES_AGO, middle, limit=1)
        if found:
            first = found[0].start
        else:
            low = middle if (first - middle).total_seconds() > 1.0 else first
    return first
