"""From a CIM file to a feeder: the readers of the classes, in the order of their needs."""

from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

from feeders.cim import classes
from feeders.cim.capacitors import capacitor_controls, capacitors
from feeders.cim.devices import devices
from feeders.cim.document import load
from feeders.cim.element import Element
from feeders.cim.feeder import CimFeeder
from feeders.cim.impedances import LineCodes
from feeders.cim.lines import lines, series_compensators, switches
from feeders.cim.loads import loads
from feeders.cim.measurements import measurements
from feeders.cim.naming import Names
from feeders.cim.reading import Reading
from feeders.cim.sources import sources
from feeders.cim.topology import NOWHERE, Topology, topology_of
from feeders.cim.transformers import TransformerElement, transformers
from feeders.cim.wires import Wires

SHOWN_BUSES = 10
"""More than this in one warning is not read."""


def read_cim(path: Path, feeder_mrid: str | None = None) -> CimFeeder:
    """Read a feeder from a CIM100 model in RDF/XML.

    Args:
        path: the file.
        feeder_mrid: which feeder; not needed where the file holds one.

    Raises:
        FeederFault: the file is no CIM model, or does not describe the feeder: no such feeder
            (the message lists those there are), missing values and references (all of them).
    """
    document = load(path)
    reading = Reading(document)
    t = topology_of(reading, feeder_mrid)
    line_names, codes, wires = Names(), LineCodes(reading), Wires(reading)
    first = list(sources(t))
    moved = list(transformers(t, Names()))
    branches = [
        *lines(t, line_names, codes, wires),
        *switches(t, line_names),
        *series_compensators(t, Names()),
    ]
    banks = list(capacitors(t, Names()))
    consumers = list(loads(t, Names()))
    elements = [
        *first,
        *(m.element for m in moved),
        *branches,
        *banks,
        *(e for _, parts in consumers for e in parts),
    ]
    by_mrid: dict[str, list[Element]] = defaultdict(list)
    for element in elements:
        by_mrid[element.mrid].append(element)
    feeder = CimFeeder(
        path=path,
        mrid=t.feeder.mrid,
        name=t.feeder.name,
        definitions=(*codes.statements, *wires.statements),
        elements=tuple(elements),
        controls=(*_regulator_controls(moved), *capacitor_controls(t, Names(), by_mrid)),
        services={m.element.name: m.service for m in moved if m.service is not None},
        loads=tuple(load for load, _ in consumers),
        devices=tuple(devices(t)),
        measurements={m.mrid: m for m in measurements(t)},
        coordinates=_coordinates(t),
        base_kv=dict(t.base_kv),
        warnings=(),
    )
    _judge(t, feeder)
    reading.finish()
    return _with_warnings(feeder, t)


def _regulator_controls(moved: list[TransformerElement]) -> list[Element]:
    names = Names()
    made = []
    for m in moved:
        for changer in m.changers:
            name = names.give(m.element.name.partition(".")[2])
            made.append(
                Element(
                    mrid=changer.mrid,
                    name=f"regcontrol.{name}",
                    text=f"New RegControl.{name} {changer.control}",
                    buses=m.element.buses,
                )
            )
    return made


def _coordinates(t: Topology) -> dict[str, tuple[float, float]]:
    """Coordinates of the buses, from the points of the elements that stand there."""
    r, found = t.reading, dict[str, tuple[float, float]]()
    for x in t.equipment(*{o.kind for o in r.document.objects.values()}):
        place = r.target(x, "PowerSystemResource.Location", needed=False)
        if place is None or not x.links.get("Equipment.EquipmentContainer"):
            continue
        points = {
            round(r.number(p, "PositionPoint.sequenceNumber", 1.0)): p
            for p in r.behind("PositionPoint.Location", place, "PositionPoint")
        }
        for i, end in enumerate(t.ends(x, 0), start=1):
            point = points.get(i)
            if point is None or end.bus in found:
                continue
            xy = tuple(r.number(point, f"PositionPoint.{a}Position", 0.0) for a in "xy")
            if any(xy):
                found[end.bus] = (xy[0], xy[1])
    return found


def _judge(t: Topology, feeder: CimFeeder) -> None:
    """Faults of the feeder as a whole."""
    r = t.reading
    if not feeder.loads:
        r.fault(t.feeder, "has no EnergyConsumer; a feeder without loads is not dispatched")
    elif sum(x.p_kw for x in feeder.loads) <= 0.0:
        r.fault(t.feeder, "has EnergyConsumers of 0 W together; give each its nominal p")
    stands = dict.fromkeys(b for e in feeder.elements for b in e.buses)
    without = [b for b in stands if b not in feeder.base_kv and b != NOWHERE]
    if without:
        r.fault(
            t.feeder,
            f"has {len(without)} buses without a voltage, as {', '.join(without[:SHOWN_BUSES])}; "
            "give their elements a BaseVoltage",
        )
    for d in feeder.devices:
        if d.bus not in stands and d.bus != NOWHERE:
            r.faults.append(
                f"device {d.name!r} (mRID {d.mrid}): nothing else stands at its bus {d.bus}; "
                "connect it to the feeder"
            )


def _with_warnings(feeder: CimFeeder, t: Topology) -> CimFeeder:
    kinds = Counter(x.kind for x in t.reading.document.objects.values())
    told = [*classes.unknown(kinds), *t.reading.warnings]
    if t.reading.document.other_version:
        told.append(
            f"the file is of {t.reading.document.other_version}, not CIM100; what is named "
            "otherwise there was not read"
        )
    unrated = [e for e in feeder.elements if e.text.startswith("New Line") and _unrated(e.text)]
    if unrated:
        told.append(
            f"{len(unrated)} lines carry no CurrentLimit, as {unrated[0].name}; "
            "their loading is not limited"
        )
    if feeder.not_fed:
        some = ", ".join(feeder.not_fed[:SHOWN_BUSES])
        told.append(f"{len(feeder.not_fed)} buses are not fed, as {some}")
    return replace(feeder, warnings=tuple(told))


def _unrated(text: str) -> bool:
    return "normamps=0 " in text + " "
