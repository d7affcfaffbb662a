"""The data type templates of a file, dissolved into the objects that are made of them."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from lxml import etree

from ems.protocols.scl.faults import Faults
from ems.protocols.scl.model import ENUM, STRUCT, DataAttribute, DataObject

Element = etree._Element  # noqa: SLF001 - lxml's own name for the type of an element
ORDINAL = re.compile(r"-?[0-9]{1,10}")
LARGEST_TYPE = 5000
"""Simple attributes of one type; types that contain each other can name billions."""
DEEPEST_TYPE = 16
"""Types inside types; IEC 61850-7-3 needs five."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeType:
    """The type of a logical node."""

    ln_class: str
    objects: tuple[DataObject, ...]


@dataclass(frozen=True, slots=True)
class _Made:
    """What a type dissolves into."""

    attributes: tuple[DataAttribute, ...] = ()
    objects: tuple[DataObject, ...] = ()
    symbols: tuple[tuple[int, str], ...] = ()
    size: int = 1
    """Simple attributes in all."""


@dataclass(slots=True)
class Templates:
    """Types by their identifiers, dissolved on demand, each once."""

    faults: Faults
    elements: dict[tuple[str, str], Element] = field(default_factory=dict)
    _made: dict[tuple[str, str], _Made] = field(default_factory=dict)
    _open: list[tuple[str, str]] = field(default_factory=list)

    def read(self, templates: Element, local: Callable[[Element], str]) -> None:
        """Take note of all types."""
        for element in templates:
            key = local(element), element.get("id", "")
            if key in self.elements:
                self.faults.at(element, f"{key[0]} '{key[1]}' stands twice; rename one of them")
            self.elements.setdefault(key, element)

    def node(self, user: Element, name: str) -> NodeType | None:
        """The type of a logical node; None, and a fault, where there is none."""
        element = self._element(user, "LNodeType", name)
        if element is None:
            return None
        made = self._type(user, "LNodeType", name)
        return NodeType(ln_class=element.get("lnClass", ""), objects=made.objects)

    def _element(self, user: Element, tag: str, name: str) -> Element | None:
        element = self.elements.get((tag, name))
        if element is None:
            self.faults.at(
                user, f"no {tag} '{name}' in DataTypeTemplates; add it, or correct the reference"
            )
        return element

    def _type(self, user: Element, tag: str, name: str) -> _Made:
        """Dissolve one type; a faulty one is empty."""
        key = tag, name
        if key in self._made:
            return self._made[key]
        element = self._element(user, tag, name)
        if element is None:
            return _Made()
        if key in self._open or len(self._open) >= DEEPEST_TYPE:
            why = "contains itself" if key in self._open else f"is deeper than {DEEPEST_TYPE}"
            self.faults.at(element, f"{tag} '{name}' {why}; types must end in simple attributes")
            return _Made()
        self._open.append(key)
        made = self._dissolve(element)
        self._open.pop()
        if made.size > LARGEST_TYPE:
            self.faults.at(
                element,
                f"{tag} '{name}' has {made.size} attributes, more than {LARGEST_TYPE}; "
                "split it, or drop what is not used",
            )
            made = _Made()
        self._made[key] = made
        return made

    def _dissolve(self, element: Element) -> _Made:
        attributes: list[DataAttribute] = []
        objects: list[DataObject] = []
        symbols: list[tuple[int, str]] = []
        size = 0
        names: set[str] = set()
        for child in element:
            match etree.QName(child).localname:
                case "DO" | "SDO":
                    inner, made = self._object(child)
                    objects.append(inner)
                    size += made.size
                    if attributes:
                        self.faults.at(child, "an SDO behind a DA; put the SDOs first")
                case "DA" | "BDA":
                    attribute, weight = self._attribute(child)
                    attributes.append(attribute)
                    size += weight
                case "EnumVal":
                    symbols.append((self._ordinal(child), child.text or ""))
                    continue
                case _:
                    continue  # texts, private parts, services: nothing that is sent
            name = child.get("name", "")
            if name in names or not name:
                self.faults.at(child, f"'{name}': a name of its own is needed here")
            names.add(name)
        return _Made(tuple(attributes), tuple(objects), tuple(symbols), max(1, size))

    def _object(self, child: Element) -> tuple[DataObject, _Made]:
        kind = child.get("type", "")
        made = self._type(child, "DOType", kind)
        element = self.elements.get(("DOType", kind))
        cdc = "" if element is None else element.get("cdc", "")
        name = child.get("name", "")
        return (
            DataObject(name=name, cdc=cdc, attributes=made.attributes, objects=made.objects),
            made,
        )

    def _attribute(self, child: Element) -> tuple[DataAttribute, int]:
        b_type, kind = child.get("bType", ""), child.get("type", "")
        made = _Made()
        if b_type in (STRUCT, ENUM):
            made = self._type(child, "DAType" if b_type == STRUCT else "EnumType", kind)
        value = child.find("{*}Val")
        count = child.get("count", "0")
        attribute = DataAttribute(
            name=child.get("name", ""),
            b_type=b_type,
            fc=child.get("fc", ""),
            parts=made.attributes,
            symbols=made.symbols,
            # A count may name another attribute; an array it is either way.
            count=int(count) if count.isdecimal() and len(count) < 6 else 1,
            value=None if value is None else value.text or "",
        )
        return attribute, made.size

    def _ordinal(self, child: Element) -> int:
        text = child.get("ord", "")
        if ORDINAL.fullmatch(text):
            return int(text)
        self.faults.at(child, f"ord '{text[:20]}' of an EnumVal is no whole number")
        return 0
