"""Whether a compiled feeder can carry what GEEMS does with it, and where each DER connects."""

import math
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from feeders.consumers import enabled_loads
from feeders.errors import FeederFault
from feeders.values import DerPlacement

PHASES = (1, 2, 3)
BETWEEN = 2
"""Nodes that a single-phase DER may stand between."""
DER_CLASSES = ("generator", "storage", "pvsystem")
DER_CONTROLS = ("invcontrol", "expcontrol", "storagecontroller", "gendispatcher")
STRANGE = (
    "windgen",
    "indmach012",
    "generic5",
    "vccs",
    "vsconverter",
    "upfc",
    "gicline",
    "gicsource",
)
"""Classes that draw current by laws of their own."""


def check_file(context: Any, source: str) -> None:
    """Refuse a feeder without loads, with loads that are no numbers, or with DERs of its own.

    Raises:
        FeederFault: names all that is wrong.
    """
    faults = [*_load_faults(context), *_own_ders(context)]
    if faults:
        raise FeederFault("; ".join(f"feeder {source} {fault}" for fault in faults))


def _load_faults(context: Any) -> Iterator[str]:
    loads = context.Loads
    places = enabled_loads(context)
    total_kw = 0.0
    for i in places:
        loads.Idx(i + 1)
        kw, kvar = float(loads.kW()), float(loads.kvar())
        total_kw += kw
        if not (math.isfinite(kw) and math.isfinite(kvar)):
            yield f"has a load whose power is no number: load.{loads.Name()}; give its kW and kvar"
    if not places:
        yield "has no loads; add one (`New Load.NAME bus1=… kV=… kW=…`) for each consumer"
    elif total_kw <= 0.0:
        yield (
            f"has loads of {total_kw:g} kW together; their kW share out the measured load: "
            "give each its nominal kW"
        )


def _own_ders(context: Any) -> Iterator[str]:
    own = list(_enabled(context, DER_CLASSES))
    if own:
        yield (
            f"holds {', '.join(own)}; DERs stand in the site file: make each one there "
            "([[pv]], [[bes]] or [[dg]]) and take it out of the feeder file"
        )
    strange = list(_enabled(context, STRANGE))
    if strange:
        yield (
            f"holds {', '.join(strange)}, whose current GEEMS cannot follow; "
            "write each as a Load of the same power"
        )


def _enabled(context: Any, classes: Sequence[str]) -> Iterator[str]:
    """Enabled elements of some classes, `class.name`."""
    for name in (str(n).lower() for n in context.Circuit.AllElementNames()):
        if name.partition(".")[0] in classes:
            context.Circuit.SetActiveElement(name)
            if context.CktElement.Enabled():
                yield name


def switch_off_own_ders(context: Any) -> None:
    """Disable generators, storage and PV of the file, and what controls them."""
    for kind in sorted(
        {n.partition(".")[0] for n in _enabled(context, DER_CLASSES + DER_CONTROLS)}
    ):
        context.Text.Command(f"BatchEdit {kind}..* enabled=no")


def place(context: Any, placements: Sequence[DerPlacement], source: str) -> list[int]:
    """Place DERs, as loads of negative power that starts at none.

    Returns:
        Their places in the engine's list of loads, counted from 0.

    Raises:
        FeederFault: as `connections`.
    """
    first = context.Loads.Count()
    buses = connections(context, placements, source)
    if any(_is_between(p) for p in placements):
        context.Solution.Solve()  # tells whether two nodes are 120 or 180 degrees apart
    for p, bus in zip(placements, buses, strict=True):
        # Constant power between 0.5 and 1.5 pu, as an inverter or a governed set holds it.
        context.Text.Command(
            f"New Load.{_element(p.name)} bus1={bus} phases={p.phases} "
            f"conn={'delta' if p.delta else 'wye'} kV={_rated_kv(context, p, bus):.9g} "
            "kW=0 kvar=0 model=1 vminpu=0.5 vmaxpu=1.5 vlowpu=0.1 status=fixed"
        )
    return list(range(first, first + len(placements)))


def _is_between(placement: DerPlacement) -> bool:
    """Whether a DER stands between two nodes of its bus."""
    return placement.phases == 1 and placement.bus.count(".") == BETWEEN


