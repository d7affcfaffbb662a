"""Values between SunSpec registers and the data sets of GOOSE, both ways.

A device fills its data set from its registers and takes setpoints out of another; an RTU does
the reverse. What is not of good quality is not there: None, never 0.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ems.protocols import goose
from ems.protocols.goose import GOOD, INVALID, Data, Kind, Quality, Shape, UtcTime
from ems.protocols.scl import common
from ems.protocols.scl.blocks import GooseBlock
from ems.protocols.scl.points import Form, Mapped
from ems.protocols.sunspec import ModelBlock, Rounding, counts

Key = tuple[int, str]
"""SunSpec model and point."""
VALUE_PATHS = (
    "mag.f", "cVal.mag.f", "mxVal.f", "stVal", "setMag.f", "setVal", "mag.i", "mxVal.i",
)  # fmt: skip
"""Attributes that hold an object's value, best first."""
_ON_OFF = {1: common.ON, 0: common.OFF}
_STATES = {(1, 1): common.RUNNING, (1, 0): common.AVAILABLE, (0, 0): common.NOT_READY}
"""Operating state by St and ConnSt of model 701."""
_STOPPED = (common.NOT_READY, 7, 8, 9, 10, 11)
"""Operating states in which a unit is off."""
_UNKNOWN = 98
_OPERATING = frozenset(s for s, _ in common.OPERATING_STATE if s != _UNKNOWN)
"""Operating states that say something."""
_NUMBERS = (goose.Float32, goose.Uint32, goose.Int32, goose.Boolean, goose.Float64)
_EMPTY: Mapping[Kind, Data] = {
    Kind.BOOLEAN: goose.Boolean(False),
    Kind.INT32: goose.Int32(0),
    Kind.INT64: goose.Int32(0),
    Kind.UINT32: goose.Uint32(0),
    Kind.FLOAT32: goose.Float32(0.0),
    Kind.FLOAT64: goose.Float64(0.0),
    Kind.QUALITY: INVALID,
    Kind.DBPOS: goose.BitString(0, 2),
    Kind.VISIBLE_STRING: goose.VisibleString(""),
    Kind.MMS_STRING: goose.MmsString(""),
    Kind.OCTET_STRING: goose.OctetString(b""),
    Kind.TIMESTAMP: goose.Timestamp(UtcTime(0)),
    Kind.BINARY_TIME: goose.BinaryTime(bytes(6)),
}
"""What stands in a data set where there is nothing to say; its quality says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One value, as SunSpec understands it."""

    value: float | None
    """Number, count, or 0 and 1; None: not there, or not to be trusted."""
    t: UtcTime | None = None
    """When it last changed; None where nobody says."""


