"""Between two cycles: what is refreshed, what is not, and when a cycle is brought forward."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ems.clock import INTERVAL
from ems.domain import (
    Command,
    Infeasible,
    Quality,
    Refused,
    Sent,
    Watched,
)
from ems.errors import RefusedWrite, Unreachable
from ems.unmoved import HOLD_OVER_S
from tests.unit.between_cycles import SITE, START, Bench, command_of, in_control, restart


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with in_control(tmp_path) as made:
        yield made


# --- refreshing ----------------------------------------------------------------------


def test_commands_in_force_are_written_again_once_a_minute_as_they_are(bench: Bench) -> None:
    assert bench.poll(30) == []
    [written] = bench.poll(30)
    assert {c.der for c in written} == {"pv", "bes", "dg"}
    pv = next(c for c in written if c.der == "pv")
    assert pv == command_of(bench, "pv")
    assert pv.reversion_s == 300
    assert bench.poll(59) == []
    assert len(bench.poll(1)) == 1


def test_the_next_cycle_reckons_from_the_last_refresh(bench: Bench) -> None:
    bench.poll(60)
    bench.poll(60)
    bench.service.cycle()
    watched = bench.records[-1].watched
    assert watched is not None
    held = watched.in_force["bes"]
    assert held.written == START + timedelta(seconds=120)
    assert held.earliest == held.latest == START + timedelta(seconds=420)


def test_a_generator_is_led_to_its_setpoint_a_minute_of_its_ramp_at_a_time(bench: Bench) -> None:
    """3000 kW/h from 2000 kW: 50 kW a minute, while the decision says 2750."""
    assert bench.records[0].secured.dispatch.setpoints["dg"].p_kw == pytest.approx(2750.0)
    told = [command_of(bench, "dg").p_kw]
    for _ in range(16):
        [written] = bench.poll(60)
        told += [c.p_kw for c in written if c.der == "dg"]
    assert told == [*(2050.0 + 50.0 * i for i in range(15)), 2750.0, 2750.0]


def test_refreshing_ends_when_no_cycle_has_followed_and_the_devices_are_left_to_their_timers(
    bench: Bench,
) -> None:
    def fail() -> None:
        raise RuntimeError("no forecast, no nothing")

    bench.act = fail
    valid_s = (INTERVAL + timedelta(seconds=HOLD_OVER_S)).total_seconds()
    for _ in range(int(valid_s // 60) - 1):
        assert len(bench.poll(60)) == 1
    assert bench.alarms == ""
    bench.poll(60)  # asks for a decision, which fails
    assert bench.service.health().failures == 1
    assert bench.poll(30) == []
    began = f"{START:%H:%M}"
    assert f"pv: no decision since that of {began} UTC; it falls back by itself" in bench.alarms


def test_a_cycle_that_fails_leaves_nothing_to_refresh_and_is_tried_again(bench: Bench) -> None:
    """It may have written before it failed: what the devices hold is not known any more."""

    def fail() -> None:
        raise RuntimeError("halfway")

    bench.act = fail
    bench.clock.move_to(START + INTERVAL)
    assert bench.service.cycle() is None
    assert bench.poll(30) == []
    assert "the cycle failed, perhaps while it wrote; it falls back by itself" in bench.alarms
    bench.act = lambda: None
    assert bench.poll(30), "a minute after the failure it is tried again"
    assert len(bench.records) == 3
    assert bench.records[-1].watched == replace(bench.records[-1].watched or Watched(), in_force={})
    assert bench.alarms == ""


def test_a_refresh_that_fails_as_a_whole_is_decided_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Sequence[Command]) -> None:
        raise RuntimeError("the loop is closed")

    with monkeypatch.context() as broken:
        broken.setattr(bench.field, "write", fail)
        bench.poll(60)
    health = bench.service.health()
    assert "poll: the loop is closed" in health.last_error
    bench.poll(10)
    assert len(bench.records) == 2
    assert all(isinstance(o, Sent) for o in bench.records[-1].outcomes.values())


def test_nothing_is_refreshed_without_the_lease(bench: Bench) -> None:
    later = START + timedelta(seconds=61)
    bench.lease_clock.move_to(later)
    bench.store.take_lease(SITE.name, "the other", 60.0, later)
    assert bench.poll(60) == []
    assert "nothing is written" in bench.alarms
    assert bench.records == bench.records[:1]


def test_a_refresh_never_happens_while_a_cycle_runs(bench: Bench) -> None:
    bench.clock.move_to(START + timedelta(seconds=120))
    seen: list[int] = []

    def poll() -> None:
        before = len(bench.field.calls)
        bench.service.poll()
        seen.append(len(bench.field.calls) - before)

    bench.act = poll
    bench.service.cycle()
    assert seen == [0]


# --- devices that do not keep to it --------------------------------------------------


def test_a_silent_device_is_not_written_and_the_others_make_room_before_it_falls_back(
    bench: Bench,
) -> None:
    """The generator's reactive power will vanish with its timer: the cap is lowered at once."""
    cap = command_of(bench, "pv").cap_kw
    bench.field.fail("dg", Unreachable("dg: no answer in 3 s"))
    calls = bench.poll(60)
    assert "dg" not in {c.der for call in calls for c in call}
    assert len(bench.records) == 2, "a decision before it is time"
    record = bench.records[-1]
    assert record.snapshot.ders["dg"].quality is Quality.STALE
    assert isinstance(record.outcomes["dg"], Refused)
    now_cap = command_of(bench, "pv").cap_kw
    assert cap is not None
    assert now_cap is not None
    assert now_cap < cap - 100.0
    assert not isinstance(record.secured, Infeasible)
    for _ in range(3):
        assert len(bench.poll(60)) == 1, "the others go on, and no further decision is asked for"
    assert len(bench.records) == 2
    assert "dg: no answer in 3 s" in bench.alarms


