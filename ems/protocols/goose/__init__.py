"""IEC 61850 GOOSE: what publisher and subscriber share.

Written from public sources; where these leave something open, docs/iec61850.md says so.
"""

from ems.protocols.goose.ber import MalformedFrame
from ems.protocols.goose.control import ArrayOf, ControlBlock, Entry, Kind, Shape, fits
from ems.protocols.goose.frame import Frame, GooseMessage, decode, encode
from ems.protocols.goose.link import LinkDown, LinkFault, RawLink
from ems.protocols.goose.process import GooseProcess, Heard, Lost
from ems.protocols.goose.publisher import Publisher
from ems.protocols.goose.quality import GOOD, INVALID, Quality, Validity
from ems.protocols.goose.station import Counts, Station, StationCounts
from ems.protocols.goose.subscription import Accepted, Ignored, Reason, Standing, Subscription
from ems.protocols.goose.utc_time import UtcTime
from ems.protocols.goose.values import (
    Array,
    Bcd,
    BinaryTime,
    BitString,
    Boolean,
    Data,
    Float32,
    Float64,
    Int32,
    Int64,
    MmsString,
    OctetString,
    Structure,
    Timestamp,
    Uint32,
    VisibleString,
    integer,
)

__all__ = [
    "GOOD",
    "INVALID",
    "Accepted",
    "Array",
    "ArrayOf",
    "Bcd",
    "BinaryTime",
    "BitString",
    "Boolean",
    "ControlBlock",
    "Counts",
    "Data",
    "Entry",
    "Float32",
    "Float64",
    "Frame",
    "GooseMessage",
    "GooseProcess",
    "Heard",
    "Ignored",
    "Int32",
    "Int64",
    "Kind",
    "LinkDown",
    "LinkFault",
    "Lost",
    "MalformedFrame",
    "MmsString",
    "OctetString",
    "Publisher",
    "Quality",
    "RawLink",
    "Reason",
    "Shape",
    "Standing",
    "Station",
    "StationCounts",
    "Structure",
    "Subscription",
    "Timestamp",
    "Uint32",
    "UtcTime",
    "Validity",
    "VisibleString",
    "decode",
    "encode",
    "fits",
    "integer",
]
