"""Setpoints as CIM difference messages, as the input of a GridAPPS-D simulation takes them.

One document holds the devices behind one service transformer. `forward_differences` are the
values to be set, `reverse_differences` those they replace; both name a device by mRID and
`PowerElectronicsConnection.p` [W] or `.q` [var].

Sign. GEEMS counts injections positive: generation, discharge, and reactive power given. So does
GridAPPS-D where it acts on these messages: its simulator bridge hands the value of
`PowerElectronicsConnection.p` as it is to GridLAB-D's `P_Out` of the inverter, which is an
output (`.q` to `Q_Out`). The text of the CIM standard (IEC 61970-301) reads otherwise: load
convention, positive out of the node into the device. The default is therefore `INJECTION`;
`CONSUMPTION` serves a receiver that takes the standard by its letter. Each document says in
`sign_convention` which one it holds.
"""

import json
import math
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

ATTRIBUTE = "PowerElectronicsConnection"
NAMESPACE = uuid.UUID("7c0a0b8e-3f5e-5c57-9a55-8a0d0b1f6d0e")
"""Under which `difference_mrid` is derived; any fixed one will do."""
DECIMALS = 3
"""Of W and var: far below what a device resolves, and free of binary tails."""
LARGEST = 1e12
"""More than this is no power of a device [W, var]."""


class BadDifference(ValueError):
    """A document is no difference message, or a value cannot stand in one."""


class SignConvention(StrEnum):
    """What a positive value means."""

    INJECTION = "injection"
    """Power given to the grid: generation, discharge."""
    CONSUMPTION = "consumption"
    """Power taken from the grid, as the CIM standard words it."""

    @property
    def text(self) -> str:
        """For people, as the documents carry it."""
        if self is SignConvention.INJECTION:
            return "injection: positive p and q flow from the device into the grid"
        return "consumption: positive p and q flow from the grid into the device"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceChange:
    """What one device is asked to do instead of what it did. Injection positive."""

    mrid: str
    """mRID of the PowerElectronicsConnection."""
    p_w: float
    """Active power to be set [W]."""
    q_var: float
    """Reactive power to be set [var]."""
    p_before_w: float
    """Active power that it replaces [W]."""
    q_before_var: float
    """Reactive power that it replaces [var]."""
    attribute: str = ATTRIBUTE
    """Class whose `.p` and `.q` are set; `RotatingMachine` for a generator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceMessage:
    """One document, as read back."""

    command: str
    simulation_id: str
    timestamp: datetime
    """UTC, whole seconds."""
    difference_mrid: str
    sign_convention: SignConvention
    service_transformer: str
    """mRID; empty for devices that stand on the primary."""
    changes: tuple[DeviceChange, ...]
    """Injection positive, whichever convention the document had."""


def difference_mrid(simulation_id: str, service_transformer: str, timestamp: datetime) -> str:
    """The mRID of a message: the same for the same transformer, simulation and second."""
    key = f"{simulation_id}|{service_transformer}|{_seconds(timestamp)}"
    return str(uuid.uuid5(NAMESPACE, key))


def difference_document(
    changes: Iterable[DeviceChange],
    *,
    simulation_id: str,
    timestamp: datetime,
    service_transformer: Mapping[str, str] | None = None,
    command: str = "update",
    sign: SignConvention = SignConvention.INJECTION,
) -> dict[str, Any]:
    """The document for the devices behind one service transformer.

    Args:
        changes: the devices; each gives a difference of p and one of q, changed or not, so
            that the document states every setpoint.
        simulation_id: of the simulation, or whatever the receiver calls its session.
        timestamp: when the setpoints begin to hold; aware.
        service_transformer: its `mrid` and `name`; None for devices on the primary.
        command: what the receiver is to do with the message.
        sign: what a positive value means.

    Raises:
        BadDifference: a value is not finite, a device comes twice, or the time has no zone.
    """
    listed = tuple(changes)
    _check(listed)
    transformer = dict(service_transformer or {"mrid": "", "name": ""})
    factor = 1.0 if sign is SignConvention.INJECTION else -1.0

    def differences(*, before: bool) -> list[dict[str, Any]]:
        made = []
        for c in listed:
            powers = (c.p_before_w, c.q_before_var) if before else (c.p_w, c.q_var)
            for axis, value in zip("pq", powers, strict=True):
                rounded = round(factor * value, DECIMALS) + 0.0  # and no −0.0
                made.append(
                    {"object": c.mrid, "attribute": f"{c.attribute}.{axis}", "value": rounded}
                )
        return made

    return {
        "command": command,
        "input": {
            "simulation_id": simulation_id,
            "message": {
                "timestamp": _seconds(timestamp),
                "difference_mrid": difference_mrid(
                    simulation_id, transformer.get("mrid", ""), timestamp
                ),
                "reverse_differences": differences(before=True),
                "forward_differences": differences(before=False),
            },
        },
        "sign_convention": sign.text,
        "service_transformer": transformer,
    }


def encode(document: Mapping[str, Any]) -> str:
    """The document as JSON text.

    Raises:
        BadDifference: it holds what JSON cannot.
    """
    try:
        return json.dumps(document, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise BadDifference(f"difference message: {error}") from error


def decode(text: str) -> DifferenceMessage:
    """Read a document back.

    Raises:
        BadDifference: names all that is missing or wrong.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadDifference(f"difference message: is not JSON: {error}") from error
    faults: list[str] = []
    outer = _table(data, "document", faults)
    given = _table(outer.get("input"), "input", faults)
    message = _table(given.get("message"), "input.message", faults)
    sign = _sign(outer.get("sign_convention"), faults)
    before = _values(message, "reverse_differences", faults)
    after = _values(message, "forward_differences", faults)
    changes = _changes(before, after, sign, faults)
    timestamp = message.get("timestamp")
    if isinstance(timestamp, bool) or not isinstance(timestamp, int) or not 0 <= timestamp < 2**33:
        faults.append("input.message.timestamp: give whole seconds since 1970")
        timestamp = 0
    if faults:
        raise BadDifference("difference message: " + "; ".join(faults))
    transformer = _table(outer.get("service_transformer", {}), "service_transformer", faults)
    return DifferenceMessage(
        command=str(outer.get("command", "")),
        simulation_id=str(given.get("simulation_id", "")),
        timestamp=datetime.fromtimestamp(timestamp, UTC),
        difference_mrid=str(message.get("difference_mrid", "")),
        sign_convention=sign,
        service_transformer=str(transformer.get("mrid", "")),
        changes=changes,
    )


