"""PowerTransformer and TransformerTank → Transformer, RatioTapChanger → tap and RegControl.

CIM gives ohms, OpenDSS wants percent: resistances of the winding's own rating, reactances of
the first winding's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from feeders.cim.document import CimObject
from feeders.cim.element import Element, ServiceTransformer
from feeders.cim.naming import Names, at, fmt
from feeders.cim.regulators import TapChanger, tap_changer
from feeders.cim.tanks import plate_of
from feeders.cim.topology import Topology, ordered_nodes
from feeders.cim.windings import Plate, Winding, leakage_of_ends, windings_of_ends

SERVICE_KV = 1.0
"""A transformer is one that customers hang on when it steps down to this or less."""
ALIKE = 0.05
"""Windings whose rated voltages differ by less are a regulator's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerElement:
    """A transformer with what the rest of the feeder asks of it."""

    element: Element
    service: ServiceTransformer | None
    """None for substation transformers and regulators."""
    changers: tuple[TapChanger, ...]
    """Those that move by themselves."""


def transformers(t: Topology, names: Names) -> Iterator[TransformerElement]:
    """All transformers: each PowerTransformer without tanks, and each tank of the others."""
    r = t.reading
    for whole in t.equipment("PowerTransformer"):
        tanks = r.behind("TransformerTank.PowerTransformer", whole, "TransformerTank")
        for tank in tanks:
            made = _of_tank(t, tank, names, len(tanks))
            if made is not None:
                yield made
        if not tanks:
            made = _of_ends(t, whole, names)
            if made is not None:
                yield made


def _of_ends(t: Topology, of: CimObject, names: Names) -> TransformerElement | None:
    r = t.reading
    ends = r.behind("PowerTransformerEnd.PowerTransformer", of, "PowerTransformerEnd")
    ends = sorted(ends, key=lambda e: r.number(e, "TransformerEnd.endNumber"))
    if len(ends) < 2:
        r.fault(of, f"has {len(ends)} windings; give it two or more ends, or tanks")
        return None
    windings = windings_of_ends(t, ends)
    plate = leakage_of_ends(r, of, ends, windings)
    return _made(t, of, ends, windings, plate, names, "")


def _of_tank(t: Topology, tank: CimObject, names: Names, beside: int) -> TransformerElement | None:
    r = t.reading
    ends = r.behind("TransformerTankEnd.TransformerTank", tank, "TransformerTankEnd")
    ends = sorted(ends, key=lambda e: r.number(e, "TransformerEnd.endNumber"))
    info = r.target(tank, "TransformerTank.TransformerTankInfo")
    if info is None:
        return None
    plate = plate_of(r, info)
    if plate is None or len(ends) != len(plate.windings):
        if plate is not None:
            r.fault(tank, f"has {len(ends)} ends and a nameplate of {len(plate.windings)}")
        return None
    windings = []
    for end, rated in zip(ends, plate.windings, strict=True):
        stands = t.end_of(end)
        nodes = ordered_nodes(r.code(end, "TransformerTankEnd.orderedPhases"))
        if not nodes:
            r.fault(end, "TransformerTankEnd.orderedPhases is missing; give its phases, as `AN`")
        floating = not (rated.is_single or rated.is_delta) and 0 not in nodes
        if floating and not r.flag(end, "TransformerEnd.grounded", True):
            nodes = (*nodes, t.free_neutral(stands.bus))
        windings.append(replace(rated, bus=stands.bus, nodes=nodes))
    bank = r.target(tank, "TransformerTank.PowerTransformer") if beside > 1 else None
    in_bank = f" bank={Names().give(bank.name)}" if bank is not None else ""
    return _made(t, tank, ends, windings, plate, names, in_bank)


def _made(
    t: Topology,
    of: CimObject,
    ends: Sequence[CimObject],
    windings: Sequence[Winding],
    plate: Plate,
    names: Names,
    in_bank: str,
) -> TransformerElement:
    name = names.give(of.name)
    changers = [tap_changer(t, end, name, i) for i, end in enumerate(ends, start=1)]
    text = (
        f"New Transformer.{name} phases={_phases(windings)} windings={len(windings)}{in_bank} "
        f"LeadLag={'lead' if any(w.leads for w in windings) else 'lag'} "
        f"XscArray=[{' '.join(fmt(x) for x in plate.reactances_pct)}] "
        f"%noloadloss={fmt(plate.no_load_pct)} %imag={fmt(plate.magnetising_pct)}"
    )
    for i, (w, changer) in enumerate(zip(windings, changers, strict=True), start=1):
        tap = f" {changer.text}" if changer is not None else ""
        text += (
            f" wdg={i} bus={at(w.bus, w.nodes)} conn={'delta' if w.is_delta else 'wye'} "
            f"kV={fmt(w.kv)} kVA={fmt(w.kva)} %R={fmt(w.r_pct)}{w.neutral_text}{tap}"
        )
    text += plate.rating_text  # after the windings: their kVA would set it anew
    element = Element(
        mrid=of.mrid,
        name=f"transformer.{name}",
        text=text,
        buses=tuple(w.bus for w in windings),
        joins=True,
    )
    return TransformerElement(
        element=element,
        service=_service(t, of, name, windings),
        changers=tuple(c for c in changers if c is not None and c.control),
    )


def _phases(windings: Sequence[Winding]) -> int:
    """1 for a winding between two points; else the number of its phases."""
    first = windings[0]
    return 1 if first.is_single else len([n for n in first.nodes[:3] if n])


def _service(
    t: Topology, of: CimObject, name: str, windings: Sequence[Winding]
) -> ServiceTransformer | None:
    kv = [t.kv(w.bus) for w in windings]
    alike = abs(windings[0].kv / windings[-1].kv - 1.0) < ALIKE
    if alike or min(kv) > SERVICE_KV or kv[-1] >= kv[0]:
        return None
    return ServiceTransformer(
        mrid=of.mrid,
        name=name,
        primary_bus=windings[0].bus,
        secondary_bus=windings[-1].bus,
        kva=windings[0].kva,
        primary_kv=windings[0].kv,
        secondary_kv=windings[-1].kv,
    )
