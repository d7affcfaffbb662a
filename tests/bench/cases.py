"""What benches decide on: PV plants on frozen feeders, the sun certain and too much."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ems.domain import (
    DerReading,
    Forecast,
    Limits,
    LoadReading,
    Pv,
    PvForecast,
    Site,
    Snapshot,
)
from ems.ports import Network
from feeders import Feeder
from tests.bench.frozen import Frozen, Load, bus_of, freeze, ieee123_text

NOON = datetime(2026, 6, 21, 19, 0, tzinfo=UTC)
PRICE_USD_PER_KWH = 0.3
"""What a kWh of PV saves at the feeder head."""
Q_SHARE = 0.48
"""Largest |Q| of an inverter as a share of the power available to it."""
SERVICE_KV = 0.2
"""Base voltage to neutral below which a bus with legs 1 and 2 is a split-phase service [kV]."""
NOMINAL_PV_KW = 3140.0
"""Nominal load of the 85 loads that carry a PV in the 123-bus case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PvCase:
    """What a decision starts from."""

    site: Site
    snapshot: Snapshot
    forecast: Forecast
    network: Network
    frozen: Frozen

    @property
    def available_kw(self) -> float:
        return sum(sky.expected_kw for sky in self.forecast.pv.values())


# --- the cases -------------------------------------------------------------------------


def ieee123_pv(
    folder: Path, total_kw: float, load_factor: float, *, reactive: bool = True
) -> PvCase:
    """The 123-bus PV case: 85 plants, one at the first load of each primary bus.

    Args:
        folder: where the feeder's text goes.
        total_kw: available PV together, shared out by the nominal kW of these loads [kW].
        load_factor: of every load, regulators at rest without PV.
        reactive: whether the plants may use Q.
    """
    frozen = freeze(ieee123_text(), folder / "ieee123.dss", load_factor)
    first: dict[str, Load] = {}
    for load in frozen.loads:
        first.setdefault(bus_of(load.bus), load)
    plants = [
        _plant(load, load.nominal_kw * total_kw / NOMINAL_PV_KW, reactive=reactive)
        for bus, load in first.items()
        if frozen.kv[bus] > 1.0
    ]
    return pv_case("ieee123", frozen, plants, Limits(v_min_pu=0.95, v_max_pu=1.05, **UNWATCHED))


def seeded_pv(
    name: str,
    text: Sequence[str],
    folder: Path,
    *,
    plants: int,
    total_kw: float,
    load_factor: float,
    limits: tuple[float, float],
    reactive: bool = True,
) -> PvCase:
    """Plants at loads chosen by a seed, one at a bus, sized by the nominal kW of these loads.

    Args:
        name: of the site.
        text: statements of the feeder.
        folder: where its frozen text goes.
        plants: how many.
        total_kw: available PV together [kW].
        load_factor: of every load.
        limits: lowest and highest voltage [pu].
        reactive: whether the plants may use Q.
    """
    frozen = freeze(text, folder / f"{name}.dss", load_factor)
    live = {n.partition(".")[0] for n, v in zip(frozen.nodes, frozen.v_pu, strict=True) if v > 0.5}
    at: dict[str, list[Load]] = {}
    for load in sorted(frozen.loads, key=lambda x: x.name):
        if bus_of(load.bus) in live:
            at.setdefault(bus_of(load.bus), []).append(load)
    dice = random.Random(plants)
    places = dice.sample([[*loads, *_across(loads, frozen)] for loads in at.values()], plants)
    chosen = [dice.choice(loads) for loads in places]
    share = total_kw / sum(load.nominal_kw for load in chosen)
    return pv_case(
        name,
        frozen,
        [_plant(load, load.nominal_kw * share, reactive=reactive) for load in chosen],
        Limits(v_min_pu=limits[0], v_max_pu=limits[1], **UNWATCHED),
    )


def _across(loads: Sequence[Load], frozen: Frozen) -> list[Load]:
    """The loads of both legs of a split-phase service, as one."""
    bus = bus_of(loads[0].bus)
    legs = {load.bus.partition(".")[2] for load in loads}
    if frozen.kv[bus] > SERVICE_KV or legs != {"1", "2"}:
        return []
    return [
        Load(
            name=loads[0].name,
            bus=f"{bus}.1.2",
            phases=2,
            delta=False,
            nominal_kw=sum(load.nominal_kw for load in loads),
        )
    ]


UNWATCHED: Mapping[str, Any] = {"loading_max_pct": None, "load_band_pct": 0.0}
"""Voltage is what these cases are about, and load and sun are certain."""


def pv_case(name: str, frozen: Frozen, plants: Sequence[Pv], limits: Limits) -> PvCase:
    """A case in which the sun is certain and every plant stands at zero before."""
    site = Site(
        name=name,
        latitude_deg=37.8,
        longitude_deg=-122.4,
        ders=tuple(plants),
        limits=limits,
        load_max_kw=frozen.load_kw,
        load_min_kw=frozen.load_kw,
    )
    snapshot = Snapshot(
        time=NOON,
        load=LoadReading(time=NOON, p_kw=frozen.load_kw),
        ders={p.name: DerReading(der=p.name, time=NOON, p_kw=0.0, q_kvar=0.0) for p in plants},
    )
    forecast = Forecast(
        start=NOON,
        pv={
            p.name: PvForecast(
                expected_kw=p.rated_kw, lower_kw=p.rated_kw, upper_kw=p.rated_kw, method="given"
            )
            for p in plants
        },
        load_kw=frozen.load_kw,
    )
    return PvCase(
        site=site,
        snapshot=snapshot,
        forecast=forecast,
        network=Feeder.open(str(frozen.file), site.placements),
        frozen=frozen,
    )


def _plant(load: Load, available_kw: float, *, reactive: bool) -> Pv:
    """A plant on the phases of a load; of one between two phases, on the first of them."""
    bus, *dots = load.bus.split(".")
    node = bus if load.phases == 3 else ".".join([bus, *dots[: load.phases]])
    return Pv(
        name=f"pv_{load.name}",
        bus=node,
        phases=load.phases,
        rated_kw=available_kw,
        q_max_kvar=Q_SHARE * available_kw if reactive else 0.0,
    )


def without_q(case: PvCase) -> PvCase:
    """The same plants without reactive power."""
    plants = tuple(replace(p, q_max_kvar=0.0) for p in case.site.pvs)
    return replace(case, site=replace(case.site, ders=plants))


def scaled(case: PvCase, sun: float, load: float) -> PvCase:
    """The same plants in another interval: available PV and load times a factor each."""
    snapshot, forecast = case.snapshot, case.forecast
    measured = replace(snapshot.load, p_kw=load * snapshot.load.p_kw)
    pv = {
        name: replace(
            sky,
            expected_kw=sun * sky.expected_kw,
            lower_kw=sun * sky.lower_kw,
            upper_kw=sun * sky.upper_kw,
        )
        for name, sky in forecast.pv.items()
    }
    return replace(
        case,
        snapshot=replace(snapshot, load=measured),
        forecast=replace(forecast, pv=pv, load_kw=load * forecast.load_kw),
    )
