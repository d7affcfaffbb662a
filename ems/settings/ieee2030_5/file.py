"""A server's CONFIG: a file of its own, or a whole site file."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ems.errors import BadInput
from ems.settings import Settings, load_settings
from ems.settings.base import Table
from ems.settings.faults import key_faults
from ems.settings.ieee2030_5.server import Ieee20305Table
from ems.settings.sources import merged, read_toml
from ems.settings.tables import StoreTable


class _File(Table):
    """A file that holds the server alone."""

    ieee2030_5: Ieee20305Table
    """The server, its devices, programs and curves."""
    store: StoreTable = StoreTable()
    """Where its state is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFile:
    """A server as its file has it."""

    table: Ieee20305Table
    file: Path
    """Absolute path of the file."""
    store: Path
    """The SQLite file."""

    def beside(self, path: str) -> Path:
        """A file named in the file."""
        return self.file.parent / path


def load_server(path: Path, environ: Mapping[str, str] | None = None) -> ServerFile:
    """Read a server's file, or the server of a site file.

    Secrets and the environment lie over it as over any site file (`GEEMS_IEEE2030_5__PORT`).

    Raises:
        BadInput: all faults at once.
    """
    environ = os.environ if environ is None else environ
    if "site" in read_toml(path):
        of_site = server_of(load_settings(path, environ))
        if of_site is None:
            problem = "holds no [ieee2030_5] table; docs/ieee2030_5.md has one to start from"
            raise BadInput.at(path.name, problem)
        return of_site
    layers = merged(path, environ)
    faults = list(layers.faults)
    overlaid = {at[0] for at in layers.origins} - _File.model_fields.keys()
    values = {key: value for key, value in layers.values.items() if key not in overlaid}
    try:
        read = _File.model_validate(values)
    except ValidationError as error:
        raise BadInput([*faults, *key_faults(error, path.name, layers.origins, _File)[0]]) from None
    if faults:
        raise BadInput(faults)
    file = path.absolute()
    return ServerFile(table=read.ieee2030_5, file=file, store=file.parent / read.store.path)


def server_of(settings: Settings) -> ServerFile | None:
    """The server of a site; None where it has none."""
    if settings.ieee2030_5 is None:
        return None
    return ServerFile(table=settings.ieee2030_5, file=settings.file, store=settings.store_path())
