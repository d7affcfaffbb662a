"""Model definitions: which point lies where, computed from pysunspec2's files."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

HEADER = 2
"""Registers of a model's identifier and length, which its length does not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point of a model."""

    name: str
    """Name in the definition; points of a group read `PFWInj.PF`."""
    offset: int
    """Registers from the model's identifier to the point."""
    size: int
    """Registers it takes."""
    type: str
    """SunSpec type, for example `int16`."""
    sf: str | int | None
    """Point that holds its scale factor, or the scale factor itself."""
    writable: bool
    symbols: Mapping[str, int]
    """Names of the values of an enumeration."""

    @property
    def end(self) -> int:
        """Offset of the first register behind the point."""
        return self.offset + self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One information model without repeating groups."""

    id: int
    name: str
    points: Mapping[str, Point]
    """By name, in register order."""
    length: int
    """Registers in all, identifier and length included."""


@lru_cache
def model(model_id: int) -> Model:
    """The definition of one model.

    Raises:
        KeyError: no such model, or one with repeating groups.
    """
    source = files("sunspec2") / "models" / "json" / f"model_{model_id}.json"
    if not source.is_file():
        raise KeyError(f"no SunSpec model {model_id}")
    group = json.loads(source.read_text(encoding="utf-8"))["group"]
    points = {p.name: p for p in _points(group, prefix="", start=0)}
    return Model(
        id=model_id,
        name=group["name"],
        points=points,
        length=max(p.end for p in points.values()),
    )


def _points(group: Mapping[str, Any], prefix: str, start: int) -> Iterator[Point]:
    """All points of a group and of the groups inside, in register order."""
    offset = start
    for entry in group.get("points", ()):
        yield Point(
            name=prefix + entry["name"],
            offset=offset,
            size=int(entry["size"]),
            type=entry["type"],
            sf=entry.get("sf"),
            writable=entry.get("access", "R") == "RW",
            symbols={s["name"]: int(s["value"]) for s in entry.get("symbols", ())},
        )
        offset += int(entry["size"])
    for inner in group.get("groups", ()):
        if inner.get("count", 1) != 1:
            raise KeyError(f"{prefix}{inner['name']} repeats; only fixed models are read here")
        for point in _points(inner, prefix=f"{prefix}{inner['name']}.", start=offset):
            yield point
            offset = point.end
