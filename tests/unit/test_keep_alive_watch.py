"""Between two cycles: limits of somebody else, what a device makes of its command, the deadband."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ems.clock import INTERVAL
from ems.domain import (
    Partial,
    Quality,
    Refused,
    Sent,
)
from tests.unit.between_cycles import START, Bench, command_of, in_control, restart


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with in_control(tmp_path) as made:
        yield made


# --- limits of somebody else ---------------------------------------------------------


def test_a_lower_cap_of_somebody_else_is_never_raised(bench: Bench) -> None:
    bench.field.cap_kw["pv"] = bench.field.p_kw["pv"] = 2000.0
    written = [c for _ in range(30) for call in bench.poll(30) for c in call]
    assert written
    assert "pv" not in {c.der for c in written}
    assert bench.field.cap_kw["pv"] == 2000.0
    record = bench.records[-1]
    outcome = record.outcomes["pv"]
    assert isinstance(outcome, Refused)
    assert outcome.reason == "held at 2000 kW by somebody else; lift that limit at the device"
    assert any("pv: not written: held at 2000 kW" in alarm for alarm in record.alarms)
    assert record.secured.dispatch.setpoints["pv"].cap_kw == 2000.0


def test_a_limit_of_somebody_else_outlives_the_timer_of_our_own_last_command(
    bench: Bench,
) -> None:
    """The fallback wiped it from the registers; nobody has lifted it."""
    bench.field.cap_kw["pv"] = bench.field.p_kw["pv"] = 2000.0
    bench.poll(60)
    bench.field.cap_kw["pv"] = bench.field.p_kw["pv"] = 1000.0
    for _ in range(15):
        bench.poll(60)
    bench.service.cycle()
    assert isinstance(bench.records[-1].outcomes["pv"], Refused)
    assert bench.field.cap_kw["pv"] == 1000.0


def test_a_plant_whose_foreign_limit_was_lifted_is_commanded_at_the_next_decision(
    bench: Bench,
) -> None:
    bench.field.cap_kw["pv"] = bench.field.p_kw["pv"] = 2000.0
    bench.poll(60)
    assert isinstance(bench.records[-1].outcomes["pv"], Refused)
    restart(bench)
    bench.poll(60)
    assert isinstance(bench.records[-1].outcomes["pv"], Sent)
    assert bench.records[-1].alarms == ()


# --- limits that the site's own server tells -----------------------------------------


def limited(bench: Bench, limit_kw: float) -> None:
    """A program of the server limits the plant, which follows."""
    bench.field.p_kw["pv"] = min(bench.field.p_kw["pv"], limit_kw)
    bench.field.change["pv"] = lambda r: replace(
        r, cap_kw=min(limit_kw, r.cap_kw or limit_kw), most_kw=limit_kw
    )


def test_a_plant_that_its_own_server_limits_is_decided_again_and_refreshed_on(
    bench: Bench,
) -> None:
    limited(bench, 4000.0)
    written = [c for _ in range(10) for call in bench.poll(60) for c in call if c.der == "pv"]
    assert len(bench.records) == 2
    assert isinstance(bench.records[-1].outcomes["pv"], Sent)
    assert bench.records[-1].alarms == ()
    assert len(written) >= 9
    assert {c.cap_kw for c in written[1:]} == {4000.0}


def test_a_limit_that_is_lowered_is_decided_on_again_and_a_raised_one_is_not(
    bench: Bench,
) -> None:
    for limit_kw, decided in ((4000.0, 2), (3000.0, 3), (6000.0, 3)):
        limited(bench, limit_kw)
        bench.poll(60)
        assert len(bench.records) == decided
        bench.poll(1)


# --- a generator that tripped --------------------------------------------------------


def test_a_generator_that_tripped_is_led_up_anew_from_where_it_stands(bench: Bench) -> None:
    for _ in range(5):
        bench.poll(60)
    assert command_of(bench, "dg").p_kw == 2050.0
    bench.field.change["dg"] = lambda r: replace(r, p_kw=0.0, q_kvar=0.0)
    asked = [
        c.p_kw
        for _ in range(15)
        for call in bench.poll(20)
        for c in call
        if c.der == "dg" and c.p_kw is not None
    ]
    assert asked
    assert max(asked) <= 50.0 + 60.0 + 50.0, "a step, what a measurement may be wrong, a step"


# --- the measured response -----------------------------------------------------------


def test_a_device_that_follows_says_so_on_health(bench: Bench) -> None:
    bench.poll(10)
    health = bench.service.health().devices["pv"]
    assert (health.response, health.refreshed) == ("followed", START)
    assert bench.alarms == ""


def test_a_generator_on_its_ramp_is_said_to_ramp_and_where_to_until_it_was_asked_for_all(
    bench: Bench,
) -> None:
    """3000 kW/h from 2000 kW: each step is there at once, the decision says 2750."""
    for _ in range(13):
        bench.poll(60)
        health = bench.service.health().devices["dg"]
        assert health.response == "ramping"
        assert health.ramps_to_kw == pytest.approx(2750.0)
    bench.poll(60)
    bench.poll(10)
    health = bench.service.health().devices["dg"]
    assert (health.response, health.ramps_to_kw) == ("followed", None)


def test_a_device_that_acknowledges_and_does_nothing_is_told_and_the_others_make_room(
    bench: Bench,
) -> None:
    bench.field.deaf.add("bes")
    bench.field.p_kw["bes"] = -bench.field.p_kw["bes"]  # as if it had never followed
    bench.poll(20)
    assert bench.service.health().devices["bes"].response == "waiting"
    bench.poll(20)
    assert bench.service.health().devices["bes"].response == "ignored"
    assert "bes: acknowledged, but for 40 s it shows" in bench.alarms
    bench.poll(20)
    record = bench.records[-1]
    assert len(bench.records) == 2
    outcome = record.outcomes["bes"]
    assert isinstance(outcome, Partial)
    assert outcome.readback is not None
    assert record.status == "degraded"
    assert any(a.startswith("bes: does not follow: acknowledged") for a in record.alarms)
    assert record.secured.dispatch.setpoints["bes"].p_kw == bench.field.p_kw["bes"]
    asked = command_of(bench, "bes").p_kw
    assert asked == bench.records[0].secured.dispatch.setpoints["bes"].p_kw
    for _ in range(5):  # it is asked the same again and again, and the clock does not begin anew
        assert len(bench.poll(60)) == 1
    assert len(bench.records) == 2


def test_a_device_that_follows_after_all_is_counted_on_again_at_the_next_cycle(
    bench: Bench,
) -> None:
    bench.field.deaf.add("bes")
    bench.field.p_kw["bes"] = -bench.field.p_kw["bes"]
    bench.poll(40)
    bench.poll(20)
    assert isinstance(bench.records[-1].outcomes["bes"], Partial)
    bench.field.deaf.clear()
    bench.poll(60)
    bench.poll(10)
    assert bench.service.health().devices["bes"].response == "followed"
    bench.clock.move_to(START + INTERVAL)
    bench.service.cycle()
    assert isinstance(bench.records[-1].outcomes["bes"], Sent)


def test_a_generator_that_stays_where_it_is_is_found_out_although_it_is_led_in_small_steps(
    bench: Bench,
) -> None:
    bench.field.deaf.add("dg")
    bench.field.p_kw["dg"], bench.field.q_kvar["dg"] = 2000.0, bench.field.q_kvar["dg"]
    for _ in range(10):
        bench.poll(60)
        if len(bench.records) > 1:
            break
    health = bench.service.health().devices["dg"]
    assert (health.response, health.ramps_to_kw) == ("ignored", None)
    assert isinstance(bench.records[-1].outcomes["dg"], Partial)


def test_a_measurement_that_stands_still_counts_as_stale(bench: Bench) -> None:
    beats = iter([1, 2, *[3] * 100])
    bench.field.change["bes"] = lambda r: replace(r, heartbeat=next(beats))
    for _ in range(17):
        bench.poll(10)
    assert len(bench.records) == 2
    reading = bench.records[-1].snapshot.ders["bes"]
    assert reading.quality is Quality.STALE
    assert "its heartbeat has stood still" in reading.note
    assert not bench.service.health().devices["bes"].reachable


# --- the deadband --------------------------------------------------------------------


def test_what_is_nearly_held_already_is_left_as_it_is(bench: Bench) -> None:
    held = command_of(bench, "pv").cap_kw
    bench.field.load_kw += 60.0
    bench.clock.move_to(START + timedelta(seconds=60))
    bench.service.cycle()
    record = bench.records[-1]
    decided = record.secured.dispatch.setpoints["pv"].cap_kw
    assert decided is not None
    assert held is not None
    assert 0.0 < decided - held < 50.0
    assert record.kept["pv"].cap_kw == held
    assert command_of(bench, "pv").cap_kw == held


def test_a_cap_is_never_left_above_the_one_that_was_verified(bench: Bench) -> None:
    held = command_of(bench, "pv").cap_kw
    bench.field.load_kw -= 15.0
    bench.clock.move_to(START + timedelta(seconds=60))
    bench.service.cycle()
    decided = bench.records[-1].secured.dispatch.setpoints["pv"].cap_kw
    assert decided is not None
    assert held is not None
    assert -50.0 < decided - held < 0.0
    assert command_of(bench, "pv").cap_kw == decided
