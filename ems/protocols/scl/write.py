"""A model as an SCL file (IEC 61850-6, edition 2.1: version 2007, revision B)."""

from collections.abc import Iterable

from lxml import etree

from ems.protocols.scl.model import (
    ENUM,
    STRUCT,
    DataAttribute,
    DataObject,
    DataSet,
    Fcda,
    GooseControl,
    IedModel,
    LogicalDevice,
    LogicalNode,
    SclFile,
)

NAMESPACE = "http://www.iec.ch/61850/2003/SCL"
Element = etree._Element  # noqa: SLF001 - lxml's own name for the type of an element
LLN0 = "LLN0"


def write_icd(file: SclFile) -> bytes:
    """The file, UTF-8, ready to be stored."""
    root = etree.Element(
        _tag("SCL"), nsmap={None: NAMESPACE}, version="2007", revision="B", release="4"
    )
    _child(root, "Header", id=file.id, version=file.version, revision=file.revision)
    _communication(root, file)
    types = _Types()
    for ied in file.ieds:
        _ied(root, ied, types)
    types.write(root)
    etree.indent(root)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def _child(parent: Element, tag: str, /, **attributes: str) -> Element:
    return etree.SubElement(parent, _tag(tag), attributes)


def _optional(**attributes: str) -> dict[str, str]:
    """The attributes that are not empty."""
    return {name: text for name, text in attributes.items() if text}


# --- communication -------------------------------------------------------------------


def _communication(root: Element, file: SclFile) -> None:
    talking = [ied for ied in file.ieds if any(ld.gooses for ld in ied.devices)]
    if not talking:
        return
    network = _child(
        _child(root, "Communication"), "SubNetwork", name=file.sub_network, type="8-MMS"
    )
    for ied in talking:
        point = _child(network, "ConnectedAP", iedName=ied.name, apName=ied.access_point)
        for ld in ied.devices:
            for goose in ld.gooses:
                _address(point, ld.inst, goose)


def _address(point: Element, ld: str, goose: GooseControl) -> None:
    at = goose.address
    gse = _child(point, "GSE", ldInst=ld, cbName=goose.name)
    address = _child(gse, "Address")
    for kind, text in (
        ("MAC-Address", at.mac),
        ("APPID", f"{at.appid:04X}"),
        ("VLAN-ID", f"{at.vlan_id:03X}"),
        ("VLAN-PRIORITY", str(at.vlan_priority)),
    ):
        _child(address, "P", type=kind).text = text
    for tag, milliseconds in (("MinTime", at.min_time_ms), ("MaxTime", at.max_time_ms)):
        _child(gse, tag, unit="s", multiplier="m").text = str(milliseconds)


# --- IEDs ----------------------------------------------------------------------------


def _ied(root: Element, ied: IedModel, types: "_Types") -> None:
    element = _child(
        root,
        "IED",
        name=ied.name,
        **_optional(
            desc=ied.desc,
            type=ied.ied_type,
            manufacturer=ied.manufacturer,
            configVersion=ied.config_version,
        ),
    )
    services = _child(element, "Services", nameLength="64")
    _child(services, "GOOSE", max=str(sum(len(ld.gooses) for ld in ied.devices)))
    server = _child(_child(element, "AccessPoint", name=ied.access_point), "Server")
    _child(server, "Authentication")
    for ld in ied.devices:
        device = _child(server, "LDevice", inst=ld.inst)
        for node in ld.nodes:
            _node(device, ld, node, types)


def _node(device: Element, ld: LogicalDevice, node: LogicalNode, types: "_Types") -> None:
    zero = node.ln_class == LLN0
    element = _child(
        device,
        "LN0" if zero else "LN",
        **_optional(prefix=node.prefix),
        lnClass=node.ln_class,
        inst=node.inst,
        lnType=types.node(node),
    )
    if zero:
        for data_set in ld.data_sets:
            _data_set(element, data_set)
    for made in node.objects:
        _values(element, made)
    if zero:
        for goose in ld.gooses:
            _goose(element, goose)


def _data_set(node: Element, data_set: DataSet) -> None:
    element = _child(node, "DataSet", name=data_set.name)
    for entry in data_set.entries:
        _child(element, "FCDA", **_fcda(entry))


def _fcda(entry: Fcda) -> dict[str, str]:
    always = {"ldInst": entry.ld, "lnClass": entry.ln_class, "doName": entry.do, "fc": entry.fc}
    return always | _optional(prefix=entry.prefix, lnInst=entry.ln_inst, daName=entry.da)


