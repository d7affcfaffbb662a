"""The service: when cycles run, what happens when they cannot, and who may write."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from apscheduler.events import EVENT_JOB_SUBMITTED
from hypothesis import given
from hypothesis import strategies as st

from ems.clock import (
    HELD_UP_S,
    INTERVAL,
    Clock,
    ScaledClock,
    SteppedClock,
    WallClock,
    interval_start,
)
from ems.daemon import Service
from ems.daemon.lease import LEASE_S
from ems.daemon.trigger import QuarterHour
from ems.domain import Bes, CycleRecord, Dg, Limits, Policy, Pv, Site, Watched
from ems.errors import LeaseHeld, Unreachable
from ems.gateways.memory import MemoryField
from ems.ports import Forecaster, Network, Ports
from ems.record import from_json
from ems.store import LOAD, Store, StoreFault

SAMPLE = Path(__file__).with_name("test_record_sample.json").read_text()
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
FAR = datetime(2100, 1, 1, tzinfo=UTC)
PATIENCE_S = 30.0
"""Longest wait for something that comes at once unless the machine is overloaded [s]."""

SITE = Site(
    name="segment13",
    latitude_deg=36.7,
    longitude_deg=-119.8,
    ders=(
        Pv(name="pv", bus="B13", rated_kw=10_000.0),
        Dg(name="dg", bus="B7", rated_kw=3000.0, cost_usd_per_kwh=0.1, q_max_kvar=400.0),
        Bes(name="bes", bus="B11", rated_kw=200.0, capacity_kwh=1000.0, q_max_kvar=200.0),
    ),
    limits=Limits(v_min_pu=0.88, v_max_pu=1.10),
    load_max_kw=14_500.0,
    load_min_kw=5000.0,
)


def wait_for(event: threading.Event) -> None:
    assert event.wait(PATIENCE_S)


class Bench:
    """A service over devices in memory and a real database; each cycle does `act`."""

    def __init__(self, store: Store, clock: Clock, lease_clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.field = MemoryField(SITE, load_kw=9000.0, p_kw={"pv": 5000.0})
        self.starts: list[datetime] = []
        self.watched: Watched | None = None
        self.act: Callable[[], None] = lambda: None
        unused = cast("Any", None)
        self.service = Service(
            site=SITE,
            policy=Policy(control="auto"),
            ports=Ports(
                field=self.field,
                network=cast("Network", unused),
                history=store,
                forecaster=cast("Forecaster", unused),
                journal=store,
            ),
            store=store,
            run=self.run,
            clock=clock,
            lease_clock=lease_clock,
        )

    def run(self, now: datetime, watched: Watched | None) -> CycleRecord:
        start = interval_start(now)
        self.starts.append(start)
        self.watched = watched
        self.act()
        base = from_json(SAMPLE)
        self.field.write([o.command for o in base.outcomes.values()])
        record = replace(base, start=start, forecast=replace(base.forecast, start=start))
        self.store.append(record)
        return record

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the service has made something true."""
        with self.service._standing.changed:
            assert self.service._standing.changed.wait_for(condition, PATIENCE_S)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "geems.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def make(store: Store) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def bench(clock: Clock, lease_clock: Clock | None = None) -> Bench:
        made.append(Bench(store, clock, lease_clock or SteppedClock(NOON)))
        return made[-1]

    yield bench
    for one in made:
        one.service.stop()


Make = Callable[..., Bench]


# --- when cycles run -----------------------------------------------------------------


def test_a_cycle_runs_at_once_and_the_next_is_due_on_the_quarter_hour(make: Make) -> None:
    bench = make(WallClock())
    bench.service.start()
    assert bench.service.wait_for_cycles(1, PATIENCE_S)
    health = bench.service.health()
    assert health.next_run is not None
    assert health.next_run == interval_start(health.next_run)
    assert timedelta(0) < health.next_run - health.now <= INTERVAL
    assert health.ready
    assert health.last_status == "verified"


