"""All that can be wrong with the file of an IEEE 2030.5 server that stands alone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ems.errors import BadInput, Fault
from ems.settings.ieee2030_5 import Ieee20305Table
from ems.settings.ieee2030_5.file import load_server
from ems.settings.sources import read_toml

_TABLES = frozenset({"ieee2030_5", "store"})


def is_server_file(path: Path) -> bool:
    """Whether a file holds a server, and no site."""
    try:
        keys = read_toml(path).keys()
    except BadInput:
        return False  # whoever reads it as a site tells why
    return "ieee2030_5" in keys and keys <= _TABLES


def server_faults(path: Path) -> tuple[list[Fault], list[str]]:
    """What is wrong with such a file, and what is good to know of a sound one."""
    from ems.derms.assembled import checked

    try:
        file = load_server(path)
        named = checked(file)
    except BadInput as error:
        return list(error.faults), []
    return [], [*named.notes, *_ended(file.table, datetime.now(UTC))]


def _ended(table: Ieee20305Table, now: datetime) -> Iterator[str]:
    for program in table.program:
        for i, event in enumerate(program.control):
            if event.start is not None and event.start + timedelta(0, event.duration_s) <= now:
                yield f"program {program.name}: control[{i}] has ended and is not published"
