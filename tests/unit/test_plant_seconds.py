"""A plant of IEEE 1547 inverters: second by second, each with the voltage of the last load flow."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from ems.domain import Bes, Dg, Limits, Pv, Site
from ems.plant import Misbehaviour, Plant
from ems.plant.service import FASTEST, LONGEST_LAG_S, LONGEST_PAUSE_S, SHORTEST_PAUSE_S, pause_s
from ems.protocols.sunspec import model

START = datetime(2024, 6, 3, 20, tzinfo=UTC)
WIDE = Limits(v_min_pu=0.5, v_max_pu=1.5, loading_max_pct=None)
SITE = Site(
    name="segment13",
    latitude_deg=37.3,
    longitude_deg=-121.9,
    ders=(
        Pv(name="pv", bus="B13", rated_kw=10_000, q_max_kvar=4400),
        Dg(name="dg", bus="B7", rated_kw=3000, cost_usd_per_kwh=0.1, reversion_kw=1000),
        Bes(name="bes", bus="B11", rated_kw=200, capacity_kwh=500, q_max_kvar=200),
    ),
    limits=Limits(v_min_pu=0.88, v_max_pu=1.10),
    load_max_kw=14_500,
    load_min_kw=5000,
)


class Sun:
    """One sun and one load, for ever."""

    def __init__(self, kw: float) -> None:
        self.kw = kw

    def pv_available_kw(self, pv: Pv, times: pd.DatetimeIndex) -> NDArray[np.float64]:
        return np.full(len(times), min(self.kw, pv.rated_kw))

    def load_kw(self, times: pd.DatetimeIndex) -> NDArray[np.float64]:
        return np.full(len(times), 13_204.0)


@pytest.fixture
def modest() -> Iterator[Plant]:
    """As much sun as the feeder carries without control."""
    plant = Plant(SITE, "segment13", Sun(5000), START, inverters="ieee1547")
    yield plant
    plant.close()


@pytest.fixture
def full() -> Iterator[Plant]:
    """More sun than the feeder carries."""
    plant = Plant(SITE, "segment13", Sun(10_000), START, inverters="ieee1547")
    yield plant
    plant.close()


def order(plant: Plant, name: str, model_id: int = 704, **raw: int) -> None:
    registers = plant._devices[name].registers
    address = registers.start + 2
    while True:
        head = registers.read(address, 2)
        assert not isinstance(head, int)
        if head[0] == model_id:
            break
        address += head[1] + 2
    for point_name, value in raw.items():
        point = model(model_id).points[point_name]
        words = [(value >> 16 * i) & 0xFFFF for i in reversed(range(point.size))]
        assert registers.write(address + point.offset, words) is None


def test_the_first_state_is_one_in_service(modest: Plant) -> None:
    truth = modest.truth()
    assert truth.time == START
    assert truth.p_kw == {"pv": 5000, "dg": 1000, "bes": 0}
    assert truth.load_flow.converged
    assert modest.autonomous == ()


def test_a_steady_state_is_solved_once_a_step_and_once_more(modest: Plant) -> None:
    modest.excursions(WIDE)
    modest.advance_to(START + timedelta(minutes=3))
    assert len(modest.excursions(WIDE)) == 6


def test_a_response_is_followed_second_by_second(modest: Plant) -> None:
    order(modest, "pv", WMaxLimPct=2500, WMaxLimPctEna=1)
    modest.excursions(WIDE)
    modest.advance_to(START + timedelta(minutes=1))
    seen = modest.excursions(WIDE)
    assert 5 < len(seen) < 20
    highest = [e.v_max_pu for e in seen]
    assert highest == sorted(highest, reverse=True)
    assert modest.truth().p_kw["pv"] == 2500


@pytest.mark.parametrize(
    ("speed", "wanted_s"),
    [
        (0.1, LONGEST_PAUSE_S),
        (1.0, LONGEST_PAUSE_S),
        (5.0, 1.0),
        (60.0, LONGEST_LAG_S / 60),
        (FASTEST, SHORTEST_PAUSE_S),
        (100_000.0, SHORTEST_PAUSE_S),
    ],
)
def test_the_faster_the_clock_the_shorter_the_pause(speed: float, wanted_s: float) -> None:
    assert pause_s(speed, 60.0) == pytest.approx(wanted_s)


def test_a_plant_of_short_steps_rests_no_longer_than_a_step() -> None:
    assert pause_s(10.0, 2.0) == pytest.approx(0.2)


@pytest.mark.parametrize("speed", [1.0, 10.0, 60.0, 200.0, FASTEST])
def test_beside_a_fast_clock_an_order_is_followed_in_the_time_of_the_standard(
    modest: Plant, speed: float
) -> None:
    step = timedelta(seconds=pause_s(speed, modest.step_s) * speed)
    modest.advance_to(START + step)
    order(modest, "pv", WMaxLimPct=2500, WMaxLimPctEna=1)  # at once, and judged after 30 s
    judged = modest.now + modest.response
    while modest.now + step <= judged:
        modest.advance_to(modest.now + step)
    assert modest.truth().p_kw["pv"] == pytest.approx(2500, abs=200)


def test_two_plants_with_one_seed_live_the_same_life() -> None:
    lives = []
    for step in (1, 3):
        plant = Plant(SITE, "segment13", Sun(5000), START, inverters="ieee1547")
        order(plant, "pv", WMaxLimPct=4000, WMaxLimPctEna=1, VarSet=-500_000, VarSetEna=1)
        for _ in range(6 // step):
            plant.advance_to(plant.now + timedelta(minutes=step))
        lives.append(plant.truth())
        plant.close()
    assert lives[0].p_kw == lives[1].p_kw
    assert lives[0].q_kvar == pytest.approx(lives[1].q_kvar)
    assert (lives[0].load_flow.v_pu == lives[1].load_flow.v_pu).all()


def test_a_step_may_end_between_seconds(modest: Plant) -> None:
    modest.advance_to(START + timedelta(seconds=1.5))
    assert modest.now == START + timedelta(seconds=1.5)
    modest.advance_to(START + timedelta(seconds=3))
    assert modest.now == START + timedelta(seconds=3)


def test_above_continuous_operation_inverters_cease_by_themselves(full: Plant) -> None:
    assert full.truth().load_flow.highest()[1] > 1.10
    full.advance_to(START + timedelta(seconds=1))
    assert full.truth().p_kw["pv"] == 0
    assert full.truth().load_flow.highest()[1] < 1.10


def test_without_control_a_plant_that_raises_its_own_voltage_goes_out_of_service(
    full: Plant,
) -> None:
    full.advance_to(START + timedelta(seconds=30))
    assert full.truth().p_kw["pv"] == 0
    full.excursions(SITE.limits)
    full.advance_to(START + timedelta(minutes=5))
    assert not any(e.nodes_above for e in full.excursions(SITE.limits))


def test_volt_watt_settles_on_a_voltage_without_hunting() -> None:
    sun = Sun(4000)
    plant = Plant(SITE, "segment13", sun, START, inverters="ieee1547")
    order(plant, "pv", 706, Ena=1)
    assert plant.autonomous == ("pv",)
    while sun.kw < 10_000:
        sun.kw += 100
        plant.advance_to(plant.now + timedelta(seconds=10))
    powers = []
    for _ in range(30):
        plant.advance_to(plant.now + timedelta(seconds=1))
        powers.append(plant.truth().p_kw["pv"])
    v_pu = plant._grid.felt["pv"].v_pu
    plant.close()
    assert 1.06 < v_pu < 1.10
    assert powers[-1] == pytest.approx(10_000 * (1.10 - v_pu) / 0.04, rel=0.02)
    assert np.ptp(powers) < 200


def test_a_reboot_breaks_connections_and_comes_back(modest: Plant) -> None:
    addresses = modest.start()
    order(modest, "pv", WMaxLimPct=2500, WMaxLimPctEna=1)
    modest.misbehave("pv", Misbehaviour.REBOOT)
    assert modest.serving
    assert modest._devices["pv"].orders.cap_kw is None
    assert addresses["pv"].port == modest._servers.server("pv").port
    modest.advance_to(START + timedelta(minutes=1))
    assert modest.truth().p_kw["pv"] == 0
    modest.advance_to(START + timedelta(minutes=11))
    assert modest.truth().p_kw["pv"] == 5000
