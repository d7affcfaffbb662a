"""GOOSE control blocks of a model: the data set in order, and where each value belongs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ems.protocols import goose
from ems.protocols.goose import ControlBlock, Data, Entry, Kind, Shape
from ems.protocols.scl.model import (
    STRUCT,
    DataAttribute,
    DataObject,
    Fcda,
    GooseControl,
    IedModel,
    LogicalDevice,
    LogicalNode,
    SclFile,
    leaves,
)

KINDS = {
    "BOOLEAN": Kind.BOOLEAN,
    "INT8": Kind.INT32,
    "INT16": Kind.INT32,
    "INT24": Kind.INT32,
    "INT32": Kind.INT32,
    "INT64": Kind.INT64,
    "INT8U": Kind.UINT32,
    "INT16U": Kind.UINT32,
    "INT24U": Kind.UINT32,
    "INT32U": Kind.UINT32,
    "FLOAT32": Kind.FLOAT32,
    "FLOAT64": Kind.FLOAT64,
    "Enum": Kind.INT32,
    "Quality": Kind.QUALITY,
    "Timestamp": Kind.TIMESTAMP,
    "Dbpos": Kind.DBPOS,
    "Tcmd": Kind.DBPOS,
    "VisString32": Kind.VISIBLE_STRING,
    "VisString64": Kind.VISIBLE_STRING,
    "VisString65": Kind.VISIBLE_STRING,
    "VisString129": Kind.VISIBLE_STRING,
    "VisString255": Kind.VISIBLE_STRING,
    "ObjRef": Kind.VISIBLE_STRING,
    "Unicode255": Kind.MMS_STRING,
    "Octet64": Kind.OCTET_STRING,
    "EntryTime": Kind.BINARY_TIME,
}
"""How each basic type is carried (IEC 61850-8-1, mapping of basic types)."""


MOST_VALUES = 750
"""Simple values of one data set: each takes two octets at least, and a frame carries 1500."""
Nodes = Mapping[tuple[str, str], LogicalNode]
"""Logical nodes by instance of the device and name."""


class Unresolved(ValueError):
    """An entry of a data set names nothing, or nothing that can be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One simple value of a data set."""

    ied: str
    ld: str
    ln: str
    """Name of the logical node."""
    ln_class: str
    do: str
    da: str
    """Whole path of the attribute, for example `mag.f`."""
    fc: str
    kind: Kind
    symbols: tuple[tuple[int, str], ...] = ()
    """Of an enumeration."""

    def __str__(self) -> str:
        return f"{self.ied}{self.ld}/{self.ln}.{self.do}.{self.da} [{self.fc}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class GooseBlock:
    """A control block and its data set, value by value."""

    ied: str
    block: ControlBlock
    points: tuple[Point, ...]
    """In the order of `flat`."""


def control_blocks(file: SclFile) -> tuple[GooseBlock, ...]:
    """All GOOSE control blocks of a file, in its order.

    Raises:
        BadInput: an address or a name that no frame can carry.
        Unresolved: a data set names what the model does not have; files that were read have
            been checked for that.
    """
    return tuple(
        _block(ied, nodes, ld, control)
        for ied in file.ieds
        for nodes in (nodes_of(ied),)
        for ld in ied.devices
        for control in ld.gooses
    )


def nodes_of(ied: IedModel) -> Nodes:
    """All nodes of an IED, to be found at once; of two of one name the first."""
    return {(d.inst, n.name): n for d in reversed(ied.devices) for n in reversed(d.nodes)}


def flat(values: Sequence[Data]) -> tuple[Data, ...]:
    """All simple values, structures dissolved, in order."""
    found: list[Data] = []
    for value in values:
        if isinstance(value, goose.Structure):
            found += flat(value.value)
        else:
            found.append(value)
    return tuple(found)


def _block(ied: IedModel, nodes: Nodes, ld: LogicalDevice, control: GooseControl) -> GooseBlock:
    data_set = next(d for d in ld.data_sets if d.name == control.data_set)
    at = control.address
    entries = [resolve(ied, nodes, entry) for entry in data_set.entries]
    block = ControlBlock(
        gocb_ref=f"{ied.name}{ld.inst}/LLN0$GO${control.name}",
        dat_set=f"{ied.name}{ld.inst}/LLN0${data_set.name}",
        go_id=control.go_id,
        appid=at.appid,
        dst_mac=bytes.fromhex(at.mac.replace("-", "")),
        vlan_id=at.vlan_id,
        vlan_priority=at.vlan_priority,
        conf_rev=control.conf_rev,
        min_time_ms=at.min_time_ms,
        max_time_ms=at.max_time_ms,
        entries=tuple(
            Entry(reference=f"{ied.name}{entry}", shape=shape)
            for entry, (shape, _) in zip(data_set.entries, entries, strict=True)
        ),
    )
    return GooseBlock(
        ied=ied.name, block=block, points=tuple(p for _, points in entries for p in points)
    )


def resolve(ied: IedModel, nodes: Nodes, entry: Fcda) -> tuple[Shape, tuple[Point, ...]]:
    """What an entry of a data set looks like, and its simple values in order.

    Raises:
        Unresolved: it names nothing, or nothing that can be sent.
    """
    node = nodes.get((entry.ld, entry.ln))
    if node is None:
        raise Unresolved(f"{entry}: '{ied.name}' has no {entry.ld}/{entry.ln}")
    made = _object(node.objects, entry)
    shapes: Shape
    if not entry.da:
        found = tuple(_constrained(made, entry.do, entry.fc))
        if not found:
            raise Unresolved(f"{entry}: nothing of '{entry.do}' has this constraint")
        shapes = _nested(made, entry.fc)
    else:
        attribute = _attribute(made, entry)
        found = tuple(
            (entry.do, path, leaf)
            for path, _, leaf in leaves((attribute,), _parent(entry.da), entry.fc)
        )
        shapes = _shape(attribute)
    points = tuple(
        Point(
            ied=ied.name, ld=entry.ld, ln=entry.ln, ln_class=entry.ln_class,
            do=do, da=path, fc=entry.fc, kind=_kind(leaf), symbols=leaf.symbols,
        )
        for do, path, leaf in found
    )  # fmt: skip
    return shapes, points


def _object(objects: Sequence[DataObject], entry: Fcda) -> DataObject:
    made: DataObject | None = None
    for name in entry.do.split("."):
        made = next((o for o in objects if o.name == name), None)
        if made is None:
            there = ", ".join(o.name for o in objects) or "nothing"
            raise Unresolved(f"{entry}: no data object '{name}' there; there is {there}")
        objects = made.objects
    if made is None:  # never: a split has at least one part
        raise Unresolved(f"{entry}: names no data object")
    return made


def _attribute(made: DataObject, entry: Fcda) -> DataAttribute:
    attributes, found = made.attributes, None
    for depth, name in enumerate(entry.da.split(".")):
        found = next((a for a in attributes if a.name == name), None)
        if found is None or (depth == 0 and found.fc != entry.fc):
            there = ", ".join(f"{a.name} [{a.fc}]" if a.fc else a.name for a in attributes)
            raise Unresolved(f"{entry}: no such attribute; there is {there or 'nothing'}")
        attributes = found.parts
    if found is None:  # never: a split has at least one part
        raise Unresolved(f"{entry}: names no attribute")
    return found


def _parent(path: str) -> str:
    head, dot, _ = path.rpartition(".")
    return head + dot


def _constrained(made: DataObject, do: str, fc: str) -> Iterator[tuple[str, str, DataAttribute]]:
    """Simple attributes of a constraint: those of objects inside first, as templates list them."""
    for inner in made.objects:
        yield from _constrained(inner, f"{do}.{inner.name}", fc)
    for attribute in made.attributes:
        if attribute.fc == fc:
            yield from ((do, path, leaf) for path, _, leaf in leaves((attribute,)))


def _nested(made: DataObject, fc: str) -> tuple[Shape, ...]:
    inner = (_nested(o, fc) for o in made.objects)
    own = (_shape(a) for a in made.attributes if a.fc == fc)
    return (*(shape for shape in inner if shape), *own)


def _shape(attribute: DataAttribute) -> Shape:
    if attribute.count:
        raise Unresolved(f"'{attribute.name}' is an array; send its elements as data of their own")
    return tuple(map(_shape, attribute.parts)) if attribute.b_type == STRUCT else _kind(attribute)


def _kind(attribute: DataAttribute) -> Kind:
    kind = KINDS.get(attribute.b_type)
    if kind is None:
        raise Unresolved(f"'{attribute.name}' is of type {attribute.b_type}, which is not sent")
    return kind
