"""rampTms of a simulated inverter: the order itself arrives in time, whatever the sun does."""

from ems.domain import Bes, Pv
from ems.enddevice.application import ControlInForce, Ordered
from ems.plant.ieee2030_5.der import SimulatedDer
from ems.plant.terminal import NOMINAL

RAMP_S = 15.0


def ordered(mode: str, share: int) -> ControlInForce:
    """An event of one mode [0.01 %]."""
    one = Ordered(value=share, source="A" * 32, event=True, ramp_s=RAMP_S)
    return ControlInForce(ordered={mode: one})


def live(der: SimulatedDer, seconds: int, sun_kw: float) -> None:
    for _ in range(seconds):
        der.step(sun_kw, NOMINAL)


def plant() -> SimulatedDer:
    return SimulatedDer(Pv(name="pv", bus="b", rated_kw=100.0, q_max_kvar=50.0))


def test_a_cap_that_is_ordered_by_night_holds_at_dawn() -> None:
    pv = plant()
    pv.apply(ordered("opModMaxLimW", 60_00))
    live(pv, 400, sun_kw=100.0)
    live(pv, 100, sun_kw=0.0)
    pv.apply(ordered("opModMaxLimW", 0))
    live(pv, int(RAMP_S) + 1, sun_kw=0.0)
    live(pv, 60, sun_kw=100.0)
    assert pv.inverter.p_kw == 0.0


def test_a_cap_below_the_last_one_arrives_though_the_power_stood_there_already() -> None:
    pv = plant()
    pv.apply(ordered("opModMaxLimW", 80_00))
    live(pv, 400, sun_kw=41.0)
    pv.apply(ordered("opModMaxLimW", 40_00))
    live(pv, int(RAMP_S) + 1, sun_kw=41.0)
    live(pv, 60, sun_kw=100.0)
    assert pv.inverter.p_kw == 40.0


def test_a_first_cap_holds_though_the_power_stood_at_it() -> None:
    pv = plant()
    live(pv, 400, sun_kw=40.0)
    pv.apply(ordered("opModMaxLimW", 40_00))
    live(pv, 60, sun_kw=100.0)
    assert pv.inverter.p_kw == 40.0


def test_an_empty_battery_that_is_told_to_rest_rests_when_it_is_full_again() -> None:
    battery = SimulatedDer(Bes(name="b", bus="b", rated_kw=50.0, capacity_kwh=100.0), soc_pct=20.0)
    battery.apply(ordered("opModFixedW", 100_00))
    live(battery, 100, sun_kw=0.0)
    assert battery.inverter.p_kw == 0.0
    battery.apply(ordered("opModFixedW", 0))
    live(battery, int(RAMP_S) + 1, sun_kw=0.0)
    assert battery._orders(NOMINAL).p_kw == 0.0