def _check(changes: tuple[DeviceChange, ...]) -> None:
    faults = [
        f"{c.mrid}: {name} is {getattr(c, name)}, no power of a device"
        for c in changes
        for name in ("p_w", "q_var", "p_before_w", "q_before_var")
        if not abs(getattr(c, name)) <= LARGEST
    ]
    mrids = [c.mrid for c in changes]
    faults += [f"{m}: comes twice" for m in sorted({m for m in mrids if mrids.count(m) > 1})]
    if faults:
        raise BadDifference("difference message: " + "; ".join(faults))


def _seconds(timestamp: datetime) -> int:
    if timestamp.tzinfo is None:
        raise BadDifference(f"difference message: timestamp {timestamp} has no zone; give UTC")
    return math.floor(timestamp.timestamp())


# --- reading ----------------------------------------------------------------------------


def _table(value: Any, name: str, faults: list[str]) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    faults.append(f"{name}: give an object")
    return {}


def _sign(value: Any, faults: list[str]) -> SignConvention:
    for sign in SignConvention:
        if isinstance(value, str) and value.partition(":")[0].strip() == sign:
            return sign
    faults.append("sign_convention: give injection or consumption; without it no value is sure")
    return SignConvention.INJECTION


def _values(
    message: Mapping[str, Any], name: str, faults: list[str]
) -> dict[str, dict[str, float]]:
    """Values by `mRID|class`, then by axis."""
    listed = message.get(name)
    if not isinstance(listed, list):
        faults.append(f"input.message.{name}: give a list")
        return {}
    found: dict[str, dict[str, float]] = {}
    for i, entry in enumerate(listed):
        place = f"input.message.{name}[{i}]"
        difference = _table(entry, place, faults)
        kind, _, axis = str(difference.get("attribute", "")).rpartition(".")
        value = difference.get("value")
        if axis not in ("p", "q") or not kind:
            faults.append(f"{place}.attribute: give {ATTRIBUTE}.p or .q")
        elif isinstance(value, bool) or not isinstance(value, int | float):
            faults.append(f"{place}.value: give a number")
        elif not abs(value) <= LARGEST:
            faults.append(f"{place}.value: is no power of a device")
        elif not isinstance(difference.get("object"), str) or not difference["object"]:
            faults.append(f"{place}.object: give an mRID")
        else:
            found.setdefault(f"{difference['object']}|{kind}", {})[axis] = float(value)
    return found


def _changes(
    before: Mapping[str, Mapping[str, float]],
    after: Mapping[str, Mapping[str, float]],
    sign: SignConvention,
    faults: list[str],
) -> tuple[DeviceChange, ...]:
    factor = 1.0 if sign is SignConvention.INJECTION else -1.0
    made = []
    for key in dict.fromkeys([*after, *before]):
        mrid, _, kind = key.rpartition("|")
        new, old = after.get(key, {}), before.get(key, {})
        if {*new} != {"p", "q"} or {*old} != {"p", "q"}:
            faults.append(f"{mrid}: give p and q, forward and reverse")
            continue
        made.append(
            DeviceChange(
                mrid=mrid,
                attribute=kind,
                p_w=factor * new["p"] + 0.0,
                q_var=factor * new["q"] + 0.0,
                p_before_w=factor * old["p"] + 0.0,
                q_before_var=factor * old["q"] + 0.0,
            )
        )
    return tuple(made)
