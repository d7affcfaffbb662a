"""LinearShuntCompensator → Capacitor, RegulatingControl → CapControl."""

from collections.abc import Iterator, Mapping

from feeders.cim.document import CimObject
from feeders.cim.element import Element
from feeders.cim.loads import between
from feeders.cim.naming import Names, at, fmt
from feeders.cim.ratings import ampacity
from feeders.cim.topology import NODES, Topology, phases_of

MODES = {"voltage": "voltage", "reactivePower": "kvar", "currentFlow": "current"}
"""Control modes that have a twin in OpenDSS."""
PER_UNIT = {"voltage": 1.0, "reactivePower": 1e-3, "currentFlow": 1.0}
"""From CIM's V, var and A to OpenDSS's V, kvar and A."""
MOST_SECTIONS = 100
"""A bank with more sections than this is taken for a mistake."""


def capacitors(t: Topology, names: Names) -> Iterator[Element]:
    """The capacitors of the feeder, switched as the file leaves them."""
    r = t.reading
    for bank in t.equipment("LinearShuntCompensator"):
        ends = t.ends(bank, 1)
        bus = ends[0].bus
        is_delta = r.code(bank, "ShuntCompensator.phaseConnection") == "D"
        phases = phases_of(
            t,
            bank,
            "LinearShuntCompensatorPhase",
            "ShuntCompensatorPhase.ShuntCompensator",
            "ShuntCompensatorPhase.phase",
        )
        many = min(MOST_SECTIONS, max(1, round(_sections(t, bank, "maximumSections", 1.0))))
        on = max(0, min(many, round(_sections(t, bank, "sections", float(many)))))
        steps = f"numsteps={many} states=[{' '.join('1' if i < on else '0' for i in range(many))}]"
        limit = ampacity(r, bank)
        rated = f" {limit.text()}" if limit.normal_a > 0.0 else ""
        kv_ll, kv_leg = t.kv(bus), t.leg_kv(bus)
        if not phases:
            nodes: tuple[int, ...] = (1, 2, 3)
            if not is_delta and not r.flag(bank, "ShuntCompensator.grounded", True):
                nodes = (1, 2, 3, t.free_neutral(bus))
            siemens = r.number(bank, "LinearShuntCompensator.bPerSection")
            kvar = siemens * kv_ll**2 * 1e3 * many
            conn = "delta" if is_delta else "wye"
            text = f"phases=3 bus1={at(bus, nodes)} conn={conn} kV={fmt(kv_ll)}"
            yield _made(bank, names.give(bank.name), bus, f"{text} kvar={fmt(kvar)} {steps}{rated}")
        for phase, x in phases:
            nodes = between(phase, is_delta)
            kv = kv_leg if len(nodes) == 1 else kv_ll
            siemens = r.number(x, "LinearShuntCompensatorPhase.bPerSection")
            suffix = f"_{phase}" if len(phases) > 1 else ""
            yield _made(
                bank,
                names.give(bank.name + suffix),
                bus,
                f"phases=1 bus1={at(bus, nodes if len(nodes) == 2 else (*nodes, 0))} conn=wye "
                f"kV={fmt(kv)} kvar={fmt(siemens * kv**2 * 1e3 * many)} {steps}{rated}",
            )


def _made(bank: CimObject, name: str, bus: str, properties: str) -> Element:
    return Element(
        mrid=bank.mrid,
        name=f"capacitor.{name}",
        text=f"New Capacitor.{name} {properties}",
        buses=(bus,),
    )


def _sections(t: Topology, bank: CimObject, attribute: str, default: float) -> float:
    return t.reading.number(bank, f"ShuntCompensator.{attribute}", default)


def capacitor_controls(
    t: Topology, names: Names, elements: Mapping[str, list[Element]]
) -> Iterator[Element]:
    """Controls of the capacitors.

    Args:
        t: the topology.
        names: names given to controls.
        elements: elements of the OpenDSS text by the mRID of their CIM object.
    """
    r = t.reading
    for bank in t.equipment("LinearShuntCompensator"):
        for control in r.behind("RegulatingControl.RegulatingCondEq", bank, "RegulatingControl"):
            mode = r.code(control, "RegulatingControl.mode")
            watched = r.target(control, "RegulatingControl.Terminal")
            if mode not in MODES:
                r.warn(control, f"mode {mode or 'missing'} is not known; the capacitor stays put")
                continue
            owner = watched and r.target(watched, "Terminal.ConductingEquipment")
            place = elements.get(owner.mrid, []) if owner is not None else []
            if watched is None or not place:
                r.warn(control, "watches an element that is not read; the capacitor stays put")
                continue
            if not r.flag(control, "RegulatingControl.enabled", True):
                continue
            target = r.number(control, "RegulatingControl.targetValue")
            band = r.number(control, "RegulatingControl.targetDeadband", 0.0)
            settings = [(target + side * band / 2.0) * PER_UNIT[mode] for side in (-1.0, 1.0)]
            phase = NODES.get(r.code(control, "RegulatingControl.monitoredPhase"), (1,))[0]
            terminal = round(r.number(watched, "ACDCTerminal.sequenceNumber", 1.0))
            delay = r.number(bank, "ShuntCompensator.aVRDelay", 15.0)
            for capacitor in elements.get(bank.mrid, []):
                name = names.give(control.name)
                yield Element(
                    mrid=control.mrid,
                    name=f"capcontrol.{name}",
                    text=(
                        f"New CapControl.{name} capacitor={capacitor.name.partition('.')[2]} "
                        f"element={place[0].name} terminal={terminal} type={MODES[mode]} "
                        f"ptratio=1 ctratio=1 ptphase={phase} ctphase={phase} "
                        f"onsetting={fmt(settings[0])} offsetting={fmt(settings[1])} "
                        f"delay={fmt(delay)}"
                    ),
                    buses=capacitor.buses,
                )
