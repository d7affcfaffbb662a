"""Data objects of the common data classes this project needs (IEC 61850-7-3).

Only the attributes that are used: value, quality, time stamp, and what names an object.
"""

from ems.protocols.scl.model import ENUM, STRUCT, DataAttribute, DataObject

EXTENSION = "GEEMS:2026"
"""Name space of data objects that IEC 61850 does not define, or of which no public source says
that it does; it stands in their attribute `dataNs`."""

ON, OFF = 1, 5
BEHAVIOUR = ((ON, "on"), (2, "on-blocked"), (3, "test"), (4, "test/blocked"), (OFF, "off"))
HEALTH = ((1, "Ok"), (2, "Warning"), (3, "Alarm"))
STATUS_ONLY = ((0, "status-only"),)
RUNNING, AVAILABLE, NOT_READY = 6, 3, 1
OPERATING_STATE = (
    (NOT_READY, "on but disconnected and not ready"),
    (2, "starting up"),
    (AVAILABLE, "disconnected and available"),
    (4, "disconnected and authorized"),
    (5, "synchronizing"),
    (RUNNING, "running"),
    (7, "stopping and disconnecting under emergency conditions"),
    (8, "stopping"),
    (9, "disconnected and blocked"),
    (10, "disconnected and in maintenance"),
    (11, "failed"),
    (98, "not applicable or not known"),
)
"""DEROpSt: whether a unit is connected and runs."""

SINGLE_PHASE, SPLIT_PHASE, THREE_PHASE = 1, 2, 5
CONNECTION_TYPE = (
    (SINGLE_PHASE, "single phase to neutral"),
    (SPLIT_PHASE, "split phase"),
    (3, "2-phase"),
    (4, "3-phase delta"),
    (THREE_PHASE, "3-phase wye / 4-wires"),
    (98, "not applicable or not known"),
)
"""PhsConnTyp: how a unit is connected."""

Symbols = tuple[tuple[int, str], ...]


def _value(name: str, b_type: str, fc: str, symbols: Symbols = ()) -> DataAttribute:
    return DataAttribute(name=name, b_type=b_type, fc=fc, symbols=symbols)


def _text(name: str, value: str, fc: str = "DC") -> DataAttribute:
    return DataAttribute(name=name, b_type="VisString255", fc=fc, value=value)


def _analogue(name: str, fc: str, value: str | None = None) -> DataAttribute:
    f = DataAttribute(name="f", b_type="FLOAT32", value=value)
    return DataAttribute(name=name, b_type=STRUCT, fc=fc, parts=(f,))


def _object(
    name: str, cdc: str, fc: str, *value: DataAttribute, more: tuple[DataAttribute, ...] = ()
) -> DataObject:
    """A value with its quality and time stamp."""
    stamped = (*value, _value("q", "Quality", fc), _value("t", "Timestamp", fc))
    return DataObject(name=name, cdc=cdc, attributes=(*stamped, *more))


def _control() -> tuple[DataAttribute, ...]:
    """No control service is offered: setpoints come as GOOSE, the object shows what is held."""
    return (
        DataAttribute(
            name="ctlModel", b_type=ENUM, fc="CF", symbols=STATUS_ONLY, value="status-only"
        ),
    )


def extension(made: DataObject) -> DataObject:
    """The same object, marked as none of IEC 61850's."""
    mark = _text("dataNs", EXTENSION, fc="EX")
    return DataObject(name=made.name, cdc=made.cdc, attributes=(*made.attributes, mark))


def measured(name: str) -> DataObject:
    """MV: an analogue measurement."""
    return _object(name, "MV", "MX", _analogue("mag", "MX"))


def single(name: str) -> DataObject:
    """SPS: a binary status."""
    return _object(name, "SPS", "ST", _value("stVal", "BOOLEAN", "ST"))


def counter(name: str) -> DataObject:
    """INS: an integer status, unsigned here."""
    return _object(name, "INS", "ST", _value("stVal", "INT32U", "ST"))


def state(name: str, symbols: Symbols) -> DataObject:
    """ENS: a status whose values have names."""
    return _object(name, "ENS", "ST", _value("stVal", ENUM, "ST", symbols))


def mode(name: str = "Mod") -> DataObject:
    """ENC: on or off."""
    value = _value("stVal", ENUM, "ST", BEHAVIOUR)
    return _object(name, "ENC", "ST", value, more=_control())


def single_control(name: str) -> DataObject:
    """SPC: a binary setpoint."""
    return _object(name, "SPC", "ST", _value("stVal", "BOOLEAN", "ST"), more=_control())


def integer_control(name: str) -> DataObject:
    """INC: an integer setpoint, unsigned here."""
    return _object(name, "INC", "ST", _value("stVal", "INT32U", "ST"), more=_control())


def analogue_control(name: str) -> DataObject:
    """APC: an analogue setpoint."""
    return _object(name, "APC", "MX", _analogue("mxVal", "MX"), more=_control())


def setting(name: str, value: float) -> DataObject:
    """ASG: an analogue setting, configured in the file; it is not sent."""
    return DataObject(
        name=name, cdc="ASG", attributes=(_analogue("setMag", "SP", format(value, ".9g")),)
    )


def choice(name: str, symbols: Symbols, ordinal: int) -> DataObject:
    """ENG: a setting whose values have names, configured in the file; it is not sent."""
    value = DataAttribute(
        name="setVal", b_type=ENUM, fc="SP", symbols=symbols, value=dict(symbols)[ordinal]
    )
    return DataObject(name=name, cdc="ENG", attributes=(value,))


def reference(name: str, target: str) -> DataObject:
    """ORG: a reference to another object of the model."""
    source = DataAttribute(name="setSrcRef", b_type="ObjRef", fc="SP", value=target)
    return DataObject(name=name, cdc="ORG", attributes=(source,))


def name_plate(name: str, vendor: str, version: str, name_space: str = "") -> DataObject:
    """LPL: who made a logical device, and which version."""
    texts = (_text("vendor", vendor), _text("swRev", version))
    spaces = (_text("ldNs", name_space, fc="EX"),) if name_space else ()
    return DataObject(name=name, cdc="LPL", attributes=(*texts, *spaces))


def physical_plate(name: str, vendor: str, kind: str, serial: str) -> DataObject:
    """DPL: who made a physical device."""
    texts = (_text("vendor", vendor), _text("model", kind), _text("serNum", serial))
    return DataObject(name=name, cdc="DPL", attributes=texts)
