"""The information model of a segment's loads, and of a whole site."""

from collections.abc import Sequence
from dataclasses import dataclass

from ems.domain import Der
from ems.errors import BadInput, Fault
from ems.protocols.scl import common
from ems.protocols.scl.der import der_model
from ems.protocols.scl.model import DataObject, IedModel, LogicalNode, SclFile
from ems.protocols.scl.parts import (
    BLOCKS_EACH,
    MEASUREMENTS,
    SUB_NETWORK,
    V_NOM,
    VENDOR,
    goose_address,
    ied_name,
    logical_devices,
    measuring_node,
    sending,
)
from ems.protocols.scl.points import CONNECTION, GENERATOR, METERED


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleLoad:
    """One load of the feeder."""

    name: str
    rated_kw: float
    """Nominal power [kW]."""


def site_models(
    ders: Sequence[Der], loads: Sequence[SingleLoad], load_name: str = "load"
) -> dict[str, SclFile]:
    """The files of all devices of a site by their names, the loads' last.

    Raises:
        BadInput: two names become the same IED name, or no GOOSE address is left.
    """
    names = [*(d.name for d in ders), load_name]
    plain = [ied_name(name) for name in names]
    faults = [
        Fault(
            place=name,
            problem=f"becomes the IED name '{ied}', as another device does; IED names have "
            "letters, digits and underscores only: rename one of the two",
        )
        for name, ied in zip(names, plain, strict=True)
        if plain.count(ied) > 1
    ]
    if faults:
        raise BadInput(faults)
    files = {der.name: der_model(der, k) for k, der in enumerate(ders)}
    return {**files, load_name: load_model(load_name, loads, len(ders))}


def load_model(name: str, loads: Sequence[SingleLoad], index: int, v_nom: float = V_NOM) -> SclFile:
    """The file of all loads together, measured where they are connected; nothing is ordered.

    A DPMC stands for them all and names the DLOD and DECP of each.
    """
    told = METERED
    rated_kw = sum(ld.rated_kw for ld in loads)
    manager = (
        common.state("Beh", common.BEHAVIOUR),
        *(common.reference(f"DERRef{k}", f"{GENERATOR}/DLOD{k}") for k in _numbers(loads)),
        *(common.reference(f"OutEcpRef{k}", f"{CONNECTION}/DECP{k}") for k in _numbers(loads)),
    )
    common_point = (
        common.state("Beh", common.BEHAVIOUR),
        common.setting("VRef", v_nom),
        common.setting("WRtg", rated_kw * 1000),
    )
    connection = [
        LogicalNode(ln_class="DPCC", inst="1", objects=common_point),
        *(_named("DECP", k, ld.name) for k, ld in enumerate(loads, start=1)),
        measuring_node("MMXU", told, CONNECTION),
    ]
    single = [_load(k, ld) for k, ld in enumerate(loads, start=1)]
    devices = logical_devices(
        name,
        system=(),
        controller=[LogicalNode(ln_class="DPMC", inst="1", objects=manager)],
        connection=connection,
        generator=single,
    )
    address = goose_address(BLOCKS_EACH * index, name)
    devices = sending(devices, told, MEASUREMENTS, "gcbMeasurements", ied_name(name), address)
    ied = IedModel(
        name=ied_name(name), desc="Loads", manufacturer=VENDOR, ied_type="LOAD",
        config_version="1", devices=devices,
    )  # fmt: skip
    return SclFile(id=ied.name, version="1", sub_network=SUB_NETWORK, ieds=(ied,))


def _numbers(loads: Sequence[SingleLoad]) -> range:
    return range(1, len(loads) + 1)


def _named(ln_class: str, number: int, name: str, *more: DataObject) -> LogicalNode:
    """A node that says what it stands for."""
    plate = common.name_plate("NamPlt", name, "1")
    objects = (plate, common.state("Beh", common.BEHAVIOUR), *more)
    return LogicalNode(ln_class=ln_class, inst=str(number), objects=objects)


def _load(number: int, load: SingleLoad) -> LogicalNode:
    rating = common.setting("WMaxRtg", load.rated_kw * 1000)
    reference = common.reference("OutEcpRef", f"{CONNECTION}/DECP{number}")
    return _named("DLOD", number, load.name, rating, reference)
