"""Where settings come from: the site file, secrets in files, the environment; later wins."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_settings import (
    EnvSettingsSource,
    NestedSecretsSettingsSource,
    SettingsError,
)

from ems.errors import BadInput, Fault
from ems.settings.schema import DERS, Settings

PREFIX = "GEEMS_"
SECRETS_DIR = "GEEMS_SECRETS_DIR"
"""Names a directory of files `GEEMS_SECTION__KEY`, each holding one value."""

Location = tuple[str | int, ...]
"""Keys and indices that lead to one value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """All layers laid over each other."""

    values: Mapping[str, Any]
    origins: Mapping[Location, str]
    """Where a value that is not the file's came from."""
    faults: tuple[Fault, ...]
    """What is wrong with the layers themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A value laid over all layers."""

    location: Location
    value: Any
    origin: str
    """Where it came from, as faults name it."""


class _Environment(EnvSettingsSource):
    """The environment as an argument, so that a test needs no other process."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {key.lower(): value for key, value in self._environ.items()}


def merged(path: Path, environ: Mapping[str, str], overrides: Sequence[Override] = ()) -> Merged:
    """Read the site file and lay secrets, the environment and last the overrides over it.

    Raises:
        BadInput: No file, or no TOML.
    """
    values = read_toml(path)
    faults: list[Fault] = []
    origins: dict[Location, str] = {}
    layers = {"secret": _secrets(environ, faults), "environment": _variables(environ, faults)}
    for where, layer in layers.items():
        for location, value in _leaves(layer):
            _put(values, location, value)
            name = PREFIX + "__".join(str(key) for key in location).upper()
            origins[location] = f"{where} {name}"
    for one in overrides:
        _put(values, one.location, one.value)
        origins[one.location] = one.origin
    return Merged(values=values, origins=origins, faults=tuple(faults))


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        BadInput: It cannot be read, or is no TOML; names line and column.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput.at(
            path.name,
            f"no such file in {path.absolute().parent}; `geems init` writes one to start from",
        ) from None
    except OSError as fault:
        raise BadInput.at(path.name, f"cannot be read: {fault.strerror}") from None
    except UnicodeDecodeError as fault:
        raise BadInput.at(path.name, f"is not UTF-8 text (byte {fault.start})") from None
    except tomllib.TOMLDecodeError as fault:
        found = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", str(fault), re.DOTALL)
        if found is None:
            raise BadInput.at(path.name, f"is not TOML: {fault}") from None
        what, line, column = found.groups()
        raise BadInput.at(f"{path.name}: line {line}, column {column}", f"{what}") from None


def _variables(environ: Mapping[str, str], faults: list[Fault]) -> dict[str, Any]:
    mine = {
        key: value
        for key, value in environ.items()
        if key.upper().startswith(PREFIX) and key.upper() != SECRETS_DIR
    }
    strangers = [key for key in mine if not _names_a_setting(key)]
    for key in strangers:
        problem = (
            "names no setting; write GEEMS_SECTION__KEY, for example GEEMS_WEB__PORT "
            "([[pv]], [[bes]] and [[dg]] are set in the file)"
        )
        faults.append(Fault(place=f"environment {key}", problem=problem))
        del mine[key]
    try:
        return _Environment(mine)()
    except SettingsError as fault:
        faults.append(Fault(place="environment", problem=str(fault)))
        return {}


def _names_a_setting(variable: str) -> bool:
    section, _, key = variable[len(PREFIX) :].lower().partition("__")
    return bool(key) and section in Settings.model_fields and section not in DERS


def _secrets(environ: Mapping[str, str], faults: list[Fault]) -> dict[str, Any]:
    directory = environ.get(SECRETS_DIR)
    if not directory:
        return {}
    try:
        source = NestedSecretsSettingsSource(
            Settings,  # type: ignore[arg-type]  # documented: a settings class is accepted
            secrets_dir=directory,
            secrets_dir_missing="error",
        )
        return source()
    except (SettingsError, OSError) as fault:
        faults.append(Fault(place=f"environment {SECRETS_DIR}", problem=str(fault)))
        return {}


def _leaves(table: Mapping[str, Any], above: Location = ()) -> list[tuple[Location, Any]]:
    found: list[tuple[Location, Any]] = []
    for key, value in table.items():
        here = (*above, key)
        if isinstance(value, Mapping):
            found += _leaves(value, here)
        else:
            found.append((here, value))
    return found


def _put(values: dict[str, Any], location: Location, value: Any) -> None:
    table: Any = values
    for key in location[:-1]:
        if isinstance(key, int):
            table = table[key]
            continue
        inner = table.get(key)
        if not isinstance(inner, dict | list):
            inner = {}
            table[key] = inner
        table = inner
    table[location[-1]] = value