def test_a_silent_device_is_one_alarm_until_the_next_decision_too(bench: Bench) -> None:
    def broken() -> None:
        raise RuntimeError("no solver")

    bench.act = broken
    bench.field.fail("dg", Unreachable("dg at 127.0.0.1:5023: no answer in 3 s"))
    bench.poll(60)
    [told] = [line for line in bench.alarms.splitlines() if line.startswith("dg")]
    assert told.startswith("dg at 127.0.0.1:5023: no answer in 3 s; it falls back by itself")


def test_a_refresh_that_is_refused_ends_refreshing_of_that_device(bench: Bench) -> None:
    bench.field.fail("bes", RefusedWrite("bes: Modbus exception 4"))
    bench.poll(60)
    assert len(bench.records) == 2
    [written] = bench.poll(60)
    assert {c.der for c in written} == {"pv", "dg"}


def test_a_device_under_local_control_is_left_alone_and_reckoned_with_as_it_shows_itself(
    bench: Bench,
) -> None:
    bench.field.p_kw["bes"] = -120.0
    bench.field.change["bes"] = lambda r: replace(r, local=True)
    calls = bench.poll(60)
    assert "bes" not in {c.der for call in calls for c in call}
    record = bench.records[-1]
    assert len(bench.records) == 2
    outcome = record.outcomes["bes"]
    assert isinstance(outcome, Refused)
    assert "under local control" in outcome.reason
    assert record.secured.dispatch.setpoints["bes"].p_kw == -120.0
    assert any("bes: not written: under local control" in a for a in record.alarms)


def test_a_plant_that_lost_its_cap_has_restarted_and_is_decided_anew_at_once(bench: Bench) -> None:
    restart(bench)
    assert bench.poll(10)
    assert len(bench.records) == 2
    assert isinstance(bench.records[-1].outcomes["pv"], Sent)
    assert bench.field.cap_kw["pv"] is not None


def test_a_plant_that_restarts_again_and_again_does_not_cost_a_cycle_each_time(
    bench: Bench,
) -> None:
    restart(bench)
    bench.poll(10)
    restart(bench)
    assert bench.poll(10) == []
    bench.poll(50)
    assert len(bench.records) == 3, "a minute after the last decision"
    restart(bench)
    bench.poll(10)
    assert len(bench.records) == 4


@pytest.mark.parametrize("off", ["active", "reactive"])
def test_a_device_whose_registers_order_something_else_has_restarted(
    bench: Bench, off: str
) -> None:
    """Its measurement still shows what it was asked; what it is ordered is read at each poll."""
    asked = command_of(bench, "dg")
    bench.field.change["dg"] = lambda r: replace(r, p_set_kw=asked.p_kw, q_set_kvar=asked.q_kvar)
    bench.poll(10)
    assert len(bench.records) == 1
    bench.field.change["dg"] = lambda r: replace(
        r,
        p_set_kw=0.0 if off == "active" else asked.p_kw,
        q_set_kvar=0.0 if off == "reactive" else asked.q_kvar,
    )
    bench.poll(10)
    assert len(bench.records) == 2
