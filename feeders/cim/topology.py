"""Which bus each element of the feeder stands at, and at which voltage."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from feeders.cim.classes import SWITCHES
from feeders.cim.document import CimObject
from feeders.cim.naming import FREE_NEUTRAL, Names
from feeders.cim.reading import Reading, candidates, same_mrid
from feeders.errors import FeederFault

PHASE = re.compile(r"s12|s1|s2|[ABCN]")
NODES = {"A": (1,), "B": (2,), "C": (3,), "N": (0,), "s1": (1,), "s2": (2,), "s12": (1, 2)}
"""OpenDSS nodes of a phase; the legs of a split-phase secondary are its nodes 1 and 2."""
ABC = ("A", "B", "C")
NOWHERE = "?"
"""Bus of what stands nowhere, so that reading goes on to the next fault; no name is so."""
ROUNDED = 0.01
"""A BaseVoltage this near to √3 times a leg's voltage is that, rounded."""
BRANCHES = ("ACLineSegment", "SeriesCompensator", *SWITCHES)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Where one terminal stands."""

    bus: str
    """Name in the OpenDSS text."""
    terminal: CimObject


@dataclass(slots=True)
class Topology:
    """Buses of one feeder, and what stands at them."""

    reading: Reading
    feeder: CimObject
    only_feeder: bool
    names: dict[str, str] = field(default_factory=dict)
    """OpenDSS name of each ConnectivityNode, by URI."""
    base_kv: dict[str, float] = field(default_factory=dict)
    """Line-to-line base by bus; √3 times the leg's voltage on a split-phase secondary [kV]."""
    split: dict[str, float] = field(default_factory=dict)
    """Rated voltage of a leg, by the buses of split-phase secondaries [kV]."""
    _bus_names: Names = field(default_factory=Names)
    _neutrals: Counter[str] = field(default_factory=Counter)

    def equipment(self, *kinds: str) -> Iterator[CimObject]:
        """Elements of some classes that belong to the feeder."""
        for x in self.reading.document.of_kind(*kinds):
            containers = x.links.get("Equipment.EquipmentContainer", ())
            if self.feeder.uri in containers or self.only_feeder:
                yield x

    def ends(self, of: CimObject, count: int) -> tuple[End, ...]:
        """Terminals in the order of their numbers, at least `count`: fewer is a fault."""
        r = self.reading
        terminals = sorted(
            r.behind("Terminal.ConductingEquipment", of, "Terminal"),
            key=lambda t: (r.number(t, "ACDCTerminal.sequenceNumber", 1.0), t.uri),
        )
        found = [self.end(t) for t in terminals]
        if len(found) < count:
            r.fault(of, f"has {len(found)} of {count} terminals; give each end a Terminal")
            found += [End(bus=NOWHERE, terminal=of)] * (count - len(found))
        return tuple(found)

    def end(self, terminal: CimObject) -> End:
        """Where a terminal stands; nowhere is a fault."""
        node = self.reading.target(terminal, "Terminal.ConnectivityNode")
        if node is None:
            return End(bus=NOWHERE, terminal=terminal)
        if node.uri not in self.names:
            self.names[node.uri] = self._bus_names.give(node.name)
        return End(bus=self.names[node.uri], terminal=terminal)

    def end_of(self, winding: CimObject) -> End:
        """Where a winding stands; nowhere is a fault."""
        terminal = self.reading.target(winding, "TransformerEnd.Terminal")
        return End(bus=NOWHERE, terminal=winding) if terminal is None else self.end(terminal)

    def kv(self, bus: str) -> float:
        """Line-to-line base of a bus [kV]."""
        return self.base_kv.get(bus, 1.0)

    def leg_kv(self, bus: str) -> float:
        """Rated voltage from a phase, or a leg, to neutral [kV]."""
        return self.split.get(bus, self.kv(bus) / math.sqrt(3.0))

    def free_neutral(self, bus: str) -> int:
        """A node of a bus that nothing else stands at, for a neutral that is not grounded."""
        self._neutrals[bus] += 1
        return FREE_NEUTRAL + self._neutrals[bus] - 1


def topology_of(reading: Reading, feeder_mrid: str | None) -> Topology:
    """Choose the feeder and find its buses.

    Raises:
        FeederFault: no feeder of that mRID, or none named where there are several; the message
            lists what the file holds.
    """
    feeders = list(reading.document.of_kind("Feeder"))
    feeder = _chosen(reading, feeders, feeder_mrid)
    t = Topology(reading=reading, feeder=feeder, only_feeder=len(feeders) == 1)
    for node in reading.document.of_kind("ConnectivityNode"):
        containers = node.links.get("ConnectivityNode.ConnectivityNodeContainer", ())
        if t.only_feeder or feeder.uri in containers:
            t.names[node.uri] = t._bus_names.give(node.name)  # noqa: SLF001 - its own factory
    _find_bases(t)
    return t


def _chosen(reading: Reading, feeders: list[CimObject], mrid: str | None) -> CimObject:
    path = reading.document.path
    if not feeders:
        raise FeederFault(f"{path}: holds no Feeder; export a distribution model (CIM100)")
    if mrid is None and len(feeders) == 1:
        return feeders[0]
    found = [f for f in feeders if mrid is not None and same_mrid(f.mrid, mrid)]
    if not found:
        wrong = "holds several feeders" if mrid is None else f"holds no feeder with mRID {mrid!r}"
        raise FeederFault(f"{path}: {wrong}; give one of: {candidates(feeders)}")
    return found[0]


