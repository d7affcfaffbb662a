"""Tables in the making, each value with the place it comes from; and their TOML."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from ems.derms.gridappsd.reading import Path, Told
from ems.settings.ieee2030_5 import DISPATCH

_LONGEST = 31
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


class Made(dict[str, Any]):
    """One table of ours. `at` is where it comes from, `sources` where each of its values does."""

    def __init__(self, at: Path) -> None:
        super().__init__()
        self.at = at
        self.sources: dict[str, Path] = {}

    def put(self, key: str, value: Any, at: Path | None = None) -> None:
        """Set a value, unless there is none."""
        if value is not None:
            self[key] = value
            self.sources[key] = self.at if at is None else at

    def source(self, key: str) -> Path:
        """Where a value comes from."""
        return self.sources.get(key, self.at)


class Names:
    """Names of ours for the names of theirs, which may hold blanks and be of any length."""

    def __init__(self, first: str) -> None:
        self._first = first
        self._of: dict[str, str] = {}

    def add(self, theirs: str, at: Path, told: Told) -> str:
        """A name of ours, told of where it reads differently."""
        plain = re.sub(r"[^A-Za-z0-9_-]+", "-", theirs).strip("-_")
        if not plain[:1].isalpha() or plain.startswith(DISPATCH):
            plain = f"{self._first}-{plain}".rstrip("-")
        ours, n = plain[:_LONGEST].rstrip("-"), 1
        while ours in self._of.values():
            n += 1
            ours = f"{plain[: _LONGEST - len(str(n)) - 1]}-{n}"
        self._of.setdefault(theirs, ours)
        if ours != theirs:
            told.changed(at, f'"{theirs}" is called "{ours}" here')
        return ours

    def __contains__(self, theirs: str) -> bool:
        return theirs in self._of

    def get(self, theirs: str) -> str | None:
        """The name of ours; None where there is none."""
        return self._of.get(theirs)

    def __iter__(self) -> Iterator[str]:
        return iter(self._of)


def toml(document: Mapping[str, Any]) -> str:
    """A document of tables, lists of tables and plain values, as TOML."""
    return "\n".join(_lines(document, ())).strip() + "\n"


def _lines(table: Mapping[str, Any], at: tuple[str, ...]) -> Iterator[str]:
    below = {key: value for key, value in table.items() if _is_below(value)}
    for key, value in table.items():
        if key not in below:
            yield f"{key} = {_value(value)}"
    for key, value in below.items():
        name = ".".join((*at, key))
        for each in value if isinstance(value, list) else [value]:
            yield ""
            yield f"[[{name}]]" if isinstance(value, list) else f"[{name}]"
            yield from _lines(each, (*at, key))


def _is_below(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(each, Mapping) for each in value)
    return isinstance(value, Mapping)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, list):
        return f"[{', '.join(_value(each) for each in value)}]"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for DEL, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, float):
        return repr(round(value, 9))
    return str(value)
