"""A CIM file as objects with literals and links: read by rdflib, after a guard of our own.

The guard runs the same XML parser (expat) over the file first and refuses what no CIM export
needs: document type declarations, and with them entities of any kind; deep nesting.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from rdflib import Graph, URIRef
from rdflib.namespace import RDF

from feeders.cim.naming import shown
from feeders.errors import FeederFault

SIZE_LIMIT_BYTES = 256 * 2**20
"""A model larger than this is taken for a mistake; a 9500-node feeder takes about 50 MiB."""
DEPTH_LIMIT = 12
"""RDF/XML of a CIM model is three levels deep."""
CIM100 = "http://iec.ch/TC57/CIM100#"
CIM_STEM = "http://iec.ch/TC57/"
"""Namespaces of all CIM versions begin so."""
BASE = "http://geems.invalid/cim"
"""What `rdf:ID` and `#…` references are completed with; never fetched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CimObject:
    """One object of the file."""

    uri: str
    """What references name."""
    kind: str
    """CIM class, without namespace: `ACLineSegment`."""
    literals: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Values by attribute, `Class.attribute`."""
    links: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """URIs of other objects, or of enumerated values, by attribute."""

    @property
    def mrid(self) -> str:
        """Master resource identifier: as the attribute says, or from the URI."""
        given = self.literals.get("IdentifiedObject.mRID", ("",))[0].strip()
        return given or self.uri.rpartition("#")[2].removeprefix("urn:uuid:")

    @property
    def name(self) -> str:
        """Name, or the mRID where there is none."""
        return self.literals.get("IdentifiedObject.name", ("",))[0] or self.mrid


@dataclass(frozen=True, slots=True, kw_only=True)
class CimDocument:
    """All objects of one file."""

    path: Path
    objects: dict[str, CimObject]
    """By URI."""
    other_version: str
    """Namespace of the objects that are not of CIM100; empty where there are none."""

    def of_kind(self, *kinds: str) -> Iterator[CimObject]:
        """Objects of some classes, in the order of their names."""
        found = [x for x in self.objects.values() if x.kind in kinds]
        yield from sorted(found, key=lambda x: (x.name, x.uri))


def load(path: Path) -> CimDocument:
    """Read a CIM file.

    Raises:
        FeederFault: it cannot be read, is empty or no CIM in RDF/XML, or declares a document
            type or entities.
    """
    data = _bytes_of(path)
    _guard(data, path)
    graph = Graph(store="SimpleMemory")  # a fifth quicker; nothing is queried
    try:
        graph.parse(data=data, format="xml", publicID=BASE)
    except Exception as error:  # rdflib's handlers raise what they happen to meet
        raise FeederFault(f"{path}: is not RDF/XML: {_line(error)}; export it again") from error
    return _document(graph, path)


def _bytes_of(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > SIZE_LIMIT_BYTES:
            raise FeederFault(
                f"{path}: {size / 2**20:.0f} MiB is more than a feeder's model takes "
                f"({SIZE_LIMIT_BYTES // 2**20} MiB); export one feeder"
            )
        data = path.read_bytes()
    except OSError as error:
        raise FeederFault(f"{path}: cannot be read ({error.strerror}); give a CIM file") from error
    if not data.strip():
        raise FeederFault(f"{path}: is empty; export the CIM model again")
    return data


# --- the guard --------------------------------------------------------------------------


class _Guard:
    """Refuses XML that no CIM export writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._depth = 0
        self.parser = expat.ParserCreate(namespace_separator="#")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.StartDoctypeDeclHandler = self._declared
        self.parser.EntityDeclHandler = self._declared

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise FeederFault(
                f"{self._place()}: elements nested more than {DEPTH_LIMIT} deep are no CIM model"
            )
        if self._depth == 1 and not name.endswith("rdf-syntax-ns##RDF"):
            raise FeederFault(
                f"{self._place()}: the root is {shown(name)}, not rdf:RDF; give CIM in RDF/XML"
            )

    def _end(self, _name: str) -> None:
        self._depth -= 1

    def _declared(self, *_args: object) -> None:
        raise FeederFault(
            f"{self._place()}: declares a document type or an entity; take the declaration "
            "(<!DOCTYPE …>, <!ENTITY …>) out: a CIM model needs none"
        )

    def _place(self) -> str:
        return f"{self._path}:{self.parser.CurrentLineNumber}"


def _guard(data: bytes, path: Path) -> None:
    guard = _Guard(path)
    try:
        guard.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise FeederFault(
            f"{path}:{error.lineno}: is not XML ({expat.ErrorString(error.code)}); "
            "export the CIM model again"
        ) from error
    except (ValueError, LookupError) as error:  # an encoding that expat does not take
        raise FeederFault(f"{path}: {_line(error)}; save it as UTF-8") from error


# --- objects ----------------------------------------------------------------------------


def _document(graph: Graph, path: Path) -> CimDocument:
    kinds: dict[str, str] = {}
    other = ""
    for subject, kind in sorted(graph.subject_objects(RDF.type)):
        namespace, _, local = str(kind).rpartition("#")
        if not namespace.startswith(CIM_STEM):
            continue
        kinds.setdefault(str(subject), local)
        if namespace + "#" != CIM100:
            other = namespace + "#"
    if not kinds:
        raise FeederFault(f"{path}: holds no CIM objects; give a CIM100 model in RDF/XML")
    objects = {uri: CimObject(uri=uri, kind=kind) for uri, kind in kinds.items()}
    for subject, predicate, value in graph:
        owner = objects.get(str(subject))
        if owner is None or predicate == RDF.type:
            continue
        attribute = str(predicate).rpartition("#")[2]
        where = owner.links if isinstance(value, URIRef) else owner.literals
        where[attribute] = tuple(sorted((*where.get(attribute, ()), str(value))))
    return CimDocument(path=path, objects=objects, other_version=other)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
