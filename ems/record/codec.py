"""Values of any dataclass as JSON and back, bit by bit, by the types of its fields.

A value of a union of dataclasses carries its class name under `kind`; numbers that JSON has no
sign for stand as the strings `NaN`, `Infinity` and `-Infinity`; times are ISO 8601 in UTC.

- `codec_of(kind) -> Codec`: how values of a type are written and read
- `Misfit`: a value that is not of the kind it should be, and its place
"""

import math
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import numpy as np

from ems.errors import BadInput


class Misfit(ValueError):
    """A value that is not of the kind it should be; collects its place on the way out."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.keys: list[str] = []

    @property
    def place(self) -> str:
        """Keys from the top to the value, by points."""
        return ".".join(reversed(self.keys)) or "top level"


class Codec(NamedTuple):
    """How values of one type are written and read."""

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _encode_float(value: Any) -> float | str:
    number = float(value)
    if math.isfinite(number):
        return number
    if math.isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"


def _decode_float(value: Any) -> float:
    if isinstance(value, str) and value in _NOT_FINITE:
        return _NOT_FINITE[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Misfit(f"{value!r} is not a number")
    return float(value)


def _encode_floats(value: Any) -> list[Any]:
    array = np.asarray(value, dtype=np.float64)
    if np.isfinite(array).all():
        return list(array.tolist())
    return [_encode_floats(x) if x.ndim else _encode_float(x) for x in array]


def _decode_floats(value: Any) -> Any:
    if not isinstance(value, list):
        raise Misfit(f"{value!r} is not a list of numbers")
    rows = [_decode_floats(x) if isinstance(x, list) else _decode_float(x) for x in value]
    return np.asarray(rows, dtype=np.float64)


def _encode_time(value: datetime) -> str:
    if value.tzinfo is None:
        raise BadInput.at("cycle record", f"{value} has no time zone; times are aware and UTC")
    return value.astimezone(UTC).isoformat()


def _decode_time(value: Any) -> datetime:
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise Misfit(f"{value!r} is not an ISO 8601 time") from None
    if time.tzinfo is None:
        raise Misfit(f"{value!r} has no time zone; times are aware and UTC")
    return time.astimezone(UTC)


def _plain(kind: type) -> Codec:
    """Text, truth values and whole numbers, which JSON has as they are."""

    def decode(value: Any) -> Any:
        if type(value) is not kind:
            raise Misfit(f"{value!r} is not of type {kind.__name__}")
        return value

    return Codec(kind, decode)


def _enum(kind: type[StrEnum]) -> Codec:
    def decode(value: Any) -> StrEnum:
        try:
            return kind(value)
        except ValueError:
            known = ", ".join(kind)
            raise Misfit(f"{value!r} is unknown; expected one of {known}") from None

    return Codec(str, decode)


def _literal(allowed: tuple[Any, ...]) -> Codec:
    def decode(value: Any) -> Any:
        if value not in allowed:
            raise Misfit(f"{value!r} is unknown; expected one of {allowed}")
        return value

    return Codec(lambda value: value, decode)


def _tuple(item: Any) -> Codec:
    def encode(value: Any) -> list[Any]:
        one = codec_of(item).encode
        return [one(x) for x in value]

    def decode(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise Misfit(f"{value!r} is not a list")
        one = codec_of(item).decode
        return tuple(_at(str(i), one, x) for i, x in enumerate(value))

    return Codec(encode, decode)


def _mapping(item: Any) -> Codec:
    def encode(value: Any) -> dict[str, Any]:
        one = codec_of(item).encode
        return {key: one(x) for key, x in value.items()}

    def decode(value: Any) -> dict[str, Any]:
        one = codec_of(item).decode
        return {key: _at(key, one, x) for key, x in _object(value).items()}

    return Codec(encode, decode)


def _dataclass(kind: Any) -> Codec:
    hints = get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}

    def encode(value: Any) -> dict[str, Any]:
        return {name: codec_of(hints[name]).encode(getattr(value, name)) for name in known}

    def decode(value: Any) -> Any:
        given = _object(value)
        values = {}
        for name, field in known.items():
            if name in given:
                values[name] = _at(name, codec_of(hints[name]).decode, given[name])
            elif field.default is MISSING and field.default_factory is MISSING:
                raise Misfit(f"{name!r} is missing")
        return kind(**values)

    return Codec(encode, decode)


def _union(arms: tuple[Any, ...]) -> Codec:
    """None, at most one plain arm, and any number of dataclasses, told apart by `kind`."""
    optional = types.NoneType in arms
    classes: dict[str, Any] = {
        a.__name__: a for a in arms if isinstance(a, type) and is_dataclass(a)
    }
    others = [arm for arm in arms if arm is not types.NoneType and not is_dataclass(arm)]
    if not classes and len(others) > 1 and not optional:
        return _word_or_number(others)
    if len(classes) + len(others) == 1:
        return _optional(codec_of(next(iter(classes.values()), None) or others[0]))
    if others:
        raise TypeError(f"records hold no union of {arms}")

    def encode(value: Any) -> Any:
        if value is None and optional:
            return None
        name = type(value).__name__
        return {"kind": name, **codec_of(classes[name]).encode(value)}

    def decode(value: Any) -> Any:
        if value is None and optional:
            return None
        name = _object(value).get("kind")
        if name not in classes:
            raise Misfit(f"kind {name!r} is unknown; expected one of {', '.join(classes)}")
        return codec_of(classes[name]).decode(value)

    return Codec(encode, decode)


def _word_or_number(arms: list[Any]) -> Codec:
    """One of some words, or a number."""
    words = {word for arm in arms if get_origin(arm) is Literal for word in get_args(arm)}
    if {arm for arm in arms if get_origin(arm) is not Literal} != {float}:
        raise TypeError(f"records hold no union of {arms}")
    return Codec(
        lambda value: value if value in words else _encode_float(value),
        lambda value: value if value in words else _decode_float(value),
    )


def _optional(inner: Codec) -> Codec:
    return Codec(
        lambda value: None if value is None else inner.encode(value),
        lambda value: None if value is None else inner.decode(value),
    )


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Misfit(f"{value!r} is not an object")
    return value


def _at(key: str, decode: Callable[[Any], Any], value: Any) -> Any:
    """Decode, and on the way out of a misfit note where it was."""
    try:
        return decode(value)
    except Misfit as misfit:
        misfit.keys.append(key)
        raise


_LEAVES: Mapping[Any, Codec] = {
    float: Codec(_encode_float, _decode_float),
    datetime: Codec(_encode_time, _decode_time),
    str: _plain(str),
    bool: _plain(bool),
    int: _plain(int),
}


@cache
def codec_of(kind: Any) -> Codec:
    """How values of one type are written and read; built once per type.

    Raises:
        TypeError: no record holds this type; teach it here.
    """
    if kind in _LEAVES:
        return _LEAVES[kind]
    if is_dataclass(kind):
        return _dataclass(kind)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _enum(kind)
    origin, args = get_origin(kind), get_args(kind)
    if origin is np.ndarray:
        return Codec(_encode_floats, _decode_floats)
    if origin is Literal:
        return _literal(args)
    if origin in (types.UnionType, Union):
        return _union(args)
    if origin is tuple:
        return _tuple(args[0])
    if origin is Mapping:
        return _mapping(args[1])
    raise TypeError(f"records hold no {kind}")
