"""What is coordinated: a feeder, its customers' PV, and the moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Literal
from uuid import NAMESPACE_URL, uuid5

from ems.coordinate.loads import ByLoad, Powers
from ems.domain import (
    Der,
    DerReading,
    Forecast,
    Limits,
    LoadReading,
    Pv,
    PvForecast,
    Site,
    Snapshot,
    Unmoved,
)
from ems.errors import BadInput
from feeders import Feeder
from feeders.topology import LoadConnection, Topology, topology

Q_SHARE = 0.44
"""Largest reactive power of an inverter, either sign, as a share of its rating: IEEE 1547-2018,
category B [1]."""
SPREAD = (0.6, 1.4)
"""A customer's PV before it is sized to the load, drawn evenly [1]."""
UTILITY = "utility"
"""Group of the plants that belong to no customer."""
PRIMARY = "primary"
"""Group of customers whom no service transformer feeds."""
EVERYBODY = "customers"
"""Group of all customers, where the feeder is one group."""

UTILITY_PLANTS: Mapping[str, Sequence[tuple[str, float]]] = {
    "ieee123": (("48", 300.0), ("76", 300.0), ("101", 300.0)),
    "ieee123_secondaries": (("48", 300.0), ("76", 300.0), ("101", 300.0)),
}
"""Bus and kW of the utility's plants that a shipped feeder has where none are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The moment, and what is asked of it."""

    limits: Limits
    fairness: Literal["least_cost", "equal_share", "proportional"] = "proportional"
    group: Literal["transformer", "feeder"] = "transformer"
    """Who shares alike under `equal_share`."""
    load_scale: float = 0.4
    """Consumption over nominal consumption [1]."""
    pv_scale: float = 1.0
    """What PV can give over its rating; 1 under a clear sky [1]."""
    taps: Literal["without-pv", "with-pv"] = "without-pv"
    """Where regulators and capacitors stand at first: at rest without PV, as when the sun comes
    out, or with all of it."""
    reactive: bool = True
    """Whether inverters may use reactive power."""
    price_usd_per_kwh: float = 0.3
    """What a kWh of PV saves at the feeder head [$/kWh]."""
    measured: Powers | None = None
    """Consumption by load, in place of the scale."""
    pv_share: float = 0.6
    """Share of the customers that have PV [1]."""
    pv_per_load: float = 1.35
    """Rating of a customer's PV over the nominal load, on average [1]."""
    utility: Sequence[tuple[str, float]] | None = None
    """Bus and kW of three-phase plants of the utility; None: those the feeder ships with."""
    seed: int = 1
    """Of the draw that decides who has PV, and how much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """A PV plant as messages and pictures know it."""

    der: str
    """Name in the site."""
    mrid: str
    """mRID of its PowerElectronicsConnection."""
    customer: str
    """The load behind the same meter; empty for the utility's."""
    transformer: str
    """Service transformer it hangs on; empty on the primary."""
    transformer_mrid: str
    p_before_kw: float
    """What it does uncoordinated [kW]."""
    q_before_kvar: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that a decision starts from."""

    name: str
    """Of the feeder."""
    site: Site
    snapshot: Snapshot
    forecast: Forecast
    network: ByLoad
    topology: Topology
    plants: tuple[Plant, ...]
    price_usd_per_kwh: float
    pins: Mapping[str, Unmoved] = field(default_factory=dict)
    """Devices that are no PV, and stay as they are."""
    notes: tuple[str, ...] = ()
    """What was assumed."""


def feeder_case(source: str, scenario: Scenario, now: datetime) -> Case:
    """A shipped feeder, or one from a .dss file, with PV placed at its customers.

    Args:
        source: name or path.
        scenario: the moment.
        now: UTC.

    Raises:
        FeederFault: the feeder cannot be opened, or has no such bus.
        BadInput: nobody has PV, or measured powers belong to no load.
    """
    bare = Feeder.open(source)
    try:
        top = topology(bare)
        nominal = Powers(
            kw={x.name: x.kw for x in bare.loads}, kvar={x.name: x.kvar for x in bare.loads}
        )
    finally:
        bare.close()
    utility = scenario.utility
    if utility is None:
        utility = UTILITY_PLANTS.get(source, ())
    customers = {x.name: x for x in top.loads if _has_pv(x, nominal, scenario)}
    ders: list[Pv] = [
        *(_customer_pv(x, top, nominal.kw[x.name], scenario) for x in customers.values()),
        *(_utility_pv(bus, kw, scenario) for bus, kw in utility),
    ]
    if not ders:
        raise BadInput.at("--pv-share", "no customer has PV; raise it, or name a --utility plant")
    plants = tuple(
        _plant(source, der, customers.get(der.name.removeprefix("pv_")), top, scenario)
        for der in ders
    )
    powers, notes = _consumption(nominal, scenario)
    return assembled(
        source,
        scenario,
        now,
        ders=ders,
        available_kw={d.name: scenario.pv_scale * d.rated_kw for d in ders},
        plants=plants,
        powers=powers,
        feeder=source,
        top=top,
        notes=notes,
    )


def assembled(
    name: str,
    scenario: Scenario,
    now: datetime,
    *,
    ders: Sequence[Der],
    available_kw: Mapping[str, float],
    plants: Sequence[Plant],
    powers: Powers,
    feeder: str,
    top: Topology | None = None,
    pins: Mapping[str, Unmoved] | None = None,
    notes: Sequence[str] = (),
) -> Case:
    """Put a case together; the sun and the load of its moment are certain."""
    pins = pins or {}
    load_kw = sum(powers.kw.values())
    site = Site(
        name=name,
        latitude_deg=0.0,
        longitude_deg=0.0,
        ders=tuple(ders),
        limits=scenario.limits,
        load_max_kw=load_kw,
        load_min_kw=load_kw,
        fairness=scenario.fairness,
    )
    shining = scenario.taps == "with-pv"
    standing = {n: (pin.expected.p_kw, pin.expected.q_kvar) for n, pin in pins.items()}
    standing |= {n: (kw if shining else 0.0, 0.0) for n, kw in available_kw.items()}
    snapshot = Snapshot(
        time=now,
        load=LoadReading(time=now, p_kw=load_kw, q_kvar=sum(powers.kvar.values())),
        ders={
            n: DerReading(der=n, time=now, p_kw=p_kw, q_kvar=q_kvar)
            for n, (p_kw, q_kvar) in standing.items()
        },
    )
    forecast = Forecast(
        start=now,
        pv={
            n: PvForecast(expected_kw=kw, lower_kw=kw, upper_kw=kw, method="given")
            for n, kw in available_kw.items()
        },
        load_kw=load_kw,
        load_kvar=sum(powers.kvar.values()),
    )
    network = ByLoad(Feeder.open(feeder, site.placements), powers)
    return Case(
        name=name,
        site=site,
        snapshot=snapshot,
        forecast=forecast,
        network=network,
        topology=topology(network.feeder) if top is None else top,
        plants=tuple(plants),
        price_usd_per_kwh=scenario.price_usd_per_kwh,
        pins=pins,
        notes=tuple(notes),
    )


def mrid_of(feeder: str, what: str) -> str:
    """An mRID for what no CIM model names: always the same for the same thing."""
    return "_" + str(uuid5(NAMESPACE_URL, f"geems:{feeder}/{what}")).upper()


def _consumption(nominal: Powers, scenario: Scenario) -> tuple[Powers, tuple[str, ...]]:
    """Consumption by load, and what was assumed."""
    measured = scenario.measured
    if measured is None:
        return nominal.scaled(scenario.load_scale), ()
    unknown = sorted(set(measured.kw) - set(nominal.kw))
    if unknown:
        shown = ", ".join(unknown[:5])
        raise BadInput.at(
            "--measurements",
            f"{len(unknown)} names are no loads of the feeder, as {shown}; "
            f"it has {len(nominal.kw)}, as {next(iter(nominal.kw))}",
        )
    return nominal.measured(measured)


def _has_pv(load: LoadConnection, nominal: Powers, scenario: Scenario) -> bool:
    """Whether a customer has PV: drawn with the customer's name, whatever else changes."""
    draw = Random(f"{scenario.seed} has {load.name}").random()  # noqa: S311 - no secret
    return nominal.kw[load.name] > 0.0 and draw < scenario.pv_share


