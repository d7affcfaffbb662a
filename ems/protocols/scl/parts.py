"""What the models of all devices are made of: logical devices, addresses, data sets."""

import re
from collections.abc import Iterable, Sequence

from ems.errors import BadInput
from ems.protocols.scl import common
from ems.protocols.scl.model import (
    DataObject,
    DataSet,
    Fcda,
    GooseAddress,
    GooseControl,
    LogicalDevice,
    LogicalNode,
    leaves,
)
from ems.protocols.scl.points import CONNECTION, CONTROLLER, GENERATOR, SYSTEM, Mapped

NAME_SPACE = "IEC 61850-7-420:2019A"
VENDOR = "GEEMS"
MEASUREMENTS, HELD, SETPOINTS = "Measurements", "Held", "Setpoints"
"""Data sets: what the device measures, what it holds of what was ordered, what its RTU orders."""
RTU_SUFFIX = "RTU"
V_NOM = 480.0
"""Nominal voltage of a DER's terminals, line to line [V]."""
BLOCKS_EACH = 3
"""GOOSE control blocks of a device and its RTU."""
BLOCKS = 512
"""GOOSE addresses there are: 01-0C-CD-01-00-00 to 01-0C-CD-01-01-FF."""
FIRST_APPID = 0x1000
SUB_NETWORK = "StationBus"
MAX_TIME_MS = 1000
"""Pause between retransmissions while nothing changes [ms]."""
_TAIL = 64 - len(RTU_SUFFIX) - len(SYSTEM)
"""Longest name that leaves room for what is hung on it: a device's reference has 64 characters."""


def ied_name(name: str) -> str:
    """The name as IEDs may have one: letters, digits and underscores."""
    plain = re.sub(r"[^0-9A-Za-z_]", "_", name)[:_TAIL]
    return plain if plain[:1].isalpha() else f"D{plain}"[:_TAIL]


def goose_address(block: int, name: str) -> GooseAddress:
    """The address of a control block by its number in the network; `name` is for messages.

    Raises:
        BadInput: there are no more.
    """
    if block >= BLOCKS:
        raise BadInput.at(
            name,
            f"no GOOSE address is left: {BLOCKS // BLOCKS_EACH} devices share one network; "
            "put the others on a network and into a site of their own",
        )
    return GooseAddress(
        mac=f"01-0C-CD-01-{block >> 8:02X}-{block & 0xFF:02X}",
        appid=FIRST_APPID + block,
        max_time_ms=MAX_TIME_MS,
    )


def logical_devices(
    name: str,
    *,
    system: Sequence[DataObject],
    controller: Sequence[LogicalNode],
    connection: Sequence[LogicalNode],
    generator: Sequence[LogicalNode],
    local: Sequence[DataObject] = (),
) -> tuple[LogicalDevice, ...]:
    """The four logical devices; each begins with its LLN0."""
    health = common.state("PhyHealth", common.HEALTH)
    plate = common.physical_plate("PhyNam", VENDOR, "Simulated device", name)
    physical = LogicalNode(
        ln_class="LPHD", inst="1",
        objects=(plate, health, common.single("Proxy"), *system),
    )  # fmt: skip
    found = [LogicalDevice(inst=SYSTEM, nodes=(_zero(local), physical))]
    for inst, nodes in (
        (CONTROLLER, controller),
        (CONNECTION, connection),
        (GENERATOR, generator),
    ):
        found.append(LogicalDevice(inst=inst, nodes=(_zero(), *nodes)))
    return tuple(found)


def _zero(more: Sequence[DataObject] = ()) -> LogicalNode:
    objects = (
        common.name_plate("NamPlt", VENDOR, "1", NAME_SPACE),
        common.mode(),
        common.state("Beh", common.BEHAVIOUR),
        common.state("Health", common.HEALTH),
    )
    return LogicalNode(ln_class="LLN0", objects=(*objects, *more))


def objects_of(
    points: Iterable[Mapped], ld: str, ln_class: str, *, control: bool
) -> list[DataObject]:
    """The data objects of one class of nodes; `control`: they show setpoints."""
    return [p.make(control=control) for p in points if (p.ld, p.ln_class) == (ld, ln_class)]


def measuring_node(ln_class: str, points: Iterable[Mapped], ld: str) -> LogicalNode:
    """A node that tells the points of its class."""
    objects = objects_of(points, ld, ln_class, control=False)
    return LogicalNode(
        ln_class=ln_class, inst="1", objects=(common.state("Beh", common.BEHAVIOUR), *objects)
    )


# --- what is sent --------------------------------------------------------------------


def sending(
    devices: tuple[LogicalDevice, ...],
    points: Iterable[Mapped],
    data_set: str,
    block: str,
    ied: str,
    address: GooseAddress,
    subscribers: tuple[str, ...] = (),
) -> tuple[LogicalDevice, ...]:
    """The devices, the first of them publishing these points too: value, quality, time of each."""
    entries = tuple(e for p in points for e in _entries(devices, p))
    control = GooseControl(
        name=block,
        data_set=data_set,
        go_id=f"{ied}_{data_set}",
        conf_rev=1,
        address=address,
        subscribers=subscribers,
    )
    first = devices[0]
    sending = LogicalDevice(
        inst=first.inst,
        nodes=first.nodes,
        data_sets=(*first.data_sets, DataSet(name=data_set, entries=entries)),
        gooses=(*first.gooses, control),
    )
    return sending, *devices[1:]


def _entries(devices: Sequence[LogicalDevice], point: Mapped) -> list[Fcda]:
    node = next(
        n for d in devices if d.inst == point.ld for n in d.nodes if n.ln_class == point.ln_class
    )
    made = next(o for o in node.objects if o.name == point.do)
    return [
        Fcda(ld=point.ld, ln_class=node.ln_class, ln_inst=node.inst, do=point.do, da=path, fc=fc)
        for path, fc, _ in leaves(made.attributes)
        if fc in ("MX", "ST")
    ]
