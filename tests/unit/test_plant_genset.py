"""A diesel generator set as its simulation has it, apart from registers and sockets."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ems.domain import Dg
from ems.plant.devices import Behaviour, Orders
from ems.plant.genset import GensetBehaviour, GensetSettings, GensetState
from ems.plant.terminal import Terminal

DG = Dg(
    name="dg", bus="B1", rated_kw=1000, cost_usd_per_kwh=0.1, min_kw=300, q_max_kvar=400,
    ramp_up_kw_per_h=36_000, ramp_down_kw_per_h=72_000,
)  # fmt: skip
"""10 kW/s up, 20 kW/s down."""
SETTINGS = GensetSettings(governor_s=2.0, start_s=10.0, synchronise_s=4.0, cool_s=60.0)


def live(dg: Behaviour, seconds: float, p_kw: float | None, q_kvar: float = 0.0) -> None:
    dg.step(seconds / 3600, Orders(p_kw=p_kw, q_kvar=q_kvar), 0.0)


def state(dg: GensetBehaviour) -> GensetState:
    """Asked anew each time: a type checker takes a state once seen for lasting."""
    return dg.state


def running(p_kw: float, settings: GensetSettings = SETTINGS) -> GensetBehaviour:
    dg = GensetBehaviour(DG, settings)
    live(dg, 600, p_kw)
    assert dg.p_kw == pytest.approx(p_kw)
    return dg


def test_it_gives_nothing_until_it_has_started() -> None:
    dg = GensetBehaviour(DG, SETTINGS)
    live(dg, 9.9, 800, 100)
    assert (dg.state, dg.p_kw, dg.q_kvar) == (GensetState.STARTING, 0.0, 0.0)
    live(dg, 1.1, 800, 100)
    assert state(dg) is GensetState.RUNNING
    assert dg.p_kw == pytest.approx(10.0)


def test_it_ramps_and_settles_as_its_governor_does() -> None:
    dg = running(300)
    live(dg, 30, 800)
    assert dg.p_kw == pytest.approx(600)
    live(dg, 18, 800)  # the last 20 kW, ramp times governor, are the governor's
    assert dg.p_kw == pytest.approx(780)
    live(dg, 2, 800)
    assert dg.p_kw == pytest.approx(800 - 20 / math.e)


def test_it_goes_down_faster_than_up() -> None:
    dg = running(900)
    live(dg, 10, 400)
    assert dg.p_kw == pytest.approx(700)


@pytest.mark.parametrize(("ordered", "settles"), [(100, 0), (149, 0), (151, 300), (2000, 1000)])
def test_it_settles_between_least_power_and_rating_or_off(ordered: float, settles: float) -> None:
    dg = running(500)
    live(dg, 600, ordered)
    assert dg.p_kw == pytest.approx(settles)


def test_it_unloads_opens_and_cools_before_it_stands_still() -> None:
    dg = running(400)
    live(dg, 15, None)
    assert state(dg) is GensetState.UNLOADING
    assert 0.0 < dg.p_kw < DG.min_kw
    live(dg, 15, None)
    assert (dg.state, dg.p_kw) == (GensetState.COOLING, 0.0)
    live(dg, 60, None)
    assert state(dg) is GensetState.OFF


def test_while_it_cools_it_is_back_sooner_than_from_standstill() -> None:
    dg = running(400)
    live(dg, 40, None)
    assert state(dg) is GensetState.COOLING
    live(dg, 4.5, 400)
    assert state(dg) is GensetState.RUNNING


def test_an_order_taken_back_during_the_start_lets_it_cool() -> None:
    dg = GensetBehaviour(DG, SETTINGS)
    live(dg, 5, 400)
    live(dg, 1, None)
    assert state(dg) is GensetState.COOLING


def test_an_order_while_it_unloads_takes_the_load_back() -> None:
    dg = running(900)
    live(dg, 10, None)
    live(dg, 1, 900)
    assert state(dg) is GensetState.RUNNING
    assert dg.p_kw > 700


def test_reactive_power_grows_with_active_power_up_to_the_least_power() -> None:
    dg = GensetBehaviour(DG, SETTINGS)
    live(dg, 25, 300, 1000)
    assert dg.p_kw == pytest.approx(150)
    assert dg.q_kvar == pytest.approx(200)
    live(dg, 60, 300, -1000)
    assert dg.q_kvar == pytest.approx(-400)


def test_the_alternator_limits_reactive_power_at_high_active_power() -> None:
    dg = running(1000, GensetSettings(s_kva=1050))
    live(dg, 1, 1000, 400)
    assert math.hypot(dg.p_kw, dg.q_kvar) == pytest.approx(1050)


@pytest.mark.parametrize(
    ("hz", "p_kw"),
    [(60.0, 600), (60.03, 600), (60.336, 500), (59.664, 700), (62.0, 300), (57.0, 1000)],
)
def test_droop_answers_frequency_beyond_its_band_within_its_range(hz: float, p_kw: float) -> None:
    dg = running(600, GensetSettings(droop=0.05))
    dg.at = Terminal(hz=hz)
    live(dg, 600, 600)
    assert dg.p_kw == pytest.approx(p_kw)


def test_without_droop_frequency_moves_nothing_and_off_it_answers_none() -> None:
    still = running(600)
    still.at = Terminal(hz=57.0)
    live(still, 600, 600)
    assert still.p_kw == 600
    off = GensetBehaviour(DG, GensetSettings(droop=0.05))
    off.at = Terminal(hz=57.0)
    live(off, 600, None)
    assert off.p_kw == 0.0


def test_it_begins_at_its_reversion_power() -> None:
    at_work = GensetBehaviour(
        Dg(name="dg", bus="B1", rated_kw=1000, cost_usd_per_kwh=0.1, reversion_kw=500)
    )
    assert (at_work.state, at_work.p_kw) == (GensetState.RUNNING, 500)
    assert GensetBehaviour(DG).state is GensetState.OFF


def test_a_set_without_lags_and_ramps_moves_in_no_time() -> None:
    free = Dg(name="dg", bus="B1", rated_kw=1000, cost_usd_per_kwh=0.1)
    dg = GensetBehaviour(free, GensetSettings(governor_s=0, start_s=0))
    live(dg, 0, 800)
    assert dg.p_kw == 800


def test_impossible_settings_are_named_together() -> None:
    with pytest.raises(ValueError) as told:
        GensetSettings(governor_s=-1, open_share=0, droop=0, cool_s=float("nan"))
    for name in ("governor_s", "open_share", "droop", "cool_s"):
        assert name in str(told.value)


orders = st.lists(
    st.tuples(st.floats(0, 300), st.none() | st.floats(-100, 1500), st.floats(57, 63)), max_size=12
)


@given(orders, st.sampled_from([None, 0.05]), st.integers(2, 7))
def test_short_steps_and_long_ones_come_to_the_same(
    given_orders: list[tuple[float, float | None, float]], droop: float | None, parts: int
) -> None:
    whole, split = (GensetBehaviour(DG, GensetSettings(droop=droop)) for _ in range(2))
    for seconds, p_kw, hz in given_orders:
        whole.at = split.at = Terminal(hz=hz)
        live(whole, seconds, p_kw, 50)
        for _ in range(parts):
            live(split, seconds / parts, p_kw, 50)
        # An event that falls on the end of a step may be met by the one and missed by the other
        # by a rounding; it is then within the same millisecond.
        for dg in (whole, split):
            live(dg, 1e-3, p_kw, 50)
        assert whole.state is split.state
        assert whole.p_kw == pytest.approx(split.p_kw, abs=0.1)


@given(orders)
def test_power_stays_within_its_range_and_its_ramps(
    given_orders: list[tuple[float, float | None, float]],
) -> None:
    dg = GensetBehaviour(DG, GensetSettings(droop=0.04))
    for seconds, p_kw, hz in given_orders:
        before, was = dg.p_kw, dg.state
        dg.at = Terminal(hz=hz)
        live(dg, seconds, p_kw, -999)
        assert 0.0 <= dg.p_kw <= DG.rated_kw
        assert abs(dg.q_kvar) <= DG.q_max_kvar
        assert dg.p_kw - before <= 10.0 * seconds + 1e-9
        opened = dg.p_kw == 0.0 and was is not GensetState.OFF
        assert opened or before - dg.p_kw <= 20.0 * seconds + 1e-9
        if not dg.connected:
            assert (dg.p_kw, dg.q_kvar) == (0.0, 0.0)