def _customer_pv(load: LoadConnection, top: Topology, load_kw: float, scenario: Scenario) -> Pv:
    """PV on the same conductors as the customer's load, between the same two where it is so."""
    draw = Random(f"{scenario.seed} size {load.name}").random()  # noqa: S311 - no secret
    size = SPREAD[0] + (SPREAD[1] - SPREAD[0]) * draw
    rated_kw = max(round(load_kw * scenario.pv_per_load * size, 2), 0.01)
    behind = top.transformer.get(load.at, PRIMARY)
    nodes = [n for n in load.bus.split(".")[1:] if n != "0"]
    return Pv(
        name=f"pv_{load.name}",
        bus=".".join([load.at, *nodes]),
        phases=load.phases,
        rated_kw=rated_kw,
        q_max_kvar=Q_SHARE * rated_kw if scenario.reactive else 0.0,
        group=behind if scenario.group == "transformer" else EVERYBODY,
    )


def _utility_pv(bus: str, rated_kw: float, scenario: Scenario) -> Pv:
    return Pv(
        name=f"utility_{bus.replace('.', '_')}",
        bus=bus,
        rated_kw=rated_kw,
        q_max_kvar=Q_SHARE * rated_kw if scenario.reactive else 0.0,
        group=UTILITY,
    )


def _plant(
    feeder: str, der: Pv, load: LoadConnection | None, top: Topology, scenario: Scenario
) -> Plant:
    behind = top.transformer.get(der.bus.partition(".")[0].lower(), "")
    return Plant(
        der=der.name,
        mrid=mrid_of(feeder, der.name),
        customer="" if load is None else load.name,
        transformer=behind,
        transformer_mrid=mrid_of(feeder, behind) if behind else "",
        p_before_kw=scenario.pv_scale * der.rated_kw,
    )
