"""The record of one cycle, and the one JSON form it is kept in.

The form is exact: a record read back holds bit-identical numbers, so that a cycle can
be replayed from it. A value of a union of dataclasses carries its class name under
`kind`; numbers that JSON has no sign for stand as the strings `NaN`, `Infinity` and
`-Infinity`; times are ISO 8601 in UTC.
"""

import json
import math
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any, Literal, NamedTuple, Union, cast, get_args, get_origin, get_type_hints

import numpy as np

from ems.domain import (
    Answer,
    Before,
    BusMismatch,
    CycleRecord,
    Degraded,
    Dispatch,
    Forecast,
    Horizon,
    Imposed,
    Infeasible,
    InForce,
    Ledger,
    Outcome,
    Partial,
    Plan,
    Refused,
    Secured,
    Setpoint,
    Setup,
    Site,
    Snapshot,
    Timed,
    Watched,
)
from ems.errors import BadInput

__all__ = ["from_json", "record", "setup_from_json", "setup_to_json", "to_json"]


def record(
    site: Site,
    snapshot: Snapshot,
    forecast: Forecast,
    free: Dispatch,
    secured: Secured,
    ledger: Ledger,
    outcomes: Mapping[str, Outcome],
    *,
    alarms: Iterable[str] = (),
    stage_s: Mapping[str, float] | None = None,
    versions: Mapping[str, str] | None = None,
    in_force: Mapping[str, InForce] | None = None,
    mismatch: Mapping[str, BusMismatch] | None = None,
    kept: Mapping[str, Setpoint] | None = None,
    watched: Watched | None = None,
    plan: Plan | None = None,
    setup: Setup | None = None,
    before: Before | None = None,
    horizon: Horizon | None = None,
    no_horizon: str = "",
    answers: Mapping[str, tuple[Answer, ...]] | None = None,
    timed: Timed | None = None,
    imposed: Imposed | None = None,
) -> CycleRecord:
    """Gather everything one cycle saw, decided and did.

    Args:
        site: What is installed.
        snapshot: The state it started from.
        forecast: What it expected; its start is the interval decided for.
        free: Dispatch without network rows.
        secured: Dispatch after the load flow's word.
        ledger: Why.
        outcomes: What became of each device's command.
        alarms: Further lines for the operator. What the stages' values already tell
            (an infeasible or degraded dispatch, a write that failed, a measurement
            that is stale or assumed) is added here, worst first, each line once.
        stage_s: Wall time per stage [s].
        versions: What the cycle ran on, by name.
        in_force: What the devices hold afterwards.
        mismatch: How measured buses differ from the model.
        kept: What devices were left at, being near enough to what was decided.
        watched: What was seen of them since the cycle before.
        plan: The day ahead whose first interval was sent.
        setup: Site and policy as they are.
        before: What the cycle before left to this one.
        horizon: The day ahead as it was foretold.
        no_horizon: Why it could not be.
        answers: What devices answered to the writes.
        timed: What depended on how long things took.
        imposed: What a utility limited the site to.
    """
    return CycleRecord(
        start=forecast.start,
        site=site.name,
        snapshot=snapshot,
        forecast=forecast,
        free=free,
        secured=secured,
        ledger=ledger,
        outcomes=dict(outcomes),
        alarms=_alarms(snapshot, secured, outcomes, alarms),
        stage_s=dict(stage_s or {}),
        versions=dict(versions or {}),
        in_force=dict(in_force or {}),
        mismatch=dict(mismatch or {}),
        kept=dict(kept or {}),
        watched=watched,
        plan=plan,
        setup=setup,
        before=before,
        horizon=horizon,
        no_horizon=no_horizon,
        answers=dict(answers or {}),
        timed=timed or Timed(),
        imposed=imposed,
    )


