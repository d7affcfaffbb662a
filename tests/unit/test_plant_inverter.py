"""Inverters behind our behaviours: nameplate, time, energy, state; no registers, no sockets."""

import logging
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ems.domain import Bes, Pv
from ems.plant.devices import Orders, PowerFactor
from ems.plant.inverter import (
    DEFAULTS,
    STEP_S,
    BesInverter,
    PvInverter,
    State,
    Trip,
    TripStep,
)
from ems.plant.terminal import NOMINAL, Terminal

SECOND = STEP_S / 3600
BIG = Pv(name="pv", bus="b", rated_kw=10_000, q_max_kvar=1000)
BES = Bes(
    name="bes", bus="b", rated_kw=200, capacity_kwh=400, eta_charge=0.9, eta_discharge=0.8,
    soc_min_pct=20, soc_max_pct=90, q_max_kvar=50,
)  # fmt: skip


def lived(inverter: PvInverter | BesInverter, seconds: float, orders: Orders, sun: float) -> None:
    inverter.step(seconds / 3600, orders, sun)


def test_ten_megawatts_are_ten_megawatts() -> None:
    """A nameplate that is given in part stays 100 kVA without a word."""
    pv = PvInverter(BIG)
    lived(pv, 60, Orders(q_kvar=-700), 9000)
    assert pv.p_kw == pytest.approx(9000)
    assert pv.q_kvar == pytest.approx(-700, abs=0.1)


def test_reactive_power_goes_before_active_power_at_the_rating() -> None:
    pv = PvInverter(replace(BIG, s_max_kva=10_000, q_max_kvar=6000))
    lived(pv, 60, Orders(q_kvar=6000), 10_000)
    assert (pv.p_kw, pv.q_kvar) == pytest.approx((8000, 6000), rel=1e-3)


def test_reactive_power_is_there_at_any_active_power() -> None:
    pv = PvInverter(BIG)
    lived(pv, 60, Orders(q_kvar=1000), 0)
    assert (pv.p_kw, pv.q_kvar) == pytest.approx((0, 1000), abs=0.1)


def test_a_plant_without_reactive_power_gives_none() -> None:
    pv = PvInverter(replace(BIG, q_max_kvar=0))
    lived(pv, 60, Orders(q_kvar=500), 5000)
    assert abs(pv.q_kvar) < 0.02


def test_the_first_state_is_that_of_a_plant_that_has_run_since_long() -> None:
    pv = PvInverter(BIG)
    pv.at = Terminal(v_pu=1.3)
    pv.step(0, Orders(), 7000)
    assert (pv.p_kw, pv.state) == (7000, State.RUNNING)


def test_an_abnormal_first_second_does_not_trip() -> None:
    """In a new model of the library every timer stands at its end."""
    pv = PvInverter(BIG)
    pv.at = Terminal(v_pu=0.85)
    lived(pv, 1, Orders(), 7000)
    assert pv.p_kw == pytest.approx(7000)
    assert pv.state is State.RIDING_THROUGH


def test_parts_of_seconds_add_up() -> None:
    pv, twin = PvInverter(BIG), PvInverter(BIG)
    for inverter in (pv, twin):
        lived(inverter, 1, Orders(), 8000)
    for _ in range(10):
        pv.step(0.5 * SECOND, Orders(cap_kw=5000), 8000)
    twin.step(5 * SECOND, Orders(cap_kw=5000), 8000)
    assert pv.p_kw == pytest.approx(twin.p_kw)
    assert 5000 < pv.p_kw < 8000


def test_the_limit_of_continuous_operation_belongs_to_it() -> None:
    pv = PvInverter(BIG)
    for v, state in ((1.10, State.RUNNING), (1.1001, State.CEASED), (0.88, State.RUNNING)):
        pv.at = Terminal(v_pu=v)
        lived(pv, 1, Orders(), 5000)
        assert pv.state is state


def test_the_highest_phase_ceases_and_the_mean_drives_the_curves() -> None:
    pv = PvInverter(BIG)
    pv.settings = replace(DEFAULTS, volt_watt=replace(DEFAULTS.volt_watt, enabled=True))
    pv.at = Terminal(v_pu=1.07, phases_pu=(1.095, 1.07, 1.045))
    lived(pv, 60, Orders(), 10_000)
    assert pv.p_kw == pytest.approx(7500, rel=1e-3)
    pv.at = Terminal(v_pu=1.07, phases_pu=(1.12, 1.07, 1.02))
    lived(pv, 1, Orders(), 10_000)
    assert (pv.p_kw, pv.state) == (0, State.CEASED)


def test_a_cap_beside_volt_watt_does_not_skip_the_ramp_of_enter_service() -> None:
    """The library's equation 3.7.1-18 leaves the ramp out when both are on."""
    pv = PvInverter(BIG)
    pv.settings = replace(DEFAULTS, volt_watt=replace(DEFAULTS.volt_watt, enabled=True))
    pv.at = Terminal(v_pu=1.25)
    lived(pv, 1, Orders(cap_kw=9000), 10_000)
    pv.at = NOMINAL
    lived(pv, 300 + 60, Orders(cap_kw=9000), 10_000)
    assert pv.state is State.STARTING
    assert pv.p_kw == pytest.approx(2000, abs=100)


