"""How simulated devices behave, apart from registers and sockets."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ems.domain import Bes, Dg, Pv
from ems.plant.devices import (
    BesBehaviour,
    DgBehaviour,
    Orders,
    PvBehaviour,
    behaviour_of,
)
from ems.plant.timers import ReversionTimer

PV = Pv(name="pv", bus="B1", rated_kw=1000, q_max_kvar=100)
BES = Bes(
    name="bes", bus="B1", rated_kw=200, capacity_kwh=400, eta_charge=0.9, eta_discharge=0.8,
    soc_min_pct=20, soc_max_pct=90, q_max_kvar=50,
)  # fmt: skip
DG = Dg(
    name="dg", bus="B1", rated_kw=3000, cost_usd_per_kwh=0.1, min_kw=900, q_max_kvar=400,
    ramp_up_kw_per_h=6000, ramp_down_kw_per_h=12_000,
)  # fmt: skip
NOW = datetime(2024, 6, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cap_kw", "available_kw", "p_kw"),
    [(None, 700, 700), (500, 700, 500), (800, 700, 700), (None, 1200, 1000), (0, 700, 0)],
)
def test_pv_delivers_the_least_of_sun_cap_and_rating(
    cap_kw: float | None, available_kw: float, p_kw: float
) -> None:
    pv = PvBehaviour(PV)
    pv.step(0.25, Orders(cap_kw=cap_kw, q_kvar=-500), available_kw)
    assert (pv.p_kw, pv.q_kvar) == (p_kw, -100)


def test_battery_charging_stores_less_than_it_takes() -> None:
    bes = BesBehaviour(BES, 50)
    bes.step(0.5, Orders(p_kw=-100), 0)
    assert bes.p_kw == -100
    assert bes.soc_pct == pytest.approx(50 + 100 * 0.9 * 100 * 0.5 / 400)


def test_battery_discharging_draws_more_than_it_gives() -> None:
    bes = BesBehaviour(BES, 50)
    bes.step(0.5, Orders(p_kw=100), 0)
    assert bes.soc_pct == pytest.approx(50 - 100 * 100 * 0.5 / 0.8 / 400)


def test_battery_keeps_its_rating() -> None:
    bes = BesBehaviour(BES, 50)
    bes.step(0, Orders(p_kw=-999, q_kvar=999), 0)
    assert (bes.p_kw, bes.q_kvar) == (-200, 50)


@pytest.mark.parametrize(("soc_pct", "p_kw", "end_pct"), [(21, 200, 20), (89, -200, 90)])
def test_battery_stops_at_its_energy_limits(soc_pct: float, p_kw: float, end_pct: float) -> None:
    bes = BesBehaviour(BES, soc_pct)
    bes.step(1, Orders(p_kw=p_kw), 0)
    assert bes.soc_pct == pytest.approx(end_pct)
    assert 0 < abs(bes.p_kw) < abs(p_kw)
    bes.step(1, Orders(p_kw=p_kw), 0)
    assert bes.p_kw == pytest.approx(0, abs=1e-9)


@given(st.lists(st.floats(-500, 500), max_size=50), st.floats(20, 90))
def test_battery_energy_stays_within_its_limits_whatever_is_ordered(
    orders: list[float], soc_pct: float
) -> None:
    bes = BesBehaviour(BES, soc_pct)
    for p_kw in orders:
        bes.step(0.25, Orders(p_kw=p_kw), 0)
        assert BES.soc_min_pct - 1e-9 <= bes.soc_pct <= BES.soc_max_pct + 1e-9
        assert abs(bes.p_kw) <= BES.rated_kw
        assert bes.p_kw * p_kw >= 0


def test_generator_ramps_up_and_down_at_its_own_rates() -> None:
    dg = DgBehaviour(DG)
    dg.step(0.25, Orders(p_kw=3000), 0)
    assert dg.p_kw == 1500
    dg.step(0.25, Orders(p_kw=3000), 0)
    assert dg.p_kw == 3000
    dg.step(0.1, Orders(p_kw=1000), 0)
    assert dg.p_kw == pytest.approx(1800)


def test_generator_does_not_move_in_no_time_unless_it_has_no_ramp() -> None:
    dg = DgBehaviour(DG)
    dg.step(0, Orders(p_kw=3000), 0)
    assert dg.p_kw == 0
    free = DgBehaviour(Dg(name="dg", bus="B1", rated_kw=3000, cost_usd_per_kwh=0.1))
    free.step(0, Orders(p_kw=3000), 0)
    assert free.p_kw == 3000


@pytest.mark.parametrize(("ordered_kw", "p_kw"), [(100, 0), (500, 900), (5000, 3000)])
def test_generator_runs_between_least_power_and_rating_or_not_at_all(
    ordered_kw: float, p_kw: float
) -> None:
    dg = DgBehaviour(DG)
    dg.step(10, Orders(p_kw=ordered_kw, q_kvar=50), 0)
    assert dg.p_kw == p_kw
    assert dg.q_kvar == (50 if p_kw else 0)


def test_without_orders_battery_rests_and_generator_stops() -> None:
    for der in (BES, DG):
        device = behaviour_of(der, 50)
        device.step(1, Orders(), 0)
        assert (device.p_kw, device.q_kvar) == (0, 0)


def test_a_reversion_timer_expires_once() -> None:
    timer = ReversionTimer()
    assert not timer.expire(NOW)
    timer.arm(NOW, 60)
    assert timer.remaining_s(NOW + timedelta(seconds=20)) == 40
    assert not timer.expire(NOW + timedelta(seconds=59))
    assert timer.expire(NOW + timedelta(seconds=60))
    assert not timer.expire(NOW + timedelta(seconds=61))
    assert timer.remaining_s(NOW) == 0


def test_a_reversion_time_of_zero_never_reverts() -> None:
    timer = ReversionTimer()
    timer.arm(NOW, 60)
    timer.arm(NOW, 0)
    assert not timer.expire(NOW + timedelta(days=1))
