"""From the buses that are measured to all nodes: who shares the wires shares the error.

What a node shares with a measured bus is told by the model: of the voltage that a kvar raises at
the bus, the part that it raises at the node is the part of the bus' impedance they share.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ems.domain import BusMismatch, Injections, Linearisation, Site, terminals
from ems.ports import Network

Floats = NDArray[np.float64]

APART = 0.05
"""Span of distances from the head, of the largest of them, that tells one from the other [1]."""
MOST_BUSES = 50
"""Buses whose reach over all nodes is kept; of more, each of these stands for those like it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shift:
    """Correction of every node, for each limit."""

    upper_pu: Floats
    """Of a voltage held against the upper limit, shape (node,) [pu]."""
    lower_pu: Floats
    """Of a voltage held against the lower limit, shape (node,) [pu]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reach:
    """How far a kvar at the DERs' buses reaches over the nodes, at one fixed operating point."""

    nodes: Mapping[str, NDArray[np.intp]]
    """Terminals by bus."""
    group: Mapping[str, int]
    """By bus: the row below that stands for it."""
    shared: Floats
    """Impedance shared with every node, shape (row, node), relative."""
    own: Floats
    """The row's bus with itself, shape (row,), relative."""
    _near: dict[tuple[int, ...], "Near"] = field(default_factory=dict)
    """Of the rows asked for last."""

    def near(self, rows: tuple[int, ...]) -> "Near":
        """Which of some rows is nearest to each node; found once for as long as they stay so."""
        found = self._near.get(rows)
        if found is None:
            which = np.array(rows)
            nearest = np.argmax(self.shared[which], axis=0)
            shared = self.shared[which[nearest], np.arange(self.shared.shape[1])]
            part = np.clip(shared / self.own[which][nearest], 0.0, 1.0)
            found = Near(row=nearest, part=part, line=_line(self.own[which]))
            self._near.clear()
            self._near[rows] = found
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Near:
    """Of every node the row with which it shares the most impedance."""

    row: NDArray[np.intp]
    """As a place among the rows asked for, shape (node,)."""
    part: Floats
    """What it shares with that row, of the row's own, shape (node,) [1]."""
    line: "Line | None"
    """Through the distances of the rows asked for; None where these tell nothing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """The least-squares line over some distances, but for the values."""

    away: Floats
    """Each distance less their mean, shape (row asked for,), relative."""
    mean: float
    square: float
    """Sum of the squares of `away`."""


def spread(reach: Reach, found: Mapping[str, BusMismatch]) -> Shift:
    """Corrections of all nodes from those of the measured buses.

    A measured bus takes its own. Any other node takes, of the bus with which it shares the most
    impedance, the part that it shares, and in full what all measured buses have in common (a
    wrong tap or head voltage). Where nothing is measured no limit is relaxed.
    """
    upper = _spread(reach, {bus: one.upper_pu for bus, one in found.items()})
    lower = -_spread(reach, {bus: -one.lower_pu for bus, one in found.items()})
    return Shift(upper_pu=upper, lower_pu=lower)


def _spread(reach: Reach, values: Mapping[str, float]) -> Floats:
    """Towards the upper limit, shape (node,) [pu]."""
    known = {bus: value for bus, value in values.items() if bus in reach.group}
    result: Floats = np.zeros(reach.shared.shape[1])
    if not known:
        return result
    worst: dict[int, float] = {}
    for bus, value in known.items():
        row = reach.group[bus]
        worst[row] = max(value, worst.get(row, value))
    shift = np.array(list(worst.values()))
    near = reach.near(tuple(worst))
    common = _common(near.line, shift)
    result = np.maximum(0.0, common + near.part * (shift[near.row] - common))
    for bus, value in known.items():
        result[reach.nodes[bus]] = value
    return result


def _line(distance: Floats) -> Line | None:
    """Through at least two distances that differ by more than a little."""
    if len(distance) < 2 or not np.ptp(distance) > APART * distance.max():
        return None
    mean = distance.mean()
    away = distance - mean
    return Line(away=away, mean=float(mean), square=float(away @ away))


def _common(line: Line | None, shift: Floats) -> float:
    """What would be left of the corrections at no distance from the head [pu].

    Errors of lines and loads grow with the distance and leave nothing; a wrong tap leaves all.
    0 where the buses disagree in sign, or their distances tell nothing.
    """
    if line is None or not ((shift > 0.0).all() or (shift < 0.0).all()):
        return 0.0
    mean = float(shift.mean())
    at_head = mean - line.mean * float(line.away @ (shift - mean)) / line.square
    sign, least = np.sign(shift[0]), np.abs(shift).min()
    return float(sign * min(max(sign * at_head, 0.0), least))


_REACH: "WeakKeyDictionary[Network, Reach]" = WeakKeyDictionary()


def reach_of(site: Site, network: Network) -> Reach:
    """The reach of a site's DERs over a feeder, found once per feeder.

    It is taken at one point, the site's lowest load without DERs, so that it is the same
    whichever cycle asks first.
    """
    try:
        if network not in _REACH:
            _REACH[network] = _reach(site, network)
        return _REACH[network]
    except TypeError:  # a network that cannot be held weakly: found each time
        return _reach(site, network)


def _reach(site: Site, network: Network) -> Reach:
    zero = dict.fromkeys(site.names, 0.0)
    lin = network.linearise(Injections(p_kw=zero, q_kvar=zero, load_kw=site.load_min_kw))
    buses: dict[str, int] = {}
    for der in site.ders:
        buses.setdefault(der.bus.upper(), lin.ders.index(der.name))
    nodes = terminals(buses, lin.flow.nodes)
    phases = {bus: len(nodes[bus]) for bus in buses}

    def column(bus: str) -> Floats:
        """Rise of all nodes for one kvar on each phase of a bus."""
        unit = np.zeros(len(lin.ders))
        unit[buses[bus]] = phases[bus]
        rise: Floats = lin.change(np.zeros(len(lin.ders)), unit)[0]
        return rise

    names = tuple(buses)
    if len(names) > MOST_BUSES:
        like = _likeness(lin, [nodes[bus][0] for bus in names], [buses[bus] for bus in names])
        chosen, group = _apart(like, MOST_BUSES)
    else:
        chosen = group = list(range(len(names)))
    shared = np.array([column(names[i]) for i in chosen])
    own = [shared[row, nodes[names[i]]].mean() for row, i in enumerate(chosen)]
    return Reach(
        nodes=nodes,
        group=dict(zip(names, group, strict=True)),
        shared=shared,
        own=np.maximum(own, np.finfo(float).tiny),  # 0 on a dead bus
    )


def _likeness(lin: Linearisation, nodes: list[int], ders: list[int]) -> Floats:
    """Shared impedance of each two buses over the mean of their own, shape (bus, bus) [1]."""
    shared = lin.voltage_rows(nodes)[1][:, ders]
    own = np.sqrt(np.maximum(np.diag(shared), np.finfo(float).tiny))
    likeness: Floats = shared / np.outer(own, own)
    return likeness


def _apart(like: Floats, most: int) -> tuple[list[int], list[int]]:
    """Buses that are least like each other; and for every bus the position of its likest."""
    chosen = [0]
    nearest = like[:, 0].copy()
    while len(chosen) < most:
        chosen.append(int(np.argmin(nearest)))
        nearest = np.maximum(nearest, like[:, chosen[-1]])
    return chosen, [int(np.argmax(row)) for row in like[:, chosen]]
