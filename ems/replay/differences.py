"""Where two records of one cycle differ, to the last bit, wall times apart."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from ems.domain import CycleRecord, Setup
from ems.record import setup_to_json, to_json

WALL_TIMES = frozenset({"stage_s", "solve_s", "wall_s"})
"""Fields that no two runs have alike."""
APART = frozenset({"versions"})
"""Told among what it was run on."""
NAMED_BY = {"v_pu": "nodes", "loading_pct": "elements"}
"""Arrays whose places have names, and the field that holds them."""


LONGEST = 60
"""Characters of a value that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One value that is not the same."""

    path: str
    """Where in the record: `secured.dispatch.setpoints.pv.cap_kw`."""
    recorded: Any
    again: Any
    """None on either side may also mean that there is no such field."""

    def __str__(self) -> str:
        return f"{self.path}: recorded {short(self.recorded)}, now {short(self.again)}"


def short(value: Any) -> str:
    """A value that fits into a line."""
    text = "none" if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Two records side by side."""

    values: int
    """How many were compared."""
    differences: tuple[Difference, ...]


def compared(recorded: CycleRecord, again: CycleRecord, apart: Collection[str] = APART) -> Compared:
    """Compare every field but wall times.

    Numbers are the same when all their bits are; the JSON form of a record is exact.

    Args:
        recorded: one.
        again: the other.
        apart: fields of the record that are not compared.
    """
    one, other = json.loads(to_json(recorded)), json.loads(to_json(again))
    for field in apart:
        for document in (one, other):
            document.pop(field, None)
    return _compared(one, other)


def setups_compared(recorded: Setup, today: Setup) -> Compared:
    """Compare what cycles are run with."""
    return _compared(json.loads(setup_to_json(recorded)), json.loads(setup_to_json(today)))


def _compared(one: Any, other: Any) -> Compared:
    pairs = list(_leaves(one, other))
    return Compared(
        values=len(pairs),
        differences=tuple(
            Difference(path=path, recorded=a, again=b) for path, a, b in pairs if not _same(a, b)
        ),
    )


def _same(one: Any, other: Any) -> bool:
    # 0.0 and -0.0 are equal, and not the same.
    return type(one) is type(other) and repr(one) == repr(other)


def _leaves(one: Any, other: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in (*one, *(k for k in other if k not in one)):
            if key not in WALL_TIMES:
                names = one.get(NAMED_BY.get(key, ""))
                yield from _under(one.get(key), other.get(key), _joined(path, key), names)
    else:
        yield from _under(one, other, path, None)


def _under(one: Any, other: Any, path: str, names: Any) -> Iterator[tuple[str, Any, Any]]:
    """What stands under a key; the places of a list by their names, where they have any."""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        own = [item.get("name") for item in one if isinstance(item, dict)]
        names = own if len(own) == len(one) and all(own) else names
        labels = names if isinstance(names, list) and len(names) == len(one) else range(len(one))
        for label, a, b in zip(labels, one, other, strict=True):
            yield from _leaves(a, b, f"{path}[{label}]")
    elif isinstance(one, dict) and isinstance(other, dict):
        yield from _leaves(one, other, path)
    else:
        yield path, one, other


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
