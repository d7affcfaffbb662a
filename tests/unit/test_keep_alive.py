"""Between two cycles: what is refreshed, what is not, and when a cycle is brought forward."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ems.clock import INTERVAL, SteppedClock, interval_start
from ems.cycle import run_cycle
from ems.daemon import Service
from ems.domain import (
    Command,
    CycleRecord,
    DerReading,
    Infeasible,
    Partial,
    Policy,
    Quality,
    Readback,
    Refused,
    Sent,
    Watched,
)
from ems.errors import DeviceError, RefusedWrite, Unreachable
from ems.gateways.memory import MemoryField
from ems.store import Store
from ems.unmoved import HOLD_OVER_S
from tests.sites import LOAD_KW, NOW, PRICE_USD_PER_KWH, GivenForecast, ports, segment

SITE = segment()
POLICY = Policy(
    control="auto", reversion_s=300, keep_alive_s=60.0, response_s=30.0, deadband_pct=0.5
)
START = interval_start(NOW)


class Devices(MemoryField):
    """Devices in memory with ways to go wrong, and a list of what each call wrote."""

    def __init__(self) -> None:
        super().__init__(
            SITE, load_kw=LOAD_KW, p_kw={"pv": 7000.0, "dg": 2000.0}, q_kvar={"dg": 0.0}
        )
        self.available_kw = {"pv": 9000.0}
        self.calls: list[tuple[Command, ...]] = []
        self.deaf: set[str] = set()
        """Acknowledge, and do nothing."""
        self.change: dict[str, Callable[[DerReading], DerReading]] = {}
        """What a device shows in place of the truth."""

    def read(self, now: datetime) -> Mapping[str, DerReading | DeviceError]:
        found = dict(super().read(now))
        for name, change in self.change.items():
            answer = found[name]
            if isinstance(answer, DerReading):
                found[name] = change(answer)
        return found

    def write(self, commands: Sequence[Command]) -> Mapping[str, Readback | DeviceError]:
        self.calls.append(tuple(commands))
        stood = (dict(self.p_kw), dict(self.q_kvar))
        answers = super().write(commands)
        for name in self.deaf & {c.der for c in commands}:
            self.p_kw[name], self.q_kvar[name] = stood[0][name], stood[1][name]
        return answers


class Bench:
    """The real cycle in a service whose clock the test moves."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.field = Devices()
        self.clock = SteppedClock(START)
        self.lease_clock = SteppedClock(START)
        self.world = replace(ports(SITE, self.field, GivenForecast(9000.0, 9000.0)), journal=store)
        self.records: list[CycleRecord] = []
        self.act: Callable[[], None] = lambda: None
        self.service = Service(
            site=SITE, policy=POLICY, ports=self.world, store=store, run=self.run,
            clock=self.clock, lease_clock=self.lease_clock,
        )  # fmt: skip

    def run(self, now: datetime, watched: Watched | None) -> CycleRecord:
        before = self.records[-1] if self.records else None
        made = run_cycle(SITE, POLICY, PRICE_USD_PER_KWH, self.world, now, before, watched)
        self.records.append(made)
        self.act()
        return made

    def poll(self, seconds: float) -> Sequence[tuple[Command, ...]]:
        """Let time pass, poll, and tell what was written."""
        self.clock.move_to(self.clock.now() + timedelta(seconds=seconds))
        self.field.calls.clear()
        self.service.poll()
        return list(self.field.calls)

    @property
    def alarms(self) -> str:
        return "\n".join(self.service.health().alarms)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    store = Store.open(tmp_path / "geems.sqlite")
    made = Bench(store)
    made.service.cycle()
    assert all(isinstance(o, Sent) for o in made.records[0].outcomes.values())
    yield made
    made.service.stop()
    store.close()


def command_of(bench: Bench, name: str) -> Command:
    outcome = bench.records[-1].outcomes[name]
    assert isinstance(outcome, Sent | Partial)
    return outcome.command


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


def restart(bench: Bench) -> None:
    bench.field.cap_kw["pv"] = None
    bench.field.p_kw["pv"] = 9000.0


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
    assert bench.service.health().devices["dg"].response == "ignored"
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
