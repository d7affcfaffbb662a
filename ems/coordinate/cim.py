"""A feeder from a CIM model, with the PV that stands in it."""

import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from ems.coordinate.case import EVERYBODY, PRIMARY, UTILITY, Case, Plant, Scenario, assembled
from ems.coordinate.loads import Powers
from ems.domain import Bes, Pv, Setpoint, Unmoved
from ems.errors import BadInput
from feeders.cim import (
    CimDevice,
    CimFeeder,
    DeviceKind,
    OperatingPoint,
    operating_point,
    operating_point_from_measurements,
    read_cim,
)


def cim_case(
    path: Path,
    feeder_mrid: str | None,
    scenario: Scenario,
    now: datetime,
    *,
    values: Mapping[str, complex] | None = None,
) -> Case:
    """A feeder of a CIM file, at the scenario's scales or as it was measured.

    Batteries and generators stay where the file or the measurement has them.

    Args:
        path: CIM100 model in RDF/XML.
        feeder_mrid: which feeder; not needed where the file holds one.
        scenario: the moment; who has PV, and how much, is the model's to say.
        now: UTC.
        values: complex powers by the mRID of their measurement, positive into the element
            [W + j var]; None: the scenario's scales.

    Raises:
        FeederFault: the file does not describe the feeder, or the values are none of its.
        BadInput: the feeder has no PV.
    """
    cim = read_cim(path, feeder_mrid)
    if values is None:
        point = operating_point(cim, load=scenario.load_scale, pv=scenario.pv_scale)
    else:
        point = operating_point_from_measurements(cim, values)
    if not point.available_kw:
        raise BadInput.at(
            str(path),
            f"feeder {cim.name} has no PhotovoltaicUnit behind a PowerElectronicsConnection, so "
            "there is nothing to coordinate",
        )
    at = point.injections
    if not isinstance(at.load_kw, Mapping) or not isinstance(at.load_kvar, Mapping):
        raise AssertionError  # noqa: TRY004 - an operating point names every load
    pv = [d for d in cim.devices if d.kind is DeviceKind.PV]
    others = [d for d in cim.devices if d.kind is not DeviceKind.PV]
    homes = {x.bus: x.name for x in reversed(cim.loads)}
    with tempfile.TemporaryDirectory(prefix="geems-cim-") as folder:
        entry = cim.to_opendss(Path(folder))
        return assembled(
            cim.name,
            scenario,
            now,
            ders=[*(_pv(d, cim, homes, scenario) for d in pv), *map(_held, others)],
            available_kw=point.available_kw,
            plants=[_plant(d, cim, homes, point) for d in pv],
            powers=Powers(kw=at.load_kw, kvar=at.load_kvar),
            feeder=str(entry),
            pins={d.placement.name: _pin(d, point) for d in others},
            notes=(*cim.warnings, *point.notes),
        )


def _pv(device: CimDevice, cim: CimFeeder, homes: Mapping[str, str], scenario: Scenario) -> Pv:
    service = cim.service_transformer_of(device)
    group = UTILITY
    if device.bus in homes or service is not None:
        behind = PRIMARY if service is None else service.mrid
        group = behind if scenario.group == "transformer" else EVERYBODY
    q_max = max(min(device.max_q_kvar, -device.min_q_kvar), 0.0) if scenario.reactive else 0.0
    return Pv(
        name=device.placement.name,
        bus=device.placement.bus,
        phases=device.placement.phases,
        rated_kw=device.max_p_kw,
        q_max_kvar=q_max,
        s_max_kva=device.rated_kva,
        group=group,
    )


def _held(device: CimDevice) -> Bes:
    """A device that is no PV: it is not moved, so its storage is of no account."""
    return Bes(
        name=device.placement.name,
        bus=device.placement.bus,
        phases=device.placement.phases,
        rated_kw=device.rated_kva,
        capacity_kwh=max(device.rated_kwh, 1.0),
        weight_usd_per_kwh=0.0,
    )


def _pin(device: CimDevice, point: OperatingPoint) -> Unmoved:
    name = device.placement.name
    at = Setpoint(
        der=name,
        p_kw=point.injections.p_kw.get(name, 0.0),
        q_kvar=point.injections.q_kvar.get(name, 0.0),
    )
    return Unmoved(expected=at, high=at, low=at)


def _plant(
    device: CimDevice, cim: CimFeeder, homes: Mapping[str, str], point: OperatingPoint
) -> Plant:
    service = cim.service_transformer_of(device)
    name = device.placement.name
    return Plant(
        der=name,
        mrid=device.mrid,
        customer=homes.get(device.bus, ""),
        transformer="" if service is None else service.name,
        transformer_mrid="" if service is None else service.mrid,
        p_before_kw=point.injections.p_kw.get(name, 0.0),
        q_before_kvar=point.injections.q_kvar.get(name, 0.0),
    )