def test_on_a_fast_clock_every_quarter_hour_has_its_cycle_once_or_is_recorded_as_missed(
    make: Make,
) -> None:
    bench = make(ScaledClock(NOON + timedelta(minutes=10), speed=3000.0))
    bench.service.start()
    assert bench.service.wait_for_cycles(5, PATIENCE_S)
    bench.service.stop()
    assert len(set(bench.starts)) == len(bench.starts)
    missed = {
        m.start + i * INTERVAL
        for m in bench.store.missed(LONG_AGO, FAR)
        for i in range(m.intervals)
    }
    first, last = bench.starts[0], bench.starts[-1]
    assert {first + i * INTERVAL for i in range((last - first) // INTERVAL + 1)} <= missed | set(
        bench.starts
    )


@given(seconds=st.floats(0, 86400), speed=st.floats(1, 10_000))
def test_a_fast_clock_fires_just_after_the_next_quarter_hour_never_before(
    seconds: float, speed: float
) -> None:
    clock = ScaledClock(NOON, speed)
    asked = datetime.now(UTC) + timedelta(seconds=seconds)
    fires = QuarterHour(clock).get_next_fire_time(None, asked)
    due = interval_start(clock.at(fires))
    assert due == interval_start(clock.at(asked)) + INTERVAL
    # What the clock goes by is read so far apart from the machine's, at most.
    apart = timedelta(seconds=HELD_UP_S)
    assert clock.at(fires) - due <= 1.01 * speed * (QuarterHour.LAG + apart)


def test_a_first_cycle_that_reaches_into_the_next_interval_delays_it_but_misses_none(
    make: Make,
) -> None:
    bench = make(ScaledClock(NOON + timedelta(minutes=14), speed=60.0))
    release = threading.Event()
    bench.act = partial(wait_for, release)
    bench.service.start()
    scheduler = bench.service._schedule._scheduler
    assert scheduler is not None
    waits = threading.Event()
    scheduler.add_listener(
        lambda event: waits.set() if event.job_id == "cycle" else None, EVENT_JOB_SUBMITTED
    )
    wait_for(waits)
    release.set()
    assert bench.service.wait_for_cycles(2, PATIENCE_S)
    assert bench.starts[1] == bench.starts[0] + INTERVAL
    assert not bench.store.missed(LONG_AGO, FAR)


def test_a_scheduled_run_does_nothing_where_its_interval_has_its_cycle(make: Make) -> None:
    bench = make(SteppedClock(NOON))
    assert bench.service.cycle(again=False) is not None
    assert bench.service.cycle(again=False) is None
    assert bench.starts == [NOON]


# --- when they cannot ----------------------------------------------------------------


def test_a_cycle_that_fails_is_counted_shown_and_kept_and_the_next_one_runs(make: Make) -> None:
    bench = make(SteppedClock(NOON))

    def fail() -> None:
        raise RuntimeError("the solver is out to lunch")

    bench.act = fail
    assert bench.service.cycle() is None
    health = bench.service.health()
    assert (health.cycles, health.failures, health.ready) == (0, 1, False)
    assert "RuntimeError: the solver is out to lunch" in health.last_error
    assert health.alarms == (
        "the cycle of 12:00 UTC failed: RuntimeError: the solver is out to lunch",
    )
    assert bench.store.missed(LONG_AGO, FAR)[0].reason.startswith("the cycle failed")
    bench.act = lambda: None
    assert bench.service.cycle() is not None
    health = bench.service.health()
    assert (health.cycles, health.failures, health.ready) == (1, 1, True)
    assert health.alarms == ()
    assert health.last_error, "it stays to be read"


def test_an_exception_does_not_end_the_scheduled_service(make: Make) -> None:
    bench = make(ScaledClock(NOON, speed=3000.0))

    def fail() -> None:
        raise RuntimeError("again")

    bench.act = fail
    bench.service.start()
    assert bench.service.wait_for_cycles(3, PATIENCE_S)
    assert bench.service.health().failures >= 3


def test_a_run_that_is_due_while_the_last_one_still_runs_is_recorded_as_missed(
    make: Make,
) -> None:
    bench = make(ScaledClock(NOON, speed=9000.0))
    release = threading.Event()
    bench.act = partial(wait_for, release)
    bench.service.start()
    bench.until(lambda: bench.service._standing.missed > 0)
    release.set()
    bench.service.stop()
    assert {m.reason for m in bench.store.missed(LONG_AGO, FAR)} >= {"the cycle before still runs"}
    health = bench.service.health()
    assert health.missed > 0
    assert "the cycle before still runs" in health.last_missed or "asleep" in health.last_missed


def test_a_run_that_comes_too_late_for_its_interval_is_recorded_as_missed(make: Make) -> None:
    bench = make(WallClock())
    bench.service.start()
    assert bench.service.wait_for_cycles(1, PATIENCE_S)
    scheduler = bench.service._schedule._scheduler
    assert scheduler is not None
    late = datetime.now(UTC) - timedelta(seconds=3)
    scheduler.modify_job("cycle", misfire_grace_time=1, next_run_time=late)
    bench.until(lambda: bench.service._standing.missed > 0)
    bench.service.stop()
    [missed] = bench.store.missed(LONG_AGO, FAR)
    assert (missed.start, missed.intervals) == (interval_start(late), 1)
    assert "asleep" in missed.reason


def test_intervals_that_passed_without_even_a_try_are_recorded(make: Make) -> None:
    clock = SteppedClock(NOON)
    bench = make(clock)
    bench.service.cycle()
    clock.move_to(NOON + 4 * INTERVAL)
    bench.service.cycle()
    [missed] = bench.store.missed(LONG_AGO, FAR)
    assert (missed.start, missed.intervals) == (NOON + INTERVAL, 3)
    assert bench.service.health().missed == 3


def test_intervals_while_the_service_did_not_run_are_recorded_at_its_start(make: Make) -> None:
    clock = SteppedClock(NOON)
    first = make(clock)
    first.service.cycle()
    first.service.stop()
    clock.move_to(NOON + 3 * INTERVAL)
    second = make(clock)
    second.service.start()
    [missed] = second.store.missed(LONG_AGO, FAR)
    assert (missed.start, missed.intervals) == (NOON + INTERVAL, 2)
    assert missed.reason == "the service was not running"


def test_readiness_ends_when_no_cycle_finished_in_this_or_the_interval_before(
    make: Make,
) -> None:
    clock = SteppedClock(NOON)
    bench = make(clock)
    assert not bench.service.health().ready
    bench.service.cycle()
    clock.move_to(NOON + 2 * INTERVAL - timedelta(seconds=1))
    assert bench.service.health().ready
    clock.move_to(NOON + 2 * INTERVAL)
    assert not bench.service.health().ready


# --- polls ---------------------------------------------------------------------------


def test_polls_become_minute_means_of_every_device(make: Make) -> None:
    clock = SteppedClock(NOON)
    bench = make(clock)
    for i in range(7):
        clock.move_to(NOON + timedelta(seconds=10 * i))
        bench.field.p_kw["dg"] = float(i)
        bench.service.poll()
    means = {m.device: m for m in bench.store.measurements(LONG_AGO, FAR)}
    assert set(means) == {"pv", "dg", "bes", "load"}
    assert (means["dg"].time, means["dg"].p_kw, means["dg"].polls) == (NOON, 2.5, 6)
    assert means["load"].p_kw == 9000.0
    assert means["bes"].soc_pct == 60.0


def test_a_minute_with_a_cap_in_force_at_any_poll_counts_as_capped(make: Make) -> None:
    clock = SteppedClock(NOON)
    bench = make(clock)
    bench.field.cap_kw["pv"] = 8000.0
    bench.service.poll()
    bench.field.cap_kw["pv"] = None
    bench.service.poll()
    clock.move_to(NOON + timedelta(minutes=1))
    bench.service.poll()
    bench.service.stop()
    means = bench.store.measurements(LONG_AGO, FAR, "pv")
    assert [m.capped for m in means] == [True, False]
    assert np.isnan(bench.store.pv_record("pv", NOON, NOON + INTERVAL).available_kw).all()


def test_a_device_that_is_silent_or_says_nonsense_is_left_out_and_the_others_are_kept(
    make: Make,
) -> None:
    clock = SteppedClock(NOON)
    bench = make(clock)
    bench.service.poll()
    clock.move_to(NOON + timedelta(minutes=1))
    bench.field.fail("dg", Unreachable("127.0.0.1:5023 does not answer"))
    bench.field.p_kw["bes"] = float("nan")
    bench.service.poll()
    health = bench.service.health()
    assert not health.devices["dg"].reachable
    assert health.devices["dg"].note == "127.0.0.1:5023 does not answer"
    assert health.devices["dg"].last_seen == NOON
    assert health.devices["load"].reachable
    assert health.alarms == (
        "dg: 127.0.0.1:5023 does not answer",
        "bes: P or Q reads as not available (NaN)",
    )
    bench.service.stop()
    second = bench.store.measurements(NOON + timedelta(minutes=1), FAR)
    assert {m.device for m in second} == {"pv", "load"}


def test_a_poll_that_fails_is_shown_and_raises_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make(SteppedClock(NOON))

    def fail(_: datetime) -> None:
        raise RuntimeError("the field is gone")

    monkeypatch.setattr(bench.field, "read", fail)
    bench.service.poll()
    assert "poll: the field is gone" in bench.service.health().last_error


def test_a_poll_never_talks_to_the_devices_while_a_cycle_does(make: Make) -> None:
    bench = make(SteppedClock(NOON))
    bench.act = bench.service.poll
    bench.service.cycle()
    assert bench.service.health().devices == {}


def test_the_last_finished_minute_is_kept_before_the_forecast_reads_history(make: Make) -> None:
    clock = SteppedClock(NOON - timedelta(minutes=1))
    bench = make(clock)
    bench.service.poll()
    clock.move_to(NOON)
    seen: list[float] = []
    bench.act = lambda: seen.extend(bench.store.mean_kw("pv", NOON - INTERVAL, NOON))
    bench.service.cycle()
    assert seen == [5000.0]


# --- one writer ----------------------------------------------------------------------


def test_a_site_that_another_process_runs_is_not_started(make: Make, store: Store) -> None:
    store.take_lease("segment13", "the other", LEASE_S, NOON)
    bench = make(WallClock())
    with pytest.raises(LeaseHeld, match="already run by the other"):
        bench.service.start()
    assert bench.starts == []
    held = store.lease("segment13")
    assert held is not None
    assert held.holder == "the other"


def test_a_lost_lease_ends_all_writing_with_an_alarm_until_it_is_free_again(
    make: Make, store: Store
) -> None:
    clock, lease_clock = SteppedClock(NOON), SteppedClock(NOON)
    bench = make(clock, lease_clock)
    assert bench.service.cycle() is not None
    lease_clock.move_to(NOON + timedelta(seconds=LEASE_S))
    store.take_lease("segment13", "the other", LEASE_S, lease_clock.now())
    clock.move_to(NOON + INTERVAL)
    assert bench.service.cycle() is None
    assert bench.starts == [NOON]
    health = bench.service.health()
    assert not health.ready
    assert not health.lease_held
    assert any("nothing is written" in a and "the other" in a for a in health.alarms)
    assert [m.start for m in store.missed(LONG_AGO, FAR)] == [NOON + INTERVAL]
    store.release("segment13", "the other")
    clock.move_to(NOON + 2 * INTERVAL)
    assert bench.service.cycle() is not None
    assert bench.service.health().alarms == ()


def test_polls_keep_the_lease_from_lapsing(make: Make, store: Store) -> None:
    lease_clock = SteppedClock(NOON)
    bench = make(SteppedClock(NOON), lease_clock)
    for i in range(10):
        lease_clock.move_to(NOON + timedelta(seconds=30 * i))
        bench.service.poll()
        held = store.lease("segment13")
        assert held is not None
        assert held.ends > lease_clock.now() + timedelta(seconds=LEASE_S / 3)


def test_control_goes_on_with_an_alarm_while_the_database_cannot_be_written(
    make: Make, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make(SteppedClock(NOON))
    bench.service.cycle()

    def full(*_: object) -> None:
        raise StoreFault("geems.sqlite: the disk is full; free some space")

    with monkeypatch.context() as broken:
        broken.setattr(store, "take_lease", full)
        broken.setattr(store, "add_minute", full)
        assert bench.service.cycle() is not None
        bench.service.poll()
        health = bench.service.health()
        assert health.lease_held
        assert health.alarms == (
            "records are not kept: geems.sqlite: the disk is full; free some space",
        )
    bench.service.cycle()
    assert bench.service.health().alarms == ()


def test_a_load_that_cannot_be_is_not_kept_for_forecast_and_bill(make: Make, store: Store) -> None:
    clock = SteppedClock(NOON)
    bench = make(clock)
    bench.field.load_kw = 1e9
    bench.service.poll()
    clock.move_to(NOON + timedelta(minutes=1))
    bench.service.poll()
    kept = store.measurements(NOON, NOON + timedelta(minutes=1))
    assert "pv" in {mean.device for mean in kept}
    assert LOAD not in {mean.device for mean in kept}


def test_what_is_not_as_it_should_be_beside_the_cycles_is_an_alarm_for_as_long_as_it_is_true(
    make: Make,
) -> None:
    bench = make(SteppedClock(NOON))
    told: list[str] = []
    bench.service._concerns = lambda: told
    assert bench.service.health().alarms == ()
    told.append("not proved safe when GEEMS dies: pv keeps its last command")
    assert bench.service.health().alarms == tuple(told)
    told.append("what the IEEE 2030.5 server serves is not on the disk yet: the disk is full")
    assert bench.service.health().alarms == tuple(told)


def test_stopping_finishes_the_running_cycle_keeps_the_minute_and_gives_the_lease_back(
    make: Make, store: Store
) -> None:
    bench = make(WallClock())
    bench.service.poll()
    running, release = threading.Event(), threading.Event()

    def act() -> None:
        running.set()
        wait_for(release)

    bench.act = act
    bench.service.start()
    assert running.wait(PATIENCE_S)
    stopping = threading.Thread(target=bench.service.stop)
    stopping.start()
    assert store.latest() is None
    release.set()
    stopping.join(PATIENCE_S)
    assert not stopping.is_alive()
    assert store.latest() is not None
    assert store.measurements(LONG_AGO, FAR)
    assert store.lease("segment13") is None


def test_stopping_a_service_that_never_started_or_twice_does_nothing(make: Make) -> None:
    bench = make(WallClock())
    bench.service.stop()
    bench.service.stop()


# --- who is told ---------------------------------------------------------------------


class Listening:
    """An audience that remembers, or fails."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.heard: list[object] = []

    def readings(self, now: datetime, answers: Mapping[str, object]) -> None:
        self._hear((now, set(answers)))

    def cycle(self, record: CycleRecord) -> None:
        self._hear(record.start)

    def _hear(self, what: object) -> None:
        if self.fault:
            raise RuntimeError(self.fault)
        self.heard.append(what)


def test_every_poll_and_every_cycle_is_told(make: Make) -> None:
    bench, audience = make(SteppedClock(NOON)), Listening()
    bench.service._audience = audience
    bench.service._lease.take()
    bench.service.poll()
    bench.service.cycle()
    assert audience.heard == [(NOON, {"pv", "dg", "bes", "load"}), NOON]


def test_an_audience_that_fails_is_an_alarm_and_stops_no_control(make: Make) -> None:
    bench = make(SteppedClock(NOON))
    bench.service._audience = Listening("the broker is away")
    bench.service._lease.take()
    bench.service.poll()
    assert bench.service.cycle() is not None
    assert bench.starts == [NOON]
    assert "the broker is away" in bench.service.health().alarms
