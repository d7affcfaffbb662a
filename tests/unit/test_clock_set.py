"""The machine's clock is set while the service runs: durations stay, decisions are made anew."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ems.clock import HELD_UP_S, INTERVAL, ScaledClock, WallClock, interval_start
from ems.cycle import run_cycle
from ems.daemon import Service
from ems.daemon.schedule import STEP, Schedule
from ems.daemon.standing import CLOCK_ALARM
from ems.daemon.trigger import Every, QuarterHour
from ems.domain import (
    Command,
    CycleRecord,
    Forecast,
    Ignored,
    Policy,
    Quality,
    Readback,
    Site,
    Snapshot,
    Watched,
)
from ems.errors import DeviceError, Unreachable
from ems.gateways.memory import MemoryField
from ems.ports import History
from ems.store import Store, StoreFault
from ems.unmoved import unmoved
from tests.sites import LOAD_KW, NOW, PRICE_USD_PER_KWH, GivenForecast, ports, segment

SITE = segment()
POLICY = Policy(
    control="auto", reversion_s=300, keep_alive_s=60.0, response_s=30.0, deadband_pct=0.5
)
START = interval_start(NOW) + timedelta(minutes=5)
LONG_AGO, FAR = datetime(1970, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Machine:
    """A machine whose clock can be set."""

    def __init__(self, shows: datetime = START) -> None:
        self.shows = shows
        self.passed = 1000.0

    def lets_pass(self, seconds: float) -> None:
        self.shows += timedelta(seconds=seconds)
        self.passed += seconds

    def is_set(self, by: timedelta) -> None:
        self.shows += by

    def clock(self) -> WallClock:
        return WallClock(lambda: self.shows, lambda: self.passed)


@pytest.fixture
def machine() -> Machine:
    return Machine()


# --- clocks --------------------------------------------------------------------------


@given(by_s=st.integers(-(10**9), 10**9), seconds=st.integers(0, 10**6))
def test_a_clock_goes_by_the_time_that_passes_until_it_follows_the_machine(
    by_s: int, seconds: int
) -> None:
    machine, by = Machine(), timedelta(seconds=by_s)
    clock = machine.clock()
    machine.is_set(by)
    machine.lets_pass(seconds)
    assert clock.now() == START + timedelta(seconds=seconds)
    assert clock.astray() == by
    assert clock.at(machine.shows) == clock.now()
    assert clock.follow() == by
    assert clock.now() == machine.shows
    assert clock.astray() == timedelta()


def test_a_simulated_clock_is_never_set(machine: Machine) -> None:
    clock = ScaledClock(NOW, 60.0, machine.clock())
    machine.is_set(-HOUR)
    machine.lets_pass(1.0)
    assert clock.now() == clock.at(machine.shows) == NOW + timedelta(minutes=1)
    assert clock.astray() == -HOUR
    assert clock.follow() == timedelta()
    assert clock.astray() == timedelta()
    assert clock.now() == clock.at(machine.shows) == NOW + timedelta(minutes=1)


def test_a_thread_that_is_held_up_while_it_reads_takes_no_step_for_it() -> None:
    counts = iter([0.0, HELD_UP_S / 2, 5.0, 65.0, 65.0, 65.0])
    shown = iter(START + timedelta(seconds=s) for s in (0.0, 6.0, 65.0))
    clock = WallClock(lambda: next(shown), lambda: next(counts))
    assert abs(clock.astray()) < timedelta(seconds=1)


@pytest.mark.parametrize("by", [-HOUR, HOUR, timedelta(days=20_000)])
def test_no_run_in_between_is_counted_up_when_the_clock_was_set_far_ahead(
    machine: Machine, by: timedelta
) -> None:
    clock = machine.clock()
    machine.is_set(by)
    for trigger in (QuarterHour(clock), Every(10.0)):
        then = trigger.get_next_fire_time(START, machine.shows)
        assert timedelta() < then - machine.shows <= INTERVAL + QuarterHour.LAG


def test_a_schedule_asks_for_the_clock_to_be_followed_only_where_it_was_set(
    machine: Machine,
) -> None:
    asked: list[timedelta] = []
    clock = machine.clock()
    schedule = Schedule(
        clock, 10.0, cycle=lambda: None, poll=lambda: None, missed=lambda *_: None,
        clock_set=lambda: asked.append(clock.follow()),
    )  # fmt: skip
    machine.lets_pass(3600.0)
    schedule.look()
    machine.is_set(STEP / 2)
    schedule.look()
    assert asked == []
    machine.is_set(STEP / 2)
    schedule.look()
    assert asked == [STEP]


# --- the service ---------------------------------------------------------------------


class Devices(MemoryField):
    """Devices in memory that remember what each call wrote."""

    def __init__(self) -> None:
        super().__init__(
            SITE, load_kw=LOAD_KW, p_kw={"pv": 7000.0, "dg": 2000.0}, q_kvar={"dg": 0.0}
        )
        self.available_kw = {"pv": 9000.0}
        self.calls: list[tuple[Command, ...]] = []

    def write(self, commands: Sequence[Command]) -> Mapping[str, Readback | DeviceError]:
        self.calls.append(tuple(commands))
        return super().write(commands)


class Sky(GivenForecast):
    """The same every interval."""

    def predict(self, site: Site, snapshot: Snapshot, history: History) -> Forecast:
        made = super().predict(site, snapshot, history)
        return replace(made, start=interval_start(snapshot.time))


class Bench:
    """The real cycle in a service on a machine whose clock can be set."""

    def __init__(self, store: Store, machine: Machine, policy: Policy = POLICY) -> None:
        self.machine = machine
        self.store = store
        self.field = Devices()
        self.world = replace(ports(SITE, self.field, Sky(9000.0, 9000.0)), journal=store)
        self.records: list[CycleRecord] = []
        self.seen: list[Watched | None] = []
        self.act: Callable[[], None] = lambda: None
        self.service = Service(
            site=SITE, policy=policy, ports=self.world, store=store, run=self.run,
            clock=machine.clock(), lease_clock=machine.clock(),
        )  # fmt: skip

    def run(self, now: datetime, watched: Watched | None) -> CycleRecord:
        self.act()
        before = self.records[-1] if self.records else self.store.latest()
        self.seen.append(watched)
        made = run_cycle(SITE, POLICY, PRICE_USD_PER_KWH, self.world, now, before, watched)
        self.records.append(made)
        return made

    def set_clock(self, by: timedelta) -> None:
        """Set the machine's clock; the service looks, and polls, as its schedule lets it."""
        self.machine.is_set(by)
        self.service._schedule.look()
        self.service.poll()

    def poll(self, seconds: float) -> int:
        """Let time pass and poll; how many writes there were."""
        self.machine.lets_pass(seconds)
        self.field.calls.clear()
        self.service.poll()
        return len(self.field.calls)

    @property
    def alarms(self) -> str:
        return "\n".join(self.service.health().alarms)

    @property
    def accused(self) -> list[str]:
        """Devices that are said not to follow."""
        watched = self.service._watch.watched()
        assert watched is not None
        return [n for n, r in watched.responses.items() if isinstance(r, Ignored)]

    @property
    def starts(self) -> list[datetime]:
        return [r.start for r in self.records]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "geems.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def bench(store: Store, machine: Machine) -> Iterator[Bench]:
    made = Bench(store, machine)
    made.service._lease.take()
    made.service.cycle()
    made.poll(10.0)
    yield made
    made.service.stop()


