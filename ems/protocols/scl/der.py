"""The information model of a DER, after IEC 61850-7-420, and of its RTU.

One IED per DER, with the logical devices LD0 (the IED itself), PMC (power management), ECP
(electrical connection point) and GEN (the unit). A second IED stands for the RTU: it publishes
setpoints by GOOSE as the DER publishes measurements.
"""

import math
from collections.abc import Iterable, Sequence

from ems.domain import Bes, Der, Dg, Pv
from ems.protocols.scl import common
from ems.protocols.scl.model import (
    GooseAddress,
    IedModel,
    LogicalDevice,
    LogicalNode,
    SclFile,
)
from ems.protocols.scl.parts import (
    BLOCKS_EACH,
    HELD,
    MEASUREMENTS,
    RTU_SUFFIX,
    SETPOINTS,
    SUB_NETWORK,
    V_NOM,
    VENDOR,
    goose_address,
    ied_name,
    logical_devices,
    measuring_node,
    objects_of,
    sending,
)
from ems.protocols.scl.points import (
    CONNECTION,
    CONTROLLER,
    GENERATOR,
    SYSTEM,
    Control,
    Mapped,
    controls_of,
    told_by,
)


def der_model(der: Der, index: int, v_nom: float = V_NOM) -> SclFile:
    """The file of one DER and its RTU.

    Args:
        der: what it is.
        index: place among the devices of the site, from 0; it sets the GOOSE addresses.
        v_nom: nominal voltage of its terminals, line to line [V].

    Raises:
        BadInput: no GOOSE address is left for it.
    """
    name = ied_name(der.name)
    device = IedModel(
        name=name,
        desc=f"{type(der).__name__.upper()} {der.name}",
        manufacturer=VENDOR,
        ied_type=type(der).__name__.upper(),
        config_version="1",
        devices=_der_devices(der, index, v_nom),
    )
    rtu = _rtu(name, controls_of(der), goose_address(BLOCKS_EACH * index + 1, der.name))
    return SclFile(id=name, version="1", sub_network=SUB_NETWORK, ieds=(device, rtu))


# --- the device ----------------------------------------------------------------------


def _der_devices(der: Der, index: int, v_nom: float) -> tuple[LogicalDevice, ...]:
    told, controls = told_by(der), controls_of(der)
    shown = [*(p for c in controls for p in c.points), *_remaining(controls)]
    nodes = {c.points[0].ln_class for c in controls if c.points[0].ld == CONTROLLER}
    behaviour = common.state("Beh", common.BEHAVIOUR)
    # Of a single phase the voltage that matters is that to neutral.
    nominal = v_nom / math.sqrt(3) if der.phases == 1 else v_nom
    manager = (
        behaviour,
        common.reference("DERRef1", f"{GENERATOR}/DGEN1"),
        common.reference("OutEcpRef", f"{CONNECTION}/DECP1"),
    )
    devices = logical_devices(
        der.name,
        system=[
            *objects_of(told, SYSTEM, "LPHD", control=False),
            *objects_of(shown, SYSTEM, "LPHD", control=True),
        ],
        controller=[
            LogicalNode(ln_class="DPMC", inst="1", objects=manager),
            *(_controlled(ln_class, shown, controls) for ln_class in sorted(nodes)),
        ],
        connection=[
            LogicalNode(
                ln_class="DECP", inst="1", objects=(behaviour, common.setting("VRef", nominal))
            ),
            measuring_node("MMXU", told, CONNECTION),
        ],
        generator=_unit(der, told),
        local=objects_of(told, SYSTEM, "LLN0", control=False),
    )
    # Measurements change all the time, what is held seldom: two small frames, not one large one.
    name = ied_name(der.name)
    for points, data_set, block in ((told, MEASUREMENTS, 0), (shown, HELD, 2)):
        address = goose_address(BLOCKS_EACH * index + block, der.name)
        devices = sending(
            devices, points, data_set, f"gcb{data_set}", name, address, (name + RTU_SUFFIX,)
        )
    return devices


