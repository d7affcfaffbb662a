"""EnergySource → Circuit and Vsource."""

import math
from collections.abc import Iterator

from feeders.cim.element import Element
from feeders.cim.naming import Names, fmt
from feeders.cim.topology import Topology

STIFF_OHM = 1e-4
"""Reactance in place of none: OpenDSS cannot have a source without impedance."""


def sources(t: Topology) -> Iterator[Element]:
    """The sources of the feeder; the first is the circuit's own.

    A fault where there is none: then nothing is energised.
    """
    r, names = t.reading, Names()
    names.give("source")  # the circuit's own
    found = list(t.equipment("EnergySource"))
    if not found:
        r.fault(t.feeder, "has no EnergySource; give the one that feeds it")
    for i, source in enumerate(found):
        ends = t.ends(source, 1)
        nominal = r.above_zero(source, "EnergySource.nominalVoltage")
        magnitude = r.number(source, "EnergySource.voltageMagnitude", nominal)
        angle = math.degrees(r.number(source, "EnergySource.voltageAngle", 0.0))
        z = [r.number(source, f"EnergySource.{x}", 0.0) for x in ("r", "x", "r0", "x0")]
        r1, x1, r0, x0 = z
        x1 = x1 if abs(complex(r1, x1)) >= STIFF_OHM else STIFF_OHM
        x0 = x0 if abs(complex(r0, x0)) >= STIFF_OHM else STIFF_OHM
        name = "source" if i == 0 else names.give(source.name)
        new = f"New Circuit.{Names().give(t.feeder.name)}" if i == 0 else f"New Vsource.{name}"
        yield Element(
            mrid=source.mrid,
            name=f"vsource.{name}",
            text=(
                f"{new} bus1={ends[0].bus}.1.2.3 phases=3 basekV={fmt(nominal / 1e3)} "
                f"pu={fmt(magnitude / nominal)} angle={fmt(angle)} "
                f"R1={fmt(r1)} X1={fmt(x1)} R0={fmt(r0)} X0={fmt(x0)}"
            ),
            buses=(ends[0].bus,),
        )
