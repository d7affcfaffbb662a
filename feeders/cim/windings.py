"""Windings of a transformer, and the leakage of one that is described by its ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from feeders.cim.document import CimObject
from feeders.cim.naming import fmt
from feeders.cim.ratings import ampacity
from feeders.cim.reading import Reading
from feeders.cim.topology import Topology

LAGS, LEADS = 1, 11
"""Hours by which the second of a wye and a delta winding may follow the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Winding:
    """One winding as OpenDSS describes it."""

    bus: str = ""
    nodes: tuple[int, ...] = ()
    is_delta: bool = False
    """Between phases."""
    is_single: bool = False
    """One coil, between the first two nodes."""
    kv: float
    """Rated voltage: of the coil where `is_single`, else line to line [kV]."""
    kva: float
    """Rating of the whole winding [kVA]."""
    r_pct: float
    """Resistance on the winding's own rating [%]."""
    leads: bool = False
    """Whether the low side leads the high side by 30 degrees (clock 11)."""
    neutral_text: str = ""
    """Grounding of the neutral, as properties."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plate:
    """What all windings share."""

    windings: tuple[Winding, ...] = ()
    """Of a tank: without bus and nodes."""
    reactances_pct: tuple[float, ...]
    """In the order of `XscArray`, on the first winding's rating [%]."""
    no_load_pct: float = 0.0
    """No-load loss on the first winding's rating [%]."""
    magnetising_pct: float = 0.0
    """Magnetising current likewise [%]."""
    rating_text: str = ""
    """Normal and emergency rating, as properties."""


def clock_leads(reading: Reading, of: CimObject, attribute: str) -> bool:
    """Whether a winding's clock is 11; a clock that OpenDSS has no word for is a warning."""
    clock = round(reading.number(of, attribute, 0.0)) % 12
    if clock not in (0, LAGS, LEADS):
        reading.warn(of, f"phase angle clock {clock}: angles behind it are off, magnitudes are not")
    return clock == LEADS


def windings_of_ends(t: Topology, ends: Sequence[CimObject]) -> list[Winding]:
    """Windings of a three-phase transformer."""
    r, made = t.reading, []
    own_r = [r.number(e, "PowerTransformerEnd.r", 0.0) for e in ends]
    mesh = _meshes(r, ends)
    for i, end in enumerate(ends):
        stands = t.end_of(end)
        volts = r.above_zero(end, "PowerTransformerEnd.ratedU")
        va = r.above_zero(end, "PowerTransformerEnd.ratedS")
        ohm = own_r[i]
        if not any(own_r) and mesh:
            ohm = _share_of_mesh(r, mesh, ends, i)
        kind = r.code(end, "PowerTransformerEnd.connectionKind")
        if kind not in ("D", "Y", "Yn"):
            r.fault(end, f"connectionKind is {kind or 'missing'}; D and Y are known")
        nodes: tuple[int, ...] = (1, 2, 3)
        neutral = ""
        if kind != "D":
            grounded = r.flag(end, "TransformerEnd.grounded", True)
            rg = r.number(end, "TransformerEnd.rground", 0.0)
            xg = r.number(end, "TransformerEnd.xground", 0.0)
            if not grounded:
                nodes = (1, 2, 3, t.free_neutral(stands.bus))
            elif rg > 0.0 or xg > 0.0:
                nodes = (1, 2, 3, t.free_neutral(stands.bus))
                neutral = f" Rneut={fmt(rg)} Xneut={fmt(xg)}"
        made.append(
            Winding(
                bus=stands.bus,
                nodes=nodes,
                is_delta=kind == "D",
                kv=volts / 1e3,
                kva=va / 1e3,
                r_pct=ohm * va / volts**2 * 100.0,
                leads=clock_leads(r, end, "PowerTransformerEnd.phaseAngleClock"),
                neutral_text=neutral,
            )
        )
    return made


def leakage_of_ends(
    reading: Reading, of: CimObject, ends: Sequence[CimObject], windings: Sequence[Winding]
) -> Plate:
    """Leakage, no-load loss and rating from mesh impedances and core admittances."""
    r, first = reading, windings[0]
    mesh = _meshes(r, ends)
    reactances = []
    for a, b in combinations(range(len(ends)), 2):
        found = mesh.get((a, b))
        if found is None:
            r.fault(
                of, f"has no TransformerMeshImpedance between its ends {a + 1} and {b + 1}; give it"
            )
            continue
        side, x = windings[found[0]], r.number(found[1], "TransformerMeshImpedance.x")
        reactances.append(_percent(x, side.kv, first.kva))
    loss = magnetising = 0.0
    for i, end in enumerate(ends):
        core = "TransformerCoreAdmittance"
        for y in r.behind(f"{core}.TransformerEnd", end, core):
            to_pct = windings[i].kv ** 2 * 1e3 / first.kva * 100.0
            loss += r.number(y, f"{core}.g", 0.0) * to_pct
            magnetising += abs(r.number(y, f"{core}.b", 0.0)) * to_pct
    limit = ampacity(r, of)
    to_kva = first.kv * 3.0**0.5
    rating = ""
    if limit.normal_a > 0.0:
        emergency = max(limit.emergency_a, limit.normal_a)
        rating = f" normhkVA={fmt(limit.normal_a * to_kva)} emerghkVA={fmt(emergency * to_kva)}"
    return Plate(
        reactances_pct=tuple(reactances),
        no_load_pct=loss,
        magnetising_pct=magnetising,
        rating_text=rating,
    )


def _percent(ohm: float, kv: float, kva: float) -> float:
    return ohm * kva / (kv**2 * 1e3) * 100.0


def _meshes(
    reading: Reading, ends: Sequence[CimObject]
) -> dict[tuple[int, int], tuple[int, CimObject]]:
    """Mesh impedances by pair of ends, each with the end that its ohms are referred to."""
    place = {e.uri: i for i, e in enumerate(ends)}
    kind, found = "TransformerMeshImpedance", {}
    for i, end in enumerate(ends):
        for mesh in reading.behind(f"{kind}.FromTransformerEnd", end, kind):
            for uri in mesh.links.get(f"{kind}.ToTransformerEnd", ()):
                if uri in place:
                    a, b = sorted((i, place[uri]))
                    found[a, b] = (i, mesh)
    return found


def _share_of_mesh(
    reading: Reading,
    mesh: dict[tuple[int, int], tuple[int, CimObject]],
    ends: Sequence[CimObject],
    i: int,
) -> float:
    """Half the mesh resistance of a pair, referred to the end asked for [ohm]."""
    for pair in sorted(mesh):
        if i in pair:
            side, of = mesh[pair]
            here = reading.above_zero(ends[i], "PowerTransformerEnd.ratedU")
            there = reading.above_zero(ends[side], "PowerTransformerEnd.ratedU")
            ohm = reading.number(of, "TransformerMeshImpedance.r", 0.0)
            return ohm / 2.0 * (here / there) ** 2
    return 0.0
