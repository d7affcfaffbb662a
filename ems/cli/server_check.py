"""All that can be wrong with the file of an IEEE 2030.5 server that stands alone."""

import os
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ems.errors import BadInput, Fault
from ems.settings.ieee2030_5 import Ieee20305Table
from ems.settings.ieee2030_5.file import load_server
from ems.settings.sources import merged, read_toml

_TABLES = frozenset({"ieee2030_5", "store"})
_FILES = ("cert_file", "key_file", "ca_file", "admin_token_file")
"""Keys of the server and its devices that name files."""


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
    except BadInput as error:
        return [*error.faults, *_unread(path, {fault.place for fault in error.faults})], []
    try:
        named = checked(file)
    except BadInput as error:
        return list(error.faults), []
    return [], [*named.notes, *_ended(file.table, datetime.now(UTC))]


def _unread(path: Path, told: Collection[str]) -> Iterator[Fault]:
    """Files that a table names and that cannot be read, where other keys of it are wrong.

    Args:
        path: of the file that holds the table.
        told: places of faults that are known.
    """
    try:
        table = merged(path, os.environ).values.get("ieee2030_5")
    except BadInput:
        return
    tables = {"ieee2030_5": table}
    devices = table.get("device") if isinstance(table, Mapping) else None
    for i, device in enumerate(devices if isinstance(devices, list) else ()):
        tables[f"ieee2030_5.device[{i}]"] = device
    for at, found in tables.items():
        if not isinstance(found, Mapping):
            continue
        for key in _FILES:
            place, name = f"{path.name}: {at}.{key}", found.get(key)
            if place in told or not isinstance(name, str) or not name:
                continue
            file = path.absolute().parent / name
            try:
                file.read_bytes()
            except OSError as fault:
                yield Fault(place=place, problem=f"{file} cannot be read: {fault.strerror}")


def _ended(table: Ieee20305Table, now: datetime) -> Iterator[str]:
    for program in table.program:
        for i, event in enumerate(program.control):
            if event.start is not None and event.start + timedelta(0, event.duration_s) <= now:
                yield f"program {program.name}: control[{i}] has ended and is not published"