def phases_of(
    t: Topology, of: CimObject, kind: str, link: str, attribute: str
) -> list[tuple[str, CimObject]]:
    """The per-phase objects of an element: phase and object, in their sequence.

    Args:
        t: the topology.
        of: the element.
        kind: class of the per-phase objects.
        link: attribute by which they refer to it.
        attribute: attribute with their phase.
    """
    r = t.reading
    found = []
    for x in r.behind(link, of, kind):
        phase = r.code(x, attribute)
        if phase not in NODES:
            r.fault(x, f"{attribute} is {phase or 'missing'!r}; give one of {', '.join(NODES)}")
            continue
        found.append((phase, x))
    order = list(NODES)
    sequence = f"{kind}.sequenceNumber"
    return sorted(found, key=lambda p: (r.number(p[1], sequence, 0.0), order.index(p[0]), p[1].uri))


def ordered_nodes(code: str) -> tuple[int, ...]:
    """Nodes of an `OrderedPhaseCodeKind`: `AN` is (1, 0), `Ns2` is (0, 2), `ABC` (1, 2, 3)."""
    return tuple(n for phase in PHASE.findall(code) for n in NODES[phase])


# --- voltage bases ----------------------------------------------------------------------


def _find_bases(t: Topology) -> None:
    """Give every bus the base of its zone: what lines and switches tie together."""
    zone = {bus: bus for bus in t.names.values()}

    def root(bus: str) -> str:
        while zone.setdefault(bus, bus) != bus:
            zone[bus] = zone[zone[bus]]  # so that long feeders stay quick
            bus = zone[bus]
        return bus

    said: dict[str, list[float]] = defaultdict(list)
    legs: dict[str, list[float]] = defaultdict(list)
    for x in t.equipment(*BRANCHES):
        ends = t.ends(x, 0)
        if len(ends) == 2:
            zone[root(ends[0].bus)] = root(ends[1].bus)
    for bus, kv, is_leg in (*_said_by_equipment(t), *_said_by_windings(t)):
        (legs if is_leg else said)[bus].append(kv)
    by_root: dict[str, list[float]] = defaultdict(list)
    legs_by_root: dict[str, list[float]] = defaultdict(list)
    for source, sink in ((said, by_root), (legs, legs_by_root)):
        for bus, values in source.items():
            sink[root(bus)] += values
    for bus in dict.fromkeys([*t.names.values(), *zone]):
        split = legs_by_root.get(root(bus))
        if split:
            t.split[bus] = split[0]
            kv = split[0] * math.sqrt(3.0)
            # Some name 208 V for 120 V legs, others the 240 V across both.
            near = [v for v in by_root.get(root(bus), []) if abs(v / kv - 1.0) < ROUNDED]
            t.base_kv[bus] = near[0] if near else kv
        elif by_root.get(root(bus)):
            t.base_kv[bus] = Counter(by_root[root(bus)]).most_common(1)[0][0]


def _said_by_equipment(t: Topology) -> Iterator[tuple[str, float, bool]]:
    """Line-to-line voltage that the elements name for their buses [kV]."""
    r = t.reading
    kinds = ("EnergySource", "EnergyConsumer", "LinearShuntCompensator", *BRANCHES)
    for x in t.equipment(*kinds):
        base = r.target(x, "ConductingEquipment.BaseVoltage", needed=False)
        if base is None:
            continue
        kv = r.above_zero(base, "BaseVoltage.nominalVoltage") / 1e3
        for end in t.ends(x, 0):
            yield end.bus, kv, False


def _said_by_windings(t: Topology) -> Iterator[tuple[str, float, bool]]:
    """Voltage that the windings name; with True for one leg of a split-phase secondary [kV]."""
    r = t.reading
    for winding in r.document.of_kind("PowerTransformerEnd", "TransformerTankEnd"):
        terminal = winding.links.get("TransformerEnd.Terminal", ("",))[0]
        at = r.document.objects.get(terminal)
        if at is None or not _is_here(t, at):
            continue
        end = t.end(at)
        phases = r.code(winding, "TransformerTankEnd.orderedPhases")
        base = r.target(winding, "TransformerEnd.BaseVoltage", needed=False)
        if "s1" in phases or "s2" in phases:
            leg = _rated_kv(r, winding)
            if leg:
                yield end.bus, leg, True
        elif base is not None:
            yield end.bus, r.above_zero(base, "BaseVoltage.nominalVoltage") / 1e3, False
        elif winding.kind == "PowerTransformerEnd":
            yield end.bus, r.above_zero(winding, "PowerTransformerEnd.ratedU") / 1e3, False


def _is_here(t: Topology, terminal: CimObject) -> bool:
    return t.only_feeder or terminal.links.get("Terminal.ConnectivityNode", ("",))[0] in t.names


def _rated_kv(r: Reading, winding: CimObject) -> float:
    """Rated voltage of a tank's winding, from its nameplate; 0 where that is missing [kV]."""
    number = r.number(winding, "TransformerEnd.endNumber", 0.0)
    tank = r.target(winding, "TransformerTankEnd.TransformerTank", needed=False)
    info = tank and r.target(tank, "TransformerTank.TransformerTankInfo", needed=False)
    if info is None:
        return 0.0
    for plate in r.behind("TransformerEndInfo.TransformerTankInfo", info, "TransformerEndInfo"):
        if r.number(plate, "TransformerEndInfo.endNumber", -1.0) == number:
            return r.above_zero(plate, "TransformerEndInfo.ratedU") / 1e3
    return 0.0
