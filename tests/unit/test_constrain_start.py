"""Where the feeder is made linear first."""

from collections.abc import Callable

import pytest

from ems.constrain.cases import severity
from ems.constrain.interval import Interval, Trial
from ems.constrain.start import FAR, start
from ems.dispatch import dispatch
from ems.domain import Forecast, Site
from feeders import Feeder
from tests.sites import PRICE_USD_PER_KWH, segment, sky, snapshot

Tried = Callable[[Site, Forecast], tuple[Interval, Trial]]


@pytest.fixture
def tried() -> Tried:
    """An interval, and its dispatch without rows, tried."""

    def made(site: Site, forecast: Forecast) -> tuple[Interval, Trial]:
        seen = snapshot(site, forecast.load_kw)
        feeder = Feeder.open("segment13", site.placements)
        at = Interval.of(site, seen, forecast, feeder, {})
        return at, at.trial(dispatch(site, seen, forecast, PRICE_USD_PER_KWH))

    return made


def test_a_dispatch_that_keeps_the_limits_is_its_own_start(tried: Tried) -> None:
    at, first = tried(segment(), sky(2000.0, 2500.0))
    assert first.safe
    assert start(at, first) is first


def test_one_that_is_hardly_beyond_a_limit_is_its_own_start_too(tried: Tried) -> None:
    at, first = tried(segment(v_max_pu=1.125), sky(10_000.0, 10_000.0))
    assert 0.0 < severity(first.broken[0]) < FAR
    assert start(at, first) is first


def test_from_far_beyond_it_starts_within_a_thousandth_of_the_limit(tried: Tried) -> None:
    at, first = tried(segment(), sky(10_000.0, 10_000.0))
    assert severity(first.broken[0]) > FAR
    found = start(at, first)
    assert max(f.highest()[1] for f in found.flows.values()) == pytest.approx(1.1, abs=1e-3)


def test_reactive_power_comes_first_and_caps_only_where_it_is_not_enough(tried: Tried) -> None:
    at, first = tried(segment(), sky(10_000.0, 10_000.0))
    scarce = start(at, first).decided.setpoints
    assert scarce["pv"].cap_kw is not None
    assert scarce["dg"].q_kvar == pytest.approx(-400.0)
    at, first = tried(segment(pv_q_max_kvar=3500.0), sky(10_000.0, 10_000.0))
    plenty = start(at, first).decided.setpoints
    assert plenty["pv"].cap_kw is None
    assert -3500.0 < plenty["pv"].q_kvar < 0.0


def test_an_undervoltage_is_its_own_start(tried: Tried) -> None:
    at, first = tried(segment(v_min_pu=1.04), sky(0.0, 0.0))
    assert not first.safe
    assert start(at, first) is first