@pytest.mark.parametrize("by", [-3 * HOUR, timedelta(minutes=-20), timedelta(minutes=20), 3 * HOUR])
def test_a_clock_that_was_set_brings_a_decision_for_the_interval_that_it_shows(
    bench: Bench, by: timedelta
) -> None:
    bench.set_clock(by)
    due = interval_start(START + by)
    assert bench.starts == [interval_start(START), due]
    health = bench.service.health()
    assert health.ready
    assert health.last_cycle == due
    assert health.now == bench.machine.shows


def test_it_is_an_alarm_that_says_which_way_and_by_how_much_for_an_hour(bench: Bench) -> None:
    bench.set_clock(timedelta(minutes=-20))
    assert "the clock was set back by 0:20:00, from 2" in bench.alarms
    bench.poll(CLOCK_ALARM.total_seconds() - 1.0)
    assert "set back" in bench.alarms
    bench.poll(1.0)
    assert "set back" not in bench.alarms
    bench.set_clock(3 * HOUR)
    assert "the clock was set forward by 3:00:00, from 2" in bench.alarms
    assert "set forward" in bench.service.health().last_error


@pytest.mark.parametrize("by", [-HOUR, timedelta(minutes=-4), timedelta(minutes=4), HOUR])
def test_commands_are_refreshed_on_whatever_the_clock_was_set_to(
    bench: Bench, by: timedelta
) -> None:
    bench.set_clock(by)
    told = bench.service.health()
    assert {d.response for n, d in told.devices.items() if n != "load"} <= {
        "followed",
        "ramping",
        "waiting",
    }
    writes = sum(bench.poll(10.0) for _ in range(60))
    assert writes >= 9  # one a minute; a new interval's decision is one of them
    assert not bench.service._watch.dropped


