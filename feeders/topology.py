"""Who hangs where: walking a compiled feeder out from its source.

Lines, transformers, reactors and switches join buses; of a bus that several paths reach the one
with the fewest elements counts. Open switches join nothing.
"""

import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from feeders.engine import Feeder

LOW_VOLTAGE_KV = 1.0
"""Line-to-line voltage up to which a bus counts as the customers' side [kV]."""
PHASES = {1: "A", 2: "B", 3: "C"}
KM = {1: 1.609344, 2: 0.3048, 3: 1.0, 4: 1e-3, 5: 3.048e-4, 6: 2.54e-5, 7: 1e-5, 8: 1e-6}
"""Kilometres of each of the engine's units of length; 0 stands for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadConnection:
    """How a load of the feeder file is connected."""

    name: str
    bus: str
    """Bus and nodes, lower case: `35.1`; `cust_35a_1.1.2`, between two legs."""
    phases: int
    delta: bool

    @property
    def at(self) -> str:
        """Bus without nodes."""
        return self.bus.partition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A feeder as seen from its source. Buses are lower case."""

    loads: tuple[LoadConnection, ...]
    """In the order of `Feeder.loads`."""
    transformer: Mapping[str, str]
    """Service transformer that feeds a bus, without its class; none for buses of the primary."""
    distance_km: Mapping[str, float]
    """Length of the lines between the source and a bus [km]."""
    leg_phase: Mapping[str, str]
    """Phases (`A`, `AB`) that feed a bus behind a single-phase service transformer."""

    def phase(self, node: str) -> str:
        """Phase of a node such as `35.1` or `CUST_35A_1.2`.

        Two letters for a leg that is fed from between two phases.
        """
        bus, _, number = node.lower().rpartition(".")
        return self.leg_phase.get(bus) or PHASES.get(int(number), number)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Branch:
    name: str
    ends: tuple[str, ...]
    """Bus and nodes of each terminal, lower case."""
    km: float

    @property
    def buses(self) -> tuple[str, ...]:
        return tuple(end.partition(".")[0] for end in self.ends)


def topology(feeder: Feeder) -> Topology:
    """Walk a feeder."""
    context = feeder._dss  # noqa: SLF001 - the engine's context has its owner and its lock there
    with feeder._lock:  # noqa: SLF001
        branches = tuple(_branches(context))
        loads = {x.name: x for x in _loads(context)}
        kv = {str(b).lower(): _kv(context, b) for b in context.Circuit.AllBusNames()}
        context.Vsources.First()
        source = str(context.CktElement.BusNames()[0]).partition(".")[0].lower()
    beside: dict[str, list[_Branch]] = {}
    for branch in branches:
        for bus in branch.buses:
            beside.setdefault(bus, []).append(branch)
    distance = {source: 0.0}
    transformer: dict[str, str] = {}
    leg_phase: dict[str, str] = {}
    waiting = deque([source])
    while waiting:
        bus = waiting.popleft()
        for branch in beside.get(bus, ()):
            for other in branch.buses:
                if other in distance:
                    continue
                distance[other] = distance[bus] + branch.km
                waiting.append(other)
                if kv[bus] > LOW_VOLTAGE_KV >= kv[other]:
                    transformer[other] = branch.name.partition(".")[2]
                    legs = _legs(branch, bus)
                    leg_phase |= {other: legs} if legs else {}
                else:
                    for known in (transformer, leg_phase):
                        if bus in known:
                            known[other] = known[bus]
    return Topology(
        loads=tuple(loads[x.name] for x in feeder.loads),
        transformer=transformer,
        distance_km=distance,
        leg_phase=leg_phase,
    )


def _legs(branch: _Branch, primary: str) -> str:
    """Phases of a single-phase transformer's primary; empty where it has three."""
    end = next(e for e in branch.ends if e.partition(".")[0] == primary)
    numbers = [int(n) for n in end.split(".")[1:] if int(n)]
    return "".join(PHASES.get(n, str(n)) for n in numbers) if 0 < len(numbers) < 3 else ""


def _branches(context: Any) -> Iterator[_Branch]:
    names = [str(n).lower() for n in context.PDElements.AllNames()]
    for name in names:
        if not name.startswith(("line.", "transformer.", "reactor.", "autotrans.")):
            continue
        context.Circuit.SetActiveElement(name)
        element = context.CktElement
        ends = tuple(str(b).lower() for b in element.BusNames())
        terminals = range(1, len(ends) + 1)
        if not element.Enabled() or any(element.IsOpen(t, 0) for t in terminals):
            continue
        km = 0.0
        if name.startswith("line."):
            context.Lines.Name(name.partition(".")[2])
            km = float(context.Lines.Length()) * KM.get(int(context.Lines.Units()), 0.0)
        yield _Branch(name=name, ends=ends, km=km)


def _loads(context: Any) -> Iterator[LoadConnection]:
    for i in range(1, context.Loads.Count() + 1):
        context.Loads.Idx(i)
        yield LoadConnection(
            name=str(context.Loads.Name()),
            bus=str(context.CktElement.BusNames()[0]).lower(),
            phases=int(context.Loads.Phases()),
            delta=bool(context.Loads.IsDelta()),
        )


def _kv(context: Any, bus: str) -> float:
    context.Circuit.SetActiveBus(bus)
    return float(context.Bus.kVBase()) * math.sqrt(3.0)
