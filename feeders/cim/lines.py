"""ACLineSegment, switches and SeriesCompensator → Line and Reactor."""

from collections.abc import Iterator, Sequence

from feeders.cim.classes import SWITCHES
from feeders.cim.document import CimObject
from feeders.cim.element import Element
from feeders.cim.impedances import LineCodes, matrix_properties, sequence_matrices
from feeders.cim.naming import Names, at, fmt
from feeders.cim.ratings import ampacity
from feeders.cim.topology import ABC, NODES, Topology, phases_of
from feeders.cim.wires import Wires

CLOSED_OHM = 1e-4
"""A closed switch; CIM gives it no impedance."""
PER_LENGTH = ("PerLengthPhaseImpedance", "PerLengthSequenceImpedance")


def lines(t: Topology, names: Names, codes: LineCodes, wires: Wires) -> Iterator[Element]:
    """The segments of the feeder."""
    for segment in t.equipment("ACLineSegment"):
        ends = t.ends(segment, 2)
        phases = phases_of(
            t,
            segment,
            "ACLineSegmentPhase",
            "ACLineSegmentPhase.ACLineSegment",
            "ACLineSegmentPhase.phase",
        )
        letters = [p for p, _ in phases] or list(ABC)
        live = [p for p in letters if p != "N"]
        if not live:
            continue
        neutral_at = letters.index("N") if "N" in letters else None
        how = _by_impedance(t, segment, len(live), neutral_at, codes)
        if how is None:
            how = _by_wires(t, segment, phases, wires) or _by_itself(t, segment, len(live))
        limit = ampacity(t.reading, segment)
        rated = limit.text()
        if limit.normal_a <= 0.0 and phases and "spacing=" in how:
            rated = f"normamps={fmt(_wire_rating(t, phases, wires))}"
        nodes = tuple(n for p in live for n in NODES[p])
        name = names.give(segment.name)
        yield Element(
            mrid=segment.mrid,
            name=f"line.{name}",
            text=(
                f"New Line.{name} phases={len(live)} bus1={at(ends[0].bus, nodes)} "
                f"bus2={at(ends[1].bus, nodes)} {how} {rated}"
            ),
            buses=(ends[0].bus, ends[1].bus),
            joins=True,
        )


def _by_impedance(
    t: Topology, segment: CimObject, phases: int, neutral_at: int | None, codes: LineCodes
) -> str | None:
    """Line code and length; None where the segment refers to no impedance per length."""
    if not segment.links.get("ACLineSegment.PerLengthImpedance"):
        return None
    impedance = t.reading.target(segment, "ACLineSegment.PerLengthImpedance")
    if impedance is None:
        return ""
    if impedance.kind not in PER_LENGTH:
        t.reading.fault(segment, f"has a {impedance.kind} for impedance; use {PER_LENGTH[0]}")
        return ""
    code = codes.code(impedance, phases, neutral_at)
    length = t.reading.above_zero(segment, "Conductor.length")
    return f"linecode={code} length={fmt(length)} units=m" if code else ""


def _by_wires(
    t: Topology, segment: CimObject, phases: Sequence[tuple[str, CimObject]], wires: Wires
) -> str | None:
    """Spacing and wires; None where the segment refers to no spacing."""
    if not segment.links.get("ACLineSegment.WireSpacingInfo"):
        return None
    r = t.reading
    info = r.target(segment, "ACLineSegment.WireSpacingInfo")
    live = sum(p != "N" for p, _ in phases)
    if info is None:
        return ""
    spacing = wires.spacing(info, live or 3)
    used: list[tuple[str, str]] = []
    for _, phase in phases:
        wire = r.target(phase, "ACLineSegmentPhase.WireInfo")
        if wire is not None:
            used.append(wires.wire(wire))
    if spacing is None or not used:
        r.fault(segment, "has a spacing and no wires; give each ACLineSegmentPhase its WireInfo")
        return ""
    name, conductors = spacing
    used += [used[-1]] * (conductors - len(used))  # the neutrals that have no phase object
    length = r.above_zero(segment, "Conductor.length")
    listed = list(dict.fromkeys(kind for kind, _ in used))
    lists = " ".join(f"{k}=[{' '.join(w for kind, w in used if kind == k)}]" for k in listed)
    return f"spacing={name} {lists} length={fmt(length)} units=m"