def _rated_kv(context: Any, placement: DerPlacement, bus: str) -> float:
    """Rated voltage as the engine wants it: across a single phase, else line to line."""
    name, *nodes = bus.split(".")
    context.Circuit.SetActiveBus(name)
    line_to_neutral = float(context.Bus.kVBase())
    if not _is_between(placement):
        return line_to_neutral * (1.0 if placement.phases == 1 else math.sqrt(3.0))
    volts = [float(v) for v in context.Bus.PuVoltage()]
    at = {n: complex(*volts[2 * i : 2 * i + 2]) for i, n in enumerate(context.Bus.Nodes())}
    across = abs(at[int(nodes[0])] - at[int(nodes[1])])
    # 180 degrees apart are the legs of a centre-tapped secondary; 120 are two phases.
    return line_to_neutral * min((math.sqrt(3.0), 2.0), key=lambda x: abs(across - x))


def _element(name: str) -> str:
    """Name of the load that stands for a DER; apart from any of the file's own."""
    return f"geems_{name}"


def connections(context: Any, placements: Sequence[DerPlacement], source: str) -> list[str]:
    """Bus and phases of each placement as the engine spells them (`b7.1.2.3`).

    Raises:
        FeederFault: a bus is missing, has no voltage base, or lacks the phases asked for; all
            placements are told at once.
    """
    buses = [b.lower() for b in context.Circuit.AllBusNames()]
    faults, found = [], []
    for placement in placements:
        try:
            found.append(_connection(context, placement, buses, source))
        except FeederFault as fault:
            faults.append(str(fault))
    if faults:
        raise FeederFault("; ".join(faults))
    return found


def _connection(context: Any, placement: DerPlacement, buses: Sequence[str], source: str) -> str:
    bus, *dots = placement.bus.split(".")
    if bus.lower() not in buses:
        raise FeederFault(_no_bus(placement, buses, source))
    context.Circuit.SetActiveBus(bus)
    if context.Bus.kVBase() <= 0:
        raise FeederFault(
            f"{source}: bus {placement.bus} has no voltage base; end the file with "
            "`Set VoltageBases=[…]` and `CalcVoltageBases`"
        )
    nodes = sorted({int(n) for n in context.Bus.Nodes()})
    there = [n for n in nodes if n in PHASES] or nodes  # node 4 and above are mostly neutrals
    wrong = _wrong_delta(placement, bus) or _wrong_phases(placement, bus, dots, there, nodes)
    if wrong:
        raise FeederFault(f"{placement.name}: {wrong}")
    return ".".join([bus, *(dots or map(str, there))])


def _wrong_delta(placement: DerPlacement, bus: str) -> str:
    """What is wrong with a delta connection; empty when nothing is."""
    if not placement.delta or placement.phases == 3 or _is_between(placement):
        return ""
    return (
        f"delta with phases = {placement.phases}; a delta has phases = 3, or phases = 1 and two "
        f'nodes, as in bus = "{bus}.1.2"'
    )


def _wrong_phases(
    placement: DerPlacement,
    bus: str,
    dots: Sequence[str],
    there: Sequence[int],
    nodes: Sequence[int],
) -> str:
    """What is wrong with the phases of a placement; empty when nothing is."""
    wanted = placement.phases
    has = f"bus {bus} has {_phases(there)}"
    if wanted > len(there):
        spelled = ".".join([bus, *map(str, there)])
        return f'{has} only: give phases = {len(there)} and bus = "{spelled}"'
    example = ".".join([bus, *map(str, there[:wanted])])
    if not dots:
        # The engine would take the first phases, whether they are there or not.
        which = "phase" if wanted == 1 else "phases"
        return "" if wanted == len(there) else f'{has}: name the {which}, as in bus = "{example}"'
    if not set(dots) <= {str(n) for n in nodes}:
        return f'{has}, so "{placement.bus}" is not on it; as in bus = "{example}"'
    needed = BETWEEN if _is_between(placement) else wanted
    if len(set(dots)) != len(dots) or len(dots) != needed:
        return (
            f'bus = "{placement.bus}" names {_phases([int(d) for d in dots])} where phases = '
            f'{wanted}; give phases = {len(set(dots))}, or as in bus = "{example}"'
        )
    return ""


def _phases(numbers: Sequence[int]) -> str:
    """`phase 1`, `phases 1, 2 and 3`."""
    *most, last = [str(n) for n in numbers] or ["none"]
    return f"phases {', '.join(most)} and {last}" if most else f"phase {last}"


def _no_bus(placement: DerPlacement, buses: Sequence[str], source: str) -> str:
    bus = placement.bus.partition(".")[0]
    close = get_close_matches(bus.lower(), buses, n=1)
    hint = f"did you mean {close[0].upper()}?" if close else f"it has {_some(buses)}"
    return f"{placement.name}: feeder {source} has no bus {bus}; {hint}"


def _some(buses: Sequence[str]) -> str:
    shown = ", ".join(b.upper() for b in buses[:20])
    return shown + (f" and {len(buses) - 20} more" if len(buses) > 20 else "")
