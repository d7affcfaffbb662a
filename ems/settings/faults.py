"""What pydantic found wrong, said so that the reader of a site file can mend it."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ems.errors import Fault
from ems.settings.schema import Settings, model_of
from ems.settings.sources import Location

# Endings by which a key says its unit, and what is said when another one was meant.
_UNITS = {
    "kw": "powers are in kW",
    "kvar": "reactive powers are in kvar",
    "kwh": "energies are in kWh",
    "pu": "voltages are per unit",
    "pct": "percentages are written _pct, 0 to 100",
    "s": "times are in seconds",
    "deg": "angles are in degrees",
    "kw_per_h": "ramps are in kW/h",
    "usd_per_kwh": "prices are in $/kWh",
    "usd_per_kvarh": "prices of reactive energy are in $/kvarh",
}
_WRONG_UNITS = (
    *("w", "mw", "gw", "kva", "mva", "va", "var", "mvar", "wh", "mwh", "ah", "kvah"),
    *("v", "kv", "volt", "volts", "percent", "fraction", "ms", "min", "mins", "minutes", "h"),
    *("hours", "sec", "secs", "seconds", "rad", "degrees", "kw_per_min", "kw_per_s", "mw_per_h"),
    *("usd_per_mwh", "eur_per_kwh", "usd", "cents_per_kwh"),
)
_KINDS = {
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "string_type": 'text in "quotes"',
    "bool_type": "true or false",
    "model_type": "a table",
    "dict_type": "a table",
    "list_type": "a list",
}
_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}


def key_faults(
    error: ValidationError,
    file: str,
    origins: Mapping[Location, str],
    form: type[BaseModel] = Settings,
) -> tuple[list[Fault], set[Location]]:
    """Say each of pydantic's findings, and where it lies.

    Args:
        error: What pydantic raised for the whole file.
        file: Name of the site file.
        origins: Where values that are not the file's came from.
        form: What the file was read as.

    Returns:
        The faults, and the locations that no further check may trust.
    """
    details = error.errors(include_url=False)
    mended: set[Location] = {
        (*detail["loc"][:-1], near)
        for detail in details
        if detail["type"] == "extra_forbidden"
        and (near := nearest_key(str(detail["loc"][-1]), _keys_at(detail["loc"][:-1], form)))
        is not None
        and not _beside(detail["loc"], form)
    }
    faults = []
    bad = set(mended)
    for detail in details:
        location = detail["loc"]
        bad.add(location)
        if detail["type"] == "missing" and location in mended:
            continue  # the misspelt key is already named, with this one as its mend
        faults.append(Fault(place=place(location, file, origins), problem=_problem(detail, form)))
    return faults, bad


def place(location: Location, file: str, origins: Mapping[Location, str]) -> str:
    """File and key, as `site.toml: pv[0].rated_kw`, or the variable that overrode it."""
    if location in origins:
        return origins[location]
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return f"{file}: {text}" if text else file


def nearest_key(key: str, known: Iterable[str]) -> str | None:
    """The known key that was most likely meant, or None."""
    known = list(known)
    by_case = {name.lower(): name for name in known}
    if key.lower() in by_case:
        return by_case[key.lower()]
    if (same_stem := _other_unit(key, known)) is not None:
        return same_stem
    close = difflib.get_close_matches(key.lower(), known, n=1, cutoff=0.6)
    return close[0] if close else None


def unknown_key(key: str, known: Iterable[str]) -> str:
    """What is said of a key that is not known."""
    known = list(known)
    near = nearest_key(key, known)
    if near is None:
        return f"unknown key; known: {', '.join(known)}"
    if key.lower() != near and near == _other_unit(key, known):
        return f"unknown key; {_UNITS[_unit_of(near) or '']}: {near}"
    return f"unknown key; did you mean {near}?"


def _unit_of(key: str) -> str | None:
    ends = [unit for unit in _UNITS if key.endswith(f"_{unit}")]
    return max(ends, key=len, default=None)


def _other_unit(key: str, known: Iterable[str]) -> str | None:
    """A known key of the same stem and another unit."""
    stems = {
        key.lower().removesuffix(f"_{unit}")
        for unit in (*_WRONG_UNITS, *_UNITS)
        if key.lower().endswith(f"_{unit}")
    }
    for name in known:
        unit = _unit_of(name)
        if unit is not None and name.removesuffix(f"_{unit}") in stems:
            return name
    return None


def _keys_at(location: Location, form: type[BaseModel] = Settings) -> list[str]:
    table = _table_at(location, form)
    return list(table.model_fields) if table is not None else []


def _beside(location: Location, form: type[BaseModel]) -> str:
    """What is said of a key that a table around its own has; empty where none has it."""
    *around, name = (key for key in location if isinstance(key, str))
    for depth in range(len(around) - 1, -1, -1):
        if name in _keys_at(tuple(around[:depth]), form):
            return f"unknown key here; it belongs beside {around[depth]}"
    return ""


def _table_at(location: Location, form: type[BaseModel]) -> type[BaseModel] | None:
    """The model of the table at a location."""
    table = form
    for key in location:
        if isinstance(key, int):
            continue
        field = table.model_fields.get(key)
        if field is None:
            return None
        inner = model_of(field.annotation)
        if inner is None:
            return None
        table = inner
    return table


def _problem(detail: ErrorDetails, form: type[BaseModel]) -> str:
    kind, location, value = detail["type"], detail["loc"], detail["input"]
    context: Mapping[str, Any] = detail.get("ctx", {})
    name = str(location[-1]) if location else ""
    if kind == "extra_forbidden":
        return _beside(location, form) or unknown_key(name, _keys_at(location[:-1], form))
    if kind == "missing":
        return f"missing: {_meaning(location, form)}"
    if kind == "list_type" and len(location) == 1:
        return f"write [[{name}]], one table for each, not [{name}]"
    if kind in ("model_type", "dict_type") and len(location) == 1:
        return f"expected a table: write [{name}] above its keys"
    if kind in _KINDS:
        return f"expected {_KINDS[kind]}, got {_shown(value)}"
    if kind in _BOUNDS:
        word, bound = _BOUNDS[kind]
        return f"must be {word} {context[bound]:g}, got {_shown(value)}"
    if kind == "finite_number":
        return f"must be a finite number, got {_shown(value)}"
    if kind == "literal_error":
        return f"expected {context['expected']}, got {_shown(value)}{_alike(value, context)}"
    if kind == "string_pattern_mismatch":
        return f"{_shown(value)} is no name: a letter, then at most 30 letters, digits, _ or -"
    if kind == "value_error":
        return str(context["error"])
    return f"{detail['msg'][0].lower()}{detail['msg'][1:]}, got {_shown(value)}"


def _alike(value: Any, context: Mapping[str, Any]) -> str:
    choices = re.findall(r"'([^']*)'", str(context["expected"]))
    close = difflib.get_close_matches(str(value).lower(), choices, n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


def _meaning(location: Location, form: type[BaseModel]) -> str:
    """What a key is for: the first line of its description."""
    table = _table_at(location[:-1], form)
    field = table.model_fields.get(str(location[-1])) if table is not None else None
    if field is None or not field.description:
        return "this key is needed"
    return field.description.splitlines()[0]


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a table"
    return "a list" if isinstance(value, list) else f"{value}"
