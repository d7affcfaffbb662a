"""Whether a compiled feeder can carry what GEEMS does with it, and where each DER connects."""

import math
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from feeders.errors import FeederFault
from feeders.values import DerPlacement

PHASES = (1, 2, 3)
DER_CLASSES = ("generator", "storage", "pvsystem")


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
    total_kw = 0.0
    for i in range(1, loads.Count() + 1):
        loads.Idx(i)
        kw, kvar = float(loads.kW()), float(loads.kvar())
        total_kw += kw
        if not (math.isfinite(kw) and math.isfinite(kvar)):
            yield f"has a load whose power is no number: load.{loads.Name()}; give its kW and kvar"
    if loads.Count() == 0:
        yield "has no loads; add one (`New Load.NAME bus1=… kV=… kW=…`) for each consumer"
    elif total_kw <= 0.0:
        yield (
            f"has loads of {total_kw:g} kW together; their kW share out the measured load: "
            "give each its nominal kW"
        )


def _own_ders(context: Any) -> Iterator[str]:
    names = [str(n).lower() for n in context.Circuit.AllElementNames()]
    own = [n for n in names if n.partition(".")[0] in DER_CLASSES]
    if own:
        yield (
            f"holds {', '.join(own)}; DERs stand in the site file: make each one there "
            "([[pv]], [[bes]] or [[dg]]) and take it out of the feeder file"
        )


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
    there = sorted({int(n) for n in context.Bus.Nodes()} & set(PHASES))
    wrong = _wrong_phases(placement, bus, dots, there)
    if wrong:
        raise FeederFault(f"{placement.name}: {wrong}")
    return ".".join([bus, *(dots or map(str, there))])


def _wrong_phases(
    placement: DerPlacement, bus: str, dots: Sequence[str], there: Sequence[int]
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
    if not set(dots) <= {str(n) for n in there}:
        return f'{has}, so "{placement.bus}" is not on it; as in bus = "{example}"'
    if len(set(dots)) != len(dots) or len(dots) != wanted:
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
