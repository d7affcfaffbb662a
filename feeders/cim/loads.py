"""EnergyConsumer → Load."""

from collections.abc import Iterator
from dataclasses import dataclass

from feeders.cim.document import CimObject
from feeders.cim.element import Element
from feeders.cim.naming import Names, at, fmt
from feeders.cim.reading import Reading
from feeders.cim.topology import ABC, NODES, Topology, phases_of

ALIKE_W = 0.5
"""Phases whose powers differ by less are one balanced load [W, var]."""
KEEPS_MODEL = "vminpu=0.5 vmaxpu=1.5"
"""CIM's load models hold at any voltage; OpenDSS's default turns loads into impedances above
1.05 pu."""
PURE: dict[tuple[float, ...], int] = {
    (0, 0, 100, 0, 0, 100): 1,
    (100, 0, 0, 100, 0, 0): 2,
    (0, 100, 0, 0, 100, 0): 5,
}
"""OpenDSS model by the percentages of impedance, current and power, for p and for q."""
MOTOR = (0, 0, 100, 100, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CimLoad:
    """One consumer."""

    mrid: str
    name: str
    """Name in the CIM file."""
    bus: str
    phases: tuple[str, ...]
    """CIM phases, empty for a three-phase load."""
    p_kw: float
    """Nominal consumption [kW]."""
    q_kvar: float
    """Nominal reactive consumption [kvar]."""
    parts: dict[str, tuple[float, float]]
    """Loads of the OpenDSS text that stand for it, each with its kW and kvar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One load of the OpenDSS text."""

    nodes: tuple[int, ...]
    phases: int
    is_delta: bool
    kv: float
    p_w: float
    q_var: float
    suffix: str = ""


def loads(t: Topology, names: Names) -> Iterator[tuple[CimLoad, list[Element]]]:
    """The consumers of the feeder; unbalanced ones as one load for each phase."""
    for consumer in t.equipment("EnergyConsumer"):
        ends = t.ends(consumer, 1)
        bus = ends[0].bus
        phases = phases_of(
            t,
            consumer,
            "EnergyConsumerPhase",
            "EnergyConsumerPhase.EnergyConsumer",
            "EnergyConsumerPhase.phase",
        )
        how = _voltage_dependence(t.reading, consumer)
        elements, parts = [], {}
        for part in _parts(t, consumer, bus, phases):
            name = names.give(consumer.name + part.suffix)
            parts[name] = (part.p_w / 1e3, part.q_var / 1e3)
            elements.append(
                Element(
                    mrid=consumer.mrid,
                    name=f"load.{name}",
                    text=(
                        f"New Load.{name} phases={part.phases} bus1={at(bus, part.nodes)} "
                        f"conn={'delta' if part.is_delta else 'wye'} kV={fmt(part.kv)} "
                        f"kW={fmt(part.p_w / 1e3)} kvar={fmt(part.q_var / 1e3)} {how} "
                        f"{KEEPS_MODEL}"
                    ),
                    buses=(bus,),
                )
            )
        yield (
            CimLoad(
                mrid=consumer.mrid,
                name=consumer.name,
                bus=bus,
                phases=tuple(p for p, _ in phases),
                p_kw=sum(p for p, _ in parts.values()),
                q_kvar=sum(q for _, q in parts.values()),
                parts=parts,
            ),
            elements,
        )


def _parts(
    t: Topology, of: CimObject, bus: str, phases: list[tuple[str, CimObject]]
) -> Iterator[_Part]:
    r = t.reading
    is_delta = r.code(of, "EnergyConsumer.phaseConnection") == "D"
    phases = [(p, x) for p, x in phases if p != "N"]
    powers = [_power(r, of, x, len(phases)) for _, x in phases]
    if [p for p, _ in phases] in ([], list(ABC)) and _balanced(powers):
        p_w, q_var = (
            (sum(p for p, _ in powers), sum(q for _, q in powers))
            if powers
            else (r.number(of, "EnergyConsumer.p"), r.number(of, "EnergyConsumer.q"))
        )
        nodes: tuple[int, ...] = (1, 2, 3)
        if not is_delta and not r.flag(of, "EnergyConsumer.grounded", True):
            nodes = (1, 2, 3, t.free_neutral(bus))
        yield _Part(nodes=nodes, phases=3, is_delta=is_delta, kv=t.kv(bus), p_w=p_w, q_var=q_var)
        return
    for (phase, _), (p_w, q_var) in zip(phases, powers, strict=True):
        nodes = between(phase, is_delta)
        kv = t.leg_kv(bus) if len(nodes) == 1 else t.kv(bus)
        if len(nodes) == 2 and bus in t.split:
            kv = 2.0 * t.leg_kv(bus)  # the legs are in opposition
        yield _Part(
            nodes=nodes,
            phases=1,
            is_delta=len(nodes) == 2,
            kv=kv,
            p_w=p_w,
            q_var=q_var,
            suffix=f"_{phase}" if len(phases) > 1 else "",
        )


def between(phase: str, is_delta: bool) -> tuple[int, ...]:
    """Nodes of a single-phase part. A delta one of phase A lies between A and B, and so on."""
    nodes = NODES[phase]
    if is_delta and len(nodes) == 1:
        return (nodes[0], nodes[0] % 3 + 1)
    return nodes


def _power(r: Reading, of: CimObject, phase: CimObject, count: int) -> tuple[float, float]:
    """Power of one phase: its own, or its share of the whole [W, var]."""
    kind = "EnergyConsumerPhase"
    if f"{kind}.p" in phase.literals:
        return r.number(phase, f"{kind}.p"), r.number(phase, f"{kind}.q", 0.0)
    return r.number(of, "EnergyConsumer.p") / count, r.number(of, "EnergyConsumer.q") / count


def _balanced(powers: list[tuple[float, float]]) -> bool:
    return all(
        abs(p - powers[0][0]) < ALIKE_W and abs(q - powers[0][1]) < ALIKE_W for p, q in powers
    )


def _voltage_dependence(r: Reading, of: CimObject) -> str:
    """Model of the load; constant power where the file has none."""
    x = r.target(of, "EnergyConsumer.LoadResponse", needed=False)
    if x is None:
        return "model=1"
    kind = "LoadResponseCharacteristic"
    if r.flag(x, f"{kind}.exponentModel", False):
        cvr = [r.number(x, f"{kind}.{axis}VoltageExponent", 0.0) for axis in "pq"]
        return f"model=4 CVRwatts={fmt(cvr[0])} CVRvars={fmt(cvr[1])}"
    shares = [
        r.number(x, f"{kind}.{axis}Constant{what}", 0.0)
        for axis in "pq"
        for what in ("Impedance", "Current", "Power")
    ]
    sums = sum(shares[:3]), sum(shares[3:])
    if not any(shares):
        return "model=1"
    if min(sums) <= 0.0:
        r.fault(x, "has percentages for p or for q that add up to 0 or less")
        return "model=1"
    pct = tuple(round(s * 100.0 / sums[i // 3], 6) for i, s in enumerate(shares))
    if pct in PURE:
        return f"model={PURE[pct]}"
    if pct == MOTOR:
        return "model=3"
    return f"model=8 ZIPV=[{' '.join(fmt(s / 100.0) for s in pct)} 0.0]"
