"""SCL files, read as untrusted input: all faults at once, with their lines."""

import re
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from ems.errors import BadInput
from ems.protocols.scl import overlay
from ems.protocols.scl.addresses import Addresses, read_addresses
from ems.protocols.scl.blocks import MOST_VALUES, Nodes, Unresolved, nodes_of, resolve
from ems.protocols.scl.faults import Faults
from ems.protocols.scl.model import (
    DataObject,
    DataSet,
    Fcda,
    GooseAddress,
    GooseControl,
    IedModel,
    LogicalDevice,
    LogicalNode,
    SclFile,
)
from ems.protocols.scl.rated import check_ratings
from ems.protocols.scl.templates import Templates
from ems.protocols.scl.write import NAMESPACE

Element = etree._Element  # noqa: SLF001 - lxml's own name for the type of an element
LARGEST_FILE = 32 * 1024 * 1024
"""Octets; description files of whole substations stay below it."""
NAME = re.compile(r"[A-Za-z][0-9A-Za-z_]{0,63}")
"""Names of IEDs, data sets and control blocks: they become parts of references."""
INST = re.compile(r"[0-9A-Za-z_]{1,64}")
REVISION = re.compile(r"[0-9]{1,10}")
ENCODINGS = ("UTF-8", "UTF-16", "UTF-16LE", "UTF-16BE")
"""Others may hide from a search of the octets what they mean."""
LN_CLASS = re.compile(r"LLN0|[A-Z]{4}")
DOCUMENT_TYPE = "holds a document type (DOCTYPE); SCL has none, remove it"
_NO_ADDRESS = GooseAddress(mac="01-0C-CD-01-00-00", appid=0)
"""Stands in until the faults are raised."""


def read_icd(octets: bytes, place: str = "ICD", schema: Path | None = None) -> SclFile:
    """Read a file.

    Nothing outside the file is ever opened: no entity, no document type, no network.

    Args:
        octets: the file.
        place: its name, for messages.
        schema: an XML schema to validate it with as well; only its own includes are opened.

    Raises:
        BadInput: all that is wrong with the file, or the schema cannot be read.
    """
    root = _parse(octets, place)
    faults = Faults(place)
    if schema is not None:
        _validate(root, schema, faults)
    file = _Reader(faults).file(root)
    faults.raise_if_any()
    return file


def _parse(octets: bytes, place: str) -> Element:
    if len(octets) > LARGEST_FILE:
        raise BadInput.at(place, f"{len(octets)} octets, more than {LARGEST_FILE}; no SCL file")
    # Also in UTF-16, where each character has a zero beside it.
    if b"<!DOCTYPE" in octets.replace(b"\0", b"").upper():
        raise BadInput.at(place, DOCUMENT_TYPE)
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False,
        huge_tree=False, remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(octets, parser)
    except etree.XMLSyntaxError as fault:
        line = fault.lineno or 1
        raise BadInput.at(
            f"{place}: line {line}", f"is not well-formed XML ({fault.msg})"
        ) from None
    except ValueError as fault:
        raise BadInput.at(place, f"cannot be read as XML ({fault})") from None
    info = root.getroottree().docinfo
    if (info.encoding or ENCODINGS[0]).upper() not in ENCODINGS:
        raise BadInput.at(place, f"is encoded in {info.encoding}; save it as UTF-8")
    if info.doctype or info.internalDTD is not None:
        raise BadInput.at(place, DOCUMENT_TYPE)
    if root.tag != f"{{{NAMESPACE}}}SCL":
        raise BadInput.at(
            f"{place}: line {root.sourceline}",
            f"the first element is {root.tag!s}; expected SCL in the name space {NAMESPACE}",
        )
    return root


def _validate(root: Element, schema: Path, faults: Faults) -> None:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        made = etree.XMLSchema(etree.parse(schema, parser))
    except OSError:
        raise BadInput.at(str(schema), "cannot be opened; check the path of the schema") from None
    except (etree.XMLSyntaxError, etree.XMLSchemaParseError) as fault:
        raise BadInput.at(str(schema), f"is no usable XML schema ({fault})") from None
    if not made.validate(root):
        for error in made.error_log:
            faults.line(error.line, f"{error.message.replace(f'{{{NAMESPACE}}}', '')} (schema)")