@pytest.mark.parametrize("by", [-HOUR, HOUR])
def test_what_a_device_holds_ends_when_its_timer_does_by_the_clock_as_it_is_now(
    bench: Bench, by: timedelta
) -> None:
    before = bench.service._watch.watched()
    bench.field.fail("pv", Unreachable("unplugged"))
    bench.machine.lets_pass(10.0)
    bench.set_clock(by)
    after = bench.seen[-1]
    assert before is not None
    assert after is not None
    assert after.in_force["pv"].latest == before.in_force["pv"].latest + by
    assert after.readings["pv"].time == before.readings["pv"].time + by
    assert after.alike["pv"].first.time == before.alike["pv"].first.time + by
    # It was heard ten seconds ago, and holds what it was told for the rest of its five minutes.
    assert "last good value is 10 s old" in bench.records[-1].snapshot.ders["pv"].note


def test_a_device_that_has_just_been_asked_is_not_accused_when_the_clock_was_set(
    bench: Bench,
) -> None:
    bench.machine.lets_pass(50.0)
    bench.service.cycle()
    bench.field.p_kw["dg"] = 1700.0  # it answers, and is slow
    bench.set_clock(timedelta(minutes=-2))
    assert not bench.accused


def test_in_the_same_interval_it_is_decided_again_when_the_last_one_was_a_refresh_ago(
    bench: Bench,
) -> None:
    bench.set_clock(timedelta(minutes=-1))
    assert len(bench.records) == 1
    bench.poll(40.0)
    assert len(bench.records) == 1
    bench.poll(10.0)
    assert len(bench.records) == 2
    bench.poll(60.0)
    assert len(bench.records) == 2


def test_a_clock_that_is_set_to_and_fro_costs_a_decision_a_refresh_at_most(bench: Bench) -> None:
    for _ in range(30):
        bench.poll(1.0)
        bench.set_clock(timedelta(minutes=-1))
        bench.poll(1.0)
        bench.set_clock(timedelta(minutes=1))
    assert len(bench.records) <= 3


@pytest.mark.parametrize("refreshed", [True, False])
@pytest.mark.parametrize("far", [timedelta(minutes=20), 3 * HOUR, -timedelta(minutes=20)])
def test_a_clock_that_flaps_between_two_intervals_costs_no_more_than_a_device_that_does(
    store: Store, machine: Machine, far: timedelta, *, refreshed: bool
) -> None:
    bench = Bench(store, machine, POLICY if refreshed else replace(POLICY, keep_alive_s=None))
    bench.service._lease.take()
    bench.service.cycle()
    bench.field.calls.clear()
    for _ in range(30):
        bench.machine.lets_pass(1.0)
        bench.set_clock(far)
        bench.machine.lets_pass(1.0)
        bench.set_clock(-far)
    assert len(bench.records) <= 3  # the first, one at once, one a minute later
    assert len(bench.field.calls) <= 2 * len(bench.records) + 1
    # It stands still at last: decided for what it shows, a refresh later at the latest.
    bench.machine.lets_pass(60.0)
    bench.service.poll()
    assert bench.records[-1].start == interval_start(machine.shows)
    bench.service.stop()


