"""PowerElectronicsConnection and SynchronousMachine → devices to be placed on the feeder.

They are no part of the OpenDSS text: GEEMS places its DERs itself. Sign: `p` and `q` of the
file are read as injections, as OpenDSS exports and GridAPPS-D use them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from feeders.cim.document import CimObject
from feeders.cim.naming import Names, at
from feeders.cim.topology import NODES, Topology, phases_of
from feeders.values import DerPlacement

CURVES = ("VoltVarSettings", "VoltWattSettings", "WattVarSettings")


class DeviceKind(StrEnum):
    """What stands behind a connection."""

    PV = "pv"
    BATTERY = "battery"
    GENERATOR = "generator"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class CimDevice:
    """One device that can be dispatched. Power is an injection, positive into the grid."""

    mrid: str
    """mRID of the PowerElectronicsConnection or SynchronousMachine, as messages name it."""
    name: str
    """Name in the CIM file."""
    placement: DerPlacement
    """Where it stands; its name is what load flows call it."""
    kind: DeviceKind
    phases: tuple[str, ...]
    """CIM phases, empty for a three-phase device."""
    rated_kva: float
    """Rated apparent power [kVA]."""
    p_kw: float
    """Active power in the file [kW]."""
    q_kvar: float
    """Reactive power in the file [kvar]."""
    max_p_kw: float
    """Most active power of the unit: for PV what it gives at full sun [kW]."""
    min_p_kw: float
    """Least active power: of a battery the negative of what it charges with [kW]."""
    max_q_kvar: float
    """Most reactive power, injected [kvar]."""
    min_q_kvar: float
    """Least reactive power, absorption negative [kvar]."""
    rated_kwh: float = 0.0
    """Energy of a battery [kWh]."""
    stored_kwh: float = 0.0
    """Energy stored in a battery [kWh]."""

    @property
    def bus(self) -> str:
        """Bus it stands at, without nodes."""
        return self.placement.bus.partition(".")[0]

    @property
    def attribute(self) -> str:
        """What messages call its power: `PowerElectronicsConnection`, `RotatingMachine`."""
        machine = self.kind is DeviceKind.GENERATOR
        return "RotatingMachine" if machine else "PowerElectronicsConnection"


def devices(t: Topology) -> Iterator[CimDevice]:
    """The devices of the feeder, in the order of their names."""
    names = Names()
    for connection in t.equipment("PowerElectronicsConnection"):
        yield _inverter(t, connection, names)
    for machine in t.equipment("SynchronousMachine"):
        yield _machine(t, machine, names)
    _warn_of_curves(t)


def _inverter(t: Topology, of: CimObject, names: Names) -> CimDevice:
    r, own = t.reading, "PowerElectronicsConnection"
    phases = phases_of(t, of, f"{own}Phase", f"{own}Phase.{own}", f"{own}Phase.phase")
    placement = _placement(t, of, [p for p, _ in phases], names)
    kinds = {"PhotovoltaicUnit": DeviceKind.PV, "BatteryUnit": DeviceKind.BATTERY}
    unit = r.target(of, f"{own}.PowerElectronicsUnit", needed=False)
    if unit is None:  # newer profiles let the unit refer to the connection
        behind = r.behind("PowerElectronicsUnit.PowerElectronicsConnection", of, *kinds)
        unit = behind[0] if behind else None
    kind = kinds.get(unit.kind, DeviceKind.OTHER) if unit is not None else DeviceKind.OTHER
    rated = r.above_zero(of, f"{own}.ratedS") / 1e3
    limits = [-rated if kind is DeviceKind.BATTERY else 0.0, rated]
    if unit is not None:
        high = r.number(unit, "PowerElectronicsUnit.maxP", rated * 1e3) / 1e3
        low = r.number(unit, "PowerElectronicsUnit.minP", limits[0] * 1e3) / 1e3
        # A PV unit's minP is where its inverter cuts out, not a power it must keep.
        limits = [low if kind is DeviceKind.BATTERY else 0.0, high]
    stored = kind is DeviceKind.BATTERY and unit is not None
    return CimDevice(
        mrid=of.mrid,
        name=of.name,
        placement=placement,
        kind=kind,
        phases=tuple(p for p, _ in phases),
        rated_kva=rated,
        p_kw=_of_phases(t, of, f"{own}.p", phases, f"{own}Phase.p"),
        q_kvar=_of_phases(t, of, f"{own}.q", phases, f"{own}Phase.q"),
        max_p_kw=limits[1],
        min_p_kw=limits[0],
        max_q_kvar=r.number(of, f"{own}.maxQ", rated * 1e3) / 1e3,
        min_q_kvar=r.number(of, f"{own}.minQ", -rated * 1e3) / 1e3,
        rated_kwh=r.number(unit, "BatteryUnit.ratedE", 0.0) / 1e3 if stored and unit else 0.0,
        stored_kwh=r.number(unit, "BatteryUnit.storedE", 0.0) / 1e3 if stored and unit else 0.0,
    )


def _of_phases(
    t: Topology,
    of: CimObject,
    whole: str,
    phases: list[tuple[str, CimObject]],
    part: str,
) -> float:
    """The connection's own power, or the sum of its phases' [kW, kvar]."""
    r = t.reading
    total = sum(r.number(x, part, 0.0) for _, x in phases)
    return r.number(of, whole, total) / 1e3


def _machine(t: Topology, of: CimObject, names: Names) -> CimDevice:
    r, own = t.reading, "RotatingMachine"
    placement = _placement(t, of, [], names)
    rated = r.above_zero(of, f"{own}.ratedS") / 1e3
    return CimDevice(
        mrid=of.mrid,
        name=of.name,
        placement=placement,
        kind=DeviceKind.GENERATOR,
        phases=(),
        rated_kva=rated,
        p_kw=r.number(of, f"{own}.p", 0.0) / 1e3,
        q_kvar=r.number(of, f"{own}.q", 0.0) / 1e3,
        max_p_kw=rated,
        min_p_kw=0.0,
        max_q_kvar=r.number(of, "SynchronousMachine.maxQ", rated * 1e3) / 1e3,
        min_q_kvar=r.number(of, "SynchronousMachine.minQ", -rated * 1e3) / 1e3,
    )


def _placement(t: Topology, of: CimObject, phases: list[str], names: Names) -> DerPlacement:
    ends = t.ends(of, 1)
    nodes = tuple(sorted({n for p in phases for n in NODES[p] if n})) or (1, 2, 3)
    return DerPlacement(name=names.give(of.name), bus=at(ends[0].bus, nodes), phases=len(nodes))


def _warn_of_curves(t: Topology) -> None:
    """Curves that act in the inverters would move what GEEMS has set."""
    for settings in t.reading.document.of_kind(*CURVES):
        if t.reading.flag(settings, f"{settings.kind}.enabled", False):
            t.reading.warn(
                settings,
                "is enabled and not part of the feeder that is built; switch it off in the "
                "inverter, or it will move what GEEMS sets",
            )
