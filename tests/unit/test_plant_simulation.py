"""The plant as a whole, without sockets: time, truth, excursions."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from ems.clock import ScaledClock
from ems.domain import Bes, Dg, Limits, Pv, Site
from ems.plant import Plant, run_plant

START = datetime(2024, 6, 3, 20, tzinfo=UTC)
LIMITS = Limits(v_min_pu=0.88, v_max_pu=1.10)
SITE = Site(
    name="segment13",
    latitude_deg=37.3,
    longitude_deg=-121.9,
    ders=(
        Pv(name="pv", bus="b13", rated_kw=10_000),
        Dg(name="dg", bus="B7", rated_kw=3000, cost_usd_per_kwh=0.1, reversion_kw=1000),
        Bes(name="bes", bus="B11", rated_kw=200, capacity_kwh=500),
    ),
    limits=LIMITS,
    load_max_kw=14_500,
    load_min_kw=5000,
)


class Steady:
    """Full sun and one load, for ever."""

    def pv_available_kw(self, pv: Pv, times: pd.DatetimeIndex) -> NDArray[np.float64]:
        return np.full(len(times), pv.rated_kw)

    def load_kw(self, times: pd.DatetimeIndex) -> NDArray[np.float64]:
        return np.full(len(times), 13_204.0)


@pytest.fixture
def plant() -> Iterator[Plant]:
    plant = Plant(SITE, "segment13", Steady(), START)
    yield plant
    plant.close()


def test_the_first_state_is_consistent(plant: Plant) -> None:
    truth = plant.truth()
    assert truth.time == START
    assert truth.load_flow.converged
    assert truth.p_kw == {"pv": 10_000, "dg": 1000, "bes": 0}
    assert truth.pv_available_kw == {"pv": 10_000}
    assert truth.soc_pct == {"bes": 60}
    generation = truth.load_flow.head_kw + sum(truth.p_kw.values())
    assert generation == pytest.approx(truth.load_kw + truth.load_flow.losses_kw, abs=1)


def test_bus_noise_moves_load_between_buses_and_keeps_the_sum(plant: Plant) -> None:
    voltages = []
    for _ in range(5):
        plant.advance_to(plant.now + timedelta(minutes=1))
        assert plant.truth().load_kw == pytest.approx(13_204)
        voltages.append(plant.truth().load_flow.v_pu)
    assert 0 < np.ptp(voltages, axis=0).max() < 2e-3


def test_two_plants_with_one_seed_live_the_same_life() -> None:
    lives = []
    for step in (1, 3):
        plant = Plant(SITE, "segment13", Steady(), START)
        for _ in range(6 // step):
            plant.advance_to(plant.now + timedelta(minutes=step))
        lives.append(plant.truth())
        plant.close()
    assert (lives[0].load_flow.v_pu == lives[1].load_flow.v_pu).all()


def test_every_step_stands_in_the_log_once(plant: Plant) -> None:
    first = plant.excursions(LIMITS)
    assert [e.time for e in first] == [START]
    plant.advance_to(START + timedelta(minutes=15))
    steps = plant.excursions(LIMITS)
    assert [e.time for e in steps] == [START + timedelta(minutes=i) for i in range(1, 16)]
    assert plant.excursions(LIMITS) == ()


def test_excursions_count_nodes_and_elements_outside_limits(plant: Plant) -> None:
    (now,) = plant.excursions(LIMITS)
    v_pu = plant.truth().load_flow.v_pu
    assert (now.v_max_pu, now.v_min_pu) == (v_pu.max(), v_pu.min())
    assert now.v_max_node.startswith("B13.")
    assert now.nodes_above == (v_pu > 1.10).sum() > 0
    assert now.violated
    plant.advance_to(plant.now)
    wide = Limits(v_min_pu=0.5, v_max_pu=1.5, loading_max_pct=None)
    assert not plant.excursions(wide)[0].violated
    plant.advance_to(plant.now)
    tight = Limits(v_min_pu=1.2, v_max_pu=1.5, loading_max_pct=0.001)
    (low,) = plant.excursions(tight)
    assert low.nodes_below == len(v_pu)
    assert low.elements_over == len(plant.truth().load_flow.elements)


def test_a_last_step_may_be_shorter(plant: Plant) -> None:
    plant.advance_to(START + timedelta(seconds=90))
    assert plant.now == START + timedelta(seconds=90)
    assert len(plant.excursions(LIMITS)) == 3


def test_time_does_not_go_back(plant: Plant) -> None:
    with pytest.raises(ValueError, match="cannot go back"):
        plant.advance_to(START - timedelta(seconds=1))


def test_the_plant_lives_along_with_a_clock(plant: Plant) -> None:
    stop = threading.Event()
    clock = ScaledClock(START, speed=3600.0)
    life = threading.Thread(target=run_plant, args=(plant, clock, stop))
    life.start()
    try:
        wanted = START + timedelta(minutes=5)
        for _ in range(1000):
            if plant.now >= wanted:
                break
            stop.wait(0.01)
        assert plant.now >= wanted
    finally:
        stop.set()
        life.join(5)
    assert not life.is_alive()
    assert plant.now <= clock.now()


def test_servers_that_do_not_run_have_no_plug_to_pull(plant: Plant) -> None:
    with pytest.raises(RuntimeError, match="not started"):
        plant.unplug("pv")
    with pytest.raises(KeyError, match="no device 'wind'"):
        plant.misbehave("wind", None)