def test_a_clock_that_jumps_on_to_ever_new_intervals_is_followed_once_a_refresh(
    bench: Bench,
) -> None:
    for _ in range(30):
        bench.machine.lets_pass(2.0)
        bench.set_clock(HOUR)
    assert len(bench.records) <= 3


def test_where_the_database_cannot_be_read_a_clock_that_was_set_is_followed_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(_start: datetime) -> None:
        raise StoreFault("the database is damaged")

    monkeypatch.setattr(bench.store, "at", damaged)
    bench.set_clock(HOUR)
    assert len(bench.records) == 2


def test_what_was_missed_by_a_clock_that_was_far_ahead_for_a_moment_is_taken_back(
    bench: Bench,
) -> None:
    bench.set_clock(9000 * 24 * HOUR)
    bench.poll(5.0)
    assert bench.service.health().missed > 800_000
    bench.set_clock(-9000 * 24 * HOUR)
    assert bench.store.missed(LONG_AGO, FAR) == []
    assert bench.service.health().missed == 0
    assert bench.service.health().last_missed == ""
    # What is missed from now on is told as ever.
    bench.set_clock(HOUR)
    [missed] = bench.store.missed(LONG_AGO, FAR)
    assert (missed.start, missed.intervals) == (interval_start(START) + INTERVAL, 3)


def test_what_was_passed_over_and_stays_behind_the_clock_is_missed_for_good(bench: Bench) -> None:
    bench.set_clock(3 * HOUR)
    bench.set_clock(-HOUR)
    [missed] = bench.store.missed(LONG_AGO, FAR)
    assert (missed.start, missed.intervals) == (interval_start(START) + INTERVAL, 7)
    assert bench.service.health().missed == 7


def test_a_clock_that_was_far_behind_for_a_moment_has_passed_over_nothing(bench: Bench) -> None:
    bench.set_clock(-9000 * 24 * HOUR)
    bench.poll(5.0)
    bench.set_clock(9000 * 24 * HOUR)
    assert bench.store.missed(LONG_AGO, FAR) == []
    assert bench.service.health().missed == 0


def test_a_downtime_that_a_clock_far_ahead_told_is_taken_back_when_it_is_set_right(
    bench: Bench, store: Store, machine: Machine
) -> None:
    bench.service.stop()
    machine.is_set(9000 * 24 * HOUR)
    second = Bench(store, machine)
    second.service._lease.take()
    second.service._note_downtime()
    second.service.cycle(again=False)
    assert [m.reason for m in store.missed(LONG_AGO, FAR)] == ["the service was not running"]
    second.set_clock(-9000 * 24 * HOUR)
    assert store.missed(LONG_AGO, FAR) == []
    assert second.service.health().missed == 0
    second.service.stop()


def test_intervals_that_the_clock_was_set_beyond_are_told_once(bench: Bench) -> None:
    bench.set_clock(HOUR)
    bench.poll(60.0)
    [missed] = bench.store.missed(LONG_AGO, FAR)
    assert (missed.start, missed.intervals) == (interval_start(START) + INTERVAL, 3)
    assert missed.reason.startswith("the clock was set forward by 1:00:00")
    assert bench.service.health().missed == 3


def test_intervals_that_come_twice_have_two_records_and_none_is_missed(bench: Bench) -> None:
    bench.set_clock(-HOUR)
    for _ in range(4):
        bench.machine.lets_pass(INTERVAL.total_seconds())
        bench.service.cycle(again=False)
    first = interval_start(START)
    assert bench.starts == [first, *(first - HOUR + k * INTERVAL for k in range(5))]
    assert bench.store.missed(LONG_AGO, FAR) == []
    shown = bench.store.at(first)
    assert shown is not None
    assert shown.snapshot.time == bench.records[-1].snapshot.time
    assert len(bench.store.between(LONG_AGO, FAR)) == 5


def test_polls_of_two_times_are_not_mixed_in_one_minute(bench: Bench) -> None:
    there = bench.field.p_kw["dg"]
    bench.field.p_kw["dg"] = 1000.0
    bench.set_clock(-HOUR)
    bench.poll(120.0)
    means = {m.time: m.p_kw for m in bench.store.measurements(LONG_AGO, FAR, "dg")}
    assert means[START] == there
    assert means[START - HOUR] == 1000.0