def _local(element: Element) -> str:
    return etree.QName(element).localname


class _Reader:
    """One walk over one file."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._templates = Templates(faults)

    def file(self, root: Element) -> SclFile:
        """Everything in it."""
        header = root.find("{*}Header")
        if header is None:
            self._faults.at(root, "no Header; add one with an id")
        for templates in root.iterfind("{*}DataTypeTemplates"):
            self._templates.read(templates, _local)
        addresses = read_addresses(root, self._faults)
        ieds = [self._ied(element, addresses) for element in root.iterfind("{*}IED")]
        self._unique(root.iterfind("{*}IED"), "name", "IED")
        if not ieds:
            self._faults.at(root, "describes no IED; give an ICD or CID file of a device")
        addresses.left_over({(i.name, d.inst, g.name) for i in ieds for d in i.devices
                             for g in d.gooses})  # fmt: skip
        head = root if header is None else header
        return SclFile(
            id=head.get("id", ""),
            version=head.get("version", ""),
            revision=head.get("revision", ""),
            sub_network=addresses.sub_network,
            ieds=tuple(ieds),
        )

    def _ied(self, element: Element, addresses: Addresses) -> IedModel:
        name = self._name(element, "name", NAME, "IED")
        points = element.findall("{*}AccessPoint")
        devices = [
            (ld, self._device(ld))
            for point in points
            for ld in point.iterfind("{*}Server/{*}LDevice")
        ]
        self._unique((ld for ld, _ in devices), "inst", "LDevice")
        plain = IedModel(
            name=name,
            devices=tuple(d for _, d in devices),
            desc=element.get("desc", ""),
            manufacturer=element.get("manufacturer", ""),
            ied_type=element.get("type", ""),
            config_version=element.get("configVersion", ""),
            access_point=points[0].get("name", "") if points else "AP1",
        )
        nodes = nodes_of(plain)
        sending = tuple(self._sending(plain, nodes, made, ld, addresses) for ld, made in devices)
        return IedModel(
            name=name, devices=sending, desc=plain.desc, manufacturer=plain.manufacturer,
            ied_type=plain.ied_type, config_version=plain.config_version,
            access_point=plain.access_point,
        )  # fmt: skip

    def _device(self, element: Element) -> LogicalDevice:
        inst = self._name(element, "inst", INST, "LDevice")
        zero = element.find("{*}LN0")
        if zero is None:
            self._faults.at(element, f"LDevice '{inst}' has no LN0; add one")
        found = [*([] if zero is None else [zero]), *element.iterfind("{*}LN")]
        nodes: dict[str, LogicalNode] = {}
        for each in found:
            node = self._node(each)
            if node.name in nodes:
                self._faults.at(each, f"'{node.name}' stands twice in LDevice '{inst}'; rename one")
            nodes[node.name] = node
        return LogicalDevice(inst=inst, nodes=tuple(nodes.values()))

    def _node(self, element: Element) -> LogicalNode:
        ln_class = self._name(element, "lnClass", LN_CLASS, _local(element))
        kind = self._templates.node(element, element.get("lnType", ""))
        objects: tuple[DataObject, ...] = ()
        if kind is not None:
            if kind.ln_class != ln_class:
                self._faults.at(
                    element,
                    f"is a {ln_class}, its type '{element.get('lnType')}' is for {kind.ln_class}",
                )
            objects = overlay.configured(element, kind.objects, self._faults)
            check_ratings(element, ln_class, objects, self._faults)
        return LogicalNode(
            ln_class=ln_class,
            inst=element.get("inst", ""),
            prefix=element.get("prefix", ""),
            objects=objects,
        )

    # --- what is sent ------------------------------------------------------------------

    def _sending(
        self,
        ied: IedModel,
        nodes: Nodes,
        ld: LogicalDevice,
        element: Element,
        addresses: Addresses,
    ) -> LogicalDevice:
        """The device with its data sets and control blocks, which may name any other device."""
        zero = element.find("{*}LN0")
        sets = [] if zero is None else zero.findall("{*}DataSet")
        blocks = [] if zero is None else [
            b for b in zero.findall("{*}GSEControl") if b.get("type", "GOOSE") == "GOOSE"
        ]  # fmt: skip
        self._unique(sets, "name", "DataSet")
        self._unique(blocks, "name", "GSEControl")
        data_sets = tuple(self._data_set(ied, nodes, each) for each in sets)
        names = [d.name for d in data_sets]
        gooses = []
        for each in blocks:
            goose = self._goose(each, (ied.name, ld.inst), addresses)
            if goose.data_set not in names:
                there = ", ".join(names) or "none"
                self._faults.at(
                    each,
                    f"GSEControl '{goose.name}' sends data set '{goose.data_set}', which is not "
                    f"in LN0 of '{ld.inst}'; there is {there}",
                )
            gooses.append(goose)
        return LogicalDevice(
            inst=ld.inst, nodes=ld.nodes, data_sets=data_sets, gooses=tuple(gooses)
        )

    def _data_set(self, ied: IedModel, nodes: Nodes, element: Element) -> DataSet:
        name = self._name(element, "name", NAME, "DataSet")
        entries = tuple(self._entries(ied, nodes, element))
        if not entries:
            self._faults.at(element, f"data set '{name}' has no entries; add FCDA elements")
        return DataSet(name=name, entries=entries)

    def _entries(self, ied: IedModel, nodes: Nodes, element: Element) -> Iterator[Fcda]:
        values = 0
        for child in element.iterfind("{*}FCDA"):
            entry = Fcda(
                ld=child.get("ldInst", ""),
                ln_class=child.get("lnClass", ""),
                ln_inst=child.get("lnInst", ""),
                prefix=child.get("prefix", ""),
                do=child.get("doName", ""),
                da=child.get("daName", ""),
                fc=child.get("fc", ""),
            )
            if child.get("ix") is not None:
                self._faults.at(child, f"{entry}: elements of arrays (ix) are not read here")
            try:
                values += len(resolve(ied, nodes, entry)[1])
            except Unresolved as fault:
                self._faults.at(child, f"dangling entry: {fault}")
                values += 1
            if values > MOST_VALUES:
                problem = f"no frame has room for more than {MOST_VALUES} values; divide it"
                self._faults.at(element, f"data set '{element.get('name', '')}': {problem}")
                return
            yield entry

    def _goose(
        self,
        element: Element,
        owner: tuple[str, str],
        addresses: Addresses,
    ) -> GooseControl:
        name = self._name(element, "name", NAME, "GSEControl")
        if (*owner, name) not in addresses.elements:
            self._faults.at(
                element,
                f"GSEControl '{name}' has no address; add a GSE with ldInst='{owner[1]}' "
                f"cbName='{name}' under the ConnectedAP of '{owner[0]}'",
            )
        go_id = element.get("appID", "")
        if not go_id:
            self._faults.at(element, f"GSEControl '{name}' has no appID; give it a unique text")
        revision = element.get("confRev", "0")
        if not (REVISION.fullmatch(revision) and int(revision) <= 0xFFFF_FFFF):
            self._faults.at(element, f"confRev '{revision[:20]}' is no whole number of 32 bits")
            revision = "0"
        return GooseControl(
            name=name,
            data_set=element.get("datSet", ""),
            go_id=go_id,
            conf_rev=int(revision),
            address=addresses.found.get((*owner, name), _NO_ADDRESS),
            subscribers=tuple(e.text or "" for e in element.iterfind("{*}IEDName")),
        )

    # --- names -------------------------------------------------------------------------

    def _name(self, element: Element, key: str, form: "re.Pattern[str]", what: str) -> str:
        text = element.get(key, "")
        if not form.fullmatch(text):
            self._faults.at(element, f"{key} '{text[:80]}' of {what} is no name that can be used")
        return text

    def _unique(self, elements: Iterator[Element] | list[Element], key: str, what: str) -> None:
        seen: set[str] = set()
        for element in elements:
            name = element.get(key, "")
            if name in seen:
                self._faults.at(element, f"{what} '{name}' stands twice; rename one of them")
            seen.add(name)
