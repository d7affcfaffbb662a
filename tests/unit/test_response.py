"""Whether a device does what it acknowledged, judged by its measurement."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ems.domain import Bes, Command, Der, DerReading, Dg, Followed, Ignored, Pv, Response, Waiting
from ems.response import Asked, respond, tolerance_kw, with_foreign_caps
from tests.sites import segment

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
PV = Pv(name="pv", bus="b", rated_kw=100.0, q_max_kvar=40.0)
BES = Bes(name="bes", bus="b", rated_kw=50.0, capacity_kwh=100.0, q_max_kvar=20.0)
DG = Dg(
    name="dg", bus="b", rated_kw=600.0, cost_usd_per_kwh=0.1, min_kw=60.0, q_max_kvar=100.0,
    ramp_up_kw_per_h=3600.0, ramp_down_kw_per_h=3600.0,
)  # fmt: skip
"""Its ramp is one kilowatt per second."""
TEN_S = 10.0


def asked(
    p_kw: float | None = None, q_kvar: float = 0.0, cap_kw: float | None = None, from_kw: float = 0
) -> Asked:
    command = Command(
        der="d", p_kw=p_kw, q_kvar=q_kvar, cap_kw=cap_kw, reversion_kw=0.0, reversion_s=300
    )
    return Asked(command=command, since=NOON, from_kw=from_kw)


def after(der: Der, of: Asked, seconds: float, p_kw: float, q_kvar: float = 0.0,
          soc_pct: float | None = None) -> Response:  # fmt: skip
    reading = DerReading(
        der=der.name, time=NOON + timedelta(seconds=seconds), p_kw=p_kw, q_kvar=q_kvar,
        soc_pct=soc_pct,
    )  # fmt: skip
    return respond(der, of, reading, TEN_S)


@pytest.mark.parametrize("made_kw", [0.0, 30.0, 40.0, 42.0])
def test_a_plant_follows_its_cap_whatever_the_sun_gives_below_it(made_kw: float) -> None:
    assert after(PV, asked(cap_kw=40.0), 60, made_kw) == Followed()


def test_a_plant_above_its_cap_has_its_time_and_then_ignores_it() -> None:
    assert after(PV, asked(cap_kw=40.0), 9, 80.0) == Waiting()
    found = after(PV, asked(cap_kw=40.0), 20, 80.0)
    assert isinstance(found, Ignored)
    assert found.reason == ("acknowledged, but for 20 s it makes 80.0 kW under a cap of 40.0 kW")


def test_a_plant_without_a_cap_may_make_what_it_likes() -> None:
    assert after(PV, asked(cap_kw=None), 60, 100.0) == Followed()


def test_a_setpoint_is_followed_within_two_percent_of_the_rating() -> None:
    of = asked(p_kw=-30.0)
    assert after(BES, of, 60, -29.1) == Followed()
    assert isinstance(after(BES, of, 60, -28.9), Ignored)
    assert tolerance_kw(replace(BES, rated_kw=2.0)) == 0.1


def test_reactive_power_is_followed_likewise_and_told_beside_active_power() -> None:
    of = asked(p_kw=10.0, q_kvar=-15.0)
    assert after(BES, of, 60, 10.0, -14.5) == Followed()
    found = after(BES, of, 60, 0.0, 0.0)
    assert isinstance(found, Ignored)
    assert "0.0 kW, asked for 10.0 kW and it shows 0.0 kvar, asked for -15.0 kvar" in found.reason


@pytest.mark.parametrize(
    ("wanted_kw", "soc_pct", "shown_kw", "follows"),
    [
        (40.0, 20.5, 0.0, True),  # empty
        (40.0, 60.0, 0.0, False),
        (-40.0, 99.5, -5.0, True),  # full, still taking a little
        (-40.0, 99.5, 5.0, False),  # full, and discharging is no way to charge
        (40.0, 99.5, 0.0, False),
    ],
)
def test_a_battery_that_is_empty_or_full_need_not_follow(
    wanted_kw: float, soc_pct: float, shown_kw: float, *, follows: bool
) -> None:
    found = after(BES, asked(p_kw=wanted_kw), 60, shown_kw, soc_pct=soc_pct)
    assert (found == Followed()) is follows


@pytest.mark.parametrize(
    ("seconds", "shown_kw", "expected"),
    [
        (5, 100.0, Waiting),
        (110, 200.0, Waiting),  # 100 s after its time began: as far as its ramp takes it
        (110, 185.0, Ignored),  # further behind than its meter may be wrong
        (110, 300.0, Waiting),  # faster is fine
        (410, 500.0, Followed),
        (410, 480.0, Ignored),
    ],
)
def test_a_generator_has_the_time_its_ramp_takes(
    seconds: float, shown_kw: float, expected: type[Response]
) -> None:
    assert type(after(DG, asked(p_kw=500.0, from_kw=100.0), seconds, shown_kw)) is expected


def test_a_generator_that_is_off_owes_no_reactive_power() -> None:
    assert after(DG, asked(p_kw=0.0, q_kvar=-80.0), 60, 0.0, 0.0) == Followed()
    assert isinstance(after(DG, asked(p_kw=300.0, q_kvar=-80.0), 600, 300.0, 0.0), Ignored)


@given(
    seconds=st.floats(0, 2000), from_kw=st.floats(0, 600), to_kw=st.floats(60, 600),
    noise=st.floats(-1, 1),
)  # fmt: skip
def test_a_generator_that_goes_as_its_ramp_says_is_never_accused(
    seconds: float, from_kw: float, to_kw: float, noise: float
) -> None:
    way = to_kw - from_kw
    gone = max(-abs(way), min(abs(way), seconds))
    shown = from_kw + (gone if way > 0 else -gone) + noise * tolerance_kw(DG)
    found = after(DG, asked(p_kw=to_kw, from_kw=from_kw), seconds, shown)
    assert not isinstance(found, Ignored)


@given(
    from_kw=st.floats(0, 3000), to_kw=st.floats(0, 3000), min_kw=st.floats(0, 500),
    up=st.floats(100, 20_000), down=st.floats(100, 20_000),
)  # fmt: skip
def test_a_generator_is_led_to_its_setpoint_in_steps_its_ramp_allows(
    from_kw: float, to_kw: float, min_kw: float, up: float, down: float
) -> None:
    to_kw = 0.0 if to_kw < min_kw else to_kw  # a decision never rests in between
    dg = replace(DG, rated_kw=3000.0, min_kw=min_kw, ramp_up_kw_per_h=up, ramp_down_kw_per_h=down)
    at, steps = from_kw, 0
    while at != to_kw and steps < 2000:
        then = dg.towards(at, to_kw, 60.0)
        assert min(at, to_kw) <= then <= max(at, to_kw)
        assert then == 0.0 or then >= min(min_kw, to_kw) or then >= at
        rate = up if to_kw > from_kw else down
        # What lies between off and the least power is crossed in a step of its own.
        assert abs(then - at) <= rate / 60.0 * (1 + 1e-9) or min(at, then) < min_kw
        at, steps = then, steps + 1
    assert at == to_kw


# --- caps of somebody else -----------------------------------------------------------


@pytest.mark.parametrize(
    ("cap_kw", "own_kw", "foreign"),
    [
        (None, (), False),
        (10_000.0, (), False),  # its rating
        (2000.0, (), True),
        (2000.0, (5000.0,), True),
        (2000.0, (float("inf"),), True),  # we lifted ours
        (2000.0, (2050.0,), False),  # ours, rounded down to a whole percent
        (4880.0, (5000.0,), True),
        (8000.0, (5000.0,), False),  # above ours: ours binds
        (3000.0, (2000.0, 5000.0), True),  # it may hold either, and holds neither
        (1000.0, (5000.0,), False),  # what it falls back to
    ],
)
def test_a_cap_below_ours_that_is_none_of_ours_is_of_somebody_else(
    cap_kw: float | None, own_kw: tuple[float, ...], *, foreign: bool
) -> None:
    shown = DerReading(der="pv", time=NOON, p_kw=0.0, q_kvar=0.0, cap_kw=cap_kw)
    found = with_foreign_caps(segment(), {"pv": shown}, {"pv": own_kw}, ())
    assert found["pv"].limited is foreign


def test_a_cap_at_the_limit_that_the_sites_own_server_tells_is_of_nobody_else() -> None:
    for cap_kw, foreign in ((4000.0, False), (2000.0, True)):
        shown = DerReading(der="pv", time=NOON, p_kw=0.0, q_kvar=0.0, cap_kw=cap_kw, most_kw=4000.0)
        assert with_foreign_caps(segment(), {"pv": shown}, {}, ())["pv"].limited is foreign


def test_a_cap_at_a_rating_below_the_one_in_the_settings_limits_nothing() -> None:
    shown = DerReading(der="pv", time=NOON, p_kw=0.0, q_kvar=0.0, cap_kw=9000.0, rated_kw=9000.0)
    assert not with_foreign_caps(segment(), {"pv": shown}, {}, ())["pv"].limited