def test_a_clock_that_was_set_and_set_right_before_anyone_followed_is_nothing(
    bench: Bench,
) -> None:
    bench.machine.is_set(HOUR)
    bench.poll(10.0)
    bench.machine.is_set(-HOUR)
    bench.service._follow_clock()
    bench.service.poll()
    assert len(bench.records) == 1
    assert bench.alarms == ""


@pytest.mark.parametrize("by", [-HOUR, HOUR])
def test_a_clock_that_is_set_during_a_cycle_is_followed_after_it(
    bench: Bench, by: timedelta
) -> None:
    bench.machine.lets_pass(600.0)
    bench.act = lambda: bench.machine.is_set(by)
    bench.service.cycle(again=False)
    assert bench.records[-1].start == interval_start(START) + INTERVAL
    bench.act = lambda: None
    bench.set_clock(timedelta())
    assert bench.records[-1].start == interval_start(bench.machine.shows)
    assert not bench.accused


def test_without_refreshes_a_decision_is_made_anew_at_once(store: Store, machine: Machine) -> None:
    bench = Bench(store, machine, replace(POLICY, keep_alive_s=None))
    bench.service._lease.take()
    bench.service.cycle()
    bench.set_clock(timedelta(minutes=-1))
    bench.poll(10.0)
    assert len(bench.records) == 2


def test_the_lease_is_told_by_the_clock_that_others_go_by(bench: Bench, store: Store) -> None:
    for by in (2 * HOUR, -3 * HOUR):
        bench.set_clock(by)
        lease = store.lease(SITE.name)
        assert lease is not None
        assert timedelta() < lease.ends - bench.machine.shows <= timedelta(minutes=1)
        assert bench.service.health().lease_held


def test_not_ready_on_a_record_that_lies_ahead(bench: Bench) -> None:
    def fail() -> None:
        raise RuntimeError("the solver is out to lunch")

    bench.act = fail
    bench.set_clock(-HOUR)
    health = bench.service.health()
    assert health.failures == 1
    assert not health.ready


# --- started after the clock was set back --------------------------------------------


def test_a_service_that_finds_a_record_ahead_decides_and_says_so(
    bench: Bench, store: Store, machine: Machine
) -> None:
    bench.service.stop()
    machine.is_set(-3 * HOUR)
    second = Bench(store, machine)
    second.service._lease.take()
    second.service._note_downtime()
    second.service.cycle(again=False)
    assert second.starts == [interval_start(START - 3 * HOUR)]
    assert "the last record is of 2" in second.alarms
    assert "it was set back, or was wrong then" in second.alarms
    assert store.missed(LONG_AGO, FAR) == []
    latest = store.latest()
    assert latest is not None
    assert latest.start == second.starts[0]
    second.service.stop()


def test_what_a_silent_device_holds_of_a_time_ahead_it_may_hold_or_have_dropped(
    bench: Bench, store: Store, machine: Machine
) -> None:
    bench.service.stop()
    machine.is_set(-3 * HOUR)
    second = Bench(store, machine)
    second.field.fail("pv", Unreachable("unplugged"))
    second.service._lease.take()
    second.service.cycle(again=False)
    pin = unmoved(SITE, second.records[0].snapshot, bench.records[-1].in_force)["pv"]
    told = bench.records[-1].in_force["pv"].setpoints[0]
    assert (pin.low.p_kw, pin.high.p_kw) == (1000.0, told.p_kw)
    assert "lies ahead" in second.records[0].snapshot.ders["pv"].note
    second.service.stop()


def test_a_load_of_a_time_ahead_stands_in_for_none(bench: Bench) -> None:
    def silent(_: datetime) -> DeviceError:
        return Unreachable("the meter is unplugged")

    bench.field.read_load = silent  # type: ignore[method-assign,assignment]  # no meter
    bench.set_clock(-HOUR)
    assert bench.records[-1].snapshot.load.quality is Quality.ASSUMED
