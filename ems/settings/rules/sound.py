"""The values of a site file that rules may look at."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from ems.settings.schema import DERS, Settings, model_of
from ems.settings.sources import Location

Finding = tuple[Location, str]
"""Where, and what is wrong."""


class Sound:
    """The values of a site file in which nothing was found wrong, defaults filled in."""

    def __init__(self, values: Mapping[str, Any], bad: set[Location]) -> None:
        """Take the merged tables, as read, but for the locations already found wrong."""
        self._values: dict[Location, Any] = {}
        self._bad = bad
        self._take((), values, Settings)

    def get(self, *location: str | int) -> Any:
        """The value at a location, or None where it is missing or wrong."""
        return self._values.get(location)

    def whole(self, *location: str | int) -> Any:
        """The table at a location, as read, or None where anything in it is wrong."""
        broken = any(at[: len(location)] == location for at in self._bad)
        return None if broken else self._values.get(location)

    def tables(self, name: str) -> Iterator[Location]:
        """Locations of a table: one, or one for each of an array of tables."""
        if name in DERS:
            for i in range(len(self._values.get((name,), ()))):
                yield (name, i)
        else:
            yield (name,)

    def _take(self, above: Location, table: Mapping[str, Any], model: type[BaseModel]) -> None:
        for key, field in model.model_fields.items():
            here = (*above, key)
            if here in self._bad:
                continue
            inner = model_of(field.annotation)
            value = table.get(key)
            if value is None:
                value = {} if inner is not None and key not in DERS else field.get_default()
            self._values[here] = value
            if inner is None:
                continue
            if isinstance(value, Mapping):
                self._take(here, value, inner)
            else:
                for i, item in enumerate(value):
                    if isinstance(item, Mapping):
                        self._take((*here, i), item, inner)


def text_of(location: Location) -> str:
    """A location as people write it."""
    return "".join(f"[{p}]" if isinstance(p, int) else str(p) for p in location)
