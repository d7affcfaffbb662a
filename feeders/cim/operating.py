"""The operating point: from scaling factors, or from measurements."""

import cmath
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from feeders.cim.devices import CimDevice, DeviceKind
from feeders.cim.feeder import CimFeeder
from feeders.cim.loads import CimLoad
from feeders.cim.measurements import POWER, CimMeasurement
from feeders.cim.reading import bare
from feeders.errors import FeederFault
from feeders.values import Injections

SHOWN = 5
"""More than this in one note is not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """One state of a feeder."""

    injections: Injections
    """Powers of the devices and of each load, by the names of `CimFeeder.placements` and of
    the OpenDSS text; taps and capacitors as the file has them."""
    available_kw: Mapping[str, float]
    """What each PV could give, by the name of its placement [kW]."""
    notes: tuple[str, ...] = ()
    """What was assumed."""


def operating_point(cim: CimFeeder, *, load: float = 1.0, pv: float = 1.0) -> OperatingPoint:
    """The state with all loads and all PV scaled.

    Args:
        cim: the feeder.
        load: consumption over nominal consumption; each load keeps its power factor.
        pv: PV power over the units' largest power; no more than the inverter's rating. PV gives
            no reactive power. Batteries and generators stand where the file has them.

    Raises:
        FeederFault: a factor is negative or not finite.
    """
    for name, factor in (("load", load), ("pv", pv)):
        if not (cmath.isfinite(factor) and factor >= 0.0):
            raise FeederFault(f"scaling factor {name} = {factor:g}: give 0 or more")
    available = {d.placement.name: _sun(d, pv) for d in _pv(cim)}
    p, q = _as_in_the_file(cim)
    p |= available
    q |= dict.fromkeys(available, 0.0)
    parts = {n: pq for x in cim.loads for n, pq in x.parts.items()}
    return OperatingPoint(
        injections=Injections(
            p_kw=p,
            q_kvar=q,
            load_kw={n: pq[0] * load for n, pq in parts.items()},
            load_kvar={n: pq[1] * load for n, pq in parts.items()},
        ),
        available_kw=available,
    )


def operating_point_from_measurements(
    cim: CimFeeder, values: Mapping[str, complex]
) -> OperatingPoint:
    """The state that was measured.

    What is not measured is estimated, and noted: loads by the measured loads' share of their
    nominal power, PV by the measured PV's share of its largest power; batteries and generators
    stand where the file has them. A PV's available power is what it gives.

    Args:
        cim: the feeder.
        values: complex power by the mRID of its measurement, positive into the element, so an
            inverter that generates has a negative one [W + j var].

    Raises:
        FeederFault: a value is not finite, or none belongs to a power of this feeder.
    """
    odd = [m for m, v in values.items() if not cmath.isfinite(v)]
    if odd:
        raise FeederFault(f"measurements {_some(odd)}: not finite; leave out what is not known")
    known = {bare(m): x for m, x in cim.measurements.items() if x.kind == POWER}
    taken: dict[str, list[tuple[CimMeasurement, complex]]] = defaultdict(list)
    strange = []
    for mrid, value in values.items():
        about = known.get(bare(mrid))
        if about is None:
            strange.append(mrid)
        else:
            taken[about.equipment].append((about, value))
    owners = {x.mrid for x in cim.loads} | {x.mrid for x in cim.devices}
    if not owners & taken.keys():
        raise FeederFault(
            f"{cim.path}: none of the {len(values)} measured values is a power (Analog of type VA) "
            f"of a load or inverter of feeder {cim.name!r}; it describes {len(known)} of them"
        )
    notes: list[str] = []
    if strange:
        notes.append(f"{len(strange)} values are no power of this feeder, as {_some(strange)}")
    load_kw, load_kvar = _measured_loads(cim, taken, notes)
    p, q, available = _measured_devices(cim, taken, notes)
    return OperatingPoint(
        injections=Injections(p_kw=p, q_kvar=q, load_kw=load_kw, load_kvar=load_kvar),
        available_kw=available,
        notes=tuple(notes),
    )


# --- loads ------------------------------------------------------------------------------

_Taken = Mapping[str, list[tuple[CimMeasurement, complex]]]


def _measured_loads(
    cim: CimFeeder, taken: _Taken, notes: list[str]
) -> tuple[dict[str, float], dict[str, float]]:
    """Power of each load of the OpenDSS text [kW], [kvar]."""
    measured = {x.mrid: _total(x.phases, taken[x.mrid]) for x in cim.loads if x.mrid in taken}
    nominal = sum(x.p_kw for x in cim.loads if x.mrid in measured)
    share = sum(v.real for v in measured.values()) / 1e3 / nominal if nominal > 0.0 else 1.0
    missing = [x.name for x in cim.loads if x.mrid not in measured]
    if missing:
        notes.append(
            f"{len(missing)} loads are not measured, as {_some(missing)}: taken at "
            f"{share:.3g} times nominal, as the measured ones together"
        )
    kw, kvar = {}, {}
    for x in cim.loads:
        total = measured.get(x.mrid)
        for name, (p, q) in x.parts.items():
            alone = _alone(x, name, taken)
            if total is None:
                kw[name], kvar[name] = p * share, q * share
            elif alone is not None:
                kw[name], kvar[name] = alone.real / 1e3, alone.imag / 1e3
            else:
                part = p / x.p_kw if x.p_kw else 1.0 / len(x.parts)
                kw[name], kvar[name] = total.real / 1e3 * part, total.imag / 1e3 * part
    return kw, kvar


def _alone(load: CimLoad, part: str, taken: _Taken) -> complex | None:
    """What was measured at the one phase that a part stands for; None where there is none."""
    if len(load.parts) < 2:
        return None
    phase = load.phases[list(load.parts).index(part)]
    found = [v for m, v in taken.get(load.mrid, []) if m.phases == (phase,)]
    return found[0] if found else None


def _total(phases: tuple[str, ...], found: list[tuple[CimMeasurement, complex]]) -> complex:
    """Power of an element; phases that were not measured carry what the others do [W + j var]."""
    has = _spread(phases) or {"A", "B", "C"}
    seen = set[str]().union(*(_spread(m.phases) for m, _ in found)) & has
    total = sum((v for _, v in found), start=0j)
    return total * len(has) / len(seen) if seen else total


def _spread(phases: tuple[str, ...]) -> set[str]:
    """Phases one by one: `s12` is both legs; the neutral carries no power."""
    legs = {"s12": {"s1", "s2"}, "N": set[str]()}
    return set[str]().union(*(legs.get(p, {p}) for p in phases))


# --- devices ----------------------------------------------------------------------------


def _measured_devices(
    cim: CimFeeder, taken: _Taken, notes: list[str]
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Injections [kW], [kvar] and the PV's available power [kW], by placement."""
    p, q = _as_in_the_file(cim)
    for d in cim.devices:
        if d.mrid in taken:
            into = _total(d.phases, taken[d.mrid])
            p[d.placement.name], q[d.placement.name] = -into.real / 1e3, -into.imag / 1e3
    seen = [d for d in _pv(cim) if d.mrid in taken]
    largest = sum(d.max_p_kw for d in seen)
    share = max(0.0, sum(p[d.placement.name] for d in seen)) / largest if largest > 0.0 else 1.0
    unseen = [d for d in _pv(cim) if d.mrid not in taken]
    for d in unseen:
        p[d.placement.name], q[d.placement.name] = _sun(d, share), 0.0
    if unseen:
        notes.append(
            f"{len(unseen)} PV are not measured, as {_some([d.name for d in unseen])}: taken at "
            f"{share:.3g} times their largest power"
        )
    others = [d.name for d in cim.devices if d.kind is not DeviceKind.PV and d.mrid not in taken]
    if others:
        notes.append(
            f"{len(others)} batteries and generators are not measured, as {_some(others)}: "
            "taken as the file has them"
        )
    available = {d.placement.name: max(0.0, p[d.placement.name]) for d in _pv(cim)}
    return p, q, available


def _as_in_the_file(cim: CimFeeder) -> tuple[dict[str, float], dict[str, float]]:
    return (
        {d.placement.name: d.p_kw for d in cim.devices},
        {d.placement.name: d.q_kvar for d in cim.devices},
    )


def _pv(cim: CimFeeder) -> list[CimDevice]:
    return [d for d in cim.devices if d.kind is DeviceKind.PV]


def _sun(device: CimDevice, share: float) -> float:
    return min(share * device.max_p_kw, device.rated_kva)


def _some(names: list[str]) -> str:
    shown = ", ".join(n[:40] for n in names[:SHOWN])
    return shown + (", …" if len(names) > SHOWN else "")
