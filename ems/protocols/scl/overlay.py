"""Configured values of a logical node (DOI, SDI, DAI), laid over its type."""

from collections.abc import Iterable
from dataclasses import replace

from lxml import etree

from ems.protocols.scl.faults import Faults
from ems.protocols.scl.model import ENUM, DataAttribute, DataObject

Element = etree._Element  # noqa: SLF001 - lxml's own name for the type of an element


def configured(
    node: Element, objects: tuple[DataObject, ...], faults: Faults
) -> tuple[DataObject, ...]:
    """The objects of a node with the values its DOI elements give."""
    return _objects(node.iterfind("{*}DOI"), objects, faults)


def _objects(
    elements: Iterable[Element], objects: tuple[DataObject, ...], faults: Faults
) -> tuple[DataObject, ...]:
    by_name = {o.name: o for o in objects}
    for element in elements:
        name = element.get("name", "")
        if name not in by_name:
            _unknown(element, name, by_name, faults)
            continue
        by_name[name] = _object(element, by_name[name], faults)
    return tuple(by_name.values())


def _object(element: Element, made: DataObject, faults: Faults) -> DataObject:
    inner = {o.name for o in made.objects}
    children = [c for c in element if etree.QName(c).localname in ("SDI", "DAI")]
    if not children:
        return made
    return replace(
        made,
        objects=_objects((c for c in children if c.get("name") in inner), made.objects, faults),
        attributes=_attributes(
            [c for c in children if c.get("name") not in inner], made.attributes, faults
        ),
    )


def _attributes(
    elements: Iterable[Element], attributes: tuple[DataAttribute, ...], faults: Faults
) -> tuple[DataAttribute, ...]:
    by_name = {a.name: a for a in attributes}
    for element in elements:
        name = element.get("name", "")
        if name not in by_name:
            _unknown(element, name, by_name, faults)
        elif element.get("ix") is None:  # elements of arrays are not kept
            by_name[name] = _attribute(element, by_name[name], faults)
    return tuple(by_name.values())


def _attribute(element: Element, made: DataAttribute, faults: Faults) -> DataAttribute:
    children = [c for c in element if etree.QName(c).localname in ("SDI", "DAI")]
    if children:
        return replace(made, parts=_attributes(children, made.parts, faults))
    value = element.find("{*}Val")
    if value is None:
        return made
    text = value.text or ""
    if made.b_type == ENUM and text not in (symbols := [s for _, s in made.symbols]):
        faults.at(value, f"'{text}' is no value of '{made.name}'; one of {', '.join(symbols)}")
    return replace(made, value=text)


def _unknown(element: Element, name: str, there: Iterable[str], faults: Faults) -> None:
    tag = etree.QName(element).localname
    known = ", ".join(there) or "nothing"
    faults.at(element, f"{tag} '{name}' is not in the type of its node; there is {known}")