def _alarms(
    snapshot: Snapshot, secured: Secured, outcomes: Mapping[str, Outcome], further: Iterable[str]
) -> tuple[str, ...]:
    """What an operator must look at, worst first, each line once."""
    lines: list[str] = []
    if isinstance(secured, Infeasible):
        lines.append(f"no safe dispatch: {secured.reason}")
        lines += [str(violation) for violation in secured.violations]
    elif isinstance(secured, Degraded):
        lines.append(secured.reason)
    for der, outcome in outcomes.items():
        if isinstance(outcome, Refused):
            lines.append(f"{der}: not written: {_bare(der, outcome.reason)}")
        elif isinstance(outcome, Partial):
            what = "written in part" if outcome.readback is None else "does not follow"
            lines.append(f"{der}: {what}: {_bare(der, outcome.reason)}")
    lines += snapshot.faults
    lines += further
    return tuple(dict.fromkeys(lines))


def _bare(der: str, reason: str) -> str:
    """The reason without the name in front that a gateway's message may carry."""
    return reason.removeprefix(f"{der}: ")


# --- JSON ----------------------------------------------------------------------------


def to_json(record: CycleRecord) -> str:
    """One line of JSON; `from_json` gives back an equal record."""
    encoded = _codec(CycleRecord).encode(record)
    return json.dumps(encoded, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def from_json(text: str | bytes) -> CycleRecord:
    """The record that `to_json` wrote.

    A field that an older version did not write takes its default.

    Raises:
        BadInput: the text is no JSON, or no record; names the place in it.
    """
    return cast(CycleRecord, _decoded(CycleRecord, text, "cycle record"))


def setup_to_json(setup: Setup) -> str:
    """One line of JSON, the same for equal setups; `setup_from_json` gives back an equal one."""
    encoded = _codec(Setup).encode(setup)
    return json.dumps(encoded, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def setup_from_json(text: str) -> Setup:
    """The setup that `setup_to_json` wrote.

    Raises:
        BadInput: as `from_json`.
    """
    return cast(Setup, _decoded(Setup, text, "cycle setup"))


def _decoded(kind: Any, text: str | bytes, what: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BadInput.at(what, f"not JSON: {error}") from error
    try:
        return _codec(kind).decode(value)
    except _Misfit as misfit:
        raise BadInput.at(f"{what}: {misfit.place}", misfit.problem) from misfit


class _Misfit(ValueError):
    """A value that is not of the kind it should be; collects its place on the way out."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.keys: list[str] = []

    @property
    def place(self) -> str:
        return ".".join(reversed(self.keys)) or "top level"


class _Codec(NamedTuple):
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
        raise _Misfit(f"{value!r} is not a number")
    return float(value)


def _encode_floats(value: Any) -> list[Any]:
    array = np.asarray(value, dtype=np.float64)
    if np.isfinite(array).all():
        return list(array.tolist())
    return [_encode_floats(x) if x.ndim else _encode_float(x) for x in array]


def _decode_floats(value: Any) -> Any:
    if not isinstance(value, list):
        raise _Misfit(f"{value!r} is not a list of numbers")
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
        raise _Misfit(f"{value!r} is not an ISO 8601 time") from None
    if time.tzinfo is None:
        raise _Misfit(f"{value!r} has no time zone; times are aware and UTC")
    return time.astimezone(UTC)


def _plain(kind: type) -> _Codec:
    """Text, truth values and whole numbers, which JSON has as they are."""

    def decode(value: Any) -> Any:
        if type(value) is not kind:
            raise _Misfit(f"{value!r} is not of type {kind.__name__}")
        return value

    return _Codec(kind, decode)


def _enum(kind: type[StrEnum]) -> _Codec:
    def decode(value: Any) -> StrEnum:
        try:
            return kind(value)
        except ValueError:
            known = ", ".join(kind)
            raise _Misfit(f"{value!r} is unknown; expected one of {known}") from None

    return _Codec(str, decode)


def _literal(allowed: tuple[Any, ...]) -> _Codec:
    def decode(value: Any) -> Any:
        if value not in allowed:
            raise _Misfit(f"{value!r} is unknown; expected one of {allowed}")
        return value

    return _Codec(lambda value: value, decode)


def _tuple(item: Any) -> _Codec:
    def encode(value: Any) -> list[Any]:
        one = _codec(item).encode
        return [one(x) for x in value]

    def decode(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _Misfit(f"{value!r} is not a list")
        one = _codec(item).decode
        return tuple(_at(str(i), one, x) for i, x in enumerate(value))

    return _Codec(encode, decode)


def _mapping(item: Any) -> _Codec:
    def encode(value: Any) -> dict[str, Any]:
        one = _codec(item).encode
        return {key: one(x) for key, x in value.items()}

    def decode(value: Any) -> dict[str, Any]:
        one = _codec(item).decode
        return {key: _at(key, one, x) for key, x in _object(value).items()}

    return _Codec(encode, decode)


def _dataclass(kind: Any) -> _Codec:
    hints = get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}

    def encode(value: Any) -> dict[str, Any]:
        return {name: _codec(hints[name]).encode(getattr(value, name)) for name in known}

    def decode(value: Any) -> Any:
        given = _object(value)
        values = {}
        for name, field in known.items():
            if name in given:
                values[name] = _at(name, _codec(hints[name]).decode, given[name])
            elif field.default is MISSING and field.default_factory is MISSING:
                raise _Misfit(f"{name!r} is missing")
        return kind(**values)

    return _Codec(encode, decode)


def _union(arms: tuple[Any, ...]) -> _Codec:
    """None, at most one plain arm, and any number of dataclasses, told apart by `kind`."""
    optional = types.NoneType in arms
    classes: dict[str, Any] = {
        a.__name__: a for a in arms if isinstance(a, type) and is_dataclass(a)
    }
    others = [arm for arm in arms if arm is not types.NoneType and not is_dataclass(arm)]
    if not classes and len(others) > 1 and not optional:
        return _word_or_number(others)
    if len(classes) + len(others) == 1:
        return _optional(_codec(next(iter(classes.values()), None) or others[0]))
    if others:
        raise TypeError(f"records hold no union of {arms}")

    def encode(value: Any) -> Any:
        if value is None and optional:
            return None
        name = type(value).__name__
        return {"kind": name, **_codec(classes[name]).encode(value)}

    def decode(value: Any) -> Any:
        if value is None and optional:
            return None
        name = _object(value).get("kind")
        if name not in classes:
            raise _Misfit(f"kind {name!r} is unknown; expected one of {', '.join(classes)}")
        return _codec(classes[name]).decode(value)

    return _Codec(encode, decode)


def _word_or_number(arms: list[Any]) -> _Codec:
    """One of some words, or a number."""
    words = {word for arm in arms if get_origin(arm) is Literal for word in get_args(arm)}
    if {arm for arm in arms if get_origin(arm) is not Literal} != {float}:
        raise TypeError(f"records hold no union of {arms}")
    return _Codec(
        lambda value: value if value in words else _encode_float(value),
        lambda value: value if value in words else _decode_float(value),
    )


def _optional(inner: _Codec) -> _Codec:
    return _Codec(
        lambda value: None if value is None else inner.encode(value),
        lambda value: None if value is None else inner.decode(value),
    )


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Misfit(f"{value!r} is not an object")
    return value


def _at(key: str, decode: Callable[[Any], Any], value: Any) -> Any:
    """Decode, and on the way out of a misfit note where it was."""
    try:
        return decode(value)
    except _Misfit as misfit:
        misfit.keys.append(key)
        raise


_LEAVES: Mapping[Any, _Codec] = {
    float: _Codec(_encode_float, _decode_float),
    datetime: _Codec(_encode_time, _decode_time),
    str: _plain(str),
    bool: _plain(bool),
    int: _plain(int),
}


@cache
def _codec(kind: Any) -> _Codec:
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
        return _Codec(_encode_floats, _decode_floats)
    if origin is Literal:
        return _literal(args)
    if origin in (types.UnionType, Union):
        return _union(args)
    if origin is tuple:
        return _tuple(args[0])
    if origin is Mapping:
        return _mapping(args[1])
    raise TypeError(f"records hold no {kind}")
