"""The site file: read, checked, and turned into the vocabulary of the stages."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ems.errors import BadInput, Fault
from ems.settings.faults import key_faults, place
from ems.settings.hosts import is_loopback
from ems.settings.rules import Sound, findings
from ems.settings.schema import DERS, Settings, feeder_source, is_path
from ems.settings.sources import Location, Override, merged

__all__ = [
    "TEMPLATE",
    "Checked",
    "Override",
    "Settings",
    "check",
    "is_loopback",
    "is_path",
    "load_settings",
]

TEMPLATE = Path(__file__).with_name("site.toml")
"""The commented site file that `geems init` writes: the reference feeder `segment13`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A site file after every check that needs no feeder."""

    settings: Settings | None
    """None where anything is wrong."""
    faults: tuple[Fault, ...]
    feeder_source: str | None
    """The feeder named, where that much is right."""
    store: tuple[str, Path] | None
    """Place of its key and the database file, where that much is right."""
    buses: Mapping[str, str]
    """Bus by place of its key (`site.toml: pv[0].bus`), where that much is right."""


def check(
    path: Path,
    environ: Mapping[str, str] | None = None,
    overrides: Sequence[Override] = (),
) -> Checked:
    """Check a site file, with secrets, the environment and overrides laid over it.

    Raises:
        BadInput: There is no such file, or it is no TOML.
    """
    layers = merged(path, os.environ if environ is None else environ, overrides)
    faults = list(layers.faults)
    bad: set[Location] = set()
    settings = None
    try:
        settings = Settings(**layers.values)
    except ValidationError as error:
        found, bad = key_faults(error, path.name, layers.origins)
        faults += found
    sound = Sound(layers.values, bad)
    faults += [
        Fault(place=place(location, path.name, layers.origins), problem=problem)
        for location, problem in findings(sound)
    ]
    if settings is not None:
        settings._file = path.absolute()  # noqa: SLF001 - a private attribute of our own model
    source = sound.get("feeder", "source")
    where = sound.get("store", "path")
    return Checked(
        settings=None if faults else settings,
        faults=tuple(faults),
        feeder_source=source and feeder_source(source, path.absolute().parent),
        store=where
        and (place(("store", "path"), path.name, layers.origins), path.absolute().parent / where),
        buses={
            place((*at, "bus"), path.name, {}): bus
            for array in DERS
            for at in sound.tables(array)
            if (bus := sound.get(*at, "bus")) is not None
        },
    )


def load_settings(
    path: Path,
    environ: Mapping[str, str] | None = None,
    overrides: Sequence[Override] = (),
) -> Settings:
    """Read a site file, with secrets from files and `GEEMS_SECTION__KEY` laid over it.

    Args:
        path: The TOML file.
        environ: Environment variables; None takes the process's.
        overrides: Values laid over all that.

    Raises:
        BadInput: Anything is wrong; holds every fault that can be told from the file alone.
            Whether the feeder compiles and has the buses is for the feeder to say.
    """
    checked = check(path, environ, overrides)
    if checked.settings is None:
        raise BadInput(checked.faults)
    return checked.settings
