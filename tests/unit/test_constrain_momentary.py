"""What is asked of a feeder until its regulators have acted, and what of it afterwards."""

from dataclasses import replace
from functools import partial

import pytest

from ems.constrain import constrain
from ems.constrain.interval import Interval
from ems.dispatch import dispatch
from ems.domain import (
    DerReading,
    Forecast,
    Injections,
    Limits,
    LoadReading,
    Pv,
    PvForecast,
    Secured,
    Site,
    Snapshot,
    Verified,
)
from feeders import Feeder
from tests.sites import NOW, segment

LOAD_KW = 3400.0
LASTING = Limits(v_min_pu=0.95, v_max_pu=1.07, loading_max_pct=None)
MOMENTARY = replace(LASTING, momentary_v_min_pu=0.88, momentary_v_max_pu=1.10)
CLOUDY = Forecast(
    start=NOW,
    pv={"pv": PvForecast(expected_kw=2e3, lower_kw=500.0, upper_kw=4e3, method="given")},
    load_kw=LOAD_KW,
)


def sunrise(limits: Limits) -> tuple[Site, Snapshot, Feeder]:
    """IEEE 13 with its regulators at rest without sun, and a plant that may get any."""
    pv = Pv(name="pv", bus="675", rated_kw=4000.0, q_max_kvar=1760.0, reversion_kw=0.0)
    site = replace(segment(), ders=(pv,), limits=limits)
    feeder = Feeder.open("ieee13", site.placements)
    dark = Injections(p_kw={"pv": 0.0}, q_kvar={"pv": 0.0}, load_kw=LOAD_KW)
    state = Snapshot(
        time=NOW,
        load=LoadReading(time=NOW, p_kw=LOAD_KW),
        ders={"pv": DerReading(der="pv", time=NOW, p_kw=0.0, q_kvar=0.0)},
        regulation=feeder.load_flow(dark, controls=True).regulation,
    )
    return site, state, feeder


def decide(limits: Limits) -> tuple[Secured, Interval]:
    site, state, feeder = sunrise(limits)
    resolve = partial(dispatch, site, state, CLOUDY, 0.3)
    secured = constrain(site, state, CLOUDY, resolve((), {}), feeder, resolve)
    return secured, Interval.of(site, state, CLOUDY, feeder, {})


def test_only_until_regulators_act_the_momentary_limits_are_asked() -> None:
    site, state, feeder = sunrise(MOMENTARY)
    at = Interval.of(site, state, CLOUDY, feeder, {})
    free = dispatch(site, state, CLOUDY, 0.3)
    asked = {
        case.name: case.limits(site).v_max_pu
        for one in at.cases
        for case, _ in at.flows(one, free.setpoints)
    }
    assert asked["high"] == asked["expected"] == 1.10
    assert asked["high, taps moved"] == asked["expected, taps moved"] == 1.07
    assert asked["low"] == 1.07, "no regulator moves there: what is, lasts"


def test_without_momentary_limits_what_lasts_is_asked_at_any_time() -> None:
    assert LASTING.momentarily() == LASTING
    wide = MOMENTARY.momentarily()
    assert (wide.v_min_pu, wide.v_max_pu) == (0.88, 1.10)


@pytest.mark.parametrize("limits", [LASTING, MOMENTARY])
def test_a_dispatch_keeps_both_kinds_of_limits_in_every_case(limits: Limits) -> None:
    secured, at = decide(limits)
    assert isinstance(secured, Verified)
    for one in at.cases:
        for case, flow in at.flows(one, secured.dispatch.setpoints):
            asked = case.limits(at.site)
            assert flow.highest()[1] <= asked.v_max_pu + 1e-9
            assert flow.lowest()[1] >= asked.v_min_pu - 1e-9


def test_no_reactive_power_is_spent_on_what_regulators_will_mend() -> None:
    strict, _ = decide(LASTING)
    wide, at = decide(MOMENTARY)
    assert strict.dispatch.setpoints["pv"].q_kvar < -50.0
    assert wide.dispatch.setpoints["pv"].q_kvar == pytest.approx(0.0, abs=1e-6)
    before = at.flow(at.cases[0], wide.dispatch.setpoints)
    assert before.highest()[1] < MOMENTARY.momentarily().v_max_pu
    assert wide.load_flow.regulation != before.regulation, "what is told is what lasts"