def test_droop_that_is_switched_off_while_it_acts_lets_go() -> None:
    """The library's would stay active at 0 kW."""
    pv = PvInverter(BIG)
    pv.at = Terminal(hz=60.5)
    lived(pv, 60, Orders(), 8000)
    assert pv.p_kw < 7000
    pv.settings = replace(DEFAULTS, droop=replace(DEFAULTS.droop, enabled=False))
    lived(pv, 60, Orders(), 8000)
    assert pv.p_kw == 8000


def test_a_function_that_is_off_has_no_threshold() -> None:
    off = Trip(enabled=False, near=TripStep(threshold=1.1, seconds=13), far=None, cessation_pu=1.1)
    pv = PvInverter(BIG)
    pv.settings = replace(DEFAULTS, high_voltage=off)
    pv.at = Terminal(v_pu=1.4)
    lived(pv, 100, Orders(), 5000)
    assert (pv.p_kw, pv.causes.high_voltage) == (5000, False)


def test_a_power_factor_goes_before_a_reactive_setpoint() -> None:
    pv = PvInverter(BIG)
    orders = Orders(q_kvar=300, pf=PowerFactor(pf=0.98, over_excited=False))
    lived(pv, 60, orders, 4000)
    assert pv.q_kvar == pytest.approx(-4000 * (1 / 0.98**2 - 1) ** 0.5, rel=1e-3)


def test_a_restart_goes_through_enter_service() -> None:
    pv = PvInverter(BIG)
    lived(pv, 10, Orders(), 5000)
    pv.restart()
    assert (pv.p_kw, pv.state) == (0, State.TRIPPED)
    lived(pv, 299, Orders(), 5000)
    assert (pv.state, pv.service_delay_s) == (State.TRIPPED, 1)
    lived(pv, 2 + 300, Orders(), 5000)
    assert (pv.p_kw, pv.state) == (5000, State.RUNNING)


def test_a_random_delay_takes_the_place_of_the_ramp_and_is_the_same_again() -> None:
    service = replace(DEFAULTS.enter_service, ramp_s=0.0, random_s=600.0)
    waited = []
    for name in ("one", "one", "other"):
        pv = PvInverter(Pv(name=name, bus="b", rated_kw=100, q_max_kvar=44))
        pv.settings = replace(DEFAULTS, enter_service=service)
        pv.restart()
        waited.append(0)
        while pv.state is State.TRIPPED:
            lived(pv, 1, Orders(), 80)
            waited[-1] += 1
        assert pv.p_kw == 80
    assert waited[0] == waited[1] != waited[2]
    assert 300 < min(waited) <= max(waited) <= 901


def test_a_fourth_cessation_within_twenty_minutes_trips() -> None:
    pv = PvInverter(BIG)
    states = []
    for _ in range(4):
        pv.at = Terminal(v_pu=1.15)
        lived(pv, 1, Orders(), 8000)
        states.append(pv.state)
        pv.at = NOMINAL
        lived(pv, 1, Orders(), 8000)
    assert states == [State.CEASED] * 3 + [State.TRIPPED]
    assert pv.causes.high_voltage
    lived(pv, 300, Orders(), 8000)
    assert pv.state is State.STARTING


def test_cessations_further_apart_are_ridden_through() -> None:
    pv = PvInverter(BIG)
    for _ in range(8):
        pv.at = Terminal(v_pu=0.4)
        lived(pv, 1, Orders(), 8000)
        assert pv.state is State.CEASED
        pv.at = NOMINAL
        lived(pv, 500, Orders(), 8000)


# --- batteries -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p_kw", "change_pct"), [(-100, 100 * 0.9 * 100 / 400 / 6), (100, -100 * 100 / 0.8 / 400 / 6)]
)
def test_a_battery_counts_energy_with_the_efficiency_of_each_direction(
    p_kw: float, change_pct: float
) -> None:
    bes = BesInverter(BES, 50)
    lived(bes, 600, Orders(p_kw=p_kw), 0)
    assert bes.p_kw == p_kw
    assert bes.soc_pct == pytest.approx(50 + change_pct)


@settings(max_examples=20, deadline=None)  # a second of every inverter takes 0.1 ms
@given(
    st.lists(st.floats(-300, 300), min_size=1, max_size=5),
    st.floats(20, 90),
    st.floats(59, 61),
)
def test_a_battery_stays_within_its_energy_whatever_order_or_frequency(
    orders: list[float], soc_pct: float, hz: float
) -> None:
    bes = BesInverter(replace(BES, capacity_kwh=4), soc_pct)
    bes.at = Terminal(hz=hz)
    second_pct = 100 * 200 / 0.8 / 4 * SECOND  # droop is known after it has acted
    for p_kw in orders:
        lived(bes, 20, Orders(p_kw=p_kw), 0)
        assert 20 - second_pct <= bes.soc_pct <= 90 + second_pct
        assert abs(bes.p_kw) <= 200 + 1e-6


def test_a_full_battery_says_nothing_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="root"):
        bes = BesInverter(BES, 90)
        lived(bes, 5, Orders(p_kw=-100), 0)
    assert bes.p_kw == pytest.approx(0, abs=1e-6)
    assert not caplog.records
