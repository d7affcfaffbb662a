"""Eq. (10): nothing is sent that a load flow has not verified."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
import pytest

from ems.constrain import (
    constrain,
    largest_safe_share,
    mix_violations,
    reversion_violations,
    without_optimum,
)
from ems.constrain.cases import cases_of, injections, keeping, violations
from ems.constrain.interval import Interval
from ems.constrain.relinearise import NARROW_PU, SETTLED, TIGHT_USD_PER_H, linear_optimum
from ems.dispatch import dispatch
from ems.domain import (
    Degraded,
    Dg,
    Dispatch,
    Forecast,
    Infeasible,
    Injections,
    Limits,
    Linearisation,
    LoadFlow,
    Pv,
    RowBlock,
    RowKind,
    Secured,
    Setpoint,
    Site,
    Snapshot,
    Verified,
)
from feeders import Feeder
from feeders.values import Floats
from tests.sites import LOAD_KW, PRICE_USD_PER_KWH, segment, sky, snapshot


def decide(
    site: Site,
    forecast: Forecast,
    *,
    state: Snapshot | None = None,
    price: float = PRICE_USD_PER_KWH,
    mode: Literal["geems", "paper"] = "geems",
) -> Secured:
    feeder = Feeder.open("segment13", site.placements)
    state = state or snapshot(site, forecast.load_kw)
    resolve = partial(dispatch, site, state, forecast, price)
    return constrain(site, state, forecast, resolve((), {}), feeder, resolve, mode)


def worst_case_voltage(site: Site, forecast: Forecast, decided: Dispatch) -> float:
    feeder = Feeder.open("segment13", site.placements)
    return max(
        feeder.load_flow(injections(case, decided.setpoints, forecast, None, {})).highest()[1]
        for case in cases_of(site, snapshot(site, forecast.load_kw), forecast)
    )


def test_a_dispatch_that_breaks_nothing_goes_out_as_it_is() -> None:
    site = segment()
    secured = decide(site, sky(2000.0, 2500.0))
    assert isinstance(secured, Verified)
    assert secured.linearisations == 0
    assert secured.dispatch.setpoints["pv"].cap_kw is None
    assert secured.dispatch.binding == ()


def test_constrained_dispatch_never_exceeds_v_max_and_stands_at_it() -> None:
    site = segment()
    forecast = sky(10_000.0, 10_000.0)
    secured = decide(site, forecast)
    assert isinstance(secured, Verified)
    v = worst_case_voltage(site, forecast, secured.dispatch)
    assert 1.1 - 1e-4 <= v <= 1.1
    assert secured.linearisations <= 6


def test_one_linearisation_is_enough_where_the_first_optimum_is_near_its_start() -> None:
    """The start just meets the limit, by reactive power; what is left to find is worth little."""
    site = segment(pv_q_max_kvar=1500.0)
    secured = decide(site, sky(10_000.0, 10_000.0))
    assert isinstance(secured, Verified)
    assert secured.linearisations == 1


def left_by(site: Site, state: Snapshot, forecast: Forecast, price: float, feeder: Feeder) -> float:
    """What another linearisation gains, fifths of a cent apart, of what the network costs [1]."""
    resolve = partial(dispatch, site, state, forecast, price)
    free = resolve((), {})
    found = constrain(site, state, forecast, free, feeder, resolve)
    assert isinstance(found, Verified)
    assert found.linearisations > 0
    at = Interval.of(site, state, forecast, feeder, {}).with_ramping()
    again, _ = linear_optimum(at, at.trial(found.dispatch), (), resolve, NARROW_PU)
    cost = found.dispatch.objective_usd_per_h
    gained = cost - again.objective_usd_per_h
    return max(0.0, gained - 2.0 * TIGHT_USD_PER_H) / (cost - free.objective_usd_per_h)


@pytest.mark.parametrize("sun_kw", [7500.0, 8500.0, 10_000.0])
@pytest.mark.parametrize("q_max_kvar", [0.0, 1500.0])
def test_another_linearisation_would_gain_nothing_that_counts(
    sun_kw: float, q_max_kvar: float
) -> None:
    site, forecast = segment(pv_q_max_kvar=q_max_kvar), sky(0.9 * sun_kw, sun_kw)
    feeder = Feeder.open("segment13", site.placements)
    assert left_by(site, snapshot(site), forecast, PRICE_USD_PER_KWH, feeder) <= SETTLED


@pytest.mark.parametrize("rated_kw", [1500.0, 2500.0])
@pytest.mark.parametrize("q_max_kvar", [0.0, 250.0, 625.0])
def test_nor_would_it_where_a_transformer_binds(rated_kw: float, q_max_kvar: float) -> None:
    """The slope of a current turns with the reactive power; a plant behind 500 kVA shows it."""
    plant = Pv(
        name="pv", bus="634", phases=3, rated_kw=rated_kw, q_max_kvar=q_max_kvar, reversion_kw=0.0
    )
    limits = Limits(v_min_pu=0.95, v_max_pu=1.05, loading_max_pct=100.0, load_band_pct=2.0)
    site = replace(segment(), ders=(plant,), limits=limits, load_max_kw=5200.0, load_min_kw=700.0)
    state = snapshot(replace(segment(), ders=(plant,)), 1500.0)
    forecast = Forecast(
        start=state.time,
        pv={"pv": replace(sky(0.81 * rated_kw, 0.9 * rated_kw).pv["pv"], lower_kw=0.0)},
        load_kw=1500.0,
    )
    feeder = Feeder.open("ieee13", site.placements)
    assert left_by(site, state, forecast, 0.2, feeder) <= SETTLED


def test_without_a_band_the_expected_voltage_itself_stands_at_the_limit() -> None:
    secured = decide(
        segment(band_pct=0.0),
        replace(sky(10_000.0, 10_000.0), pv={"pv": replace(sky(1e4, 1e4).pv["pv"], lower_kw=1e4)}),
    )
    assert 1.1 - 1e-4 <= secured.load_flow.highest()[1] <= 1.1


def test_a_cap_is_what_the_network_can_take_not_what_is_forecast() -> None:
    """An under-forecast must not curtail: the cap lies far above the expected power."""
    site = segment()
    secured = decide(site, sky(3000.0, 10_000.0))
    at = secured.dispatch.setpoints["pv"]
    sunny = decide(site, sky(10_000.0, 10_000.0)).dispatch.setpoints["pv"]
    assert at.p_kw == 3000.0
    assert at.cap_kw == pytest.approx(sunny.cap_kw, abs=2.0)


def test_head_room_for_unexpected_sun_is_bought_with_reactive_power_only() -> None:
    site = segment()
    free = decide(site, sky(3000.0, 3000.0))
    held = decide(site, sky(3000.0, 10_000.0))
    assert held.dispatch.cost_usd_per_h == pytest.approx(free.dispatch.cost_usd_per_h, abs=0.01)
    assert held.dispatch.setpoints["dg"].q_kvar == -400.0


def test_at_night_no_cap_and_no_reactive_power() -> None:
    secured = decide(segment(), sky(0.0, 0.0))
    assert secured.dispatch.setpoints["pv"].cap_kw is None
    assert all(s.q_kvar == 0.0 for s in secured.dispatch.setpoints.values())


def test_negative_price_curtails_and_charges() -> None:
    secured = decide(segment(), sky(2000.0, 2500.0), price=-0.2)
    setpoints = secured.dispatch.setpoints
    assert setpoints["pv"].cap_kw == 0.0
    assert setpoints["bes"].p_kw == -200.0


def test_paper_mode_moves_no_reactive_power_and_gives_away_more() -> None:
    site = segment()
    forecast = sky(10_000.0, 10_000.0)
    paper, ours = decide(site, forecast, mode="paper"), decide(site, forecast)
    assert all(s.q_kvar == 0.0 for s in paper.dispatch.setpoints.values())
    assert ours.dispatch.cost_usd_per_h < paper.dispatch.cost_usd_per_h


def test_undervoltage_no_der_can_mend_is_said_with_node_and_depth() -> None:
    site = segment(v_min_pu=0.99)
    secured = decide(site, sky(0.0, 0.0, load_kw=14_500.0))
    assert isinstance(secured, Infeasible)
    assert "not caused by DERs" in secured.reason
    assert secured.violations
    assert secured.violations[0].place.startswith("B")
    assert secured.violations[0].value < 0.99


def test_infeasible_sends_the_reversion_set() -> None:
    site = segment(v_min_pu=0.99)
    secured = decide(site, sky(0.0, 0.0, load_kw=14_500.0))
    assert secured.dispatch.setpoints["pv"].cap_kw == 1000.0
    assert secured.dispatch.setpoints["bes"].p_kw == 0.0
    assert secured.dispatch.setpoints["dg"].p_kw == 0.0


def test_a_diverging_load_flow_is_never_taken_for_a_proof() -> None:
    secured = decide(segment(), sky(0.0, 0.0, load_kw=60_000.0))
    assert isinstance(secured, Infeasible)
    assert "converge" in secured.reason
    assert "inf" not in " ".join(map(str, secured.violations))


def test_caps_wait_for_a_generator_that_ramps_down_slowly() -> None:
    """DG relief that comes over minutes may not be spent on PV at once."""
    site = segment()
    slow = replace(
        site,
        ders=tuple(replace(d, cost_usd_per_kwh=0.9) if isinstance(d, Dg) else d for d in site.ders),
    )
    forecast = sky(10_000.0, 10_000.0)
    state = snapshot(slow, dg=3000.0)
    secured = decide(slow, forecast, state=state)
    assert isinstance(secured, Verified)
    assert secured.dispatch.setpoints["dg"].p_kw == pytest.approx(2250.0)
    assert secured.notes == ("more is held back while a generator is on its way",)
    still_up = dict(secured.dispatch.setpoints)
    still_up["dg"] = replace(still_up["dg"], p_kw=3000.0)
    feeder = Feeder.open("segment13", slow.placements)
    high = next(c for c in cases_of(slow, state, forecast) if c.name == "high")
    flow = feeder.load_flow(injections(high, still_up, forecast, None, {}))
    assert violations(flow, slow.limits, "high") == ()


def test_while_a_generator_ramps_down_only_the_plants_that_matter_are_held_back() -> None:
    """A plant at the head of the feeder moves no voltage: holding it back too helps nobody."""
    site = segment()
    pv = next(d for d in site.ders if isinstance(d, Pv))
    head = replace(pv, name="head", bus="B2", rated_kw=2000.0)
    ders = tuple(replace(d, cost_usd_per_kwh=0.9) if isinstance(d, Dg) else d for d in site.ders)
    both = replace(site, ders=(*ders, head))
    here = sky(10_000.0, 10_000.0)
    forecast = replace(here, pv={**here.pv, "head": sky(2000.0, 2000.0).pv["pv"]})
    secured = decide(both, forecast, state=snapshot(both, dg=3000.0, head=2000.0))
    assert isinstance(secured, Verified)
    assert secured.notes == ("more is held back while a generator is on its way",)
    setpoints = secured.dispatch.setpoints
    assert setpoints["dg"].p_kw == pytest.approx(2250.0)
    assert setpoints["pv"].cap_kw is not None
    assert setpoints["head"].cap_kw is None


def test_in_paper_mode_all_plants_are_held_back_alike_while_a_generator_ramps_down() -> None:
    site = segment()
    ders = tuple(replace(d, cost_usd_per_kwh=0.9) if isinstance(d, Dg) else d for d in site.ders)
    slow = replace(site, ders=ders)
    secured = decide(slow, sky(8000.0, 8000.0), state=snapshot(slow, dg=3000.0), mode="paper")
    assert isinstance(secured, Verified)
    assert secured.notes == ("PV caps held back while a generator is on its way",)


def test_limits_asked_of_several_load_flows_at_once_are_those_of_each() -> None:
    site = segment(loading_max_pct=100.0)
    feeder = Feeder.open("segment13", site.placements)
    drawn = dict.fromkeys(site.names, 0.0)
    flows = [
        feeder.load_flow(Injections(p_kw=drawn | {"pv": pv_kw}, q_kvar=drawn, load_kw=load_kw))
        for pv_kw, load_kw in ((0.0, 3500.0), (10_000.0, 3500.0), (0.0, 14_500.0), (500.0, 100.0))
    ]
    dead = flows[0].with_voltages(np.where(np.arange(len(flows[0].nodes)) == 0, 0.0, 1.0))
    assert not keeping(flows, site.limits)[1]
    assert keeping([*flows, dead], site.limits) == [
        not violations(flow, site.limits, "high") for flow in (*flows, dead)
    ]
    assert keeping([dead], site.limits) == [True]  # a node without voltage is below no limit


class _WrongSlopes:
    """A linearisation whose voltages move by a wrong amount."""

    def __init__(self, true: Linearisation, factor: float) -> None:
        self.true, self.factor = true, factor
        self.flow, self.ders = true.flow, true.ders

    def change(self, dp_kw: Floats, dq_kvar: Floats) -> tuple[Floats, Floats]:
        dv, dl = self.true.change(dp_kw, dq_kvar)
        return dv * self.factor, dl

    def voltage_rows(self, nodes: Sequence[int]) -> tuple[Floats, Floats]:
        p, q = self.true.voltage_rows(nodes)
        return p * self.factor, q * self.factor

    def loading_cuts(
        self, elements: Sequence[int], dp_kw: Floats, dq_kvar: Floats
    ) -> tuple[Floats, Floats, Floats]:
        return self.true.loading_cuts(elements, dp_kw, dq_kvar)


class _Lying:
    """A feeder whose sensitivities have the wrong size: no linear step can be trusted."""

    regulated = False

    def __init__(self, feeder: Feeder, factor: float) -> None:
        self.feeder, self.factor = feeder, factor

    def load_flow(self, at: Injections, *, controls: bool = False) -> LoadFlow:
        return self.feeder.load_flow(at, controls=controls)

    def load_flows(self, points: Sequence[Injections]) -> list[LoadFlow]:
        return self.feeder.load_flows(points)

    def linearise(self, at: Injections) -> Linearisation:
        return _WrongSlopes(self.feeder.linearise(at), self.factor)


@pytest.mark.parametrize("factor", [-1.0, 0.0, 0.5, 2.0, 50.0])
def test_wrong_sensitivities_never_let_an_unsafe_dispatch_out(factor: float) -> None:
    site = segment()
    forecast = sky(10_000.0, 10_000.0)
    state = snapshot(site, pv=4000.0)
    network = _Lying(Feeder.open("segment13", site.placements), factor)
    resolve = partial(dispatch, site, state, forecast, PRICE_USD_PER_KWH)
    secured = constrain(site, state, forecast, resolve((), {}), network, resolve)
    assert isinstance(secured, Verified | Degraded)
    assert worst_case_voltage(site, forecast, secured.dispatch) <= 1.1


def test_without_an_optimiser_what_is_in_force_is_kept_if_it_verifies() -> None:
    site = segment()
    feeder = Feeder.open("segment13", site.placements)
    state = snapshot(site, pv=4000.0)
    kept = without_optimum(site, state, sky(4000.0, 9000.0), 0.3, feeder, "solver: time_limit")
    assert isinstance(kept, Degraded)
    assert kept.dispatch.setpoints["pv"].cap_kw == 4000.0
    assert "solver: time_limit" in kept.reason


def test_without_an_optimiser_and_without_a_safe_present_the_reversion_set_goes_out() -> None:
    site = segment(v_max_pu=1.06)
    feeder = Feeder.open("segment13", site.placements)
    state = snapshot(site, pv=10_000.0, dg=0.0)
    kept = without_optimum(site, state, sky(1e4, 1e4), 0.3, feeder, "solver: failed")
    assert isinstance(kept, Degraded)
    assert kept.dispatch.setpoints["pv"].cap_kw == 1000.0


def test_the_mix_after_a_partial_write_is_judged_by_load_flow() -> None:
    site = segment()
    feeder = Feeder.open("segment13", site.placements)
    mix = {
        "pv": Setpoint(der="pv", p_kw=1e4, q_kvar=0.0),
        "dg": Setpoint(der="dg", p_kw=3000.0, q_kvar=0.0),
        "bes": Setpoint(der="bes", p_kw=0.0, q_kvar=0.0),
    }
    broken = mix_violations(site, snapshot(site), sky(1e4, 1e4), feeder, mix, {})
    assert broken[0].place.startswith("B13")
    held = mix | {"pv": Setpoint(der="pv", p_kw=6000.0, q_kvar=0.0, cap_kw=6000.0)}
    assert mix_violations(site, snapshot(site), sky(1e4, 1e4), feeder, held, {}) == ()


def test_reversion_values_are_judged_together_at_lowest_load_and_clear_sky() -> None:
    site = segment()
    feeder = Feeder.open("segment13", site.placements)
    assert reversion_violations(site, feeder) == ()
    greedy = replace(
        site,
        ders=tuple(replace(d, reversion_kw=9000.0) if isinstance(d, Pv) else d for d in site.ders),
    )
    assert reversion_violations(greedy, feeder)[0].case == "reversion"
    share = largest_safe_share(greedy, feeder)
    safe = replace(
        site,
        ders=tuple(
            replace(d, reversion_kw=9000.0 * share) if isinstance(d, Pv) else d for d in site.ders
        ),
    )
    assert 0.0 < share < 1.0
    assert reversion_violations(safe, feeder) == ()


def test_prices_of_rows_are_the_slope_of_the_cost() -> None:
    """Raising a limit by a little saves its price times that little."""
    site = segment(band_pct=0.0)
    forecast = sky(1e4, 1e4)
    state = snapshot(site)
    feeder = Feeder.open("segment13", site.placements)
    free = dispatch(site, state, forecast, PRICE_USD_PER_KWH)
    case = next(
        c for c in cases_of(site, snapshot(site, forecast.load_kw), forecast) if c.name == "high"
    )
    at = injections(case, free.setpoints, forecast, None, {})
    around = feeder.linearise(at)
    flow = around.flow
    i = int(np.argmax(flow.v_pu))
    c_p, c_q = around.voltage_rows([i])

    def rows(limit: float) -> RowBlock:
        p0 = np.array([at.p_kw[n] for n in around.ders])
        return RowBlock(
            ders=around.ders,
            c_p=c_p,
            c_q=c_q,
            bound=limit - flow.v_pu[i] + c_p @ p0,
            kind=(RowKind.V_MAX,),
            place=(flow.nodes[i],),
            limit=np.array([limit]),
        )

    here = dispatch(site, state, forecast, PRICE_USD_PER_KWH, rows(1.1))
    wider = dispatch(site, state, forecast, PRICE_USD_PER_KWH, rows(1.1001))
    saved = here.objective_usd_per_h - wider.objective_usd_per_h
    # The cap's own small worth is in the price and not in the reported objective.
    assert saved == pytest.approx(here.binding[0].price * 1e-4, rel=0.02)


def test_the_same_inputs_give_the_same_numbers_bit_for_bit() -> None:
    site = segment()
    a, b = (decide(site, sky(9000.0, 10_000.0, LOAD_KW)).dispatch.setpoints for _ in range(2))
    assert a == b


def test_without_reasons_the_decision_is_the_same_and_caution_is_not_priced() -> None:
    site, forecast = segment(), sky(8000.0, 10_000.0)
    seen = snapshot(site)
    resolve = partial(dispatch, site, seen, forecast, PRICE_USD_PER_KWH)
    feeder = Feeder.open("segment13", site.placements)
    free = resolve((), {})
    with_, without = (
        constrain(site, seen, forecast, free, feeder, resolve, reasons=reasons)
        for reasons in (True, False)
    )
    assert isinstance(with_, Verified)
    assert isinstance(without, Verified)
    assert with_.caution_usd_per_h > 0.0
    assert without.caution_usd_per_h == 0.0
    assert without.dispatch.setpoints == with_.dispatch.setpoints
    assert without.linearisations == with_.linearisations
