"""A thousand IEEE 1547 inverters: built, stepped one second, shown; and a plant's quarter hour."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ems.domain import Bes, Pv, Site
from ems.plant import GeneratedProfile, Plant
from ems.plant.devices import Orders
from ems.plant.field_device import FieldDevice, Inverter
from ems.plant.inverter import DEFAULTS, BesInverter, PvInverter
from ems.plant.terminal import Terminal
from ems.reproduce import reference_site
from tests.bench.table import median_ms, tell

START = datetime(2019, 7, 15, 19, tzinfo=UTC)
MORNING = START - timedelta(hours=4)
"""Without control, more sun than the feeder carries would make inverters cease every second."""
MANY = 1000
RUNS = 15
PV = Pv(name="pv", bus="b", rated_kw=100, q_max_kvar=44, s_max_kva=100)
BES = Bes(name="bes", bus="b", rated_kw=100, capacity_kwh=200, q_max_kvar=44, s_max_kva=100)
ALL_ON = replace(
    DEFAULTS,
    volt_var=replace(DEFAULTS.volt_var, enabled=True),
    volt_watt=replace(DEFAULTS.volt_watt, enabled=True),
)
AT = Terminal(v_pu=1.03, hz=60.01)
ORDERS = Orders(cap_kw=70, p_kw=30, q_kvar=10)


def timed(work: Callable[[], object], runs: int = RUNS) -> float:
    """Median of several runs; processor time, so that neighbours do not count [ms]."""
    spent = []
    for _ in range(runs):
        started = time.process_time()
        work()
        spent.append(time.process_time() - started)
    return median_ms(spent)


def stepping(inverters: list[PvInverter] | list[BesInverter]) -> Callable[[], None]:
    for inverter in inverters:
        inverter.at = AT

    def second() -> None:
        for inverter in inverters:
            inverter.step(1 / 3600, ORDERS, 80)

    return second


def test_bench_inverters() -> None:
    built: list[PvInverter] = []
    build_ms = timed(lambda: built.extend(PvInverter(PV) for _ in range(MANY)), runs=1)
    rows: list[dict[str, object]] = [
        {"what": "1000 PV inverters built", "median_ms": build_ms, "asked_ms": None},
        {"what": "1000 PV inverters, 1 s", "median_ms": timed(stepping(built)), "asked_ms": 150},
    ]
    for inverter in built:
        inverter.settings = ALL_ON
    batteries = [BesInverter(BES, 50) for _ in range(MANY)]
    rows += [
        {
            "what": "… with volt-var and volt-watt",
            "median_ms": timed(stepping(built)),
            "asked_ms": 150,
        },
        {"what": "1000 batteries, 1 s", "median_ms": timed(stepping(batteries)), "asked_ms": 150},
    ]
    tell("inverters", rows + registers() + quarter_hour())


def registers() -> list[dict[str, object]]:
    devices: list[FieldDevice] = []
    build_ms = timed(
        lambda: devices.extend(
            FieldDevice(PV, START, 50, inverter="ieee1547") for _ in range(MANY)
        ),
        runs=1,
    )
    now = [START]

    def step() -> None:
        now[0] += timedelta(seconds=1)
        for device in devices:
            device.step(now[0], 80, AT)

    def show() -> None:
        for device in devices:
            device.show(1.03)

    return [
        {"what": "1000 devices with registers built", "median_ms": build_ms, "asked_ms": None},
        {"what": "… 1 s", "median_ms": timed(step), "asked_ms": None},
        {"what": "… shown in registers", "median_ms": timed(show), "asked_ms": None},
    ]


def quarter_hour() -> list[dict[str, object]]:
    site: Site = reference_site()
    profile = GeneratedProfile(site, 1, START.date())
    rows: list[dict[str, object]] = []
    kinds: tuple[Inverter, ...] = ("ideal", "ieee1547")
    for inverters in kinds:
        plant = Plant(site, "segment13", profile, MORNING, inverters=inverters)
        spent = timed(lambda p=plant: p.advance_to(p.now + timedelta(minutes=15)), runs=5)  # type: ignore[misc]  # bound at once
        plant.close()
        rows.append(
            {"what": f"segment13, 15 min, {inverters}", "median_ms": spent, "asked_ms": 500}
        )
    return rows
