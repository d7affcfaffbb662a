"""How sure a proof must be of sun and load, and what that costs."""

from dataclasses import replace
from functools import partial
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ems.constrain import constrain
from ems.constrain.cases import Sun, cases_of, pv_kw
from ems.dispatch import dispatch
from ems.domain import (
    Forecast,
    Injections,
    Quality,
    Setpoint,
    Verified,
    band_kw,
    least_kw,
)
from ems.domain.expected import SUREST
from feeders import Feeder
from forecasting.record import LEVELS
from tests.sites import LOAD_KW, PRICE_USD_PER_KWH, segment, sky, snapshot

QUANTILES_KW = (6000.0, 7000.0, 8500.0, 9500.0, 9700.0, 9900.0, 10_000.0)
"""Of a sky with some clouds, at `LEVELS`."""


def expecting(confidence: float) -> Forecast:
    """What a forecaster says that was asked for a confidence."""
    forecast = sky(9500.0, 10_000.0)
    pv = replace(
        forecast.pv["pv"],
        quantiles_kw=QUANTILES_KW,
        lower_kw=least_kw(LEVELS, QUANTILES_KW, confidence),
    )
    return replace(forecast, pv={"pv": pv}, levels=LEVELS, confidence=confidence)


# --- numbers -------------------------------------------------------------------------


def test_a_level_that_is_known_gives_its_quantile() -> None:
    assert least_kw(LEVELS, QUANTILES_KW, 0.95) == pytest.approx(6000.0)
    assert least_kw(LEVELS, QUANTILES_KW, 0.75) == pytest.approx(8500.0)


def test_full_confidence_reckons_with_no_sun_at_all() -> None:
    assert least_kw(LEVELS, QUANTILES_KW, 1.0) == 0.0


def test_without_quantiles_there_may_be_no_sun_at_any_confidence() -> None:
    assert least_kw((), (), 0.6) == 0.0


@given(a=st.floats(0.5, 1.0, exclude_min=True), b=st.floats(0.5, 1.0, exclude_min=True))
def test_more_confidence_never_reckons_with_more_sun_or_a_narrower_load(a: float, b: float) -> None:
    less, more = sorted((a, b))
    assert least_kw(LEVELS, QUANTILES_KW, more) <= least_kw(LEVELS, QUANTILES_KW, less)
    narrow, wide = band_kw(LEVELS, QUANTILES_KW, less), band_kw(LEVELS, QUANTILES_KW, more)
    assert wide[0] <= narrow[0] <= narrow[1] <= wide[1]


def test_a_level_that_is_known_gives_the_quantiles_of_the_load() -> None:
    assert band_kw(LEVELS, QUANTILES_KW, 0.95) == pytest.approx((6000.0, 10_000.0))
    assert band_kw(LEVELS, QUANTILES_KW, 0.75) == pytest.approx((8500.0, 9700.0))


def normal_load_kw(level: float) -> float:
    return NormalDist(5000.0, 100.0).inv_cdf(level)


@pytest.mark.parametrize("confidence", [0.96, 0.99, 0.999])
def test_beyond_the_quantiles_the_load_has_the_tails_of_a_normal_distribution(
    confidence: float,
) -> None:
    quantiles = [normal_load_kw(level) for level in LEVELS]
    expected = (normal_load_kw(1.0 - confidence), normal_load_kw(confidence))
    assert band_kw(LEVELS, quantiles, confidence) == pytest.approx(expected)


def test_the_tails_end_at_one_in_a_thousand_and_at_zero() -> None:
    surest = band_kw(LEVELS, QUANTILES_KW, SUREST)
    assert band_kw(LEVELS, QUANTILES_KW, 0.99999) == band_kw(LEVELS, QUANTILES_KW, 1.0) == surest
    assert band_kw(LEVELS, (10.0, 500.0, 600.0, 700.0, 800.0, 900.0, 1000.0), 0.99)[0] == 0.0


# --- the cases of an interval --------------------------------------------------------


def test_the_low_case_has_the_least_sun_and_a_cap_below_it_still_holds() -> None:
    forecast = expecting(0.95)
    low = next(c for c in cases_of(segment(), snapshot(segment()), forecast) if c.name == "low")
    assert low.sun is Sun.LOWER
    free = Setpoint(der="pv", p_kw=9500.0, q_kvar=0.0)
    assert pv_kw(low, free, forecast) == pytest.approx(6000.0)
    assert pv_kw(low, replace(free, cap_kw=4000.0), forecast) == 4000.0


def loads(forecast: Forecast, quality: Quality = Quality.GOOD) -> tuple[float, float]:
    """Lowest and highest load of all cases."""
    state = snapshot(segment())
    state = replace(state, load=replace(state.load, quality=quality))
    found = [case.load_kw for case in cases_of(segment(), state, forecast)]
    return min(found), max(found)


def test_a_load_forecast_less_sure_than_the_meters_band_widens_it() -> None:
    wide = replace(expecting(1.0), load_lower_kw=0.95 * LOAD_KW, load_upper_kw=1.04 * LOAD_KW)
    assert loads(wide) == pytest.approx((0.95 * LOAD_KW, 1.04 * LOAD_KW))


def test_a_load_forecast_never_narrows_the_meters_band() -> None:
    sure = replace(expecting(1.0), load_lower_kw=LOAD_KW - 1.0, load_upper_kw=LOAD_KW + 1.0)
    assert loads(sure) == loads(expecting(1.0)) == pytest.approx((0.98 * LOAD_KW, 1.02 * LOAD_KW))
    assert loads(sure, Quality.STALE) == pytest.approx((0.94 * LOAD_KW, 1.06 * LOAD_KW))


# --- what caution costs --------------------------------------------------------------


def decided(confidence: float) -> Verified:
    """A feeder whose lower limit is near: without sun, inverters must hold its end up."""
    site, forecast = segment(v_min_pu=0.98, pv_q_max_kvar=2000.0), expecting(confidence)
    feeder = Feeder.open("segment13", site.placements)
    state = snapshot(site)
    resolve = partial(dispatch, site, state, forecast, PRICE_USD_PER_KWH)
    found = constrain(site, state, forecast, resolve((), {}), feeder, resolve)
    assert isinstance(found, Verified)
    return found


def test_caution_costs_less_the_less_confidence_is_asked_for() -> None:
    costs = [decided(confidence).caution_usd_per_h for confidence in (1.0, 0.995, 0.95)]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > 1000.0
    assert costs[1] < 0.7 * costs[0]
    assert costs[2] < 1.0


@pytest.mark.parametrize("confidence", [1.0, 0.995, 0.95])
def test_limits_hold_wherever_the_sun_ends_up_in_its_band(confidence: float) -> None:
    site, forecast = segment(v_min_pu=0.98, pv_q_max_kvar=2000.0), expecting(confidence)
    feeder = Feeder.open("segment13", site.placements)
    setpoints = decided(confidence).dispatch.setpoints
    cap = setpoints["pv"].cap_kw
    most = 10_000.0 if cap is None else cap
    for sun_kw in np.linspace(min(forecast.pv["pv"].lower_kw, most), most, 7):
        for load_kw in (0.98 * LOAD_KW, 1.02 * LOAD_KW):
            at = Injections(
                p_kw={n: s.p_kw for n, s in setpoints.items()} | {"pv": float(sun_kw)},
                q_kvar={n: s.q_kvar for n, s in setpoints.items()},
                load_kw=load_kw,
            )
            v = feeder.load_flow(at).v_pu
            assert v.min() >= 0.98 - 1e-6
            assert v.max() <= 1.10 + 1e-6
