"""Towards a safe point where the search for the cheapest one finds none, and from there on."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from ems.constrain import constrain, without_optimum
from ems.constrain.interval import Interval
from ems.constrain.near import cheapest_near
from ems.constrain.reach import columns_of, in_order, reach, setpoints_of
from ems.constrain.restore import restored
from ems.constrain.rungs import anchors, possible
from ems.dispatch import dispatch
from ems.domain import Degraded, Dg, Dispatch, Forecast, Setpoint, Site, Snapshot, Unmoved, Verified
from feeders import Feeder
from tests.sites import PRICE_USD_PER_KWH, segment, sky, snapshot

NO_PINS: Mapping[str, Unmoved] = {}


def interval(
    site: Site, forecast: Forecast, state: Snapshot, pins: Mapping[str, Unmoved] = NO_PINS
) -> Interval:
    network = Feeder.open("segment13", site.placements)
    return Interval.of(site, state, forecast, network, pins).with_ramping()


def free(at: Interval) -> Dispatch:
    return dispatch(at.site, at.snapshot, at.forecast, PRICE_USD_PER_KWH)


def at_rest(at: Interval) -> Dispatch:
    *_, (_, idle) = anchors(at.site, at.snapshot, at.forecast)
    return at.priced(free(at), idle)


def test_steps_lead_from_a_dispatch_that_breaks_limits_to_one_that_all_cases_verify() -> None:
    at = interval(segment(), sky(10_000.0, 10_000.0), snapshot(segment()))
    start = free(at)
    assert at.trial(start).broken
    found = restored(at, [start])
    assert found is not None
    assert found.safe
    assert found.decided.binding == ()


def test_where_no_setpoints_keep_a_limit_no_point_is_found() -> None:
    site = segment(v_min_pu=0.99)
    forecast = sky(0.0, 0.0, load_kw=14_500.0)
    at = interval(site, forecast, snapshot(site, 14_500.0, dg=0.0))
    assert restored(at, [free(at), at_rest(at)]) is None


def test_a_start_whose_load_flow_diverges_is_passed_over() -> None:
    site = segment()
    at = interval(site, sky(0.0, 0.0, load_kw=60_000.0), snapshot(site, 60_000.0))
    assert restored(at, [free(at)]) is None


def test_a_point_found_is_within_ramp_charge_and_rating() -> None:
    site = segment(pv_q_max_kvar=4000.0, v_max_pu=1.04, v_min_pu=0.9)
    state = snapshot(site, 9000.0)
    state = replace(
        state, ders=dict(state.ders) | {"bes": replace(state.ders["bes"], soc_pct=100.0)}
    )
    at = interval(site, sky(9000.0, 10_000.0, load_kw=9000.0), state)
    found = restored(at, [free(at)])
    assert found is not None
    asked = found.decided.setpoints
    assert asked["bes"].p_kw >= 0.0
    assert asked["dg"].p_kw >= 2997.0 - 750.0
    assert all(abs(asked[d.name].q_kvar) <= d.q_max_kvar + 1e-6 for d in site.ders)


def test_a_der_that_cannot_be_moved_stays_where_it_is() -> None:
    site = segment()
    held = Setpoint(der="dg", p_kw=1234.0, q_kvar=10.0)
    at = interval(
        site, sky(1e4, 1e4), snapshot(site), {"dg": Unmoved(expected=held, high=held, low=held)}
    )
    found = restored(at, [free(at)])
    assert found is not None
    assert found.decided.setpoints["dg"] == held


def test_without_an_optimiser_and_with_no_safe_point_at_hand_one_is_stepped_to() -> None:
    """Every value at hand breaks the upper limit; PV that absorbs keeps it."""
    site = segment(pv_q_max_kvar=4000.0, v_max_pu=1.04, v_min_pu=0.9)
    forecast, state = sky(9000.0, 10_000.0, load_kw=9000.0), snapshot(site, 9000.0)
    at = interval(site, forecast, state)
    assert not any(
        at.trial(at.priced(free(at), point)).safe for _, point in anchors(site, state, forecast)
    )
    kept = without_optimum(site, state, forecast, 0.3, at.network, "solver: failed")
    assert isinstance(kept, Degraded)
    assert at.trial(kept.dispatch).safe
    assert kept.dispatch.setpoints["pv"].q_kvar < 0.0


def test_from_any_safe_point_steps_lead_to_the_cost_of_the_optimum() -> None:
    site = segment()
    at = interval(site, sky(10_000.0, 10_000.0), snapshot(site))
    resolve = partial(dispatch, site, at.snapshot, at.forecast, PRICE_USD_PER_KWH)
    first, safe = at.trial(free(at)), at.trial(at_rest(at))
    wanted = constrain(site, at.snapshot, at.forecast, first.decided, at.network, resolve)
    assert isinstance(wanted, Verified)
    found, _, settles = cheapest_near(at, safe, first, resolve)
    assert settles
    assert found.safe
    cost, best = found.decided.objective_usd_per_h, wanted.dispatch.objective_usd_per_h
    assert abs(cost - best) <= 2e-3 * abs(best - safe.decided.objective_usd_per_h)


def test_a_row_that_keeps_a_der_near_a_point_is_no_row_of_the_network() -> None:
    site = segment()
    at = interval(site, sky(10_000.0, 10_000.0), snapshot(site))
    resolve = partial(dispatch, site, at.snapshot, at.forecast, PRICE_USD_PER_KWH)
    found, _, _ = cheapest_near(at, at.trial(at_rest(at)), at.trial(free(at)), resolve)
    assert found.decided.binding
    assert all(b.row.place.startswith("B") for b in found.decided.binding)


# --- what the devices can do, as columns ----------------------------------------------


def test_setpoints_survive_the_way_to_columns_and_back() -> None:
    site = segment(pv_q_max_kvar=400.0)
    forecast, state = sky(4000.0, 9000.0), snapshot(site)
    for cap_kw, p_kw in ((3000.0, 3000.0), (6000.0, 4000.0), (None, 4000.0)):
        asked = {
            "pv": Setpoint(der="pv", p_kw=p_kw, q_kvar=-300.0, cap_kw=cap_kw),
            "dg": Setpoint(der="dg", p_kw=2500.0, q_kvar=100.0),
            "bes": Setpoint(der="bes", p_kw=-50.0, q_kvar=0.0),
        }
        x = columns_of(site, state, forecast, asked)
        assert setpoints_of(site, state, forecast, x) == asked
        bounds = reach(site, state, forecast, {}, asked)
        assert np.all((bounds.lo <= x) & (x <= bounds.hi))
        assert np.all(bounds.a @ x <= bounds.b + 1e-9)


def test_a_cap_whose_pieces_are_filled_out_of_turn_is_held_to_the_piece_it_ends_in() -> None:
    site, state = segment(), snapshot(segment())
    below = replace(sky(4000.0, 9000.0).pv["pv"], lower_kw=1000.0)
    forecast = replace(sky(4000.0, 9000.0), pv={"pv": below})
    asked = possible(site, state, dict(next(anchors(site, state, forecast))[1]))
    bounds = reach(site, state, forecast, {}, asked)
    x = columns_of(site, state, forecast, asked)
    assert in_order(x, bounds, forecast, site) is None
    pv = site.names.index("pv")
    x = x.reshape(len(site.ders), -1)
    x[pv, :3] = 0.0, 2000.0, 500.0  # 2500 kW, though the first 1000 kW stand empty
    held = in_order(x.ravel(), bounds, forecast, site)
    assert held is not None
    shape = x.shape
    assert held.lo.reshape(shape)[pv, :3].tolist() == [1000.0, 0.0, 0.0]
    assert held.hi.reshape(shape)[pv, :3].tolist() == [1000.0, 3000.0, 0.0]


@pytest.mark.parametrize(
    ("asked_kw", "now_kw", "kw"),
    [
        (0.0, 0.0, 0.0),
        (900.0, 0.0, 1000.0),  # it starts at its least power, whatever its ramp
        (2000.0, 0.0, 1000.0),
        (0.0, 1100.0, 0.0),
        (0.0, 2000.0, 1800.0),  # too far up to stop within the interval
        (2500.0, 2000.0, 2200.0),
    ],
)
def test_a_generator_is_off_or_above_its_least_power_and_within_its_ramp(
    asked_kw: float, now_kw: float, kw: float
) -> None:
    site = segment()
    slow = [
        replace(d, min_kw=1000.0, ramp_up_kw_per_h=800.0, ramp_down_kw_per_h=800.0)
        if isinstance(d, Dg) else d
        for d in site.ders
    ]  # fmt: skip
    site = replace(site, ders=tuple(slow))
    state = snapshot(site, dg=now_kw)
    asked = {n: Setpoint(der=n, p_kw=0.0, q_kvar=0.0) for n in site.names}
    asked["dg"] = Setpoint(der="dg", p_kw=asked_kw, q_kvar=0.0)
    assert possible(site, state, asked)["dg"].p_kw == pytest.approx(kw)
