"""A GOOSE control block: who publishes what, to whom, how often; as an ICD file says it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import zip_longest
from typing import Any, TypeAlias

from ems.errors import BadInput, Fault
from ems.protocols.goose import values
from ems.protocols.goose.quality import QUALITY_BITS


class Kind(Enum):
    """Type of a value that has no members; the number is only its place here."""

    BOOLEAN = 1
    INT32 = 2
    """INT8 to INT32, and enumerations."""
    INT64 = 3
    UINT32 = 4
    """INT8U to INT32U."""
    FLOAT32 = 5
    FLOAT64 = 6
    QUALITY = 7
    """Thirteen bits."""
    DBPOS = 8
    """Two bits: position of a switch."""
    BIT_STRING = 9
    """Any number of bits."""
    OCTET_STRING = 10
    VISIBLE_STRING = 11
    MMS_STRING = 12
    TIMESTAMP = 13
    BINARY_TIME = 14
    BCD = 15


@dataclass(frozen=True, slots=True)
class ArrayOf:
    """An array: `count` elements of one shape."""

    element: "Shape"
    count: int


Shape: TypeAlias = "Kind | tuple[Shape, ...] | ArrayOf"
"""What one entry must look like: a kind, a structure as the shapes of its members, an array."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a data set."""

    reference: str
    """What it is, for messages, for example `PV1LD0/DECP1.VRefPu.mag.f [MX]`."""
    shape: Shape
    """What it must look like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlBlock:
    """Everything publisher and subscriber must agree on before the first frame."""

    gocb_ref: str
    """Reference of the control block, for example `PV1LD0/LLN0$GO$gcb1`."""
    dat_set: str
    """Reference of the data set, for example `PV1LD0/LLN0$measured`."""
    go_id: str
    """Name of the message, unique in the network."""
    appid: int
    """Application identifier: 0x0000 to 0x3FFF, or 0x8000 to 0xBFFF for trip."""
    dst_mac: bytes
    """Multicast address, six octets; 01-0C-CD-01-00-00 to 01-0C-CD-01-01-FF by convention."""
    vlan_id: int | None = 0
    """VLAN of the tag, 0 for priority alone; None sends no tag."""
    vlan_priority: int = 4
    """Priority of the tag, 0 to 7."""
    conf_rev: int
    """Revision of the data set; a subscriber takes no other."""
    min_time_ms: int = 4
    """Delay of the first retransmission after a change [ms]."""
    max_time_ms: int = 1000
    """Longest delay between retransmissions [ms]."""
    entries: tuple[Entry, ...]
    """The data set, in order."""

    def __post_init__(self) -> None:
        faults = [
            Fault(place=f"control block {self.gocb_ref}: {name}", problem=problem)
            for name, problem in self._problems()
        ]
        if faults:
            raise BadInput(faults)

    def _problems(self) -> Iterable[tuple[str, str]]:
        for name in ("gocb_ref", "dat_set", "go_id"):
            text = getattr(self, name)
            if not (text and text.isascii() and text.isprintable() and len(text) <= LONGEST_NAME):
                yield name, f"{text!r}: 1 to {LONGEST_NAME} printable ASCII characters are needed"
        if not (0 <= self.appid <= 0x3FFF or 0x8000 <= self.appid <= 0xBFFF):
            yield "appid", f"{self.appid:#06x} is not one of GOOSE (0x0000-0x3FFF, 0x8000-0xBFFF)"
        if len(self.dst_mac) != 6 or not self.dst_mac[0] & 1:
            yield "dst_mac", f"{self.dst_mac.hex('-')} is no multicast address of six octets"
        if self.vlan_id is not None and not 0 <= self.vlan_id <= 0xFFE:
            yield "vlan_id", f"{self.vlan_id} is not in 0-4094"
        if not 0 <= self.vlan_priority <= 7:
            yield "vlan_priority", f"{self.vlan_priority} is not in 0-7"
        if not 0 <= self.conf_rev <= 0xFFFF_FFFF:
            yield "conf_rev", f"{self.conf_rev} does not fit into 32 bits"
        if not 1 <= self.min_time_ms <= self.max_time_ms <= LONGEST_PAUSE_MS:
            span = f"{self.min_time_ms} ms, with max_time_ms {self.max_time_ms} ms"
            yield "min_time_ms", f"{span}: 1 <= min <= max <= {LONGEST_PAUSE_MS} is needed"
        if not self.entries:
            yield "entries", "the data set is empty"

    def mismatches(
        self, data: Sequence[values.Data], fitting: Sequence[values.Data] = ()
    ) -> list[str]:
        """What keeps values from being this data set; empty where they fit.

        Args:
            data: the values.
            fitting: values that fit, as found before; what is the same object is not looked at.
        """
        if len(data) != len(self.entries):
            return [f"{len(data)} entries, the data set has {len(self.entries)}"]
        return [
            f"entry {i} ({self.entries[i].reference}) is {value}"
            for i, (value, known) in enumerate(zip_longest(data, fitting))
            if value is not known and not fits(self.entries[i].shape, value)
        ]


LONGEST_NAME = 129
"""An object reference of edition 2 has at most 129 characters."""
LONGEST_PAUSE_MS = 3_600_000
"""A publisher that is silent for an hour supervises nothing."""

_CLASSES: dict[Kind, tuple[type[Any], ...]] = {
    Kind.BOOLEAN: (values.Boolean,),
    Kind.INT32: (values.Int32,),
    Kind.INT64: (values.Int32, values.Int64),
    Kind.UINT32: (values.Uint32,),
    Kind.FLOAT32: (values.Float32,),
    Kind.FLOAT64: (values.Float64,),
    Kind.QUALITY: (values.BitString,),
    Kind.DBPOS: (values.BitString,),
    Kind.BIT_STRING: (values.BitString,),
    Kind.OCTET_STRING: (values.OctetString,),
    Kind.VISIBLE_STRING: (values.VisibleString,),
    Kind.MMS_STRING: (values.MmsString,),
    Kind.TIMESTAMP: (values.Timestamp,),
    Kind.BINARY_TIME: (values.BinaryTime,),
    Kind.BCD: (values.Bcd,),
}
_BITS = {Kind.QUALITY: QUALITY_BITS, Kind.DBPOS: 2}


def fits(shape: Shape, value: values.Data) -> bool:
    """Whether a value has this shape."""
    if isinstance(shape, Kind):
        if type(value) not in _CLASSES[shape]:
            return False
        return not isinstance(value, values.BitString) or _BITS.get(shape, value.size) == value.size
    if isinstance(shape, ArrayOf):
        return (
            type(value) is values.Array
            and len(value.value) == shape.count
            and all(fits(shape.element, v) for v in value.value)
        )
    return (
        type(value) is values.Structure
        and len(value.value) == len(shape)
        and all(fits(s, v) for s, v in zip(shape, value.value, strict=True))
    )
