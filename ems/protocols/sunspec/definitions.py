"""Model definitions: which point lies where, computed from pysunspec2's files.

A group that repeats takes as many places as the device says: `model(705, {"Crv": 2, "Pt": 4})`.
Points of repeating groups are named with the number of their place, from 1 on:
`Crv[1].Pt[2].V`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

HEADER = 2
"""Registers of a model's identifier and length, which its length does not count."""
LARGEST_MODEL = 0xFFFF + HEADER
"""Registers of the largest model: its length is one register."""
_SIGNED = frozenset({"int16", "int32", "int64", "sunssf"})
_ZERO_IS_ABSENT = frozenset({"acc16", "acc32", "acc64", "ipaddr", "ipv6addr", "string", "pad"})
_NOT_COUNTED = 0xFFFF
"""A count that is not implemented."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point of a model."""

    name: str
    """Name in the definition; points of a group read `PFWInj.PF`, `Crv[1].Pt[2].V`."""
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
    end: int = field(init=False)
    """Offset of the first register behind the point."""
    signed: bool = field(init=False)
    """Whether its registers hold a two's complement."""
    absent: int = field(init=False)
    """The value that says that the point is not there, as an unsigned integer.

    SunSpec Device Information Model Specification 1.1, section on point types.
    """

    def __post_init__(self) -> None:
        # Worked out once: a fleet of a thousand asks a hundred thousand times a poll.
        bits = 16 * self.size
        signed = self.type in _SIGNED
        highest = 0 if self.type in _ZERO_IS_ABSENT else (1 << bits) - 1
        absent = 1 << (bits - 1) if signed else highest
        object.__setattr__(self, "end", self.offset + self.size)
        object.__setattr__(self, "signed", signed)
        object.__setattr__(self, "absent", absent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One information model, its groups repeated as often as was asked."""

    id: int
    name: str
    points: Mapping[str, Point]
    """By name, in register order."""
    length: int
    """Registers in all, identifier and length included."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How often each repeating group stands, by the name of the group."""
    counters: Mapping[str, int] = field(default_factory=dict)
    """What the points that count its groups hold, by the name of the point."""


def model(model_id: int, counts: Mapping[str, int] | None = None) -> Model:
    """The definition of one model.

    Args:
        model_id: SunSpec number.
        counts: how often each repeating group stands, by the name of the group, for example
            `{"Crv": 3, "Pt": 4}`; a group that is not named stands nowhere.

    Raises:
        KeyError: no such model, or no such group.
        ValueError: a count is negative, two groups that share a counter have different ones,
            or the registers would not fit a model.
    """
    return _model(model_id, tuple(sorted(counts.items())) if counts else ())


def counts_of(model_id: int, registers: Sequence[int]) -> Mapping[str, int]:
    """How often each repeating group of a model stands in these registers.

    Args:
        model_id: SunSpec number.
        registers: from the model's identifier on, its fixed part at least.

    Raises:
        KeyError: no such model.
        ValueError: the registers end before the counts, or the length belies them.
    """
    repeating = dict(_repeating(_group(model_id)))
    fixed = model(model_id)
    if not repeating:
        return {}
    if len(registers) < fixed.length:
        raise ValueError(f"model {model_id}: {len(registers)} registers do not hold its counts")
    length = registers[1] + HEADER
    counts: dict[str, int] = {}
    for name, counter in repeating.items():
        if counter is None:  # older models do not count, they end
            each = model(model_id, {name: 1}).length - fixed.length
            counts[name], rest = divmod(length - fixed.length, each)
            if rest or counts[name] < 0:
                raise ValueError(f"model {model_id}: a length of {registers[1]} fits no {name}")
        else:
            found = registers[fixed.points[counter].offset]
            counts[name] = 0 if found == _NOT_COUNTED else found
    if model(model_id, counts).length != length:
        raise ValueError(
            f"model {model_id}: its counts {counts} ask for a length of "
            f"{model(model_id, counts).length - HEADER}, it says {registers[1]}"
        )
    return counts


# A chain has a dozen models; a fleet, each model with a few layouts.
@lru_cache(maxsize=512)
def _model(model_id: int, counts: tuple[tuple[str, int], ...]) -> Model:
    group = _group(model_id)
    asked = dict(counts)
    repeating = dict(_repeating(group))
    for name, count in asked.items():
        if name not in repeating:
            raise KeyError(f"model {model_id} has no repeating group {name}")
        if count < 0:
            raise ValueError(f"model {model_id}: {name} cannot stand {count} times")
    full = {name: asked.get(name, 0) for name in repeating}
    counters: dict[str, int] = {}
    for name, counter in repeating.items():
        if counter is not None and counters.setdefault(counter, full[name]) != full[name]:
            raise ValueError(f"model {model_id}: {counter} counts {name} and another group")
    if _size(group, full) > LARGEST_MODEL:
        raise ValueError(f"model {model_id}: {full} does not fit a model")
    points = {p.name: p for p in _points(group, full, prefix="", start=0)}
    return Model(
        id=model_id,
        name=group["name"],
        points=MappingProxyType(points),
        length=max(p.end for p in points.values()),
        counts=MappingProxyType(full),
        counters=MappingProxyType(counters),
    )


@lru_cache
def _group(model_id: int) -> Mapping[str, Any]:
    source = files("sunspec2") / "models" / "json" / f"model_{model_id}.json"
    if not source.is_file():
        raise KeyError(f"no SunSpec model {model_id}")
    group: Mapping[str, Any] = json.loads(source.read_text(encoding="utf-8"))["group"]
    return group


def _repeating(group: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Groups inside that repeat, and the point that counts each; None: the length does."""
    for inner in group.get("groups", ()):
        count = inner.get("count", 1)
        if not str(count).isdigit():
            yield inner["name"], str(count)
        elif int(count) == 0:
            yield inner["name"], None
        yield from _repeating(inner)


def _times(group: Mapping[str, Any], counts: Mapping[str, int]) -> int:
    """How often a group stands inside the one around it."""
    return counts[group["name"]] if _repeats(group) else 1


def _repeats(group: Mapping[str, Any]) -> bool:
    return str(group.get("count", 1)) != "1"


def _size(group: Mapping[str, Any], counts: Mapping[str, int]) -> int:
    """Registers of a group."""
    own = sum(int(p["size"]) for p in group.get("points", ()))
    return own + sum(_times(g, counts) * _size(g, counts) for g in group.get("groups", ()))


def _points(
    group: Mapping[str, Any], counts: Mapping[str, int], prefix: str, start: int
) -> Iterator[Point]:
    """All points of a group and of the groups inside, in register order."""
    offset = start
    near = {entry["name"] for entry in group.get("points", ())}
    for entry in group.get("points", ()):
        sf = entry.get("sf")
        yield Point(
            name=prefix + entry["name"],
            offset=offset,
            size=int(entry["size"]),
            type=entry["type"],
            sf=prefix + sf if sf in near else sf,
            writable=entry.get("access", "R") == "RW",
            symbols={s["name"]: int(s["value"]) for s in entry.get("symbols", ())},
        )
        offset += int(entry["size"])
    for inner in group.get("groups", ()):
        size = _size(inner, counts)
        for i in range(_times(inner, counts)):
            place = f"[{i + 1}]" if _repeats(inner) else ""
            yield from _points(inner, counts, f"{prefix}{inner['name']}{place}.", offset)
            offset += size