def _wire_rating(t: Topology, phases: Sequence[tuple[str, CimObject]], wires: Wires) -> float:
    """Ampacity of the weakest phase wire; 0 where the file has none [A]."""
    found = [
        wires.rated_a(wire)
        for letter, phase in phases
        if letter != "N"
        and (wire := t.reading.target(phase, "ACLineSegmentPhase.WireInfo", needed=False))
    ]
    return min(found, default=0.0)


def _by_itself(t: Topology, segment: CimObject, phases: int) -> str:
    """The segment's own impedance, for its whole length."""
    r = t.reading
    names = ("r", "x", "r0", "x0", "bch", "b0ch")
    values = [
        r.number(segment, f"ACLineSegment.{n}", None if n in ("r", "x") else 0.0) for n in names
    ]
    return f"length=1 {matrix_properties(*sequence_matrices(values, phases))}"


# --- switches ---------------------------------------------------------------------------


def switches(t: Topology, names: Names) -> Iterator[Element]:
    """Switches as short lines; an open phase is opened at its first end."""
    r = t.reading
    for switch in t.equipment(*SWITCHES):
        ends = t.ends(switch, 2)
        phases = phases_of(t, switch, "SwitchPhase", "SwitchPhase.Switch", "SwitchPhase.phaseSide1")
        letters = [p for p, _ in phases if p != "N"] or list(ABC)
        whole = r.flag(switch, "Switch.open", r.flag(switch, "Switch.normalOpen", False))
        opened = [
            i
            for i, p in enumerate(letters, start=1)
            if whole or not all(r.flag(x, "SwitchPhase.closed", True) for q, x in phases if q == p)
        ]
        limit = ampacity(r, switch)
        nodes = tuple(n for p in letters for n in NODES[p])
        name = names.give(switch.name)
        z = fmt(CLOSED_OHM)
        new = (
            f"New Line.{name} phases={len(letters)} bus1={at(ends[0].bus, nodes)} "
            f"bus2={at(ends[1].bus, nodes)} switch=yes r1={z} x1=0 r0={z} x0=0 c1=0 c0=0 "
            f"length=1 {limit.text()}"
        )
        if len(opened) == len(letters):
            opening = [f"Open Line.{name} 1"]
        else:
            opening = [f"Open Line.{name} 1 {i}" for i in opened]
        yield Element(
            mrid=switch.mrid,
            name=f"line.{name}",
            text="\n".join([new, *opening]),
            buses=(ends[0].bus, ends[1].bus),
            joins=len(opened) < len(letters),
        )


def series_compensators(t: Topology, names: Names) -> Iterator[Element]:
    """Series reactors; a compensator with one terminal stands between its bus and ground."""
    r = t.reading
    for x in t.equipment("SeriesCompensator"):
        ends = t.ends(x, 1)
        r1, x1 = r.number(x, "SeriesCompensator.r"), r.number(x, "SeriesCompensator.x")
        r0 = r.number(x, "SeriesCompensator.r0", 0.0)
        x0 = r.number(x, "SeriesCompensator.x0", 0.0)
        if not (r0 or x0):
            r0, x0 = r1, x1
        other = f"bus2={ends[1].bus}.1.2.3 " if len(ends) > 1 else ""
        name = names.give(x.name)
        yield Element(
            mrid=x.mrid,
            name=f"reactor.{name}",
            text=(
                f"New Reactor.{name} phases=3 bus1={ends[0].bus}.1.2.3 {other}"
                f"Z1=[{fmt(r1)} {fmt(x1)}] Z0=[{fmt(r0)} {fmt(x0)}] Z2=[{fmt(r1)} {fmt(x1)}]"
            ),
            buses=tuple(e.bus for e in ends),
            joins=len(ends) > 1,
        )
