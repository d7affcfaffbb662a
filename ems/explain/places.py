"""Where a limit stands, in the words of who knows the feeder."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ems.domain import LoadFlow, RowKind, RowPrice, Secured

LEVEL_PU = 1e-4
"""Spread over the phases of a bus up to which it is called level [pu]."""
ALIKE = 1e-3
"""Difference of two rows' slopes, over the largest, up to which they are one limit [1]."""
PHASES = (1, 2, 3)
VOLTAGES = frozenset({RowKind.V_MAX, RowKind.V_MIN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Names of the places where the rows of one dispatch bind."""

    level: frozenset[str]
    """Buses whose phases stand level and move alike: there no phase is worth naming."""

    @classmethod
    def of(cls, secured: Secured) -> "Places":
        """Names for what binds in a dispatch, with its load flow."""
        at: dict[str, list[RowPrice]] = {}
        for bound in secured.dispatch.binding:
            if bound.row.kind in VOLTAGES:
                at.setdefault(_bus(bound.row.place), []).append(bound)
        alike = {bus for bus, rows in at.items() if _alike(rows)}
        return cls(level=_level(alike, secured.load_flow) if alike else frozenset())

    def name(self, bound: RowPrice) -> str:
        """`B13 phase 1`, `B13` where its phases are one limit, `line l1`, `export`."""
        place, kind = bound.row.place, bound.row.kind
        if kind is RowKind.LOADING:
            return place.replace(".", " ", 1)
        if kind not in VOLTAGES:
            return kind.value.replace("_", " ")
        bus, _, phase = place.rpartition(".")
        named = f"bus {bus}" if bus[:1].isdigit() else bus
        return f"{named} phase {phase}" if bus and bus not in self.level else named or place


def _bus(node: str) -> str:
    return node.rpartition(".")[0] or node


def _alike(rows: Sequence[RowPrice]) -> bool:
    """Whether every DER moves the rows of one bus alike, as on a balanced feeder."""
    for slopes in ([b.row.c_p for b in rows], [b.row.c_q for b in rows]):
        values = np.array([[of.get(name, 0.0) for name in slopes[0]] for of in slopes])
        if np.any(np.ptp(values, axis=0) > ALIKE * np.max(np.abs(values), initial=0.0)):
            return False
    return True


def _level(buses: set[str], flow: LoadFlow) -> frozenset[str]:
    """Those of some buses that have several live phases, all at one voltage."""
    place = dict(zip(flow.nodes, range(len(flow.nodes)), strict=True))
    found = set()
    for bus in buses:
        nodes = [place[n] for phase in PHASES if (n := f"{bus}.{phase}") in place]
        live = flow.v_pu[nodes][flow.v_pu[nodes] > 0.0]
        if len(live) > 1 and np.ptp(live) <= LEVEL_PU:
            found.add(bus)
    return frozenset(found)
