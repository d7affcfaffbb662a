"""Reads YAML so that every value can be told by its place: file, line, key."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import yaml

from ems.errors import BadInput, Fault

Path = tuple[str | int, ...]
"""Keys and indices that lead to a value."""

MOST_NODES = 300_000
"""More values than a configuration of 5000 devices has; references to references end there."""

LARGEST = 1e15
"""Beyond every quantity, time and identifier of the standard; below it floats are exact."""
_LONGEST_TOLD = 400
"""What stands in a finding of ours, and a value of tolerable length."""


class Kind(StrEnum):
    """What became of a value that is not simply taken over."""

    CHANGED = "changed"
    """It is there, and not quite as it was."""
    LEFT_OUT = "left out"
    """It is not there: unknown, invalid, or without a counterpart."""
    NEEDLESS = "not needed"
    """It is not there, and nothing is lost by that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What became of one value, and how to mend it."""

    kind: Kind
    line: int
    place: str
    """File, line and key, for example `config.yml:12: devices[0].pin`."""
    problem: str
    """Why, and what to do."""

    def __str__(self) -> str:
        return f"{self.place}: {self.kind}: {self.problem}"


class Told:
    """The findings on one file."""

    def __init__(self, file: str, lines: Mapping[Path, int]) -> None:
        self._file, self._lines = file, lines
        self.findings: list[Finding] = []

    def changed(self, at: Path, problem: str) -> None:
        """Tell of a value that is there, and not quite as it was."""
        self._add(Kind.CHANGED, at, problem)

    def left_out(self, at: Path, problem: str) -> None:
        """Tell of a value that is not there."""
        self._add(Kind.LEFT_OUT, at, problem)

    def needless(self, at: Path, problem: str) -> None:
        """Tell of a value that is not there, whereby nothing is lost."""
        self._add(Kind.NEEDLESS, at, problem)

    def _add(self, kind: Kind, at: Path, problem: str) -> None:
        line = next(self._lines[at[:n]] for n in range(len(at), -1, -1) if at[:n] in self._lines)
        place, problem = _printable(f"{self._file}:{line}: {key_of(at)}"), _printable(problem)
        self.findings.append(Finding(kind=kind, line=line, place=place, problem=problem))


class Section:
    """A mapping of the file, read key by key; what nobody asked for is told in the end."""

    def __init__(self, values: Mapping[str, Any], at: Path, told: Told) -> None:
        self.values, self.at, self.told = values, at, told
        self._asked: set[str] = set()

    def take(self, *keys: str) -> Any:
        """The value under the first of these names that has one; None where none has."""
        self._asked.update(keys)
        found = [key for key in keys if self.values.get(key) is not None]
        for key in found[1:]:
            if self.values[key] != self.values[found[0]]:
                self.told.left_out((*self.at, key), f"says other than {found[0]}, which is taken")
        return self.values[found[0]] if found else None

    def where(self, *keys: str) -> Path:
        """The place of what `take` gives."""
        return (*self.at, next((k for k in keys if self.values.get(k) is not None), keys[0]))

    def number(self, *keys: str) -> float | None:
        """A number, also one with a power of ten: `{multiplier, value}`."""
        value = self.take(*keys)
        if isinstance(value, Mapping) and set(value) <= {"multiplier", "value", "href"}:
            try:
                return float(value["value"]) * 10.0 ** int(value.get("multiplier") or 0)
            except (KeyError, TypeError, ValueError, OverflowError):
                value = dict(value)
        found = self._kind(value, (int, float), "a number", *keys)
        if found is not None and not abs(found) < LARGEST:
            self.told.left_out(self.where(*keys), f"{found} is out of all bounds")
            return None
        return None if found is None else float(found)

    def text(self, *keys: str) -> str | None:
        """A text; a number is taken by its digits."""
        value = self.take(*keys)
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        found = self._kind(value, str, "a text", *keys)
        return None if found is None else str(found)

    def truth(self, *keys: str) -> bool | None:
        """True or false."""
        found = self._kind(self.take(*keys), bool, "true or false", *keys)
        return None if found is None else bool(found)

    def sections(self, key: str) -> "Iterator[Section]":
        """The mappings of a list."""
        value = self._kind(self.take(key), list, "a list", key)
        for i, each in enumerate(value or ()):
            if isinstance(each, Mapping):
                yield Section(each, (*self.at, key, i), self.told)
            elif each is not None:
                self.told.left_out((*self.at, key, i), f"{each!r} is no table of keys and values")

    def section(self, *keys: str) -> "Section | None":
        """A mapping in this one."""
        value = self._kind(self.take(*keys), dict, "a table of keys and values", *keys)
        return None if value is None else Section(value, self.where(*keys), self.told)

    def names(self, key: str) -> Iterator[tuple[Path, str]]:
        """Names of a list, whether bare or as `description`; and where each stands."""
        value = self.take(key)
        listed = value if isinstance(value, list) else [] if value is None else [value]
        for i, each in enumerate(listed):
            at = (*self.at, key, i) if isinstance(value, list) else (*self.at, key)
            if isinstance(each, Mapping):
                within = Section(each, at, self.told)
                each = within.take("description")  # noqa: PLW2901 - the name meant by it
                within.tell_the_rest()
            if isinstance(each, str):
                yield at, each
            else:
                self.told.left_out(at, f"{each!r} is no name")

    def tell_the_rest(self, why: str = "unknown key", also: Iterable[str] = ()) -> None:
        """Tell of every key with a value that nobody asked for."""
        known = {*self._asked, *also}
        for key, value in self.values.items():
            if key in self._asked or value is None:
                continue
            near = difflib.get_close_matches(str(key), sorted(known), n=1, cutoff=0.8)
            hint = f"; did you mean {near[0]}?" if near else ""
            self.told.left_out((*self.at, key), f"{why}{hint}")

    def _kind(self, value: Any, kinds: Any, called: str, *keys: str) -> Any:
        wrong = isinstance(value, bool) and kinds is not bool
        if value is None or (isinstance(value, kinds) and not wrong):
            return value
        self.told.left_out(self.where(*keys), f"expected {called}, got {value!r}")
        return None


def read(text: str, file: str) -> Section:
    """The file's values, told by their places.

    Raises BadInput where it is no YAML, no mapping, or names a key twice.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except RecursionError:
        raise BadInput.at(file, "nests too deep") from None
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        place = file if mark is None else f"{file}:{mark.line + 1}"
        raise BadInput.at(place, f"no YAML: {getattr(fault, 'problem', fault)}") from None
    if not isinstance(root, yaml.MappingNode):
        raise BadInput.at(file, "holds no keys; a configuration of that server has `server` …")
    lines: dict[Path, int] = {}
    faults: list[Fault] = []
    try:
        _walk(root, (), lines, faults, file)
    except RecursionError:
        raise BadInput.at(file, "nests too deep, or a value holds itself") from None
    if faults:
        raise BadInput(faults)
    try:
        values = yaml.constructor.SafeConstructor().construct_document(root)
    except (yaml.YAMLError, ValueError) as fault:
        raise BadInput.at(file, f"holds a value that cannot be read: {fault}") from None
    return Section(values, (), Told(file, lines))


def _walk(node: Any, at: Path, lines: dict[Path, int], faults: list[Fault], file: str) -> None:
    lines[at] = node.start_mark.line + 1
    if len(lines) > MOST_NODES:
        raise BadInput.at(file, f"has more than {MOST_NODES} values")
    if isinstance(node, yaml.SequenceNode):
        for i, each in enumerate(node.value):
            _walk(each, (*at, i), lines, faults, file)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else str(key.start_mark)
            within = (*at, name)
            if within in lines:
                place = f"{file}:{key.start_mark.line + 1}: {key_of(within)}"
                problem = f"stands twice, first in line {lines[within]}; remove one"
                faults.append(Fault(place=place, problem=problem))
            _walk(value, within, lines, faults, file)
            lines[within] = key.start_mark.line + 1


def _printable(text: str) -> str:
    """One line for a terminal and a comment, whatever the file holds."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return shown if len(shown) <= _LONGEST_TOLD else f"{shown[:_LONGEST_TOLD]}…"


def key_of(at: Path) -> str:
    """A place within the file, as `devices[0].pin`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in at)
    return text.removeprefix(".") or "the file"
