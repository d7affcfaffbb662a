"""How the classes of the schema stand in documents: a plan of each, made once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin
from xml.sax.saxutils import escape

from pydantic_xml.fields import extract_field_xml_entity_info
from pydantic_xml.typedefs import EntityLocation

from ems.protocols.ieee2030_5.schema.base import Element
from ems.protocols.ieee2030_5.schema.primitives import Hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """How one field of a class stands in a document."""

    name: str
    """Attribute of the class."""
    tag: str
    """Name in the document, with prefix where it has one."""
    local: str
    """Name in the document."""
    aus: bool
    """An element of CSIP-AUS."""
    is_attribute: bool
    """Else an element."""
    many: bool
    """It may stand there several times."""
    element: type[Element] | None
    """None: text."""
    is_text: bool
    """Free text, whose spaces are its own."""
    hex_digits: int
    """0: no hexadecimal number."""
    text: Callable[[Any], str]
    """How a value is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A class, as writing and reading walk it."""

    tag: str
    """Name of its element."""
    attributes: tuple[Field, ...]
    """In the order of the schema."""
    elements: tuple[Field, ...]
    """In the order of the schema."""
    by_element: Mapping[tuple[str, bool], Field]
    """By name, of today or of an older edition, and whether it is one of CSIP-AUS."""
    seen: dict[str, Field]
    """By `{namespace}name`, as they are met in documents."""


@cache
def plan_of(kind: type[Element]) -> Plan:
    """The plan of a class."""
    fields = [_field(name, info) for name, info in kind.model_fields.items()]
    attributes = tuple(f for f in fields if f.is_attribute)
    elements = tuple(f for f in fields if not f.is_attribute)
    by_element = {(f.local, f.aus): f for f in elements}
    for older, name in kind.OLDER_NAMES.items():
        by_element[older, False] = by_element[name, False]
    return Plan(
        tag=tag_of(kind),
        attributes=attributes,
        elements=elements,
        by_element=by_element,
        seen={},
    )


def tag_of(kind: type[Element]) -> str:
    """Name of a resource's element, which is also its `xsi:type`."""
    return kind.__name__


def _field(name: str, info: Any) -> Field:
    entity = extract_field_xml_entity_info(info)
    if entity is None:
        raise TypeError(f"{name} is neither attribute nor element")
    local = entity.path or name
    bare, marks, many = _unwrapped(info.annotation, tuple(info.metadata))
    digits = next((m.digits for m in marks if isinstance(m, Hex)), 0)
    is_element = isinstance(bare, type) and issubclass(bare, Element)
    is_attribute = entity.location is EntityLocation.ATTRIBUTE
    return Field(
        name=name,
        tag=f"{entity.ns}:{local}" if entity.ns else local,
        local=local,
        aus=entity.ns == "csipaus",
        is_attribute=is_attribute,
        many=many,
        element=bare if is_element else None,
        is_text=bare is str and not digits,
        hex_digits=digits,
        text=_even if digits else _TEXTS.get(bare, str),
    )


def _unwrapped(annotation: Any, marks: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...], bool]:
    """`list[Annotated[X, …]] | None` → X, what annotates it, and whether it was a list."""
    origin = get_origin(annotation)
    if origin in {Union, UnionType}:
        (inner,) = (a for a in get_args(annotation) if a is not type(None))
        return _unwrapped(inner, marks)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return _unwrapped(inner, (*marks, *more))
    if origin is list:
        bare, inner_marks, _ = _unwrapped(get_args(annotation)[0], marks)
        return bare, inner_marks, True
    return annotation, marks, False


def _even(digits: str) -> str:
    """Whole octets, as the schema's hexBinary asks, in upper case."""
    return (digits if len(digits) % 2 == 0 else f"0{digits}").upper()


def _boolean(value: bool) -> str:
    return "true" if value else "false"


_TEXTS: Final[dict[Any, Callable[[Any], str]]] = {
    bool: _boolean,
    int: lambda value: str(int(value)),
    # Any reader turns a bare carriage return into a line feed.
    str: lambda text: escape(text, {'"': "&quot;", "\r": "&#13;"}),
}