def _goose(node: Element, goose: GooseControl) -> None:
    element = _child(
        node,
        "GSEControl",
        name=goose.name,
        datSet=goose.data_set,
        appID=goose.go_id,
        confRev=str(goose.conf_rev),
        type="GOOSE",
    )
    for name in goose.subscribers:
        _child(element, "IEDName").text = name


def _values(parent: Element, made: DataObject, tag: str = "DOI") -> None:
    """What is configured of a data object; nothing where nothing is."""
    if not _configured(made):
        return
    element = _child(parent, tag, name=made.name)
    for inner in made.objects:
        _values(element, inner, "SDI")
    _attribute_values(element, made.attributes)


def _configured(made: DataObject) -> bool:
    return any(_has_value(a) for a in made.attributes) or any(map(_configured, made.objects))


def _has_value(attribute: DataAttribute) -> bool:
    return attribute.value is not None or any(map(_has_value, attribute.parts))


def _attribute_values(parent: Element, attributes: Iterable[DataAttribute]) -> None:
    for attribute in filter(_has_value, attributes):
        if attribute.b_type == STRUCT:
            _attribute_values(_child(parent, "SDI", name=attribute.name), attribute.parts)
        else:
            _child(_child(parent, "DAI", name=attribute.name), "Val").text = attribute.value


# --- templates -----------------------------------------------------------------------

Shape = tuple[object, ...]
"""What makes two types the same: everything but names of instances and configured values."""


class _Types:
    """Collects the types of a file, each once."""

    def __init__(self) -> None:
        self._known: dict[Shape, str] = {}
        self._taken: set[str] = set()
        self._elements: dict[str, list[Element]] = {
            "LNodeType": [], "DOType": [], "DAType": [], "EnumType": [],
        }  # fmt: skip

    def write(self, root: Element) -> None:
        """Append all of them, in the order the schema wants."""
        templates = _child(root, "DataTypeTemplates")
        for elements in self._elements.values():
            templates.extend(elements)

    def node(self, node: LogicalNode) -> str:
        """Identifier of the type of a logical node."""
        members = tuple((o.name, self._object(o)) for o in node.objects)
        element, name = self._new("LNodeType", node.ln_class, (node.ln_class, members))
        if element is not None:
            element.set("lnClass", node.ln_class)
            for member, made in members:
                _child(element, "DO", name=member, type=made)
        return name

    def _object(self, made: DataObject) -> str:
        inner = tuple((o.name, self._object(o)) for o in made.objects)
        own = tuple(self._attribute(a) for a in made.attributes)
        element, name = self._new("DOType", f"{made.cdc}_{made.name}", (made.cdc, inner, own))
        if element is not None:
            element.set("cdc", made.cdc)
            for member, kind in inner:
                _child(element, "SDO", name=member, type=kind)
            for attributes in own:
                _child(element, "DA", **dict(attributes))
        return name

    def _attribute(self, attribute: DataAttribute) -> tuple[tuple[str, str], ...]:
        """Attributes of a DA or BDA element."""
        kind = ""
        if attribute.b_type == STRUCT:
            kind = self._structure(attribute)
        elif attribute.b_type == ENUM:
            kind = self._enumeration(attribute)
        always = {"name": attribute.name, "bType": attribute.b_type}
        count = str(attribute.count) if attribute.count else ""
        return tuple((always | _optional(type=kind, fc=attribute.fc, count=count)).items())

    def _structure(self, attribute: DataAttribute) -> str:
        parts = tuple(self._attribute(p) for p in attribute.parts)
        element, name = self._new("DAType", f"Struct_{attribute.name}", (STRUCT, parts))
        if element is not None:
            for part in parts:
                _child(element, "BDA", **dict(part))
        return name

    def _enumeration(self, attribute: DataAttribute) -> str:
        element, name = self._new("EnumType", "Kind", (ENUM, attribute.symbols))
        if element is not None:
            for ordinal, symbol in attribute.symbols:
                _child(element, "EnumVal", ord=str(ordinal)).text = symbol
        return name

    def _new(self, tag: str, wish: str, shape: Shape) -> tuple[Element | None, str]:
        """An element for a type not met before, and the identifier in any case."""
        known = self._known.get((tag, shape))
        if known is not None:
            return None, known
        name, k = wish, 1
        while name in self._taken:
            k += 1
            name = f"{wish}_{k}"
        self._taken.add(name)
        self._known[tag, shape] = name
        element = etree.Element(_tag(tag), id=name)
        self._elements[tag].append(element)
        return element, name