def _remaining(controls: Iterable[Control]) -> list[Mapped]:
    return [c.remaining for c in controls if c.remaining is not None]


def _controlled(
    ln_class: str, points: Iterable[Mapped], controls: Iterable[Control]
) -> LogicalNode:
    remaining = _remaining(controls)
    objects = [
        p.make(control=p not in remaining)
        for p in points
        if (p.ld, p.ln_class) == (CONTROLLER, ln_class)
    ]
    return LogicalNode(
        ln_class=ln_class, inst="1", objects=(common.state("Beh", common.BEHAVIOUR), *objects)
    )


def _unit(der: Der, told: Sequence[Mapped]) -> list[LogicalNode]:
    """Nodes of the generating or storing unit."""
    behaviour = common.state("Beh", common.BEHAVIOUR)
    apparent_va = math.hypot(der.rated_kw, der.q_max_kvar) * 1000
    ratings = (
        common.setting("WMaxRtg", der.rated_kw * 1000),
        common.setting("VAMaxRtg", apparent_va),
        common.setting("VarMaxSupRtg", der.q_max_kvar * 1000),
        common.extension(common.setting("VarMaxAbsRtg", der.q_max_kvar * 1000)),
        common.choice("PhsConnTyp", common.CONNECTION_TYPE, _connection(der)),
        common.reference("OutEcpRef", f"{CONNECTION}/DECP1"),
    )
    states = objects_of(told, GENERATOR, "DGEN", control=False)
    unit = LogicalNode(ln_class="DGEN", inst="1", objects=(behaviour, *states, *ratings))
    plain = [LogicalNode(ln_class=c, inst="1", objects=(behaviour,)) for c in _beside(der)]
    if isinstance(der, Pv):
        offered = objects_of(told, GENERATOR, "DPVC", control=False)
        control = LogicalNode(ln_class="DPVC", inst="1", objects=(behaviour, *offered))
        return [unit, control, *plain]
    if isinstance(der, Bes):
        storage = (
            behaviour,
            *objects_of(told, GENERATOR, "DSTO", control=False),
            common.setting("ChaWMaxRtg", der.rated_kw * 1000),
            common.setting("WhRtg", der.capacity_kwh * 1000),
        )
        return [unit, LogicalNode(ln_class="DSTO", inst="1", objects=storage), *plain]
    return [unit, *plain]


def _connection(der: Der) -> int:
    kinds = {1: common.SINGLE_PHASE, 2: common.SPLIT_PHASE}
    return kinds.get(der.phases, common.THREE_PHASE)


def _beside(der: Der) -> tuple[str, ...]:
    """Nodes that stand for parts of the unit of which nothing is told."""
    match der:
        case Pv():
            return ("DPVA", "DINV")
        case Bes():
            return ("DBAT", "DINV")
        case Dg():
            return ("DCIP",)


# --- the RTU -------------------------------------------------------------------------


def _rtu(name: str, controls: Sequence[Control], address: GooseAddress) -> IedModel:
    points = [p for c in controls for p in c.points]
    behaviour = common.state("Beh", common.BEHAVIOUR)
    classes = sorted({p.ln_class for p in points if p.ld == CONTROLLER})
    nodes = [
        LogicalNode(
            ln_class=c, inst="1",
            objects=(behaviour, *objects_of(points, CONTROLLER, c, control=True)),
        )
        for c in classes
    ]  # fmt: skip
    rtu = name + RTU_SUFFIX
    system = logical_devices(
        rtu,
        system=objects_of(points, SYSTEM, "LPHD", control=True),
        controller=nodes,
        connection=(),
        generator=(),
    )[:2]
    return IedModel(
        name=rtu,
        desc=f"RTU of {name}",
        manufacturer=VENDOR,
        ied_type=RTU_SUFFIX,
        config_version="1",
        devices=sending(system, points, SETPOINTS, "gcbSetpoints", rtu, address, (name,)),
    )