NOTHING = Sample(value=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a point stands in a data set."""

    mapped: Mapped
    kind: Kind
    value: int
    """Index among the simple values."""
    q: int | None = None
    t: int | None = None


def places(block: GooseBlock, wanted: Iterable[Mapped]) -> dict[Key, Place]:
    """Where each point that is sent stands; those that are not sent are missing.

    Several nodes may tell the same: the one of the usual logical device counts, else the first.
    """
    found = {m.key: place for m in wanted if (place := _place(block, m)) is not None}
    return dict(sorted(found.items()))


def _place(block: GooseBlock, mapped: Mapped) -> Place | None:
    for do in (mapped.do, *mapped.instead):
        there = [
            (p.ld != mapped.ld, VALUE_PATHS.index(p.da), i)
            for i, p in enumerate(block.points)
            if (p.ln_class, p.do) == (mapped.ln_class, do) and p.da in VALUE_PATHS
        ]
        if there:
            _, _, at = min(there)
            beside = {
                p.da: i
                for i, p in enumerate(block.points)
                if (p.ld, p.ln, p.do) == (block.points[at].ld, block.points[at].ln, do)
            }
            kind = block.points[at].kind
            return Place(mapped=mapped, kind=kind, value=at, q=beside.get("q"), t=beside.get("t"))
    return None


def sample(place: Place, values: Sequence[Data]) -> Sample:
    """A point out of a data set (`flat`); one without a quality counts as good."""
    t = None if place.t is None else values[place.t]
    stamp = t.value if isinstance(t, goose.Timestamp) else None
    q = None if place.q is None else values[place.q]
    if isinstance(q, goose.BitString) and not _usable(q.value, q.size):
        return Sample(value=None, t=stamp)
    return Sample(value=_understood(place.mapped.form, values[place.value]), t=stamp)


@lru_cache(maxsize=256)  # of 8192 there are; a device uses a handful
def _usable(bits: int, size: int) -> bool:
    return Quality.of(goose.BitString(bits, size)).usable


def _understood(form: Form, data: Data) -> float | None:
    """A value as SunSpec has it; None where it says nothing."""
    if not isinstance(data, _NUMBERS):
        return None
    value = float(data.value)
    if form is Form.NUMBER:
        return value if math.isfinite(value) else None
    if form is Form.FLAG:
        return value if value in (0, 1) else None
    if form is Form.MODE:
        return next((float(raw) for raw, mode in _ON_OFF.items() if mode == value), None)
    if form is Form.OPERATING:
        return value if value in _OPERATING else None
    return value if value >= 0 else None


def filled(
    block: GooseBlock, at: Mapping[Key, Place], samples: Mapping[Key, Sample]
) -> tuple[Data, ...]:
    """A data set as GOOSE sends it; points without a sample are invalid."""
    found = [_EMPTY[p.kind] for p in block.points]
    for key, place in at.items():
        told = samples.get(key, NOTHING)
        if place.t is not None and told.t is not None:
            found[place.t] = goose.Timestamp(told.t)
        if told.value is None:
            continue
        found[place.value] = _said(place, told.value)
        if place.q is not None:
            found[place.q] = GOOD
    rest = iter(found)
    return tuple(_nested(entry.shape, rest) for entry in block.block.entries)


def _said(place: Place, value: float) -> Data:
    whole = round(value)
    if place.mapped.form is Form.MODE:
        whole = _ON_OFF[whole]
    match place.kind:
        case Kind.FLOAT32:
            return goose.Float32(value)
        case Kind.FLOAT64:
            return goose.Float64(value)
        case Kind.BOOLEAN:
            return goose.Boolean(bool(whole))
        case Kind.UINT32:
            return goose.Uint32(whole)
        case _:
            return goose.Int32(whole)


def _nested(shape: Shape, rest: Iterator[Data]) -> Data:
    if isinstance(shape, tuple):
        return goose.Structure(tuple(_nested(s, rest) for s in shape))
    return next(rest)


# --- registers -----------------------------------------------------------------------


def show(blocks: Mapping[int, ModelBlock], mapped: Mapped, value: float | None) -> bool:
    """Put a point into the registers, to the nearest count; None reads as not implemented.

    Returns:
        Whether they hold it. What does not fit the register, or cannot be so (`Mapped.most`), is
        not shown at the end of the range: it reads as not implemented.
    """
    block = blocks[mapped.model]
    if mapped.form is Form.OPERATING:
        block.set_raw("St", None if value is None else int(value not in _STOPPED))
        block.set_raw("ConnSt", None if value is None else int(value == common.RUNNING))
        return True
    raw = None if value is None else _count(block, mapped, value)
    if raw is not None:
        try:
            block.set_raw(mapped.point, raw)
        except ValueError:
            raw = None
    if raw is None:
        block.set_raw(mapped.point, None)
    return value is None or raw is not None


def _count(block: ModelBlock, mapped: Mapped, value: float) -> int | None:
    """The count that stands for a value; None where there is none."""
    if not math.isfinite(value) or (mapped.form is not Form.NUMBER and value != round(value)):
        return None
    sf = block.scale_factor(mapped.point) if mapped.form is Form.NUMBER else 0
    if sf is None:
        return None
    raw = counts(value, sf, Rounding.NEAREST)
    if mapped.most is not None and raw > counts(mapped.most, sf, Rounding.FLOOR):
        return None
    return raw


def shown(blocks: Mapping[int, ModelBlock], mapped: Mapped) -> float | None:
    """A point out of the registers; None where it, or its model, is not implemented."""
    block = blocks.get(mapped.model)
    if block is None:
        return None
    if mapped.form is Form.OPERATING:
        st, connected = block.raw("St"), block.raw("ConnSt")
        if st is None or connected is None:
            return None
        return float(_STATES.get((st, connected), _UNKNOWN))
    if mapped.form is Form.NUMBER:
        return block.value(mapped.point)
    raw = block.raw(mapped.point)
    return None if raw is None else float(raw)
