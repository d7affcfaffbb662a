"""An IEC 61850 information model as values: IEDs, logical nodes, data, data sets, GOOSE.

Types are written out where they are used; the templates of a file are made of them when it is
written (IEC 61850-6, clause 9.5), and dissolved into them when it is read.
"""

from collections.abc import Iterator
from dataclasses import dataclass

STRUCT = "Struct"
"""Basic type of an attribute that is made of others."""
MIN_TIME_MS, MAX_TIME_MS = 4, 1000
"""Of an address that names none."""
ENUM = "Enum"
"""Basic type of an attribute whose values have names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataAttribute:
    """One attribute of a data object, or one part of a structured attribute."""

    name: str
    b_type: str
    """Basic type, for example `FLOAT32`; `Struct` where it has parts."""
    fc: str = ""
    """Functional constraint; parts of a structure have that of the whole."""
    parts: tuple["DataAttribute", ...] = ()
    """Of a structure, in order."""
    symbols: tuple[tuple[int, str], ...] = ()
    """Of an enumeration: ordinal and name."""
    count: int = 0
    """Elements of an array; 0 for a single value."""
    value: str | None = None
    """As configured in the file; None where the file gives none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataObject:
    """One data object, for example `TotW`."""

    name: str
    cdc: str
    """Common data class, for example `MV`."""
    attributes: tuple[DataAttribute, ...] = ()
    objects: tuple["DataObject", ...] = ()
    """Data objects inside, for example the phases of a `WYE`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalNode:
    """One logical node, for example `MMXU1`."""

    ln_class: str
    inst: str = ""
    """Number; empty for LLN0."""
    prefix: str = ""
    objects: tuple[DataObject, ...] = ()

    @property
    def name(self) -> str:
        """Prefix, class and number, as references spell it."""
        return f"{self.prefix}{self.ln_class}{self.inst}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fcda:
    """One entry of a data set: functionally constrained data, or one attribute of them."""

    ld: str
    """Instance of the logical device."""
    ln_class: str
    ln_inst: str = ""
    prefix: str = ""
    do: str
    """Data object; `PPV.phsAB` for one inside another."""
    da: str = ""
    """Attribute, `mag.f` for a part of one; empty for all of that constraint."""
    fc: str

    @property
    def ln(self) -> str:
        """Name of the logical node."""
        return f"{self.prefix}{self.ln_class}{self.ln_inst}"

    def __str__(self) -> str:
        tail = f".{self.da}" if self.da else ""
        return f"{self.ld}/{self.ln}.{self.do}{tail} [{self.fc}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """What is sent together, in this order."""

    name: str
    entries: tuple[Fcda, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GooseAddress:
    """Where a GOOSE control block sends, and how often."""

    mac: str
    """Multicast address, `01-0C-CD-01-00-00` to `01-0C-CD-01-01-FF`."""
    appid: int
    """0x0000 to 0x3FFF, or 0x8000 to 0xBFFF for what trips."""
    vlan_id: int = 0
    """0: priority tag only."""
    vlan_priority: int = 4
    min_time_ms: int = MIN_TIME_MS
    """Pause before the first retransmission [ms]."""
    max_time_ms: int = MAX_TIME_MS
    """Pause between retransmissions while nothing changes [ms]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GooseControl:
    """A GOOSE control block of a logical device."""

    name: str
    data_set: str
    """Name of a data set of the same logical device."""
    go_id: str
    conf_rev: int = 1
    address: GooseAddress
    subscribers: tuple[str, ...] = ()
    """IEDs it is meant for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalDevice:
    """One logical device; its first node is LLN0, which holds its data sets."""

    inst: str
    nodes: tuple[LogicalNode, ...]
    data_sets: tuple[DataSet, ...] = ()
    gooses: tuple[GooseControl, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IedModel:
    """One IED."""

    name: str
    devices: tuple[LogicalDevice, ...]
    desc: str = ""
    manufacturer: str = ""
    ied_type: str = ""
    config_version: str = ""
    access_point: str = "AP1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SclFile:
    """What one file holds: the device first, then whoever else is described in it."""

    id: str
    """Of the header."""
    version: str = ""
    revision: str = ""
    sub_network: str = ""
    ieds: tuple[IedModel, ...]


def leaves(
    attributes: tuple[DataAttribute, ...], path: str = "", fc: str = ""
) -> Iterator[tuple[str, str, DataAttribute]]:
    """All simple attributes, in order: path, functional constraint, attribute."""
    for attribute in attributes:
        at, constraint = f"{path}{attribute.name}", attribute.fc or fc
        if attribute.b_type == STRUCT:
            yield from leaves(attribute.parts, f"{at}.", constraint)
        else:
            yield at, constraint, attribute
